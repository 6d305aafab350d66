"""A trip: a drawn piece of the route, in a drawn direction."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import hypot

from sim.drive.config import Waypoint
from sim.streams import Stream


def draw_trip(
    route: tuple[Waypoint, ...], length_m: tuple[float, float], seed: int, replication: int, number: int
) -> tuple[Waypoint, ...]:
    """Waypoints of trip `number`. Its length is uniform between the two, its begin between where it can be."""
    draws = Stream(seed, replication, number, "fleet/trip")
    forth = with_speeds(route)
    if draws.uniform(0) < 0.5:
        forth = backwards(forth)
    whole_m = route_length_m(route)
    least_m, most_m = (min(bound, whole_m) for bound in length_m)
    trip_m = least_m + (most_m - least_m) * draws.uniform(1)
    begin_m = (whole_m - trip_m) * draws.uniform(2)
    return cut(forth, begin_m, begin_m + trip_m)


def route_length_m(route: tuple[Waypoint, ...]) -> float:
    """Length of the way through the waypoints."""
    return sum(_apart(a, b) for a, b in itertools.pairwise(route))


def with_speeds(route: tuple[Waypoint, ...]) -> tuple[Waypoint, ...]:
    """The same route, with the speed said at each waypoint."""
    found = []
    speed_mps = route[0].speed_mps
    for point in route:
        speed_mps = point.speed_mps or speed_mps
        found.append(replace(point, speed_mps=speed_mps))
    return tuple(found)


def backwards(route: tuple[Waypoint, ...]) -> tuple[Waypoint, ...]:
    """The route the other way, each leg at its own speed."""
    speeds = [route[-1].speed_mps, *(point.speed_mps for point in reversed(route[1:]))]
    return tuple(replace(point, speed_mps=speed) for point, speed in zip(reversed(route), speeds, strict=True))


def cut(route: tuple[Waypoint, ...], begin_m: float, end_m: float) -> tuple[Waypoint, ...]:
    """What lies between two distances along the route; stops at its very ends are left out."""
    points = [Waypoint(_at(route, begin_m), route[1].speed_mps)]
    travelled_m = 0.0
    for before, point in itertools.pairwise(route):
        travelled_m += _apart(before, point)
        if travelled_m >= end_m:
            points.append(Waypoint(_at(route, end_m), point.speed_mps))
            break
        if travelled_m > begin_m:
            points.append(point)
    else:
        points[-1] = replace(points[-1], stop_s=0.0, ignition="on")
    return tuple(points)


def _at(route: tuple[Waypoint, ...], distance_m: float) -> tuple[float, float]:
    left_m = distance_m
    for before, point in itertools.pairwise(route):
        leg_m = _apart(before, point)
        if left_m <= leg_m and leg_m > 0.0:
            part = left_m / leg_m
            (ax, ay), (bx, by) = before.at_m, point.at_m
            return ax + (bx - ax) * part, ay + (by - ay) * part
        left_m -= leg_m
    return route[-1].at_m


def _apart(a: Waypoint, b: Waypoint) -> float:
    return hypot(b.at_m[0] - a.at_m[0], b.at_m[1] - a.at_m[1])
