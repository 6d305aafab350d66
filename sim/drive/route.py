"""Position over time along a route of straight lines, with stops."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, inf

import numpy as np

from sim.drive.config import Waypoint
from sim.drive.timeline import Floats
from sim.parking import Parked, driving


@dataclass(frozen=True, slots=True)
class Route:
    """Knots of the drive, shape (n,) each: time in s, position and travelled distance in m; linear in between."""

    time_s: Floats
    x_m: Floats
    y_m: Floats
    travelled_m: Floats
    parked: Parked = ()  # spans with the ignition off
    loss_db: tuple[float, ...] = ()  # for each of them, what walls take of the signal

    @property
    def end_s(self) -> float:
        return float(self.time_s[-1])

    def stretches(self) -> list[tuple[float, float, float | None]]:
        """(start, end, indoor loss in dB where the vehicle is parked, None on a leg), one after the other."""
        found: list[tuple[float, float, float | None]] = [(a, b, None) for a, b in driving(self.parked, self.end_s)]
        found += [(a, min(b, self.end_s), loss) for (a, b), loss in zip(self.parked, self.loss_db, strict=True)]
        return sorted(found, key=lambda stretch: stretch[0])

    def part(self, start_s: float, end_s: float) -> Route:
        """What lies between two instants, with a clock of its own from 0; distances go on."""
        if start_s == 0.0 and end_s == self.end_s:
            return self
        inside = self.time_s[(self.time_s > start_s) & (self.time_s < end_s)]
        at_s = np.concatenate(([start_s], inside, [end_s]))
        x, y, travelled = (np.interp(at_s, self.time_s, knots) for knots in (self.x_m, self.y_m, self.travelled_m))
        return Route(at_s - start_s, x, y, travelled)

    def start(self) -> Route:
        """Its first point alone."""
        return Route(self.time_s[:1], self.x_m[:1], self.y_m[:1], self.travelled_m[:1])


def lay_route(waypoints: tuple[Waypoint, ...]) -> Route:
    """Route through the waypoints.

    Simplification: speed is constant on the way to a waypoint and changes in an instant; no acceleration, no traffic.
    """
    time_s = travelled_m = 0.0
    (x, y), speed_mps = waypoints[0].at_m, waypoints[0].speed_mps
    knots = [(time_s, x, y, travelled_m)]
    parked: list[tuple[float, float]] = []
    loss_db: list[float] = []
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
            if point.ignition == "off":
                time_s = round(time_s, 9)
                parked.append((time_s, round(time_s + point.stop_s, 9)))
                loss_db.append(point.indoor_loss_db)
                time_s = parked[-1][1]
            else:
                time_s += point.stop_s
            knots.append((time_s, x, y, travelled_m))
    columns = np.array(knots, dtype=np.float64).T.copy()
    if parked and parked[-1][1] >= time_s - 1e-6:
        parked[-1] = (parked[-1][0], inf)  # it stays parked after the end of the drive
    time, east, north, travelled = columns
    return Route(time, east, north, travelled, tuple(parked), tuple(loss_db))
