"""What a session keeps: redelivery of what was not acknowledged, the fate of each QoS, takeover of a live or dead connection."""

from __future__ import annotations

import asyncio

from sim.live.probe.client import ANSWER_S, QUIET_S, NoAnswer, Peer, ProbeClient, named_will, names
from sim.live.probe.findings import Findings
from sim.protocols.mqtt_packets import Publish

BACKLOG = 60  # messages for a silent client: more than the windows of most brokers


async def redelivery(peer: Peer) -> Findings:
    """Messages are acknowledged, three more received and not; the connection is lost; the session is resumed."""
    found = Findings()
    publisher = ProbeClient(peer, "redelivery-publisher")
    first = ProbeClient(peer, "redelivery")
    again = ProbeClient(peer, "redelivery")
    topic = peer.topic("redelivery")
    try:
        await publisher.connect(clean=True)
        await first.connect()
        granted = await first.subscribe(topic, 2)
        if granted <= 2:
            found.seen["qos_max"] = granted
        for payload in (b"a1", b"a2", b"a3"):
            publisher.publish(topic, payload, 1)
        publisher.publish(topic, b"a4", 0)
        await publisher.settled()
        live = _by_name(await first.quiet())
        if "a4" in live:
            found.seen["raises_qos"] = live["a4"].qos > 0
        first.acknowledges = False
        for payload in (b"u1", b"u2", b"u3"):
            publisher.publish(topic, payload, 1)
        await publisher.settled()
        await first.quiet()
        before = {name: packet for name, packet in _by_name(first.published).items() if name.startswith("u")}
        if len(before) < 3:
            raise NoAnswer(f"of three messages to a live subscriber {len(before)} came")
        first.drop()
        await asyncio.sleep(0.3)
        connack = await again.connect()
        after = _by_name(await again.quiet())
        found.notes.append(f"session present {int(connack.session_present)} after a lost connection")
        redelivered = [name for name in before if name in after]
        found.seen["redeliver_inflight"] = len(redelivered) == len(before)
        if redelivered:
            _as_resent(found, before, after, redelivered)
        elif not found.seen["redeliver_inflight"]:
            for name in ("dup_on_resume", "renumber_on_resume"):
                found.not_observed[name] = "nothing is sent again"
    finally:
        await _forget(peer, again)
        for client in (publisher, first, again):
            client.drop()
    return found


def _as_resent(found: Findings, before: dict[str, Publish], after: dict[str, Publish], redelivered: list[str]) -> None:
    flags = {after[name].dup for name in redelivered}
    if len(flags) == 1:
        found.seen["dup_on_resume"] = flags.pop()
    else:
        found.not_observed["dup_on_resume"] = "some of what is sent again bears DUP and some does not"
    kept = [after[name].packet_id == before[name].packet_id for name in redelivered]
    if all(kept) or not any(kept):
        found.seen["renumber_on_resume"] = not kept[0]
    else:
        found.not_observed["renumber_on_resume"] = "some packet identifiers are kept and some are not"
    in_order = [name for name in after if name in redelivered] == redelivered
    found.notes.append(f"redelivered {'in order' if in_order else 'in another order'}: {', '.join(after)}")


async def fates(peer: Peer) -> Findings:
    """h1 h3 (QoS 1), h2 (0) published while the client is silent, d1 d2 d3 once it is known to be gone; then it resumes."""
    found = Findings()
    publisher = ProbeClient(peer, "fates-publisher")
    client = ProbeClient(peer, "fates")
    again = ProbeClient(peer, "fates")
    topic = peer.topic("fates")
    try:
        await publisher.connect(clean=True)
        await client.connect(keep_alive_s=60)
        granted = await client.subscribe(topic, 1)
        client.fall_silent()
        await asyncio.sleep(0.2)
        for name, qos in ((b"h1", 1), (b"h2", 0), (b"h3", 1)):
            publisher.publish(topic, name, qos)
        await publisher.settled()
        await asyncio.sleep(0.3)
        client.drop()  # the end of the half-open time, without waiting for the keep alive: RST
        await asyncio.sleep(0.5)
        for name, qos in ((b"d1", 1), (b"d2", 0), (b"d3", 1)):
            publisher.publish(topic, name, qos)
        await publisher.settled()
        await asyncio.sleep(0.2)
        connack = await again.connect()
        came = names(await again.quiet())
        if not connack.session_present or granted == 128:
            raise NoAnswer("the session was not kept")
        found.seen["queue_qos0"] = "d2" in came
        lost = [name for name in ("h1", "h2", "h3", "d1", "d2", "d3") if name not in came]
        said = f"came {' '.join(came)}; lost {' '.join(lost) or 'none'}"
        found.notes.append(f"half-open h1 h2 h3, then offline d1 d2 d3 (h2, d2 with QoS 0): {said}")
    finally:
        await _forget(peer, again)
        for one in (publisher, client, again):
            one.drop()
    return found


async def first_copy_lost(peer: Peer) -> Findings:
    """A publisher's first copy was lost on a dead path: the only one that the broker gets bears DUP (MQTT 3.1.1 4.4)."""
    found = Findings()
    publisher = ProbeClient(peer, "dup-publisher")
    subscribers = [ProbeClient(peer, f"dup-{qos}") for qos in (0, 1)]
    topic = peer.topic("dup")
    try:
        await publisher.connect(clean=True)
        for qos, subscriber in enumerate(subscribers):
            await subscriber.connect(clean=True)
            await subscriber.subscribe(topic, qos)
        publisher.publish(topic, b"m", 1, dup=True)
        await publisher.settled()
        for qos, subscriber in enumerate(subscribers):
            came = await subscriber.quiet()
            fate = "does not come" if not came else f"comes with DUP {int(came[0].dup)}" if qos else "comes"
            found.notes.append(f"published with DUP alone: {fate} to a subscriber with QoS {qos}")
    finally:
        for one in (publisher, *subscribers):
            one.drop()
    return found


async def clean_disconnect(peer: Peer) -> Findings:
    """A session with clean session false, DISCONNECT, one message, and back again; also a retained message."""
    found = Findings()
    publisher = ProbeClient(peer, "disconnect-publisher")
    client = ProbeClient(peer, "disconnect")
    again = ProbeClient(peer, "disconnect")
    reader = ProbeClient(peer, "retained")
    topic, kept = peer.topic("disconnect"), peer.topic("retained")
    try:
        await publisher.connect(clean=True)
        await client.connect()
        await client.subscribe(topic, 1)
        await client.disconnect()
        await asyncio.sleep(0.3)
        publisher.publish(topic, b"m1")
        publisher.publish(kept, b"r1", retain=True)
        await publisher.settled()
        connack = await again.connect()
        came = names(await again.quiet())
        found.seen["discards_after_disconnect"] = not connack.session_present
        fate = "came" if came else "was lost"
        found.notes.append(f"after DISCONNECT: session present {int(connack.session_present)}, the message meanwhile {fate}")
        await reader.connect(clean=True)
        await reader.subscribe(kept, 1)
        retained = [packet.retain for packet in await reader.quiet()]
        found.notes.append("retained messages: " + ("yes" if retained == [True] else f"seen {retained}"))
    finally:
        publisher.publish(kept, b"", 0, retain=True)
        await _forget(peer, again)
        for one in (publisher, client, again, reader):
            one.drop()
    return found


async def takeover(peer: Peer) -> Findings:
    """The same client id connects while the old connection is silent and not given up yet."""
    found = Findings()
    publisher = ProbeClient(peer, "takeover-publisher")
    observer = ProbeClient(peer, "takeover-observer")
    old, new, third = (ProbeClient(peer, "takeover") for _ in range(3))
    topic, wills = peer.topic("takeover"), peer.topic("takeover-will")
    try:
        await publisher.connect(clean=True)
        await observer.connect(clean=True)
        await observer.subscribe(wills, 0)
        await old.connect(will=named_will(wills, "will"))
        await old.subscribe(topic, 1)
        old.fall_silent()
        await asyncio.sleep(0.2)
        for i in range(BACKLOG):
            publisher.publish(topic, b"%d" % i)
        await publisher.settled()
        try:
            connack = await new.connect()
        except NoAnswer:
            found.seen["takeover_blocks"] = True
            found.notes.append(f"no CONNACK within {ANSWER_S:.0f} s while the old connection is believed alive")
            for name in ("will_on_takeover", "takeover_deaf", "queued_first_on_takeover"):
                found.not_observed[name] = "no CONNACK for the new connection"
            return found
        found.seen["takeover_blocks"] = False
        found.notes.append(
            f"takeover: CONNACK after {new.connack_s * 1e3:.1f} ms, session present {int(connack.session_present)}"
        )
        resent = await new.quiet()
        _judge_order(found, resent)
        publisher.publish(topic, b"after")
        await publisher.settled()
        came = names(await new.quiet(2 * QUIET_S))
        found.seen["takeover_deaf"] = "after" not in came
        found.seen["will_on_takeover"] = bool(observer.published)
        if "after" not in came:
            found.notes.append("after a takeover the new connection " + ("is closed" if new.closed else "stays and gets nothing"))
            new.drop()
            await asyncio.sleep(0.3)
            await third.connect()
            found.notes.append(f"on the next connection come {len(await third.quiet())} of {BACKLOG + 1}")
    finally:
        await _forget(peer, third)
        for one in (publisher, observer, old, new, third):
            one.drop()
    return found


def _judge_order(found: Findings, resent: list[Publish]) -> None:
    """Whether what was in flight on the old connection (it bears DUP) or what was queued comes first."""
    order = [int(name) for name in names(resent)]
    twice = len(order) - len(set(order))
    found.notes.append(
        f"{len(set(order))} of {BACKLOG} come on the new connection" + (f", {twice} of them twice" if twice else "")
    )
    flags = [packet.dup for packet in resent]
    if not any(flags) or all(flags):
        found.not_observed["queued_first_on_takeover"] = "what was in flight and what was queued look the same"
    else:
        found.seen["queued_first_on_takeover"] = not flags[0]


def _by_name(packets: list[Publish]) -> dict[str, Publish]:
    return dict(zip(names(packets), packets, strict=True))


async def _forget(peer: Peer, client: ProbeClient) -> None:
    """Have the broker throw the session away."""
    await forget(peer, client.client_id.removeprefix(f"probe-{peer.run}-"))


async def forget(peer: Peer, name: str) -> None:
    """Connect once more with clean session: nothing of the probing stays in the broker."""
    client = ProbeClient(peer, name)
    try:
        await client.connect(clean=True, within_s=2.0)
        await client.disconnect()
    except NoAnswer:
        client.drop()
