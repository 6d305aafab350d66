"""The drive as lanes on one time axis: road, signal, cell, address, and what each strategy was doing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.measure.recovery import Episode
from sim.measure.run_episodes import run_episodes
from sim.record.read import Run
from sim.report.axes_words import nice_step
from sim.report.canvas import PAGE_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.lane_drawing import blocks, draw_key, key_rows, state_bar, text_width_in, time_axis, used_labels
from sim.report.lanes import PARKED, POLLING, REACHABLE, Lane, lanes
from sim.report.numbers import NBSP, seconds
from sim.report.palette import ALERT, INK, MUTED, RULE, styles
from sim.report.spread import shortened

_MOST_POINTS = 900
_LEFT, _RIGHT = 0.95, 0.12
#: Disruptions worth a mark on the whole drive; handovers show in the lane of the cells.
_MARKED = {
    "reassignment": "new address",
    "rebind": "NAT rebind",
    "radio_link_failure": "radio link failure",
    "silence": "silence",
    "coverage_gap": "coverage gap",
    "log_gap": "gap in the log",
    "detach": "detached",
    "tower_outage": "tower out",
    "region_outage": "region out",
    "node_crash": "node crash",
    "node_upgrade": "node upgrade",
    "store_failover": "store failover",
    "store_crash": "store crash",
    "balancer_change": "balancer change",
    "dns_outage": "DNS outage",
    "dns_stale": "stale DNS",
    "api_errors": "API errors",
    "certificate_expiry": "certificate expired",
}


@drawn
def drive_lanes(
    run: Run, episodes: Mapping[str, Sequence[Episode]] | None = None, replication: int = 0, vehicle: int = 0
) -> Figure:
    """One drive from start to end with a lane for each strategy. `episodes`: `run_episodes(run)` where the caller has them.

    Lanes of the drive without data (no positions, no RSRP) are left out.
    """
    episodes = run_episodes(run) if episodes is None else episodes
    here = (pl.col("replication") == replication) & (pl.col("vehicle") == vehicle)
    timeline = run.timeline.filter(here).sort("start_s")
    ends = run.vehicles.filter(here)["end_s"]
    end_s = float(ends[0]) if ends.len() else float(timeline["start_s"].max() or 1.0)  # type: ignore[arg-type]
    timeline = timeline.filter(pl.col("start_s") <= end_s)
    rows = lanes(run, episodes, replication, 0.0, end_s, vehicle)
    labels = used_labels(part for row in rows for part in row.segments)
    key_in = 0.2 * len(key_rows(labels, PAGE_IN)) + 0.08
    road = timeline["x_m"].drop_nulls().len() > 1 and _way(timeline)[-1] > 1.0
    signal = timeline["rsrp_dbm"].drop_nulls().n_unique() > 1
    parked = bool(timeline["parked"].any())
    names_in = 0.94 if parked else 0.66
    parts = [("marks", 0.3), *([("road", 0.5)] if road else []), *([("signal", 0.85)] if signal else []), ("names", names_in)]
    heights = [*parts, ("lanes", 0.42 * len(rows) + 0.06)]
    total = sum(height for _, height in heights) + 0.42 + key_in
    figure = new_figure(PAGE_IN, total)
    width = PAGE_IN - _LEFT - _RIGHT
    inch_per_s = width / end_s
    edge = total - 0.04
    drawings: dict[str, Axes] = {}
    for name, height in heights:
        edge -= height
        axes = axes_in(figure, _LEFT, edge, width, height - (0.1 if name == "signal" else 0.0))
        axes.set_xlim(0.0, end_s)
        if name != "signal":
            bare(axes)
            axes.set_ylim(0.0, height)
        drawings[name] = axes
    _marks(drawings["marks"], run.disruptions.filter(here), inch_per_s, end_s, list(drawings.values())[1:])
    if road:
        _road(drawings["road"], timeline, run.manifest, end_s, inch_per_s)
    if signal:
        _signal(drawings["signal"], timeline, end_s)
    _cells(drawings["names"], timeline, end_s, inch_per_s)
    looks = styles([row.strategy for row in rows])
    axes = drawings["lanes"]
    for number, row in enumerate(rows):
        top = 0.42 * (len(rows) - number)
        state_bar(axes, row.segments, looks[row.strategy], top - 0.19, top - 0.37, inch_per_s, words=False)
        look = looks[row.strategy]
        face = "none" if look.hollow else look.colour
        at = (0.05 / inch_per_s,), (top - 0.09,)
        axes.plot(*at, marker=look.marker, markersize=5, color=look.colour, markerfacecolor=face, clip_on=False)
        axes.text(0.15 / inch_per_s, top - 0.09, shortened(row.strategy, 60), ha="left", va="center", fontsize=TEXT_PT, color=INK)
        words = _unreachable(row, end_s, parked)
        axes.text(end_s, top - 0.09, words, ha="right", va="center", fontsize=SMALL_PT, color=MUTED)
    axes.spines["bottom"].set_visible(True)
    time_axis(axes, 0.0, end_s, width)
    figure.text(0.0125, (key_in + 0.2) / total, "time", fontsize=SMALL_PT, color=MUTED, va="center")
    draw_key(figure, labels, PAGE_IN)
    return figure


def _unreachable(row: Lane, end_s: float, parked: bool) -> str:
    """How long no message could flow: in the recovery episodes, which know no parking, else by what the lane shows."""
    if not parked:
        down = unreachable_s(row.episodes, end_s)
        return f"unreachable for {seconds(down)}" if down else "reachable throughout"
    lengths: dict[str, float] = {}
    for part in row.segments:
        lengths[part.label] = lengths.get(part.label, 0.0) + part.end_s - part.start_s
    down = sum(length for label, length in lengths.items() if label not in (REACHABLE, POLLING, PARKED))
    away = lengths.get(PARKED, 0.0)
    said = [f"{seconds(away)} parked and disconnected"] if away else []
    said += [f"unreachable for {seconds(down)}"] if down else []
    return ", ".join(said) or "reachable throughout"


def unreachable_s(episodes: Iterable[Episode], end_s: float) -> float:
    """How long no message could flow up to the end of the drive, in these recovery episodes."""
    return sum(min(one.end_s, end_s) - one.start_s for one in episodes if one.start_s < end_s)


def _way(timeline: pl.DataFrame) -> Any:
    """Distance driven in m at each row of the timeline."""
    x, y = (timeline[column].forward_fill().backward_fill().to_numpy() for column in ("x_m", "y_m"))
    return np.concatenate(([0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))))


def _marks(axes: Axes, disruptions: pl.DataFrame, inch_per_s: float, end_s: float, below: Sequence[Axes]) -> None:
    """Names of the disruptions above hairlines through all lanes; where they would overlap the new addresses keep theirs."""
    taken: list[tuple[float, float]] = []
    rows = disruptions.filter(pl.col("kind").is_in(list(_MARKED)) & (pl.col("start_s") <= end_s))
    rows = rows.with_columns(first=pl.col("kind") == "reassignment").sort("first", "start_s", descending=[True, False])
    for kind, start_s, after in rows.select("kind", "start_s", "after").iter_rows():
        for lane in below:
            lane.axvline(start_s, color=ALERT, linewidth=0.6, alpha=0.55, zorder=0.5)
        axes.plot((start_s, start_s), (0.0, 0.08), color=ALERT, linewidth=0.8)
        words = f"{_MARKED[kind]} {after}" if kind == "reassignment" and after else _MARKED[kind]
        half = text_width_in(words, SMALL_PT) / inch_per_s / 2.0
        at = min(max(start_s, half), end_s - half)
        if all(at + half < low or at - half > high for low, high in taken):
            axes.text(at, 0.17, words, ha="center", va="center", fontsize=SMALL_PT, color=ALERT)
            taken.append((at - half, at + half))


def _side_name(axes: Axes, height: float, text: str) -> None:
    axes.text(-0.011, height, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=SMALL_PT, color=MUTED)


def _road(axes: Axes, timeline: pl.DataFrame, manifest: Mapping[str, Any], end_s: float, inch_per_s: float) -> None:
    """The road unrolled along the time: kilometres below the line, towers above where the vehicle passes them."""
    way = _way(timeline)
    times = timeline["start_s"].to_numpy()
    axes.plot((0.0, end_s), (0.2, 0.2), color=INK, linewidth=1.4, solid_capstyle="butt")
    step = nice_step(way[-1] / 1000.0, 6)
    taken = -1.0
    for number in range(int(way[-1] / 1000.0 / step + 1e-9) + 1):
        at = float(np.interp(step * number * 1000.0, way, times))
        text = f"{step * number:g}{NBSP}km"
        half = text_width_in(text, SMALL_PT - 0.5) / inch_per_s / 2
        if at - half < taken:
            continue
        taken = at + half
        axes.plot((at, at), (0.2, 0.16), color=INK, linewidth=0.8)
        place = "left" if at < half else "right" if at > end_s - half else "center"
        axes.text(at, 0.08, text, ha=place, va="center", fontsize=SMALL_PT - 0.5, color=MUTED)
    x, y = (timeline[column].forward_fill().backward_fill().to_numpy() for column in ("x_m", "y_m"))
    taken = -1.0
    towers = manifest.get("settings", {}).get("drive", {}).get("towers") or ()
    passes = []
    for tower in towers:
        distance = np.hypot(x - float(tower["at_m"][0]), y - float(tower["at_m"][1]))
        passes.append((float(times[int(np.argmin(distance))]), str(tower["id"])))
    for at, name in sorted(passes):
        axes.plot((at,), (0.245,), marker="^", markersize=5, color=INK, clip_on=False)
        half = text_width_in(name, SMALL_PT) / inch_per_s / 2
        centre = min(max(at, half), end_s - half)
        if centre - half > taken:
            axes.text(centre, 0.37, name, ha="center", va="center", fontsize=SMALL_PT, color=INK)
            taken = centre + half
    _side_name(axes, 0.2, "road")


def _signal(axes: Axes, timeline: pl.DataFrame, end_s: float) -> None:
    rows = timeline.select("start_s", "rsrp_dbm").drop_nulls()
    thin = max(rows.height // _MOST_POINTS, 1)
    if thin > 1:
        # the weakest of each group stays: a dip is what matters
        rows = (
            rows.with_columns((pl.int_range(pl.len()) // thin).alias("group"))
            .group_by("group", maintain_order=True)
            .agg(pl.col("start_s").first(), pl.col("rsrp_dbm").min())
        )
    low, high = float(rows["rsrp_dbm"].min()), float(rows["rsrp_dbm"].max())  # type: ignore[arg-type]
    shape = "default"
    if bool(timeline["parked"].any()):
        # a parked vehicle's one row holds for hours, and no line leads through hours without a cell
        shape = "steps-post"
        silent = timeline.select("start_s", "rsrp_dbm").filter(pl.col("rsrp_dbm").is_null())
        rows = pl.concat([rows.select("start_s", "rsrp_dbm"), silent.with_columns(pl.lit(math.nan).alias("rsrp_dbm"))]).sort(
            "start_s"
        )
    axes.plot(rows["start_s"].to_numpy(), rows["rsrp_dbm"].to_numpy(), color=INK, linewidth=0.8, zorder=2, drawstyle=shape)
    axes.set_ylim(low - 4.0, high + 4.0)
    step = nice_step(high - low + 8.0, 5)
    axes.set_yticks([tick * step for tick in range(int((low - 4.0) // step) + 1, int((high + 4.0) // step) + 1)])
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.tick_params(axis="y", labelsize=SMALL_PT - 0.5, length=2)
    axes.spines["bottom"].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    place: Any = {"transform": axes.transAxes, "rotation": 90, "ha": "center", "va": "center"}
    axes.text(-0.052, 0.5, "RSRP, dBm", fontsize=SMALL_PT, color=MUTED, **place)


def _cells(axes: Axes, timeline: pl.DataFrame, end_s: float, inch_per_s: float) -> None:
    for column, low in (("cell", 0.36), ("address", 0.08)):
        blocks(axes, spans_of(timeline, column, end_s), low + 0.22, low, inch_per_s)
        _side_name(axes, low + 0.11, column)
    if bool(timeline["parked"].any()):
        words = timeline.with_columns(pl.when("parked").then(pl.lit("parked")).otherwise(pl.lit("drive")).alias("ignition"))
        blocks(axes, spans_of(words, "ignition", end_s), 0.86, 0.64, inch_per_s)
        _side_name(axes, 0.75, "ignition")


def spans_of(timeline: pl.DataFrame, column: str, end_s: float) -> list[tuple[float, float, str]]:
    """Stretches in which a column of one vehicle's timeline keeps its value: (start, end, value)."""
    spans: list[tuple[float, float, str]] = []
    for start_s, value in timeline.select("start_s", column).iter_rows():
        text = value or ""
        if spans and spans[-1][2] == text:
            continue
        if spans:
            spans[-1] = (spans[-1][0], max(start_s, 0.0), spans[-1][2])
        spans.append((max(start_s, 0.0), end_s, text))
    return [span for span in spans if span[1] > span[0]]
