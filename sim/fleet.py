"""A fleet: how many vehicles, when they set out, where they drive, and what they share. Drawn before anything is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.settings import setting
from sim.streams import Stream

Part = Literal["broker", "cells"]
#: In place of a vehicle's number in the address of a draw: these are of the fleet.
_FLEET = -2


@dataclass(frozen=True, slots=True)
class Fleet:
    """Vehicles that are on the road together, on one clock, and meet the same faults at the same instants.

    Simplification: those that make the same one of the `drives` meet the same radio and have the same addresses.
    """

    vehicles: int = setting(doc="vehicles that the fleet has", at_least=1, at_most=1_000_000_000)
    simulated: int | None = setting(
        None,
        "vehicles that stand for them, with what a node can do scaled by the same ratio; null: all of them",
        "our choice",
        at_least=1,
        at_most=1_000_000,
    )
    start_over_s: float = setting(
        1800.0, "vehicles set out at drawn instants over so long", "our choice: half an hour", at_least=0.0
    )
    drives: int = setting(
        200,
        "different drives that are drawn; each vehicle makes one of them",
        "our choice: each takes some milliseconds to compute",
        at_least=1,
        at_most=100_000,
    )
    trip_m: tuple[float, float] | None = setting(
        None, "least and greatest length of a trip: a drawn piece of the route, in a drawn direction; null: all of the route"
    )
    mix_share: dict[str, float] = setting(
        factory=dict,
        doc="strategy: share of the vehicles that use it, in one fleet; where not given each strategy has a fleet of its own",
    )
    shared: tuple[Part, ...] = setting(
        ("broker",),
        "what the vehicles share: broker (its nodes' accept queue, CPU and admission), cells (their capacity); []: nothing",
    )
    cell_downlink_bps: float = setting(
        100e6, "capacity of a cell to all vehicles in it, with `shared: [cells]`", "our choice: LTE, 20 MHz, mid-cell",
        above=0.0,
    )  # fmt: skip
    cell_uplink_bps: float = setting(
        30e6, "capacity of a cell from all vehicles in it", "our choice: as the downlink's", above=0.0
    )

    @property
    def simulated_vehicles(self) -> int:
        return self.vehicles if self.simulated is None else self.simulated

    @property
    def scale(self) -> float:
        """Simulated vehicles for each one of the fleet."""
        return self.simulated_vehicles / self.vehicles


@dataclass(frozen=True, slots=True)
class Member:
    """A vehicle: the drive it makes, when it sets out (s, fleet's clock), and which of the mixed strategies it has."""

    vehicle: int
    drive: int
    starts_s: float
    strategy: int = 0


def members(fleet: Fleet, seed: int, replication: int) -> list[Member]:
    """The simulated vehicles, the same for every strategy. Those of a smaller fleet are the first of a larger one."""
    n = fleet.simulated_vehicles

    def drawn(purpose: str) -> list[float]:
        found: list[float] = Stream(seed, replication, _FLEET, "fleet/" + purpose).uniforms(n).tolist()
        return found

    drives = drawn("drive")
    starts = drawn("start")
    shares = _cumulated(list(fleet.mix_share.values()))
    chosen = drawn("strategy") if shares else [0.0] * n
    return [
        Member(
            vehicle,
            int(drives[vehicle] * fleet.drives),
            round(starts[vehicle] * fleet.start_over_s, 6),
            sum(chosen[vehicle] >= bound for bound in shares[:-1]),
        )
        for vehicle in range(n)
    ]


def _cumulated(shares: Sequence[float]) -> list[float]:
    bounds: list[float] = []
    for share in shares:
        bounds.append((bounds[-1] if bounds else 0.0) + share)
    return bounds
