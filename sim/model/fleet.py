"""Many vehicles on one clock: those that share the broker's nodes in one SimPy environment, the others one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from sim.drive.timeline import LinkTimeline
from sim.model.driver import Driver
from sim.model.load import Load
from sim.model.shared_cells import SharedCells
from sim.model.shared_nodes import SharedNodes
from sim.model.simulate import (
    START_LEAD_S,
    START_SPREAD_S,
    Setting,
    VehicleRun,
    collector_at_rest,
    complete,
    prepare,
    run_until,
    simulate,
)
from sim.server.timeline import ServerTimeline
from sim.strategies.context import Context

_STEPS = 50  # parts of a run after which its progress is told
_EARLIEST_S = START_LEAD_S + START_SPREAD_S + 1.0  # before its drive a vehicle's machines start by less than this


@dataclass(frozen=True, slots=True)
class Rider:
    """A vehicle of the fleet: its drive, when it sets out on the fleet's clock, its strategy."""

    vehicle: int
    timeline: LinkTimeline
    starts_s: float
    use: str
    config: Any
    user: Any = None


def simulate_fleet(
    setting: Setting, riders: Sequence[Rider], happens: ServerTimeline, scale: float, *, replication: int = 0, fold: bool = True,
    progress: Callable[[float], None] = lambda share: None, nodes: bool = True, cells: SharedCells | None = None,
) -> tuple[Iterator[VehicleRun], list[Load]]:  # fmt: skip
    """Run vehicles that share something, all in one environment; their records by rider, and the work at what they shared.

    They share the nodes where `nodes`, and `cells` where these are given.

    `happens`: to the server side, on the fleet's clock. `scale`: simulated vehicles for each real one. `progress` is told the
    share of the time that is over.
    """
    with collector_at_rest():
        env = simpy.Environment(initial_time=-_EARLIEST_S)
        shared = SharedNodes(setting.server.nodes, happens, scale, len(riders)) if nodes else None
        ends_s = [rider.starts_s + rider.timeline.end_s + setting.drain_s for rider in riders]
        end_s = max(ends_s)
        waiting = deque(sorted(range(len(riders)), key=lambda index: riders[index].starts_s))
        on_the_road: dict[int, tuple[Driver, Context]] = {}
        runs: list[VehicleRun | None] = [None] * len(riders)

        def over(index: int) -> None:
            driver, context = on_the_road.pop(index)
            timeline = riders[index].timeline
            runs[index] = complete(driver, context, timeline, timeline.end_s + setting.drain_s)

        for step in range(1, _STEPS + 1):
            until_s = end_s * step / _STEPS
            # a vehicle is there from shortly before it sets out until its run is over
            while waiting and riders[waiting[0]].starts_s - _EARLIEST_S < until_s:
                index = waiting.popleft()
                rider = riders[index]
                on_the_road[index] = prepare(
                    env, setting, rider.timeline, rider.use, rider.config, user=rider.user, replication=replication,
                    vehicle=rider.vehicle, fold=fold, happens=happens.shifted(-rider.starts_s), shared=shared,
                    offset_s=rider.starts_s, cells=cells,
                )  # fmt: skip
            run_until(env, until_s)
            if cells is None:  # what a vehicle has on the way at its end keeps its part of a cell
                for index in [index for index in on_the_road if ends_s[index] <= until_s]:
                    over(index)
            progress(step / _STEPS)
        if cells is not None:
            cells.finish(end_s)
        for index in list(on_the_road):
            over(index)
    return _handed_out(runs), [part.load for part in (shared, cells) if part is not None]


def _handed_out(runs: list[VehicleRun | None]) -> Iterator[VehicleRun]:
    for index, run in enumerate(runs):
        assert run is not None
        runs[index] = None  # so that its memory is free again
        yield run


def simulate_independent(
    setting: Setting, riders: Sequence[Rider], happens: ServerTimeline, *, replication: int = 0, fold: bool = True
) -> Iterator[VehicleRun]:
    """Run vehicles that share nothing, each in an environment of its own, so that only one is in memory."""
    for rider in riders:
        yield simulate(
            setting, rider.timeline, rider.use, rider.config, user=rider.user, replication=replication, vehicle=rider.vehicle,
            fold=fold, happens=happens.shifted(-rider.starts_s),
        )  # fmt: skip
