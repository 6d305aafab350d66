"""All exchanges, in an order in which they do not disturb each other, in bounded time."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Callable

from sim.live.probe.client import NoAnswer, Peer, ProbeClient
from sim.live.probe.detection import detection
from sim.live.probe.findings import Findings
from sim.live.probe.limits import queue, window
from sim.live.probe.sessions import clean_disconnect, fates, first_copy_lost, redelivery, takeover
from sim.live.probe.version5 import version5

Exchange = Callable[[Peer], Awaitable[Findings]]

#: exchange, what it is called on the terminal, the fields that stay unknown where it fails
BESIDE: tuple[tuple[Exchange, str, tuple[str, ...]], ...] = (
    (detection, "half-open detection", ("keep_alive_rule", "keep_alive_factor", "keep_alive_tick_s")),
)
ONE_BY_ONE: tuple[tuple[Exchange, str, tuple[str, ...]], ...] = (
    (version5, "MQTT 5", ("mqtt5", "receive_maximum", "topic_alias_maximum", "takeover_reason", "packet_limit_bytes")),
    (redelivery, "redelivery", ("redeliver_inflight", "dup_on_resume", "renumber_on_resume", "qos_max", "raises_qos")),
    (fates, "QoS fates", ("queue_qos0",)),
    (first_copy_lost, "publisher's DUP", ()),
    (clean_disconnect, "clean disconnect, retained", ("discards_after_disconnect",)),
    (takeover, "takeover", ("takeover_blocks", "takeover_deaf", "will_on_takeover", "queued_first_on_takeover")),
)
LAST: tuple[tuple[Exchange, str, tuple[str, ...]], ...] = (  # they load the broker, and would move the instants of the others
    (window, "window", ("inflight_limit", "window_holds_qos0")),
    (queue, "queue limit", ("queue_limit", "queue_drop", "resume_batch")),
)
EXCHANGE_AT_MOST_S = 60.0
ALTOGETHER_AT_MOST_S = 130.0
#: what no exchange of bounded length can show
NEVER_OBSERVED = {
    "session_expiry_default_s": "would take as long as the session lives",
    "connack_delay_s": "cannot be told from the network's delay",
}


def new_run() -> str:
    """A name for client ids and topics that no other probing has."""
    return os.urandom(4).hex()


async def probe(peer: Peer, say: Callable[[str], None] = lambda _text: None) -> Findings:
    """Run all exchanges. Raises NoAnswer where the broker accepts no client at all."""
    found = Findings(not_observed=dict(NEVER_OBSERVED))
    await _first_contact(peer, found)
    try:
        async with asyncio.timeout(ALTOGETHER_AT_MOST_S):
            side = [asyncio.create_task(_carried_out(peer, row, say)) for row in BESIDE]
            try:
                for row in ONE_BY_ONE:
                    found.add(await _carried_out(peer, row, say))
                for task in side:
                    found.add(await task)
            finally:
                for task in side:
                    task.cancel()
            for row in LAST:
                found.add(await _carried_out(peer, row, say))
    except TimeoutError:
        found.notes.append(f"stopped after {ALTOGETHER_AT_MOST_S:.0f} s")
        for _exchange, name, fields in (*BESIDE, *ONE_BY_ONE, *LAST):
            for field in fields:
                if field not in found.seen and field not in found.at_least:
                    found.not_observed.setdefault(field, f"{name}: there was no time left")
    return found


async def _first_contact(peer: Peer, found: Findings) -> None:
    """A plain client must be accepted; also how long that takes, and what the broker says it is."""
    delays = []
    for i in range(5):
        client = ProbeClient(peer, f"hello{i}")
        try:
            connack = await client.connect(clean=True)
            if connack.code:
                raise NoAnswer(f"CONNECT refused with return code {connack.code}")
            delays.append((client.tcp_s, client.connack_s))
            if i == 0:
                await client.subscribe("$SYS/broker/version", 0)
                said = await client.quiet(0.3, 1.0)
                if said:
                    found.notes.append(f"the broker says it is {bytes(said[0].message.body or b'').decode(errors='replace')}")
            await client.disconnect()
        finally:
            client.drop()
    tcp_s, connack_s = (statistics.median(one) for one in zip(*delays, strict=True))
    found.notes.append(
        f"TCP handshake {tcp_s * 1e3:.1f} ms, CONNECT to CONNACK {connack_s * 1e3:.1f} ms (medians of {len(delays)})"
    )


async def _carried_out(peer: Peer, row: tuple[Exchange, str, tuple[str, ...]], say: Callable[[str], None]) -> Findings:
    """One exchange, whose failure is a finding too."""
    exchange, name, fields = row
    say(f"{name} ...")
    try:
        async with asyncio.timeout(EXCHANGE_AT_MOST_S):
            found = await exchange(peer)
    except (NoAnswer, OSError) as error:
        found = Findings(not_observed=dict.fromkeys(fields, f"{name}: {error}"))
    except TimeoutError:
        found = Findings(not_observed=dict.fromkeys(fields, f"{name}: not done within {EXCHANGE_AT_MOST_S:.0f} s"))
    return found
