"""Which key drives a metric, as bars; and the front of a tuning, as dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sim.measure.metrics_catalog import metric
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.metric_words import heading
from sim.report.numbers import scaled
from sim.report.palette import INK, MUTED, RULE
from sim.report.spread import shortened

_FIRST, _TOTAL = "#0b6fb8", "#a6aeb8"
_FRONT = "#d1500a"


@drawn
def sensitivity_bars(rows: pl.DataFrame) -> Figure:
    """Bars of the keys for one strategy and metric: rows of `sensitivity.csv`.

    Sobol: the share of the variance by the key alone, before that with its interactions; lines are 95 % intervals. Morris: the
    mean effect.
    """
    sobol = "ST" in rows.columns
    wide, wide_conf = ("ST", "ST_conf") if sobol else ("mu_star", "mu_star_conf")
    ordered = rows.sort(wide, descending=False, nulls_last=False)
    name = str(rows["metric"][0])
    n = ordered.height
    figure = new_figure(COLUMN_IN, 1.05 + 0.34 * n)
    axes = axes_in(figure, 2.05, 0.45, COLUMN_IN - 2.25, 0.34 * n)
    factor, unit = (1.0, "") if sobol else scaled(name, float(ordered[wide].max() or 1.0))  # type: ignore[arg-type]
    for at, row in enumerate(ordered.iter_rows(named=True)):
        if row[wide] is None:
            continue
        axes.barh(at, row[wide] * factor, height=0.62, color=_TOTAL)
        if sobol:
            axes.barh(at, max(row["S1"], 0.0), height=0.3, color=_FIRST)
        half = (row[wide_conf] or 0.0) * factor
        axes.plot((max(row[wide] * factor - half, 0.0), row[wide] * factor + half), (at, at), color=INK, linewidth=1.0)
    axes.set_yticks(range(n))
    axes.set_yticklabels([shortened(key, 30) for key in ordered["key"]], color=INK, fontsize=SMALL_PT)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, n - 0.4)
    axes.set_xlim(0.0, 1.1 if sobol else None)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(
        "share of the variance: alone (blue), with interactions (grey)" if sobol else f"mean effect over the range, {unit}"
    )
    title = f"{rows['strategy'][0]}: {heading(name)}"
    figure.text(0.02, 1 - 0.08 / (1.05 + 0.34 * n), title, ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


@drawn
def tuning_front(trials: pl.DataFrame, across: str, up: str) -> Figure:
    """Every trial on two objectives; the front of all objectives in colour, with the numbers of the trials."""
    height = 3.0
    figure = new_figure(COLUMN_IN, height + 0.85)
    axes = axes_in(figure, 0.85, 0.55, COLUMN_IN - 1.05, height)
    x_factor, x_unit = scaled(across, float(trials[across].abs().max() or 1.0))  # type: ignore[arg-type]
    y_factor, y_unit = scaled(up, float(trials[up].abs().max() or 1.0))  # type: ignore[arg-type]
    rest, front = trials.filter(~pl.col("front")), trials.filter(pl.col("front"))
    axes.plot(rest[across] * x_factor, rest[up] * y_factor, linestyle="none", marker="o", markersize=4, color=_TOTAL)
    axes.plot(front[across] * x_factor, front[up] * y_factor, linestyle="none", marker="o", markersize=6.5, color=_FRONT)
    for row in _apart(front, across, up):
        axes.annotate(
            str(row["trial"]), xy=(row[across] * x_factor, row[up] * y_factor), xytext=(5, 4), textcoords="offset points",
            fontsize=SMALL_PT, color=INK,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{heading(across)}{f', {x_unit}' if x_unit else ''} ({metric(across).better} is better)")
    title = f"{heading(up)}{f', {y_unit}' if y_unit else ''} ({metric(up).better} is better)"
    figure.text(0.02, 1 - 0.08 / (height + 0.85), title, ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


def _apart(front: pl.DataFrame, across: str, up: str) -> Sequence[dict[str, Any]]:
    """Trials whose labels do not fall on one another."""
    kept: list[dict[str, Any]] = []
    for row in front.iter_rows(named=True):
        spans = [(float(front[name].max()) - float(front[name].min())) or 1.0 for name in (across, up)]  # type: ignore[arg-type]
        near = any(
            abs(row[across] - other[across]) < 0.05 * spans[0] and abs(row[up] - other[up]) < 0.05 * spans[1] for other in kept
        )
        if not near:
            kept.append(row)
    return kept
