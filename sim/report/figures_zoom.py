"""One disruption close up: what every strategy did around it, aligned, and each message on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.measure.drive_path import Event
from sim.measure.idle_ends import IDLE_KINDS
from sim.measure.recovery import CUTTING_KINDS, Episode, starts_episode
from sim.measure.run_episodes import run_episodes
from sim.record.read import Run
from sim.report.canvas import COLUMN_IN, SMALL_PT, TEXT_PT, axes_in, bare, drawn, new_figure
from sim.report.figures_drive import spans_of
from sim.report.lane_drawing import blocks, draw_key, key_rows, state_bar, time_axis, used_labels
from sim.report.lanes import REACHABLE, Lane, lanes
from sim.report.numbers import instant, seconds
from sim.report.palette import ALERT, INK, MUTED, RULE, SOFT, Style, styles
from sim.report.spread import shortened

BEFORE_S, AFTER_S, MOST_AFTER_S = 20.0, 60.0, 240.0
_LANE_IN = 0.8
_LEFT, _RIGHT = 0.12, 0.12

_KEY = (
    "Below a bar: messages from creation (above) to delivery (below), heavy if over 1 s; × lost.",
    "Above a bar: | a poll or heartbeat that was answered, × an attempt that failed.",
)

#: Kinds in the order in which they are shown.
KINDS = {
    "reassignment": "New address",
    "rebind": "NAT rebind",
    "nat_idle": "Connection forgotten by the NAT",
    "balancer_idle": "Connection forgotten by the balancer",
    "radio_link_failure": "Radio link failure",
    "silence": "Silence of the link",
    "coverage_gap": "Coverage gap",
    "log_gap": "Gap in the drive log",
    "detach": "Detached from the network",
    "node_crash": "Crash of a node",
    "node_upgrade": "Upgrade of a node",
    "store_failover": "Failover of the session store",
    "store_crash": "Crash of the session store",
    "balancer_change": "Change of the balancer",
    "dns_outage": "DNS outage",
    "dns_stale": "Stale DNS answer",
    "api_errors": "Errors of the API",
    "certificate_expiry": "Expired certificate",
    "handover": "Handover",
    "held": "Packets held back",
}
_HARMLESS = ("handover", "held")  # they delay packets and lose none
#: They cut nobody off, but hold back messages, or make an attempt fail.
PROLONGING = ("store_failover", "store_crash", "dns_outage", "dns_stale", "api_errors", "certificate_expiry")


def zoom_events(run: Run, episodes: Mapping[str, Sequence[Episode]]) -> list[dict[str, Any]]:
    """One disruption of each kind that occurs, as rows of the table: in drive 0 where there is one, else in any drive.

    What a NAT or a balancer forgot is taken from the episodes: it happens to a strategy, not to the drive.

    Of several the one with the longest recovery is shown, and of equal ones the longest, a minute before the end of the drive
    where there is one and with no other near. A handover is shown only where none is, so that it is seen for itself.
    """
    found: list[dict[str, Any]] = []
    events = run.disruptions.filter(pl.col("vehicle") == 0)
    ends = dict(run.vehicles.filter(pl.col("vehicle") == 0).select("replication", "end_s").iter_rows())
    deaths = events.filter(pl.col("kind").is_in([kind for kind in KINDS if kind not in _HARMLESS]))
    forgotten = _forgotten(episodes)
    for kind in KINDS:
        rows = forgotten.get(kind) or events.filter(pl.col("kind") == kind).sort("replication", "start_s").to_dicts()
        rows = [row for row in rows if row["start_s"] < ends.get(row["replication"], 0.0)]
        if kind in _HARMLESS:
            rows = [row for row in rows if not _near(row, deaths)]
        elif kind in CUTTING_KINDS:
            # those that cut somebody off, and of them one with nothing else near, in whatever drive
            rows = [row for row in rows if longest_recovery_s(row, episodes)] or rows
            rows = [row for row in rows if not _near(row, deaths)] or rows
        elif found and kind not in PROLONGING:
            # a cut that TCP hides is of no interest beside those that strategies must recover from
            rows = [row for row in rows if starts_episode(Event(kind, row["start_s"], row["end_s"]))]
        whole = [row for row in rows if row["start_s"] + AFTER_S <= ends[row["replication"]]]
        first = [row for row in whole or rows if row["replication"] == 0] or whole or rows
        alone = [row for row in first if not _near(row, deaths)]
        if rows:
            found.append(max(alone or first, key=lambda row: _telling(row, episodes)))
    return found


def _forgotten(episodes: Mapping[str, Sequence[Episode]]) -> dict[str, list[dict[str, Any]]]:
    """Kind -> what began an episode of vehicle 0 under some strategy though nothing happened to the drive, as rows."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in (one for own in episodes.values() for one in own if one.vehicle == 0):
        for event in one.events:
            if event.kind in IDLE_KINDS:
                row = {"replication": one.replication, "vehicle": 0, "kind": event.kind, "before": "", "after": "", "cause": ""}
                found.setdefault(event.kind, []).append({**row, "start_s": event.start_s, "end_s": event.end_s})
    return {kind: sorted(rows, key=lambda row: (row["replication"], row["start_s"])) for kind, rows in found.items()}


def _telling(row: Mapping[str, Any], episodes: Mapping[str, Sequence[Episode]]) -> tuple[float, float, float]:
    return (
        longest_recovery_s(row, episodes, ended=True),
        row["end_s"] - row["start_s"],
        -row["replication"] * 1e6 - row["start_s"],
    )


def _near(row: Mapping[str, Any], others: pl.DataFrame) -> bool:
    """Whether another of these disruptions falls into the zoom."""
    window = (pl.col("start_s") < row["start_s"] + AFTER_S) & (pl.col("end_s") > row["start_s"] - BEFORE_S)
    near = others.filter((pl.col("replication") == row["replication"]) & window)
    return near.filter((pl.col("kind") != row["kind"]) | (pl.col("start_s") != row["start_s"])).height > 0


def episode_of(row: Mapping[str, Any], episodes: Sequence[Episode]) -> Episode | None:
    """The recovery episode that a disruption began or fell into; None where it began none."""
    event = Event(row["kind"], row["start_s"], row["end_s"])
    if not starts_episode(event):
        return None
    for one in episodes:
        if one.replication == row["replication"] and one.vehicle == row["vehicle"] and one.start_s <= row["start_s"] < one.end_s:
            return one
    return None


def longest_recovery_s(row: Mapping[str, Any], episodes: Mapping[str, Sequence[Episode]], ended: bool = False) -> float:
    """The longest recovery of any strategy after this disruption, in s from its start; `ended`: of those that ended."""
    lengths = []
    for own in episodes.values():
        one = episode_of(row, own)
        if one is not None and not (ended and one.censored):
            lengths.append(one.end_s - row["start_s"])
    return max(lengths, default=0.0)


@drawn
def zoom(run: Run, disruption: Mapping[str, Any], episodes: Mapping[str, Sequence[Episode]] | None = None) -> Figure:
    """From 20 s before a disruption to 60 s after it, or to where the last strategy is back (240 s at most).

    `disruption`: a row of the table of that name. Below each state bar every message hangs as a line from its creation
    (above) to its delivery (below); a cross is a loss, a line that leaves on the right is delivered later or never.
    """
    episodes = run_episodes(run) if episodes is None else episodes
    zero = float(disruption["start_s"])
    needed = max(longest_recovery_s(disruption, episodes, ended=True), float(disruption["end_s"]) - zero) + 10.0
    start, end = max(zero - BEFORE_S, 0.0), zero + min(max(AFTER_S, needed), MOST_AFTER_S)
    rows = lanes(run, episodes, int(disruption["replication"]), start, end, int(disruption["vehicle"]))
    labels = used_labels(part for row in rows for part in row.segments)
    words_in = 0.36
    key_in = 0.2 * len(key_rows(labels, COLUMN_IN)) + 0.06 + words_in
    top_in, axis_in = 0.62, 0.3
    lanes_in = _LANE_IN * len(rows)
    total = top_in + lanes_in + axis_in + key_in
    figure = new_figure(COLUMN_IN, total)
    width = COLUMN_IN - _LEFT - _RIGHT
    inch_per_s = width / (end - start)
    head = axes_in(figure, _LEFT, total - top_in, width, top_in)
    axes = axes_in(figure, _LEFT, key_in + axis_in, width, lanes_in)
    for strip, height in ((head, top_in), (axes, lanes_in)):
        bare(strip)
        strip.set_xlim(start, end)
        strip.set_ylim(0.0, height)
    _head(head, run, disruption, start, end, inch_per_s)
    looks = styles([row.strategy for row in rows])
    for number, row in enumerate(rows):
        top = _LANE_IN * (len(rows) - number)
        _lane(axes, row, looks[row.strategy], disruption, top, start, end, inch_per_s)
    axes.spines["bottom"].set_visible(True)
    time_axis(axes, start, end, width, zero_s=zero, sign=True)
    draw_key(figure, labels, COLUMN_IN, words_in)
    for number, text in enumerate(_KEY):
        figure.text(_LEFT / COLUMN_IN, (0.27 - 0.17 * number) / total, text, va="center", fontsize=SMALL_PT - 0.3, color=MUTED)
    return figure


def _head(axes: Axes, run: Run, disruption: Mapping[str, Any], start: float, end: float, inch_per_s: float) -> None:
    """What happened, and the cells or addresses it happened between."""
    kind = str(disruption["kind"])
    timeline = run.timeline.filter(
        (pl.col("replication") == disruption["replication"]) & (pl.col("vehicle") == disruption["vehicle"])
    )
    words = f"{KINDS.get(kind, kind)} at {instant(disruption['start_s'])} of drive {disruption['replication']}"
    axes.text(start, 0.51, words, ha="left", va="center", fontsize=TEXT_PT, color=ALERT)
    column = "address" if kind in ("reassignment", "detach") else "cell"
    spans = [
        (max(a, start), min(b, end), name)
        for a, b, name in spans_of(timeline.sort("start_s"), column, end)
        if b > start and a < end
    ]
    blocks(axes, spans, 0.36, 0.14, inch_per_s)


def _lane(
    axes: Axes, row: Lane, look: Style, disruption: Mapping[str, Any], top: float, start: float, end: float, inch_per_s: float
) -> None:
    zero, until = float(disruption["start_s"]), min(float(disruption["end_s"]), end)
    axes.plot((start, end), (top, top), color=RULE, linewidth=0.6)
    axes.add_patch(Rectangle((zero, top - 0.74), until - zero, 0.5, facecolor=SOFT, edgecolor="none", zorder=0))
    axes.plot((zero, zero), (top - 0.76, top - 0.22), color=ALERT, linewidth=0.9, zorder=0.6)
    axes.plot(
        (start + 0.05 / inch_per_s,),
        (top - 0.12,),
        marker=look.marker,
        markersize=5,
        color=look.colour,
        markerfacecolor="none" if look.hollow else look.colour,
    )
    axes.text(
        start + 0.15 / inch_per_s, top - 0.12, shortened(row.strategy, 32), ha="left", va="center", fontsize=TEXT_PT, color=INK
    )
    axes.text(end, top - 0.12, _back(row, disruption), ha="right", va="center", fontsize=SMALL_PT, color=MUTED)
    state_bar(axes, row.segments, look, top - 0.31, top - 0.46, inch_per_s, words=True)
    for mark in row.marks:
        if mark.failed and start <= mark.end_s <= end:
            axes.plot((mark.end_s,), (top - 0.265,), marker="x", markersize=3.4, markeredgewidth=1.1, color=ALERT, zorder=5)
        elif mark.purpose in ("poll", "heartbeat") and start <= mark.end_s <= end:
            axes.plot((mark.end_s, mark.end_s), (top - 0.3, top - 0.235), color=look.colour, linewidth=1.3, zorder=5)
    _messages(axes, row, look, top - 0.48, top - 0.72, start, end)


def _back(row: Lane, disruption: Mapping[str, Any]) -> str:
    one = episode_of(disruption, row.episodes)
    if one is None:
        return "stays reachable" if all(part.label == REACHABLE for part in row.segments) else ""
    length = seconds(one.end_s - float(disruption["start_s"]))
    return "not back in this run" if one.censored else f"back after {length}"


def _messages(axes: Axes, row: Lane, look: Style, top: float, bottom: float, start: float, end: float) -> None:
    """Each message from its creation (top) to its delivery (bottom)."""
    columns = ("created_s", "delivered_s", "outcome", "gone_s")
    window = (pl.col("created_s") <= end) & (pl.coalesce("delivered_s", "gone_s", pl.lit(1e18)) >= start)
    for created, delivered, outcome, _gone in row.messages.filter(window).sort("created_s").select(columns).iter_rows():
        if outcome == "lost":
            if created >= start:
                axes.plot((created,), (top - 0.05,), marker="x", markersize=4.5, markeredgewidth=1.4, color=ALERT, zorder=4)
            continue
        arrives = 1e9 if delivered is None else float(delivered)
        slow = arrives - created > 1.0
        colour = INK if slow else look.colour
        if arrives <= end:
            line = ((created, arrives), (top, bottom))
            axes.plot((arrives,), (bottom,), marker="o", markersize=2.2, color=colour, zorder=4)
        elif delivered is None:
            line = ((created, end), (top, top))
        else:
            line = ((created, end), (top, top + (bottom - top) * (end - created) / (arrives - created)))
        axes.plot(*line, color=colour, linewidth=1.1 if slow else 0.8, alpha=0.9 if slow else 0.6, zorder=3, clip_on=True)
