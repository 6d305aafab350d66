"""How long messages take: the share still undelivered after each time, on log axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.measure.delivery import WORKLOAD_KINDS
from sim.report.axes_words import log_durations, log_shares
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.numbers import percent, seconds
from sim.report.palette import INK, MUTED, RULE, Style, styles
from sim.report.spread import joined_names, spread

_MOST_STEPS = 260


@dataclass(frozen=True, slots=True)
class Survival:
    """Latency (s, ascending) and the share of the created messages that was not delivered within it; `never`: not at all."""

    strategy: str
    latency_s: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]
    created: int
    never: float


def survival(messages: pl.DataFrame, strategies: Sequence[str] | None = None) -> list[Survival]:
    """The complementary distribution of each strategy's latency, over all created messages but the probes."""
    work = messages.filter(pl.col("kind").is_in(WORKLOAD_KINDS))
    names = list(strategies) if strategies is not None else work["strategy"].unique(maintain_order=True).to_list()
    found = []
    for name in names:
        mine = work.filter(pl.col("strategy") == name)
        if not mine.height:
            continue
        latency = np.sort((mine["delivered_s"] - mine["created_s"]).drop_nulls().to_numpy())
        share = 1.0 - np.arange(1, len(latency) + 1) / mine.height
        found.append(Survival(name, latency, share, mine.height, 1.0 - len(latency) / mine.height))
    return found


@drawn
def latency_distribution(messages: pl.DataFrame, strategies: Sequence[str] | None = None) -> Figure:
    """Share of the created messages not yet delivered, against the time since creation; lower and further left is better.

    `messages`: rows of the table of that name; `strategies`: their order, which decides the colours. What was never
    delivered stays as a level line to the right.
    """
    curves = survival(messages, strategies)
    looks = styles(list(strategies) if strategies is not None else [curve.strategy for curve in curves])
    height = max(3.0, 0.5 + 0.2 * len(curves))
    figure = new_figure(COLUMN_IN, height + 0.78)
    axes = axes_in(figure, 0.62, 0.5, 2.9, height)
    created = max((curve.created for curve in curves), default=1)
    fastest = min((float(curve.latency_s[0]) for curve in curves if len(curve.latency_s)), default=0.01)
    slowest = max((float(curve.latency_s[-1]) for curve in curves if len(curve.latency_s)), default=1.0)
    low_s = 10.0 ** math.floor(math.log10(max(fastest, 1e-3)))
    high_s = max(slowest * 1.5, 20.0)
    floor = 10.0 ** math.floor(math.log10(0.4 / created))
    log_durations(axes, low_s, high_s)
    log_shares(axes, floor)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    groups = _same(curves)
    for group in groups:
        x, y = _steps(group[0], low_s, high_s, 0.5 / created)
        for number, curve in enumerate(group):
            look = looks[curve.strategy]
            # equal curves lie on each other: the later ones are dashed, so that all colours show
            dashes = look.dashes if number == 0 else (4.0 * number, (4.0, 4.0 * (len(group) - 1)))
            axes.plot(x, y, color=look.colour, linestyle=dashes, linewidth=1.7, drawstyle="steps-post", dash_capstyle="butt")
    _names(axes, groups, looks, 0.5 / created, floor)
    axes.set_xlabel("time since creation (log scale)")
    title = "Share of messages not yet delivered (log scale)"
    figure.text(0.02, 1 - 0.1 / (height + 0.78), title, va="top", fontsize=TEXT_PT, color=MUTED)
    return figure


def _same(curves: list[Survival]) -> list[list[Survival]]:
    """Curves that are equal share a line and a name."""
    groups: list[list[Survival]] = []
    for curve in curves:
        for group in groups:
            if curve.never == group[0].never and np.array_equal(curve.latency_s, group[0].latency_s):
                group.append(curve)
                break
        else:
            groups.append([curve])
    return groups


def _steps(curve: Survival, low_s: float, high_s: float, floor: float) -> tuple[list[float], list[float]]:
    """The curve with as many steps as can be seen: thinned evenly along the log of the share."""
    n = len(curve.latency_s)
    if n > _MOST_STEPS:
        remaining = np.unique(np.geomspace(1, n, _MOST_STEPS).astype(np.int64))
        keep = np.unique(np.append(n - remaining, np.linspace(0, n - 1, 60).astype(np.int64)))
    else:
        keep = np.arange(n)
    x = [low_s, *np.maximum(curve.latency_s[keep], low_s).tolist()]
    y = [1.0, *np.maximum(curve.share[keep], floor).tolist()]
    if curve.never > 0.0:
        x.append(high_s)
        y.append(max(curve.never, floor))
    return x, y


def _names(axes: Axes, groups: list[list[Survival]], looks: Mapping[str, Style], floor: float, low: float) -> None:
    """Names in a column on the right: with the share that never arrived, or the time in which all did."""
    height = axes.bbox.height / axes.figure.dpi
    ends, wanted = [], []
    for group in groups:
        curve = group[0]
        x = axes.get_xlim()[1] if curve.never > 0.0 or not len(curve.latency_s) else float(curve.latency_s[-1])
        y = max(curve.never, floor)
        ends.append((x, y))
        at = (math.log10(y) - math.log10(low)) / (math.log10(1.3) - math.log10(low)) * height
        # curves that reach zero all end on the floor: the slower ones are named above
        wanted.append(at + 1e-4 * math.log10(max(x, 1e-3)))
    for group, (x, y), at in zip(groups, ends, spread(wanted, 0.33, 0.06, height - 0.1), strict=True):
        curve, look = group[0], looks[group[0].strategy]
        fate = f"{percent(curve.never)} never" if curve.never > 0.0 else f"all within {seconds(float(curve.latency_s[-1]))}"
        axes.annotate(
            joined_names([one.strategy for one in group], 24),
            xy=(x, y),
            xytext=(1.07, (at + 0.06) / height),
            textcoords="axes fraction",
            va="center",
            fontsize=SMALL_PT + 0.2,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "color": look.colour,
                "linewidth": 0.7,
                "alpha": 0.8,
                "shrinkA": 1.0,
                "shrinkB": 1.0,
                "relpos": (0.0, 0.1),
            },
            annotation_clip=False,
        )
        axes.text(1.07, (at - 0.07) / height, fate, transform=axes.transAxes, va="center", fontsize=SMALL_PT - 0.6, color=MUTED)
        if curve.never == 0.0 and len(curve.latency_s):
            face = "none" if look.hollow else look.colour
            axes.plot((x,), (y,), marker=look.marker, markersize=5, color=look.colour, markerfacecolor=face, clip_on=False)
