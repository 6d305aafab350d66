"""What a fleet met, strategy by strategy, as the figures show it: who is connected, what the nodes do, when each is back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sim.measure.fleet import (
    MIX,
    Capacity,
    Course,
    Fault,
    Floats,
    Storm,
    capacity,
    clock_edges,
    connected_over_time,
    course,
    faults_of,
    on_the_road,
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
        """The load of the nodes; without rows where the vehicles share none."""
        return self.run.table("load") if self.run.has("load") else pl.DataFrame(schema=table_schema("load"))

    @cached_property
    def capacity(self) -> Capacity | None:
        """What the nodes can do; None where the vehicles share none."""
        return capacity(self.nodes, self.load, self.scale) if self.load.height else None

    @cached_property
    def courses(self) -> dict[str, Course]:
        """Strategy -> what the nodes had to do; in a mix one for all together. Empty where the vehicles share none."""
        if not self.load.height:
            return {}
        names = {TOGETHER: MIX} if self.mixed else {name: name for name in self.strategies}
        return {
            label: course(self._of(self.load, name, 0), self.edges_s, self.nodes, self.scale) for label, name in names.items()
        }

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

    def back_s(self, strategy: str) -> Floats:
        """s from the fault to each vehicle's return, ascending, over all replications; inf: not back."""
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
