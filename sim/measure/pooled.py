"""Quantiles over all messages of all drives, with intervals that know that messages of one drive are not independent.

The drives are resampled, each with all its values (cluster bootstrap: Davison & Hinkley, Bootstrap Methods and their
Application, 1997, 3.8), and the quantile is taken of each resample. A value beyond the horizon is inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.measure.stats import CONFIDENCE, NO_DATA, NOTHING_VARIED, ONE_DRIVE, Interval, rank_quantile, resample_indices

#: Fewer than for means: each one orders all messages.
RESAMPLES = 2_000
_AT_ONCE = 2_000_000  # weights held in memory


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
    drive_of = np.repeat(np.arange(n), [len(drive) for drive in filled])[order]
    quantiles = np.sort(_resampled(ordered, drive_of, n, percent, seed))
    low, high = (_rank(quantiles, share) for share in ((1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0))
    return Interval(found, low, high, n)


def _resampled(
    ordered: npt.NDArray[np.float64], drive_of: npt.NDArray[Any], n: int, percent: int, seed: int
) -> npt.NDArray[np.float64]:
    indices = resample_indices(seed, n, RESAMPLES)
    weights = np.zeros((RESAMPLES, n), dtype=np.int32)  # how often each drive is in each resample
    for row in indices:
        weights[np.arange(RESAMPLES), row] += 1
    block = max(_AT_ONCE // len(ordered), 1)
    found = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        reached = np.cumsum(weights[start : start + block, drive_of], axis=1)
        # the smallest rank that holds `percent` % of the resample, in whole numbers
        wanted = np.maximum(-(-reached[:, -1] * percent // 100), 1)
        at = (reached < wanted[:, None]).sum(axis=1)
        found[start : start + block] = ordered[at]
    return found


def _rank(ordered: npt.NDArray[np.float64], share: float) -> float:
    return float(ordered[max(math.ceil(len(ordered) * share), 1) - 1])
