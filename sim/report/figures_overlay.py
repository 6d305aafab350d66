"""Model and live run of one strategy above each other on one time axis, with the tolerance between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.report.canvas import COLUMN_IN, PAGE_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.lane_drawing import blocks, draw_key, key_rows, state_bar, text_width_in, time_axis, used_labels
from sim.report.lanes import Lane
from sim.report.numbers import NBSP, seconds
from sim.report.overlay import Instant, Overlay, Side
from sim.report.palette import ALERT, INK, MUTED, PAPER, RULE, SOFT
from sim.report.spread import shortened

_RIGHT, _LABEL_IN, _AXIS_IN, _WORDS_IN = 0.12, 0.155, 0.3, 0.36
_GAP, _BAR, _MESSAGES = 0.17, 0.15, 0.27  # of a lane, from the top
_LANE_IN = _GAP + _BAR + _MESSAGES + 0.05
_LABEL_PT = SMALL_PT - 0.4
_MOST_LABEL_ROWS, _MOST_NAMES = 4, 6
_KEY = (
    "Upright band: the model's instant and what the tolerance allows. Tick: where the other side has it.",
    "Below a bar: messages, created above, delivered below, heavy if over 1 s; × lost.",
    "× above a bar: an attempt that failed. Red: where the two part.",
)
_KEY_WHOLE = (
    "Below a bar: messages, created above, delivered below, heavy if over 1 s; × lost. × above a bar: an attempt that failed."
    " Red: where the two part. Grey: no packet gets through.",
)


@dataclass(frozen=True, slots=True)
class _Label:
    """Words at an instant: where they stand (centre, s) and in which row from below."""

    at_s: float
    centre_s: float
    row: int
    words: str
    parted: bool


@drawn
def overlay(view: Overlay) -> Figure:
    """One strategy over a stretch of the drive: a lane for the model, one for each live run below it.

    Close up, each compared instant is a band over all lanes: the model's instant and the tolerance around it. A live instant is a
    tick on its lane. Over the whole drive only those that part are marked.
    """
    width_in = PAGE_IN if view.whole else COLUMN_IN
    left = 0.95 if view.whole else 0.78
    width = width_in - left - _RIGHT
    inch_per_s = width / max(view.end_s - view.start_s, 1e-6)
    labels = _starts(view, inch_per_s) if view.whole else _labels(view, inch_per_s)
    rows = max((label.row + 1 for label in labels), default=0)
    seen = (part for side in view.sides for part in side.lane.segments if (part.end_s - part.start_s) * inch_per_s > 0.01)
    fills = used_labels(seen)
    words = _KEY_WHOLE if view.whole else _KEY
    words_in = 0.18 * len(words) + 0.02
    key_in = 0.2 * len(key_rows(fills, width_in)) + 0.04 + words_in
    head_in = 0.22 + 0.2 + _LABEL_IN * rows + 0.04
    lanes_in = _LANE_IN * len(view.sides)
    total = head_in + lanes_in + _AXIS_IN + key_in
    figure = new_figure(width_in, total)
    axes = axes_in(figure, left, key_in + _AXIS_IN, width, lanes_in + head_in - 0.22)
    bare(axes)
    axes.set_xlim(view.start_s, view.end_s)
    axes.set_ylim(0.0, lanes_in + head_in - 0.22)
    _title(figure, view, total, width_in)
    top = lanes_in + head_in - 0.22
    blocks(axes, view.addresses, top - 0.01, top - 0.17, inch_per_s)
    _side_word(figure, left, (key_in + _AXIS_IN + top - 0.09) / total, "address", width_in, MUTED)
    _background(axes, view, lanes_in, inch_per_s)
    _draw_labels(axes, labels, lanes_in, view)
    red = frozenset(number for side in view.sides for number in side.parted)
    for number, side in enumerate(view.sides):
        high = lanes_in - _LANE_IN * number
        _lane(axes, view, side, high, inch_per_s, red)
        place = (key_in + _AXIS_IN + high - _GAP - _BAR / 2) / total
        _side_word(figure, left, place, side.name, width_in, INK)
        _side_word(figure, left, place - 0.16 / total, _away(view, side.lane), width_in, MUTED, SMALL_PT - 1.0)
        if number > 0:
            _ticks(axes, view, number - 1, high, inch_per_s)
    axes.spines["bottom"].set_visible(True)
    time_axis(axes, view.start_s, view.end_s, width, zero_s=view.zero_s, sign=not view.whole)
    draw_key(figure, fills, width_in, words_in)
    for number, line in enumerate(words):
        place = (words_in - 0.11 - 0.17 * number) / total
        figure.text(0.12 / width_in, place, line, va="center", fontsize=SMALL_PT - 0.7, color=MUTED)
    return figure


def _title(figure: Figure, view: Overlay, total: float, width_in: float) -> None:
    look = view.look
    strip = axes_in(figure, 0.0, total - 0.22, width_in, 0.22)
    bare(strip)
    strip.set_xlim(0.0, width_in)
    strip.set_ylim(0.0, 0.22)
    face = "none" if look.hollow else look.colour
    strip.plot((0.17,), (0.12,), marker=look.marker, markersize=5, color=look.colour, markerfacecolor=face)
    name = shortened(view.strategy, 60 if view.whole else 26)
    strip.text(0.28, 0.12, f"{name} · {view.title}", va="center", fontsize=TEXT_PT, color=INK)
    verdict = f"{view.parted} value{'s' if view.parted > 1 else ''} part{'s' if view.parted == 1 else ''}"
    strip.text(
        width_in - _RIGHT,
        0.12,
        verdict if view.parted else "all agree",
        ha="right",
        va="center",
        fontsize=SMALL_PT,
        color=ALERT if view.parted else MUTED,
    )


def _side_word(
    figure: Figure, left: float, height: float, text: str, width_in: float, colour: str, size_pt: float = SMALL_PT
) -> None:
    figure.text((left - 0.07) / width_in, height, text, ha="right", va="center", fontsize=size_pt, color=colour)


def _away(view: Overlay, lane: Lane) -> str:
    """How long the vehicle was away: after the disruption, or in all."""
    if view.whole:
        down = sum(min(one.end_s, view.end_s) - one.start_s for one in lane.episodes if one.start_s < view.end_s)
        return f"away {seconds(down)}" if down else ""
    for one in lane.episodes:
        if one.start_s <= view.zero_s < one.end_s:
            return "not back" if one.censored else f"back {seconds(one.end_s - view.zero_s)}"
    return ""


def _background(axes: Axes, view: Overlay, height: float, inch_per_s: float) -> None:
    """Outages in grey through all lanes, and close up a band for each compared instant."""
    for begin, end in view.outages:
        begin, end = max(begin, view.start_s), min(end, view.end_s)
        axes.add_patch(Rectangle((begin, 0.0), end - begin, height, facecolor=SOFT, edgecolor="none", zorder=0))
    for start, _words in view.starts:
        axes.plot((start, start), (0.0, height), color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0.4)
    for number in range(len(view.sides) + 1):
        axes.plot((view.start_s, view.end_s), (height - _LANE_IN * number,) * 2, color=RULE, linewidth=0.6, zorder=0.3)
    if view.whole:
        return
    for colour, spans in ((view.look.colour, _bands(view, True)), (ALERT, _bands(view, False))):
        for low, high in spans:
            axes.add_patch(Rectangle((low, 0.0), high - low, height, facecolor=colour, edgecolor="none", alpha=0.14, zorder=0.2))
    for one in view.instants:
        for at in (one.model_s, one.model_to_s):
            if at is not None and view.start_s <= at <= view.end_s:
                axes.plot((at, at), (0.0, height), color=view.look.colour, linewidth=0.7, alpha=0.8, zorder=0.5)


def _bands(view: Overlay, agrees: bool) -> list[tuple[float, float]]:
    """What is allowed, joined where it overlaps."""
    found: list[tuple[float, float]] = []
    bands = sorted(one.band for one in view.instants if one.band is not None and one.agrees is agrees)
    for low, high in ((max(low, view.start_s), min(high, view.end_s)) for low, high in bands):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        elif high > low:
            found.append((low, high))
    return found


def _labels(view: Overlay, inch_per_s: float) -> list[_Label]:
    """The words of the instants: those that stand together share a label."""
    groups: list[tuple[float, list[str], bool]] = []
    for one in view.instants:
        at = one.model_s if one.model_s is not None else next((live for live, _ in one.live_s if live is not None), None)
        if at is None or not view.start_s <= at <= view.end_s:
            continue
        near = [group for group in groups if (at - group[0]) * inch_per_s < 0.05 and group[2] is not one.agrees]
        if near:
            if one.words not in near[-1][1]:
                near[-1][1].append(one.words)
        else:
            groups.append((at, [one.words], not one.agrees))
    return _placed([(at, ", ".join(words), parted) for at, words, parted in groups], view, inch_per_s)


def _starts(view: Overlay, inch_per_s: float) -> list[_Label]:
    return _placed([(at, words, False) for at, words in view.starts], view, inch_per_s, most_rows=1)


def _placed(
    wanted: Iterable[tuple[float, str, bool]], view: Overlay, inch_per_s: float, most_rows: int = _MOST_LABEL_ROWS
) -> list[_Label]:
    """Each label in the lowest row that has room for it; those that part first, what finds no room is left out."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(most_rows)]
    found = []
    for at, words, parted in sorted(wanted, key=lambda one: (not one[2], one[0])):
        half = text_width_in(words, _LABEL_PT) / inch_per_s / 2
        centre = min(max(at, view.start_s + half), view.end_s - half)
        gap = 0.05 / inch_per_s
        for number, row in enumerate(taken):
            if all(centre + half + gap < low or centre - half - gap > high for low, high in row):
                row.append((centre - half, centre + half))
                found.append(_Label(at, centre, number, words, parted))
                break
    return found


def _draw_labels(axes: Axes, labels: Sequence[_Label], height: float, view: Overlay) -> None:
    for label in labels:
        y = height + _LABEL_IN * (label.row + 0.5)
        colour = ALERT if label.parted else MUTED if view.whole else INK
        line = MUTED if view.whole else view.look.colour
        axes.plot((label.at_s, label.at_s), (height, y - 0.05), color=line, linewidth=0.7, alpha=0.8, zorder=0.5)
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.4}
        axes.text(label.centre_s, y, label.words, ha="center", va="center", fontsize=_LABEL_PT, color=colour, zorder=6, bbox=box)


def _lane(axes: Axes, view: Overlay, side: Side, high: float, inch_per_s: float, red: frozenset[int]) -> None:
    bar = high - _GAP
    state_bar(axes, side.lane.segments, view.look, bar, bar - _BAR, inch_per_s, words=not view.whole)
    for mark in side.lane.marks:
        if mark.failed and view.start_s <= mark.end_s <= view.end_s:
            size = 2.6 if view.whole else 3.4
            axes.plot((mark.end_s,), (bar + 0.035,), marker="x", markersize=size, markeredgewidth=1.0, color=INK, zorder=5)
    _messages(axes, view, side, bar - _BAR - 0.01, high - _LANE_IN + 0.04, inch_per_s, red)


def _messages(axes: Axes, view: Overlay, side: Side, top: float, bottom: float, inch_per_s: float, red: frozenset[int]) -> None:
    """Each message from its creation (top) to its delivery (bottom); lines of one look are one path."""
    paths: dict[str, tuple[list[float], list[float]]] = {look: ([], []) for look in ("quick", "slow", "parted")}
    dots: dict[str, list[float]] = {"quick": [], "slow": [], "parted": []}
    crosses: dict[bool, list[float]] = {False: [], True: []}
    named: list[tuple[float, str]] = []
    window = (pl.col("created_s") <= view.end_s) & (pl.coalesce("delivered_s", "gone_s", pl.lit(1e18)) >= view.start_s)
    columns = ("message", "created_s", "delivered_s", "outcome")
    for number, created, delivered, outcome in side.lane.messages.filter(window).sort("created_s").select(columns).iter_rows():
        parted = number in red
        if number in side.parted:
            named.append((delivered if delivered is not None else created, side.parted[number]))
        if outcome == "lost":
            if created >= view.start_s:
                crosses[parted].append(created)
            continue
        arrives = math.inf if delivered is None else float(delivered)
        look = "parted" if parted else "slow" if arrives - created > 1.0 else "quick"
        end = min(arrives, view.end_s)
        low = bottom if arrives <= view.end_s else top
        if math.isfinite(arrives) and arrives > view.end_s:
            low = top + (bottom - top) * (end - created) / (arrives - created)
        x, y = paths[look]
        x += [created, end, math.nan]
        y += [top, low, math.nan]
        if arrives <= view.end_s:
            dots[look].append(arrives)
    strokes = {"quick": (view.look.colour, 0.8, 0.6), "slow": (INK, 1.1, 0.9), "parted": (ALERT, 1.2, 1.0)}
    for look, (x, y) in paths.items():
        colour, width, alpha = strokes[look]
        if x:
            axes.plot(x, y, color=colour, linewidth=width, alpha=alpha, zorder=3 if look == "quick" else 3.5)
        if dots[look] and not (view.whole and look == "quick"):
            axes.plot(
                dots[look], [bottom] * len(dots[look]), linestyle="none", marker="o", markersize=2.2, color=colour, zorder=4
            )
    for parted, at in crosses.items():
        place = [top - 0.05] * len(at)
        colour = ALERT if parted else INK
        axes.plot(at, place, linestyle="none", marker="x", markersize=4.2, markeredgewidth=1.3, color=colour, zorder=4)
    _names(axes, view, named, bottom, inch_per_s)


def _names(axes: Axes, view: Overlay, named: Sequence[tuple[float, str]], bottom: float, inch_per_s: float) -> None:
    """Names of the messages that part, beside their delivery, as far as there is room."""
    taken = view.start_s
    shown = 0
    for at, name in sorted(named):
        width = text_width_in(name, _LABEL_PT - 0.4) / inch_per_s
        begin = min(at, view.end_s) + 0.05 / inch_per_s
        if begin + width > view.end_s:
            begin = min(at, view.end_s) - width - 0.05 / inch_per_s
        if begin < taken or begin < view.start_s or shown == _MOST_NAMES:
            continue
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        axes.text(begin, bottom - 0.015, name, va="bottom", fontsize=_LABEL_PT - 0.4, color=ALERT, zorder=6, bbox=box)
        taken = begin + width + 0.04 / inch_per_s
        shown += 1


def _ticks(axes: Axes, view: Overlay, live: int, high: float, inch_per_s: float) -> None:
    """Where the live instants are, and how far outside the band those that part."""
    bar = high - _GAP
    wanted: list[tuple[float, str, list[str]]] = []
    for one in view.instants:
        at, agrees = one.live_s[live]
        shown = at if at is not None else one.model_s
        if shown is None or not view.start_s <= shown <= view.end_s:
            continue
        if agrees:
            if not view.whole:
                axes.plot((shown, shown), (bar - 0.02, bar + 0.05), color=INK, linewidth=1.0, zorder=5)
            continue
        axes.plot((shown, shown), (bar - _BAR, bar + 0.05), color=ALERT, linewidth=1.6, zorder=5)
        distance = _distance(one, at)
        if wanted and wanted[-1][:2] == (shown, distance):
            wanted[-1][2].append(one.words)
        else:
            wanted.append((shown, distance, [one.words]))
    taken = -math.inf
    for at, distance, names in sorted(wanted):
        words = distance.format(", ".join(names))
        half = text_width_in(words, _LABEL_PT) / inch_per_s / 2
        centre = min(max(at, view.start_s + half), view.end_s - half)
        if centre - half > taken:
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.4, "alpha": 0.85}
            axes.text(centre, bar + 0.055, words, ha="center", va="bottom", fontsize=_LABEL_PT, color=ALERT, zorder=6, bbox=box)
            taken = centre + half + 0.05 / inch_per_s


def _distance(one: Instant, live_s: float | None) -> str:
    """What is said of a live instant that parts, with a place for its name: "ready +3.14 s", "never ready"."""
    if live_s is None:
        return "never {}"
    if one.model_s is None:
        return "{}: not in the model"
    off = live_s - min(max(live_s, one.model_s), one.model_to_s or one.model_s)
    return f"{{}} {'+' if off > 0 else '−'}{abs(off):.2f}{NBSP}s"
