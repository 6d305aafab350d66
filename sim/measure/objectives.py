"""Objectives: is a bound met, missed, or not decided by so many drives?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from sim.measure.metrics_catalog import metric
from sim.measure.stats import mean_interval

Judgement = Literal["met", "missed", "undecided"]


def judge(
    values: Sequence[float | None], seed: int, name: str, at_most: float | None = None, at_least: float | None = None
) -> dict[str, Any]:
    """Judge a bound by the interval of the drives' mean: {`value`, `low`, `high`, `verdict`}.

    `values` has one entry a drive (None: no data, inf: beyond the horizon). Counts and bytes are means per drive. A bound is
    met or missed where the whole interval lies on one side of it (the bound itself belongs to "met"), else undecided. Where
    nothing varies, or with one drive, the value decides. Beyond the horizon is above every bound.

    A count that must be at most 0 is met only if it is 0 in every drive, and missed if it is not in one: a single loss
    disproves "none is lost", however wide the interval. Without data there is nothing to decide: undecided.
    """
    interval = mean_interval(values, seed)
    verdict: Judgement = "undecided"
    if interval.mean is not None:
        if at_most == 0.0 and metric(name).unit == "count":
            verdict = "met" if interval.mean == 0.0 else "missed"
        else:
            low = interval.mean if interval.low is None else interval.low
            high = interval.mean if interval.high is None else interval.high
            verdict = _both(_above(low, high, at_least), _below(low, high, at_most))
    shown = interval.mean if interval.mean is not None and math.isfinite(interval.mean) else None
    return {"value": shown, "low": interval.low, "high": interval.high, "verdict": verdict, "note": interval.note}


def bound_in_words(at_most: float | None, at_least: float | None) -> str:
    """The bound as metrics.json shows it: "at_most 0", "at_least 0.95"."""
    parts = [f"{word} {bound:g}" for word, bound in (("at_most", at_most), ("at_least", at_least)) if bound is not None]
    return ", ".join(parts)


def _below(low: float, high: float, bound: float | None) -> Judgement:
    if bound is None or high <= bound:
        return "met"
    return "missed" if low > bound else "undecided"


def _above(low: float, high: float, bound: float | None) -> Judgement:
    if bound is None or low >= bound:
        return "met"
    return "missed" if high < bound else "undecided"


def _both(first: Judgement, second: Judgement) -> Judgement:
    if "missed" in (first, second):
        return "missed"
    return "met" if first == second == "met" else "undecided"
