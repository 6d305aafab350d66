"""The numbers of the report as frames, one for each CSV file in tables/."""

from __future__ import annotations

from typing import Any

import polars as pl

from sim.measure.metrics_catalog import METRICS
from sim.report.evidence import Evidence
from sim.report.figures_ledger import ledger_rows
from sim.report.settings_table import Variant


def csv_tables(evidence: Evidence, found: list[Variant]) -> dict[str, pl.DataFrame]:
    """File name (without .csv) -> frame. A table without rows keeps its columns."""
    return {
        "metrics": _metrics(evidence),
        "comparisons": _frame(
            evidence.metrics["comparisons"],
            {
                "metric": pl.String,
                "a": pl.String,
                "b": pl.String,
                "difference": pl.Float64,
                "low": pl.Float64,
                "high": pl.Float64,
                "verdict": pl.String,
                "n": pl.Int64,
                "note": pl.String,
            },
        ),
        "objectives": _frame(
            evidence.metrics["objectives"],
            {
                "strategy": pl.String,
                "metric": pl.String,
                "bound": pl.String,
                "value": pl.Float64,
                "low": pl.Float64,
                "high": pl.Float64,
                "verdict": pl.String,
                "note": pl.String,
            },
        ),
        "ledger": ledger_rows(evidence.run.messages, evidence.strategies),
        "recovery": _recovery(evidence),
        "cost": _cost(evidence),
        "attempts": _attempts(evidence),
        "settings": _settings(found),
    }


def _frame(rows: list[dict[str, Any]], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{key: row.get(key) for key in schema} for row in rows], schema=schema)


def _metrics(evidence: Evidence) -> pl.DataFrame:
    rows = []
    for strategy in evidence.strategies:
        for name, one in METRICS.items():
            found = evidence.interval(strategy, name)
            if found is not None:
                rows.append({"strategy": strategy, "metric": name, "unit": one.unit, "doc": one.doc, **found})
    schema = {
        "strategy": pl.String,
        "metric": pl.String,
        "unit": pl.String,
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "note": pl.String,
        "doc": pl.String,
    }
    return _frame(rows, schema)


def _recovery(evidence: Evidence) -> pl.DataFrame:
    rows = []
    for strategy in evidence.strategies:
        numbers = evidence.of(strategy)["recovery_s"]
        for label, mean_s in numbers["phases"].items():
            rows.append(
                {
                    "strategy": strategy,
                    "label": label,
                    "mean_s": mean_s,
                    "episodes": numbers["n"],
                    "did_not_end": numbers["censored"],
                }
            )
    schema = {"strategy": pl.String, "label": pl.String, "mean_s": pl.Float64, "episodes": pl.Int64, "did_not_end": pl.Int64}
    return _frame(rows, schema)


def _cost(evidence: Evidence) -> pl.DataFrame:
    rows = []
    for strategy in evidence.strategies:
        for purpose, both in evidence.of(strategy)["bytes"].items():
            if isinstance(both, dict):
                rows.append({"strategy": strategy, "purpose": purpose, "bytes_up": both["up"], "bytes_down": both["down"]})
    return _frame(rows, {"strategy": pl.String, "purpose": pl.String, "bytes_up": pl.Int64, "bytes_down": pl.Int64})


def _attempts(evidence: Evidence) -> pl.DataFrame:
    rows = []
    for strategy in evidence.strategies:
        for purpose, numbers in evidence.of(strategy)["attempts"]["by_purpose"].items():
            rows.append({"strategy": strategy, "purpose": purpose, "total": numbers["total"], "failed": numbers["failed"]})
    return _frame(rows, {"strategy": pl.String, "purpose": pl.String, "total": pl.Int64, "failed": pl.Int64})


def _settings(found: list[Variant]) -> pl.DataFrame:
    rows = []
    for one in found:
        for knob in one.knobs:
            rows.append(
                {
                    "strategy": one.name,
                    "base": one.base,
                    "setting": knob.name,
                    "seed": knob.seed,
                    "base_value": knob.base,
                    "value": knob.value,
                    "effect": "; ".join(one.effects),
                    "cost": one.cost,
                    "paste": knob.paste,
                }
            )
    columns = ("strategy", "base", "setting", "seed", "base_value", "value", "effect", "cost", "paste")
    return _frame(rows, dict.fromkeys(columns, pl.String))
