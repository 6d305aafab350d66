"""The report of a comparison: which strategy holds where, and between two sides what has changed and what the gate says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.measure.metrics_catalog import metric
from sim.measure.stats import CONFIDENCE, RESAMPLES
from sim.measure.support import few_drives
from sim.report.comparison import Comparison
from sim.report.figures_matrix import far_off, panels, scenario_matrix
from sim.report.metric_words import heading, short_name
from sim.report.numbers import (
    NBSP,
    column_unit,
    difference,
    in_table,
    listed,
    mean_in_words,
    percent,
    valued,
    with_interval,
)
from sim.report.study_page import Cell, Page, Section, Shown, Table, write_page


@dataclass(frozen=True, slots=True)
class Change:
    """HEAD minus BASE of a strategy on a metric, with its interval."""

    strategy: str
    metric: str
    base: float
    head: float
    difference: float
    low: float | None
    high: float | None
    verdict: str  # better, worse, no evidence
    p_holm: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says: (pass, worse or undecided; in words)."""

    verdict: str
    text: str


def write_comparison_report(
    folder: Path,
    comparison: Comparison,
    *,
    command: str = "",
    changes: Sequence[Change] = (),
    verdicts: Sequence[Verdict] = (),
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    joint: float = CONFIDENCE,
) -> Path:
    """Write report.html and report.md; returns the path of the first. RunFolderError where they cannot be written."""
    labels = list(comparison.runs)
    sections = [_matrix(comparison)]
    if changes:
        sections.insert(0, _changes(comparison, changes))
    page = Page(
        title=listed(list(dict.fromkeys(str(run.manifest["scenario"]) for run in comparison.runs.values()))[:4]),
        subtitle=f"handover lab, comparison of {len(labels)} run{'s' if len(labels) > 1 else ''}",
        description=f"Runs: {', '.join(labels)}.",
        headline=_gate_headline(verdicts, changes) if verdicts else _headline(comparison),
        support=[*notes, *([] if verdicts else _support(comparison))],
        warnings=[_sentence(line) for line in (*warnings, *_few(comparison, warnings))],
        sections=[*sections, *_tables(comparison)],
        looks=comparison.looks,
        command=command,
        facts=_facts(comparison),
        assumptions=_assumptions(comparison, changes, verdicts, joint),
        objectives=[({"worse": "fail"}.get(one.verdict, one.verdict), one.text) for one in verdicts],
    )
    return write_page(folder, page)


def _sentence(line: str) -> str:
    return line[0].upper() + line[1:] + ("" if line.endswith(".") else ".")


def _few(comparison: Comparison, said: Sequence[str]) -> list[str]:
    if said:
        return []
    few = few_drives(min(run.drives for run in comparison.runs.values()))
    return [few] if few else []


def _gate_headline(verdicts: Sequence[Verdict], changes: Sequence[Change]) -> str:
    """What the checks say, and what is worse all the same: within what a check allows, or asked for by none."""
    worse = [f"{one.strategy} on {short_name(one.metric)}" for one in changes if one.verdict == "worse"]
    some = listed([*worse[:3], f"{len(worse) - 3} more"] if len(worse) > 4 else worse)
    counts = {word: sum(one.verdict == word for one in verdicts) for word in ("worse", "undecided", "pass")}
    if counts["worse"]:
        return f"HEAD is worse than BASE: {counts['worse']} of {len(verdicts)} checks failed."
    if counts["undecided"]:
        return f"No check shows HEAD to be worse than BASE; {counts['undecided']} of {len(verdicts)} are undecided."
    passed = f"all {len(verdicts)} checks pass" if len(verdicts) > 1 else "the check passes"
    if worse:
        return f"{passed[0].upper()}{passed[1:]}; worse, within what they allow or asked for by none: {some}."
    return f"HEAD is not worse than BASE: {passed}."


def _headline(comparison: Comparison) -> str:
    """Who is in the leading group of how many runs, on the first metric that tells anybody apart in any of them."""
    n = len(comparison.runs)
    for name in comparison.metrics:
        groups = {label: comparison.leaders(label, name) for label in comparison.runs}
        contenders = {
            label: [one for one in comparison.subjects if one in run.strategies] for label, run in comparison.runs.items()
        }
        if all(len(groups[label]) == len(contenders[label]) for label in groups):
            continue
        counts = {one: sum(one in group for group in groups.values()) for one in comparison.subjects}
        most = max(counts.values())
        best = [one for one, count in counts.items() if count == most]
        where = "in every scenario" if most == n else f"in {most} of {n} scenarios"
        where = "here" if n == 1 else where
        verb = "is" if len(best) == 1 else "are"
        return f"{heading(name)}: {listed(best)} {verb} in the leading group {where}."
    return "The evidence tells no strategy from another in these runs."


def _support(comparison: Comparison) -> list[str]:
    lines = []
    for label, run in comparison.runs.items():
        told = []
        for name in comparison.metrics:
            leading = comparison.leaders(label, name)
            here = [one for one in comparison.subjects if one in run.strategies]
            if leading and len(leading) < len(here):
                value = with_interval(name, comparison.cell(label, leading[0], name))
                told.append(f"in {short_name(name)} {listed(leading)}, {value}")
        lines.append(f"{label}: ahead {'; '.join(told)}." if told else f"{label}: no strategy stands out.")
    return lines


def _matrix(comparison: Comparison) -> Section:
    hidden = {name: far_off(comparison, name) for name in panels(comparison)}
    left_out = [f"{listed(ones)} on {short_name(name)}" for name, ones in hidden.items() if ones]
    directions = [f"{short_name(name)} ({metric(name).better} is better)" for name in panels(comparison)]
    caption = (
        f"A row for each run, a panel for each metric: {', '.join(directions)}. The axes of a column are the same in all rows;"
        f" bars are 95{NBSP}% intervals of the mean over drives."
        + (f" Far outside, and not drawn: {', '.join(left_out)}." if left_out else "")
    )
    figure = Shown("scenario-matrix", "Scenarios by strategies", caption, scenario_matrix(comparison), wide=True)
    return Section("matrix", "Scenarios by strategies", (), [figure])


def _tables(comparison: Comparison) -> list[Section]:
    tables = []
    for at, name in enumerate(comparison.metrics):
        found = [comparison.cell(label, one, name) for label in comparison.runs for one in comparison.strategies]
        if not any(cell and cell["mean"] is not None and math.isfinite(cell["mean"]) for cell in found):
            continue
        rows = []
        for label, run in comparison.runs.items():
            leading = comparison.leaders(label, name)
            contenders = [one for one in comparison.subjects if one in run.strategies]
            mark = "best" if len(leading) == 1 else "joint"
            marked = leading if len(leading) < len(contenders) and run.drives > 1 else []
            drives = f"{run.drives} drive{'s' if run.drives > 1 else ''}"
            cells = [
                _cell(comparison.cell(label, one, name), name, mark if one in marked else "") for one in comparison.strategies
            ]
            rows.append([Cell(label, drives), *cells])
        tables.append(
            Table(
                f"{heading(name)}{f', {unit}' if (unit := column_unit(name)) else ''}",
                ["run", *comparison.strategies],
                rows,
                1,
                metric(name).doc,
                at > 1,
            )
        )
    text = (
        "★ better than every other strategy that is no baseline, on the same drives; ☆ in the leading group, which the evidence"
    )
    return [Section("tables", "In numbers", [f"{text} does not order."], (), tables)]


def _cell(found: dict[str, Any] | None, name: str, mark: str) -> Cell:
    if found is None or found["mean"] is None:
        return Cell("–")
    if not math.isfinite(found["mean"]):
        return Cell("beyond run")
    return Cell(*in_table(name, found), mark)


def _mean(comparison: Comparison, label: str, one: Change, value: float) -> str:
    """A side's mean as the other tables of the page write it."""
    found = comparison.cell(label, one.strategy, one.metric) if label in comparison.runs else None
    return mean_in_words(one.metric, found) if found and found["mean"] == value else valued(one.metric, value)


def _changes(comparison: Comparison, changes: Sequence[Change]) -> Section:
    moved = [one for one in changes if one.difference]
    rows = []
    for one in moved:
        text = difference(one.metric, one.difference, one.low, one.high, signed=True)
        p = "" if one.p_holm is None else f"p {'< 0.001' if one.p_holm < 0.001 else format(one.p_holm, '.3f')}"
        mark = one.verdict if one.verdict in ("better", "worse") else "quiet"
        before, after = _mean(comparison, "BASE", one, one.base), _mean(comparison, "HEAD", one, one.head)
        rows.append([Cell(one.strategy), Cell(one.metric), *map(Cell, (before, after, text)), Cell(one.verdict, p, mark)])
    same = len(changes) - len(moved)
    if not moved:
        return Section("changes", "What changed", [f"Nothing: all {same} compared values are the same in BASE and HEAD."])
    about = (
        f"HEAD minus BASE on the same drives, each with its own 95{NBSP}% interval. The verdict is by Holm's adjusted p-value"
        f" over all {len(changes)} comparisons." + (f" {same} values did not change and are not listed." if same else "")
    )
    table = Table("", ["strategy", "metric", "BASE", "HEAD", "HEAD − BASE", "verdict"], rows, 2)
    return Section("changes", "What changed", [about], (), [table])


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    facts = []
    for label, run in comparison.runs.items():
        manifest = run.manifest
        told = (
            f"run {manifest['run_id']}, {manifest.get('world', 'model')}, seed {manifest['seed']}, {run.drives} drives,"
            f" digest {str(manifest.get('digest', ''))[:16]}…"
        )
        facts.append((label, told))
    return facts


def _assumptions(comparison: Comparison, changes: Sequence[Change], verdicts: Sequence[Verdict], joint: float) -> list[str]:
    lines = [
        f"Intervals are {percent(CONFIDENCE)} percentile bootstrap intervals over drives ({RESAMPLES:,} resamples); a value"
        " without one did not vary, or comes from a single drive.",
        "Within a run strategies are compared by paired differences on the same drives; between scenarios nothing is paired.",
        f"The leading groups rest on {len(comparison.runs) * len(comparison.metrics)} families of comparisons, each interval for"
        " itself: a single star is weaker evidence than many that agree.",
    ]
    if verdicts:
        lines.append(
            f"Each check of the gate has an interval of {percent(joint)}, so that all in which anything changed hold together"
            " with 95 % (Bonferroni). A check fails only where its whole interval lies beyond the tolerance."
        )
    return lines
