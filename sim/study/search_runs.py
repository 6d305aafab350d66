"""Sensitivity and tuning with their folders: results/<scenario>/sensitivity-<id>/ and tune-<id>/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from sim.measure.summary import COMPARED_FLEET
from sim.report.search_pages import write_sensitivity_report, write_tuning_report
from sim.scenario.space import Range
from sim.study.manifest import plain
from sim.study.run import write_json
from sim.study.run_folder import new_run_folder, results_writable
from sim.study.search import Searched, with_data
from sim.study.sensitivity import analyse
from sim.study.sweep import METRICS
from sim.study.tune import Tuned, as_yaml, objectives_of, table, tune
from sim.study.unit import surroundings

Show = Callable[[int, int], None]


def _facts(searched: Searched, ranges: Sequence[Range]) -> list[tuple[str, str]]:
    base = searched.source.base
    said = [("seed", str(base.seed)), ("drives at each point", str(base.replications))]
    for one in ranges:
        span = (
            ", ".join(map(str, one.choices)) or f"{one.written(one.low)} to {one.written(one.high)}{', log' if one.log else ''}"
        )
        said.append((one.key, span))
    return said


def run_sensitivity(
    searched: Searched, ranges: Sequence[Range], metrics: Sequence[str], method: str, samples: int, command: str, show: Show
) -> tuple[Path, pl.DataFrame]:
    """Analyse and write the folder; returns it and the rows of sensitivity.csv. Raises as `analyse`."""
    base = searched.source.base
    names = tuple(metrics) or (METRICS if base.fleet is None else with_data(COMPARED_FLEET, base))
    rows = analyse(searched, ranges, names, method, samples, show)
    settings = {key: value for key, value in plain(base).items() if key not in ("source", "folder", "description")}
    content = {
        "kind": "sensitivity", "scenario": base.name, "method": method, "samples": samples, "seed": base.seed,
        "replications": base.replications, "ranges": [plain(one) for one in ranges], "metrics": list(names), "settings": settings,
        "code": surroundings(),
    }  # fmt: skip
    identity = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    folder = searched.out / base.name / f"sensitivity-{identity}"
    facts = [*_facts(searched, ranges), ("samples", f"{samples}, {method}")]
    with new_run_folder(folder.parent, folder.name) as work, results_writable(folder.parent):
        rows.write_csv(work / "sensitivity.csv")
        rows.write_parquet(work / "sensitivity.parquet")
        write_json(work / "manifest.json", content | {"command": command})
        write_sensitivity_report(work, base.name, rows, facts, command)
    return folder, rows


def run_tune(
    searched: Searched, ranges: Sequence[Range], strategy: str, objectives: Sequence[str], trials: int, command: str, show: Show
) -> tuple[Tuned, pl.DataFrame, str]:
    """Tune and write the folder; returns the trials, their table and the scenario of the best one. Raises as `tune`."""
    wanted = tuple(objectives) or objectives_of(searched.source.base)
    tuned = tune(searched, ranges, strategy, objectives=wanted, trials=trials, show=show)
    frame = table(tuned)
    text = as_yaml(searched, tuned, tuned.best)
    folder = tuned.run_dir
    content = {
        "kind": "tune", "scenario": searched.source.base.name, "strategy": strategy, "objectives": list(tuned.objectives),
        "ranges": [plain(one) for one in ranges], "trials": len(tuned.trials), "front": [one.number for one in tuned.front],
        "command": command,
    }  # fmt: skip
    with results_writable(folder):  # the study's journal is in it: what is written here stands beside that
        frame.write_csv(folder / "trials.csv")
        (folder / "tuned.yaml").write_text(text, encoding="utf-8")
        write_json(folder / "manifest.json", content)
        write_tuning_report(
            folder, searched.source.base.name, frame, [one.key for one in ranges], tuned.objectives, tuned.best.metrics,
            tuned.best.number, _facts(searched, ranges), command,
            f"Its values: {', '.join(f'{key} = {value}' for key, value in tuned.best.values.items())}.",
        )  # fmt: skip
    return tuned, frame, text
