"""Towers that are out of service for a while: what a scenario's faults do to a drive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sim.drive.config import Tower
from sim.drive.course import Blocked, Course
from sim.drive.timeline import Disruption, LinkState


@dataclass(frozen=True, slots=True)
class Outage:
    """A tower, or all towers of a gateway, does not send from `start_s` to `end_s`; the other one of the names is empty."""

    start_s: float
    end_s: float
    tower: str = ""
    gateway: str = ""

    def hits(self, tower: str, gateway: str) -> bool:
        return tower == self.tower if self.tower else gateway == self.gateway

    def listed(self) -> Disruption:
        kind = "tower_outage" if self.tower else "region_outage"
        return Disruption(kind, self.start_s, self.end_s, self.tower or self.gateway, cause="out of service")


#: What happens to the network in a drive that ends at the given instant: outages, and instants at which the NAT rebinds.
NetworkFaults = Callable[[float], tuple[Sequence[Outage], Sequence[float]]]


def nothing(end_s: float) -> tuple[Sequence[Outage], Sequence[float]]:
    """No faults."""
    return (), ()


def silent_spans(towers: Sequence[Tower], outages: Sequence[Outage]) -> list[list[tuple[float, float]]]:
    """For each tower the spans (start, end) in s in which it does not send."""
    return [[(out.start_s, out.end_s) for out in outages if out.hits(tower.id, tower.gateway)] for tower in towers]


def without_service(course: Course, outages: Sequence[Outage]) -> Course:
    """A script or a log with outages: there is no other cell to go to while its serving tower is out."""
    found: list[Blocked] = []
    for out in outages:
        edges = {out.start_s, out.end_s}
        for steps in (course.serving, course.prefers):
            edges.update(at for at in steps.at_s.tolist() if out.start_s < at < out.end_s)
        instants = sorted(edges)
        for start_s, end_s in pairwise(instants):
            cell, gateway = (int(steps.at(np.array([start_s]))[0]) for steps in (course.serving, course.prefers))
            if out.hits(course.cells[cell] if cell >= 0 else "", course.gateways[gateway] if gateway >= 0 else ""):
                what = Disruption("coverage_gap", start_s, end_s, cause=f"{out.tower or out.gateway} is out of service")
                found.append(Blocked(what, LinkState.LOST, out_of_service=True))
    return replace(course, blocked=(*course.blocked, *_joined(found)))


def _joined(blocked: list[Blocked]) -> list[Blocked]:
    """Spans that touch are one."""
    found: list[Blocked] = []
    for one in blocked:
        if found and found[-1].what.end_s == one.what.start_s and found[-1].what.cause == one.what.cause:
            found[-1] = replace(found[-1], what=replace(found[-1].what, end_s=one.what.end_s))
        else:
            found.append(one)
    return found
