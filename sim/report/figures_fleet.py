"""A fleet on its clock: who is connected, what the nodes have to do and can, and how long it takes until everybody is back.

All figures but that of the times back have the same time axis at the same place, so that one below the other they are aligned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sim.measure.fleet import SATURATED_SHARE, Fault, Floats
from sim.record.read import Run
from sim.report.axes_words import duration_tick, nice_step, percent_tick, time_step, time_unit
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.fleet_run import REGAINED, FleetRun, seen
from sim.report.numbers import NBSP, count, percent, seconds, significant
from sim.report.palette import ALERT, INK, MUTED, RULE, Style
from sim.report.spread import shortened, spread

_LEFT_IN, _WIDTH_IN = 0.66, 3.26
_MOST_POINTS = 600
_ENTRY_IN = 0.34  # height of a name with its number in the column on the right
_DASHED = (0, (4, 2))
_LOG_FROM = 6.0  # a peak so many times the capacity is drawn on a log axis
STATIONS = {"accept": "to be accepted", "cpu": "for the CPU", "connect": "to be admitted (CONNECT)"}
_LADDER = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
    *(600.0, 1200.0, 1800.0, 3600.0, 7200.0, 18000.0, 36000.0),
)


@dataclass(frozen=True, slots=True)
class _Limit:
    """What the nodes can do, drawn as a dashed line."""

    value: float
    words: str
    unit: str


@drawn
def fleet_connected(run: Run | FleetRun) -> Figure:
    """Share of the vehicles on the road that are connected, over the fleet's clock; a line for each strategy."""
    fleet = seen(run)
    figure, (axes,) = _panels(fleet, 1, len(fleet.strategies))
    axes.set_ylim(0.0, 1.03)
    _share_ticks(axes)
    entries = []
    for name, share in fleet.connected.items():
        _line(axes, fleet.edges_s, share, fleet.looks[name], lowest=True)
        after_s = fleet.regained_s(name)
        fewest = f"fewest {percent(round(float(share[~np.isnan(share)].min(initial=1.0)), 4))}"
        entries.append((name, fewest if after_s is None else f"≥ {percent_tick(REGAINED)} after {seconds(after_s)}"))
    _column(axes, fleet, entries)
    _title(axes, "Vehicles connected, of those on the road")
    _clock(fleet, [axes])
    return figure


@drawn
def fleet_requests(run: Run | FleetRun) -> Figure:
    """Connections asked for and TLS handshakes in each second, at all nodes, with what the nodes can do."""
    fleet = _at_nodes(run)
    courses, can = fleet.courses, fleet.capacity
    shown = {"Connections asked for in a second (SYNs at the nodes)": {name: one.asked for name, one in courses.items()}}
    limits = [_Limit(can.connections_per_s, "all nodes accept", "/s") if can else None]
    if any(one.handshakes.any() for one in courses.values()):
        shown["TLS handshakes begun in a second"] = {name: one.handshakes for name, one in courses.items()}
        limits.append(_Limit(can.handshakes_per_s, "all nodes compute", "/s") if can and can.handshakes_per_s else None)
    figure, panels = _panels(fleet, len(shown), len(courses))
    for axes, (title, lines), limit in zip(panels, shown.items(), limits, strict=True):
        _counts(axes, fleet, lines, limit, "/s")
        _title(axes, title)
    _clock(fleet, panels)
    return figure


@drawn
def fleet_queue(run: Run | FleetRun) -> Figure:
    """How many wait at the node where most do, station by station, with how many may."""
    fleet = _at_nodes(run)
    courses, can = fleet.courses, fleet.capacity
    stations = [station for station in STATIONS if any(station in one.waiting for one in courses.values())]
    figure, panels = _panels(fleet, len(stations), len(courses))
    bounds = {"accept": can.backlog, "connect": can.connect_queue} if can else {}
    for axes, station in zip(panels, stations, strict=True):
        bound = bounds.get(station)
        limit = _Limit(bound, "may wait", "") if bound is not None else None
        lines = {name: one.waiting[station] for name, one in courses.items() if station in one.waiting}
        _counts(axes, fleet, lines, limit, " wait")
        _title(axes, f"Waiting {STATIONS[station]}, at the fullest node")
    _clock(fleet, panels)
    return figure


@drawn
def fleet_busy(run: Run | FleetRun) -> Figure:
    """Share of each second in which the CPU and the admission of CONNECTs were taken, at the busiest node."""
    fleet = _at_nodes(run)
    courses = fleet.courses
    titles = {"cpu": "CPU of the busiest node taken", "connect": "Admission of the busiest node taken"}
    stations = [station for station in titles if any(station in one.busy for one in courses.values())]
    figure, panels = _panels(fleet, len(stations), len(courses))
    for axes, station in zip(panels, stations, strict=True):
        axes.set_ylim(0.0, 1.06)
        _share_ticks(axes)
        entries = []
        for name, one in courses.items():
            if station in one.busy:
                _line(axes, one.edges_s[:-1], one.busy[station], fleet.looks[name])
                entries.append((name, f"peak {percent(round(float(one.busy[station].max()), 4))}"))
        _column(axes, fleet, entries)
        _title(axes, titles[station])
    _clock(fleet, panels)
    return figure


@drawn
def fleet_cells(run: Run | FleetRun) -> Figure:
    """Share of each second in which the busiest cell was taken, by direction."""
    fleet = seen(run)
    if not fleet.air:
        raise ValueError("this figure is of cells that vehicles share, and in this run they share none")
    lines = max(len(shares) for shares in fleet.air.values())
    figure, panels = _panels(fleet, len(fleet.air), lines)
    for axes, (direction, shares) in zip(panels, fleet.air.items(), strict=True):
        axes.set_ylim(0.0, 1.06)
        _share_ticks(axes)
        entries = []
        for name, share in shares.items():
            _line(axes, fleet.edges_s[:-1], share, fleet.looks[name])
            entries.append((name, f"full for {int((share >= SATURATED_SHARE).sum()):,}{NBSP}s"))
        _column(axes, fleet, entries)
        _title(axes, f"{direction.capitalize()} of the busiest cell taken")
    _clock(fleet, panels)
    return figure


@drawn
def fleet_back(run: Run | FleetRun) -> Figure:
    """Share of the vehicles cut off by a fault that are back within a time of its start (log scale), over all replications."""
    fleet = seen(run)
    curves = {name: back for name in fleet.strategies if len(back := fleet.back_s(name))}
    height = max(2.5, _ENTRY_IN * len(curves) + 0.3)
    figure = new_figure(COLUMN_IN, height + 0.84)
    axes = axes_in(figure, _LEFT_IN, 0.5, _WIDTH_IN, height)
    known = [back[np.isfinite(back)] for back in curves.values()]
    known = [back for back in known if len(back)]
    low = max(min((float(back[0]) for back in known), default=1.0), 0.05)
    high = max((float(back[-1]) for back in known), default=10.0)
    lasted = [storm.fault.end_s - storm.fault.start_s for ones in fleet.storms.values() for storm in ones]
    low_s, high_s = min(low, max(lasted, default=low) or low) * 0.45, high * 1.25
    axes.set_xscale("log")
    axes.set_xlim(low_s, high_s)
    axes.set_ylim(0.0, 1.03)
    ticks = [tick for tick in _LADDER if low_s <= tick <= high_s]
    ticks = ticks[:: max(1, math.ceil(len(ticks) / 7))]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels([duration_tick(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    _share_ticks(axes)
    if lasted and max(lasted) > low_s and max(lasted) - min(lasted) < 1e-6:
        axes.axvspan(low_s, lasted[0], color=ALERT, alpha=0.1, linewidth=0)
        words = next(ones[0].fault.kind for ones in fleet.storms.values() if ones).replace("_", " ")
        axes.annotate(
            words, xy=(0.0, 1.0), xycoords="axes fraction", xytext=(0.0, 0.5), textcoords="offset points", va="bottom",
            fontsize=SMALL_PT - 0.6, color=ALERT, annotation_clip=False,
        )  # fmt: skip
    entries, ends = [], []
    for name, back in curves.items():
        share = np.arange(1, len(back) + 1) / len(back)
        there = np.isfinite(back)
        x, y = _thinned(back[there], share[there], low_s, high_s)
        look = fleet.looks[name]
        axes.plot(x, y, color=look.colour, linestyle=look.dashes, linewidth=1.7, drawstyle="steps-post")
        never = 1.0 - float(there.mean())
        fate = f"{percent(round(never, 5))} not back" if never else f"all after {seconds(float(back[-1]))}"
        entries.append((name, fate))
        ends.append(float(np.median(back)))
    order = sorted(range(len(entries)), key=lambda at: -ends[at])
    _column(axes, fleet, [entries[at] for at in reversed(order)])
    axes.set_xlabel("time since the fault began (log scale)")
    _title(axes, "Of the vehicles cut off, back again")
    return figure


def _at_nodes(run: Run | FleetRun) -> FleetRun:
    """Raises ValueError where the vehicles share no nodes."""
    fleet = seen(run)
    if not fleet.courses:
        raise ValueError("this figure is of nodes that vehicles share, and in this run they share none")
    return fleet


def _thinned(x: Floats, y: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """A curve that rises from nothing at `low` and stays level up to `high`, with as many points as can be seen."""
    keep = np.unique(np.linspace(0, max(len(x) - 1, 0), _MOST_POINTS).astype(np.int64))[: len(x)]
    last = y[-1:] if len(y) else np.zeros(1)
    return np.concatenate([[low], x[keep], [high]]), np.concatenate([[0.0], y[keep], last])


def _panels(fleet: FleetRun, n: int, lines: int) -> tuple[Figure, list[Axes]]:
    """A figure with panels one below the other, the first on top, each with room for a title above and names beside it."""
    height = max(1.35, _ENTRY_IN * (lines + 1) + 0.1)
    each = height + 0.5
    figure = new_figure(COLUMN_IN, n * each + 0.38)
    return figure, [axes_in(figure, _LEFT_IN, 0.5 + (n - 1 - at) * each, _WIDTH_IN, height) for at in range(n)]


def _title(axes: Axes, text: str) -> None:
    axes.annotate(
        text, xy=(0.0, 1.0), xycoords="axes fraction", xytext=(-_LEFT_IN * 72.0 + 4.0, 10.0), textcoords="offset points",
        fontsize=TEXT_PT, color=MUTED, va="bottom", annotation_clip=False,
    )  # fmt: skip


def _clock(fleet: FleetRun, panels: Sequence[Axes]) -> None:
    """The time axis, the same for all panels, labelled below the last; faults shaded and named in the first."""
    end_s = float(fleet.edges_s[-1])
    step_s = time_step(end_s, 6)
    unit_s, word = time_unit(step_s)
    ticks = np.arange(0.0, end_s + 0.5, step_s)
    for axes in panels:
        axes.set_xlim(0.0, end_s)
        axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
        axes.set_xticklabels([significant(tick / unit_s, 6) for tick in ticks] if axes is panels[-1] else [])
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        for fault in fleet.faults:
            _shade(axes, fault, end_s)
    panels[-1].set_xlabel(f"the fleet's clock, {word}")
    _fault_names(panels[0], fleet.faults, end_s)


def _shade(axes: Axes, fault: Fault, end_s: float) -> None:
    until_s = min(fault.end_s, end_s)
    axes.axvspan(fault.start_s, until_s, color=ALERT, alpha=0.12, linewidth=0)
    axes.axvline(fault.start_s, color=ALERT, linewidth=0.7, alpha=0.7)


def _fault_names(axes: Axes, faults: Sequence[Fault], end_s: float) -> None:
    """The kinds of the faults at their start; of many in one place the first alone."""
    last_s = -math.inf
    for fault in faults:
        if fault.start_s - last_s < 0.3 * end_s or fault.start_s > end_s:
            continue
        last_s = fault.start_s
        left = fault.start_s > 0.6 * end_s
        axes.annotate(
            fault.kind.replace("_", " "), xy=(fault.start_s, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-2.0 if left else 2.0, 0.5), textcoords="offset points", ha="right" if left else "left", va="bottom",
            fontsize=SMALL_PT - 0.6, color=ALERT, annotation_clip=False,
        )  # fmt: skip


def _line(axes: Axes, x: Floats, y: Floats, look: Style, *, lowest: bool = False) -> None:
    """A line of values for each second, thinned to what can be seen: of each stretch the greatest, or the least."""
    block = math.ceil(len(y) / _MOST_POINTS)
    if block > 1:
        n = len(y) // block * block
        stretches = y[:n].reshape(-1, block)
        x, y = x[:n:block], stretches.min(axis=1) if lowest else stretches.max(axis=1)
    axes.plot(x, y, color=look.colour, linestyle=look.dashes, linewidth=1.25, drawstyle="steps-post", solid_joinstyle="miter")


def _counts(axes: Axes, fleet: FleetRun, lines: Mapping[str, Floats], limit: _Limit | None, unit: str) -> None:
    """Lines of counts with their peaks beside them and a limit; on a log axis where the peak is far beyond the limit."""
    peak = max((float(values.max(initial=0.0)) for values in lines.values()), default=0.0)
    top = max(peak, limit.value if limit else 0.0, 1.0 / fleet.scale)
    if limit is not None and peak > _LOG_FROM * limit.value:
        least = 1.0 / fleet.scale  # one simulated vehicle
        floor = 10.0 ** math.floor(math.log10(least))
        axes.set_yscale("symlog", linthresh=floor, linscale=0.5)
        axes.set_ylim(0.0, top * 2.0)
        powers = range(round(math.log10(floor)), math.ceil(math.log10(top)) + 1)
        ticks = [0.0, *(10.0**power for power in powers if 10.0**power <= top * 2.0)]
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0.0, top * 1.18)
        step = nice_step(top, 4)
        ticks = [step * number for number in range(int(top * 1.1 / step) + 1)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels([_short(tick) for tick in ticks])
    for name, values in lines.items():
        _line(axes, fleet.edges_s[:-1], values, fleet.looks[name])
    if limit is not None:
        axes.axhline(limit.value, color=INK, linewidth=0.9, linestyle=_DASHED)
    entries = [(name, f"peak {_rounded(float(values.max(initial=0.0)))}{unit}") for name, values in lines.items()]
    _column(axes, fleet, entries, limit)


def _rounded(value: float) -> str:
    return count(round(value)) if value >= 100.0 else significant(value)


def _short(value: float) -> str:
    """A tick of an axis of counts: 500, 20k, 3M."""
    for factor, word in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{significant(value / factor)}{NBSP}{word}"
    return significant(value)


def _share_ticks(axes: Axes) -> None:
    axes.yaxis.set_major_locator(FixedLocator([0.0, 0.25, 0.5, 0.75, 1.0]))
    axes.set_yticklabels([percent_tick(tick) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)])
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _column(axes: Axes, fleet: FleetRun, entries: Sequence[tuple[str, str]], limit: _Limit | None = None) -> None:
    """Names with their lines and a number each, in a column on the right; a limit below them."""
    height = axes.bbox.height / axes.figure.dpi
    looks: list[tuple[str, object, float]] = [
        (fleet.looks[name].colour, fleet.looks[name].dashes, 1.8) for name, _number in entries
    ]
    if limit is not None:
        entries = [*entries, (limit.words, f"{_rounded(limit.value)}{limit.unit}")]
        looks.append((INK, _DASHED, 0.9))
    wanted = [height - 0.12 - _ENTRY_IN * at for at in range(len(entries))]
    places = spread(wanted, _ENTRY_IN, 0.22, height - 0.08)
    for (name, number), (colour, dashes, width), at in zip(entries, looks, places, strict=True):
        axes.plot(
            (1.04, 1.10), (at / height,) * 2, transform=axes.transAxes, color=colour, linestyle=dashes, linewidth=width,
            clip_on=False, solid_capstyle="butt",
        )  # fmt: skip
        axes.text(1.12, at / height, shortened(name, 17), transform=axes.transAxes, va="center", fontsize=SMALL_PT, color=INK)
        axes.text(
            1.12, (at - 0.145) / height, number, transform=axes.transAxes, va="center", fontsize=SMALL_PT - 0.6, color=MUTED
        )
