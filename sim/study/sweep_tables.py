"""The tables of a sweep: every number with its point, its strategy, its interval and the drives behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import METRICS, metric
from sim.measure.multiple import holm
from sim.measure.pooled import pooled_quantile
from sim.measure.stats import Interval, mean_interval, paired_difference
from sim.record.read import POLARS_TYPES
from sim.record.study_schema import STUDY_TABLES
from sim.scenario.sweep import SweepPlan
from sim.study.point_units import PointUnits, Vector

#: Quantiles over all messages of all drives, by the name of the metric: kind and percent. `all` is the workload together.
_POOLED_KINDS = ("all", "ota", "diagnostics", "telemetry")
_PERCENTS = (50, 95, 99)


def sweep_tables(plan: SweepPlan, points: Sequence[PointUnits], metrics: Sequence[str]) -> dict[str, pl.DataFrame]:
    """`sweep` (tidy), `differences` (each point against the first, paired) and `drives` (each metric drive by drive)."""
    table = _Intervals(plan.base.seed)
    rows: list[dict[str, Any]] = []
    drives: list[dict[str, Any]] = []
    for number, point in enumerate(points):
        where = _where(plan, number)
        for strategy in point.units:
            who = {**where, "strategy": strategy}
            for name in METRICS:
                interval = table.mean(point.vector(strategy, name))
                if interval.n:
                    rows.append({**who, "metric": name, "statistic": "mean", "unit": metric(name).unit, **_cells(interval)})
            for name, interval in table.pooled(point, strategy):
                rows.append({**who, "metric": name, "statistic": "pooled", "unit": metric(name).unit, **_cells(interval)})
            for replication, unit_id in enumerate(point.ids[strategy]):
                values = {name: point.vector(strategy, name)[replication] for name in METRICS}
                drives.append({**who, "replication": replication, "unit_id": unit_id, **values})
    found = {"sweep": rows, "differences": _differences(plan, points, metrics), "drives": drives}
    return {name: pl.DataFrame(found[name], schema=_schema(plan, name), orient="row") for name in found}


def _schema(plan: SweepPlan, table: str) -> dict[str, Any]:
    axes = {axis.key: pl.String if axis.numbers is None else pl.Float64 for axis in plan.axes}
    columns = {column.name: POLARS_TYPES[column.kind] for column in STUDY_TABLES[table]}
    first = columns.pop("point")
    metrics = dict.fromkeys(METRICS, pl.Float64) if table == "drives" else {}
    return {"point": first, **axes, **columns, **metrics}


def leading_metric(tables: Mapping[str, pl.DataFrame], metrics: Sequence[str]) -> str:
    """The first metric that anything varied is shown to move, else the first that moves at all, else the first."""
    told = tables["differences"].filter(pl.col("verdict") != "no evidence")["metric"].to_list()
    means = tables["sweep"].filter(pl.col("statistic") == "mean")
    counts = means.group_by("metric", "strategy").agg(pl.col("value").n_unique())
    moved = counts.filter(pl.col("value") > 1)["metric"].to_list()
    return next((name for found in (told, moved) for name in metrics if name in found), metrics[0])


def _where(plan: SweepPlan, number: int) -> dict[str, Any]:
    values = plan.points[number].values
    return {"point": number, **{axis.key: axis.column(values[axis.key]) for axis in plan.axes}}


def _cells(interval: Interval) -> dict[str, Any]:
    """A value or an end of an interval that lies beyond the horizon is inf."""
    return {"value": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n, "note": interval.note}


def _differences(plan: SweepPlan, points: Sequence[PointUnits], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Each point minus the first one, strategy by strategy, on the drives both have; one family of comparisons."""
    rows: list[dict[str, Any]] = []
    first = points[0]
    for number, point in enumerate(points[1:], start=1):
        horizon_s = max(point.horizon_s(), first.horizon_s())
        n = min(point.drives, first.drives)
        for strategy in point.units:
            if point.ids[strategy][:n] == first.ids[strategy][:n]:
                continue  # what is varied is nothing to this strategy
            for name in metrics:
                found = paired_difference(
                    point.capped(strategy, name, horizon_s)[:n],
                    first.capped(strategy, name, horizon_s)[:n],
                    metric(name).better,
                    plan.base.seed,
                )
                interval = found.interval
                if interval.n:
                    rows.append(
                        {
                            **_where(plan, number),
                            "strategy": strategy,
                            "metric": name,
                            "unit": metric(name).unit,
                            "difference": interval.mean,
                            "low": interval.low,
                            "high": interval.high,
                            "p": found.p_value,
                            "verdict": found.verdict,
                            "n": interval.n,
                            "note": interval.note,
                        }
                    )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        if adjusted is None or adjusted > 0.05:
            row["verdict"] = "no evidence"
    return rows


class _Intervals:
    """Intervals, each computed once: a strategy that does not know the key that is varied has the same at every point."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._means: dict[tuple[float | None, ...], Interval] = {}
        self._pooled: dict[tuple[str, ...], list[tuple[str, Interval]]] = {}

    def mean(self, values: Vector) -> Interval:
        key = tuple(values)
        found = self._means.get(key)
        if found is None:
            found = self._means[key] = mean_interval(values, self._seed)
        return found

    def pooled(self, point: PointUnits, strategy: str) -> list[tuple[str, Interval]]:
        key = tuple(point.ids[strategy])
        if key not in self._pooled:
            found = []
            for kind in _POOLED_KINDS:
                latencies = point.latencies(strategy, kind)
                for percent in _PERCENTS:
                    interval = pooled_quantile(latencies, percent, self._seed)
                    if interval.n:
                        found.append((f"{kind}.latency_s.p{percent}", interval))
            recovery = [unit.recovery_s for unit in point.units[strategy]]
            for percent in (50, 95):
                interval = pooled_quantile(recovery, percent, self._seed)
                if interval.n:
                    found.append((f"recovery_s.p{percent}", interval))
            self._pooled[key] = found
        return self._pooled[key]
