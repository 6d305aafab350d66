"""Strokes that the drive and its zooms share: state bars, blocks of names, a key of the fills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.measure.episode_labels import LABELS
from sim.report.axes_words import time_step, time_unit
from sim.report.canvas import SMALL_PT, axes_in, bare
from sim.report.lanes import OFFLINE, PARKED, POLLING, REACHABLE, Segment, coarse
from sim.report.numbers import NBSP
from sim.report.palette import FILLS, INK, MUTED, PAPER, RULE, SOFT, Fill, Style

_LINE_IN = 0.06
_LEAST_IN = 0.012  # a shorter block could not be seen
_CHARACTER = 0.57  # mean width of a character over its size
_OFFLINE = Fill(SOFT, "not connected", "offline")
_PARKED = Fill(SOFT, "parked, disconnected on purpose", "parked", "..")
_OWN = {OFFLINE: _OFFLINE, PARKED: _PARKED}
_KEY_WORDS = {
    OFFLINE: _OFFLINE.words,
    PARKED: _PARKED.words,
    REACHABLE: "reachable, in the strategy's colour",
    POLLING: "reachable by poll only",
}


def fill_of(label: str, look: Style) -> Fill:
    """The look of a segment: the strategy's own colour while messages can flow."""
    if label == REACHABLE:
        return Fill(look.colour, "reachable", "reachable", text=PAPER)
    if label == POLLING:
        return Fill(PAPER, "reachable by poll only", "by poll", "\\\\\\\\")
    return _OWN[label] if label in _OWN else FILLS[label]


def text_width_in(text: str, size_pt: float) -> float:
    return len(text) * _CHARACTER * size_pt / 72.0


def state_bar(
    axes: Axes, segments: Iterable[Segment], look: Style, top: float, bottom: float, inch_per_s: float, words: bool
) -> None:
    """One lane's segments between two heights; with `words` those with room for it carry their name.

    A thin line in the strategy's colour where messages can flow, a block where they cannot: what is rare is what stands out.
    Heights of the axes are inches.
    """
    for part in coarse(segments, _LEAST_IN / inch_per_s):
        fill = fill_of(part.label, look)
        if part.label == REACHABLE:
            middle = (top + bottom) / 2
            axes.add_patch(
                Rectangle(
                    (part.start_s, middle - _LINE_IN / 2),
                    part.end_s - part.start_s,
                    _LINE_IN,
                    facecolor=fill.colour,
                    edgecolor="none",
                )
            )
            continue
        edge = look.colour if part.label == POLLING else MUTED
        length = max(part.end_s - part.start_s, _LEAST_IN / inch_per_s)
        axes.add_patch(
            Rectangle(
                (part.start_s, bottom),
                length,
                top - bottom,
                facecolor=fill.colour,
                edgecolor=edge,
                linewidth=0.4,
                hatch=fill.hatch,
                zorder=2,
            )
        )
        room = (part.end_s - part.start_s) * inch_per_s - 0.06
        if not words:
            continue
        text = next((word for word in (fill.words, fill.short) if text_width_in(word, SMALL_PT - 1.0) <= room), "")
        if text:
            at = (part.start_s + part.end_s) / 2
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0} if fill.hatch else None
            axes.text(
                at,
                (top + bottom) / 2,
                text,
                ha="center",
                va="center",
                fontsize=SMALL_PT - 1.0,
                color=fill.text,
                bbox=box,
                zorder=4,
            )


def blocks(
    axes: Axes, spans: Sequence[tuple[float, float, str]], top: float, bottom: float, inch_per_s: float, size_pt: float = SMALL_PT
) -> None:
    """Named stretches of time, such as cells: outlined, shaded in turn, named where there is room."""
    tones: dict[str, str] = {}
    for begin, end, name in spans:
        tone = tones.setdefault(name, (SOFT, PAPER, RULE)[len(tones) % 3])
        if not name:
            axes.add_patch(
                Rectangle(
                    (begin, bottom), end - begin, top - bottom, facecolor=PAPER, edgecolor=MUTED, linewidth=0.4, hatch="////"
                )
            )
            continue
        axes.add_patch(Rectangle((begin, bottom), end - begin, top - bottom, facecolor=tone, edgecolor=MUTED, linewidth=0.5))
        if text_width_in(name, size_pt) <= (end - begin) * inch_per_s - 0.08:
            axes.text((begin + end) / 2, (top + bottom) / 2, name, ha="center", va="center", fontsize=size_pt, color=INK)


def time_axis(axes: Axes, start_s: float, end_s: float, width_in: float, zero_s: float = 0.0, sign: bool = False) -> None:
    """Ticks at round times from `zero_s`, with their unit; `sign`: +10 s."""
    step = time_step(end_s - start_s, max(int(width_in / 0.75), 3))
    first = int((start_s - zero_s) // step)
    ticks = [step * number for number in range(first, int((end_s - zero_s) // step) + 1)]
    ticks = [tick for tick in ticks if start_s - 1e-9 <= zero_s + tick <= end_s + 1e-9]
    axes.set_xticks([zero_s + tick for tick in ticks])
    unit_s, unit = time_unit(step) if step > 3600.0 else (60.0, "min") if step >= 60.0 else (1.0, "s")
    labels = [f"{tick / unit_s:g}" for tick in ticks]
    if sign:
        labels = [f"+{label}" if tick > 0 else label.replace("-", "−") for label, tick in zip(labels, ticks, strict=True)]
    if labels:
        labels[-1] += f"{NBSP}{unit}"
    axes.set_xticklabels(labels)
    # the outermost words stay inside the figure
    room = (end_s - start_s) / width_in * 0.3
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        if zero_s + tick + room > end_s and tick == ticks[-1]:
            label.set_horizontalalignment("right")
        elif zero_s + tick - room / 2 < start_s and sign:
            label.set_horizontalalignment("left")


def used_labels(segments: Iterable[Segment]) -> list[str]:
    """Labels that occur, in the order in which a key shows them."""
    seen = {part.label for part in segments}
    return [label for label in (REACHABLE, POLLING, PARKED, OFFLINE, *LABELS) if label in seen]


def key_rows(labels: Sequence[str], width_in: float) -> list[list[tuple[str, float]]]:
    """The entries of a key in rows of this width: (label, left edge in inches)."""
    rows: list[list[tuple[str, float]]] = [[]]
    at = 0.12
    for label in labels:
        width = 0.36 + text_width_in(_words(label), SMALL_PT)
        if rows[-1] and at + width > width_in:
            rows.append([])
            at = 0.12
        rows[-1].append((label, at))
        at += width
    return rows


def draw_key(figure: Figure, labels: Sequence[str], width_in: float, bottom_in: float = 0.02) -> None:
    """What the fills mean, along the lower edge of the figure."""
    rows = key_rows(labels, width_in)
    height = 0.2 * len(rows)
    axes = axes_in(figure, 0.0, bottom_in, width_in, height)
    bare(axes)
    axes.set_xlim(0.0, width_in)
    axes.set_ylim(0.0, height)
    for number, row in enumerate(rows):
        y = height - 0.2 * number - 0.1
        for label, at in row:
            fill = _OWN[label] if label in _OWN else FILLS.get(label, Fill(PAPER, "", "", "\\\\\\\\"))
            low, tall = (y - _LINE_IN / 2, _LINE_IN) if label == REACHABLE else (y - 0.05, 0.1)
            colour = MUTED if label == REACHABLE else fill.colour
            axes.add_patch(Rectangle((at, low), 0.17, tall, facecolor=colour, edgecolor=MUTED, linewidth=0.5, hatch=fill.hatch))
            axes.text(at + 0.22, y - 0.005, _words(label), ha="left", va="center", fontsize=SMALL_PT, color=MUTED)


def _words(label: str) -> str:
    return _KEY_WORDS[label] if label in _KEY_WORDS else FILLS[label].words
