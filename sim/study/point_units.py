"""The units of a point of a sweep, or of a single scenario, side by side: each metric drive by drive."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.measure.metrics_catalog import lookup
from sim.measure.stats import Interval, mean_interval
from sim.measure.support import Precision
from sim.record.causes import KINDS
from sim.scenario.scenario import Scenario
from sim.strategies.catalog import STRATEGIES
from sim.study.unit import Unit, UnitKey, read_unit
from sim.study.unit_store import UnitStore

Vector = list[float | None]


@dataclass
class PointUnits:
    """The units of a point: strategy -> units and ids, drive by drive, and a digest of what was stored of them."""

    units: Mapping[str, Sequence[Unit]]
    ids: Mapping[str, Sequence[str]]
    digests: Mapping[str, str]
    _vectors: dict[tuple[str, str], Vector] = field(default_factory=dict)

    @property
    def drives(self) -> int:
        return len(next(iter(self.units.values())))

    def vector(self, strategy: str, name: str) -> Vector:
        """A metric drive by drive. None: no data, as for a kind of message that no drive of the point creates."""
        key = (strategy, name)
        if key not in self._vectors:
            mine = self.units[strategy]
            kind = name.partition(".")[0]
            silent = kind in KINDS and not any(lookup(unit.numbers, f"{kind}.created") for unit in mine)
            self._vectors[key] = [None if silent else lookup(unit.numbers, name) for unit in mine]
        return self._vectors[key]

    def capped(self, strategy: str, name: str, horizon_s: float) -> Vector:
        """As `vector`, what lies beyond the horizon counted as the horizon: for differences."""
        return [horizon_s if value is not None and math.isinf(value) else value for value in self.vector(strategy, name)]

    def horizon_s(self) -> float:
        return max(unit.horizon_s for units in self.units.values() for unit in units)

    def latencies(self, strategy: str, kind: str) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        empty = np.empty(0)
        if kind != "all":
            return [unit.latency_s.get(kind, empty) for unit in self.units[strategy]]
        return [np.concatenate([empty, *unit.latency_s.values()]) for unit in self.units[strategy]]


def read_point(key: UnitKey, drives: int, store: UnitStore) -> PointUnits:
    """The units of a scenario, which have to be in the store.

    Raises:
        OSError: one is not, though it was written.
    """
    units: dict[str, list[Unit]] = {}
    ids: dict[str, list[str]] = {}
    digests: dict[str, str] = {}
    for choice in key.scenario.strategies:
        ids[choice.name] = [key.of(choice, replication) for replication in range(drives)]
        contents = [_present(store, unit_id) for unit_id in ids[choice.name]]
        units[choice.name] = [read_unit(content) for content in contents]
        digests[choice.name] = hashlib.sha256(b"".join(contents)).hexdigest()
    return PointUnits(units, ids, digests)


def _present(store: UnitStore, unit_id: str) -> bytes:
    content = store.get(unit_id)
    if content is None:
        raise OSError(None, "a unit that was just written cannot be read back", str(store.root))
    return content


def judged_strategies(scenario: Scenario) -> list[str]:
    """Names of the strategies whose intervals have to be narrow: baselines only where there is nothing else."""
    names = [choice.name for choice in scenario.strategies]
    real = [choice.name for choice in scenario.strategies if choice.use not in STRATEGIES or not STRATEGIES[choice.use][2]]
    return real or names


def judged_intervals(scenario: Scenario, units: PointUnits, precision: Precision) -> list[Interval]:
    """Of the metric that a precision names."""
    return [mean_interval(units.vector(name, precision.metric), scenario.seed) for name in judged_strategies(scenario)]
