"""Several model runs against one live run: the live value has to lie in the model's interval or among its outcomes."""

import math

import pytest

from sim.measure.agreement import Row, timing
from sim.measure.ensemble import contained
from sim.measure.tolerance import Tolerance

TOLERANCE = Tolerance(relative_share=0.05, absolute_s=0.25)


def at(model, live):
    return [timing("s", "reassignment at 15.0 s", "detection", model, live, 15.0, TOLERANCE, model - 15.0)]


@pytest.mark.parametrize(
    ("models", "live", "agrees", "difference"),
    [
        ((60.0,), 60.2, True, 0.2),
        ((60.0,), 63.0, False, 3.0),
        ((60.0, 66.0), 63.0, True, 0.0),
        ((60.0, 66.0), 66.2, True, 0.2),
        ((60.0, 66.0), 70.0, False, 4.0),
        ((60.0, 66.0), 55.0, False, -5.0),
    ],
)
def test_a_timing_is_held_against_the_interval(models, live, agrees, difference):
    (row,) = contained([at(model, live) for model in models])
    assert row.agrees is agrees
    assert row.difference == pytest.approx(difference)
    assert (row.model, row.model_to) == (min(models), max(models) if len(models) > 1 else None)


def outcome(model, live):
    return [Row("s", "message ota 3", "outcome", model, live, None, model == live, 16.0)]


@pytest.mark.parametrize(
    ("models", "live", "agrees", "said"),
    [
        (("delivered", "delivered"), "delivered", True, "delivered"),
        (("delivered", "lost (queue_full)"), "lost (queue_full)", True, "delivered or lost (queue_full)"),
        (("delivered", "lost (queue_full)"), "pending", False, "delivered or lost (queue_full)"),
    ],
)
def test_an_outcome_is_held_against_the_set(models, live, agrees, said):
    (row,) = contained([outcome(model, live) for model in models])
    assert (row.agrees, row.model) == (agrees, said)


def test_a_quantity_that_only_one_phase_has_is_compared_with_that_one():
    rows = contained([at(60.0, 60.0), [*at(66.0, 60.0), *outcome("delivered", "delivered")]])
    assert [row.what for row in rows] == ["detection", "outcome"]
    assert all(row.agrees for row in rows)
    assert math.isclose(rows[0].model_to or 0.0, 66.0)
