"""What is wrong with the settings of the server side and the faults beyond the bounds of single values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What faults can happen to."""

    nodes: Nodes
    balancer: Balancer | None
    store: Store
    tls: bool
    nat: bool
    towers: tuple[str, ...]
    gateways: tuple[str, ...]
    drive_s: float | None  # None: not known


def check_server(nodes: Nodes, balancer: Balancer | None, store: Store) -> list[tuple[Path, str]]:
    """(path below `server`, what is wrong)."""
    found: list[tuple[Path, str]] = []
    names: Path = ("nodes", "names")
    if not nodes.names:
        found.append((names, "a cluster of no nodes, expected at least one name, such as [broker-1]"))
    for index, name in enumerate(nodes.names):
        if name in nodes.names[:index]:
            found.append(((*names, index), f"the name {name!r} is there already, each node needs its own"))
        if not name.strip() or not name.isprintable():
            found.append(((*names, index), "expected a name of printable characters"))
    if len(nodes.names) > 1 and balancer is None:
        found.append((names, f"{len(nodes.names)} nodes at one address need server.balancer, such as balancer: {{}}"))
    if store.kind == "replicated" and len(nodes.names) == 1:
        found.append((("store", "kind"), "replicated to nowhere: there is one node, expected several in server.nodes.names"))
    return found


def check_faults(faults: Sequence[Fault], at: Surroundings) -> list[tuple[Path, str, bool]]:
    """(path below `faults`, what is wrong, whether the key is meant rather than its value)."""
    found: list[tuple[Path, str, bool]] = []
    for index, fault in enumerate(faults):
        found += [((index, *path), text, at_key) for path, text, at_key in _check(fault, at)]
    return found


def _check(fault: Fault, at: Surroundings) -> list[tuple[Path, str, bool]]:
    found: list[tuple[Path, str, bool]] = []
    if (fault.at_s is None) == (fault.per_hour is None):
        given = "none" if fault.at_s is None else "both"
        found.append(((), f"expected exactly one of at and per_hour, not {given}", False))
    takes = TAKES[fault.kind]
    for field in fields(fault):
        key = unit_of(field.name)[0]
        if key not in ("kind", "at", "per_hour", *takes) and getattr(fault, field.name) is not None:
            allowed = f"at, per_hour{''.join(', ' + each for each in takes)}"
            found.append(((key,), f"means nothing for {fault.kind}, allowed: {allowed}", True))
    need = NEEDS.get(fault.kind)
    if need is not None and getattr(fault, need) is None:
        found.append((((need,)), f"required for {fault.kind}", False))
    if fault.at_s is not None and at.drive_s is not None and fault.at_s >= at.drive_s:
        found.append((("at",), f"is after the end of the drive ({at.drive_s:g} s), it would never happen", False))
    found += [(path, text, False) for path, text in _missing_part(fault, at)]
    return found


def _missing_part(fault: Fault, at: Surroundings) -> list[tuple[Path, str]]:
    """A fault of something that is not there."""
    kind = fault.kind
    if fault.node is not None and kind == "node_crash" and fault.node not in at.nodes.names:
        return [(("node",), f"no node {fault.node!r}, expected one of {', '.join(at.nodes.names)}")]
    if kind in ("store_failover", "store_crash") and at.store.kind != "redis":
        return [(("kind",), f"{kind} is for server.store redis, not {at.store.kind}")]
    if kind == "store_failover" and at.store.replicas == 0:
        return [(("kind",), "a failover to nowhere: server.store.replicas is 0, expected at least 1, or store_crash")]
    if kind == "balancer_change" and at.balancer is None:
        return [(("kind",), "there is no server.balancer to change")]
    if kind == "certificate_expiry" and not at.tls:
        return [(("kind",), "server.tls is none, there is no certificate to expire")]
    if kind == "nat_rebind" and not at.nat:
        return [(("kind",), "network.access is not cgnat, there is no NAT to rebind")]
    for key, name, known in (("tower", fault.tower, at.towers), ("gateway", fault.gateway, at.gateways)):
        if name is not None and key in TAKES[kind] and name not in known:
            there = f"expected one of {', '.join(dict.fromkeys(known))}" if known else f"the drive has no {key}"
            return [((key,), f"no {key} {name!r}, {there}")]
    return []
