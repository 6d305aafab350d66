"""What a fleet has to fit together with: the strategies, the route, the nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sim.checking import Check
from sim.drive.config import DriveConfig, Waypoint
from sim.fleet import Fleet
from sim.protocols.server import Server
from sim.scenario.document import Problem, unknown
from sim.scenario.quantities import format_quantity

_MOST_SIMULATED = 1_000_000


def check_fleet(fleet: Fleet, server: Server, drive: DriveConfig, names: Sequence[str]) -> Check[Problem]:
    """`names`: of the strategies."""
    yield _check_numbers(fleet)
    yield _check_trip(fleet, drive)
    yield _check_mix(fleet, names)
    yield _check_others(fleet, server)


def _check_numbers(fleet: Fleet) -> Iterator[Problem]:
    if fleet.simulated is None and fleet.vehicles > _MOST_SIMULATED:
        text = f"more than can be simulated, give `simulated`: at most {_MOST_SIMULATED:,} that stand for them"
        yield Problem(("fleet", "vehicles"), text)
    elif fleet.simulated is not None and fleet.simulated > fleet.vehicles:
        yield Problem(("fleet", "simulated"), f"more than the fleet has, at most {fleet.vehicles}")


def _check_trip(fleet: Fleet, drive: DriveConfig) -> Iterator[Problem]:
    if fleet.trip_m is None:
        return
    at = ("fleet", "trip")
    if drive.route is None:
        yield Problem(at, "is a piece of the `route`, and this drive has none", at_key=True)
        return
    least_m, most_m = fleet.trip_m
    if not 0.0 < least_m <= most_m:
        yield Problem(at, "expected two rising lengths above 0, such as [5 km, 20 km]")
    elif any(point.ignition == "off" for point in drive.route):
        yield Problem(at, "is for a route without parking", at_key=True)
    elif most_m > (whole_m := _length_m(drive.route)) + 1.0:
        yield Problem(at, f"is longer than the route, at most {format_quantity(round(whole_m), 'distance')} is allowed")


def _length_m(route: Sequence[Waypoint]) -> float:
    return sum(math.dist(before.at_m, after.at_m) for before, after in pairwise(route))


def _check_mix(fleet: Fleet, names: Sequence[str]) -> Iterator[Problem]:
    at = ("fleet", "mix")
    foreign = [name for name in fleet.mix_share if name not in names]
    for name in foreign:
        yield Problem((*at, name), unknown("strategy", name, names), at_key=True)
    if foreign or not fleet.mix_share:
        return  # the shares of the others mean nothing
    left = [name for name in names if name not in fleet.mix_share]
    total = math.fsum(fleet.mix_share.values())
    if left:
        yield Problem(at, f"has no share for {left[0]}, expected one for each strategy")
    elif not math.isclose(total, 1.0, abs_tol=1e-6):
        yield Problem(at, f"the shares are {100.0 * total:g} % together, expected 100 %")


def _check_others(fleet: Fleet, server: Server) -> Iterator[Problem]:
    if fleet.shared and server.nodes.others:
        yield Problem(("server", "nodes", "others"), "the fleet is the others, leave it out", at_key=True)
