"""Intervals over replications: percentile bootstrap of means and of paired differences.

The unit of resampling is the replication, since messages of one drive are not independent. Percentile bootstrap after
Efron & Tibshirani, An Introduction to the Bootstrap (1993), 13.3. The resamples are addressed draws of the run's seed and
the same for every metric, so that a figure does not depend on which others were computed. Sums are exact or in a fixed
order, so the same values give the same interval on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from sim.streams import Stream

RESAMPLES = 10_000
CONFIDENCE = 0.95

NOTHING_VARIED = "nothing varied"
ONE_DRIVE = "one drive"
NO_DATA = "no data"

Direction = Literal["higher", "lower"]
Verdict = Literal["better", "worse", "no evidence"]

_SAME = 1e-9  # relative; replications that differ by less differ by rounding alone


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over drives and its 95 % interval, in the metric's unit.

    `mean` is None without data and inf where a value lies beyond the horizon. `low` and `high` are None where no interval
    is drawn; `note` then says why. `n` is the number of drives that have a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of a - b over the drives both have, its interval, and what it says about a.

    `p_value` is that of "there is no difference", two-sided; None where nothing can be said.
    """

    interval: Interval
    verdict: Verdict
    p_value: float | None = None


def quantile(ordered: npt.NDArray[np.float64], q: float) -> float:
    """Quantile of sorted, finite values by linear interpolation (Hyndman & Fan type 7, numpy's default)."""
    if len(ordered) == 0:
        raise ValueError("no values, no quantile")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (high - low) * (position - below)


def rank_quantile(ordered: npt.NDArray[np.float64], percent: int) -> float | None:
    """Smallest value that at least `percent` % of the sorted values do not exceed (Hyndman & Fan type 1); None of none.

    No interpolation, because some values may be inf: what never happened lies beyond every horizon.
    """
    n = len(ordered)
    return float(ordered[max(-(-n * percent // 100), 1) - 1]) if n else None


@lru_cache(maxsize=8)
def resample_indices(seed: int, n: int, resamples: int = RESAMPLES) -> npt.NDArray[np.int32]:
    """Indices of the bootstrap's resamples, shape (n, resamples): column r are the n drives of resample r."""
    uniforms = Stream(seed, 0, 0, "bootstrap").uniforms(resamples * n)
    indices = np.minimum((uniforms * n).astype(np.int32), n - 1).reshape(resamples, n).T
    return np.ascontiguousarray(indices)


def mean_interval(values: Sequence[float | None], seed: int, confidence: float = CONFIDENCE) -> Interval:
    """Mean over drives with its percentile bootstrap interval.

    `values` has one entry a drive: None where it has no data (left out), inf where it lies beyond the horizon (then the
    mean is inf and no interval is drawn).
    """
    present = [float(value) for value in values if value is not None]
    n = len(present)
    if n == 0:
        return Interval(None, None, None, 0, NO_DATA)
    beyond = sum(math.isinf(value) for value in present)
    if beyond:
        return Interval(math.inf, None, None, n, f"beyond the horizon in {beyond} of {n} drives")
    mean = math.fsum(present) / n
    if n == 1:
        return Interval(mean, None, None, 1, ONE_DRIVE)
    if nothing_varies(present):
        return Interval(mean, None, None, n, NOTHING_VARIED)
    means = _resampled_means(np.array(present), seed)
    tail = (1.0 - confidence) / 2.0
    return Interval(mean, quantile(means, tail), quantile(means, 1.0 - tail), n)


def share_interval(drives: Sequence[tuple[int, int]], seed: int) -> Interval:
    """A share of all drives together, from (hits, trials) of each, with its interval: drives are resampled as they are."""
    n = len(drives)
    trials = sum(of for _, of in drives)
    if not trials:
        return Interval(None, None, None, 0, NO_DATA)
    found = sum(hits for hits, _ in drives) / trials
    if n == 1:
        return Interval(found, None, None, 1, ONE_DRIVE)
    if nothing_varies([hits / of for hits, of in drives]):
        return Interval(found, None, None, n, NOTHING_VARIED)
    hits, of = (np.array(column, dtype=np.int64) for column in zip(*drives, strict=True))
    indices = resample_indices(seed, n)
    shares = np.sort(hits[indices].sum(axis=0) / of[indices].sum(axis=0))
    tail = (1.0 - CONFIDENCE) / 2.0
    return Interval(found, quantile(shares, tail), quantile(shares, 1.0 - tail), n)


def paired_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    better: Direction,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Paired difference a - b over drives; `a[i]` and `b[i]` are of the same drive, None where there is no data.

    The verdict is about a: `better` or `worse` where the interval excludes 0 and there are drives enough: that n differences
    have one sign happens by chance with 2^(1 - n). Where all drives gave the same difference no interval is drawn and its
    sign decides; a single drive is no evidence.
    """
    if len(a) != len(b):
        raise ValueError("paired values must be of the same drives")
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    pairs = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    differences = [x - y for x, y in pairs]
    interval = mean_interval(differences, seed, confidence)
    p_value = None if interval.low is None else _p_value(np.array(differences), seed)
    if interval.low is not None and interval.high is not None:
        sign = 1 if interval.low > 0 else -1 if interval.high < 0 else 0
        if 2.0 ** (1 - len(pairs)) >= 1.0 - confidence:
            sign = 0
    elif interval.note == NOTHING_VARIED and interval.mean is not None:
        # a difference within rounding of the values themselves is none
        scale = max(abs(value) for pair in pairs for value in pair)
        sign = 0 if abs(interval.mean) <= _SAME * scale else 1 if interval.mean > 0 else -1
        p_value = 1.0 if sign == 0 else 0.0
    else:
        sign = 0
    if sign == 0:
        return Difference(interval, "no evidence", p_value)
    return Difference(interval, "better" if (sign > 0) == (better == "higher") else "worse", p_value)


def nothing_varies(values: Sequence[float]) -> bool:
    """Whether the values are equal up to rounding."""
    low, high = min(values), max(values)
    return high - low <= _SAME * max(abs(low), abs(high))


def _resampled_means(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Means of the resamples, sorted."""
    indices = resample_indices(seed, len(values))
    total = np.zeros(indices.shape[1])
    for row in indices:  # element by element in a fixed order: a sum over an axis may be reordered by the processor
        total += values[row]
    return np.sort(total / len(values))


def _p_value(differences: npt.NDArray[np.float64], seed: int) -> float:
    """Two-sided, by inversion of the bootstrap's interval (Efron & Tibshirani 15.4), never below that of the sign test.

    So few drives cannot say more: that n differences have one sign happens by chance with 2^(1 - n).
    """
    means = _resampled_means(differences, seed)
    n = len(means)
    not_below = n - int(np.searchsorted(means, 0.0, side="left"))
    not_above = int(np.searchsorted(means, 0.0, side="right"))
    tail = (min(not_below, not_above) + 1) / (n + 1)
    return min(max(2.0 * tail, 2.0 ** (1 - len(differences))), 1.0)
