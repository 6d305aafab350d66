"""What became of the messages that did not simply arrive: lost by cause, pending, late, handed over twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sim.measure.delivery import WORKLOAD_KINDS
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.numbers import percent
from sim.report.palette import INK, MUTED, RULE, styles
from sim.report.spread import shortened

#: Fate -> words; every other fate is a cause of loss.
FATES = {"pending": "pending at the end", "late": "delivered late", "duplicate": "handed over again"}


def ledger_rows(messages: pl.DataFrame, strategies: Sequence[str] | None = None) -> pl.DataFrame:
    """A row per strategy, kind and fate with its count: strategy, kind, fate, cause (empty: not a loss), messages, created.

    `created` is the strategy's number of messages of all kinds. Probes are left out.
    """
    work = messages.filter(pl.col("kind").is_in(WORKLOAD_KINDS))
    lost = work.filter(pl.col("outcome") == "lost")
    parts = [
        lost.group_by("strategy", "kind", "cause").len("messages").with_columns(fate=pl.lit("lost")),
        _counted(work.filter(pl.col("outcome") == "pending"), "pending", pl.len()),
        _counted(work.filter(pl.col("late").fill_null(False)), "late", pl.len()),
        _counted(work.filter(pl.col("arrivals") > 1), "duplicate", (pl.col("arrivals") - 1).sum()),
    ]
    columns = ("strategy", "kind", "fate", "cause", "messages")
    rows = pl.concat([part.select(*columns[:4], pl.col("messages").cast(pl.Int64)) for part in parts])
    created = work.group_by("strategy").len("created").with_columns(pl.col("created").cast(pl.Int64))
    order = list(strategies) if strategies is not None else work["strategy"].unique(maintain_order=True).to_list()
    places = {name: place for place, name in enumerate(order)}
    return (
        rows.join(created, on="strategy", how="left")
        .filter(pl.col("strategy").is_in(order))
        .with_columns(place=pl.col("strategy").replace_strict(places, default=len(order), return_dtype=pl.Int32))
        .sort("place", "fate", "messages", "cause", "kind", descending=[False, True, True, False, False])
        .drop("place")
    )


def _counted(rows: pl.DataFrame, fate: str, amount: pl.Expr) -> pl.DataFrame:
    return rows.group_by("strategy", "kind").agg(amount.alias("messages")).with_columns(fate=pl.lit(fate), cause=pl.lit(""))


@drawn
def loss_ledger(messages: pl.DataFrame, strategies: Sequence[str] | None = None) -> Figure:
    """Count of messages by strategy and fate on a log axis. `messages`: rows of the table of that name.

    A strategy of which nothing was lost, late, pending or doubled has no row; without any row the figure says so.
    """
    rows = ledger_rows(messages, strategies)
    order = list(strategies) if strategies is not None else messages["strategy"].unique(maintain_order=True).to_list()
    looks = styles(order)
    lines: list[tuple[str, str, int, int]] = []
    for (name, fate, cause), part in rows.group_by("strategy", "fate", "cause", maintain_order=True):
        words = str(cause) if fate == "lost" else FATES[str(fate)]
        lines.append((str(name), words, int(part["messages"].sum()), int(part["created"][0])))
    groups = len({line[0] for line in lines})
    height = 0.23 * len(lines) + 0.34 * groups
    figure = new_figure(COLUMN_IN, max(height, 0.4) + 0.62)
    axes = axes_in(figure, 1.78, 0.52, 1.98, max(height, 0.4))
    most = max((line[2] for line in lines), default=1)
    axes.set_xscale("log")
    top = 10.0 ** max(math.ceil(math.log10(most * 1.2)), 1)
    axes.set_xlim(0.8, top)
    ticks = [10.0**power for power in range(round(math.log10(top)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels([f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(max(height, 0.4), 0.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("messages in all drives (log scale)")
    if not lines:
        words = "nothing was lost, late, pending or doubled"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=MUTED)
    left_of_axes = -1.7 / 1.98
    at, last = 0.0, ""
    beside: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
    for name, words, n, created in lines:
        look = looks[name]
        if name != last:
            at += 0.3
            axes.text(left_of_axes, at - 0.1, shortened(name, 40), fontsize=TEXT_PT, color=INK, fontweight="bold", **beside)
            at += 0.04
            last = name
        y = at + 0.115
        face = "none" if look.hollow else look.colour
        axes.plot((0.8, n), (y, y), color=look.colour, linewidth=1.1, alpha=0.6)
        axes.plot((n,), (y,), marker=look.marker, markersize=5.5, color=look.colour, markerfacecolor=face, clip_on=False)
        axes.text(-0.03, y, shortened(words, 26), ha="right", fontsize=SMALL_PT, color=MUTED, **beside)
        axes.text(1.06, y, f"{n:,}  ·  {percent(n / created)}", fontsize=SMALL_PT, color=INK, **beside)
        at += 0.23
    return figure
