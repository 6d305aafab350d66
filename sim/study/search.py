"""What sensitivity and tuning have in common: a metric at a point, from units that are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.measure.metrics_catalog import metric
from sim.scenario.document import ScenarioErrors
from sim.scenario.scenario import Scenario
from sim.scenario.space import Range
from sim.scenario.sweep import OpenScenario
from sim.study.execute import LOCAL, Progress, Wanted, execute
from sim.study.point_units import read_point
from sim.study.unit import UnitKey
from sim.study.unit_store import UnitStore


class PackageMissing(Exception):
    """A package of the extra `study` is not installed; one line."""


class NothingMeasured(Exception):
    """A metric has no data; one line."""


def package_missing(name: str) -> PackageMissing:
    return PackageMissing(f"{name} is not installed: pip install 'handover-lab[study]', or '.[study]' in the lab's folder")


def with_data(metrics: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """Those that have data in this scenario of a fleet: without a fault nobody has to come back."""
    return tuple(name for name in metrics if scenario.faults or not name.startswith("fleet.back_s"))


@dataclass(frozen=True)
class Searched:
    """A scenario whose points are asked for one after another or many at once."""

    source: OpenScenario
    out: Path
    jobs: int = 1
    executor: str = LOCAL

    def check(self, ranges: Sequence[Range], *, inert: bool = True) -> None:
        """Both ends of every range have to be allowed; unless `inert` something depends on them. Raises ScenarioErrors."""
        lines: list[str] = []
        for one in ranges:
            found: set[tuple[str, ...]] = set()
            wrong: list[str] = []
            for value in one.choices or (one.written(one.low), one.written(one.high)):
                try:
                    key = UnitKey(self.source.at({one.key: value}, "--over"))
                except ScenarioErrors as errors:
                    wrong += errors.lines
                else:
                    found.add(tuple(key.of(choice, 0) for choice in key.scenario.strategies))
            if not inert and not wrong and len(found) == 1:
                names = ", ".join(choice.name for choice in self.source.base.strategies)
                wrong = [f"--over {one.key}: no number of {names} depends on it"]
            lines += wrong
        if lines:
            raise ScenarioErrors(list(dict.fromkeys(lines)))

    def means(
        self, points: Sequence[Mapping[str, Any]], metrics: Sequence[str], progress: Progress | None = None
    ) -> list[dict[str, dict[str, float]]]:
        """For each point: strategy -> metric -> mean over the drives, what lies beyond the horizon counted as that.

        Raises:
            NothingMeasured: a metric has no data at a point.
        """
        scenarios = [self.source.at(values, "--over") for values in points]
        store = UnitStore(self.out)
        keys = [UnitKey(scenario) for scenario in scenarios]
        wanted = [Wanted(key, range(key.scenario.replications)) for key in keys]
        execute(wanted, store, jobs=self.jobs, progress=progress, executor=self.executor)
        return [self._of_point(key, scenario, store, metrics) for key, scenario in zip(keys, scenarios, strict=True)]

    def _of_point(
        self, key: UnitKey, scenario: Scenario, store: UnitStore, metrics: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        units = read_point(key, scenario.replications, store)
        horizon_s = units.horizon_s()
        found: dict[str, dict[str, float]] = {}
        for choice in scenario.strategies:
            found[choice.name] = {}
            for name in metrics:
                values = [value for value in units.capped(choice.name, name, horizon_s) if value is not None]
                if not values:
                    raise NothingMeasured(f"{name} has no data for {choice.name}: {metric(name).doc}")
                found[choice.name][name] = math.fsum(values) / len(values)
        return found
