"""What a fleet met, strategy by strategy, as the figures show it: who is connected, what the nodes do, when each is back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sim.measure.fleet import (
    CELL_STATIONS,
    MIX,
    NODE_STATIONS,
    SATURATED_SHARE,
    Capacity,
    Course,
    Fault,
    Floats,
    Storm,
    busy_share,
    capacity,
    clock_edges,
    connected_over_time,
    course,
    faults_of,
    on_the_road,
    per_second,
    standing,
    worst_storm,
)
from sim.record.read import Run, table_schema
from sim.report.palette import INK, Style, styles

#: What a line of the nodes is called where vehicles with different strategies share them.
TOGETHER = "all together"
#: So many of the vehicles on the road are connected where a fault is over and done with.
REGAINED = 0.95
#: A share of the vehicles on the road says nothing where fewer than this part of the most are.
_FEW = 0.05
#: Nodes that are never busier than this share of a second, and at which nobody waits, have nothing to do with what happens.
_IDLE = 0.1
#: A station holds the fleet up where it is full for more than this share of the time.
_MOST = 0.5


@dataclass(frozen=True)
class FleetRun:
    """A run with a fleet. Courses are those of the first replication, times back are of all of them."""

    run: Run

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run.manifest["fleet"]
        return found

    @property
    def vehicles(self) -> int:
        return int(self.settings["vehicles"])

    @property
    def simulated(self) -> int:
        return int(self.settings["simulated"])

    @property
    def scale(self) -> float:
        """Simulated vehicles for each one of the fleet."""
        return float(self.settings["scale"])

    @property
    def mixed(self) -> bool:
        return bool(self.settings["mix_share"])

    @property
    def replications(self) -> int:
        return int(self.run.manifest["replications"])

    @cached_property
    def strategies(self) -> list[str]:
        """Names in the order of the scenario."""
        return [str(entry["name"]) for entry in self.run.manifest["strategies"]]

    @cached_property
    def looks(self) -> dict[str, Style]:
        """Of each strategy, and of all of them together."""
        return styles(self.strategies) | {TOGETHER: Style(INK, "o", "-", False)}

    @cached_property
    def edges_s(self) -> Floats:
        """Seconds of the clock of the first replication."""
        return clock_edges(self._of(self.run.vehicles, None, 0))

    @cached_property
    def faults(self) -> list[Fault]:
        """Those of the first replication."""
        return faults_of(self.run.disruptions, 0)

    @property
    def nodes(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run.manifest["settings"]["server"]["nodes"]
        return found

    @cached_property
    def load(self) -> pl.DataFrame:
        """The load of nodes and cells; without rows where the vehicles share none."""
        return self.run.table("load") if self.run.has("load") else pl.DataFrame(schema=table_schema("load"))

    @cached_property
    def at_nodes(self) -> pl.DataFrame:
        """The load of the nodes; without rows where the vehicles share none."""
        return self.load.filter(pl.col("station").is_in(NODE_STATIONS))

    @property
    def shares_cells(self) -> bool:
        return "cells" in self.settings["shared"]

    @cached_property
    def capacity(self) -> Capacity | None:
        """What the nodes can do; None where the vehicles share none."""
        return capacity(self.nodes, self.at_nodes, self.scale) if self.at_nodes.height else None

    @property
    def _labels(self) -> dict[str, str]:
        """What a line of what is shared is called -> the name under which its load is recorded."""
        return {TOGETHER: MIX} if self.mixed else {name: name for name in self.strategies}

    @cached_property
    def courses(self) -> dict[str, Course]:
        """Strategy -> what the nodes had to do; in a mix one for all together. Empty where the vehicles share none."""
        if not self.at_nodes.height:
            return {}
        return {
            label: course(self._of(self.at_nodes, name, 0), self.edges_s, self.nodes, self.scale)
            for label, name in self._labels.items()
        }

    @cached_property
    def idle(self) -> bool:
        """Whether the nodes had next to nothing to do: never busy, nobody waited, nobody was refused."""
        return not self.at_nodes["turn_s"].null_count() and all(
            not any(values.any() for values in one.waiting.values()) and all(share.max() <= _IDLE for share in one.busy.values())
            for one in self.courses.values()
        )

    @cached_property
    def air(self) -> dict[str, dict[str, Floats]]:
        """Direction -> strategy -> share of each second in which the busiest cell was taken; empty where they share none."""
        found: dict[str, dict[str, Floats]] = {}
        for direction in CELL_STATIONS:
            rows = self.load.filter(pl.col("station") == direction)
            for label, name in self._labels.items() if rows.height else ():
                cells = self._of(rows, name, 0).partition_by("place")
                shares = [busy_share(cell, self.edges_s) for cell in cells] or [np.zeros(len(self.edges_s) - 1)]
                found.setdefault(direction, {})[label] = np.maximum.reduce(shares)
        return found

    @cached_property
    def connected(self) -> dict[str, Floats]:
        """Strategy -> share of its vehicles on the road that are connected, at each of `edges_s`; nan where few are."""
        found = {}
        for name in self.strategies:
            vehicles = self._of(self.run.vehicles, name, 0)
            road = on_the_road(vehicles, self.edges_s)
            stood = standing(self._of(self.run.connections, name, 0), vehicles)
            many = np.where(road >= max(_FEW * road.max(initial=0.0), 1.0), road, np.nan)
            found[name] = connected_over_time(stood, self.edges_s) / many
        return found

    @cached_property
    def storms(self) -> dict[str, list[Storm]]:
        """Strategy -> the fault that cut off most in each replication in which one did."""
        found: dict[str, list[Storm]] = {}
        for name in self.strategies:
            ones = []
            for number in range(self.replications):
                stood = standing(self._of(self.run.connections, name, number), self._of(self.run.vehicles, name, number))
                ones.append(worst_storm(stood, faults_of(self.run.disruptions, number)))
            found[name] = [one for one in ones if one is not None]
        return found

    def regained_s(self, strategy: str) -> float | None:
        """s from the fault that cut off most until 95 % of those on the road are connected again; None: not in the run.

        Of the first replication, on seconds of the clock.
        """
        fault = next((storm.fault for storm in self.storms[strategy] if storm.fault in self.faults), None)
        if fault is None:
            return None
        share = self.connected[strategy]
        below = np.flatnonzero((self.edges_s >= fault.start_s) & (share < REGAINED))
        again = np.flatnonzero((self.edges_s > self.edges_s[below[0]]) & (share >= REGAINED)) if len(below) else below
        return float(self.edges_s[again[0]]) - fault.start_s if len(again) else None

    def held_up_by(self, strategy: str) -> dict[str, float] | None:
        """Station -> share of the time from the fault to 95 % back in which it was full; those full for most of it.

        The time counts from the end of the fault where 95 % are back after it, and to the last return where
        fewer ever are, the end where nobody is. A
        second in which a SYN was dropped is one in which the accept queue was full. Of the first replication; None where no
        fault of it cut anybody off.
        """
        storm = next((one for one in self.storms[strategy] if one.fault in self.faults), None)
        if storm is None or not self.courses:
            return None
        label = TOGETHER if self.mixed else strategy
        after_s = float(np.quantile(storm.back_s, REGAINED, method="inverted_cdf"))
        if math.isinf(after_s):
            returned = storm.back_s[np.isfinite(storm.back_s)]
            after_s = float(returned.max() if len(returned) else self.edges_s[-1])
        most_s = storm.fault.start_s + after_s
        from_s = storm.fault.end_s if most_s > storm.fault.end_s else storm.fault.start_s
        within = (self.edges_s[1:] > from_s) & (self.edges_s[:-1] < most_s)
        dropped = self._of(self.at_nodes, self._labels[label], 0).filter(
            (pl.col("station") == "accept") & pl.col("turn_s").is_null()
        )
        full = {station: share >= SATURATED_SHARE for station, share in self.courses[label].busy.items()}
        full["accept"] = per_second(dropped["came_s"].to_numpy(), self.edges_s) > 0.0
        shares = {station: float(those[within].mean()) if within.any() else 0.0 for station, those in full.items()}
        return {station: share for station, share in shares.items() if share > _MOST}

    def back_s(self, strategy: str) -> Floats:
        """s from the fault to each vehicle's return, ascending, over all replications; inf: not before the end of its run."""
        found = [storm.back_s for storm in self.storms[strategy]]
        return np.sort(np.concatenate(found)) if found else np.zeros(0)

    @staticmethod
    def _of(frame: pl.DataFrame, strategy: str | None, replication: int) -> pl.DataFrame:
        mine = pl.col("replication") == replication
        return frame.filter(mine if strategy is None else mine & (pl.col("strategy") == strategy))


def seen(run: Run | FleetRun) -> FleetRun:
    """Raises ValueError where the run is not that of a fleet."""
    if isinstance(run, FleetRun):
        return run
    if run.manifest.get("fleet") is None:
        raise ValueError("this figure is of a fleet, and the run is of one vehicle")
    return FleetRun(run)
