"""How much a broker keeps: the queue of an offline session, which end is dropped, what one connection gets, the window."""

from __future__ import annotations

import asyncio

from sim.live.probe.client import NoAnswer, Peer, ProbeClient, names
from sim.live.probe.findings import Findings
from sim.live.probe.sessions import forget

QUEUED = 3000  # messages to an offline session
IN_FLIGHT = 300  # messages to a client that acknowledges none
_AT_ONCE = 100  # unacknowledged ones of the publisher
_MOST_CONNECTS = 6


async def queue(peer: Peer) -> Findings:
    """3000 small messages to an offline session, then as many connects as bring something."""
    found = Findings()
    publisher = ProbeClient(peer, "queue-publisher")
    client = ProbeClient(peer, "queue")
    topic = peer.topic("queue")
    batches: list[list[str]] = []
    try:
        await client.connect()
        await client.subscribe(topic, 1)
        await client.disconnect()
        await publisher.connect(clean=True)
        await _publish(publisher, topic, QUEUED)
        await asyncio.sleep(0.5)
        while len(batches) < _MOST_CONNECTS and (not batches or batches[-1]):
            reader = ProbeClient(peer, "queue")
            connack = await reader.connect()
            if not connack.session_present:
                raise NoAnswer("the session was not kept")
            batches.append(names(await reader.quiet()))
            await reader.disconnect()
        _judge_queue(found, batches)
    finally:
        for one in (publisher, client):
            one.drop()
        await forget(peer, "queue")
    return found


def _judge_queue(found: Findings, batches: list[list[str]]) -> None:
    came = [int(name) for batch in batches for name in batch]
    batches = [batch for batch in batches if batch]
    found.notes.append(
        f"of {QUEUED} to an offline session came, per connect: {', '.join(str(len(batch)) for batch in batches) or 'none'}"
    )
    unique = sorted(set(came))
    if len(unique) < QUEUED:
        if unique == list(range(len(unique))):
            found.seen["queue_limit"], found.seen["queue_drop"] = len(unique), "newest"
        elif unique == list(range(QUEUED - len(unique), QUEUED)):
            found.seen["queue_limit"], found.seen["queue_drop"] = len(unique), "oldest"
        else:
            found.not_observed["queue_limit"] = f"{len(unique)} of {QUEUED} came, neither the oldest nor the newest ones"
            found.not_observed["queue_drop"] = found.not_observed["queue_limit"]
    else:
        found.at_least["queue_limit"] = QUEUED
        found.not_observed["queue_drop"] = f"{QUEUED} messages did not fill the queue"
    found.notes.append("in the order published" if came == sorted(came) else "not in the order published")
    if batches and len({len(batch) for batch in batches[:-1]}) <= 1:
        found.seen["resume_batch"] = len(batches[0]) if len(batches) > 1 else 0
    else:
        found.not_observed["resume_batch"] = "the connects after a resume brought different numbers"


async def window(peer: Peer) -> Findings:
    """300 messages to a client that acknowledges nothing: how many come, and whether one of QoS 0 passes them."""
    found = Findings()
    publisher = ProbeClient(peer, "window-publisher")
    client = ProbeClient(peer, "window", acknowledges=False)
    topic = peer.topic("window")
    try:
        await client.connect()
        await client.subscribe(topic, 1)
        await publisher.connect(clean=True)
        await _publish(publisher, topic, IN_FLIGHT)
        came = len(await client.quiet())
        publisher.publish(topic, b"z", 0)
        await asyncio.sleep(0.1)
        passed = "z" in names(await client.quiet())
        if came < IN_FLIGHT:
            found.seen["inflight_limit"] = came
            found.seen["window_holds_qos0"] = not passed
        else:
            found.at_least["inflight_limit"] = IN_FLIGHT
            found.not_observed["window_holds_qos0"] = f"{IN_FLIGHT} messages did not fill the window"
        found.notes.append(f"a client that acknowledges nothing gets {came} of {IN_FLIGHT}")
    finally:
        for one in (publisher, client):
            one.drop()
        await forget(peer, "window")
    return found


async def _publish(publisher: ProbeClient, topic: str, number: int) -> None:
    """QoS 1, a bounded number of them unacknowledged."""
    for i in range(number):
        publisher.publish(topic, b"%d" % i)
        if i % _AT_ONCE == _AT_ONCE - 1:
            await publisher.settled(_AT_ONCE // 2, 20.0)
    await publisher.settled(0, 20.0)
