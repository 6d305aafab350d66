"""How far model and live run are apart: the latency of each message on both sides, and the differences of all timings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from sim.measure.agreement import Row
from sim.measure.tolerance import Tolerance
from sim.report.axes_words import duration_tick
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.numbers import percent, seconds
from sim.report.palette import ALERT, INK, MUTED, PAPER, RULE, SOFT, Style
from sim.report.spread import shortened, spread

#: What a timing is called in the strips, in their order from above.
KINDS = {
    "detection": "loss noticed",
    "asked": "attempt asked",
    "ready": "attempt ready",
    "first redelivery": "first redelivery",
    "caught up": "caught up",
    "connected": "connected",
    "disconnected": "disconnected",
    "delivered": "delivered",
}
_TICKS_S = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
_LINEAR_S = 0.01  # of the axis of differences, logarithmic beyond
_MOST_NAMES = 4
_CELL_IN = 0.02  # points nearer than this are one


@dataclass(frozen=True, slots=True)
class Pair:
    """Latency of one message in s: in the model (from, to: an interval), and live."""

    strategy: str
    name: str
    model_s: float
    model_to_s: float
    live_s: float
    agrees: bool

    @property
    def off_s(self) -> float:
        return self.live_s - min(max(self.live_s, self.model_s), self.model_to_s)


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """What was delivered on both sides, from the rows of a comparison; `at_s` of such a row is the creation."""
    found = []
    for row in rows:
        if row.what == "delivered" and row.difference is not None:
            high = row.model if row.model_to is None else row.model_to
            born, name = row.at_s, row.where.removeprefix("message ")
            found.append(Pair(row.strategy, name, row.model - born, high - born, row.live - born, row.agrees))
    return found


def kind_of(row: Row) -> str:
    """The strip that a timing belongs to."""
    return row.where.partition(" ")[0] if row.what == "time" else row.what


@drawn
def latency_pairs(found: Sequence[Pair], looks: Mapping[str, Style], tolerance: Tolerance, live: str = "live") -> Figure:
    """Delivery latency of each message, model to the right, live upwards, on log axes; the band is the tolerance.

    `looks`: strategy -> its look, in the order of the scenario. What parts is ringed and named.
    """
    names = [name for name in looks if any(pair.strategy == name for pair in found)]
    side_in = 3.3
    figure = new_figure(COLUMN_IN, side_in + 0.86)
    axes = axes_in(figure, 0.62, 0.52, side_in, side_in)
    values = [value for pair in found for value in (pair.model_s, pair.model_to_s, pair.live_s)]
    low, high = _limits(values)
    for set_scale, set_limits in ((axes.set_xscale, axes.set_xlim), (axes.set_yscale, axes.set_ylim)):
        set_scale("log")
        set_limits(low, high)
    ticks = [tick for tick in _TICKS_S if low <= tick <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_ticklabels([duration_tick(tick) for tick in ticks])
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    x = np.geomspace(low, high, 400)
    allowed = np.maximum(tolerance.relative_share * x, tolerance.absolute_s)
    axes.fill_between(x, np.maximum(x - allowed, low), x + allowed, color=SOFT, linewidth=0.0, zorder=0.4)
    for edge in (x - allowed, x + allowed):
        shown = np.where(edge > low, edge, np.nan)
        axes.plot(x, shown, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0.6)
    axes.plot((low, high), (low, high), color=MUTED, linewidth=0.8, zorder=0.6)
    per_in = (math.log10(high) - math.log10(low)) / side_in
    for name in names:
        _points(axes, [pair for pair in found if pair.strategy == name], looks[name], low, per_in)
    _name_parted(axes, [pair for pair in found if not pair.agrees], low, high, side_in)
    axes.set_xlabel("latency, model (log scale)")
    figure.text(
        0.12 / COLUMN_IN, 1 - 0.1 / (side_in + 0.86), f"Latency, {live} (log scale)", va="top", fontsize=TEXT_PT, color=MUTED
    )
    _who(figure, axes, names, found, looks, side_in)
    return figure


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low = max(min(values, default=0.01), 1e-3)
    high = max(max(values, default=1.0), 2.0 * low, 1.0)
    return 10.0 ** (math.log10(low) - 0.15), 10.0 ** (math.log10(high) + 0.15)


def _points(axes: Axes, mine: Sequence[Pair], look: Style, low: float, per_in: float) -> None:
    """Points of one strategy; those that would lie on each other are drawn once."""
    seen: set[tuple[int, int]] = set()
    x, y = [], []
    for pair in mine:
        at, up = max(min(max(pair.live_s, pair.model_s), pair.model_to_s), low), max(pair.live_s, low)
        if pair.model_to_s > pair.model_s:
            axes.plot((max(pair.model_s, low), max(pair.model_to_s, low)), (up, up), color=look.colour, linewidth=1.0, zorder=2)
        if not pair.agrees:
            axes.plot((at,), (up,), marker="o", markersize=8.5, markerfacecolor="none", markeredgecolor=ALERT, zorder=4)
        cell = (round(math.log10(at) / per_in / _CELL_IN), round(math.log10(up) / per_in / _CELL_IN))
        if cell not in seen:
            seen.add(cell)
            x.append(at)
            y.append(up)
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=look.marker,
        markersize=4.2,
        color=look.colour,
        markerfacecolor="none" if look.hollow else look.colour,
        alpha=0.85,
        markeredgewidth=0.6,
        zorder=3,
    )


def _name_parted(axes: Axes, parted: Sequence[Pair], low: float, high: float, side_in: float) -> None:
    """Names of those furthest off, beside their rings, moved apart where they would meet; a name stands once."""
    by_name: dict[str, list[Pair]] = {}
    for pair in sorted(parted, key=lambda pair: -abs(pair.off_s)):
        by_name.setdefault(pair.name, []).append(pair)
    shown = list(by_name.values())[:_MOST_NAMES]
    scale = side_in / (math.log10(high) - math.log10(low))
    at = [(math.log10(max(group[0].live_s, low)) - math.log10(low)) * scale for group in shown]
    for group, y, up in zip(shown, spread(at, 0.15, 0.08, side_in - 0.08), at, strict=True):
        pair = group[0]
        x = (math.log10(max(pair.model_s, low)) - math.log10(low)) * scale
        left = x > 0.6 * side_in
        times = f", {len(group)} times" if len(group) > 1 else ""
        axes.annotate(
            f"{pair.name} {'+' if pair.off_s > 0 else '−'}{seconds(abs(pair.off_s))}{times}",
            xy=(x / side_in, up / side_in),
            xycoords="axes fraction",
            xytext=((x + (-0.16 if left else 0.16)) / side_in, y / side_in),
            textcoords="axes fraction",
            ha="right" if left else "left",
            va="center",
            fontsize=SMALL_PT - 0.4,
            color=ALERT,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            arrowprops={
                "arrowstyle": "-",
                "color": ALERT,
                "linewidth": 0.5,
                "shrinkA": 1.0,
                "shrinkB": 4.0,
                "relpos": (1.0 if left else 0.0, 0.5),
            },
            zorder=5,
        )


def _who(
    figure: Figure, axes: Axes, names: Sequence[str], found: Sequence[Pair], looks: Mapping[str, Style], side_in: float
) -> None:
    """The strategies in a column on the right, with what each has."""
    width = float(figure.get_size_inches()[0])
    left = 0.62 + side_in + 0.14
    strip = axes_in(figure, left, 0.52, width - left, side_in)
    bare(strip)
    strip.set_xlim(0.0, width - left)
    strip.set_ylim(0.0, side_in)
    gap = min(0.42, side_in / max(len(names), 1))
    for number, name in enumerate(names):
        look, top = looks[name], side_in - 0.06 - gap * number
        mine = [pair for pair in found if pair.strategy == name]
        parted = sum(not pair.agrees for pair in mine)
        face = "none" if look.hollow else look.colour
        strip.plot((0.07,), (top,), marker=look.marker, markersize=5, color=look.colour, markerfacecolor=face)
        strip.text(0.18, top, shortened(name, 17), va="center", fontsize=SMALL_PT, color=INK)
        if gap >= 0.28:
            words = f"{len(mine):,} delivered" + (f", {parted} part" if parted else "")
            strip.text(0.18, top - 0.14, words, va="center", fontsize=SMALL_PT - 0.9, color=ALERT if parted else MUTED)


@drawn
def differences(rows: Sequence[Row], looks: Mapping[str, Style], tolerance: Tolerance, live: str = "live") -> Figure:
    """`live` minus model of each timing, in a strip for each kind; grey is what is allowed at any duration.

    `rows`: timings that both sides have. Logarithmic beyond 10 ms. A light line reaches as far as a share of the duration
    allows, where points that agree lie outside the grey. What parts is ringed.
    """
    kinds = [kind for kind in KINDS if any(kind_of(row) == kind for row in rows)]
    names = [name for name in looks if any(row.strategy == name for row in rows)]
    line_in = 0.085
    strip_in = max(line_in * len(names) + 0.16, 0.36)
    top_in, bottom_in = 0.3, 0.5
    key = _key_rows(names)
    key_in = 0.19 * len(key) + 0.02
    height = strip_in * max(len(kinds), 1)
    left, right = 1.18, 1.12
    width = COLUMN_IN - left - right
    figure = new_figure(COLUMN_IN, top_in + height + bottom_in + key_in)
    axes = axes_in(figure, left, bottom_in + key_in, width, height)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    most = max((abs(row.difference or 0.0) for row in rows), default=0.0)
    edge = max(most * 1.6, tolerance.absolute_s * 1.8, 0.02)
    axes.set_xscale("symlog", linthresh=_LINEAR_S, linscale=0.6)
    axes.set_xlim(-edge, edge)
    axes.set_ylim(height, 0.0)
    near = [tick for tick in (0.1, 1.0, 10.0, 100.0, 1000.0) if tick < edge]
    near = near if len(near) > 2 else [0.01, *near]  # so many that their words do not meet
    ticks = [*(-tick for tick in reversed(near)), 0.0, *near]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([_signed_tick(tick) for tick in ticks], fontsize=SMALL_PT - 0.4)
    allowed = tolerance.absolute_s
    axes.add_patch(Rectangle((-allowed, 0.0), 2 * allowed, height, facecolor=SOFT, edgecolor="none", zorder=0))
    for at in (-allowed, allowed):
        axes.plot((at, at), (0.0, height), color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0.5)
    axes.plot((0.0, 0.0), (0.0, height), color=MUTED, linewidth=0.8, zorder=0.5)
    for number, kind in enumerate(kinds):
        top = strip_in * number
        axes.plot((-edge, edge), (top, top), color=RULE, linewidth=0.6, zorder=0.3, clip_on=False)
        mine = [row for row in rows if kind_of(row) == kind]
        for place, name in enumerate(names):
            y = top + strip_in / 2 + line_in * (place - (len(names) - 1) / 2)
            _strip(axes, [row for row in mine if row.strategy == name], y, looks[name], edge, allowed)
        _strip_words(axes, kind, mine, top + strip_in / 2)
    axes.set_xlabel(f"{live} − model (log scale beyond 10 ms)")
    text = f"± {seconds(allowed)}" + (
        f", or {percent(tolerance.relative_share)} of the duration" if tolerance.relative_share else ""
    )
    axes.text(0.0, -0.06, f"allowed: {text}", ha="center", va="bottom", fontsize=SMALL_PT - 0.4, color=MUTED)
    _draw_key(figure, key, looks)
    return figure


def _signed_tick(value: float) -> str:
    return "0" if value == 0.0 else f"{'+' if value > 0 else '−'}{duration_tick(abs(value))}"


def _strip(axes: Axes, rows: Sequence[Row], y: float, look: Style, edge: float, allowed: float) -> None:
    seen: set[int] = set()
    x = []
    reach = max((row.allowed_s or 0.0 for row in rows if row.agrees and abs(row.difference or 0.0) > allowed), default=0.0)
    if reach:
        reach = min(reach, edge)
        axes.plot((-reach, reach), (y, y), color=look.colour, linewidth=2.2, alpha=0.22, solid_capstyle="butt", zorder=1)
    for row in rows:
        off = float(row.difference or 0.0)
        if not row.agrees:
            axes.plot((off,), (y,), marker="o", markersize=8.0, markerfacecolor="none", markeredgecolor=ALERT, zorder=4)
        cell = round(math.copysign(math.log10(1.0 + abs(off) / 0.001), off) / 0.012)
        if cell not in seen:
            seen.add(cell)
            x.append(off)
    axes.plot(
        x,
        [y] * len(x),
        linestyle="none",
        marker=look.marker,
        markersize=3.6,
        color=look.colour,
        markerfacecolor="none" if look.hollow else look.colour,
        markeredgewidth=0.6,
        alpha=0.85,
        zorder=3,
    )


def _strip_words(axes: Axes, kind: str, rows: Sequence[Row], y: float) -> None:
    place = axes.get_yaxis_transform()
    off = sorted(abs(row.difference or 0.0) for row in rows)
    parted = sum(not row.agrees for row in rows)
    size = SMALL_PT - 0.6
    axes.text(-0.03, y - 0.07, KINDS[kind], transform=place, ha="right", va="center", fontsize=SMALL_PT, color=INK)
    count = f"{len(rows):,} value{'s' if len(rows) != 1 else ''}" + (f", {parted} part" if parted else "")
    axes.text(-0.03, y + 0.075, count, transform=place, ha="right", va="center", fontsize=size, color=ALERT if parted else MUTED)
    axes.text(
        1.03, y - 0.07, f"median {seconds(statistics.median(off))}", transform=place, va="center", fontsize=size, color=MUTED
    )
    axes.text(1.03, y + 0.075, f"largest {seconds(off[-1])}", transform=place, va="center", fontsize=size, color=MUTED)


def _key_rows(names: Sequence[str]) -> list[list[tuple[str, float]]]:
    """Names of the strategies below the strips, in rows: (name, left edge in inches)."""
    rows: list[list[tuple[str, float]]] = [[]]
    at = 0.12
    for name in names:
        width = 0.32 + len(shortened(name, 30)) * 0.57 * SMALL_PT / 72.0
        if rows[-1] and at + width > COLUMN_IN:
            rows.append([])
            at = 0.12
        rows[-1].append((name, at))
        at += width
    return rows


def _draw_key(figure: Figure, rows: Sequence[Sequence[tuple[str, float]]], looks: Mapping[str, Style]) -> None:
    height = 0.19 * len(rows)
    strip = axes_in(figure, 0.0, 0.02, COLUMN_IN, height)
    bare(strip)
    strip.set_xlim(0.0, COLUMN_IN)
    strip.set_ylim(0.0, height)
    for number, row in enumerate(rows):
        y = height - 0.19 * number - 0.095
        for name, at in row:
            look = looks[name]
            face = "none" if look.hollow else look.colour
            strip.plot((at + 0.05,), (y,), marker=look.marker, markersize=4.6, color=look.colour, markerfacecolor=face)
            strip.text(at + 0.14, y, shortened(name, 30), va="center", fontsize=SMALL_PT, color=MUTED)
