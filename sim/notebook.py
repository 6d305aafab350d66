"""The lab for notebooks and scripts: run, read, compare, look at a drive. Results are polars frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.explain import explain
from sim.measure.metrics_catalog import lookup, metric
from sim.measure.recovery import Episode
from sim.measure.run_episodes import run_episodes
from sim.measure.stats import Difference, paired_difference
from sim.measure.summary import COMPARED, COMPARED_FLEET
from sim.record.read import Run, RunFolderError, read_run
from sim.record.tables import drive_tables
from sim.report.evidence import Evidence
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.study.run import drive_of, run_scenario

#: Column of `Result.summary` -> metric.
_SUMMARY = {
    "within_60s": "all.delivered_within_60s",
    "latency_p95_s": "all.latency_s.p95",
    "lost": "all.lost",
    "duplicates": "all.duplicates",
    "recovery_p95_s": "recovery_s.p95",
    "reachable": "reachability",
    "attempts": "attempts.total",
}
#: The same for a fleet.
_FLEET_SUMMARY = {
    "cut_off": "fleet.cut_off",
    "back_p50_s": "fleet.back_s.p50",
    "back_p95_s": "fleet.back_s.p95",
    "back_all_s": "fleet.back_s.max",
    "not_back": "fleet.not_back",
    "connections_per_s": "fleet.connections_per_s",
    "handshakes_per_s": "fleet.handshakes_per_s",
    "within_10s": "all.delivered_within_10s",
    "within_60s": "all.delivered_within_60s",
    "bytes_a_vehicle": "fleet.bytes_per_vehicle",
}


class Result(Run):
    """A run on disk: its tables as frames (`messages`, `connections`, `states`, ...), its `metrics` and its `manifest`.

    It is a `sim.record.read.Run`, so that every function of `sim.figures` takes it.
    """

    def __init__(self, manifest: Mapping[str, Any], folder: Path) -> None:
        super().__init__(manifest, folder=folder)
        self.run_dir = folder

    def __repr__(self) -> str:
        head = f"{self.manifest['scenario']} {self.manifest['run_id']}"
        return f"<Result {head}: {', '.join(self.strategies)}; drives: {self.drives}>"

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies in the order of the scenario."""
        return [str(entry["name"]) for entry in self.manifest["strategies"]]

    @property
    def drives(self) -> int:
        return int(self.manifest["replications"])

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json, the strategies in the order of the scenario: their colours in figures follow it."""
        path = self.run_dir / "metrics.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found["strategies"] = {name: found["strategies"][name] for name in self.strategies}
        except (OSError, ValueError, KeyError) as error:
            raise RunFolderError(f"{path}: cannot be read: {error}") from None
        return found

    @cached_property
    def episodes(self) -> Mapping[str, Sequence[Episode]]:
        """Strategy -> its recovery episodes."""
        return run_episodes(self)

    def summary(self) -> pl.DataFrame:
        """A row for each strategy with the headline numbers; counts and bytes are means per drive, null is "not in this run".

        Of a fleet: means over the replications, vehicles and connections in the fleet's numbers.
        """
        if self.manifest.get("fleet") is not None:
            return self._fleet_summary()
        rows = []
        for name in self.strategies:
            numbers = self.metrics["strategies"][name]
            created = lookup(numbers, "all.created") or 0.0
            row: dict[str, Any] = {"strategy": name}
            row["delivered"] = (lookup(numbers, "all.delivered") or 0.0) / created if created else None
            for column, source in _SUMMARY.items():
                value = lookup(numbers, source)
                per_drive = metric(source).unit in ("count", "bytes") and value is not None
                row[column] = value / self.drives if per_drive and value is not None else value
            total = lookup(numbers, "bytes.total")
            row["mb_a_drive"] = None if total is None else total / 1e6 / self.drives
            rows.append(row)
        columns = ["delivered", *_SUMMARY, "mb_a_drive"]
        return pl.DataFrame(rows, schema={"strategy": pl.String, **dict.fromkeys(columns, pl.Float64)})

    def _fleet_summary(self) -> pl.DataFrame:
        rows = [
            {"strategy": name}
            | {
                column: (self.metrics["strategies"][name]["intervals"].get(source) or {}).get("mean")
                for column, source in _FLEET_SUMMARY.items()
            }
            for name in self.strategies
        ]
        return pl.DataFrame(rows, schema={"strategy": pl.String, **dict.fromkeys(_FLEET_SUMMARY, pl.Float64)})

    def explain(
        self, message: str | int, strategy: str | None = None, replication: int | None = None, vehicle: int | None = None
    ) -> str:
        """What happened to one message, step by step: "ota:3" is the third chunk, a number is the id of a message.

        `vehicle` is for fleets, of which the first five can be asked for.
        """
        return explain(self, message, strategy, replication, vehicle)


def run(
    scenario: Scenario | str | Path,
    *,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
    jobs: int = 1,
    out: str | Path = "results",
    report: bool = True,
) -> Result:
    """Run a scenario, write results/<scenario>/<run id>/ as the command line does, and return what it holds.

    A path takes the options of `sim.load`: `sets` 'key=value', `varies` 'strategy.key=a,b,c', `strategies` to keep. With a
    Scenario only `replications` and `seed` may be given. `jobs` above 1 starts processes; a script then needs the guard
    `if __name__ == "__main__":`. `report=False` writes no figures and no report.

    Raises ScenarioErrors with a line for each mistake of the file or the options.
    """
    chosen = _scenario(scenario, sets, varies, strategies, replications, seed)
    # imported here: sim.terminal is the command line's, and only a run needs it
    from sim.terminal import progress

    with progress(chosen.name) as show:
        finished = run_scenario(chosen, jobs=jobs, out=Path(out), progress=show, report=report)
    return read(finished.run_dir)


def read(run_dir: str | Path) -> Result:
    """Open the folder of a run. Raises RunFolderError (one line) where it is missing or not a run's."""
    folder = Path(run_dir)
    return Result(read_run(folder).manifest, folder)


def timeline(scenario: Scenario | str | Path, replication: int = 0) -> pl.DataFrame:
    """The drive of one replication as a frame, nothing run: cell, gateway, address, link state, RTT, rates, position, RSRP.

    Of a fleet it is the first of its drives.
    """
    chosen = _scenario(scenario)
    if replication < 0:
        raise ValueError(f"replications count from 0, not {replication}")
    columns = drive_tables(drive_of(chosen, replication), replication, 0)["timeline"]
    return Run({}, {"timeline": columns}).timeline


def compare(
    a: Run | str | Path,
    b: Run | str | Path | None = None,
    *,
    reference: str | None = None,
    metrics: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Paired differences on the same drives, with 95 % bootstrap intervals over the drives and a verdict.

    With one run: each strategy minus `reference`, which is the first that is no baseline where not given. With two runs:
    each strategy of `a` minus the one of the same name in `b`; both must have the same drives and the same seed. Counts
    and bytes are per drive. A value beyond the end of the run counts as the end of the run. Fewer than six drives carry no
    verdict, unless nothing varied between them. `metrics`: those of the run's own comparison where not given.
    """
    first = _evidence(a)
    if metrics is None:
        metrics = COMPARED if first.manifest.get("fleet") is None else COMPARED_FLEET
    if b is None:
        against = reference or next((name for name in first.strategies if not first.is_baseline(name)), first.strategies[0])
        _require(against, first)
        rows = [
            _row(name, one, against, first.paired(name, one, against))
            for one in first.strategies
            if one != against
            for name in metrics
        ]
    else:
        if reference is not None:
            raise ValueError("a reference is for one run; with two runs each strategy is compared with its namesake")
        second = _evidence(b)
        drawn = [(one.manifest["seed"], one.manifest["phases"], one.drives) for one in (first, second)]
        if first.manifest.get("fleet") != second.manifest.get("fleet"):
            raise ValueError("the runs have different fleets, so their differences are not paired")
        if drawn[0] != drawn[1] or not first.run.timeline.equals(second.run.timeline):
            raise ValueError("the runs have different drives or seeds, so their differences are not paired")
        shared = [name for name in first.strategies if name in second.strategies]
        if not shared:
            raise ValueError(f"no strategy is in both runs: {', '.join(first.strategies)} and {', '.join(second.strategies)}")
        rows = [_row(name, one, one, _across(name, one, first, second)) for one in shared for name in metrics]
    schema = {
        "metric": pl.String, "unit": pl.String, "a": pl.String, "b": pl.String, "difference": pl.Float64, "low": pl.Float64,
        "high": pl.Float64, "verdict": pl.String, "drives": pl.Int64, "note": pl.String,
    }  # fmt: skip
    return pl.DataFrame([row for row in rows if row["drives"]], schema=schema)


def _row(name: str, a: str, b: str, found: Difference) -> dict[str, Any]:
    interval = found.interval
    return {
        "metric": name, "unit": metric(name).unit, "a": a, "b": b, "difference": interval.mean, "low": interval.low,
        "high": interval.high, "verdict": found.verdict, "drives": interval.n, "note": interval.note,
    }  # fmt: skip


def _across(name: str, strategy: str, a: Evidence, b: Evidence) -> Difference:
    horizon_s = max(a.horizon_s, b.horizon_s)
    values = [
        [horizon_s if value is not None and math.isinf(value) else value for value in side.vectors[strategy][name]]
        for side in (a, b)
    ]
    return paired_difference(values[0], values[1], metric(name).better, int(a.metrics["seed"]))


def _evidence(run_or_dir: Run | str | Path) -> Evidence:
    if isinstance(run_or_dir, Result):
        result = run_or_dir
    else:
        folder = run_or_dir.folder if isinstance(run_or_dir, Run) else Path(run_or_dir)
        if folder is None:
            raise ValueError("these records are in memory only, there is nothing to compare on disk")
        result = read(folder)
    return Evidence(result, result.metrics, result.episodes)


def _require(strategy: str, evidence: Evidence) -> None:
    if strategy not in evidence.strategies:
        raise ValueError(f"this run has no strategy {strategy}; it has {', '.join(evidence.strategies)}")


def _scenario(
    scenario: Scenario | str | Path,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> Scenario:
    if not isinstance(scenario, Scenario):
        return load(scenario, sets=sets, varies=varies, strategies=strategies, replications=replications, seed=seed)
    if sets or varies or strategies:
        raise ValueError("sets, varies and strategies change a file: give the path, or load the scenario with them")
    return replace(
        scenario,
        replications=scenario.replications if replications is None else replications,
        seed=scenario.seed if seed is None else seed,
    )
