"""From ignition on to reachable."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sim.measure.waking import waking, wakings
from tests.measure.records import connection, run_of, table, vehicle


def after_s(*rows: dict[str, Any]) -> list[float]:
    """Of a vehicle that is parked from 100 to 200 s and from 400 s to the end of its drive, 500 s."""
    parked = [(0.0, False), (100.0, True), (200.0, False), (400.0, True)]
    timeline = [{"start_s": at_s, "address": "A", "link": "up", "parked": off} for at_s, off in parked]
    tables = {
        "vehicles": table("vehicles", vehicle(end_s=500.0)),
        "timeline": table("timeline", *timeline),
        "connections": table("connections", *rows),
    }
    return [one.after_s for one in wakings(run_of(tables))["s"]]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([connection(0, "mqtt", 1.0, 2.0)], [0.0]),  # it stood all the time
        ([connection(0, "mqtt", 1.0, 2.0, path_end_s=150.0)], [math.inf]),
        ([connection(0, "mqtt", 1.0, 2.0, noticed_s=100.0), connection(1, "mqtt", 200.2, 203.5)], [3.5]),
        ([connection(0, "mqtt", 1.0, 2.0, peer_ended_s=150.0), connection(1, "mqtt", 260.0, 261.0)], [61.0]),
        ([connection(0, "mqtt", 1.0, 2.0, path_end_s=150.0), connection(1, "poll", 220.0, 220.5)], [20.5]),
        ([connection(0, "heartbeat", 90.0, 90.5), connection(1, "heartbeat", 210.0, 210.5)], [0.0]),
        ([connection(0, "heartbeat", 90.0, 90.5, address="B"), connection(1, "heartbeat", 210.0, 210.5)], [10.5]),
        ([connection(0, "mqtt", 210.0)], [math.inf]),  # it tries, and nothing comes of it
        ([connection(0, "push", 210.0, 210.5)], []),  # the server's own way in
    ],
)
def test_it_counts_from_ignition_on_to_the_first_way_in(rows: list[dict[str, Any]], found: list[float]) -> None:
    assert after_s(*rows) == pytest.approx(found)


def test_without_parking_there_is_none() -> None:
    tables = {
        "vehicles": table("vehicles", vehicle()),
        "timeline": table("timeline", {"start_s": 0.0, "address": "A", "link": "up"}),
        "connections": table("connections", connection(0, "mqtt", 1.0, 2.0)),
    }
    found = wakings(run_of(tables))["s"]
    assert waking(found) == {"n": 0, "p50": None, "p95": None, "max": None}
