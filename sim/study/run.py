"""A single run: all strategies of a scenario on the same drives, its records, metrics and report on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from sim.drive.build import build_timeline
from sim.drive.outages import Outage
from sim.drive.timeline import Disruption, LinkTimeline
from sim.drive.trips import draw_trip
from sim.model.simulate import ModelError, Setting, VehicleRun, collector_at_rest, simulate
from sim.parking import Parked
from sim.record.tables import Columns, concatenate, digest, drive_tables, frames, vehicle_columns, write
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.scenario.user_machine import StrategyBroken, UserStrategy
from sim.scenario.user_strategy import is_user_strategy, user_class
from sim.server.build import Key, build_server_timeline, nat_rebinds, tower_outages
from sim.server.timeline import NOTHING, ServerTimeline
from sim.study.manifest import manifest, run_id
from sim.study.run_folder import new_run_folder, results_writable
from sim.study.workers import in_processes

Tables = dict[str, pl.DataFrame]
#: Called with (drives done, drives in all, what is done now).


class Progress(Protocol):
    """Told how far a run is; `what` is counted, or what goes on once all is done."""

    def __call__(self, done: int, total: int, what: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: its folder and the content of metrics.json."""

    run_dir: Path
    metrics: dict[str, Any]
    interrupted: bool = False  # live: cut short by the user
    notes: tuple[str, ...] = ()  # live: what happened beside the drive
    client_failed: bool = False  # live: the program in the vehicle's place ended by itself, and not well


def model_setting(scenario: Scenario) -> Setting:
    """What the model reads of a scenario."""
    return Setting(
        scenario.server,
        scenario.drive.network,
        scenario.workload,
        scenario.drive.link.queue_bytes,
        scenario.drain_s,
        scenario.seed,
        scenario.phases == "fixed",
    )


def timeouts(scenario: Scenario) -> dict[str, float]:
    """Kind of message -> s after which its delivery is late."""
    found = {}
    if scenario.workload.diagnostics is not None:
        found["diagnostics"] = scenario.workload.diagnostics.timeout_s
    if scenario.workload.probes is not None:
        found["probe"] = scenario.workload.probes.within_s
    return found


def drive_of(scenario: Scenario, replication: int, vehicle: int = 0, starts_s: float = 0.0) -> LinkTimeline:
    """The drive of one replication: the same for every strategy, in the model and live.

    Of a fleet `vehicle` is the number of the drive, and `starts_s` when it begins on the clock of the faults.
    """
    key = fault_key(scenario, replication)

    def faults(end_s: float) -> tuple[list[Outage], list[float]]:
        until_s = starts_s + end_s
        outages = [
            Outage(max(0.0, begin_s - starts_s), finish_s - starts_s, *where)
            for begin_s, finish_s, *where in tower_outages(scenario.faults, scenario.server.store, until_s, key)
            if finish_s > starts_s
        ]
        rebinds = nat_rebinds(scenario.faults, until_s, key)
        return outages, [at_s - starts_s for at_s in rebinds if at_s > starts_s]

    drive = scenario.drive
    if scenario.fleet is not None and scenario.fleet.trip_m is not None and drive.route is not None:
        drive = dataclasses.replace(
            drive, route=draw_trip(drive.route, scenario.fleet.trip_m, scenario.seed, replication, vehicle)
        )
    return build_timeline(drive, scenario.seed, replication, vehicle, scenario.folder, faults)


def fault_key(scenario: Scenario, replication: int) -> Key:
    """Of the draws of the faults."""
    return Key(scenario.seed, replication, scenario.phases == "fixed")


def server_timeline(scenario: Scenario, replication: int, end_s: float, *, started_s: float | None = None) -> ServerTimeline:
    """What happens to the server side in one replication: the same for every vehicle and every strategy.

    `started_s`: when the nodes were started, where that is known (live).
    """
    if not scenario.faults:
        return NOTHING
    server = scenario.server
    key = dataclasses.replace(fault_key(scenario, replication), started_s=started_s)
    return build_server_timeline(server.nodes, server.balancer, server.session_store(), scenario.faults, end_s, key)


def disruptions_of(happens: ServerTimeline) -> list[Disruption]:
    """The rows of disruptions that the server side makes."""
    return [Disruption(each.kind, each.start_s, each.end_s, each.before, each.after, each.cause) for each in happens.events]


def users_own(choice: StrategyChoice, folder: Path) -> UserStrategy | None:
    """The user's class behind a strategy; None for one of the lab's."""
    return UserStrategy(choice.use, folder) if is_user_strategy(choice.use) else None


def simulate_strategy(
    setting: Setting, timeline: LinkTimeline, choice: StrategyChoice, folder: Path, **options: Any
) -> VehicleRun:
    """`simulate` for a strategy of a scenario in `folder`.

    Raises:
        StrategyBroken: whatever goes wrong with a strategy of the user's own.
    """
    user = users_own(choice, folder)
    with blaming(user):
        return simulate(setting, timeline, choice.use, choice.config, user=user, **options)


@contextlib.contextmanager
def blaming(user: UserStrategy | None) -> Iterator[None]:
    """Whatever goes wrong in here is the fault of the user's strategy, where there is one. Raises StrategyBroken."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if user is None or isinstance(error, StrategyBroken):
            raise
        if isinstance(error, ModelError):
            text = "of each message that was not delivered it has to hold a copy (held()) or say that it drops it (Drop)"
            raise StrategyBroken(f"{user.use}: its machines lost track: {error}; {text}") from error
        raise user.failure(error) from error


def simulate_replication(
    scenario: Scenario, replication: int, fold: bool, trace: bool, timeline: LinkTimeline | None = None
) -> tuple[Tables, dict[str, Tables], list[str]]:
    """Run every strategy on one drive. Returns the drive's tables, those of each strategy, and notes and measured columns.

    `timeline` is the drive where the caller has it already.
    """
    if timeline is None:
        timeline = drive_of(scenario, replication)
    happens = server_timeline(scenario, replication, timeline.end_s)
    setting = model_setting(scenario)
    found: dict[str, Tables] = {}
    with collector_at_rest():
        for choice in scenario.strategies:
            run = simulate_strategy(
                setting, timeline, choice, scenario.folder, replication=replication, fold=fold, trace=trace, happens=happens
            )
            columns = run_columns(run, timeouts(scenario), choice.name, replication, parked=timeline.parked)
            found[choice.name] = frames(columns)
    return drive_tables(timeline, replication, 0, disruptions_of(happens)), found, [*timeline.measured, "", *timeline.notes]


def run_columns(
    run: VehicleRun, late_s: dict[str, float], strategy: str, replication: int, *, vehicle: int = 0, parked: Parked = (),
    starts_s: float = 0.0,
) -> dict[str, Columns]:  # fmt: skip
    """What the model's run of one vehicle left. `late_s`: kind -> s after which a delivery is late."""
    return vehicle_columns(
        run.record,
        run.outcomes,
        strategy=strategy,
        replication=replication,
        vehicle=vehicle,
        start_s=run.start_s,
        end_s=run.end_s,
        horizon_s=run.horizon_s,
        radio_active_s=run.radio_active_s,
        current_address=run.current_address,
        timeouts=late_s,
        parked=parked,
        starts_s=starts_s,
    )


def load_strategies(uses: list[tuple[str, Path]]) -> None:
    """In a worker: a user's strategy must be known before its settings can be unpickled."""
    for use, folder in uses:
        user_class(use, folder)


def _replications(scenario: Scenario, jobs: int, fold: bool, trace: int) -> Generator[tuple[int, Any], None, None]:
    """Yield (replication, result) as they finish. `trace`: replications below this number keep full detail."""
    numbers = range(scenario.replications)
    if jobs <= 1 or scenario.replications == 1:
        for number in numbers:
            yield number, simulate_replication(scenario, number, fold, number < trace)
        return
    uses = [(choice.use, scenario.folder) for choice in scenario.strategies if is_user_strategy(choice.use)]
    arguments = {number: (scenario, number, fold, number < trace) for number in numbers}
    yield from in_processes(
        min(jobs, scenario.replications), simulate_replication, arguments, functools.partial(load_strategies, uses)
    )


def _drives(scenario: Scenario) -> str:
    return "drive" if scenario.replications == 1 else "drives"


def run_tables(
    scenario: Scenario, *, jobs: int = 1, fold: bool = True, trace: int = 1, progress: Progress | None = None
) -> tuple[Tables, list[str], list[str]]:
    """Run the scenario and return (tables, measured columns, notes on the drive); nothing is written.

    Rows stand in the order of strategy, replication, time, whatever finished first.
    """
    if scenario.fleet is not None:
        from sim.study.fleet import fleet_tables

        return fleet_tables(scenario, jobs=jobs, fold=fold, progress=progress)
    done: dict[int, Any] = {}
    if progress is not None:
        progress(0, scenario.replications, _drives(scenario))
    with contextlib.closing(_replications(scenario, jobs, fold, trace)) as finished:
        for number, result in finished:
            done[number] = result
            if progress is not None:
                what = _drives(scenario) if len(done) < scenario.replications else "writing the records"
                progress(len(done), scenario.replications, what)
    ordered = [done[number] for number in range(scenario.replications)]
    tables = concatenate(found[choice.name] for choice in scenario.strategies for _drive, found, _texts in ordered)
    tables |= concatenate(drive for drive, _found, _texts in ordered)
    texts = ordered[0][2]
    split = texts.index("")
    return tables, texts[:split], list(dict.fromkeys(note for _d, _f, t in ordered for note in t[t.index("") + 1 :]))


def run_scenario(
    scenario: Scenario,
    *,
    jobs: int = 1,
    out: Path = Path("results"),
    fold: bool = True,
    keep_inputs: bool = True,
    progress: Progress | None = None,
    command: str = "",
    report: bool = True,
    warnings: Sequence[str] = (),
) -> RunResult:
    """Run, measure, report; write results/<scenario>/<run id>/ under a temporary name and rename it.

    `warnings` were said of the scenario; the manifest keeps them, and the report says them again.

    The same scenario, seed and code give the same run id; its folder is then replaced by an equal one.

    Raises:
        sim.model.simulate.ModelError: a defect of the model.
        StrategyBroken: a strategy of the user's own failed.
        ResultsNotWritten, WorkerLost: what the machine lacks.
    """
    from sim.measure.summary import metrics
    from sim.record.read import read_run

    def show(what: str) -> None:
        if progress is not None:
            progress(scenario.replications, scenario.replications, what)

    parent, name = out / scenario.name, run_id(scenario)
    with new_run_folder(parent, name) as folder:
        tables, measured, notes = run_tables(scenario, jobs=jobs, fold=fold, progress=progress)
        with results_writable(parent):
            write(tables, folder)
            content = manifest(scenario, measured=measured, notes=notes, command=command, keep_inputs=keep_inputs, folder=folder)
            content["scenario_warnings"] = list(warnings)
            write_json(folder / "manifest.json", content)
            show("measuring")
            numbers = metrics(read_run(folder))
            write_json(folder / "metrics.json", numbers)
            content["digest"] = digest(tables, numbers)
            write_json(folder / "manifest.json", content)
            if report:
                show("making the report")
                from sim.report.page import write_report

                write_report(folder)
    return RunResult(parent / name, numbers)


def write_json(path: Path, content: Any) -> bytes:
    """Write sorted JSON without NaN; returns the bytes."""
    encoded = (json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    path.write_bytes(encoded)
    return encoded
