"""What the evidence of a fleet can carry: lines for the terminal, metrics.json and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.measure.support import few_drives, least_drives, run_warnings

#: Simulated vehicles: in a queue with room for fewer it is one more or less that fills it.
LEAST_IN_A_QUEUE = 10


def fleet_warnings(
    manifest: Mapping[str, Any], objectives: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Few replications, few simulated vehicles, and what a run of any kind says."""
    n = int(manifest["replications"])
    few = few_drives(n, what="replication") if n < least_drives() else None  # said in words of its own
    others = [line for line in run_warnings(n, objectives, comparisons, "replication") if line != few]
    return [*_few_replications(n), *_few_simulated(manifest), *others]


def counts_note(fleet: Mapping[str, Any]) -> str:
    """What the counts of metrics.json are of."""
    n, each = int(fleet["simulated"]), 1.0 / float(fleet["scale"])
    return (
        "what `fleets` and metrics named fleet.* count is of the whole fleet; every other count or sum (created, delivered, lost,"
        f" reconnections, attempts, bytes, ...) is of the {n:,} simulated vehicles, each of which stands for {each:g}; shares and"
        " times hold for both"
    )


def _few_replications(n: int) -> list[str]:
    least = least_drives()
    if n == 1:
        return [
            f"one replication: values without intervals, and no verdict; what differs here may be chance, {least} replications"
            " are the least that can tell strategies apart"
        ]
    if n < least:
        return [f"{n} replications: intervals are narrow for lack of evidence, and no verdict; {least} are the least"]
    return []


def _few_simulated(manifest: Mapping[str, Any]) -> list[str]:
    """Where a queue of the nodes is so short of simulated vehicles that chance fills it."""
    fleet, nodes = manifest["fleet"], manifest["settings"]["server"]["nodes"]
    scale, vehicles = float(fleet["scale"]), int(fleet["vehicles"])
    if "broker" not in fleet["shared"] or scale == 1.0:
        return []
    shortest = min(float(nodes["backlog"]), float(nodes["connect_queue"] or math.inf))
    if round(shortest * scale, 6) >= LEAST_IN_A_QUEUE:
        return []
    wanted = min(vehicles, math.ceil(LEAST_IN_A_QUEUE / shortest * vehicles))
    return [
        f"few are simulated: a queue of {shortest:,.0f} at a node is {shortest * scale:.2g} simulated vehicles long, so that"
        f" chance fills it, and refusals and peaks are coarse; from {wanted:,} simulated on it holds {LEAST_IN_A_QUEUE}"
    ]
