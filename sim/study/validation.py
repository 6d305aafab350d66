"""The model held against a live run of the same drive, or against a field log."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.agreement import Row, compare_runs, contained
from sim.measure.field_log import compare_field_log, read_field_log
from sim.measure.tolerance import Tolerance
from sim.model.simulate import simulate
from sim.record.read import read_run
from sim.record.tables import concatenate, drive_tables, vehicle_tables
from sim.scenario.user_strategy import is_user_strategy, user_class
from sim.study.live import LivePlan, run_live, with_preset_of
from sim.study.run import Tables, timeouts

#: Phases of a broker's tick that the model is run with where a live broker's cannot be set: an interval of the tick's length
#: is then known to within an eighth of it.
TICK_PHASES = tuple(number / 8 for number in range(8))


def model_tables(planned: LivePlan, tick_phase: float | None = None) -> Tables:
    """The model's run of the same plan; `tick_phase` in [0, 1) places the broker's tick, None: where the live one's is set."""
    parts = []
    for choice in planned.scenario.strategies:
        user = user_class(choice.use, planned.scenario.folder) if is_user_strategy(choice.use) else None
        run = simulate(planned.setting, planned.timeline, choice.use, choice.config, user=user, trace=True, tick_phase=tick_phase)
        parts.append(
            vehicle_tables(
                run.record,
                run.outcomes,
                strategy=choice.name,
                replication=0,
                vehicle=0,
                start_s=run.start_s,
                end_s=run.end_s,
                horizon_s=run.horizon_s,
                radio_active_s=run.radio_active_s,
                current_address=run.current_address,
                timeouts=timeouts(planned.scenario),
                parked=planned.timeline.parked,
            )
        )
    return concatenate(parts) | concatenate([drive_tables(planned.timeline, 0, 0)])


def model_ensemble(planned: LivePlan, broker: str) -> list[Tables]:
    """The model's runs for every phase that cannot be set on `broker`; one run where all can."""
    ticks = planned.setting.server.broker.behaviour().keep_alive_rule == "tick_after"
    if broker == "embedded" or not ticks:
        return [model_tables(planned)]
    return [model_tables(planned, phase) for phase in TICK_PHASES]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One live run (None: a field log) and its rows."""

    run_dir: Path | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """Result of a validation: a comparison for each live run. All have to agree."""

    comparisons: tuple[Comparison, ...]

    @property
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
        return all(row.agrees for comparison in self.comparisons for row in comparison.rows)

    @property
    def run_dir(self) -> Path | None:
        """The folder of the last live run."""
        return self.comparisons[-1].run_dir if self.comparisons else None


def _distance(row: Row) -> tuple[bool, float]:
    return not row.agrees, abs(row.difference) if row.difference is not None else 0.0


def validate(
    planned: LivePlan,
    broker: str,
    link: str,
    *,
    runs: int = 1,
    out: Path = Path("results"),
    command: str = "",
    say: Callable[[str], None] = lambda _text: None,
) -> Validation:
    """Run the model, and live `runs` times, on the same timeline and compare them; the tolerance is the scenario's.

    Writes validation.csv and validation.json into the folder of each live run. An interrupted run is the last one.
    """
    planned = with_preset_of(planned, broker)
    models = model_ensemble(planned, broker)
    comparisons = []
    for number in range(runs):
        if runs > 1:
            say(f"live run {number + 1} of {runs}")
        live = run_live(planned, broker, link, out=out, command=command, say=say)
        rows = _compared(models, live.run_dir, planned.scenario.validation)
        write_rows(rows, live.run_dir)
        comparisons.append(Comparison(live.run_dir, tuple(rows)))
        if live.interrupted:
            break
    return Validation(tuple(comparisons))


def _compared(models: Sequence[Tables], run_dir: Path, tolerance: Tolerance) -> list[Row]:
    run = read_run(run_dir)
    tables: dict[str, pl.DataFrame] = {name: getattr(run, name) for name in ("messages", "connections", "disruptions", "trace")}
    return contained([compare_runs(model, tables, tolerance) for model in models])


def write_rows(rows: Sequence[Row], folder: Path) -> None:
    """validation.csv, a line for each compared quantity, and validation.json, the verdict."""
    frame = pl.DataFrame([_plain(row) for row in rows], infer_schema_length=None)
    frame.write_csv(folder / "validation.csv")
    verdict = {"agrees": all(row.agrees for row in rows), "rows": len(rows), "parted": sum(not row.agrees for row in rows)}
    (folder / "validation.json").write_text(json.dumps(verdict) + "\n")


def _plain(row: Row) -> dict[str, Any]:
    as_text = {"model": str(row.model), "live": str(row.live), "at_s": row.at_s if math.isfinite(row.at_s) else None}
    return {**dataclasses.asdict(row), **as_text}


def validate_against(planned: LivePlan, log: Path) -> Validation:
    """The model's run of each strategy compared with a field log instead of a live run. Raises FieldLogError."""
    events = read_field_log(log)
    tables = model_tables(planned)
    rows = [
        row
        for choice in planned.scenario.strategies
        for row in compare_field_log(choice.name, tables, events, planned.scenario.validation)
    ]
    return Validation((Comparison(None, tuple(rows)),))
