"""Parking: spans with the ignition off, and the driving clock, which stands still in them.

A span is [off, on) in s since the start of the drive; spans rise and lie apart. One that is never left ends at infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Spans with the ignition off.
Parked = tuple[tuple[float, float], ...]


def is_parked(parked: Parked, at_s: float) -> bool:
    """Whether the ignition is off at an instant."""
    return any(off_s <= at_s < on_s for off_s, on_s in parked)


def parked_s(parked: Parked, until_s: float) -> float:
    """Time with the ignition off before `until_s`."""
    return math.fsum(min(on_s, until_s) - off_s for off_s, on_s in parked if off_s < until_s)


def driven_s(parked: Parked, at_s: float) -> float:
    """What the driving clock shows at an instant: the time with the ignition on before it."""
    return at_s - parked_s(parked, at_s) if parked else at_s


def at_driven(parked: Parked, clock_s: float) -> float:
    """The instant at which the driving clock shows `clock_s`: the latest one, after a parking; inf where it never does."""
    at_s = clock_s
    for off_s, on_s in parked:
        if at_s < off_s:
            break
        at_s += on_s - off_s
    return at_s


def driving(parked: Parked, end_s: float) -> list[tuple[float, float]]:
    """The spans with the ignition on, up to `end_s`; without parking the one from 0 s."""
    found = []
    on_s = 0.0
    for off_s, again_s in parked:
        if off_s > on_s:
            found.append((on_s, min(off_s, end_s)))
        on_s = again_s
    if on_s < end_s:
        found.append((on_s, end_s))
    return found


def spans_of(changes: Sequence[tuple[float, bool]]) -> Parked:
    """Spans from (instant, whether the ignition is on) in the order of time; it is on before the first."""
    found: list[tuple[float, float]] = []
    off_s: float | None = None
    for at_s, on in changes:
        if not on and off_s is None:
            off_s = at_s
        elif on and off_s is not None:
            found.append((off_s, at_s))
            off_s = None
    return (*found, (off_s, math.inf)) if off_s is not None else tuple(found)
