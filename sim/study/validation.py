"""The model held against a live run of the same drive, or against a field log."""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.agreement import Row
from sim.measure.field_log import read_field_log
from sim.measure.validation import LOG, MODEL, VERDICT, Validation, read_validation
from sim.record.read import read_run
from sim.study.live import LivePlan, check_playable, driven_until, run_live, with_preset_of
from sim.study.manifest import manifest
from sim.study.model_record import Ensemble, model_ensemble, model_tables, write_model
from sim.study.run import Progress, RunResult, write_json
from sim.study.run_folder import new_run_folder, results_writable


def validate(
    planned: LivePlan,
    broker: str,
    link: str,
    *,
    runs: int = 1,
    store: str = "memory",
    out: Path = Path("results"),
    command: str = "",
    say: Callable[[str], None] = lambda _text: None,
    progress: Progress | None = None,
) -> Validation:
    """Run the model, and live `runs` times, on the same timeline and compare them; the tolerance is the scenario's.

    Into the folder of each live run come the model's records (model/), validation.csv and validation.json. An interrupted
    run is the last one.
    """
    planned = with_preset_of(planned, broker)
    check_playable(planned, broker)
    ensemble = model_ensemble(planned, broker)
    done: list[Path] = []
    for number in range(runs):
        if runs > 1:
            say(f"live run {number + 1} of {runs}")
        live = run_live(planned, broker, link, store=store, out=out, command=command, say=say, progress=progress)
        done.append(live.run_dir)
        _place_model(_reached(planned, broker, live) if live.interrupted else ensemble, live.run_dir, command)
        found = _written(done)
        if live.interrupted:
            break
    return found


def _reached(planned: LivePlan, broker: str, live: RunResult) -> Ensemble:
    """The model's runs of so much of the drive as an interrupted live run had reached."""
    ended_s = float(read_run(live.run_dir).manifest["ended_s"])
    drain_s = max(ended_s - planned.timeline.end_s, 0.0)
    setting = dataclasses.replace(planned.setting, drain_s=drain_s)
    return model_ensemble(dataclasses.replace(planned, timeline=driven_until(planned.timeline, ended_s), setting=setting), broker)


def validate_against(planned: LivePlan, log: Path, *, out: Path = Path("results"), command: str = "") -> Validation:
    """The model's run of each strategy compared with a field log instead of a live run. Raises FieldLogError.

    Writes a folder like that of a live run, with the log and the model's records.
    """
    read_field_log(log)  # a mistake in it is said before anything is run or written
    scenario = planned.scenario
    started = datetime.now(UTC)
    parent = out / scenario.name
    name = _free(parent, f"field-{started:%Y%m%dT%H%M%S}-{log.stem}").name
    model = Ensemble(planned, (None,), model_tables(planned))
    with new_run_folder(parent, name) as work, results_writable(parent):
        shutil.copyfile(log, work / LOG)
        content = manifest(
            scenario,
            measured=list(planned.timeline.measured),
            notes=list(planned.timeline.notes),
            command=command,
            keep_inputs=True,
            folder=work,
        )
        content |= {"world": "field", "replications": 1, "started": started.isoformat(), "log": log.name}
        content["drain_s"] = planned.setting.drain_s
        write_model(model, work / MODEL, command)
        write_json(work / "manifest.json", content | {"run_id": name})
    return _written([parent / name])


def _free(parent: Path, name: str) -> Path:
    """The folder of this name, or the first of name-2, name-3, ... that is not there."""
    final, serial = parent / name, 2
    while final.exists():
        final, serial = parent / f"{name}-{serial}", serial + 1
    return final


def _place_model(ensemble: Ensemble, run_dir: Path, command: str) -> None:
    with results_writable(run_dir):
        work = Path(tempfile.mkdtemp(prefix=f".{MODEL}.", dir=run_dir))
        try:
            write_model(ensemble, work / MODEL, command)
            (work / MODEL).rename(run_dir / MODEL)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _written(folders: Sequence[Path]) -> Validation:
    """The comparison of these runs; validation.csv and validation.json, which names all of them, go into each folder."""
    with results_writable(folders[-1]):
        for folder in folders:
            write_json(folder / VERDICT, {"runs": [one.name for one in folders]})
        found = read_validation(folders[-1])
        for comparison in found.comparisons:
            _write_rows(comparison.rows, comparison.run_dir)
            verdict = {"agrees": comparison.agrees, "rows": len(comparison.rows), "compared": comparison.compared}
            verdict["parted"] = sum(not row.agrees for row in comparison.rows)
            write_json(comparison.run_dir / VERDICT, verdict | {"runs": [one.name for one in folders]})
    return found


def _write_rows(rows: Sequence[Row], folder: Path) -> None:
    """validation.csv, a line for each compared quantity."""
    names = [field.name for field in dataclasses.fields(Row)]
    frame = pl.DataFrame([_plain(row) for row in rows], infer_schema_length=None) if rows else pl.DataFrame(schema=names)
    frame.write_csv(folder / "validation.csv")


def _plain(row: Row) -> dict[str, Any]:
    as_text = {"model": str(row.model), "live": str(row.live), "at_s": row.at_s if math.isfinite(row.at_s) else None}
    return {**dataclasses.asdict(row), **as_text}
