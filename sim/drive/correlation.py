"""Processes correlated in time or along the path: first-order recursions without a loop over samples, lognormal spread."""

from __future__ import annotations

from math import exp, log
from statistics import NormalDist

import numpy as np

from sim.drive.timeline import Floats

#: 95th percentile of the standard normal distribution.
Z95 = NormalDist().inv_cdf(0.95)
_NEGLIGIBLE = 1e-17


def recursion(inputs: Floats, factor: float) -> Floats:
    """y[n] = inputs[n] + factor * y[n - 1] along the last axis, y[-1] = 0, for 0 <= factor < 1.

    Summed by doubling: after pass j each y holds 2^(j+1) terms, and passes end once factor^(2^j) no longer counts.
    """
    y = inputs.copy()
    n, shift, weight = y.shape[-1], 1, factor
    while shift < n and weight > _NEGLIGIBLE:
        y[..., shift:] += weight * y[..., :-shift].copy()
        shift, weight = 2 * shift, weight * weight
    return y


def correlated(normals: Floats, rho: float) -> Floats:
    """Stationary AR(1) of unit variance, shape (n,), with autocorrelation rho^k at lag k, from independent normals.

    First-order autoregression with exp(-step/decorrelation) is Gudmundson's model (Electronics Letters 27(23), 1991).
    """
    inputs = normals * np.sqrt(1.0 - rho * rho)
    if len(inputs):
        inputs[0] = normals[0]
    return recursion(inputs, rho)


def at_positions(grid: Floats, position: Floats, rho: float) -> Floats:
    """Values between the points of a correlated grid, keeping unit variance; `position` in steps of the grid.

    A straight line between two points of correlation rho has variance 1 - 2 w (1 - w) (1 - rho); that is undone.
    """
    low = np.minimum(position.astype(np.int64), len(grid) - 2)
    w = position - low
    between: Floats = ((1.0 - w) * grid[low] + w * grid[low + 1]) / np.sqrt(1.0 - 2.0 * w * (1.0 - w) * (1.0 - rho))
    return between


def lognormal_sigma(median: float, p95: float) -> float:
    """Sigma of the logarithm for a lognormal distribution of that median and 95th percentile; 0 where they are equal."""
    return log(p95 / median) / Z95 if p95 > median > 0.0 else 0.0


def lognormal(median: float, p95: float, normal: float) -> float:
    """Lognormal draw from a standard normal one, in the unit of `median`."""
    return median * exp(lognormal_sigma(median, p95) * normal)
