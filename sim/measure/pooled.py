"""Quantiles over all messages of all drives, with intervals that know that messages of one drive are not independent.

The drives are resampled, each with all its values (cluster bootstrap: Davison & Hinkley, Bootstrap Methods and their
Application, 1997, 3.8), and the quantile is taken of each resample. A value beyond the horizon is inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim.measure.stats import CONFIDENCE, NO_DATA, NOTHING_VARIED, ONE_DRIVE, Interval, rank_quantile, resample_indices

#: Fewer than for means: each one orders all messages.
RESAMPLES = 2_000


def pooled_quantile(drives: Sequence[npt.NDArray[np.float64]], percent: int, seed: int) -> Interval:
    """The value that `percent` % of all values do not exceed, and its 95 % interval. `mean` holds the quantile.

    Same rank rule as `rank_quantile`. `n` is the number of drives that have values. An end of the interval that lies beyond the
    horizon is inf.
    """
    filled = [drive for drive in drives if len(drive)]
    n = len(filled)
    if n == 0:
        return Interval(None, None, None, 0, NO_DATA)
    values = np.concatenate(filled)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    found = rank_quantile(ordered, percent)
    if n == 1:
        return Interval(found, None, None, 1, ONE_DRIVE)
    if all(np.array_equal(np.sort(filled[0]), np.sort(drive)) for drive in filled[1:]):
        return Interval(found, None, None, n, NOTHING_VARIED)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    ranks = [np.sort(part) for part in np.split(place, np.cumsum([len(drive) for drive in filled])[:-1])]
    quantiles = np.sort(_resampled(ordered, ranks, percent, seed))
    low, high = (_rank(quantiles, share) for share in ((1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0))
    return Interval(found, low, high, n)


def _resampled(
    ordered: npt.NDArray[np.float64], ranks: Sequence[npt.NDArray[np.int64]], percent: int, seed: int
) -> npt.NDArray[np.float64]:
    """The quantile of each resample, found by bisection over the ranks; `ranks`: where the values of each drive stand."""
    n = len(ranks)
    indices = resample_indices(seed, n, RESAMPLES)
    weights = np.zeros((n, RESAMPLES), dtype=np.int64)  # how often each drive is in each resample
    for row in indices:
        weights[row, np.arange(RESAMPLES)] += 1
    size = sum(weight * len(mine) for weight, mine in zip(weights, ranks, strict=True))
    wanted = np.maximum(-(-size * percent // 100), 1)  # the rank that holds `percent` % of the resample, in whole numbers
    low, high = np.zeros(RESAMPLES, dtype=np.int64), np.full(RESAMPLES, len(ordered) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        reached = sum(weight * np.searchsorted(mine, middle, side="right") for weight, mine in zip(weights, ranks, strict=True))
        enough = reached >= wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    return ordered[low]


def _rank(ordered: npt.NDArray[np.float64], share: float) -> float:
    return float(ordered[max(math.ceil(len(ordered) * share), 1) - 1])
