"""A fleet in one replication: who drives where, with each strategy or with the mix of them, and the tables of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from sim.drive.outages import Outage
from sim.drive.timeline import Disruption, LinkTimeline
from sim.fleet import Fleet, Member, members
from sim.measure.fleet import EVERY_VEHICLE, MIX
from sim.model.fleet import Rider, simulate_fleet, simulate_independent
from sim.model.load import STATIONS, Load
from sim.model.shared_cells import SharedCells
from sim.model.simulate import VehicleRun, collector_at_rest
from sim.record.tables import Columns, concatenate, drive_tables, frame, joined
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.scenario.user_strategy import is_user_strategy
from sim.server.build import NETWORK_FAULTS, Key, tower_outages
from sim.study.run import (
    Progress,
    blaming,
    drive_of,
    load_strategies,
    model_setting,
    run_columns,
    server_timeline,
    timeouts,
    users_own,
)
from sim.study.workers import in_processes, tell

Tables = dict[str, pl.DataFrame]
#: Vehicles of which timeline and states are kept.
SHOWN = 5
_SHARD = 500  # vehicles that share nothing: so many are one piece of work


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of work: vehicles `first` to `last` (excluded) with one strategy, or with the mix."""

    scenario: Scenario
    replication: int
    strategy: str
    first: int
    last: int


def fleet_of(scenario: Scenario) -> Fleet:
    assert scenario.fleet is not None
    return scenario.fleet


def fleet_parts(scenario: Scenario, replication: int) -> list[Part]:
    """The pieces of work of a replication, in the order of their tables. Vehicles that meet at the broker are in one."""
    fleet = fleet_of(scenario)
    n = fleet.simulated_vehicles
    names = [MIX] if fleet.mix_share else [choice.name for choice in scenario.strategies]
    size = n if fleet.shared else _SHARD
    return [Part(scenario, replication, name, first, min(n, first + size)) for name in names for first in range(0, n, size)]


def run_part(part: Part, *, fold: bool = True, progress: Callable[[float], None] = lambda share: None) -> Tables:
    """The tables of a piece of work: messages, connections, traffic, vehicles, states of some, and the nodes' load."""
    scenario, replication = part.scenario, part.replication
    fleet, setting = fleet_of(scenario), model_setting(scenario)
    mix = {choice.name: choice for choice in scenario.strategies}
    choices = [mix[name] for name in fleet.mix_share] if part.strategy == MIX else [mix[part.strategy]]
    drive = _Drives(scenario, replication)
    some = members(fleet, scenario.seed, replication)[part.first : part.last]
    riders = [_rider(scenario, member, choices[member.strategy], drive(member)) for member in some]
    happens = server_timeline(scenario, replication, last_s(scenario))
    loads: list[Load] = []
    labels = [choices[member.strategy].name for member in some]
    with collector_at_rest(), blaming(next((rider.user for rider in riders if rider.user is not None), None)):
        if fleet.shared:
            cells = None
            if "cells" in fleet.shared:
                cells = SharedCells(fleet.cell_downlink_bps, fleet.cell_uplink_bps, fleet.scale)
            runs, loads = simulate_fleet(
                setting, riders, happens, fleet.scale, replication=replication, fold=fold, progress=progress,
                nodes="broker" in fleet.shared, cells=cells,
            )  # fmt: skip
        else:
            runs = simulate_independent(setting, riders, happens, replication=replication, fold=fold)
        tables = joined(_columns(scenario, replication, labels, riders, runs))
    if loads:
        tables["load"] = pl.concat([_load_table(load, part.strategy, replication) for load in loads])
    return tables


def fleet_drive_tables(scenario: Scenario, replication: int) -> tuple[Tables, list[str], list[str]]:
    """Timeline and disruptions of the vehicles that are shown, and what happens to all; measured columns, notes."""
    fleet = fleet_of(scenario)
    drive = _Drives(scenario, replication)
    everybody = members(fleet, scenario.seed, replication)
    ways = [(member, drive(member)) for member in everybody[:SHOWN]]
    end_s = last_s(scenario)
    happens = server_timeline(scenario, replication, end_s)
    found = concatenate(drive_tables(timeline, replication, member.vehicle) for member, timeline in ways)
    events = [
        Disruption(one.kind, one.start_s, min(one.end_s, end_s), one.before, one.after, one.cause) for one in happens.events
    ]
    key = Key(scenario.seed, replication, scenario.phases == "fixed")
    events += [Outage(*each).listed() for each in tower_outages(scenario.faults, scenario.server.store, end_s, key)]
    columns: Columns = {
        "replication": [replication] * len(events),
        "vehicle": [EVERY_VEHICLE] * len(events),
        **{name: [getattr(event, name) for event in events] for name in ("kind", "start_s", "end_s", "before", "after", "cause")},
    }
    found["disruptions"] = pl.concat([frame("disruptions", columns), found["disruptions"]])
    first = ways[0][1]
    return found, list(first.measured), list(first.notes)


class _Drives:
    """Timelines by number, computed when they are first asked for."""

    def __init__(self, scenario: Scenario, replication: int) -> None:
        self._scenario = scenario
        self._replication = replication
        # an outage of a tower meets each vehicle at another instant of its drive
        self._own = any(fault.kind in NETWORK_FAULTS for fault in scenario.faults)
        self._made: dict[int, LinkTimeline] = {}

    def __call__(self, member: Member) -> LinkTimeline:
        if self._own:
            return drive_of(self._scenario, self._replication, member.vehicle, member.starts_s)
        found = self._made.get(member.drive)
        if found is None:
            found = self._made[member.drive] = drive_of(self._scenario, self._replication, member.drive)
        return found


def _rider(scenario: Scenario, member: Member, choice: StrategyChoice, timeline: LinkTimeline) -> Rider:
    user = users_own(choice, scenario.folder)
    return Rider(member.vehicle, timeline, member.starts_s, choice.use, choice.config, user)


def last_s(scenario: Scenario) -> float:
    """When the last drive is over on the fleet's clock, or later: the same for all parts, for faults are drawn until then."""
    fleet = fleet_of(scenario)
    whole = replace(scenario, fleet=replace(fleet, trip_m=None), faults=())
    return fleet.start_over_s + drive_of(whole, 0).end_s


def _columns(
    scenario: Scenario, replication: int, labels: Sequence[str], riders: Sequence[Rider], runs: Iterator[VehicleRun]
) -> Iterator[dict[str, Columns]]:
    late = timeouts(scenario)
    for label, rider, run in zip(labels, riders, runs, strict=True):
        columns = run_columns(
            run, late, label, replication, vehicle=rider.vehicle, parked=rider.timeline.parked, starts_s=rider.starts_s
        )
        if rider.vehicle >= SHOWN:
            columns["states"] = {name: [] for name in columns["states"]}
        yield columns


def _load_table(load: Load, strategy: str, replication: int) -> pl.DataFrame:
    n = len(load.place)
    turn_s = np.array(load.turn_s)
    columns: dict[str, Any] = {
        "strategy": [strategy] * n,
        "replication": [replication] * n,
        "place": [load.places[place] for place in load.place],
        "station": [STATIONS[station] for station in load.station],
        "came_s": np.array(load.came_s),
        "turn_s": np.where(np.isfinite(turn_s), turn_s, np.nan),
        "work_s": np.array(load.work_s),
    }
    return frame("load", columns)


def fleet_replication(scenario: Scenario, replication: int) -> Tables:
    """All tables of one replication, in this process."""
    parts = [run_part(part) for part in fleet_parts(scenario, replication)]
    return concatenate(parts) | fleet_drive_tables(scenario, replication)[0]


def fleet_tables(
    scenario: Scenario, *, jobs: int = 1, fold: bool = True, progress: Progress | None = None
) -> tuple[Tables, list[str], list[str]]:
    """Run the scenario's fleets; (tables, measured columns, notes). Rows by strategy, replication, vehicle."""
    parts = [part for number in range(scenario.replications) for part in fleet_parts(scenario, number)]
    shares = [0.0] * len(parts)
    total = sum(part.last - part.first for part in parts)

    def told(number: int, share: float) -> None:
        shares[number] = share
        if progress is not None:
            done = int(sum(share * (part.last - part.first) for share, part in zip(shares, parts, strict=True)))
            progress(done, total, "vehicles" if done < total else "writing the records")

    told(0, 0.0)
    done: dict[int, Tables] = {}
    with contextlib.closing(_finished(scenario, parts, jobs, fold, told)) as finished:
        for number, tables in finished:
            done[number] = tables
            told(number, 1.0)
    order = {choice.name: at for at, choice in enumerate(scenario.strategies)} | {MIX: 0}
    numbers = sorted(range(len(parts)), key=lambda at: (order[parts[at].strategy], parts[at].replication, parts[at].first))
    tables = concatenate(done[number] for number in numbers)
    drives = [fleet_drive_tables(scenario, number) for number in range(scenario.replications)]
    return tables | concatenate(drive for drive, _measured, _notes in drives), *drives[0][1:]


def _finished(
    scenario: Scenario, parts: Sequence[Part], jobs: int, fold: bool, told: Callable[[int, float], None]
) -> Generator[tuple[int, Tables], None, None]:
    if jobs <= 1 or len(parts) == 1:
        for number, part in enumerate(parts):
            yield number, run_part(part, fold=fold, progress=functools.partial(told, number))
        return
    uses = [(choice.use, scenario.folder) for choice in scenario.strategies if is_user_strategy(choice.use)]
    arguments = {number: (part, fold) for number, part in enumerate(parts)}
    yield from in_processes(min(jobs, len(parts)), _in_worker, arguments, functools.partial(load_strategies, uses), told)


def _in_worker(part: Part, fold: bool) -> Tables:
    return run_part(part, fold=fold, progress=tell)
