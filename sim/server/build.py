"""From the settings of the server side and the faults of a scenario to a ServerTimeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sim.server.config import Balancer, Fault, Nodes, Store
from sim.server.timeline import Change, Cut, Down, ServerEvent, ServerTimeline, Span
from sim.streams import Stream

#: How long a fault lasts where it does not say (docs/faults.md): our choice. A failover takes what the store's settings say, a
#: certificate is expired to the end.
LASTS_S = {
    "node_crash": 30.0,
    "rolling_upgrade": 30.0,
    "store_crash": 10.0,
    "balancer_change": 0.0,
    "dns_outage": 60.0,
    "dns_stale": 300.0,
    "api_errors": 60.0,
    "certificate_expiry": math.inf,
    "tower_outage": 120.0,
    "region_outage": 120.0,
}
#: Faults of the network, which are the drive's.
NETWORK_FAULTS = ("tower_outage", "region_outage", "nat_rebind")
#: What a crash of Redis' host loses, by `aof` (Redis: appendfsync).
AOF_LOSS_S = {"always": 0.0, "everysec": 1.0, "no": 30.0}
NOBODY = -1  # in place of a vehicle's number: these draws are the same for all vehicles


@dataclass(frozen=True, slots=True)
class Key:
    """The address of the draws of a replication. `fixed`: nothing periodic is drawn, as with `phases: fixed`.

    `started_s`: when the nodes were started, where that is known: their saves are counted from there. None: at any time before.
    """

    seed: int
    replication: int
    fixed: bool = False
    started_s: float | None = None

    def stream(self, purpose: str) -> Stream:
        return Stream(self.seed, self.replication, NOBODY, "server/" + purpose)

    def phase(self, purpose: str, index: int) -> float:
        """In (0, 1]: where in its period something begins."""
        return 1.0 if self.fixed else self.stream(purpose).uniform(index)


def instants(faults: Sequence[Fault], number: int, end_s: float, key: Key) -> list[float]:
    """When fault `number` of the list happens, in s, before `end_s`. Simplification: those at random are independent."""
    fault = faults[number]
    if fault.at_s is not None:
        return [fault.at_s] if fault.at_s < end_s else []
    assert fault.per_hour is not None
    draws, mean_s = key.stream(f"fault/{number}"), 3600.0 / fault.per_hour
    found: list[float] = []
    at_s = draws.exponential(0, mean_s)
    while at_s < end_s:
        found.append(round(at_s, 9))
        at_s += draws.exponential(len(found), mean_s)
    return found


def lasts_s(fault: Fault, store: Store) -> float:
    if fault.for_s is not None:
        return fault.for_s
    return store.failover_s if fault.kind == "store_failover" else LASTS_S[fault.kind]


def build_server_timeline(
    nodes: Nodes, balancer: Balancer | None, store: Store, faults: Sequence[Fault], end_s: float, key: Key
) -> ServerTimeline:
    """The faults of the server side in a drive of `end_s`; those of the network are the drive's."""
    health = _Health(balancer, key)
    downs: list[Down] = []
    cuts: list[Cut] = []
    outages: list[tuple[float, float, float]] = []  # of the store: start, end, what was written so long before is lost
    spans: dict[str, list[Span]] = {"dns_outage": [], "dns_stale": [], "api_errors": [], "certificate_expiry": []}
    events: list[ServerEvent] = []
    for number, fault in enumerate(faults):
        silent, length_s = fault.how == "host", lasts_s(fault, store) if fault.kind != "nat_rebind" else 0.0
        how = "host" if silent else "process"
        for count, at_s in enumerate(instants(faults, number, end_s, key)):
            until_s = at_s + length_s
            if fault.kind == "node_crash":
                node = _node(nodes, fault, number, count, key)
                downs.append(Down(node, at_s, until_s, silent, math.inf, math.inf))
                events.append(ServerEvent("node_crash", at_s, until_s, nodes.names[node], cause=f"{how} crash"))
            elif fault.kind == "rolling_upgrade":
                downs += _upgrade(len(nodes.names), balancer, at_s, length_s, health)
            elif fault.kind in ("store_failover", "store_crash"):
                lag_s = store.replication_lag_s if fault.kind == "store_failover" else AOF_LOSS_S[store.aof] if silent else 0.0
                outages.append((at_s, until_s, lag_s))
                cause = f"what was written in the {lag_s:g} s before is lost"
                events.append(ServerEvent(fault.kind, at_s, until_s, cause=cause))
            elif fault.kind == "balancer_change":
                cuts.append(Cut(at_s, until_s, silent))
                events.append(ServerEvent(fault.kind, at_s, until_s, cause="flows forgotten" if silent else "connections closed"))
            elif fault.kind in spans:
                share = 1.0 if fault.error_share is None else fault.error_share
                spans[fault.kind].append(Span(at_s, until_s, share, fault.how or "", fault.address or ""))
                events.append(ServerEvent(fault.kind, at_s, until_s, after=fault.address or ""))
    found = health.noticed(_merged(downs))
    events += [
        ServerEvent("node_upgrade", down.start_s, down.end_s, nodes.names[down.node], cause="drained and restarted")
        for down in found
        if down.orderly
    ]
    return ServerTimeline(
        downs=tuple(found),
        cuts=tuple(sorted(cuts, key=lambda cut: cut.at_s)),
        changes=tuple(sorted(_changes(found, cuts, outages, store, key))),
        dns_outages=_rising(spans["dns_outage"]),
        dns_stale=_rising(spans["dns_stale"]),
        api_errors=_rising(spans["api_errors"]),
        expired=_rising(spans["certificate_expiry"]),
        events=tuple(sorted(events, key=lambda event: (event.start_s, event.kind, event.before))),
    )


def tower_outages(faults: Sequence[Fault], store: Store, end_s: float, key: Key) -> list[tuple[float, float, str, str]]:
    """(start, end, tower, gateway) of each outage in a drive of `end_s`; one of the names is empty."""
    found = []
    for number, fault in enumerate(faults):
        if fault.kind in ("tower_outage", "region_outage"):
            for at_s in instants(faults, number, end_s, key):
                found.append((at_s, at_s + lasts_s(fault, store), fault.tower or "", fault.gateway or ""))
    return sorted(found)


def nat_rebinds(faults: Sequence[Fault], end_s: float, key: Key) -> list[float]:
    """When the carrier's NAT forgets its mappings."""
    return [
        at_s for number, fault in enumerate(faults) if fault.kind == "nat_rebind" for at_s in instants(faults, number, end_s, key)
    ]


def _rising(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s)))


def _node(nodes: Nodes, fault: Fault, number: int, count: int, key: Key) -> int:
    if fault.node is not None:
        return nodes.names.index(fault.node)
    return int(key.stream(f"fault/{number}/node").uniform(count) * len(nodes.names))


def _upgrade(n: int, balancer: Balancer | None, at_s: float, length_s: float, health: _Health) -> list[Down]:
    """One node after the other: drained, restarted, and the next one when it gets connections again."""
    found = []
    for node in range(n):
        start_s = at_s + (balancer.drain_s if balancer is not None else 0.0)
        until_s = health.back_s(node, start_s + length_s)
        found.append(Down(node, start_s, start_s + length_s, False, at_s if balancer is not None else math.inf, until_s, True))
        at_s = until_s if math.isfinite(until_s) else start_s + length_s
    return found


def _merged(downs: list[Down]) -> list[Down]:
    """Outages of a node that overlap are one, of the kind of the first."""
    found: list[Down] = []
    for down in sorted(downs, key=lambda each: (each.node, each.start_s, each.end_s)):
        last = found[-1] if found else None
        if last is not None and last.node == down.node and down.start_s <= last.end_s:
            found[-1] = replace(
                last,
                end_s=max(last.end_s, down.end_s),
                avoided_from_s=min(last.avoided_from_s, down.avoided_from_s),
            )
        else:
            found.append(down)
    return found


class _Health:
    """The balancer's health checks. Simplification: a check takes no time, and a node that runs passes it."""

    def __init__(self, balancer: Balancer | None, key: Key) -> None:
        self._balancer = balancer
        self._key = key

    def _check_s(self, node: int, at_s: float, number: int) -> float:
        """The check `number` (from 1) of those that come at `at_s` or later."""
        assert self._balancer is not None
        period_s = self._balancer.health_interval_s
        phase_s = period_s * self._key.phase("health", node)
        return (math.ceil((at_s - phase_s) / period_s) + number - 1) * period_s + phase_s

    def back_s(self, node: int, end_s: float) -> float:
        """When a node that runs again at `end_s`, and was taken out, gets connections again."""
        if self._balancer is None or end_s == math.inf:
            return math.inf
        return self._check_s(node, end_s, self._balancer.healthy_after)

    def noticed(self, downs: list[Down]) -> list[Down]:
        """The outages with the spans in which the balancer avoids their node, in the order of time."""
        found: list[Down] = []
        for down in sorted(downs, key=lambda each: (each.node, -each.start_s)):
            later = found[-1] if found and found[-1].node == down.node else None
            found.append(self._noticed(down, later))
        return sorted(found, key=lambda each: (each.start_s, each.node))

    def _noticed(self, down: Down, later: Down | None) -> Down:
        if self._balancer is None:
            return replace(down, avoided_from_s=math.inf, avoided_until_s=math.inf)
        from_s = min(down.avoided_from_s, self._check_s(down.node, down.start_s, self._balancer.unhealthy_after))
        if from_s >= down.end_s:
            return replace(down, avoided_from_s=math.inf, avoided_until_s=math.inf)
        until_s = self.back_s(down.node, down.end_s)
        if later is not None and later.start_s < until_s:
            until_s = (
                max(until_s, later.avoided_until_s)
                if math.isfinite(later.avoided_until_s)
                else self.back_s(down.node, later.end_s)
            )
        return replace(down, avoided_from_s=from_s, avoided_until_s=until_s)


def _changes(
    downs: list[Down], cuts: list[Cut], outages: list[tuple[float, float, float]], store: Store, key: Key
) -> list[tuple[float, Change, int]]:
    found: list[tuple[float, Change, int]] = []
    for down in downs:
        if store.kind == "disk":
            saved_s = down.start_s if down.orderly else _last_save_s(store, down, key)
            if (key.started_s is None or saved_s > key.started_s) and all(
                other.end_s <= saved_s for other in downs if other.node == down.node and other.start_s < down.start_s
            ):
                found.append((saved_s, Change.SAVED, down.node))
        found.append((down.start_s, Change.NODE_FAILED, down.node))
        if down.end_s < math.inf:
            found.append((down.end_s, Change.NODE_STARTED, down.node))
    for start_s, end_s, lag_s in outages:
        found += [(start_s - lag_s, Change.SAVED, -1), (start_s, Change.STORE_FAILED, -1)]
        # another outage may have begun meanwhile
        if not any(other[0] <= end_s < other[1] for other in outages) and end_s < math.inf:
            found.append((end_s, Change.STORE_RECOVERED, -1))
    found += [(cut.at_s, Change.BALANCER_CHANGED, -1) for cut in cuts if not cut.silent]
    return list(dict.fromkeys(found))


def _last_save_s(store: Store, down: Down, key: Key) -> float:
    """The last save before a crash: every `save_interval_s`, or at every change."""
    period_s = store.save_interval_s or 0.0
    if period_s <= 0.0:
        return down.start_s
    phase_s = period_s * key.phase("save", down.node) if key.started_s is None else key.started_s
    return math.floor((down.start_s - phase_s) / period_s) * period_s + phase_s
