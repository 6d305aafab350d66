"""The spans with the ignition off, and the clock that stands still in them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.parking import at_driven, driven_s, driving, is_parked, parked_s, spans_of

WEEK = ((0.0, 100.0), (160.0, 200.0), (230.0, math.inf))


def test_the_driving_clock_stands_still_while_parked():
    assert [driven_s(WEEK, at_s) for at_s in (0.0, 99.0, 100.0, 130.0, 180.0, 200.0, 225.0)] == [0, 0, 0, 30, 60, 60, 85]
    assert driven_s((), 12.5) == 12.5
    assert [at_driven(WEEK, clock_s) for clock_s in (0.0, 59.0, 60.0, 89.0)] == [100.0, 159.0, 200.0, 229.0]
    assert at_driven(WEEK, 90.0) == math.inf  # it is not driven again
    assert parked_s(WEEK, 300.0) == 100.0 + 40.0 + 70.0
    assert [is_parked(WEEK, at_s) for at_s in (0.0, 100.0, 199.9, 200.0, 1e9)] == [True, False, True, False, True]
    assert driving(WEEK, 300.0) == [(100.0, 160.0), (200.0, 230.0)]
    assert driving((), 300.0) == [(0.0, 300.0)]


SPANS = st.lists(st.integers(1, 50), min_size=2, max_size=10).map(
    lambda steps: tuple(
        (float(sum(steps[:i])), float(sum(steps[: i + 1]))) for i in range(1, len(steps), 2)
    )
)  # fmt: skip


@given(SPANS, st.floats(0.0, 300.0))
def test_an_instant_of_driving_and_its_clock_belong_together(parked, clock_s):
    at_s = at_driven(parked, clock_s)
    assert not is_parked(parked, at_s)
    assert driven_s(parked, at_s) == pytest.approx(clock_s)


@given(SPANS)
def test_spans_are_those_of_the_switch(parked):
    switched = [change for off_s, on_s in parked for change in ((off_s, False), (on_s, True))]
    assert spans_of(switched) == parked
    assert spans_of(switched[:-1]) == (*parked[:-1], (parked[-1][0], math.inf))
