"""Round-trip time and rates over the drive, where the source of the drive does not give them."""

from __future__ import annotations

from math import exp, log

import numpy as np
import numpy.typing as npt

from sim.drive.config import RTT, LinkSettings
from sim.drive.correlation import correlated, lognormal_sigma
from sim.drive.course import Course, Key, Steps
from sim.drive.timeline import Floats
from sim.parking import driven_s
from sim.streams import Stream

#: How long the RTT is inflated after a cell change.
INFLATED_S = 1.0
#: How long the downlink dips after a cell change.
DIP_S = 2.0
#: Correlation of the log rate at 1 s (UCC 5G data).
RATE_CORRELATION = 0.5
#: Simplification: a rate of less, computed or measured, counts as this; at a rate of zero nothing would ever arrive.
LEAST_BPS = 1e3
#: Shape of the Pareto tail: silences of 1 s and more, 26.5/h, against those of 30 s and more, 0.13/h, give 1.56.
TAIL_SHAPE = 1.5
_TAIL_S = (1.0, 30.0)

Mask = npt.NDArray[np.bool_]


def rtt_over_time(course: Course, rtt: RTT, realism: bool, key: Key) -> Steps:
    """RTT in s: lognormal with an AR(1) logarithm in slots of 1 s, inflated after cell changes, with a Pareto tail.

    Simplification: a parked vehicle has the median RTT and the usual rate; both take up their course when it drives on.
    """
    if course.rtt_s is not None:
        return course.rtt_s
    if course.exact or not realism:
        return _constant(rtt.median_s)
    changes_s = course.cell_changes_s()
    at_s = _rows(course, changes_s, INFLATED_S if rtt.inflation > 1.0 else 0.0)
    slot, last = course.driven_s(at_s).astype(np.int64), int(driven_s(course.parked, course.end_s))
    sigma = lognormal_sigma(rtt.median_s, rtt.p95_s)
    by_slot = np.full(last + 1, rtt.median_s)
    if sigma > 0.0:
        z = correlated(Stream(*key, "drive/rtt").normals(last + 1), exp(-1.0 / rtt.correlation_s))
        by_slot = np.exp(log(rtt.median_s) + sigma * z)
    value = by_slot[np.minimum(slot, last)]
    value = np.where(_within(at_s, changes_s, INFLATED_S), value * rtt.inflation, value)
    if rtt.tail_share > 0.0:
        drawn, tail_s = _tail(rtt.tail_share, last + 1, key)
        slot = np.minimum(slot, last)
        value = np.where(drawn[slot], np.maximum(value, tail_s[slot]), value)
    # the drain goes on with a usual RTT, not with whatever the last second drew
    value[(at_s >= course.end_s) | course.is_parked(at_s)] = rtt.median_s
    return Steps(at_s, value)


def rates_over_time(course: Course, link: LinkSettings, key: Key) -> tuple[Steps, Steps]:
    """(downlink, uplink) in bit/s: what SINR allows, up to the limits, with a dip of the downlink after cell changes."""
    down, up = course.downlink_bps, course.uplink_bps
    if course.exact or not link.realism:
        return down or _constant(link.downlink_bps), up or _constant(link.uplink_bps)
    return (
        down or _rate(course, link, link.downlink_bps, link.dip, "drive/rate/downlink", key),
        up or _rate(course, link, link.uplink_bps, 1.0, "drive/rate/uplink", key),
    )


def _rate(course: Course, link: LinkSettings, limit_bps: float, dip: float, purpose: str, key: Key) -> Steps:
    changes_s = course.cell_changes_s()
    if course.capacity_bps is None and link.rate_sigma == 0.0 and (dip == 1.0 or not len(changes_s)):
        return _constant(limit_bps)
    at_s = _rows(course, changes_s, DIP_S if dip < 1.0 else 0.0)
    value = np.full(len(at_s), limit_bps) if course.capacity_bps is None else course.capacity_bps.at(at_s).astype(np.float64)
    if link.rate_sigma > 0.0:
        last = int(driven_s(course.parked, course.end_s))
        z = correlated(Stream(*key, purpose).normals(last + 1), RATE_CORRELATION)
        # the drain goes on with the usual rate, and so does a parked vehicle
        usual = (at_s >= course.end_s) | course.is_parked(at_s)
        noise = np.where(usual, 0.0, z[np.minimum(course.driven_s(at_s).astype(np.int64), last)])
        value = value * np.exp(link.rate_sigma * noise)
    value = np.clip(value, min(LEAST_BPS, limit_bps), limit_bps)
    return Steps(at_s, np.where(_within(at_s, changes_s, DIP_S), dip * value, value))


def _rows(course: Course, changes_s: Floats, lasts_s: float) -> Floats:
    """Instants at which a value may change: the slots, the end of the drive, and the edges of what follows cell changes."""
    edges = np.concatenate((changes_s, np.round(changes_s + lasts_s, 9))) if lasts_s else changes_s
    return np.unique(np.concatenate((course.seconds(), course.slot_s, edges, [course.end_s])))


def _within(at_s: Floats, changes_s: Floats, lasts_s: float) -> Mask:
    """Whether a cell change lies at most `lasts_s` before, shape as `at_s`."""
    if not len(changes_s):
        return np.zeros(len(at_s), dtype=bool)
    last = np.searchsorted(changes_s, at_s, side="right") - 1
    within: Mask = (last >= 0) & (at_s < np.round(changes_s[np.maximum(last, 0)] + lasts_s, 9))
    return within


def _tail(share: float, slots: int, key: Key) -> tuple[Mask, Floats]:
    """(whether a slot is in the tail, its RTT in s): Pareto cut to 1..30 s, by inversion."""
    draws = Stream(*key, "drive/rtt/tail").uniforms(2 * slots)
    shortest_s, longest_s = _TAIL_S
    cut = 1.0 - (shortest_s / longest_s) ** TAIL_SHAPE
    return draws[::2] < share, shortest_s * (1.0 - draws[1::2] * cut) ** (-1.0 / TAIL_SHAPE)


def _constant(value: float) -> Steps:
    return Steps(np.zeros(1), np.array([value]))
