"""When the broker gives up a client that has fallen silent (MQTT 3.1.1 3.1.2.10), and by what rule.

Clients connect at different instants, ping for different times and fall silent; each one's will tells when the broker has
noticed. The rule is the one that explains every instant; where none does, nothing is said.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sim.live.probe.client import NoAnswer, Peer, ProbeClient, named_will, names
from sim.live.probe.findings import Findings
from sim.protocols.mqtt_packets import Publish

#: (keep alive, CONNECT at, last packet this long after it), in s; no two of the same phase
SCRIPT = (
    (2, 0.0, 0.0), (2, 0.3, 1.4), (2, 0.7, 3.4), (2, 1.1, 4.5), (2, 1.6, 5.4), (2, 2.0, 7.3), (2, 2.3, 8.5), (2, 2.9, 11.2),
    (4, 0.1, 0.0), (4, 0.9, 2.5), (4, 1.7, 7.3), (4, 2.6, 9.5),
)  # fmt: skip
WATCHED_S = 34.0  # 3 K and a tick of 10 s after the last packet of each
_PING_S = 0.9  # below K/2 of the shortest keep alive
_NEAR_S = 0.4  # how exactly an instant is known: the broker's loop, the network, this machine


@dataclass(frozen=True, slots=True)
class Noticed:
    """One client: its keep alive, and the instants of CONNECT, of its last packet and of its will."""

    keep_alive_s: int
    connected_s: float
    last_s: float
    will_s: float


async def detection(peer: Peer) -> Findings:
    """Run the script and find the rule."""
    observer = ProbeClient(peer, "detection-observer")
    clients = [ProbeClient(peer, f"silent{i}") for i in range(len(SCRIPT))]
    try:
        await observer.connect(clean=True, keep_alive_s=0)
        await observer.subscribe(peer.topic("will/#"), 0)
        await asyncio.gather(*(_live_and_die(client, i) for i, client in enumerate(clients)))
        await _watch(observer, len(SCRIPT))
    finally:
        for client in (*clients, observer):
            client.drop()
    wills = {names([packet])[0]: at for at, packet in observer.received if isinstance(packet, Publish)}
    noticed = [
        Noticed(keep_alive_s, client.connected_s, client.sent_s, wills[str(i)])
        for i, ((keep_alive_s, _at, _last), client) in enumerate(zip(SCRIPT, clients, strict=True))
        if str(i) in wills
    ]
    return judge(noticed, len(SCRIPT))


async def _live_and_die(client: ProbeClient, number: int) -> None:
    keep_alive_s, at_s, last_s = SCRIPT[number]
    await asyncio.sleep(at_s)
    connack = await client.connect(
        clean=True, keep_alive_s=keep_alive_s, will=named_will(client.peer.topic(f"will/{number}"), str(number))
    )
    if connack.code:
        raise NoAnswer(f"CONNECT refused with {connack.code}")
    loop = asyncio.get_running_loop()
    ends_s = client.connected_s + last_s
    while last_s and loop.time() < ends_s:
        await asyncio.sleep(min(_PING_S, max(0.0, ends_s - loop.time())))
        client.ping()
    client.fall_silent()


async def _watch(observer: ProbeClient, number: int) -> None:
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + WATCHED_S - max(at + last for _, at, last in SCRIPT)
    while len(observer.published) < number and loop.time() < ends_s:
        await asyncio.sleep(0.1)


def judge(noticed: Sequence[Noticed], clients: int) -> Findings:
    """The rule that explains all instants."""
    found = Findings()
    after = ", ".join(f"K={one.keep_alive_s}: {one.will_s - one.last_s:.2f}" for one in noticed)
    if not noticed:
        found.seen["keep_alive_rule"] = "never"
        found.notes.append(f"none of {clients} silent clients (K=2 and 4 s) was given up within {WATCHED_S:.0f} s")
        return found
    found.notes.append(f"will this long after the last packet, s: {after}")
    if len(noticed) < clients:
        found.not_observed["keep_alive_rule"] = f"only {len(noticed)} of {clients} silent clients were given up"
        return found
    for rule in (_exact, _from_connect, _at_ticks):
        values = rule(noticed)
        if values is not None:
            found.seen |= values
            if "keep_alive_factor" not in values:
                found.not_observed["keep_alive_factor"] = "hidden by the ticks"
            return found
    found.not_observed["keep_alive_rule"] = "no known rule explains the instants in the notes"
    return found


def _exact(noticed: Sequence[Noticed]) -> dict[str, object] | None:
    """factor x K after the last packet."""
    factor = _factor([(one.will_s - one.last_s) / one.keep_alive_s for one in noticed])
    if all(abs(one.will_s - one.last_s - factor * one.keep_alive_s) <= _NEAR_S for one in noticed):
        return {"keep_alive_rule": "exact", "keep_alive_factor": factor}
    return None


def _from_connect(noticed: Sequence[Noticed]) -> dict[str, object] | None:
    """A check every factor x K from CONNECT, given up when that many in a row find nothing new."""
    for factor, checks in itertools.product((0.5, 0.75, 1.0, 1.5, 2.0), (1, 2, 3)):
        if all(_explained(one, factor * one.keep_alive_s, checks) for one in noticed):
            return {"keep_alive_rule": "tick_from_connect", "keep_alive_factor": factor, "keep_alive_checks": checks}
    return None


def _explained(one: Noticed, period_s: float, checks: int) -> bool:
    periods = int((one.last_s - one.connected_s) / period_s + 0.01) + 1 + checks
    return abs(one.will_s - one.connected_s - periods * period_s) <= _NEAR_S


def _at_ticks(noticed: Sequence[Noticed]) -> dict[str, object] | None:
    """At the broker's own ticks: the instants come in groups that are whole ticks apart, each the first tick after 1.5 K."""
    groups: list[float] = []
    for at in sorted(one.will_s for one in noticed):
        if not groups or at - groups[-1] > _NEAR_S:
            groups.append(at)
    if len(groups) < 2:
        return None
    gaps = [b - a for a, b in itertools.pairwise(groups)]
    tick = min(gaps)
    if tick < 1.0 or any(abs(gap - round(gap / tick) * tick) > _NEAR_S for gap in gaps):
        return None
    # each at the first tick after factor x K: that bounds the factor, and must leave one
    most = min((one.will_s - one.last_s + _NEAR_S) / one.keep_alive_s for one in noticed)
    least = max((one.will_s - one.last_s - tick - _NEAR_S) / one.keep_alive_s for one in noticed)
    if least > most:
        return None
    whole = round(tick * 2) / 2
    return {"keep_alive_rule": "tick_after", "keep_alive_tick_s": whole if abs(whole - tick) < 0.2 else round(tick, 2)}


def _factor(ratios: Sequence[float]) -> float:
    middle = sorted(ratios)[len(ratios) // 2]
    return round(middle * 20) / 20
