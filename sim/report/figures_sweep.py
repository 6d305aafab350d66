"""A metric over what a sweep varied: lines with intervals, and a heat map for two keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from sim.measure.metrics_catalog import metric
from sim.report.axes_words import nice_step
from sim.report.canvas import COLUMN_IN, PAGE_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.metric_words import heading, short_name
from sim.report.numbers import decimals, scaled, significant
from sim.report.palette import INK, MUTED, RULE, Style
from sim.report.spread import joined_names, shortened, spread
from sim.report.sweep_read import Sweep

MOST_PANELS = 6
_COLD, _HOT = (0xEE, 0xF3, 0xF9), (0x0B, 0x4F, 0x8A)
_ON_COLD, _ON_HOT = "#10161d", "#ffffff"  # of the cell, not of the page: the same in the dark


@drawn
def sweep_lines(sweep: Sweep, name: str, key: str, panels: str | None = None) -> Figure:
    """The metric over the values of `key`, a line for each strategy, mean and 95 % interval.

    `panels`: another key, of which each value has a panel of its own (small multiples, the same axes in all). Keys that are
    neither stand at their first value.
    """
    columns = _panels(sweep, key, panels)
    factor, unit = scale(sweep, name)
    width = COLUMN_IN if len(columns) == 1 else PAGE_IN
    per_row = min(len(columns), 3)
    rows = math.ceil(len(columns) / per_row)
    label_in = 1.55
    each_in = (width - 0.75 - label_in - 0.35 * (per_row - 1)) / per_row
    height = 2.5 if rows == 1 else 1.9
    total = rows * (height + 0.85) + 0.3
    figure = new_figure(width, total)
    shown = [point for _title, points in columns for point in points]
    low, high = _limits(sweep, name, shown, factor)
    hidden = out_of_sight(sweep, name, shown)
    for at, (title, points) in enumerate(columns):
        row, column = divmod(at, per_row)
        left = 0.72 + column * (each_in + 0.35)
        bottom = total - 0.3 - (row + 1) * (height + 0.85) + 0.55
        axes = axes_in(figure, left, bottom, each_in, height)
        ends = _draw_lines(axes, sweep, name, key, points, factor, hidden)
        axes.set_ylim(low, high)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        _value_axis(axes, sweep, key)
        top = factor if metric(name).unit == "share" else math.inf  # no share is above it
        _upright(axes, low, high, top, labels=column == 0)
        if title:
            axes.set_title(title, fontsize=TEXT_PT, color=INK, loc="left", pad=6)
        if row == rows - 1 or at + per_row >= len(columns):
            axes.set_xlabel(key)
        if column == per_row - 1 or at == len(columns) - 1:
            _labels(axes, ends, sweep.looks, height)
    better = "up" if metric(name).better == "higher" else "down"
    title = f"{heading(name)}{f', {unit}' if unit else ''} ({better} is better)"
    figure.text(0.02, 1 - 0.08 / total, title, ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


def scale(sweep: Sweep, name: str) -> tuple[float, str]:
    """Factor and unit in which all values of the metric in this sweep are shown."""
    values = [abs(row["value"]) for row in _rows(sweep, name) if row["value"] is not None and math.isfinite(row["value"])]
    return scaled(name, max(values, default=1.0))


def _rows(sweep: Sweep, name: str) -> list[dict[str, Any]]:
    found = [sweep.cell(point, strategy, name) for point in range(len(sweep.points)) for strategy in sweep.strategies]
    return [row for row in found if row is not None]


def _panels(sweep: Sweep, key: str, panels: str | None) -> list[tuple[str, list[int]]]:
    if panels is None:
        return [("", sweep.slice([key]))]
    values = next(axis["values"] for axis in sweep.axes if axis["key"] == panels)
    points = sweep.slice([key, panels])
    found = [(f"{panels} = {value}", [point for point in points if sweep.points[point][panels] == value]) for value in values]
    return [(title, mine) for title, mine in found if mine][:MOST_PANELS]


def position(sweep: Sweep, key: str, text: str) -> float:
    """Where a value stands on its axis: numbers where they are, words one after another."""
    axis = next(axis for axis in sweep.axes if axis["key"] == key)
    at = axis["values"].index(text)
    return float(axis["numbers"][at]) if axis["numbers"] is not None else float(at)


def _spread(sweep: Sweep, name: str, points: Sequence[int], strategies: Sequence[str]) -> tuple[float, float] | None:
    """Least and greatest end of an interval, in the metric's unit."""
    values: list[float] = []
    for point in points:
        for strategy in strategies:
            row = sweep.cell(point, strategy, name)
            if row is not None:
                values += [row[side] for side in ("value", "low", "high") if _finite(row[side])]
    return (min(values), max(values)) if values else None


def out_of_sight(sweep: Sweep, name: str, points: Sequence[int]) -> list[str]:
    """Baselines, and strategies that nothing varied concerns, so far off that the others would be pressed flat."""
    subject = sweep.subject()
    inner = _spread(sweep, name, points, subject)
    if inner is None:
        return []
    room = max(2.0 * (inner[1] - inner[0]), 0.25 * abs(inner[1]))
    hidden = []
    for strategy in sweep.strategies:
        mine = _spread(sweep, name, points, [strategy])
        far = mine is not None and (mine[1] < inner[0] - room or mine[0] > inner[1] + room)
        if far and strategy not in subject:
            hidden.append(strategy)
    return hidden


def _limits(sweep: Sweep, name: str, points: Sequence[int], factor: float) -> tuple[float, float]:
    hidden = out_of_sight(sweep, name, points)
    found = _spread(sweep, name, points, [strategy for strategy in sweep.strategies if strategy not in hidden])
    if found is None:
        return 0.0, 1.0
    low, high = found[0] * factor, found[1] * factor
    pad = max((high - low) * 0.08, abs(high) * 0.01, 1e-9)
    return (0.0 if 0.0 <= low < 0.35 * high else low - pad), high + pad


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _draw_lines(
    axes: Axes, sweep: Sweep, name: str, key: str, points: Sequence[int], factor: float, hidden: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Draw a line for each strategy; returns (strategy, x, y) of its last point."""
    ends = []
    n = len(sweep.strategies)
    numbers = next(axis["numbers"] for axis in sweep.axes if axis["key"] == key)
    for at, strategy in enumerate(sweep.strategies):
        if strategy in hidden:
            continue
        look = sweep.looks[strategy]
        found = [(position(sweep, key, sweep.points[point][key]), sweep.cell(point, strategy, name)) for point in points]
        drawn_points = [(x, row) for x, row in sorted(found, key=lambda pair: pair[0]) if row and _finite(row["value"])]
        if not drawn_points:
            continue
        xs = [x for x, _row in drawn_points]
        ys = [row["value"] * factor for _x, row in drawn_points]
        # words, not numbers: nothing lies between them; and dots of one value are moved apart
        shift = 0.0 if numbers is not None else (at - (n - 1) / 2.0) * min(0.5 / max(n, 1), 0.12)
        xs = [x + shift for x in xs]
        faint = 0.55 if not sweep.moved[strategy] else 1.0
        axes.plot(xs, ys, color=look.colour, linestyle=look.dashes if numbers is not None else "none", linewidth=1.6, alpha=faint)
        axes.plot(
            xs, ys, color=look.colour, linestyle="none", marker=look.marker, markersize=5, alpha=faint,
            markerfacecolor="none" if look.hollow else look.colour,
        )  # fmt: skip
        for x, (_x, row) in zip(xs, drawn_points, strict=True):
            if _finite(row["low"]) and _finite(row["high"]):
                axes.plot(
                    (x, x), (row["low"] * factor, row["high"] * factor), color=look.colour, linewidth=1.1, alpha=0.75 * faint
                )
        ends.append((strategy, xs[-1], ys[-1]))
    return ends


def _value_axis(axes: Axes, sweep: Sweep, key: str) -> None:
    axis = next(axis for axis in sweep.axes if axis["key"] == key)
    places = [position(sweep, key, text) for text in axis["values"]]
    texts = list(axis["values"])
    ordered = sorted(zip(places, texts, strict=True))
    if axis["numbers"] is not None and ordered[0][0] > 0.0 and ordered[-1][0] / ordered[0][0] >= 20.0:
        axes.set_xscale("log")
        axes.set_xlim(ordered[0][0] / 1.15, ordered[-1][0] * 1.15)
    else:
        span = ordered[-1][0] - ordered[0][0]
        pad = span * 0.05 if axis["numbers"] is not None and span else 0.5
        axes.set_xlim(ordered[0][0] - pad, ordered[-1][0] + pad)
    shown = _apart(axes, ordered)
    axes.xaxis.set_major_locator(FixedLocator([place for place, _text in shown]))
    axes.set_xticklabels([shortened(text, 16) for _place, text in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _apart(axes: Axes, ordered: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Ticks whose labels do not touch."""
    width_in = axes.bbox.width / axes.figure.dpi
    kept: list[tuple[float, str]] = []
    last = -math.inf
    for place, text in ordered:
        at = (axes.transData.transform((place, 0.0))[0] - axes.bbox.x0) / axes.bbox.width * width_in
        half = len(shortened(text, 16)) * 0.034
        if at - half > last + 0.05:
            kept.append((place, text))
            last = at + half
    return kept


def _upright(axes: Axes, low: float, high: float, top: float, labels: bool) -> None:
    step = nice_step(high - low, 5)
    high = min(high, top)
    ticks = [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    places = max(-math.floor(math.log10(step) + 1e-9), 0)
    axes.set_yticklabels([f"{tick:,.{places}f}" if labels else "" for tick in ticks])


def _labels(axes: Axes, ends: Sequence[tuple[str, float, float]], looks: dict[str, Style], height: float) -> None:
    groups: list[list[tuple[str, float, float]]] = []
    for end in ends:
        same = next((group for group in groups if math.isclose(group[0][2], end[2], rel_tol=1e-9, abs_tol=1e-12)), None)
        if same is None:
            groups.append([end])
        else:
            same.append(end)
    low, high = axes.get_ylim()
    wanted = [(group[0][2] - low) / (high - low) * height for group in groups]
    for group, at in zip(groups, spread(wanted, 0.19, 0.02, height), strict=True):
        strategy, x, y = group[0]
        axes.annotate(
            joined_names([one[0] for one in group], 22), xy=(x, y), xytext=(1.05, at / height), textcoords="axes fraction",
            va="center", fontsize=SMALL_PT, color=INK, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[strategy].colour, "linewidth": 0.6, "shrinkA": 1.0, "shrinkB": 4.0,
                        "relpos": (0.0, 0.5)},
        )  # fmt: skip


@drawn
def sweep_heat(sweep: Sweep, name: str, strategy: str, across: str, down: str) -> Figure:
    """The metric of one strategy at each pair of values of two keys; the other keys stand at their first value.

    Dark is better. Each cell says its mean; intervals are in the table.
    """
    by_key = {axis["key"]: axis for axis in sweep.axes}
    columns, rows = by_key[across]["values"], by_key[down]["values"]
    factor, unit = scale(sweep, name)
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for point in sweep.slice([across, down]):
        row = sweep.cell(point, strategy, name)
        if row is not None and _finite(row["value"]):
            found[columns.index(sweep.points[point][across]), rows.index(sweep.points[point][down])] = row
    values = [row["value"] * factor for row in found.values()]
    low, high = min(values, default=0.0), max(values, default=1.0)
    left = 0.5 + 0.066 * max(len(shortened(text, 22)) for text in rows)
    cell_w = min(1.05, (PAGE_IN - left - 0.2) / len(columns))
    cell_h = 0.36
    width = max(left + cell_w * len(columns) + 0.15, COLUMN_IN)
    height = 1.0 + cell_h * len(rows)
    figure = new_figure(width, height)
    axes = axes_in(figure, left, 0.5, cell_w * len(columns), cell_h * len(rows))
    bare(axes)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    for (column, row_at), row in found.items():
        share = 0.5 if high <= low else (row["value"] * factor - low) / (high - low)
        share = share if metric(name).better == "higher" else 1.0 - share
        axes.add_patch(Rectangle((column, row_at), 1, 1, facecolor=_colour(share), edgecolor="none"))
        axes.text(
            column + 0.5, row_at + 0.5, _number(row, factor), ha="center", va="center", fontsize=SMALL_PT,
            color=_ON_HOT if share > 0.55 else _ON_COLD,
        )  # fmt: skip
    axes.set_xticks([at + 0.5 for at in range(len(columns))])
    axes.set_xticklabels([shortened(text, max(int(cell_w / 0.075), 4)) for text in columns])
    axes.set_yticks([at + 0.5 for at in range(len(rows))])
    axes.set_yticklabels([shortened(text, 22) for text in rows])
    axes.tick_params(length=0)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    title = f"{strategy}: {short_name(name)}{f', {unit}' if unit else ''} (dark is better)"
    figure.text(0.02, 1 - 0.08 / height, title, ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


def _colour(share: float) -> str:
    return "#" + "".join(f"{round(cold + (hot - cold) * share):02x}" for cold, hot in zip(_COLD, _HOT, strict=True))


def _number(row: dict[str, Any], factor: float) -> str:
    value = row["value"] * factor
    if not (_finite(row["low"]) and _finite(row["high"])):
        return significant(value, 4)
    return f"{value:,.{decimals(row['low'] * factor, row['high'] * factor)}f}"
