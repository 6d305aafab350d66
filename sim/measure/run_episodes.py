"""The recovery episodes of a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.arrivals import Arrivals
from sim.measure.attempt_history import History, attempts_of, channel_of
from sim.measure.drive_path import DrivePath, Event
from sim.measure.idle_ends import idle_ends, idle_kind
from sim.measure.recovery import Episode, episodes_of
from sim.parking import Parked, is_parked, spans_of
from sim.record.read import Run

Drive = tuple[int, int]  # replication, vehicle

#: After these nothing on the way knows the connections any more that stood before.
FORGETTING_KINDS = ("rebind", "balancer_change")
#: Behind carrier-grade NAT nobody can connect to the vehicle, so a strategy that needs that never recovers.
CLOSED_ACCESS = ("cgnat",)


def run_episodes(run: Run) -> dict[str, list[Episode]]:
    """Strategy -> its episodes, by (replication, vehicle, start). Strategies in the manifest's order.

    The manifest must say `strategies` (name, use) and may say `access`. Of a fleet there are none: sim.measure.fleet says what it
    met.
    """
    if run.manifest.get("fleet") is not None:
        return {str(entry["name"]): [] for entry in run.manifest["strategies"]}  # timelines of a few vehicles are kept
    timelines = _by_drive(run.timeline, "start_s")
    parked = {drive: parked_spans(rows) for drive, rows in timelines.items()}
    paths = {drive: DrivePath(rows) for drive, rows in timelines.items()}
    events = {drive: _events(rows) for drive, rows in _by_drive(run.disruptions, "start_s").items()}
    inbound = run.manifest.get("access") not in CLOSED_ACCESS
    forgets = idle_kind(run.manifest)
    found: dict[str, list[Episode]] = {}
    for entry in run.manifest["strategies"]:
        name = str(entry["name"])
        mine = pl.col("strategy") == name
        connections = run.connections.filter(mine)
        channel = channel_of(str(entry["use"]), connections["purpose"].unique().to_list())
        attempts = _by_drive(connections, "attempt")
        messages = _by_drive(run.messages.filter(mine), "created_s")
        found[name] = []
        for replication, vehicle, horizon_s in run.vehicles.filter(mine).select(*_DRIVE, "horizon_s").sort(_DRIVE).iter_rows():
            drive = (replication, vehicle)
            mine_here = messages.get(drive, run.messages.clear())
            attempts_here = attempts_of(attempts.get(drive, connections.clear()))
            happened = events.get(drive, [])
            rebinds_s = tuple(event.start_s for event in happened if event.kind in FORGETTING_KINDS)
            history = History(
                channel, attempts_here, paths[drive], float(horizon_s), inbound, Arrivals(mine_here), rebinds_s, parked[drive]
            )
            idle = idle_ends(forgets, attempts_here, paths[drive], happened)
            found[name] += episodes_of(history, [*happened, *idle], mine_here, replication, vehicle)
    return found


def forgotten(run: Run) -> dict[str, tuple[int, int]]:
    """Strategy -> how often a NAT or a balancer forgot its silent connection, in all and while parked: then no episode begins."""
    kind = idle_kind(run.manifest)
    found: dict[str, tuple[int, int]] = {}
    if not kind:
        return found
    timelines, happened = _by_drive(run.timeline, "start_s"), _by_drive(run.disruptions, "start_s")
    died = run.connections.filter((pl.col("purpose") == "mqtt") & pl.col("path_end_s").is_not_null())
    for (drive_number, vehicle), timeline in timelines.items():
        path, parked = DrivePath(timeline), parked_spans(timeline)
        events = _events(happened.get((drive_number, vehicle), run.disruptions.clear()))
        here = died.filter((pl.col("replication") == drive_number) & (pl.col("vehicle") == vehicle))
        for (name,), rows in here.partition_by("strategy", as_dict=True).items():
            ends = idle_ends(kind, attempts_of(rows), path, events)
            before = found.get(str(name), (0, 0))
            found[str(name)] = (before[0] + len(ends), before[1] + sum(is_parked(parked, end.start_s) for end in ends))
    return {name: counts for name, counts in found.items() if counts[0]}


def parked_spans(timeline: pl.DataFrame) -> Parked:
    """When the ignition was off, from the timeline of one vehicle in one drive, by start_s."""
    return spans_of([(at_s, not off) for at_s, off in timeline.select("start_s", "parked").iter_rows()])


_DRIVE = ("replication", "vehicle")


def _by_drive(frame: pl.DataFrame, order: str) -> dict[Drive, pl.DataFrame]:
    parts = frame.sort(*_DRIVE, order, maintain_order=True).partition_by(_DRIVE, as_dict=True)
    return {(int(key[0]), int(key[1])): part for key, part in parts.items()}


def _events(rows: pl.DataFrame) -> list[Event]:
    columns = ("kind", "start_s", "end_s", "before", "after")
    return [Event(*row) for row in rows.with_columns(pl.col("before", "after").fill_null("")).select(columns).iter_rows()]


def episodes_frame(episodes: Mapping[str, Sequence[Episode]]) -> pl.DataFrame:
    """A row per label span: strategy, replication, vehicle, episode (from 0), start_s, end_s, label, censored."""
    rows: list[tuple[Any, ...]] = []
    for strategy, mine in episodes.items():
        for number, episode in enumerate(mine):
            for start_s, end_s, label in episode.spans:
                rows.append((strategy, episode.replication, episode.vehicle, number, start_s, end_s, label, episode.censored))
    schema = {
        "strategy": pl.String,
        "replication": pl.Int32,
        "vehicle": pl.Int32,
        "episode": pl.Int32,
        "start_s": pl.Float64,
        "end_s": pl.Float64,
        "label": pl.String,
        "censored": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
