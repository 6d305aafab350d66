"""What each strategy was doing at every instant of a drive: the segments of its lane, and the marks on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sim.measure.episode_labels import paint
from sim.measure.recovery import Episode
from sim.record.read import Run

#: Segments beyond the labels of `sim.measure.episode_labels`.
REACHABLE = "reachable"
POLLING = "polling"
PARKED = "parked"
OFFLINE = "offline"  # of a field log, which does not say why


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a lane; times in s."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An attempt: when it began and ended, what for, and whether it got there."""

    start_s: float
    end_s: float
    purpose: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """A strategy in one drive: adjacent segments, the episodes beneath them, attempts, messages."""

    strategy: str
    segments: tuple[Segment, ...]
    episodes: tuple[Episode, ...]
    marks: tuple[Mark, ...]
    messages: pl.DataFrame


def lanes(
    run: Run, episodes: Mapping[str, Sequence[Episode]], replication: int, start_s: float, end_s: float, vehicle: int = 0
) -> list[Lane]:
    """The lanes of all strategies of the run in one drive, within [start_s, end_s]."""
    here = (pl.col("replication") == replication) & (pl.col("vehicle") == vehicle)
    connections, states, messages = run.connections.filter(here), run.states.filter(here), run.messages.filter(here)
    found = []
    for entry in run.manifest["strategies"]:
        name = str(entry["name"])
        if name not in episodes:
            continue
        mine = pl.col("strategy") == name
        own = [one for one in episodes[name] if (one.replication, one.vehicle) == (replication, vehicle)]
        own = [one for one in own if one.start_s < end_s and one.end_s > start_s]
        layers = [
            *_reconnecting(connections.filter(mine & (pl.col("purpose") == "mqtt")), end_s),
            *_fallback(states.filter(mine), end_s),
            *_parked(states.filter(mine), end_s),
            *(Segment(begin, end, label) for one in own for begin, end, label in one.spans),
        ]
        found.append(
            Lane(
                name,
                _painted(start_s, end_s, layers),
                tuple(own),
                _marks(connections.filter(mine), start_s, end_s),
                messages.filter(mine & (pl.col("kind") != "probe")),
            )
        )
    return found


def _reconnecting(attempts: pl.DataFrame, end_s: float) -> list[Segment]:
    """From the death of the path to the next connection: unnoticed, then the waits and the phases of the attempts."""
    columns = ("asked_s", "started_s", "tcp_s", "opened_s", "connack_s", "ready_s", "path_end_s", "noticed_s", "outcome")
    rows = attempts.filter(pl.col("asked_s").is_not_null()).sort("asked_s", "attempt").select(columns).rows()
    layers: list[Segment] = []
    for number, (asked, *phases, path_end, noticed, outcome) in enumerate(rows):
        following = rows[number + 1][0] if number + 1 < len(rows) else end_s
        if path_end is not None and outcome != "failed":
            layers.append(Segment(path_end, noticed if noticed is not None else end_s, "undetected"))
        if noticed is not None and following > noticed:
            layers.append(Segment(noticed, following, "backoff"))
        if outcome == "failed":
            layers.append(Segment(asked, noticed if noticed is not None else end_s, "failed_attempt"))
            continue
        at = asked
        for edge, label in zip(phases, ("dns", "tcp", "tls", "connect", "subscribe"), strict=True):
            if edge is not None:
                layers.append(Segment(at, edge, label))
                at = edge
    return layers


def _fallback(states: pl.DataFrame, end_s: float) -> list[Segment]:
    """Spans in which a hybrid strategy polls because MQTT is down."""
    modes = states.filter(pl.col("state").is_in(("https_fallback", "mqtt_primary"))).sort("time_s", maintain_order=True)
    spans: list[Segment] = []
    since: float | None = None
    for time_s, state in modes.select("time_s", "state").iter_rows():
        if state == "https_fallback":
            since = time_s if since is None else since
        elif since is not None:
            spans.append(Segment(since, time_s, POLLING))
            since = None
    return [*spans, Segment(since, end_s, POLLING)] if since is not None else spans


def _parked(states: pl.DataFrame, end_s: float) -> list[Segment]:
    """Spans in which the vehicle is parked and has gone silent on purpose: from the state to the one that follows it."""
    others = pl.col("state").is_in(("https_fallback", "mqtt_primary")) | pl.col("state").str.starts_with("update_")
    own = states.filter((pl.col("machine") == "vehicle") & ~others).sort("time_s", maintain_order=True)
    rows = own.select("time_s", "state").rows()
    return [
        Segment(time_s, until_s, PARKED)
        for (time_s, state), (until_s, _) in zip(rows, [*rows[1:], (end_s, "")], strict=False)
        if state == "parked" and until_s > time_s
    ]


def coarse(segments: Iterable[Segment], least_s: float) -> list[Segment]:
    """The segments as they can be drawn: many in a row that are too short to be seen become one, of what most of it is."""
    found: list[Segment] = []
    heap: list[Segment] = []
    for part in segments:
        short = part.end_s - part.start_s < least_s
        if heap and (not short or part.end_s - heap[0].start_s > least_s):
            found += _of_one(heap)
            heap = []
        if short:
            heap.append(part)
        else:
            found.append(part)
    return found + _of_one(heap)


def _of_one(heap: list[Segment]) -> list[Segment]:
    if len(heap) <= 3:  # an event and what it led to stay apart
        return heap
    lengths: dict[str, float] = {}
    for part in heap:
        lengths[part.label] = lengths.get(part.label, 0.0) + part.end_s - part.start_s
    return [Segment(heap[0].start_s, heap[-1].end_s, max(lengths, key=lambda label: lengths[label]))]


def _marks(connections: pl.DataFrame, start_s: float, end_s: float) -> tuple[Mark, ...]:
    begun = connections.with_columns(pl.coalesce("asked_s", "started_s").alias("begun_s")).filter(pl.col("begun_s").is_not_null())
    begun = begun.with_columns(
        pl.coalesce(pl.when(pl.col("outcome") == "failed").then("noticed_s").otherwise("ready_s"), "begun_s").alias("done_s")
    )
    rows = begun.filter((pl.col("begun_s") <= end_s) & (pl.col("done_s") >= start_s)).sort("begun_s", "attempt")
    return tuple(
        Mark(begin, done, purpose, outcome == "failed")
        for begin, done, purpose, outcome in rows.select("begun_s", "done_s", "purpose", "outcome").iter_rows()
    )


def _painted(start_s: float, end_s: float, layers: Sequence[Segment]) -> tuple[Segment, ...]:
    """Layers over each other, the later ones on top, on a lane that is reachable where nothing else is said."""
    spans = paint(start_s, end_s, REACHABLE, [(layer.start_s, layer.end_s, layer.label) for layer in layers])
    return tuple(Segment(begin, end, label) for begin, end, label in spans)
