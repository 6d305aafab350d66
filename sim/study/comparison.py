"""`compare`: runs side by side, and the gate between two of them; written to results/comparisons/<id>/."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.measure.multiple import holm
from sim.measure.stats import CONFIDENCE, Difference, paired_difference
from sim.report.comparison import METRICS, Comparison, of_evidence, read_comparison
from sim.report.comparison_page import Change, Verdict, write_comparison_report
from sim.report.numbers import difference, valued
from sim.study.gate import Check, Gate, GateResult, judge
from sim.study.pairing import NotPaired, Paired, pair, read_side
from sim.study.run import write_json
from sim.study.run_folder import new_run_folder, results_writable

FOLDER = "comparisons"


@dataclass(frozen=True, slots=True)
class Compared:
    """A finished comparison. `paired` and `gate` where there are two sides that belong together."""

    run_dir: Path
    comparison: Comparison
    changes: tuple[Change, ...]
    paired: Paired | None
    gate: GateResult | None
    not_paired: str = ""


def compare_runs(
    folders: Sequence[Path],
    *,
    gates: Sequence[Gate] = (),
    renamed: Mapping[str, str] | None = None,
    metrics: Sequence[str] = METRICS,
    out: Path = Path("results"),
    command: str = "",
) -> Compared:
    """Compare runs and write a report. Two runs are paired where they can be; with `gates` they have to be.

    Raises:
        RunFolderError: a folder is damaged, or not a run's.
        NotPaired: BASE and HEAD cannot be paired, though a gate or `renamed` asks for it.
        UnknownMetricError: of `metrics`.
    """
    paired, why = None, ""
    if len(folders) == 2:
        sides = read_side("BASE", folders[0]), read_side("HEAD", folders[1])
        try:
            paired = pair(*sides, renamed)
        except NotPaired as error:
            if gates or renamed:
                raise
            why = str(error)
        runs = [run for side in sides for run in side.runs]
        paths = [str(run.run.folder) for run in runs]
        names = [
            side.name if len(side.runs) == 1 else f"{side.name} {at}" for side in sides for at in range(1, len(side.runs) + 1)
        ]
        comparison = of_evidence(runs, paths, metrics, names if paired is not None else ())
    else:
        comparison = read_comparison(folders, metrics)
    metrics = comparison.metrics
    gate = judge(paired, gates) if paired is not None and gates else None
    changes = _changes(paired, metrics) if paired is not None else ()
    content = {
        "kind": "comparison",
        "runs": {label: str(run.run.folder) for label, run in comparison.runs.items()},
        "digests": {label: run.manifest.get("digest", "") for label, run in comparison.runs.items()},
        "metrics": list(metrics),
        "gates": [dataclasses.asdict(one) for one in gates],
        "pairs": [list(one) for one in paired.pairs] if paired is not None else [],
    }
    identity = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    folder = out / FOLDER / identity
    found = Compared(folder, comparison, changes, paired, gate, why)
    _write(folder, found, content | {"command": command})
    return found


def _changes(paired: Paired, metrics: Sequence[str]) -> tuple[Change, ...]:
    """HEAD - BASE on every metric, strategy by strategy; one family of comparisons."""
    horizon_s = max(paired.base.horizon_s, paired.head.horizon_s)
    seed = int(str(paired.base.manifest["seed"]))
    rows: list[tuple[str, str, float, float, Difference]] = []
    for label, one, other in paired.pairs:
        for name in metrics:
            base = paired.base.vector(one, name, horizon_s)[: paired.drives]
            head = paired.head.vector(other, name, horizon_s)[: paired.drives]
            both = [(a, b) for a, b in zip(base, head, strict=True) if a is not None and b is not None]
            if both:
                before, after = (math.fsum(values) / len(both) for values in zip(*both, strict=True))
                rows.append((label, name, before, after, paired_difference(head, base, metric(name).better, seed)))
    changes = []
    for (label, name, before, after, found), p in zip(rows, holm([row[4].p_value for row in rows]), strict=True):
        verdict = found.verdict if p is not None and p <= 1.0 - CONFIDENCE else "no evidence"
        interval = found.interval
        changes.append(Change(label, name, before, after, interval.mean or 0.0, interval.low, interval.high, verdict, p))
    return tuple(changes)


def check_in_words(check: Check) -> str:
    """ "hybrid: recovery_s.mean 5.6 s, was 5.2 s: +0.4 s (0.2 to 0.6), allowed 0.26 s; 30 drives"."""
    changed = difference(check.metric, check.difference, check.low, check.high, signed=True) if check.difference else "no change"
    allowed = f", allowed {valued(check.metric, check.tolerance)}" if check.tolerance else ", nothing worse is allowed"
    note = f"; {check.note}" if check.note else ""
    return (
        f"{check.strategy}: {check.metric} {valued(check.metric, check.head)}, was {valued(check.metric, check.base)}:"
        f" {changed}{allowed}; {check.n} drive{'s' if check.n != 1 else ''}{note}"
    )


def _write(folder: Path, found: Compared, content: dict[str, Any]) -> None:
    with new_run_folder(folder.parent, folder.name) as work, results_writable(folder.parent):
        gate = found.gate
        if gate is not None:
            content |= {"verdict": gate.verdict, "checks": [dataclasses.asdict(check) for check in gate.checks]}
        write_json(work / "manifest.json", content)
        table(found.comparison).write_csv(work / "comparison.csv")
        notes = list(found.paired.left_out if gate is None and found.paired else gate.left_out if gate else ())
        notes += [found.not_paired] if found.not_paired else []
        write_comparison_report(
            work,
            found.comparison,
            command=str(content["command"]),
            changes=found.changes,
            verdicts=[Verdict(check.verdict, check_in_words(check)) for check in gate.checks] if gate else (),
            notes=[f"{note[0].upper()}{note[1:]}." for note in notes],
            warnings=gate.warnings if gate else (),
            joint=gate.confidence if gate else CONFIDENCE,
        )


def table(comparison: Comparison) -> pl.DataFrame:
    """A row for each run, strategy and metric."""
    rows = []
    for label in comparison.runs:
        for strategy in comparison.strategies:
            for name in comparison.metrics:
                found = comparison.cell(label, strategy, name)
                if found is not None:
                    rows.append((label, strategy, name, metric(name).unit, *(found[key] for key in ("mean", "low", "high", "n"))))
    schema = {
        "run": pl.String, "strategy": pl.String, "metric": pl.String, "unit": pl.String, "value": pl.Float64, "low": pl.Float64,
        "high": pl.Float64, "n": pl.Int32,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")
