from math import exp, log

import numpy as np
import pytest

from sim.drive.correlation import at_positions, correlated, lognormal, lognormal_sigma, recursion
from sim.drive.radio import l3_filter
from sim.streams import Stream


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9, 0.99])
def test_recursion_is_the_loop(factor):
    inputs = Stream(1, 0, 0, "x").normals(300)
    y, expected = 0.0, []
    for value in inputs:
        y = value + factor * y
        expected.append(y)
    assert recursion(inputs, factor) == pytest.approx(np.array(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("lag", [1, 5, 10])
def test_autocorrelation_is_exponential(lag):
    rho = exp(-1 / 5)
    x = correlated(Stream(1, 0, 0, "x").normals(60_000), rho)
    assert x.std() == pytest.approx(1.0, abs=0.03)
    assert np.mean(x[lag:] * x[:-lag]) == pytest.approx(rho**lag, abs=0.04)


def test_between_the_points_of_the_grid_the_variance_is_kept():
    x = correlated(Stream(2, 0, 0, "x").normals(60_000), exp(-1 / 5))
    middle = at_positions(x, np.arange(59_000) + 0.5, exp(-1 / 5))
    assert middle.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("coefficient", "after_one"), [(0, 1.0), (4, 0.5), (8, 0.25)])
def test_l3_filter_step_response(coefficient, after_one):
    step = np.array([[0.0, 0.0, 10.0, 10.0, 10.0]])
    filtered = l3_filter(step, coefficient)[0]
    a = 0.5 ** (coefficient / 4)
    assert filtered[:2].tolist() == [0.0, 0.0]
    assert filtered[2:] == pytest.approx([10 * (1 - (1 - a) ** n) for n in (1, 2, 3)])
    assert filtered[2] == pytest.approx(10 * after_one)


def test_l3_filter_starts_at_the_first_measurement():
    assert l3_filter(np.array([-90.0, -90.0]), 4).tolist() == [-90.0, -90.0]


def test_lognormal_has_its_median_and_p95():
    sigma = lognormal_sigma(0.080, 0.178)
    assert sigma == pytest.approx(log(0.178 / 0.080) / 1.6449, rel=1e-4)
    assert lognormal(0.080, 0.178, 0.0) == 0.080
    assert lognormal(0.080, 0.178, 1.6448536) == pytest.approx(0.178)
    assert lognormal(0.080, 0.080, 3.0) == 0.080
