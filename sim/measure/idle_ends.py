"""When a NAT or a balancer forgot a vehicle's connection over which nothing had been sent for too long: a path that died.

It is in no table of disruptions, since those are the drive's, the same for every strategy, and this is a strategy's own doing:
it follows from `path_end_s` of its connections, where the vehicle kept its address and nothing else happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.measure.attempt_history import Attempt
from sim.measure.drive_path import DrivePath, Event

#: Whoever forgot it: the carrier's NAT, or the balancer before the broker.
IDLE_KINDS = ("nat_idle", "balancer_idle")
_SAME_S = 1e-6  # records are compared in microseconds


def idle_kind(manifest: Mapping[str, Any]) -> str:
    """Who forgets first in this run: the one with the shorter idle timeout; "" where nobody does."""
    settings: Mapping[str, Any] = manifest.get("settings", {})
    network: Mapping[str, Any] = settings.get("drive", {}).get("network") or {}
    server: Mapping[str, Any] = settings.get("server") or {}
    nat = math.inf
    if manifest.get("access") == "cgnat":
        nat = float((network.get("cgnat") or {}).get("idle_timeout_s", math.inf))
    balancer = float((server.get("balancer") or {}).get("idle_timeout_s", math.inf))
    if math.isinf(min(nat, balancer)):
        return ""
    return IDLE_KINDS[0] if nat <= balancer else IDLE_KINDS[1]


def idle_ends(kind: str, attempts: Sequence[Attempt], path: DrivePath, events: Sequence[Event]) -> list[Event]:
    """The instants at which a standing MQTT connection was forgotten so, as events of `kind`. `events`: the disruptions."""
    if not kind:
        return []
    found = []
    for one in attempts:
        ended_s = one.path_end_s
        if one.purpose != "mqtt" or ended_s is None or one.ready_s is None or one.failed or ended_s < one.ready_s:
            continue
        explained = any(abs(event.start_s - ended_s) <= _SAME_S for event in events)
        if not explained and path.address_at(ended_s) == one.address:
            found.append(Event(kind, ended_s, ended_s))
    return found
