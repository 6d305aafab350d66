"""A single run: all strategies of a scenario on the same drives, its records, metrics and report on disk."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sim.drive.build import build_timeline
from sim.drive.timeline import LinkTimeline
from sim.model.simulate import Setting, simulate
from sim.record.tables import concatenate, digest, drive_tables, vehicle_tables, write
from sim.scenario.scenario import Scenario
from sim.scenario.user_strategy import is_user_strategy, user_class
from sim.study.manifest import manifest, run_id

Tables = dict[str, pl.DataFrame]
Progress = Callable[[int, int], None]


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


def drive_of(scenario: Scenario, replication: int, vehicle: int = 0) -> LinkTimeline:
    """The drive of one replication: the same for every strategy, in the model and live."""
    return build_timeline(scenario.drive, scenario.seed, replication, vehicle, scenario.folder)


def simulate_replication(
    scenario: Scenario, replication: int, fold: bool, trace: bool
) -> tuple[Tables, dict[str, Tables], list[str]]:
    """Run every strategy on one drive. Returns the drive's tables, those of each strategy, and notes and measured columns."""
    timeline = drive_of(scenario, replication)
    setting = model_setting(scenario)
    found: dict[str, Tables] = {}
    for choice in scenario.strategies:
        user = user_class(choice.use, scenario.folder) if is_user_strategy(choice.use) else None
        run = simulate(setting, timeline, choice.use, choice.config, user=user, replication=replication, fold=fold, trace=trace)
        found[choice.name] = vehicle_tables(
            run.record,
            run.outcomes,
            strategy=choice.name,
            replication=replication,
            vehicle=0,
            start_s=run.start_s,
            end_s=run.end_s,
            horizon_s=run.horizon_s,
            radio_active_s=run.radio_active_s,
            current_address=run.current_address,
            timeouts=timeouts(scenario),
            parked=timeline.parked,
        )
    return drive_tables(timeline, replication, 0), found, [*timeline.measured, "", *timeline.notes]


def _worker_start(uses: list[tuple[str, Path]]) -> None:
    """A user's strategy must be known before its settings can be unpickled."""
    for use, folder in uses:
        user_class(use, folder)


def _replications(scenario: Scenario, jobs: int, fold: bool, trace: int) -> Iterator[tuple[int, Any]]:
    """Yield (replication, result) as they finish. `trace`: replications below this number keep full detail."""
    numbers = range(scenario.replications)
    if jobs <= 1 or scenario.replications == 1:
        for number in numbers:
            yield number, simulate_replication(scenario, number, fold, number < trace)
        return
    uses = [(choice.use, scenario.folder) for choice in scenario.strategies if is_user_strategy(choice.use)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(jobs, scenario.replications), context, _worker_start, (uses,)) as pool:
        futures = {pool.submit(simulate_replication, scenario, number, fold, number < trace): number for number in numbers}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_tables(
    scenario: Scenario, *, jobs: int = 1, fold: bool = True, trace: int = 1, progress: Progress | None = None
) -> tuple[Tables, list[str], list[str]]:
    """Run the scenario and return (tables, measured columns, notes on the drive); nothing is written.

    Rows stand in the order of strategy, replication, time, whatever finished first.
    """
    done: dict[int, Any] = {}
    for number, result in _replications(scenario, jobs, fold, trace):
        done[number] = result
        if progress is not None:
            progress(len(done), scenario.replications)
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
) -> RunResult:
    """Run, measure, report; write results/<scenario>/<run id>/ under a temporary name and rename it.

    The same scenario, seed and code give the same run id; its folder is then replaced by an equal one.

    Raises:
        sim.model.simulate.ModelError: a defect of the model.
    """
    from sim.measure.summary import metrics
    from sim.record.read import read_run

    parent = out / scenario.name
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / run_id(scenario)
    work = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=parent))
    try:
        tables, measured, notes = run_tables(scenario, jobs=jobs, fold=fold, progress=progress)
        write(tables, work)
        content = manifest(scenario, measured=measured, notes=notes, command=command, keep_inputs=keep_inputs, folder=work)
        write_json(work / "manifest.json", content)
        numbers = metrics(read_run(work))
        write_json(work / "metrics.json", numbers)
        content["digest"] = digest(tables, numbers)
        write_json(work / "manifest.json", content)
        if report:
            from sim.report.page import write_report

            write_report(work)
        _replace(work, final)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return RunResult(final, numbers)


def _replace(work: Path, final: Path) -> None:
    """Put the finished folder in its place. What a user added to an older one of the same id is kept beside it."""
    os.chmod(work, 0o755)
    if final.exists():
        from sim.report.names import made_by_a_report

        for path in sorted(final.rglob("*")):
            kept = work / path.relative_to(final)
            if not kept.exists() and kept.parent.is_dir() and not made_by_a_report(path):
                shutil.move(str(path), kept)
        old = final.with_name(f".{final.name}.old-{os.getpid()}")
        final.rename(old)
        work.rename(final)
        shutil.rmtree(old)
    else:
        work.rename(final)


def write_json(path: Path, content: Any) -> bytes:
    """Write sorted JSON without NaN; returns the bytes."""
    encoded = (json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    path.write_bytes(encoded)
    return encoded
