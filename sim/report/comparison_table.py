"""Strategies by metrics, each cell a mean over the drives with its interval; the best marked where the evidence carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sim.report.evidence import Evidence
from sim.report.numbers import in_table, percent

#: heading of a part -> metric -> (heading, unit). Several parts, so that each fits the width of a page. Counts are per drive.
PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "What arrives": {
        "all.delivered_within_10s": ("within 10 s", "%"),
        "all.delivered_within_60s": ("within 60 s", "%"),
        "all.latency_s.p50": ("median", "latency"),
        "all.latency_s.p99": ("p99", "latency"),
        "all.latency_s.mean_capped": ("mean", "latency"),
        "all.lost": ("lost", "per drive"),
        "all.duplicates": ("twice", "per drive"),
    },
    "The update": {
        "ota.completed_share": ("image", "% arrived"),
        "ota.complete_s": ("image complete", "after"),
        "ota.resent_bytes": ("image resent", "per drive"),
    },
    "What it takes": {
        "recovery_s.mean": ("recovery", "mean"),
        "reachability": ("reachable", "% of probes"),
        "waking_s.p95": ("ignition on to reachable", "p95"),
        "attempts.failed": ("failed", "attempts per drive"),
        "overhead_mb_per_vehicle_month": ("overhead", "MB a month"),
        "mb_per_vehicle_month": ("all data", "MB a month"),
        "radio_active_s": ("radio on", "per drive"),
        "radio_active_s_per_vehicle_month": ("radio on", "a month"),
    },
}


@dataclass(frozen=True, slots=True)
class Cell:
    """`mark`: "best" (better than every other with evidence), "joint" (in the leading group), or nothing.

    `counts`: of how many of what the value is a share, where it is one of few.
    """

    value: str
    interval: str
    mark: str
    note: str = ""
    counts: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns that have data: (metric, heading, unit); rows by strategy."""

    title: str
    columns: tuple[tuple[str, str, str], ...]
    rows: Mapping[str, tuple[Cell, ...]]
    notes: tuple[str, ...] = ()


def comparison_tables(evidence: Evidence) -> list[Table]:
    """A table for each part that has data."""
    tables = []
    for title, of_part in PARTS.items():
        columns = [name for name in of_part if _says_something(evidence, name)]
        marks = {name: _marks(evidence, name) for name in columns}
        rows = {
            one: tuple(_cell(evidence, one, name, marks[name].get(one, "")) for name in columns) for one in evidence.strategies
        }
        notes = tuple(_cheap_for_a_reason(evidence, marks))
        tables.append(Table(title, tuple((name, *of_part[name]) for name in columns), rows, notes))
    return [table for table in tables if table.columns]


def _cheap_for_a_reason(evidence: Evidence, marks: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The least data is no merit where it goes with the messages that were not delivered."""
    delivery, cost = "all.delivered_within_60s", "mb_per_vehicle_month"
    leading = evidence.leaders(delivery, evidence.strategies)
    notes = []
    for one, mark in marks.get(cost, {}).items():
        found = evidence.interval(one, delivery)
        if one not in leading and found is not None and found["mean"] is not None:
            missed = percent(1.0 - float(found["mean"]))
            least = "sends the least data" if mark == "best" else "is among those that send the least data"
            notes.append(f"{one} {least}, and {missed} of its messages are not delivered within 60 s.")
    return notes


def _says_something(evidence: Evidence, name: str) -> bool:
    """Whether a column has data; one of zeros is worth its place only where none is good news."""
    means = [found["mean"] for one in evidence.strategies if (found := evidence.interval(one, name))]
    return bool(means) and (name == "all.lost" or any(mean is None or mean != 0.0 for mean in means))


def _marks(evidence: Evidence, name: str) -> dict[str, str]:
    """strategy -> mark. Nothing is marked where the leading group is everyone: then the metric tells nobody apart.

    What has no data, as the recovery of a strategy that never had to recover, is not behind: best is only who is of all.
    """
    leading = evidence.leaders(name, evidence.strategies)
    known = [one for one in evidence.strategies if evidence.interval(one, name)]
    if len(leading) == 1 and len(known) > 1 and evidence.drives > 1:
        return {leading[0]: "best"} if len(known) == len(evidence.strategies) else {}
    return dict.fromkeys(leading, "joint") if len(leading) < len(known) else {}


def _cell(evidence: Evidence, strategy: str, name: str, mark: str) -> Cell:
    found = evidence.interval(strategy, name)
    if found is None:
        return Cell("–", "", "", "no data")
    if found["mean"] is None or not math.isfinite(found["mean"]):
        return Cell("beyond run", "", mark, str(found["note"]))
    value, interval = in_table(name, found)
    counts = _probes(evidence, strategy) if name == "reachability" else ""
    return Cell(value, interval, mark, str(found["note"]), counts)


def _probes(evidence: Evidence, strategy: str) -> str:
    """How many probes the share is of."""
    found = evidence.of(strategy)["reachability"]
    return f"{found['answered']:,} of {found['n']:,}"
