import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from sim.measure.stats import (
    NO_DATA,
    NOTHING_VARIED,
    ONE_DRIVE,
    mean_interval,
    paired_difference,
    quantile,
    rank_quantile,
    resample_indices,
)

VALUES = [0.91, 0.97, 0.88, 0.99, 0.93, 0.95, 0.90, 0.96, 0.94, 0.85, 0.98, 0.92]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0.0, 1.0))
def test_quantile_is_numpys(values: list[float], q: float) -> None:
    ordered = np.sort(np.array(values))
    assert quantile(ordered, q) == pytest.approx(float(np.quantile(ordered, q)), rel=1e-9, abs=1e-6)


@given(st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=1, max_size=40), st.sampled_from([50, 95, 99]))
def test_rank_quantile_is_numpys_inverted_cdf(values: list[float], percent: int) -> None:
    ordered = np.sort(np.array(values))
    found = rank_quantile(ordered, percent)
    assert found is not None
    assert (ordered <= found).sum() * 100 >= percent * len(ordered)
    assert (ordered < found).sum() * 100 < percent * len(ordered)


def test_the_interval_is_scipys_up_to_the_resamples() -> None:
    ours = mean_interval(VALUES, seed=1)
    theirs = bootstrap((np.array(VALUES),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    assert ours.mean == pytest.approx(np.mean(VALUES))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.001)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.001)


def test_the_interval_is_the_percentiles_of_the_resampled_means() -> None:
    ours = mean_interval(VALUES, seed=3)
    means = np.array(VALUES)[resample_indices(3, len(VALUES))].mean(axis=0)
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_resamples_depend_on_the_seed_alone_and_are_uniform() -> None:
    indices = resample_indices(1, 5)
    assert indices.shape == (5, 10_000)
    assert (indices == resample_indices.__wrapped__(1, 5)).all()
    assert (indices != resample_indices(2, 5)).any()
    assert np.bincount(indices.ravel()) / indices.size == pytest.approx([0.2] * 5, abs=0.01)


def test_where_nothing_varies_no_interval_is_drawn() -> None:
    assert mean_interval([0.3, 0.1 + 0.2, 0.3], 1).note == NOTHING_VARIED
    assert mean_interval([0.0, 0.0], 1) == mean_interval([0, 0], 2)
    one = mean_interval([4.0, None], 1)
    assert (one.mean, one.low, one.high, one.n, one.note) == (4.0, None, None, 1, ONE_DRIVE)
    assert mean_interval([None], 1).note == NO_DATA
    beyond = mean_interval([1.0, math.inf, 2.0], 1)
    assert (beyond.mean, beyond.low, beyond.note) == (math.inf, None, "beyond the horizon in 1 of 3 drives")


def test_the_verdict_is_about_a_in_the_metrics_direction() -> None:
    higher = [value + 0.01 * (1 + number % 3) for number, value in enumerate(VALUES)]
    assert paired_difference(higher, VALUES, "higher", 1).verdict == "better"
    assert paired_difference(higher, VALUES, "lower", 1).verdict == "worse"
    assert paired_difference(VALUES, higher, "higher", 1).verdict == "worse"
    mixed = [value + (0.01 if number % 2 else -0.01) for number, value in enumerate(VALUES)]
    assert paired_difference(mixed, VALUES, "higher", 1).verdict == "no evidence"


def test_equal_differences_decide_by_their_sign_and_one_drive_never() -> None:
    always = paired_difference([1.0, 1.0], [0.0, 0.0], "higher", 1)
    assert (always.verdict, always.interval.note, always.interval.low) == ("better", NOTHING_VARIED, None)
    assert paired_difference([0.1 + 0.2, 0.1 + 0.2], [0.3, 0.3], "higher", 1).verdict == "no evidence"
    assert paired_difference([1.0], [0.0], "higher", 1).verdict == "no evidence"
    assert paired_difference([None, 1.0], [0.0, None], "higher", 1).interval.n == 0
    with pytest.raises(ValueError, match="same drives"):
        paired_difference([1.0], [], "higher", 1)
