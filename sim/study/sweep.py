"""A sweep: every point of a plan, all its strategies on the same drives, and the table that follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.measure.summary import COMPARED_FLEET
from sim.measure.support import Precision, next_drives
from sim.scenario.sweep import SweepPlan
from sim.study.execute import LOCAL, Progress, Wanted, Work, execute
from sim.study.manifest import file_hashes, plain, versions
from sim.study.point_units import PointUnits, judged_intervals, judged_strategies, read_point
from sim.study.run import write_json
from sim.study.run_folder import new_run_folder, results_writable
from sim.study.sweep_tables import leading_metric, sweep_tables
from sim.study.unit import UnitKey, surroundings
from sim.study.unit_store import UnitStore

#: What a sweep is read by where nothing else is asked for: the primary metrics, the price, the recovery.
METRICS = (
    "all.delivered_within_60s",
    "all.delivered_within_10s",
    "all.latency_s.mean_capped",
    "recovery_s.mean",
    "bytes.total",
)


def shown_metrics(plan: SweepPlan, asked: Sequence[str] | None = None) -> tuple[str, ...]:
    """What a sweep is read by: what was asked for, else the metrics of a fleet where the plan is of one."""
    return tuple(asked or (METRICS if plan.base.fleet is None else COMPARED_FLEET))


@dataclass(frozen=True, slots=True)
class SweepResult:
    """A finished sweep: its folder, the manifest and the work that was done for it."""

    run_dir: Path
    manifest: dict[str, Any]
    work: Work


def run_sweep(
    plan: SweepPlan,
    *,
    jobs: int = 1,
    out: Path = Path("results"),
    force: bool = False,
    metrics: Sequence[str] | None = None,
    precision: Precision | None = None,
    progress: Progress | None = None,
    command: str = "",
    report: bool = True,
    say: Callable[[str], None] | None = None,
    work: Work | None = None,
    executor: str = LOCAL,
) -> SweepResult:
    """Run what the store does not have, and write results/<scenario>/sweep-<id>/.

    With `precision` each point goes on until the intervals of its strategies that are no baselines are narrow enough. `work` is
    kept up to date while units finish.

    Raises:
        sim.study.survivors.WorkLost, sim.study.on_dask.ClusterUnusable, OSError: as `execute`.
        sim.measure.metrics_catalog.UnknownMetricError: of `metrics`.
    """
    metrics = shown_metrics(plan, metrics)
    for name in metrics:
        metric(name)
    store = UnitStore(out)
    keys = [UnitKey(point.scenario) for point in plan.points]
    drives = [point.scenario.replications for point in plan.points]
    work, done = Work() if work is None else work, set[str]()
    while True:
        wanted = [Wanted(key, range(n)) for key, n in zip(keys, drives, strict=True)]
        before = work.from_store, work.run, work.wanted
        execute(wanted, store, jobs=jobs, force=force, progress=progress, work=work, done=done, executor=executor)
        if before[2]:
            # a further round finds what the rounds before have run: that is counted once
            work.from_store, work.wanted = before[0], before[0] + work.run
        units = [read_point(key, n, store) for key, n in zip(keys, drives, strict=True)]
        if precision is None:
            break
        onward = [_onward(plan, at, units[at], precision) for at in range(len(keys))]
        if onward == drives:
            break
        if say is not None:
            wide = sum(a != b for a, b in zip(onward, drives, strict=True))
            say(f"precision: {wide} of {len(drives)} points go on, up to {max(onward)} drives")
        drives = onward
    content = _manifest(plan, drives, metrics, precision, command, _digest(units))
    content["precision_missed"] = 0 if precision is None else _missed(plan, units, precision)
    tables = sweep_tables(plan, units, metrics)
    content["lead"] = leading_metric(tables, metrics)
    folder = out / plan.base.name / f"sweep-{content['sweep_id']}"
    _write(folder, content, tables, report)
    return SweepResult(folder, content, work)


def _onward(plan: SweepPlan, at: int, units: PointUnits, precision: Precision) -> int:
    return next_drives(judged_intervals(plan.points[at].scenario, units, precision), precision, units.drives)


def _missed(plan: SweepPlan, units: Sequence[PointUnits], precision: Precision) -> int:
    """Points at which an interval is still wider than asked for."""
    return sum(
        not all(precision.reached(interval) for interval in judged_intervals(plan.points[at].scenario, point, precision))
        for at, point in enumerate(units)
    )


def _digest(units: Sequence[PointUnits]) -> str:
    total = hashlib.sha256()
    for point in units:
        for name, digest in point.digests.items():
            total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def _manifest(
    plan: SweepPlan, drives: Sequence[int], metrics: Sequence[str], precision: Precision | None, command: str, digest: str
) -> dict[str, Any]:
    base = plan.base
    content: dict[str, Any] = {
        "kind": "sweep",
        "scenario": base.name,
        "description": base.description,
        "seed": base.seed,
        "settings": {key: value for key, value in plain(base).items() if key not in ("source", "folder")},
        "axes": [
            {"key": axis.key, "values": list(axis.texts), "numbers": axis.numbers and list(axis.numbers), "unit": axis.unit}
            for axis in plan.axes
        ],
        "points": [dict(point.values) for point in plan.points],
        "left_out": plan.left_out,
        "drives": list(drives),
        "strategies": [{"name": choice.name, "use": choice.use} for choice in base.strategies],
        "judged": judged_strategies(base),
        "metrics": list(metrics),
        "precision": None if precision is None else precision.in_words(),
        "inputs": file_hashes(base),
        "code": surroundings(),
    }
    identity = json.dumps({key: value for key, value in content.items() if key != "description"}, sort_keys=True)
    return content | {
        "sweep_id": hashlib.sha256(identity.encode()).hexdigest()[:10],
        "command": command,
        "versions": versions(),
        "digest": digest,
    }


def _write(
    folder: Path,
    content: dict[str, Any],
    tables: Mapping[str, pl.DataFrame],
    report: bool,
) -> None:
    """Write the folder under a temporary name and put it in its place."""
    with new_run_folder(folder.parent, folder.name) as work, results_writable(folder.parent):
        for name, frame in tables.items():
            frame.write_parquet(work / f"{name}.parquet", compression="zstd")
            if name != "drives":
                frame.write_csv(work / f"{name}.csv")
        write_json(work / "manifest.json", content)
        if report:
            from sim.report.sweep_page import write_sweep_report

            write_sweep_report(work)
