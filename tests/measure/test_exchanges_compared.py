"""Polls, pushes, heartbeats and POSTs of model and live: how many, when, how they ended; and what a relay's TCP cannot show."""

import polars as pl
import pytest

from sim.measure.agreement import compare_runs
from sim.measure.tcp_timers import without_timers
from sim.measure.tolerance import Tolerance

from .records import connection, message, table

TOLERANCE = Tolerance(relative_share=0.05, absolute_s=0.25)


def side(*connections, messages=()):
    return {
        "connections": table("connections", *connections),
        "messages": table("messages", *messages),
        "trace": table("trace"),
        "disruptions": table("disruptions"),
    }


def parted(model, live):
    return [(row.where, row.what) for row in compare_runs(model, live, TOLERANCE) if not row.agrees]


BEAT = connection(0, "heartbeat", 0.0, 0.5)
PUSH = connection(1, "push", 10.0, 10.5, opener="server")


@pytest.mark.parametrize(
    ("live", "where"),
    [
        ((BEAT, PUSH), []),
        ((BEAT, {**PUSH, "asked_s": 10.2}), []),
        ((BEAT, {**PUSH, "asked_s": 10.9, "ready_s": 11.5}), [("push 0", "asked"), ("push 0", "ready")]),
        ((BEAT, {**PUSH, "asked_s": 12.0, "ready_s": 12.5}), [("push 0", "asked"), ("push 0 (live)", "asked")]),
        ((BEAT, connection(1, "push", 10.0, reason="connect_timeout")), [("push 0", "ready"), ("push 0", "outcome")]),
        ((BEAT,), [("all", "attempts (push)"), ("push 0", "asked")]),
        ((BEAT, PUSH, connection(2, "push", 20.0, 20.5)), [("all", "attempts (push)"), ("push 1 (live)", "asked")]),
        ((BEAT, PUSH, connection(2, "poll", 20.0, 20.5)), [("all", "attempts (poll)"), ("poll 0 (live)", "asked")]),
    ],
)
def test_exchanges_beside_the_channel_are_compared(live, where):
    assert parted(side(BEAT, PUSH), side(*live)) == where


def test_one_exchange_less_does_not_move_those_that_follow():
    pushes = [connection(number, "push", 10.0 * number, 10.0 * number + 0.5) for number in range(1, 9)]
    assert parted(side(BEAT, *pushes), side(BEAT, *pushes[:2], *pushes[3:])) == [("all", "attempts (push)"), ("push 2", "asked")]


def test_a_failed_push_agrees_where_it_failed_alike():
    failed = connection(1, "push", 10.0, reason="connect_timeout")
    assert parted(side(BEAT, failed), side(BEAT, failed)) == []
    refused = {**failed, "reason": "refused"}
    assert parted(side(BEAT, failed), side(BEAT, refused)) == [("push 0", "outcome")]


def not_comparable(connections, messages, outages):
    model = side(*connections, messages=messages)
    live = side(*connections, messages=messages)
    rows = compare_runs(model, live, TOLERANCE)
    found = without_timers(rows, "s", model["connections"], model["messages"], outages)
    assert len(found) == len(rows)
    return {(row.where, row.what) for row in found if not row.comparable}


def test_what_a_surviving_connection_held_back_rests_on_its_retransmission_timer():
    up = connection(0, "mqtt", 0.0, 0.5)
    before, held, later = message(0, 5.0, 5.1), message(1, 12.0, 24.0), message(2, 40.0, 40.1)
    assert not_comparable([up], [before, held, later], [(10.0, 20.0)]) == {("message ota 1", "delivered")}
    assert not_comparable([up], [before, later], [(10.0, 20.0)]) == set()
    dead = {**up, "path_end_s": 10.0, "noticed_s": 15.0}
    assert not_comparable([dead], [before, held, later], [(10.0, 20.0)]) == set()


def test_a_syn_that_was_sent_again_decides_when_an_attempt_is_ready():
    through = connection(1, "mqtt", 15.0, 22.5)
    assert not_comparable([through], [message(1, 12.0, 22.6), message(2, 30.0, 30.1)], [(10.0, 20.0)]) == {
        ("attempt 0", "ready"),
        ("message ota 1", "delivered"),
    }


def test_after_a_connection_that_the_kernel_gave_up():
    gone = connection(0, "mqtt", 0.0, 0.5, noticed_s=930.0, reason="timed_out")
    again = connection(1, "mqtt", 930.0, 930.5)
    found = not_comparable([gone, again], [], [])
    assert found == {("attempt 1", what) for what in ("asked", "ready", "trigger", "outcome")}


def test_rows_that_are_not_comparable_never_part():
    gone = connection(0, "mqtt", 0.0, 0.5, noticed_s=930.0, reason="timed_out")
    model = side(gone, connection(1, "mqtt", 930.0, 930.5))
    live = side({**gone, "noticed_s": 700.0}, connection(1, "mqtt", 700.0, 700.5))
    rows = without_timers(compare_runs(model, live, TOLERANCE), "s", model["connections"], pl.DataFrame(model["messages"]), [])
    assert all(row.agrees for row in rows if not row.comparable)
    assert [row for row in rows if not row.agrees] == []
