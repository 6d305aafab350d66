"""Where the time of a recovery goes: the mean episode of each strategy as a stacked bar."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.measure.episode_labels import LABELS
from sim.report.axes_words import nice_step
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.lane_drawing import draw_key, key_rows
from sim.report.numbers import mean_in_words, seconds
from sim.report.palette import FILLS, INK, MUTED, PAPER, Style, styles
from sim.report.spread import shortened

_ROW_IN = 0.52
_ROOM = 1.2  # length of the axis, in longest bars: behind that stands its length
_CHARACTER_PT = 0.56  # width of a character over its size, about


@drawn
def recovery_bars(metrics: Mapping[str, Any], strategies: Sequence[str] | None = None) -> Figure:
    """Mean seconds of a recovery episode by label, one bar for each strategy that had any.

    `metrics` is the content of metrics.json, `strategies` their order, which decides the colours.

    Where one strategy's bar would flatten the others (ten times the next), the axis ends at the others and the long bar
    is broken, its length written beside it.
    """
    names = list(metrics["strategies"]) if strategies is None else list(strategies)
    looks = styles(names)
    rows = [(name, metrics["strategies"][name]["recovery_s"]) for name in names]
    rows = [(name, numbers) for name, numbers in rows if numbers["n"]]
    means = sorted(float(numbers["mean"]) for _, numbers in rows)
    longest = _axis_end(means)
    used = [label for label in LABELS if any(numbers["phases"].get(label, 0.0) >= 0.004 * longest for _, numbers in rows)]
    rows_of_key = len(key_rows(used, COLUMN_IN))
    top, bottom = 0.08, 0.54 + 0.2 * rows_of_key
    height = _ROW_IN * max(len(rows), 1)
    figure = new_figure(COLUMN_IN, top + height + bottom)
    axes = axes_in(figure, 0.12, bottom, COLUMN_IN - 0.24, height)
    bare(axes)
    axes.set_xlim(0.0, longest * _ROOM)
    axes.set_ylim(len(rows), 0)
    points_per_s = (COLUMN_IN - 0.24) * 72.0 / (longest * _ROOM)
    for row, (name, numbers) in enumerate(rows):
        took = mean_in_words("recovery_s.mean", metrics["strategies"][name]["intervals"].get("recovery_s.mean"))
        _bar(axes, row, name, looks[name], numbers, took, longest, points_per_s)
    step = nice_step(longest, 5)
    axes.spines["bottom"].set_visible(True)
    axes.set_xticks([step * number for number in range(int(longest / step) + 1)])
    axes.set_xlabel("mean seconds of a recovery episode")
    draw_key(figure, used, COLUMN_IN)
    return figure


def _axis_end(means: list[float]) -> float:
    """Length of the axis in s: of the longest bar, or of the longest that the others can be read beside."""
    longest = means[-1] if means else 1.0
    for shorter, longer in itertools.pairwise(means):
        if longer > 8.0 * max(shorter, 1e-3):
            return max(shorter, 1e-3)
    return max(longest, 1e-3)


def _bar(
    axes: Axes, row: int, name: str, look: Style, numbers: Mapping[str, Any], took: str, longest: float, points_per_s: float
) -> None:
    high, low = row + 0.46, row + 0.88
    at = 0.0
    for label in LABELS:
        length = float(numbers["phases"].get(label, 0.0))
        shown = min(length, longest - at)
        if shown <= 0.0:
            continue
        fill = FILLS[label]
        axes.add_patch(
            Rectangle((at, high), shown, low - high, facecolor=fill.colour, edgecolor=MUTED, linewidth=0.5, hatch=fill.hatch)
        )
        text = next(
            (word for word in (f"{fill.short} {seconds(length)}", seconds(length)) if _fits(word, shown * points_per_s)), ""
        )
        if text:
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0} if fill.hatch else None
            axes.text(
                at + shown / 2,
                (high + low) / 2,
                text,
                ha="center",
                va="center",
                fontsize=SMALL_PT - 0.6,
                color=fill.text,
                bbox=box,
            )
        at += shown
    mean = float(numbers["mean"])
    broken = mean > longest * 1.0001
    axes.text(
        at + longest * 0.012,
        (high + low) / 2,
        ("→ " if broken else "") + took,
        ha="left",
        va="center",
        fontsize=TEXT_PT - 0.5,
        color=INK,
        fontweight="bold",
    )
    axes.plot(
        (longest * 0.008,),
        (row + 0.27,),
        marker=look.marker,
        markersize=5,
        color=look.colour,
        clip_on=False,
        markerfacecolor="none" if look.hollow else look.colour,
    )
    count = f"{numbers['n']:,} episode{'s' if numbers['n'] != 1 else ''}"
    if numbers["censored"]:
        count += f", {numbers['censored']:,} did not end in the run"
    axes.text(longest * 0.025, row + 0.27, shortened(name, 34), ha="left", va="center", fontsize=TEXT_PT, color=INK)
    axes.text(longest * _ROOM, row + 0.27, count, ha="right", va="center", fontsize=SMALL_PT, color=MUTED)


def _fits(text: str, room_pt: float) -> bool:
    return len(text) * _CHARACTER_PT * (SMALL_PT - 0.6) + 4.0 <= room_pt
