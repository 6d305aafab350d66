"""Numbers as a reader wants them: with a unit, and with as many digits as matter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sim.measure.metrics_catalog import metric

NBSP = "\u00a0"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, thousands apart: 0.00213, 13.6, 9,765."""
    if value == 0.0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    decimals = max(digits - 1 - size, 0)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float) -> str:
    """A duration: 80 ms, 8.31 s, 12 min 30 s."""
    if abs(value) < 1.0:
        return f"{significant(value * 1000.0, 3 if abs(value) >= 0.1 else 2)}{NBSP}ms" if value else f"0{NBSP}s"
    if abs(value) < 600.0:
        return f"{significant(value)}{NBSP}s"
    return f"{round(value / 60.0):,}{NBSP}min"


def percent(share: float) -> str:
    """A share in per cent; 100 % and 0 % are said only of all and none."""
    value = share * 100.0
    for decimals in (0, 1, 2, 3, 4):
        text = f"{value:.{decimals}f}"
        whole = float(text) in (0.0, 100.0)
        if whole == (share in (0.0, 1.0)) and (whole or decimals >= (2 if abs(value - 50.0) > 40.0 else 1)):
            break
    return f"{text}{NBSP}%"


def points(share: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{significant(abs(share) * 100.0, 2)}{NBSP}points"


def count(value: float) -> str:
    """A count, or a mean of counts."""
    return f"{value:,.0f}" if float(value).is_integer() else significant(value, 3)


def bare(name: str, value: float) -> str:
    """A metric's value without its unit, for the bounds of an interval; in the unit that `unit_word` names."""
    unit = metric(name).unit
    if unit == "share":
        return percent(value).removesuffix(f"{NBSP}%")
    if unit == "bytes":
        return significant(value / 1e6)
    return count(value) if unit == "count" else significant(value)


def unit_word(name: str) -> str:
    return {"share": "%", "s": "s", "bytes": "MB", "MB": "MB", "count": ""}[metric(name).unit]


def valued(name: str, value: float) -> str:
    """A metric's value with its unit."""
    unit = metric(name).unit
    if unit == "share":
        return percent(value)
    if unit == "s":
        return seconds(value)
    return f"{bare(name, value)}{NBSP}MB" if unit in ("bytes", "MB") else count(value)


def size_of_difference(name: str, value: float) -> str:
    """The size of a difference of two values of a metric, with its unit and without its sign."""
    return points(value) if metric(name).unit == "share" else valued(name, abs(value))


def with_interval(name: str, interval: Mapping[str, Any] | None) -> str:
    """A mean with its interval in the words of a sentence: "8.31 s (7.58 to 9.03)"; says why where there is no number."""
    if interval is None or (interval["mean"] is None and not interval["note"]):
        return "no data"
    if interval["mean"] is None or not math.isfinite(interval["mean"]):
        return str(interval["note"]) or "beyond the end of the run"
    text = valued(name, float(interval["mean"]))
    if interval["low"] is None or interval["high"] is None:
        return text
    return f"{text} ({bounds(name, float(interval['low']), float(interval['high']))})"


def bounds(name: str, low: float, high: float) -> str:
    """An interval with its unit where that is not the mean's: "7.58 to 9.03 s"; the smaller size first."""
    unit = metric(name).unit
    if unit == "s" and max(abs(low), abs(high)) < 1.0:
        return f"{significant(low * 1000.0)} to {significant(high * 1000.0)}{NBSP}ms"
    word = unit_word(name)
    return f"{bare(name, low)} to {bare(name, high)}{NBSP + word if word else ''}"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
