"""Numbers as a reader wants them: with a unit, and with as many digits as their interval leaves meaning to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sim.measure.metrics_catalog import metric

NBSP = "\u00a0"
_HOURS_FROM_S = 36_000.0  # from there on a duration is told in hours
_DAYS_FROM_S = 2 * 86_400.0


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, thousands apart: 0.00213, 13.6, 9,765."""
    if value == 0.0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    text = f"{value:,.{max(digits - 1 - size, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float) -> str:
    """A duration: 80 ms, 8.31 s, 12 min, 13 h, 7 d."""
    if abs(value) < 1.0:
        return f"{significant(value * 1000.0, 3 if abs(value) >= 0.1 else 2)}{NBSP}ms" if value else f"0{NBSP}s"
    if abs(value) < 600.0:
        return f"{significant(value)}{NBSP}s"
    if abs(value) < _HOURS_FROM_S:
        return f"{round(value / 60.0):,}{NBSP}min"
    if abs(value) < _DAYS_FROM_S:
        return f"{significant(value / 3600.0)}{NBSP}h"
    return f"{significant(value / 86400.0)}{NBSP}d"


def instant(value: float) -> str:
    """An instant of a drive: 631.5 s; on a drive of days, 1 d 07:20:15."""
    if value < _HOURS_FROM_S:
        return f"{value:,.1f}{NBSP}s"
    days, left = divmod(round(value), 86400)
    return f"{days}{NBSP}d {left // 3600:02}:{left % 3600 // 60:02}:{left % 60:02}"


def percent(share: float) -> str:
    """A share in per cent: 34 %, 0.15 %, 99.98 %; 100 % and 0 % are said only of all and none."""
    return f"{_percent(share)}{NBSP}%"


def _percent(share: float) -> str:
    value = share * 100.0
    if share in (0.0, 1.0):
        return f"{value:.0f}"
    digits = max(1 - math.floor(math.log10(min(value, 100.0 - value))), 0) if 0.0 < value < 100.0 else 1
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: float) -> str:
    """A count, or a mean of counts."""
    return f"{value:,.0f}" if float(value).is_integer() else significant(value, 3)


def scaled(name: str, size: float) -> tuple[float, str]:
    """The factor and the unit in which values of a metric of this size are read: shares in %, a short time in ms."""
    unit = metric(name).unit
    if unit == "share":
        return 100.0, "%"
    if unit == "s":
        if size < 600.0:
            return (1000.0, "ms") if size < 1.0 else (1.0, "s")
        if size < _HOURS_FROM_S:
            return 1.0 / 60.0, "min"
        return (1.0 / 3600.0, "h") if size < _DAYS_FROM_S else (1.0 / 86400.0, "d")
    if unit == "bytes":
        return (1e-6, "MB") if size >= 1e5 else (1.0, "bytes")
    return 1.0, "MB" if unit == "MB" else ""


def valued(name: str, value: float) -> str:
    """A metric's value with its unit."""
    unit = metric(name).unit
    if unit == "share":
        return percent(value)
    if unit == "s":
        return seconds(value)
    factor, word = scaled(name, abs(value))
    if unit == "count":
        return count(value)
    return f"{significant(value * factor, 4 if abs(value * factor) >= 1000.0 else 3)}{NBSP}{word}"


def decimals(low: float, high: float) -> int:
    """Decimals that an interval leaves meaning to: one digit of its half width, two where that begins with 1 to 3."""
    half = (high - low) / 2.0
    if half <= 0.0:
        return 3
    size = math.floor(math.log10(half))
    return max((1 if half / 10.0**size < 3.55 else 0) - size, 0)


def with_bounds(name: str, mean: float, low: float, high: float, factor: float) -> tuple[str, str]:
    """(value, interval) without a unit: ("8.3", "7.6–9.0"). A share that is not 1 is never written as 100."""
    places = decimals(low * factor, high * factor)
    size = max(abs(mean), abs(low), abs(high)) * factor
    if size > 0.0:
        places = min(places, max(4 - math.floor(math.log10(size)), 0))  # five digits are enough however narrow it is
    if metric(name).unit == "share":
        while places < 6 and mean not in (0.0, 1.0) and float(f"{mean * factor:.{places}f}") in (0.0, 100.0):
            places += 1
    text = f"{mean * factor:,.{places}f}"
    first, last = f"{low * factor:,.{places}f}", f"{high * factor:,.{places}f}"
    return text, f"{first} to {last}" if low < 0.0 else f"{first}–{last}"


def told(name: str, interval: Mapping[str, Any], factor: float | None = None, word: str = "") -> tuple[str, str, str]:
    """(value, interval, unit) of a mean: ("8.3", "7.6–9.0", "s"). The one place where means are rounded, in tables and text.

    The interval is "" where none was drawn. `factor` and `word`: the unit to use, None: the one that suits the size. Of a share
    that is all or none the interval has one side: ("100", "at least 99.8", "%").
    """
    mean, low, high = float(interval["mean"]), interval["low"], interval["high"]
    sides = [abs(mean)] if low is None or high is None else [abs(float(low)), abs(float(high))]
    if factor is None:
        factor, word = scaled(name, max(sides))
    unit = metric(name).unit
    if low is None or high is None:
        if unit == "share":
            return _percent(mean), "", word
        if unit == "count":
            return count(mean), "", word
        size = mean * factor
        digits = 2 if unit == "s" and abs(mean) < 0.1 else 4 if abs(size) >= 1000.0 else 3
        return significant(size, digits), "", word
    low, high = float(low), float(high)
    if unit == "share" and mean in (0.0, 1.0):
        edge = f"at least {_percent(low)}" if mean else f"at most {_percent(high)}"
        return _percent(mean), edge, word
    value, bounds = with_bounds(name, mean, low, high, factor)
    return value, bounds, word


def column_unit(name: str) -> str:
    """The unit at the head of a metric's column: %, MB; "" where each value bears its own, as times do."""
    unit = metric(name).unit
    return "%" if unit == "share" else "MB" if unit == "MB" else ""


def in_table(name: str, interval: Mapping[str, Any]) -> tuple[str, str]:
    """(value, interval) of a mean in a column of `column_unit`."""
    unit = metric(name).unit
    factor = 100.0 if unit == "share" else None if unit in ("s", "bytes") else 1.0
    value, sides, word = told(name, interval, factor)
    return f"{value}{NBSP}{word}" if word else value, sides


def mean_in_words(name: str, interval: Mapping[str, Any] | None) -> str:
    """A mean with its unit, rounded as beside its interval: "8.3 s"; says why where there is no number."""
    return _in_words(name, interval, bounds=False)


def with_interval(name: str, interval: Mapping[str, Any] | None) -> str:
    """A mean with its interval in the words of a sentence: "8.3 s (7.6–9.0)"; says why where there is no number."""
    return _in_words(name, interval, bounds=True)


def _in_words(name: str, interval: Mapping[str, Any] | None, *, bounds: bool) -> str:
    if interval is None or (interval["mean"] is None and not interval["note"]):
        return "no data"
    mean = interval["mean"]
    if mean is None or not math.isfinite(mean):
        return str(interval["note"]) or "beyond the end of the run"
    value, sides, word = told(name, interval)
    return f"{value}{NBSP + word if word else ''}{f' ({sides})' if sides and bounds else ''}"


def difference(name: str, mean: float | None, low: float | None, high: float | None, signed: bool = False) -> str:
    """A paired difference with its interval: "0.15 points (0.08–0.22)", or signed "−53 ms (−67 to −41)"."""
    if mean is None or not math.isfinite(mean):
        return "an unknown amount"
    factor, word = scaled(name, max(abs(side) for side in (mean, low, high) if side is not None))
    word = "points" if metric(name).unit == "share" else word
    unit = NBSP + word if word else ""
    if low is None or high is None:
        return f"{_sign(mean) if signed else ''}{significant(abs(mean) * factor)}{unit}"
    places = decimals(low * factor, high * factor)
    if signed:
        first, last = (f"{_sign(side)}{abs(side) * factor:,.{places}f}" for side in (low, high))
        return f"{_sign(mean)}{abs(mean) * factor:,.{places}f}{unit} ({first} to {last})"
    if low < 0.0 < high:
        return f"{abs(mean) * factor:,.{places}f}{unit} ({_around(low, high, mean, factor, places)})"
    small, large = sorted((abs(low), abs(high)))
    return f"{abs(mean) * factor:,.{places}f}{unit} ({small * factor:,.{places}f}–{large * factor:,.{places}f})"


def _around(low: float, high: float, mean: float, factor: float, places: int) -> str:
    """An interval that holds 0, counted in the direction of the mean: "−319 to 504"."""
    if mean < 0.0:
        low, high = -high, -low
    return f"−{abs(low) * factor:,.{places}f} to {high * factor:,.{places}f}"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−" if value < 0 else ""


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
