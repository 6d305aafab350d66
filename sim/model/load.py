"""The work at what a fleet shares, a row for each piece of it, for load.parquet."""

from __future__ import annotations

from array import array
from typing import Final

ACCEPT: Final = 0
CPU: Final = 1
CONNECT: Final = 2
UPLINK: Final = 3
DOWNLINK: Final = 4
STATIONS: Final = ("accept", "cpu", "connect", "uplink", "downlink")


class Load:
    """When each piece came, when its turn was (inf: turned away), how long it took. `places`: names of nodes or cells."""

    __slots__ = ("came_s", "place", "places", "station", "turn_s", "work_s")

    def __init__(self, places: tuple[str, ...] = ()) -> None:
        self.places = list(places)
        self.place = array("i")
        self.station = array("b")
        self.came_s = array("d")
        self.turn_s = array("d")
        self.work_s = array("d")

    def row(self, place: int, station: int, came_s: float, turn_s: float, work_s: float) -> None:
        self.place.append(place)
        self.station.append(station)
        self.came_s.append(came_s)
        self.turn_s.append(turn_s)
        self.work_s.append(work_s)
