"""What delivery costs: data volume against messages that came late or never, one dot with its intervals per strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sim.report.axes_words import duration_tick, nice_step, percent_tick
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.numbers import significant
from sim.report.palette import INK, MUTED, RULE, Style, styles
from sim.report.spread import joined_names, spread

COST = "mb_per_vehicle_month"
DELIVERY = "all.delivered_within_60s"
LATENCY = "all.latency_s.mean_capped"
_MOST = 27  # characters of a name in the column on the right


@dataclass(frozen=True, slots=True)
class Point:
    """A strategy's cost and its shortfall (share not delivered within 60 s, or mean latency in s), each with low and high."""

    strategy: str
    cost: tuple[float, float, float]
    shortfall: tuple[float, float, float]


def trade_off_points(metrics: Mapping[str, Any], strategies: Sequence[str] | None = None) -> tuple[str, list[Point]]:
    """The metric on the upright axis and the points of the strategies that have both numbers.

    It is the delivery within 60 s, or the mean latency where all strategies deliver the same share.
    """
    order = list(metrics["strategies"]) if strategies is None else strategies
    entries = {strategy: metrics["strategies"][strategy] for strategy in order}
    shares = {_mean(numbers, DELIVERY) for numbers in entries.values()} - {None}
    name = DELIVERY if len(shares) > 1 else LATENCY
    points = []
    for strategy, numbers in entries.items():
        cost, value = (_range(numbers, key) for key in (COST, name))
        if cost is None or value is None:
            continue
        if name == DELIVERY:
            value = (max(1.0 - value[0], 0.0), max(1.0 - value[2], 0.0), max(1.0 - value[1], 0.0))
        points.append(Point(strategy, cost, value))
    return name, points


#: What paired differences show of a strategy beside another on a metric: (metric, a, b) -> "better", "worse" or "no evidence".
Shown = Callable[[str, str, str], str]

#: A strategy that is ahead on one of these has its place in the choice, whatever the two axes say.
_MERITS = (COST, DELIVERY, "all.delivered_within_10s", LATENCY)


def dominated(names: Sequence[str], axis: str, shown: Shown) -> set[str]:
    """Strategies that the paired evidence shows to be worse than another on an axis, and better than it in nothing.

    `axis` is the metric on the upright axis. Nothing are the data, both shares delivered and the mean latency: the one that the
    headline calls best is never grey. A difference of the means that may be chance makes nobody worse.
    """
    return {
        one
        for one in names
        for other in names
        if one != other
        and "worse" in (shown(COST, one, other), shown(axis, one, other))
        and not any(shown(name, one, other) == "better" for name in _MERITS)
    }


@drawn
def trade_off(metrics: Mapping[str, Any], strategies: Sequence[str] | None = None, grey: Collection[str] = ()) -> Figure:
    """MB per vehicle-month against the share not delivered within 60 s; up and left is better.

    `metrics` is the content of metrics.json, `strategies` their order, which decides the colours, `grey` the dominated.
    Where all deliver the same share within 60 s the upright axis is the mean latency.
    """
    names = list(metrics["strategies"]) if strategies is None else list(strategies)
    name, points = trade_off_points(metrics, names)
    groups = _same_place(points)
    height = max(2.75, 0.55 + 0.21 * len(groups))
    figure = new_figure(COLUMN_IN, height + 0.75)
    axes = axes_in(figure, 0.78, 0.5, 2.62, height)
    _upright_axis(axes, name, points)
    _cost_axis(axes, points)
    looks = styles(names)
    for point in points:
        _dot(axes, point, looks[point.strategy], point.strategy in grey)
    _names(axes, groups, looks, grey)
    axes.set_xlabel("MB per vehicle and month")
    figure.text(0.02, 1 - 0.1 / (height + 0.75), _TITLES[name], ha="left", va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


_TITLES = {
    DELIVERY: "Not delivered within 60 s (up is better, log scale)",
    LATENCY: "Mean latency, undelivered to the end of the run (up is better, log scale)",
}


def _mean(numbers: Mapping[str, Any], name: str) -> float | None:
    found = numbers["intervals"].get(name)
    return None if found is None or found["mean"] is None else float(found["mean"])


def _range(numbers: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    mean = _mean(numbers, name)
    if mean is None:
        return None
    found = numbers["intervals"][name]
    low, high = (mean if found[side] is None else float(found[side]) for side in ("low", "high"))
    return mean, low, high


def _same_place(points: list[Point]) -> list[list[Point]]:
    """Points that fall on each other share one label."""
    groups: list[list[Point]] = []
    for point in points:
        for group in groups:
            first = group[0]
            same_cost = math.isclose(first.cost[0], point.cost[0], rel_tol=1e-6)
            if same_cost and math.isclose(first.shortfall[0], point.shortfall[0], rel_tol=1e-6, abs_tol=1e-12):
                group.append(point)
                break
        else:
            groups.append([point])
    return groups


def _upright_axis(axes: Axes, name: str, points: list[Point]) -> None:
    values = [value for point in points for value in point.shortfall if value > 0.0]
    floor = 10.0 ** math.floor(math.log10(min(values))) if values else 0.001
    ceiling = max(values, default=floor * 10.0)
    if name == DELIVERY:
        axes.set_yscale("symlog", linthresh=floor, linscale=0.6)
        axes.set_ylim(min(ceiling * 2.0, 1.3) if ceiling > 0.05 else ceiling * 3.0, -floor * 0.45)
        ticks = [0.0, *(10.0**power for power in range(round(math.log10(floor)), 1) if 10.0**power <= ceiling * 2.0)]
        labels = ["none", *(percent_tick(tick) for tick in ticks[1:])]
    else:
        axes.set_yscale("log")
        low = min(values, default=0.1)
        axes.set_ylim(ceiling * 1.5, low / 1.5)
        ladder = [factor * 10.0**power for power in range(-3, 6) for factor in (1.0, 2.0, 5.0)]
        ticks = [tick for tick in ladder if low / 1.5 <= tick <= ceiling * 1.5]
        labels = [duration_tick(tick) for tick in ticks]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels(labels)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _cost_axis(axes: Axes, points: list[Point]) -> None:
    values = [value for point in points for value in point.cost]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low > 0.0 and high / low > 8.0:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.4, high * 1.4)
        ladder = [factor * 10.0**power for power in range(-3, 9) for factor in ((1.0,) if high / low > 300.0 else (1.0, 3.0))]
        ticks = [tick for tick in ladder if low / 1.4 <= tick <= high * 1.4]
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        pad = max((high - low) * 0.14, high * 0.02, 1e-9)
        low, high = max(low - pad, 0.0), high + pad
        step = nice_step(high - low, 4)
        ticks = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
        axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels([significant(tick, 4) for tick in ticks])


def _dot(axes: Axes, point: Point, look: Style, grey: bool) -> None:
    colour = MUTED if grey else look.colour
    (x, x_low, x_high), (y, y_low, y_high) = point.cost, point.shortfall
    axes.plot((x_low, x_high), (y, y), color=colour, linewidth=1.2, alpha=0.75, zorder=3)
    axes.plot((x, x), (y_low, y_high), color=colour, linewidth=1.2, alpha=0.75, zorder=3)
    axes.plot(
        (x,),
        (y,),
        marker=look.marker,
        markersize=7,
        color=colour,
        markeredgewidth=1.2,
        linestyle="none",
        clip_on=False,
        markerfacecolor="none" if look.hollow or grey else colour,
        zorder=4,
    )


def _names(axes: Axes, groups: list[list[Point]], looks: Mapping[str, Style], grey: Collection[str]) -> None:
    """Names in a column on the right, joined to their dots by thin lines."""
    height = axes.bbox.height / axes.figure.dpi
    to_display = axes.transData.transform
    inches = [(to_display((group[0].cost[0], group[0].shortfall[0]))[1] - axes.bbox.y0) / axes.figure.dpi for group in groups]
    for group, at in zip(groups, spread(inches, 0.21, 0.05, height - 0.02), strict=True):
        point = group[0]
        name = joined_names([one.strategy for one in group], _MOST)
        faint = point.strategy in grey
        axes.annotate(
            name,
            xy=(point.cost[0], point.shortfall[0]),
            xytext=(1.06, at / height),
            textcoords="axes fraction",
            va="center",
            fontsize=SMALL_PT + 0.2,
            color=MUTED if faint else INK,
            arrowprops={
                "arrowstyle": "-",
                "color": MUTED if faint else looks[point.strategy].colour,
                "linewidth": 0.6,
                "alpha": 0.7,
                "shrinkA": 1.0,
                "shrinkB": 5.0,
                "relpos": (0.0, 0.5),
            },
            annotation_clip=False,
        )
