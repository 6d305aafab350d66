"""Strategies by metrics, each cell a mean over the drives with its interval; the best marked where the evidence carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sim.measure.metrics_catalog import metric
from sim.report.evidence import Evidence
from sim.report.numbers import bare, bounds, significant

#: metric -> (heading, unit). Counts are per drive.
COLUMNS: dict[str, tuple[str, str]] = {
    "all.delivered_within_10s": ("within 10 s", "%"),
    "all.delivered_within_60s": ("within 60 s", "%"),
    "all.latency_s.p50": ("median latency", "s"),
    "all.latency_s.p99": ("p99 latency", "s"),
    "all.latency_s.mean_capped": ("mean latency", "s"),
    "all.lost": ("lost", "per drive"),
    "all.duplicates": ("duplicates", "per drive"),
    "recovery_s.mean": ("recovery", "s, mean"),
    "reachability": ("reachable", "% of probes"),
    "attempts.failed": ("failed attempts", "per drive"),
    "mb_per_vehicle_month": ("data", "MB a month"),
    "overhead_mb_per_vehicle_month": ("of it overhead", "MB a month"),
    "radio_active_s": ("radio active", "s per drive"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """`mark`: "best" (better than every other with evidence), "joint" (in the leading group), or nothing."""

    value: str
    interval: str
    mark: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns that have data: (metric, heading, unit); rows by strategy."""

    columns: tuple[tuple[str, str, str], ...]
    rows: Mapping[str, tuple[Cell, ...]]


def comparison_table(evidence: Evidence) -> Table:
    columns = [name for name in COLUMNS if any(evidence.interval(one, name) for one in evidence.strategies)]
    marks = {name: _marks(evidence, name) for name in columns}
    return Table(
        tuple((name, *COLUMNS[name]) for name in columns),
        {one: tuple(_cell(evidence, one, name, marks[name].get(one, "")) for name in columns) for one in evidence.strategies},
    )


def _marks(evidence: Evidence, name: str) -> dict[str, str]:
    """strategy -> mark. Nothing is marked where the leading group is everyone: then the metric tells nobody apart."""
    leading = evidence.leaders(name, evidence.strategies)
    if len(leading) == 1 and len(evidence.strategies) > 1 and evidence.drives > 1:
        return {leading[0]: "best"}
    known = [one for one in evidence.strategies if evidence.interval(one, name)]
    return dict.fromkeys(leading, "joint") if len(leading) < len(known) else {}


def _cell(evidence: Evidence, strategy: str, name: str, mark: str) -> Cell:
    found = evidence.interval(strategy, name)
    if found is None:
        return Cell("–", "", "", "no data")
    mean = found["mean"]
    if mean is None or not math.isfinite(mean):
        return Cell("beyond", "the run", mark, str(found["note"]))
    value = significant(mean) if metric(name).unit == "s" else bare(name, float(mean))
    if found["low"] is None or found["high"] is None:
        return Cell(value, "", mark, str(found["note"]))
    if metric(name).unit == "s":
        return Cell(value, f"{significant(found['low'])} to {significant(found['high'])}", mark)
    text = bounds(name, float(found["low"]), float(found["high"])).rpartition("\u00a0")[0] or bounds(name, float(found["low"]), float(found["high"]))
    return Cell(value, text, mark)
