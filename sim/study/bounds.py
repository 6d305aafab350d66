"""`metric:5%`, `metric:2 s`, `metric`: a metric and how much of it, as --precision and --gate take it."""

from __future__ import annotations

from sim.measure.metrics_catalog import METRICS, metric
from sim.scenario.document import nearest
from sim.scenario.quantities import QuantityError, parse_quantity


class BoundError(ValueError):
    """The text is not understood; one line."""


def parse_bound(text: str, default_metric: str | None = None) -> tuple[str, float | None, float | None]:
    """Return (metric, share, absolute); both None where only the metric is named.

    `5%` is a share (0.05), of a mean. Anything else is absolute, in the metric's unit, with a unit where it has one:
    `2 s`, `1 MB`, `0.5` for a count, `0.01` for a share. Raises BoundError.
    """
    name, colon, width = text.partition(":")
    if not colon and name not in METRICS and default_metric is not None:
        name, width = default_metric, text
    name, width = name.strip(), width.strip()
    if name not in METRICS:
        near = nearest(name, METRICS)
        hint = f"did you mean {near}" if near else "`python -m sim list metrics` shows them"
        raise BoundError(f"unknown metric {name}, {hint}")
    if not width:
        if colon:
            raise BoundError("expected a width after the colon, such as 5%")
        return name, None, None
    if width.endswith("%"):
        try:
            share = float(width[:-1])
        except ValueError:
            raise BoundError(f"{width!r} is not understood, expected a share such as 5%") from None
        if not 0.0 <= share <= 1000.0:
            raise BoundError(f"{width} is out of range, expected a share from 0% to 1000%, such as 5%")
        return name, share / 100.0, None
    return name, None, _absolute(name, width)


def _absolute(name: str, width: str) -> float:
    unit = metric(name).unit
    try:
        if unit == "s":
            return parse_quantity(width, "duration")
        if unit in ("bytes", "MB"):
            return parse_quantity(width, "size") / (1e6 if unit == "MB" else 1.0)
        value = float(width)
    except QuantityError as error:
        raise BoundError(str(error)) from None
    except ValueError:
        raise BoundError(f"{width!r} is not understood, expected a number or a share such as 5%") from None
    if unit == "share" and not 0.0 <= value < 1.0:
        raise BoundError(f"{width} is out of range, expected a share such as 5% or 0.05")
    if not 0.0 <= value < 1e15:
        raise BoundError(f"{width} is out of range, expected a number from 0, or a share such as 5%")
    return value
