"""The report of a sweep, made from its folder alone: what the keys that were varied do to each strategy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.measure.stats import CONFIDENCE, RESAMPLES
from sim.measure.support import few_drives
from sim.report.figures_sweep import MOST_PANELS, out_of_sight, sweep_heat, sweep_lines
from sim.report.metric_words import heading, short_name
from sim.report.numbers import NBSP, column_unit, difference, in_table, listed, mean_in_words, percent, with_interval
from sim.report.study_page import Cell, Page, Section, Shown, Table, write_page
from sim.report.sweep_read import Sweep, read_sweep

_MOST_ROWS = 60
_MOST_DIFFERENCES = 40


def write_sweep_report(folder: Path) -> Path:
    """Write report.html and report.md. RunFolderError where the folder is damaged or not a sweep's."""
    sweep = read_sweep(folder)
    manifest = sweep.manifest
    page = Page(
        title=str(manifest["scenario"]),
        subtitle=f"handover lab, sweep {manifest['sweep_id']}",
        description=str(manifest["description"]),
        headline=_headline(sweep),
        support=_support(sweep),
        warnings=_warnings(sweep),
        sections=[*_metric_sections(sweep), _differences(sweep)],
        looks=sweep.looks,
        command=str(manifest["command"]),
        facts=_facts(sweep),
        assumptions=_assumptions(sweep),
    )
    return write_page(folder, page)


def _where(sweep: Sweep, point: int) -> str:
    return _at(sweep, point, list(sweep.points[point]))


def _ranked(sweep: Sweep, name: str, strategy: str) -> list[tuple[float, int]]:
    """(value, point), the best first, of those within the horizon."""
    found = []
    for point in range(len(sweep.points)):
        row = sweep.cell(point, strategy, name)
        if row is not None and row["value"] is not None and math.isfinite(row["value"]):
            found.append((row["value"], point))
    return sorted(found, key=lambda pair: (-pair[0] if metric(name).better == "higher" else pair[0], pair[1]))


def _headline(sweep: Sweep) -> str:
    """The strategy that what was varied moves most, from its worst to its best point, on the leading metric."""
    name = str(sweep.manifest["lead"])
    spans = {}
    for strategy in sweep.subject():
        ranked = _ranked(sweep, name, strategy)
        if ranked:
            spans[strategy] = (abs(ranked[0][0] - ranked[-1][0]), ranked[0][1], ranked[-1][1])
    if not spans:
        return f"No point has data on {name}."
    strategy, (span, best, worst) = max(spans.items(), key=lambda item: item[1][0])
    if span == 0.0:
        return f"Nothing that was varied moves {name} of any strategy."
    first, last = (with_interval(name, _interval(sweep.cell(point, strategy, name))) for point in (best, worst))
    if first == last:
        return f"What was varied hardly moves {short_name(name)}: {strategy} has {first} throughout."
    keys = sweep.moved[strategy]
    goes = f"from {last} at {_at(sweep, worst, keys)} to {first} at {_at(sweep, best, keys)}"
    if not _holds(sweep, name, strategy):
        return f"{heading(name)}: {strategy} goes {goes}, which may be chance: no difference to the first point holds."
    return f"{heading(name)}: {strategy} goes {goes}."


def _holds(sweep: Sweep, name: str, strategy: str) -> bool:
    """Whether a difference to the first point in this metric holds once all of the sweep are held against chance together."""
    mine = sweep.differences.filter((pl.col("strategy") == strategy) & (pl.col("metric") == name))
    return bool((mine["verdict"] != "no evidence").any())


def _interval(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {"mean": row["value"], "low": row["low"], "high": row["high"], "note": row["note"]}


def _support(sweep: Sweep) -> list[str]:
    lines = []
    unmoved = [name for name in sweep.strategies if not sweep.moved[name]]
    if unmoved and len(unmoved) < len(sweep.strategies):
        lines.append(f"Nothing that was varied concerns {listed(unmoved)}: the same at every point, drawn for comparison.")
    told = sweep.differences.filter(pl.col("verdict") != "no evidence")
    total = sweep.differences.height
    if total:
        hold = f"{told.height} hold" if told.height > 1 else "one holds" if told.height else "none holds"
        lines.append(
            f"Of {total} paired differences to the first point ({_where(sweep, 0)}), {hold} after Holm's correction for all."
        )
    drives = sorted(set(sweep.manifest["drives"]))
    each = f"{drives[0]} drives" if len(drives) == 1 else f"{drives[0]} to {drives[-1]} drives"
    strategies = "1 strategy" if len(sweep.strategies) == 1 else f"{len(sweep.strategies)} strategies"
    lines.append(f"{len(sweep.points)} points, {strategies}, {each} at each point, the same draws at all.")
    return lines


def _warnings(sweep: Sweep) -> list[str]:
    found = few_drives(min(sweep.manifest["drives"]), sweep.differences.height)
    lines = [found[0].upper() + found[1:] + "."] if found else []
    if sweep.manifest.get("precision_missed"):
        lines.append(
            f"{sweep.manifest['precision_missed']} of {len(sweep.points)} points did not reach {sweep.manifest['precision']}."
        )
    return lines


def _metric_sections(sweep: Sweep) -> list[Section]:
    sections = []
    lead = sweep.manifest["lead"]
    for at, name in enumerate([lead, *(name for name in sweep.metrics if name != lead)]):
        if not any(sweep.cell(point, strategy, name) for point in range(len(sweep.points)) for strategy in sweep.strategies):
            continue
        key = f"metric-{at}"
        sections.append(Section(key, heading(name), (), _figures(sweep, name, key), [_table(sweep, name, folded=at > 0)]))
    return sections


def _figures(sweep: Sweep, name: str, key: str) -> list[Shown]:
    axes = [axis["key"] for axis in sweep.axes]
    figures = []
    if len(axes) == 1:
        figures.append(
            Shown(f"{key}-lines", heading(name), _line_caption(sweep, name, axes[0]), sweep_lines(sweep, name, axes[0]))
        )
        return figures
    across, panels = _across_and_panels(sweep)
    caption = _line_caption(sweep, name, across, panels)
    figures.append(Shown(f"{key}-lines", heading(name), caption, sweep_lines(sweep, name, across, panels), wide=True))
    for number, strategy in enumerate(sweep.affected()):
        ranked = _ranked(sweep, name, strategy)
        if len(set(sweep.moved[strategy]) & {across, panels}) < 2 or not ranked or ranked[0][0] == ranked[-1][0]:
            continue  # one of the two is nothing to it: the lines say all
        caption = _heat_caption(sweep, name, strategy, across, panels)
        figure = sweep_heat(sweep, name, strategy, across, panels)
        figures.append(Shown(f"{key}-heat-{number}", heading(name), caption, figure))
    return figures


def _across_and_panels(sweep: Sweep) -> tuple[str, str]:
    """The key with the most numbers runs along the axis; the other of the first two has the panels."""
    first, second = sweep.axes[:2]
    if second["numbers"] is not None and (first["numbers"] is None or len(second["values"]) > len(first["values"])):
        first, second = second, first
    return first["key"], second["key"]


def _others(sweep: Sweep, keys: list[str]) -> str:
    others = [f"{key} = {value}" for key, value in sweep.points[0].items() if key not in keys]
    return f" The other keys stand at their first value ({', '.join(others)})." if others else ""


def _line_caption(sweep: Sweep, name: str, key: str, panels: str | None = None) -> str:
    keys = [key] if panels is None else [key, panels]
    points = sweep.slice(keys)
    parts = []
    for strategy in sweep.affected():
        if key not in sweep.moved[strategy]:
            continue
        ranked = [pair for pair in _ranked(sweep, name, strategy) if pair[1] in points]
        if len(ranked) > 1 and ranked[0][0] != ranked[-1][0]:
            best, worst = ranked[0][1], ranked[-1][1]
            mine = [one for one in keys if one in sweep.moved[strategy]]
            parts.append(
                f"{strategy} has its best mean at {_at(sweep, best, mine)} ({_mean(sweep, name, strategy, best)})"
                f" and its worst at {_at(sweep, worst, mine)} ({_mean(sweep, name, strategy, worst)})"
            )
    said = "; ".join(parts[:4]) + "." if parts else f"No strategy changes with {key}."
    many = next((len(axis["values"]) for axis in sweep.axes if axis["key"] == panels), 0)
    cut = f" The first {MOST_PANELS} of {many} values of {panels} are shown." if many > MOST_PANELS else ""
    hidden = out_of_sight(sweep, name, points)
    if hidden:
        said += f" Far outside, and not drawn: {listed(hidden)}."
    return said + f" Bars are 95{NBSP}% intervals of the mean over drives." + cut + _others(sweep, keys)


def _mean(sweep: Sweep, name: str, strategy: str, point: int) -> str:
    return mean_in_words(name, _interval(sweep.cell(point, strategy, name)))


def _at(sweep: Sweep, point: int, keys: list[str]) -> str:
    return ", ".join(f"{key} = {sweep.points[point][key]}".replace(" ", NBSP) for key in keys)


def _heat_caption(sweep: Sweep, name: str, strategy: str, across: str, down: str) -> str:
    points = sweep.slice([across, down])
    ranked = [pair for pair in _ranked(sweep, name, strategy) if pair[1] in points]
    if not ranked:
        return "No point has data."
    best, worst = ranked[0][1], ranked[-1][1]
    return (
        f"{strategy} over both keys: best mean at {_at(sweep, best, [across, down])} ({_mean(sweep, name, strategy, best)}),"
        f" worst at {_at(sweep, worst, [across, down])} ({_mean(sweep, name, strategy, worst)})." + _others(sweep, [across, down])
    )


def _table(sweep: Sweep, name: str, folded: bool) -> Table:
    unit = column_unit(name)
    keys = [axis["key"] for axis in sweep.axes]
    rows = []
    for point, values in enumerate(sweep.points[:_MOST_ROWS]):
        cells = [_cell(sweep.cell(point, strategy, name), name) for strategy in sweep.strategies]
        rows.append([*(Cell(values[key]) for key in keys), *cells])
    more = (
        f" The first {_MOST_ROWS} of {len(sweep.points)} points; all are in sweep.csv." if len(sweep.points) > _MOST_ROWS else ""
    )
    whose = _whose(sweep, name)
    note = f"{metric(name).doc}{f', {unit}' if unit else ''}{whose}: mean over the drives, below it the 95{NBSP}% interval.{more}"
    return Table("All points" if folded else "", [*keys, *sweep.strategies], rows, len(keys), note, folded)


def _whose(sweep: Sweep, name: str) -> str:
    """Of a fleet's sums those of the simulated vehicles are said to be that; "" for all others."""
    fleet = sweep.manifest["settings"].get("fleet")
    if fleet is None or name.startswith("fleet.") or metric(name).unit not in ("count", "bytes"):
        return ""
    return f", of the {fleet['simulated'] or fleet['vehicles']:,} simulated vehicles together"


def _cell(row: dict[str, Any] | None, name: str) -> Cell:
    if row is None or row["value"] is None:
        return Cell("–")
    if not math.isfinite(row["value"]):
        return Cell("beyond run")
    return Cell(*in_table(name, _interval(row) or {}))


def _differences(sweep: Sweep) -> Section:
    frame = sweep.differences
    keys = [axis["key"] for axis in sweep.axes]
    shown = frame.sort("p_holm", "point", nulls_last=True, maintain_order=True).head(_MOST_DIFFERENCES)
    rows = []
    for row in shown.iter_rows(named=True):
        text = difference(row["metric"], row["difference"], row["low"], row["high"], signed=True)
        mark = {"better": "better", "worse": "worse"}.get(row["verdict"], "quiet")
        p = "" if row["p_holm"] is None else f"p {'< 0.001' if row['p_holm'] < 0.001 else format(row['p_holm'], '.3f')}"
        where = [Cell(sweep.points[row["point"]][key]) for key in keys]
        same = row["difference"] == 0.0 and row["low"] is None
        verdict = Cell("no difference", "", mark) if same else Cell(row["verdict"], p, mark)
        rows.append([Cell(row["strategy"]), *where, Cell(row["metric"]), Cell("–" if same else text), verdict])
    about = (
        f"Each point minus the first ({_where(sweep, 0)}) on the same draws, drive by drive. {frame.height} comparisons are one"
        f" family: of so many some would seem to differ at 95{NBSP}% by chance alone, so the verdict is by Holm's adjusted"
        " p-value (below 0.05), which holds the chance of a single false one at 5 %. The intervals are of each comparison alone."
    )
    if not rows:
        return Section("differences", "Differences", ["There is one point, or nothing that was varied changes anything."])
    more = f" The {_MOST_DIFFERENCES} clearest of {frame.height}; all are in differences.csv." if frame.height > len(rows) else ""
    table = Table("", ["strategy", *keys, "metric", "difference", "verdict"], rows, len(keys) + 2, more.strip())
    holds = (frame["verdict"] != "no evidence").any()
    return Section("differences", "What holds" if holds else "What does not hold", [about], (), [table])


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    manifest = sweep.manifest
    facts = [
        ("seed", str(manifest["seed"])),
        ("points", f"{len(sweep.points)}" + (f", {manifest['left_out']} left out by where" if manifest["left_out"] else "")),
        ("drives", ", ".join(str(n) for n in sorted(set(manifest["drives"])))),
        ("precision", str(manifest["precision"] or "not asked for")),
        ("digest of the units", str(manifest["digest"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest["versions"].items()))),
    ]
    facts += [("varied", f"{axis['key']}: {', '.join(axis['values'])}") for axis in sweep.axes]
    facts += [("input", f"{one['file']}, sha256 {one['sha256'][:16]}…") for one in manifest["inputs"]]
    return facts


def _assumptions(sweep: Sweep) -> list[str]:
    lines = [
        f"Intervals are {percent(CONFIDENCE)} percentile bootstrap intervals over drives ({RESAMPLES:,} resamples); a value"
        " without one did not vary, or comes from a single drive.",
        "Every point has the same seed: what the varied keys do not touch is drawn alike, so that differences are paired.",
        "One point alone can be looked at in full: python -m sim run with --set KEY=VALUE for each of its keys.",
    ]
    if sweep.manifest["precision"]:
        lines.append(
            f"The number of drives was chosen to measure {sweep.manifest['precision']} for {listed(sweep.manifest['judged'])};"
            " an interval at which one stops because it is narrow holds slightly less than its 95 %."
        )
    return lines
