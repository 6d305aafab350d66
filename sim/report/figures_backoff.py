"""Attempts and the waits before them: each attempt a mark with its outcome, the waits as rungs of a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sim.report.axes_words import duration_tick
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, drawn, new_figure
from sim.report.lane_drawing import time_axis
from sim.report.palette import ALERT, INK, MUTED, RULE, styles
from sim.report.spread import shortened

_GAP_S = 90.0  # attempts further apart belong to different troubles
_MOST_STRATEGIES = 10
_MOST_ATTEMPTS = 60  # of a series, from its first; a night without coverage has thousands, one like the other
_PANEL_IN = 0.86
_READY = pl.col("outcome") == "ready"
_DONE = pl.coalesce(pl.when(_READY).then("ready_s").otherwise("noticed_s"), "begun_s").alias("done_s")


@dataclass(frozen=True, slots=True)
class Attempts:
    """A series of attempts of one strategy in one drive, by time: (asked, ended, ordered wait, failed, reason)."""

    strategy: str
    replication: int
    purpose: str
    rows: tuple[tuple[float, float, float, bool, str], ...]

    @property
    def shown(self) -> tuple[tuple[float, float, float, bool, str], ...]:
        """Those that are drawn."""
        return self.rows[:_MOST_ATTEMPTS]

    @property
    def failed(self) -> int:
        return sum(row[3] for row in self.rows)


def hardest_attempts(connections: pl.DataFrame, strategies: Sequence[str] | None = None) -> list[Attempts]:
    """For each strategy with a failed attempt: the run of attempts, in any drive, with the most failures.

    Attempts of one purpose follow each other within 90 s of the end of the one before, and the run ends with the first that
    was ready. Of equal ones the first.
    """
    order = list(strategies) if strategies is not None else connections["strategy"].unique(maintain_order=True).to_list()
    troubled = connections.filter(pl.col("outcome") == "failed").select("strategy", "replication", "vehicle", "purpose").unique()
    rows = (
        connections.join(troubled, on=["strategy", "replication", "vehicle", "purpose"], how="semi")
        .with_columns(pl.coalesce("asked_s", "started_s").alias("begun_s"))
        .filter(pl.col("begun_s").is_not_null())
        .with_columns(_DONE)
        .sort("strategy", "replication", "vehicle", "purpose", "begun_s", "attempt")
    )
    best: dict[str, Attempts] = {}
    columns = ("begun_s", "done_s", "waited_s", "outcome", "reason")
    for (name, replication, _vehicle, purpose), part in rows.group_by(
        "strategy", "replication", "vehicle", "purpose", maintain_order=True
    ):
        series: list[tuple[float, float, float, bool, str]] = []
        for begun, done, waited, outcome, reason in [*part.select(columns).iter_rows(), (None, None, None, "", "")]:
            apart = begun is None or (series and begun - series[-1][1] > _GAP_S)
            if series and (apart or not series[-1][3]):
                found = Attempts(str(name), int(replication), str(purpose), tuple(series))
                # the reconnection itself comes before what else failed meanwhile
                kept = best.get(found.strategy)
                if found.failed and (kept is None or _rank(found) > _rank(kept)):
                    best[found.strategy] = found
                series = []
            if begun is not None and (series or outcome == "failed"):
                series.append((begun, done, float(waited or 0.0), outcome == "failed", reason or ""))
    return [best[name] for name in order if name in best]


def _rank(attempts: Attempts) -> tuple[bool, int]:
    return attempts.purpose != "post", attempts.failed


@drawn
def backoff_ladder(connections: pl.DataFrame, strategies: Sequence[str] | None = None) -> Figure:
    """A panel for each strategy that had a failed attempt: its hardest run of attempts, on a common axis of time.

    A rung is as long and as high as the wait that was ordered before an attempt; crosses failed, the filled mark got
    through. `connections`: rows of the table of that name.
    """
    hardest = hardest_attempts(connections, strategies)[:_MOST_STRATEGIES]
    looks = styles(list(strategies) if strategies is not None else connections["strategy"].unique(maintain_order=True).to_list())
    n = max(len(hardest), 1)
    total = n * _PANEL_IN + 0.72
    figure = new_figure(COLUMN_IN, total)
    width = COLUMN_IN - 0.72
    longest = max((one.shown[-1][1] - one.shown[0][0] for one in hardest), default=1.0)
    highest = max((row[2] for one in hardest for row in one.shown), default=0.0)
    title = "Ordered wait before each attempt (log scale)"
    figure.text(0.1 / COLUMN_IN, 1 - 0.05 / total, title, va="top", fontsize=TEXT_PT, color=MUTED)
    for number, one in enumerate(hardest):
        axes = axes_in(figure, 0.6, total - 0.28 - (number + 1) * _PANEL_IN, width, _PANEL_IN - 0.3)
        axes.set_xlim(-0.02 * longest, longest * 1.03 + 0.5)
        _panel(axes, one, looks[one.strategy].colour, highest)
        axes.text(0.0, 1.22, shortened(one.strategy, 26), transform=axes.transAxes, va="center", fontsize=TEXT_PT, color=INK)
        fate = "none got through" if one.rows[-1][3] else "then one got through"
        words = f"{one.purpose}, drive {one.replication}: {one.failed:,} failed, {fate}"
        if len(one.rows) > len(one.shown):
            words += f" (first {len(one.shown)} shown)"
        axes.text(1.0, 1.22, words, transform=axes.transAxes, ha="right", va="center", fontsize=SMALL_PT, color=MUTED)
        time_axis(axes, 0.0, longest * 1.03 + 0.5, width)
        if number < len(hardest) - 1:
            axes.tick_params(axis="x", labelbottom=False, length=0)
        else:
            axes.set_xlabel("time since the first of these attempts")
    if not hardest:
        figure.text(0.5, 0.5, "no attempt failed", ha="center", va="center", color=MUTED)
    return figure


def _panel(axes: Axes, one: Attempts, colour: str, highest: float) -> None:
    zero = one.rows[0][0]
    top = max(highest, 1.0)
    axes.set_yscale("symlog", linthresh=0.5, linscale=0.5)
    axes.set_ylim(-0.15, top * 2.0)
    ticks = [0.0, *(tick for tick in (1.0, 10.0, 60.0, 600.0) if tick <= top * 1.2)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels(["none", *(duration_tick(tick) for tick in ticks[1:])])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", labelsize=SMALL_PT - 0.5, length=2)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    last_at, last_wait = None, 0.0
    for begun, done, waited, failed, _reason in one.shown:
        at = begun - zero
        if waited > 0.0:
            rung = max(at - waited, last_at if last_at is not None else at - waited)
            if last_at is not None:
                axes.plot((rung, rung), (last_wait, waited), color=colour, linewidth=1.0, alpha=0.55)
            axes.plot((rung, at), (waited, waited), color=colour, linewidth=1.6)
        axes.plot((at, done - zero), (waited, waited), color=ALERT if failed else colour, linewidth=0.9, linestyle=(0, (1, 1)))
        axes.plot(
            (at,),
            (waited,),
            marker="x" if failed else "o",
            markersize=5,
            markeredgewidth=1.4,
            linestyle="none",
            color=ALERT if failed else colour,
            zorder=4,
            clip_on=False,
        )
        last_at, last_wait = done - zero, waited
