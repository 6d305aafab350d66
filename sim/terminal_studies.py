"""What the commands for studies show. Reads tables, computes nothing new."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.measure.support import few_drives

_MOST_ROWS = 40
_SCALES = {"share": (100.0, "%"), "bytes": (1e-6, "MB"), "s": (1.0, "s"), "MB": (1.0, "MB"), "count": (1.0, "")}


def sweep_head(plan: Any) -> str:
    """What will be run, in one line."""
    left_out = f" ({plan.left_out} left out by where)" if plan.left_out else ""
    points, strategies = len(plan.points), len(plan.base.strategies)
    drives = plan.points[0].scenario.replications
    named = "strategy" if strategies == 1 else "strategies"
    return (
        f"{plan.base.name}: {points} point{'s' * (points != 1)}{left_out}, {strategies} {named},"
        f" {drives} drive{'s' * (drives != 1)} each"
    )


def interrupted_sweep(work: Any) -> str:
    kept = work.run + work.from_store
    return f"{kept} of {work.wanted} units are kept; the same command goes on from there"


def print_sweep(result: Any) -> None:
    """The leading metric at each point with its intervals, then where everything is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    manifest, folder = result.manifest, result.run_dir
    frame = pl.read_parquet(folder / "sweep.parquet").filter(pl.col("statistic") == "mean")
    name = manifest["lead"]
    factor, unit = _SCALES[metric(name).unit]
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140, emoji=False, markup=False)
    console.print(Text(f"{name}{f', {unit}' if unit else ''}: {metric(name).doc}, mean over the drives and its 95 % interval"))
    cells = {(row["point"], row["strategy"]): row for row in frame.filter(pl.col("metric") == name).iter_rows(named=True)}
    strategies = [entry["name"] for entry in manifest["strategies"]]
    points = list(enumerate(manifest["points"]))[:_MOST_ROWS]
    heads = [axis["key"] for axis in manifest["axes"]]
    full = [[_cell(cells.get((number, one)), factor) for one in strategies] for number, _values in points]
    width = sum(max(len(head), 8) + 2 for head in heads)
    width += sum(max(len(one), *(len(row[at]) for row in full)) + 2 for at, one in enumerate(strategies))
    if width > console.width:
        full = [[_cell(cells.get((number, one)), factor, short=True) for one in strategies] for number, _values in points]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", min_width=min(len(head), 30))
    for one in strategies:
        table.add_column(one, justify="right", overflow="fold")
    for (_number, values), row in zip(points, full, strict=True):
        table.add_row(*(values[head] for head in heads), *row)
    console.print(table)
    if len(manifest["points"]) > _MOST_ROWS:
        console.print(Text(f"and {len(manifest['points']) - _MOST_ROWS} more points in sweep.csv", style="dim"))
    for line in sweep_warnings(result):
        console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    console.print()
    work = result.work
    again = f", {work.losses.count} processes died and their work was run again" if work.losses.count else ""
    console.print(Text(f"{work.wanted} units: {work.run} run, {work.from_store} from the store{again}"), soft_wrap=True)
    console.print(Text(f"results in {folder}"), soft_wrap=True)
    if (folder / "report.html").is_file():
        console.print(Text(f"report: {folder / 'report.html'}"), soft_wrap=True)


def sweep_warnings(result: Any) -> list[str]:
    """Where the evidence does not carry a verdict."""
    comparisons = pl.read_parquet(result.run_dir / "differences.parquet").height
    found = few_drives(min(result.manifest["drives"]), comparisons)
    lines = [found] if found else []
    if result.manifest["precision"] and result.manifest["precision_missed"]:
        missed = result.manifest["precision_missed"]
        lines.append(f"{missed} of {len(result.manifest['points'])} points did not reach the precision within --most-drives")
    return lines


def sweep_json(result: Any) -> str:
    """The one JSON object of --json: the rows of the metrics that were asked for."""
    frame = pl.read_parquet(result.run_dir / "sweep.parquet")
    rows = frame.filter(pl.col("metric").is_in(result.manifest["metrics"])).to_dicts()
    differences = pl.read_parquet(result.run_dir / "differences.parquet").to_dicts()
    work = result.work
    content = {
        "scenario": result.manifest["scenario"],
        "sweep_id": result.manifest["sweep_id"],
        "seed": result.manifest["seed"],
        "results_dir": str(result.run_dir),
        "digest": result.manifest["digest"],
        "units": {
            "wanted": work.wanted, "run": work.run, "from_store": work.from_store, "processes_lost": work.losses.count,
        },
        "axes": result.manifest["axes"],
        "drives": result.manifest["drives"],
        "warnings": sweep_warnings(result),
        "rows": [_finite(row) for row in rows],
        "differences": [_finite(row) for row in differences],
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _cell(row: dict[str, Any] | None, factor: float, short: bool = False) -> str:
    if row is None or row["value"] is None:
        return "-"
    if not math.isfinite(row["value"]):
        return "> end"
    value, low, high = (None if row[key] is None else row[key] * factor for key in ("value", "low", "high"))
    if low is None or high is None:
        return f"{value:.4g}"
    half = max((high - low) / 2.0, 1e-12)
    places = min(max(1 - math.floor(math.log10(half)), 0), 4)
    if short:
        return f"{value:,.{places}f} ±{half:.{places}f}"
    return f"{value:,.{places}f} [{low:,.{places}f}, {high:,.{places}f}]"


_GATE_STYLES = {"pass": "green", "worse": "bold red", "undecided": "yellow"}


def print_comparison(found: Any) -> None:
    """The gate's checks, or what changed, or the matrix of the first metric; then where the report is."""
    from rich.console import Console
    from rich.text import Text

    from sim.study.comparison import check_in_words

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140, emoji=False, markup=False)
    if found.gate is not None:
        for check in found.gate.checks:
            line = Text(f"{check.verdict:<10}", style=_GATE_STYLES[check.verdict]) + Text(check_in_words(check), style="")
            console.print(line, soft_wrap=True)
        for line in found.gate.left_out:
            console.print(Text(line, style="dim"), soft_wrap=True)
        for line in found.gate.warnings:
            console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    else:
        _print_matrix(console, found.comparison)
        for line in [*(found.paired.left_out if found.paired else ()), *([found.not_paired] if found.not_paired else ())]:
            console.print(Text(line, style="dim"), soft_wrap=True)
    console.print()
    if found.gate is not None:
        share = 100 * found.gate.confidence
        n, drives = len(found.gate.checks), found.paired.drives
        on = f"{drives} drive{'s' * (drives != 1)}"
        text = f"{found.gate.verdict}: {n} check{'s' * (n != 1)} on {on}, each interval at {share:.4g} %"
        console.print(Text(text, style=_GATE_STYLES[found.gate.verdict]), soft_wrap=True)
    console.print(Text(f"report: {found.run_dir / 'report.html'}"), soft_wrap=True)


def _print_matrix(console: Any, comparison: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    for name in comparison.metrics:
        factor, unit = _SCALES[metric(name).unit]
        console.print(Text(f"{name}{f', {unit}' if unit else ''}: {metric(name).doc}"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("run", overflow="fold")
        for one in comparison.strategies:
            table.add_column(one, justify="right", overflow="fold")
        for label in comparison.runs:
            cells = [comparison.cell(label, one, name) for one in comparison.strategies]
            rows = [cell and {**cell, "value": cell["mean"]} for cell in cells]
            table.add_row(label, *(_cell(row, factor, short=True) for row in rows))
        console.print(table)
        console.print()


def comparison_json(found: Any) -> str:
    """The one JSON object of --json."""
    import dataclasses

    from sim.study.comparison import table

    gate = found.gate
    content = {
        "results_dir": str(found.run_dir),
        "verdict": gate.verdict if gate else None,
        "checks": [_finite(dataclasses.asdict(check)) for check in gate.checks] if gate else [],
        "confidence": gate.confidence if gate else None,
        "drives": found.paired.drives if found.paired else None,
        "left_out": list(gate.left_out if gate else found.paired.left_out if found.paired else ()),
        "not_paired": found.not_paired,
        "warnings": list(gate.warnings) if gate else [],
        "changes": [_finite(dataclasses.asdict(change)) for change in found.changes],
        "rows": [_finite(row) for row in table(found.comparison).to_dicts()],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def print_frame(frame: pl.DataFrame, error: bool = False) -> None:
    """A table as it is, numbers to four digits."""
    from rich.console import Console
    from rich.table import Table

    stream = sys.stderr if error else sys.stdout
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else 140, emoji=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*("-" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)
    console.print()


def sensitivity_json(folder: Any, rows: pl.DataFrame) -> str:
    content = {"results_dir": str(folder), "rows": [_finite(row) for row in rows.to_dicts()]}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def tune_json(tuned: Any, text: str) -> str:
    import dataclasses

    front = [dataclasses.asdict(one) for one in tuned.front]
    content = {
        "results_dir": str(tuned.run_dir), "strategy": tuned.strategy, "objectives": list(tuned.objectives),
        "trials": len(tuned.trials), "front": front, "yaml": text,
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=str)
