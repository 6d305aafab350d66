"""Laying a course, addresses, RTT and rates over each other: the rows of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.drive.addressing import Addressing
from sim.drive.course import Blocked, Course, Steps
from sim.drive.timeline import Disruption, Floats, LinkState, LinkTimeline


def lay_rows(
    course: Course,
    addressing: Addressing,
    rtt_s: Steps,
    downlink_bps: Steps,
    uplink_bps: Steps,
    silences: list[Blocked],
    rebinds_s: tuple[float, ...],
    told: Sequence[Disruption] = (),
) -> LinkTimeline:
    """One row for each instant at which something changes; rows that do not differ are merged.

    A handover or silence under way at the end of the drive is carried to its end, so rows may start after `end_s`.
    `told` are disruptions that are listed, and whose effect is in the course.
    """
    blocked = [*course.blocked, *silences]
    stepped = (course.serving, addressing.gateway, addressing.address, rtt_s, downlink_bps, uplink_bps)
    edges = [t for span in course.parked for t in span if t < np.inf]
    edges += [t for b in blocked for t in (b.what.start_s, b.until_s) if t < np.inf and b.state != LinkState.UP]
    at_s = np.unique(np.concatenate(([0.0], course.slot_s, *(s.at_s for s in stepped), np.array(edges, dtype=np.float64))))
    cell, gateway, address, rtt, down, up = (s.at(at_s) for s in stepped)
    held = _covered(at_s, [b for b in blocked if b.state == LinkState.HELD])
    lost = _covered(at_s, [b for b in blocked if b.state == LinkState.LOST]) | (address < 0)
    link = np.where(lost, LinkState.LOST, np.where(held, LinkState.HELD, LinkState.UP)).astype(np.int8)
    x, y = _position(course, at_s)
    rsrp = np.full(len(at_s), np.nan) if course.rsrp_dbm is None else course.rsrp_dbm.at(at_s)
    if course.cells:
        rsrp = np.where(cell >= 0, rsrp, np.nan)
    keep = _differ((cell, gateway, address, link, rtt, down, up, x, y, rsrp, course.is_parked(at_s)))
    listed = [*(b.what for b in blocked if b.listed), *addressing.reassignments]
    listed += told
    listed += [Disruption("rebind", at, at, cause="the NAT forgot its mappings") for at in rebinds_s]
    return LinkTimeline(
        start_s=at_s[keep],
        cell=cell[keep].astype(np.int32),
        gateway=gateway[keep].astype(np.int32),
        address=address[keep].astype(np.int32),
        link=link[keep],
        rtt_s=rtt[keep],
        downlink_bps=down[keep],
        uplink_bps=up[keep],
        x_m=x[keep],
        y_m=y[keep],
        rsrp_dbm=rsrp[keep],
        cells=course.cells,
        gateways=course.gateways,
        addresses=addressing.addresses,
        disruptions=tuple(sorted(listed, key=_order)),
        end_s=course.end_s,
        rebinds_s=rebinds_s,
        parked=course.parked,
        measured=course.measured,
        notes=course.notes,
    )


def _differ(columns: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[np.bool_]:
    """Whether a row differs from the one before it in any column; two unknown values are the same."""
    differ = np.ones(len(columns[0]), dtype=bool)
    differ[1:] = False
    for column in columns:
        same = column[1:] == column[:-1]
        if column.dtype == np.float64:
            same |= np.isnan(column[1:]) & np.isnan(column[:-1])
        differ[1:] |= ~same
    return differ


def _order(what: Disruption) -> tuple[float, float, str]:
    return what.start_s, what.end_s, what.kind


def _covered(at_s: Floats, blocked: list[Blocked]) -> npt.NDArray[np.bool_]:
    """Whether an instant lies in one of the intervals [start, end), shape as `at_s`."""
    starts = np.sort(np.array([b.what.start_s for b in blocked], dtype=np.float64))
    ends = np.sort(np.array([b.until_s for b in blocked], dtype=np.float64))
    covered: npt.NDArray[np.bool_] = np.searchsorted(starts, at_s, side="right") > np.searchsorted(ends, at_s, side="right")
    return covered


def _position(course: Course, at_s: Floats) -> tuple[Floats, Floats]:
    if course.track is None:
        return np.full(len(at_s), np.nan), np.full(len(at_s), np.nan)
    time_s, x_m, y_m = course.track
    return np.interp(at_s, time_s, x_m), np.interp(at_s, time_s, y_m)
