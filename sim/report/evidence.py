"""What a run's folder holds, read once for the whole report: records, metrics, episodes, and each metric drive by drive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.delivery import with_horizon
from sim.measure.metrics_catalog import METRICS, metric, per_drive
from sim.measure.recovery import Episode
from sim.measure.run_episodes import forgotten, run_episodes
from sim.measure.stats import Difference, paired_difference
from sim.measure.summary import StrategyRecords, fleet_of_drive
from sim.measure.update import image_bytes
from sim.record.causes import KINDS
from sim.record.read import Run, RunFolderError, read_json, read_run
from sim.report.palette import Style, styles

Vectors = dict[str, dict[str, list[float | None]]]


@dataclass
class Evidence:
    """A run and what was measured of it. `metrics` is the content of metrics.json."""

    run: Run
    metrics: dict[str, Any]
    episodes: Mapping[str, Sequence[Episode]] = field(default_factory=dict)

    @property
    def manifest(self) -> dict[str, Any]:
        return self.run.manifest

    @cached_property
    def strategies(self) -> list[str]:
        """Names in the order of the scenario."""
        return [str(entry["name"]) for entry in self.manifest["strategies"] if entry["name"] in self.metrics["strategies"]]

    @cached_property
    def styles(self) -> dict[str, Style]:
        return styles(self.strategies)

    @property
    def drives(self) -> int:
        return int(self.metrics["replications"])

    def of(self, strategy: str) -> dict[str, Any]:
        found: dict[str, Any] = self.metrics["strategies"][strategy]
        return found

    def interval(self, strategy: str, name: str) -> dict[str, Any] | None:
        """Mean over the drives and its interval as in metrics.json; None where no drive has data."""
        found: dict[str, Any] | None = self.of(strategy)["intervals"].get(name)
        return found

    def pooled(self, strategy: str, name: str) -> dict[str, Any] | None:
        """A quantile over all messages, or recoveries, of all drives and its interval; None where there is none."""
        found: dict[str, Any] | None = self.of(strategy).get("pooled_intervals", {}).get(name)
        return found

    def is_baseline(self, strategy: str) -> bool:
        return bool(self.of(strategy)["baseline"])

    @cached_property
    def vectors(self) -> Vectors:
        """Strategy -> metric -> its value in each drive: what metrics.json drew its intervals from."""
        run = self.run
        messages = with_horizon(run.messages, run.vehicles)
        kinds = [kind for kind in KINDS if (messages["kind"] == kind).any()]
        within_s = float(self.metrics["method"]["probe_within_s"])
        image = image_bytes(run.manifest)
        found: Vectors = {}
        for name in self.strategies:
            mine = pl.col("strategy") == name
            records = StrategyRecords(
                messages.filter(mine),
                run.connections.filter(mine),
                run.traffic.filter(mine),
                run.vehicles.filter(mine),
                self.episodes[name],
            )
            drives = [records.of_drive(number).numbers(kinds, within_s, image) for number in range(self.drives)]
            if run.manifest.get("fleet") is not None:
                for number, drive in enumerate(drives):
                    drive["fleet"] = fleet_of_drive(run, records.of_drive(number), name, number)
            found[name] = {key: per_drive(drives, key) for key in METRICS}
        return found

    @cached_property
    def forgotten(self) -> dict[str, tuple[int, int]]:
        """Strategy -> how often a NAT or a balancer forgot its silent connection, in all and while parked."""
        return forgotten(self.run)

    @cached_property
    def horizon_s(self) -> float:
        """The latest end of a run, drain included."""
        ends = self.run.vehicles["horizon_s"]
        return float(ends.max()) if ends.len() else 0.0  # type: ignore[arg-type]

    def paired(self, name: str, a: str, b: str) -> Difference:
        """The metric's difference a - b over the same drives; what lies beyond the horizon counts as the horizon."""

        def capped(strategy: str) -> list[float | None]:
            values = self.vectors[strategy][name]
            return [self.horizon_s if value is not None and math.isinf(value) else value for value in values]

        return paired_difference(capped(a), capped(b), metric(name).better, int(self.metrics["seed"]))

    def leaders(self, name: str, among: Sequence[str]) -> list[str]:
        """The strategy with the best mean, and every other that the paired evidence does not show to be worse.

        Empty where none has data.
        """
        best = self.best(name, among)
        known = [strategy for strategy in among if any(value is not None for value in self.vectors[strategy][name])]
        return [strategy for strategy in known if strategy == best or self.paired(name, strategy, best).verdict != "worse"]

    def best(self, name: str, among: Sequence[str]) -> str:
        """The strategy with the best mean, the first of equals; "" where none has data."""
        sign = -1.0 if metric(name).better == "higher" else 1.0
        means: dict[str, float] = {}
        for strategy in among:
            values = [value for value in self.vectors[strategy][name] if value is not None]
            if values:
                means[strategy] = sign * math.fsum(min(value, 1e300) for value in values) / len(values)
        return min(means, key=lambda strategy: means[strategy]) if means else ""


def read_evidence(run_dir: Path) -> Evidence:
    """Read a run's folder. RunFolderError (one line) where it is damaged or not a run's."""
    run = read_run(run_dir)
    path = Path(run_dir) / "metrics.json"
    metrics = read_json(path)
    wanted = ("strategies", "drive", "method", "replications", "seed", "comparisons", "objectives")
    missing = [key for key in wanted if not isinstance(metrics, dict) or key not in metrics]
    if missing:
        raise RunFolderError(f"{path}: not the metrics of a run, it has no {missing[0]}")
    for table in ("messages", "connections", "disruptions", "timeline", "states", "traffic", "vehicles"):
        run.table(table)
    return Evidence(run, metrics, run_episodes(run))
