"""Scenarios by strategies: a row of panels for each run, a panel for each metric, a dot with its interval for each strategy."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sim.report.axes_words import nice_step
from sim.report.canvas import PAGE_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.comparison import Comparison
from sim.report.metric_words import heading
from sim.report.numbers import scaled
from sim.report.palette import INK, MUTED, RULE
from sim.report.spread import shortened

_ROW_IN = 0.2
_NAMES_IN = 1.75


def panels(comparison: Comparison) -> list[str]:
    """The metrics that have data, four at most."""
    found = [
        name
        for name in comparison.metrics
        if any(comparison.cell(label, one, name) for label in comparison.runs for one in comparison.strategies)
    ]
    return found[:4]


def far_off(comparison: Comparison, name: str) -> list[str]:
    """Baselines that would press the others flat: they are left out of the panels of this metric."""
    inner = [value for one in comparison.subjects for value in _ends(comparison, one, name)]
    if not inner:
        return []
    room = max(2.0 * (max(inner) - min(inner)), 0.25 * abs(max(inner)))
    hidden = []
    for one in comparison.strategies:
        mine = _ends(comparison, one, name)
        if one not in comparison.subjects and mine and (max(mine) > max(inner) + room or min(mine) < min(inner) - room):
            hidden.append(one)
    return hidden


def _ends(comparison: Comparison, strategy: str, name: str) -> list[float]:
    found = [comparison.cell(label, strategy, name) for label in comparison.runs]
    values = [row[side] for row in found if row is not None for side in ("mean", "low", "high")]
    return [float(value) for value in values if value is not None and math.isfinite(value)]


@drawn
def scenario_matrix(comparison: Comparison) -> Figure:
    """Small multiples: rows are runs, columns metrics; the axes of a column are the same in every row."""
    names = panels(comparison)
    each_in = (PAGE_IN - _NAMES_IN - 0.15 - 0.3 * (len(names) - 1)) / max(len(names), 1)
    bodies = {label: _ROW_IN * len(run.strategies) + 0.1 for label, run in comparison.runs.items()}
    height = 0.45 + sum(body + 0.42 for body in bodies.values()) + 0.25
    figure = new_figure(PAGE_IN, height)
    for column, name in enumerate(names):
        hidden = far_off(comparison, name)
        values = [value for one in comparison.strategies if one not in hidden for value in _ends(comparison, one, name)]
        factor, unit = scaled(name, max((abs(value) for value in values), default=1.0))
        low, high = min(values, default=0.0) * factor, max(values, default=1.0) * factor
        pad = max((high - low) * 0.07, abs(high) * 0.005, 1e-9)
        left = _NAMES_IN + column * (each_in + 0.3)
        bottom = height - 0.45
        for row, (label, body_in) in enumerate(bodies.items()):
            bottom -= body_in + 0.42
            strategies = comparison.runs[label].strategies
            axes = axes_in(figure, left, bottom, each_in, body_in)
            axes.set_xlim(low - pad, high + pad)
            axes.set_ylim(len(strategies) - 0.4, -0.6)
            _dots(axes, comparison, label, name, factor, hidden)
            _ticks(axes, low, high, labels=row == len(comparison.runs) - 1)
            axes.spines["left"].set_visible(False)
            axes.yaxis.set_major_locator(FixedLocator(range(len(strategies)) if column == 0 else []))
            if column == 0:
                axes.set_yticklabels([shortened(one, 24) for one in strategies], color=INK, fontsize=SMALL_PT)
                axes.tick_params(axis="y", length=0)
                figure.text(0.01, (bottom + body_in + 0.14) / height, shortened(label, 60), ha="left", va="center",
                            fontsize=TEXT_PT, color=INK, fontweight="bold")  # fmt: skip
            if row == 0:
                title = f"{heading(name)}{f', {unit}' if unit else ''}"
                figure.text(left / PAGE_IN, 1 - 0.1 / height, title, ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


def _dots(axes: Axes, comparison: Comparison, label: str, name: str, factor: float, hidden: list[str]) -> None:
    for at, strategy in enumerate(comparison.runs[label].strategies):
        axes.axhline(at, color=RULE, linewidth=0.5, zorder=0)
        found = comparison.cell(label, strategy, name)
        if found is None or strategy in hidden or found["mean"] is None or not math.isfinite(found["mean"]):
            continue
        look = comparison.looks[strategy]
        if found["low"] is not None and found["high"] is not None:
            axes.plot((found["low"] * factor, found["high"] * factor), (at, at), color=look.colour, linewidth=1.5)
        axes.plot(
            (found["mean"] * factor,), (at,), marker=look.marker, markersize=5.5, color=look.colour, linestyle="none",
            markerfacecolor="none" if look.hollow else look.colour, clip_on=False,
        )  # fmt: skip


def _ticks(axes: Axes, low: float, high: float, labels: bool) -> None:
    step = nice_step(max(high - low, abs(high) * 0.01, 1e-9), 3)
    ticks = [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    if not ticks:
        ticks = [round(low / step) * step]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    places = max(-math.floor(math.log10(step) + 1e-9), 0)
    axes.set_xticklabels([f"{tick:,.{places}f}" if labels else "" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
