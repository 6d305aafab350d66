"""Ticks in words: round numbers on log axes, with the unit a reader thinks in."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from sim.report.numbers import NBSP, significant

_DURATIONS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0)


def duration_tick(value: float) -> str:
    """1 ms, 10 s, 1 min, 1 h."""
    if value < 1.0:
        return f"{significant(value * 1000.0)}{NBSP}ms"
    if value < 60.0:
        return f"{significant(value)}{NBSP}s"
    return f"{significant(value / 60.0)}{NBSP}min" if value < 3600.0 else f"{significant(value / 3600.0)}{NBSP}h"


def percent_tick(share: float) -> str:
    """0.01 %, 10 %."""
    return f"{share * 100.0:.6g}{NBSP}%"


def log_durations(axes: Axes, low: float, high: float) -> None:
    """A log x axis of durations."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in _DURATIONS if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels([duration_tick(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def log_shares(axes: Axes, low: float) -> None:
    """A log y axis of shares from `low` to all."""
    axes.set_yscale("log")
    axes.set_ylim(low, 1.3)
    ticks = [10.0**power for power in range(math.ceil(math.log10(low)), 1)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels([percent_tick(tick) for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that makes at most so many steps in the span."""
    if span <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next((factor * power for factor in (1.0, 2.0, 5.0) if factor * power * most >= span), 10.0 * power)


def time_unit(step_s: float) -> tuple[float, str]:
    """(seconds, name) of the unit in which the ticks of such a step are read."""
    units = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
    return next((unit for unit in units if step_s >= unit[0] and step_s % unit[0] == 0.0), (1.0, "s"))


def time_step(span_s: float, most: int) -> float:
    """A step of a time axis in s: a round number of seconds, minutes, hours or days."""
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
    return float(next((step for step in steps if step * most >= span_s), nice_step(span_s, most)))
