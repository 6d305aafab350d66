"""The tables of a fleet's report: strategies by metrics in the fleet's numbers, lost messages by cause, and CSV files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import METRICS, metric
from sim.measure.support import least_drives
from sim.report.evidence import Evidence
from sim.report.fleet_run import TOGETHER, FleetRun
from sim.report.fleet_words import whole
from sim.report.numbers import NBSP, percent, scaled, significant, with_bounds
from sim.report.study_page import Cell, Table

#: heading of a part -> metric -> column. Times are since the start of the fault.
_BACK = {
    "fleet.cut_off": "cut off",
    "fleet.back_s.p50": "50 % back",
    "fleet.back_s.p95": "95 % back",
    "fleet.back_s.max": "all back",
    "fleet.not_back": "not back",
}
_NODES = {
    "fleet.connections_per_s": "connections/s",
    "fleet.handshakes_per_s": "handshakes/s",
    "fleet.queue": "waiting",
    "fleet.cpu_share": "CPU",
    "fleet.cpu_saturated_s": "CPU full",
    "fleet.admission_saturated_s": "admission full",
    "fleet.turned_away": "turned away",
    "fleet.dropped_syns": "SYNs dropped",
}
_UPDATE = {
    "ota.complete_s": "complete",
    "ota.completed_share": "arrived",
    "ota.resent_bytes": "sent again",
    "fleet.cell_saturated_s": "cell full",
}
_ALONE = {name: column for name, column in _UPDATE.items() if name != "fleet.cell_saturated_s"}
_MESSAGES = {
    "diagnostics.delivered_within_10s": "diagnostics in 10 s",
    "all.delivered_within_10s": "in 10 s",
    "all.delivered_within_60s": "in 60 s",
    "all.latency_s.mean_capped": "mean latency",
    "all.lost": "lost",
    "all.duplicates": "twice",
    "reconnections": "reconnections",
    "fleet.bytes_per_vehicle": "data a vehicle",
}
#: Said where no fault cut anybody off.
_CALM = ("diagnostics.delivered_within_10s",)
#: Neither good nor bad by itself: who was there when the fault began, and whether the nodes were idle.
_NO_MERIT = ("fleet.cut_off", "fleet.cpu_share", "fleet.cpu_saturated_s", "fleet.admission_saturated_s", "fleet.cell_saturated_s")
#: Counted of the simulated vehicles: the fleet's number is so many times more.
_OF_SIMULATED = ("all.lost", "all.duplicates", "reconnections", "ota.resent_bytes")


def fleet_tables(evidence: Evidence, fleet: FleetRun) -> list[Table]:
    """A table for each part that has data."""
    marked = " ★ better than every other strategy; ☆ in the leading group." if fleet.replications >= least_drives() else ""
    intervals = (
        f" Means over {fleet.replications} replications, below each its 95{NBSP}% interval." if fleet.replications > 1 else ""
    )
    cut = "Vehicles that were connected when the fault began and lost that connection, and what became of all of them; times from"
    cut += " the start of the fault. Not back: without a connection until the end of their run."
    update = "Complete: from its start to the last of it, the mean of the vehicles; arrived: the share of the image."
    update += " Cell full: seconds in which the busiest cell carried all it can." if fleet.shares_cells else ""
    busiest = (
        "In the worst second: connections asked for and handshakes at all nodes, how many wait and what the CPU does at the worst"
    )
    busiest += " one. Full: seconds in which the worst node can do no more. Turned away: CONNECTs."
    messages = {name: column for name, column in _MESSAGES.items() if name not in _CALM or not any(fleet.storms.values())}
    words = "In 10 s, in 60 s: share of the messages delivered by then. Twice: handed over more than once."
    together = [TOGETHER] if fleet.mixed else fleet.strategies
    found = [
        _table(evidence, fleet, "Coming back", _BACK, fleet.strategies, cut + intervals + marked),
        _table(
            evidence,
            fleet,
            "The update",
            _UPDATE if fleet.shares_cells else _ALONE,
            fleet.strategies,
            update + intervals + marked,
        )
        if any(evidence.interval(name, "ota.completed_share") is not None for name in fleet.strategies)
        else None,
        _table(evidence, fleet, "The nodes", _NODES, together, busiest + intervals + ("" if fleet.mixed else marked))
        if fleet.courses and not fleet.idle
        else None,
        _table(evidence, fleet, "Messages and data", messages, fleet.strategies, words + intervals + marked),
        _lost(evidence, fleet),
    ]
    return [table for table in found if table is not None]


def _table(
    evidence: Evidence, fleet: FleetRun, heading: str, columns: Mapping[str, str], labels: Sequence[str], note: str
) -> Table | None:
    def of(label: str) -> str:
        return fleet.strategies[0] if label == TOGETHER else label

    shown = [name for name in columns if any(evidence.interval(of(label), name) is not None for label in labels)]
    if not shown:
        return None
    units = {name: _unit(evidence, fleet, name, [of(label) for label in labels]) for name in shown}
    rows = []
    for label in labels:
        cells = [_cell(evidence, fleet, of(label), name, units[name][0], label != TOGETHER) for name in shown]
        rows.append([Cell(label), *cells])
    headings = ["strategy", *(f"{columns[name]}{', ' if units[name][1] else ''}{units[name][1]}" for name in shown)]
    return Table(heading, headings, rows, 1, note)


def _unit(evidence: Evidence, fleet: FleetRun, name: str, strategies: Sequence[str]) -> tuple[float, str]:
    """The factor and the unit of a column."""
    values = [
        abs(float(one["mean"]))
        for strategy in strategies
        if (one := evidence.interval(strategy, name)) and one["mean"] is not None
    ]
    each = 1.0 / fleet.scale if name in _OF_SIMULATED else 1.0
    if metric(name).unit == "bytes":
        factor, unit = (1e-6, "MB") if max(values, default=0.0) * each >= 1e6 else (1e-3, "kB")
        return factor * each, unit
    if name in _OF_SIMULATED:
        return each, ""
    if name.endswith("_saturated_s"):
        return 1.0, "s"
    return scaled(name, max(values, default=0.0))


def _cell(evidence: Evidence, fleet: FleetRun, strategy: str, name: str, factor: float, own: bool) -> Cell:
    found = evidence.interval(strategy, name)
    if found is None:
        return Cell("–")
    mean, low, high = found["mean"], found["low"], found["high"]
    mark = _mark(evidence, fleet, strategy, name) if own else ""
    if mean is None or not math.isfinite(mean):
        return Cell("not reached", str(found["note"]).replace("drives", "replications") if fleet.replications > 1 else "", mark)
    if low is None or high is None:
        unit = metric(name).unit
        if unit == "share":
            return Cell(percent(round(float(mean), 6)).partition(NBSP)[0], "", mark)
        return Cell(whole(mean * factor) if unit == "count" else significant(mean * factor), "", mark)
    return Cell(*with_bounds(name, mean, low, high, factor), mark)


def _mark(evidence: Evidence, fleet: FleetRun, strategy: str, name: str) -> str:
    """Marks where the replications carry a verdict, and it is not that nobody is told apart."""
    if fleet.replications < least_drives() or len(fleet.strategies) < 2 or name in _NO_MERIT:
        return ""
    leading = evidence.leaders(name, fleet.strategies)
    if strategy not in leading or len(leading) == len(fleet.strategies):
        return ""
    return "best" if len(leading) == 1 else "joint"


def _lost(evidence: Evidence, fleet: FleetRun) -> Table | None:
    """Lost messages by cause, all replications together."""
    by_cause = {name: evidence.of(name)["lost_by_cause"] for name in fleet.strategies}
    causes = sorted({cause for one in by_cause.values() for cause in one})
    if not causes:
        return None
    rows = [
        [Cell(cause.replace("_", " ")), *(Cell(whole(by_cause[name].get(cause, 0) / fleet.scale)) for name in fleet.strategies)]
        for cause in causes
    ]
    note = "The fleet's number of messages" + (", all replications together." if fleet.replications > 1 else ".")
    return Table("Lost by cause", ["cause", *fleet.strategies], rows, 1, note)


def csv_tables(evidence: Evidence, fleet: FleetRun) -> dict[str, pl.DataFrame]:
    """File name (without .csv) -> frame: every metric with its interval, what the figures show second by second, times back."""
    metrics = [
        {"strategy": strategy, "metric": name, "unit": one.unit, "doc": one.doc, **found}
        for strategy in fleet.strategies
        for name, one in METRICS.items()
        if (found := evidence.interval(strategy, name)) is not None
    ]
    of_metrics: dict[str, Any] = {
        "strategy": pl.String, "metric": pl.String, "unit": pl.String, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64,
        "n": pl.Int64, "note": pl.String, "doc": pl.String,
    }  # fmt: skip
    seconds_s = fleet.edges_s[:-1]
    course: dict[str, Any] = {"clock_s": seconds_s}
    for name, share in fleet.connected.items():
        course[f"{name}: connected share"] = share[:-1]
    for direction, shares in fleet.air.items():
        course |= {f"{name}: busy share, {direction}": share for name, share in shares.items()}
    for name, one in fleet.courses.items():
        course |= {f"{name}: connections per s": one.asked, f"{name}: handshakes per s": one.handshakes}
        course |= {f"{name}: waiting, {station}": values for station, values in one.waiting.items()}
        course |= {f"{name}: busy share, {station}": values for station, values in one.busy.items()}
    back = [(name, float(value)) for name in fleet.strategies for value in fleet.back_s(name)]
    rows = [{key: row.get(key) for key in of_metrics} for row in metrics]
    return {
        "metrics": pl.DataFrame(rows, schema=of_metrics),
        "fleet_course": pl.DataFrame(course).with_columns(pl.exclude("clock_s").fill_nan(None)),
        "fleet_back": pl.DataFrame(back, schema={"strategy": pl.String, "back_s": pl.Float64}, orient="row"),
    }
