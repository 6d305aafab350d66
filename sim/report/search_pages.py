"""The reports of a sensitivity analysis and of a tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.report.figures_search import sensitivity_bars, tuning_front
from sim.report.metric_words import heading, short_name
from sim.report.numbers import listed, percent, significant, valued
from sim.report.study_page import Cell, Page, Section, Shown, Table, write_page


def write_sensitivity_report(
    folder: Path, title: str, rows: pl.DataFrame, facts: Sequence[tuple[str, str]], command: str
) -> Path:
    """Write the page of a sensitivity analysis; `rows` are those of sensitivity.csv."""
    sobol = "ST" in rows.columns
    size = "ST" if sobol else "mu_star"
    sections: list[Section] = []
    sentences: list[str] = []
    unclear: list[str] = []
    for at, (strategy, name) in enumerate(rows.select("strategy", "metric").unique(maintain_order=True).iter_rows()):
        mine = rows.filter(strategy=strategy, metric=name)
        if mine[size].is_null().all():
            sentences.append(f"No key moves {short_name(name)} of {strategy}.")
            continue
        first = mine.sort(size, descending=True, nulls_last=True).row(0, named=True)
        by = (
            f"{percent(min(max(first['ST'], 0.0), 1.0))} of its variance"
            if sobol
            else f"{valued(name, first['mu_star'])} on average"
        )
        sentence = f"{heading(name)} of {strategy} is driven most by {first['key']} ({by})."
        if stands_out(mine, size):
            sentences.append(sentence)
        else:
            sentence = f"The samples are too few to say which key drives {short_name(name)} of {strategy} most."
            unclear.append(sentence)
        figure = Shown(f"sensitivity-{at}", heading(name), sentence + _reading(sobol), sensitivity_bars(mine))
        cells = [
            [
                Cell(row["key"]),
                *(Cell(significant(row[column]) if row[column] is not None else "–") for column in rows.columns[3:]),
            ]
            for row in mine.iter_rows(named=True)
        ]
        table = Table("In numbers", ["key", *rows.columns[3:]], cells, 1, metric(name).doc, folded=True)
        sections.append(Section(f"s{at}", f"{strategy}: {short_name(name)}", (), [figure], [table]))
    page = Page(
        title, f"handover lab, sensitivity ({'Sobol' if sobol else 'Morris'})", f"{rows['key'].n_unique()} keys.",
        [*sentences, *unclear][0], [*sentences, *unclear][1:],
        ["Intervals are as wide as what they are about, or as what parts two keys: take more --samples."] if unclear else (),
        sections, {}, command, list(facts),
        [
            "Every point has the same seed: what is seen is what the keys do, on these drives.",
            "Intervals are 95 % bootstrap intervals over the samples; where they hold 0 a key is not shown to matter.",
        ],
    )  # fmt: skip
    return write_page(folder, page)


def stands_out(rows: pl.DataFrame, size: str) -> bool:
    """Whether the samples carry that one key drives a metric most: its interval is without 0, and so is that of its lead."""
    ordered = rows.sort(size, descending=True, nulls_last=True)
    sizes = [value or 0.0 for value in ordered[size]]
    halves = [math.inf if value is None else value for value in ordered[f"{size}_conf"]]
    if sizes[0] <= halves[0]:
        return False
    return len(sizes) == 1 or sizes[0] - sizes[1] > math.hypot(halves[0], halves[1])


def _reading(sobol: bool) -> str:
    if sobol:
        return " Where grey reaches far beyond blue the key works together with others."
    return " The mean absolute change when the key goes over its whole range."


def _tuning_headline(best_trial: int, moved: Sequence[str], best: Mapping[str, float], said: str) -> str:
    """Best on the first objective that anything moves: on one that nothing moves all trials are."""
    if not moved:
        return f"Nothing that was tried moves an objective: {said} in every trial."
    return f"Trial {best_trial} is best on {short_name(moved[0])}: {said}."


def write_tuning_report(
    folder: Path,
    title: str,
    trials: pl.DataFrame,
    keys: Sequence[str],
    objectives: Sequence[str],
    best: Mapping[str, float],
    best_trial: int,
    facts: Sequence[tuple[str, str]],
    command: str,
    found: str,
) -> Path:
    """Write the page of a tuning; `trials` are those of trials.csv, `found` the YAML of the best one."""
    front = trials.filter(pl.col("front"))
    moved = [name for name in objectives if trials[name].n_unique() > 1]
    still = [name for name in objectives if name not in moved]
    figures = []
    for at, other in enumerate(moved[1:]):
        caption = (
            f"A dot for each of {trials.height} trials. Orange: the {front.height} that no other one beats on all objectives,"
            " with the number of the trial; a dot that seems beaten here is better on another objective."
        )
        figures.append(Shown(f"front-{at}", "Front", caption, tuning_front(trials, other, moved[0])))
    said = ", ".join(f"{short_name(name)} {valued(name, value)}" for name, value in best.items())
    rows = [
        [Cell(str(row["trial"]), mark="best" if row["trial"] == best_trial else ""), *(Cell(row[key]) for key in keys),
         *(Cell(valued(name, row[name])) for name in objectives)]
        for row in front.sort(objectives[0], descending=metric(objectives[0]).better == "higher").iter_rows(named=True)
    ]  # fmt: skip
    table = Table(
        "",
        ["trial", *keys, *(short_name(name) for name in objectives)],
        rows,
        len(keys) + 1,
        f"Best on {short_name((moved or list(objectives))[0])} first.",
    )
    unmoved = [f"{short_name(name)} ({valued(name, best[name])})" if name in best else short_name(name) for name in still]
    support = [f"Nothing that was tried moves {listed(unmoved)}."] if still and moved else []
    page = Page(
        title, "handover lab, tuning", f"{trials.height} trials over {listed(list(keys))}.",
        _tuning_headline(best_trial, moved, best, said), support,
        [
            "The best of many trials on the same drives is better than it will be on others: run it with another --seed before"
            " it is believed."
        ],
        [
            Section("front", "The front", (), figures, [table]),
            Section("found", "The scenario of the best trial", [f"In tuned.yaml; python -m sim run accepts it. {found}"]),
        ],
        {}, command, list(facts), [],
    )  # fmt: skip
    return write_page(folder, page)
