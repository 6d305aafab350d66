"""A validation read from its folder: the model's records, those of the live runs or the field log, and the rows of both.

The folder is that of a live run, or of a field log. `model/` in it is a run folder of the model's own, with a replication for
each member of the ensemble: the same drive, the phase of the broker's tick another, the link's changes a little earlier or
not. validation.json names the live runs that
were held against the same model; their folders lie side by side.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from sim.measure.agreement import Row, compare_runs
from sim.measure.drive_path import DrivePath, Event
from sim.measure.ensemble import coherent, contained, neighbours
from sim.measure.field_log import FieldLogError, LogEvent, compare_field_log, read_field_log
from sim.measure.lateness import lateness_of, overloaded
from sim.measure.recovery import starts_episode
from sim.measure.tcp_timers import without_timers
from sim.measure.tolerance import Tolerance
from sim.record.read import Run, RunFolderError, read_run

MODEL = "model"
VERDICT = "validation.json"
LOG = "events.csv"
_COMPARED = ("messages", "connections", "disruptions", "trace")

Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Comparison:
    """One live run, or the field log, and the rows of its comparison with the model."""

    run: Run
    run_dir: Path
    rows: tuple[Row, ...]
    events: tuple[LogEvent, ...] = ()  # of a field log

    @property
    def compared(self) -> int:
        """How many values were compared."""
        return sum(row.comparable for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Whether something was compared, and nothing parts."""
        return self.compared > 0 and all(row.agrees for row in self.rows)


@dataclass(frozen=True)
class Validation:
    """A comparison for each live run; all have to agree.

    `nearest`: strategy -> the replication of the model that is nearest to the live runs. `missing`: live runs that are named
    and no longer there.
    """

    model: Run
    comparisons: tuple[Comparison, ...]
    tolerance: Tolerance
    nearest: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> list[Row]:
        """Of each quantity the row of the run that is furthest from the model, in the order of the first run."""
        worst: dict[tuple[str, str, str], Row] = {}
        for comparison in self.comparisons:
            for row in comparison.rows:
                key = (row.strategy, row.where, row.what)
                if key not in worst or _distance(row) > _distance(worst[key]):
                    worst[key] = row
        return list(worst.values())

    @property
    def agrees(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)

    @property
    def compared(self) -> int:
        """How many values were compared."""
        return sum(row.comparable for row in self.rows)

    @property
    def overloaded(self) -> bool:
        """Whether a live run was made on a machine too busy for its timings to say anything."""
        return any(overloaded(lateness_of(one.run.manifest), self.tolerance) for one in self.comparisons)

    @property
    def run_dir(self) -> Path:
        """The folder of the last live run, or of the field log."""
        return self.comparisons[-1].run_dir

    @property
    def against_log(self) -> bool:
        """Whether the model was held against a field log instead of live runs."""
        return str(self.comparisons[0].run.manifest["world"]) == "field"


def _distance(row: Row) -> tuple[bool, float]:
    return not row.agrees, abs(row.difference) if row.difference is not None else 0.0


def is_validation(folder: Path) -> bool:
    """Whether a run's folder is that of a live run, or a field log, that was held against the model."""
    return (folder / MODEL).is_dir()


def members(model: Run) -> list[Tables]:
    """The tables of each of the model's runs: one, or one for each phase that cannot be set live."""
    tables = {name: model.table(name) for name in _COMPARED}
    return [
        {name: table.filter(pl.col("replication") == number) for name, table in tables.items()}
        for number in range(int(model.manifest["replications"]))
    ]


def read_validation(folder: Path) -> Validation:
    """Read the folder and compare. Raises RunFolderError (one line)."""
    model, first = read_run(folder / MODEL), read_run(folder)
    tolerance = _tolerance(folder, first)
    tables = members(model)
    if (folder / LOG).is_file():
        try:
            events = tuple(read_field_log(folder / LOG))
        except FieldLogError as error:
            raise RunFolderError(str(error)) from None
        names = [str(entry["name"]) for entry in model.manifest["strategies"]]
        rows = [row for name in names for row in compare_field_log(name, tables[0], list(events), tolerance)]
        return Validation(model, (Comparison(first, folder, tuple(rows), events),), tolerance)
    comparisons, missing = [], []
    compared: list[list[Row]] = [[] for _ in tables]
    for name in _names_of_runs(folder, str(first.manifest["run_id"])):
        beside = folder if name == first.manifest["run_id"] else folder.parent / name
        if not beside.is_dir():
            missing.append(name)
            continue
        run = first if beside is folder else read_run(beside)
        live = {name: run.table(name) for name in _COMPARED}
        each = [compare_runs(one, live, tolerance) for one in tables]
        if run.manifest.get("link") == "loopback":
            each = _comparable(model, tables, each)
        together = coherent(each, neighbours(*_shape(model)), _episodes(tables[0]["disruptions"]))
        comparisons.append(Comparison(run, beside, (*contained(each), *together)))
        for number, of_member in enumerate(each):
            compared[number] += of_member
    return Validation(model, tuple(comparisons), tolerance, _nearest(compared), tuple(missing))


def _shape(model: Run) -> tuple[int, int]:
    """How many phases of the tick, and how many edges, the members are of."""
    phases = max(len(model.manifest.get("tick_phases") or ()), 1)
    return phases, int(model.manifest["replications"]) // phases


def _episodes(disruptions: pl.DataFrame) -> dict[float, str]:
    """Beginning -> name of what begins a recovery episode, as `compare_runs` has it."""
    columns = ("kind", "start_s", "end_s", "before", "after")
    events = [Event(*row) for row in disruptions.sort("start_s").select(columns).iter_rows()]
    return {event.start_s: f"{event.kind} at {event.start_s:.1f} s" for event in events if starts_episode(event)}


def _comparable(model: Run, tables: Sequence[Tables], compared: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """What rests on a timer of TCP in any of the model's runs is comparable in none."""
    found = [list(rows) for rows in compared]
    for number, of_member in enumerate(tables):
        timeline = model.timeline.filter(pl.col("replication") == number).sort("start_s")
        outages = DrivePath(timeline).unusable_spans(0.0, math.inf)
        for strategy in of_member["messages"]["strategy"].unique(maintain_order=True).to_list():
            mine = pl.col("strategy") == strategy
            picked = (of_member["connections"].filter(mine), of_member["messages"].filter(mine))
            found[number] = without_timers(found[number], strategy, *picked, outages)
    not_comparable = {(row.strategy, row.where, row.what) for rows in found for row in rows if not row.comparable}
    return [
        [
            replace(row, comparable=False, agrees=True) if (row.strategy, row.where, row.what) in not_comparable else row
            for row in rows
        ]
        for rows in found
    ]


def _nearest(compared: Sequence[Sequence[Row]]) -> dict[str, int]:
    """Strategy -> the first of the members whose rows part least, in number and then in seconds."""
    off: dict[str, list[list[float]]] = {}
    for number, rows in enumerate(compared):
        for row in rows:
            sums = off.setdefault(row.strategy, [[0.0, 0.0] for _ in compared])[number]
            sums[0] += not row.agrees
            sums[1] += abs(row.difference or 0.0)
    return {strategy: sums.index(min(sums)) for strategy, sums in off.items()}


def _tolerance(folder: Path, run: Run) -> Tolerance:
    try:
        said = run.manifest["settings"]["validation"]
        return Tolerance(float(said["relative_share"]), float(said["absolute_s"]))
    except (KeyError, TypeError, ValueError):
        raise RunFolderError(f"{folder}: its manifest has no tolerance, the run was recorded by another version") from None


def _names_of_runs(folder: Path, own: str) -> list[str]:
    """Names of the folders of the live runs, in their order; this one alone where nothing is said of others."""
    path = folder / VERDICT
    if not path.is_file():
        return [own]
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        # names of folders beside this one, nothing else: a path could lead anywhere
        names = [name for name in said["runs"] if isinstance(name, str) and name == Path(name).name and name.strip(".")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunFolderError(f"{path}: does not name the live runs: {str(error).splitlines()[0]}") from error
    return names if own in names else [*names, own]
