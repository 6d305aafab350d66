"""What is wrong with the settings of the server side and the faults beyond the bounds of single values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from sim.checking import Check, found
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.settings import unit_of

Path = tuple[str | int, ...]

#: kind -> the keys that mean something for it, beside `kind`, `at` and `per_hour`.
TAKES: dict[str, tuple[str, ...]] = {
    "node_crash": ("node", "how", "for"),
    "rolling_upgrade": ("for",),
    "store_failover": ("for",),
    "store_crash": ("how", "for"),
    "balancer_change": ("how", "for"),
    "dns_outage": ("for",),
    "dns_stale": ("address", "how", "for"),
    "api_errors": ("error", "how", "for"),
    "certificate_expiry": ("for",),
    "tower_outage": ("tower", "for"),
    "region_outage": ("gateway", "for"),
    "nat_rebind": (),
}
NEEDS = {"dns_stale": "address", "tower_outage": "tower", "region_outage": "gateway"}


#: (path below `server` or `faults`, what is wrong, whether the key is meant rather than its value)
Mistake = tuple[Path, str, bool]
Mistakes: TypeAlias = "Check[Mistake]"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What faults can happen to. Each may be WRONG (sim.checking), as the settings may."""

    nodes: Nodes
    balancer: Balancer | None
    store: Store
    tls: bool
    nat: bool
    towers: tuple[str, ...]
    gateways: tuple[str, ...]
    drive_s: float | None  # None: not known


def check_server(nodes: Nodes, balancer: Balancer | None, store: Store) -> Iterator[Mistake]:
    """What does not fit together below `server`."""
    return found(_check_server(nodes, balancer, store))


def _check_server(nodes: Nodes, balancer: Balancer | None, store: Store) -> Mistakes:
    yield _check_names(nodes)
    yield _check_cluster(nodes, balancer)
    yield _check_replicas(nodes, store)


def _check_names(nodes: Nodes) -> Mistakes:
    if not nodes.names:
        yield ("nodes", "names"), "a cluster of no nodes, expected at least one name, such as [broker-1]", False
    seen: set[str] = set()
    for index, name in enumerate(nodes.names):
        yield _check_name(("nodes", "names", index), name, seen)


def _check_name(path: Path, name: str, seen: set[str]) -> Mistakes:
    if name in seen:
        yield path, f"the name {name!r} is there already, each node needs its own", False
    if not name.strip() or not name.isprintable():
        yield path, "expected a name of printable characters", False
    seen.add(name)


def _check_cluster(nodes: Nodes, balancer: Balancer | None) -> Mistakes:
    if len(nodes.names) > 1 and balancer is None:
        text = f"{len(nodes.names)} nodes at one address need server.balancer, such as balancer: {{}}"
        yield ("nodes", "names"), text, False


def _check_replicas(nodes: Nodes, store: Store) -> Mistakes:
    if store.kind == "replicated" and len(nodes.names) == 1:
        text = "replicated to nowhere: there is one node, expected several in server.nodes.names"
        yield ("store", "kind"), text, False


def check_faults(faults: Sequence[Fault], at: Surroundings) -> Iterator[Mistake]:
    """What is wrong with faults, at these surroundings."""
    return found(_check_faults(faults, at))


def _check_faults(faults: Sequence[Fault], at: Surroundings) -> Mistakes:
    for index, fault in enumerate(faults):
        yield _check_when(index, fault)
        yield _check_end(index, fault, at)
        yield _check_keys(index, fault)
        yield _check_need(index, fault)
        yield _check_part(index, fault, at)


def _check_when(index: int, fault: Fault) -> Mistakes:
    if (fault.at_s is None) == (fault.per_hour is None):
        given = "none" if fault.at_s is None else "both"
        yield (index,), f"expected exactly one of at and per_hour, not {given}", False


def _check_end(index: int, fault: Fault, at: Surroundings) -> Mistakes:
    if fault.at_s is not None and at.drive_s is not None and fault.at_s >= at.drive_s:
        yield (index, "at"), f"is after the end of the drive ({at.drive_s:g} s), it would never happen", False


def _check_keys(index: int, fault: Fault) -> Mistakes:
    takes = TAKES[fault.kind]
    for field in fields(fault):
        key = unit_of(field.name)[0]
        if key not in ("kind", "at", "per_hour", *takes) and getattr(fault, field.name) is not None:
            allowed = f"at, per_hour{''.join(', ' + each for each in takes)}"
            yield (index, key), f"means nothing for {fault.kind}, allowed: {allowed}", True


def _check_need(index: int, fault: Fault) -> Mistakes:
    need = NEEDS.get(fault.kind)
    if need is not None and getattr(fault, need) is None:
        yield (index, need), f"required for {fault.kind}", False


def _check_part(index: int, fault: Fault, at: Surroundings) -> Mistakes:
    for key, text in _missing_part(fault, at):
        yield (index, key), text, False


def _missing_part(fault: Fault, at: Surroundings) -> Iterator[tuple[str, str]]:
    """A fault of something that is not there: (key, what is wrong)."""
    kind = fault.kind
    if kind == "node_crash":
        if fault.node is not None and fault.node not in at.nodes.names:
            yield "node", f"no node {fault.node!r}, expected one of {', '.join(at.nodes.names)}"
    elif kind in ("store_failover", "store_crash"):
        if at.store.kind != "redis":
            yield "kind", f"{kind} is for server.store redis, not {at.store.kind}"
        elif kind == "store_failover" and at.store.replicas == 0:
            yield "kind", "a failover to nowhere: server.store.replicas is 0, expected at least 1, or store_crash"
    elif kind == "balancer_change":
        if at.balancer is None:
            yield "kind", "there is no server.balancer to change"
    elif kind == "certificate_expiry":
        if not at.tls:
            yield "kind", "server.tls is none, there is no certificate to expire"
    elif kind == "nat_rebind":
        if not at.nat:
            yield "kind", "network.access is not cgnat, there is no NAT to rebind"
    elif kind == "tower_outage":
        yield from _missing_place("tower", fault.tower, at.towers)
    elif kind == "region_outage":
        yield from _missing_place("gateway", fault.gateway, at.gateways)


def _missing_place(key: str, name: str | None, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if name is not None and name not in known:
        there = f"expected one of {', '.join(dict.fromkeys(known))}" if known else f"the drive has no {key}"
        yield key, f"no {key} {name!r}, {there}"
