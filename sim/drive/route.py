"""Position over time along a route of straight lines, with stops."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np

from sim.drive.config import Waypoint
from sim.drive.timeline import Floats


@dataclass(frozen=True, slots=True)
class Route:
    """Knots of the drive, shape (n,) each: time in s, position and travelled distance in m; linear in between."""

    time_s: Floats
    x_m: Floats
    y_m: Floats
    travelled_m: Floats

    @property
    def end_s(self) -> float:
        return float(self.time_s[-1])


def lay_route(waypoints: tuple[Waypoint, ...]) -> Route:
    """Route through the waypoints.

    Simplification: speed is constant on the way to a waypoint and changes in an instant; no acceleration, no traffic.
    """
    time_s = travelled_m = 0.0
    (x, y), speed_mps = waypoints[0].at_m, waypoints[0].speed_mps
    knots = [(time_s, x, y, travelled_m)]
    for number, point in enumerate(waypoints):
        speed_mps = point.speed_mps or speed_mps
        length_m = hypot(point.at_m[0] - x, point.at_m[1] - y)
        if number > 0 and length_m > 0.0:
            if speed_mps is None:
                raise ValueError(f"no speed on the way to waypoint {number}")
            x, y = point.at_m
            time_s += length_m / speed_mps
            travelled_m += length_m
            knots.append((time_s, x, y, travelled_m))
        if point.stop_s > 0.0:
            time_s += point.stop_s
            knots.append((time_s, x, y, travelled_m))
    columns = np.array(knots, dtype=np.float64).T.copy()
    return Route(*columns)
