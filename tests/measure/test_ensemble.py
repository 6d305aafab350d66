"""All values of an episode have to come from one run of the model, or lie between two with adjacent phases."""

import pytest

from sim.measure.agreement import Row, timing
from sim.measure.ensemble import TOGETHER, coherent, contained, neighbours
from sim.measure.tolerance import Tolerance

TOLERANCE = Tolerance(relative_share=0.05, absolute_s=0.25)
EPISODES = {10.0: "reassignment at 10.0 s", 50.0: "reassignment at 50.0 s"}


def run(values, live):
    """Rows of one member: (message, delivered in the model), and live; created at 9 s."""
    return [
        timing("s", f"message ota {number}", "delivered", model, seen, 9.0, TOLERANCE, 1.0)
        for number, (model, seen) in enumerate(zip(values, live, strict=True))
    ]


def test_one_edge_has_one_neighbour_and_phases_go_round():
    assert neighbours(1, 1) == [(0,)]
    assert neighbours(1, 2) == [(0,), (1,)]
    assert neighbours(3, 2) == [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]


@pytest.mark.parametrize(
    ("live", "agrees"),
    [
        ((20.0, 30.0), True),  # the first
        ((25.0, 35.1), True),  # the last, within the tolerance
        ((20.0, 35.0), False),  # one of each: no run has both
        ((22.0, 32.0), False),  # between two that have no phase in common
    ],
)
def test_values_that_differ_together_have_to_agree_together(live, agrees):
    members = [run((20.0, 30.0), live), run((25.0, 35.0), live)]
    assert all(row.agrees for row in contained(members))  # each for itself
    (row,) = coherent(members, neighbours(1, 2), EPISODES)
    assert (row.where, row.what, row.agrees) == ("reassignment at 10.0 s", TOGETHER, agrees)


def test_between_two_adjacent_phases_lies_what_a_phase_between_them_gives():
    members = [run((20.0, 30.0), (22.0, 32.0)), run((25.0, 35.0), (22.0, 32.0))]
    (row,) = coherent(members, neighbours(2, 1), EPISODES)
    assert row.agrees


def test_each_episode_is_judged_for_itself():
    live = (20.0, 65.0)
    members = [run((20.0, 60.0), live), run((25.0, 65.0), live)]
    found = coherent(members, neighbours(1, 2), EPISODES)
    assert [(row.where, row.agrees) for row in found] == [("reassignment at 10.0 s", True), ("reassignment at 50.0 s", True)]


def test_outcomes_count_too():
    def member(delivered_s, outcome, seen):
        rows = run((delivered_s,), (20.0,))
        return [*rows, Row("s", "message ota 1", "outcome", outcome, seen, None, outcome == seen, 20.0)]

    for seen, agrees in (("delivered", True), ("lost (queue_full)", False)):
        members = [member(20.0, "delivered", seen), member(25.0, "lost (queue_full)", seen)]
        (row,) = coherent(members, neighbours(1, 2), EPISODES)
        assert row.agrees is agrees


def test_a_value_that_a_run_does_not_have_is_not_one_of_its_values():
    # live as in the first in time, and with a second message as in the other alone
    first, other = run((20.0,), (20.0,)), run((25.0, 30.0), (20.0, 30.0))
    (row,) = coherent([first, other], neighbours(1, 2), EPISODES)
    assert not row.agrees


def test_where_nothing_differs_there_is_nothing_to_say():
    assert coherent([run((20.0,), (20.0,))] * 2, neighbours(1, 2), EPISODES) == []


def test_what_no_member_has_is_said_of_the_value_alone():
    live = (40.0, 30.0)
    assert coherent([run((20.0, 30.0), live), run((25.0, 30.0), live)], neighbours(1, 2), EPISODES) == []
