"""Silences that no radio model explains: a Poisson process for each class of length."""

from __future__ import annotations

from sim.drive.config import Silences
from sim.drive.course import Blocked, Key, instant
from sim.drive.timeline import Disruption, LinkState
from sim.parking import Parked, at_driven, driven_s
from sim.streams import Stream

#: (setting, shortest, longest) in s: lengths are uniform in between.
CLASSES = (
    ("over_2s_per_hour", 2.0, 5.0),
    ("over_5s_per_hour", 5.0, 10.0),
    ("over_10s_per_hour", 10.0, 30.0),
    ("over_30s_per_hour", 30.0, 60.0),
)


def draw_silences(silences: Silences, end_s: float, key: Key, parked: Parked = ()) -> list[Blocked]:
    """Silences that begin before `end_s`; `key` is (seed, replication, vehicle).

    Simplification: silences come at random, independent of place, speed and of each other, and none begins while the vehicle
    is parked: their rates were measured while driving.
    """
    found: list[Blocked] = []
    for name, shortest_s, longest_s in CLASSES:
        per_hour = float(getattr(silences, name))
        if per_hour <= 0.0:
            continue
        draws = Stream(*key, f"drive/silence/{name}")
        number, at_s = 0, draws.exponential(0, 3600.0 / per_hour)
        while at_s < driven_s(parked, end_s):
            length_s = shortest_s + draws.uniform(2 * number + 1) * (longest_s - shortest_s)
            begins_s = at_driven(parked, at_s)
            cause = f"{shortest_s:g} to {longest_s:g} s"
            what = Disruption("silence", instant(begins_s), instant(begins_s + length_s), cause=cause)
            found.append(Blocked(what, LinkState.LOST))
            number += 1
            at_s += draws.exponential(2 * number, 3600.0 / per_hour)
    return found
