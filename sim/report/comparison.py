"""Runs side by side: scenarios by strategies, and between two sides what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.measure.metrics_catalog import metric
from sim.report.evidence import Evidence, read_evidence
from sim.report.palette import Style, styles

#: What runs are compared by where nothing else is asked for.
METRICS = ("all.delivered_within_60s", "all.latency_s.mean_capped", "recovery_s.mean", "mb_per_vehicle_month")
#: The same where all runs are of fleets.
OF_FLEETS = (
    "fleet.back_s.p95",
    "fleet.back_s.p50",
    "all.delivered_within_60s",
    "fleet.handshakes_per_s",
    "fleet.bytes_per_vehicle",
)


@dataclass(frozen=True)
class Comparison:
    """Runs with a label each; the strategies of all of them, in the order in which they are first met."""

    runs: Mapping[str, Evidence]
    metrics: tuple[str, ...]

    @cached_property
    def strategies(self) -> list[str]:
        return list(dict.fromkeys(name for run in self.runs.values() for name in run.strategies))

    @cached_property
    def looks(self) -> dict[str, Style]:
        return styles(self.strategies)

    def cell(self, label: str, strategy: str, name: str) -> dict[str, Any] | None:
        """Mean over the drives with its interval; None where the run has no such strategy, or no data."""
        run = self.runs[label]
        return run.interval(strategy, name) if strategy in run.strategies else None

    def is_baseline(self, strategy: str) -> bool:
        return all(run.is_baseline(strategy) for run in self.runs.values() if strategy in run.strategies)

    @cached_property
    def subjects(self) -> list[str]:
        """Strategies that are no baselines; all where there are only those."""
        return [name for name in self.strategies if not self.is_baseline(name)] or self.strategies

    def leaders(self, label: str, name: str) -> list[str]:
        """The leading group of a run, baselines aside: the best mean and whom the paired evidence does not show to be worse."""
        run = self.runs[label]
        return run.leaders(name, [one for one in self.subjects if one in run.strategies])


def metrics_for(runs: Sequence[Evidence], metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that were asked for; where nothing was, those of fleets for runs that all are of fleets."""
    fleets = all(run.manifest.get("fleet") is not None for run in runs)
    return OF_FLEETS if fleets and tuple(metrics) == METRICS else tuple(metrics)


def read_comparison(folders: Sequence[Path], metrics: Sequence[str] = METRICS) -> Comparison:
    """Read runs. RunFolderError (one line) where one is damaged; UnknownMetricError of a metric that is none."""
    for name in metrics:
        metric(name)
    return of_evidence([read_evidence(folder) for folder in folders], [str(folder) for folder in folders], metrics)


def of_evidence(runs: Sequence[Evidence], paths: Sequence[str], metrics: Sequence[str], names: Sequence[str] = ()) -> Comparison:
    """Label the runs: by scenario, and where that is not enough by run id, or by the path. `names`: labels to use instead."""
    metrics = metrics_for(runs, metrics)
    scenarios = [str(run.manifest["scenario"]) for run in runs]
    with_ids = [f"{run.manifest['scenario']} {run.manifest['run_id']}" for run in runs]
    for labels in (list(names), scenarios, with_ids, list(paths), [f"{path} ({at})" for at, path in enumerate(paths, start=1)]):
        if len(set(labels)) == len(runs):
            return Comparison(dict(zip(labels, runs, strict=True)), tuple(metrics))
    raise AssertionError("numbers tell any runs apart")
