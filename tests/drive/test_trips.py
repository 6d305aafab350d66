"""Drawn pieces of a route."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.drive.config import Waypoint
from sim.drive.route import lay_route
from sim.drive.trips import backwards, cut, draw_trip, route_length_m, with_speeds

ROUTE = (
    Waypoint((0.0, 0.0)),
    Waypoint((1000.0, 0.0), speed_mps=10.0, stop_s=30.0),
    Waypoint((1000.0, 2000.0), speed_mps=20.0),
    Waypoint((4000.0, 2000.0)),
)


def test_the_way_back_takes_as_long():
    assert lay_route(backwards(with_speeds(ROUTE))).end_s == pytest.approx(lay_route(ROUTE).end_s)
    assert [point.at_m for point in backwards(with_speeds(ROUTE))] == [point.at_m for point in reversed(ROUTE)]


@pytest.mark.parametrize(
    ("begin_m", "end_m", "takes_s"),
    [(0.0, 6000.0, 100.0 + 30.0 + 250.0), (500.0, 900.0, 40.0), (500.0, 1500.0, 50.0 + 30.0 + 25.0), (3000.0, 5000.0, 100.0)],
)
def test_a_piece_has_its_speeds_and_stops(begin_m, end_m, takes_s):
    assert lay_route(cut(with_speeds(ROUTE), begin_m, end_m)).end_s == pytest.approx(takes_s)


@given(st.integers(0, 500), st.floats(1.0, 5999.0), st.floats(1.0, 9000.0))
def test_a_trip_is_a_piece_of_the_route_of_the_length_asked_for(number, one_m, other_m):
    least_m, most_m = sorted((one_m, other_m))
    trip = draw_trip(ROUTE, (least_m, most_m), 1, 0, number)
    assert min(least_m, 6000.0) - 1e-6 <= route_length_m(trip) <= min(most_m, 6000.0) + 1e-6
    for point in trip:
        assert 0.0 <= point.at_m[0] <= 4000.0
        assert 0.0 <= point.at_m[1] <= 2000.0
    assert lay_route(trip).end_s < math.inf


def test_trips_differ_and_come_again():
    trips = [draw_trip(ROUTE, (500.0, 3000.0), 1, 0, number) for number in range(50)]
    assert len({trip[0].at_m for trip in trips}) == 50
    assert trips == [draw_trip(ROUTE, (500.0, 3000.0), 1, 0, number) for number in range(50)]
