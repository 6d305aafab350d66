"""What the evidence can carry: how many drives a verdict needs, how many an interval of a wanted width, and lines that say so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.measure.metrics_catalog import metric
from sim.measure.stats import CONFIDENCE, Interval

#: With fewer the percentile bootstrap's intervals are too narrow (Efron & Tibshirani 1993, 14.3).
ENOUGH_DRIVES = 10


def least_drives(comparisons: int = 1) -> int:
    """So many drives a verdict at 95 % needs, whatever they show: 2^(1 - n), the chance of equal signs, is below 5 %."""
    return math.ceil(1.0 - math.log2((1.0 - CONFIDENCE) / max(comparisons, 1)))


def few_drives(n: int, comparisons: int = 1, what: str = "drive") -> str | None:
    """A warning where `n` drives carry no verdict, or intervals that are too narrow."""
    if n < least_drives(comparisons):
        of = f" over {comparisons} comparisons at once" if comparisons > 1 else ""
        least = least_drives(comparisons)
        return f"{_drives(n, what)} cannot carry a verdict{of}, {least} can: with fewer, equal signs may be chance"
    if n < ENOUGH_DRIVES:
        return f"{_drives(n, what)}: intervals of so few are too narrow, {ENOUGH_DRIVES} or more hold their 95 %"
    return None


def _drives(n: int, what: str = "drive") -> str:
    return f"1 {what}" if n == 1 else f"{n} {what}s"


def drives_to_decide(interval: Interval) -> int | None:
    """About so many drives would tell a difference of this size from none; None where there is nothing to tell."""
    if interval.mean is None or interval.low is None or interval.high is None or interval.mean == 0.0:
        return None
    half = (interval.high - interval.low) / 2.0
    return math.ceil(interval.n * (half / abs(interval.mean)) ** 2)


def run_warnings(
    drives: int,
    objectives: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    counted: str = "drive",
) -> list[str]:
    """Where a run's evidence does not carry a verdict: lines for the terminal, metrics.json and the report.

    `counted`: what the evidence is counted in.
    """
    lines = []
    about = [one for one in comparisons if one["p"] is not None]
    if objectives or about:
        few = few_drives(drives, what=counted)
        lines += [few] if few else []
    for one in objectives:
        if one["verdict"] == "undecided":
            what = f"{one['strategy']}: {one['metric']} {one['bound'].replace('_', ' ')}"
            lines.append(
                f"{what} is undecided by {_drives(drives, counted)}: its interval holds the bound, more {counted}s would narrow"
                " it"
            )
    told = [one for one in about if one["verdict"] != "no evidence"]
    lost = [one for one in told if not one["holds"]]
    if lost:
        lines.append(
            f"{len(lost)} of {len(told)} differences seen at 95 % do not hold among {len(about)} comparisons at once (Holm)"
        )
    return lines


@dataclass(frozen=True, slots=True)
class Precision:
    """A wanted half width of a metric's interval: `share` of the mean, or `absolute` in the metric's unit."""

    metric: str
    share: float | None = None
    absolute: float | None = None
    most: int = 1000  # drives, whatever the width

    def wanted(self, interval: Interval) -> float:
        """The half width that is asked for, in the metric's unit."""
        if self.absolute is not None:
            return self.absolute
        return abs(interval.mean or 0.0) * (self.share or 0.0)

    def reached(self, interval: Interval) -> bool:
        """Whether the interval is narrow enough. Where nothing varies, or nothing is measured, more drives would not help."""
        if interval.n == 0 or interval.low is None or interval.high is None:
            return interval.n != 1 and not _beyond(interval)
        return (interval.high - interval.low) / 2.0 <= self.wanted(interval)

    def in_words(self) -> str:
        if self.share is not None:
            return f"{self.metric} to {100 * self.share:g} % of its mean"
        unit = metric(self.metric).unit
        return f"{self.metric} to {self.absolute:g}" + ("" if unit in ("count", "share") else f" {unit}")


def _beyond(interval: Interval) -> bool:
    return interval.mean is not None and math.isinf(interval.mean)


def next_drives(intervals: Sequence[Interval], precision: Precision, n: int) -> int:
    """How many drives to go on to from `n`; `n` where all intervals are narrow enough or no more are allowed.

    The width falls with the root of the number. Each step is at least a quarter more and at most double, since an interval of
    few drives is a poor guide, and one that is looked at often is met too early.
    """
    open_ones = [interval for interval in intervals if not precision.reached(interval)]
    if not open_ones or n >= precision.most:
        return n
    estimates = []
    for interval in open_ones:
        wanted = precision.wanted(interval)
        if interval.low is None or interval.high is None or wanted <= 0.0:
            estimates.append(2.0 * n)
        else:
            estimates.append(n * ((interval.high - interval.low) / 2.0 / wanted) ** 2)
    aim = min(max(estimates), 2.0 * n)
    return min(max(math.ceil(aim), math.ceil(1.25 * n), n + 1), precision.most)
