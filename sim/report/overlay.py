"""What an overlay shows: one strategy over a stretch of the drive, the model's lane and those of the live runs, aligned.

Between the lanes stand the instants that were compared: where the model has them, how far a live one may be, where it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sim.measure.agreement import Row
from sim.measure.field_log import LogEvent
from sim.report.figures_drive import spans_of
from sim.report.figures_zoom import KINDS, MOST_AFTER_S, episode_of
from sim.report.lanes import OFFLINE, REACHABLE, Lane, Segment, lanes
from sim.report.numbers import NBSP
from sim.report.palette import Style
from sim.report.validation_evidence import ValidationEvidence, instants

BEFORE_S, LEAST_AFTER_S, MARGIN_S = 5.0, 5.0, 2.0
#: So many disruptions are shown for each strategy: those in which something parts first, then the longest recoveries.
MOST_ZOOMS = 4
#: What is compared -> the word for its instant in a figure; deliveries are the lines below the lanes.
WORDS = {"detection": "noticed", "asked": "asked", "ready": "ready", "first redelivery": "redelivered", "caught up": "caught up"}


@dataclass(frozen=True, slots=True)
class Instant:
    """A compared instant. `model_s` to `model_to_s` is where the model has it, `low_s` to `high_s` what is allowed.

    `live_s`: for each live run where it is (None: never there), and whether that agrees.
    """

    words: str
    model_s: float | None
    model_to_s: float | None
    allowed_s: float
    live_s: tuple[tuple[float | None, bool], ...]

    @property
    def agrees(self) -> bool:
        return all(agrees for _, agrees in self.live_s)

    @property
    def band(self) -> tuple[float, float] | None:
        """From where to where a live instant agrees; None where the model has none."""
        if self.model_s is None:
            return None
        return self.model_s - self.allowed_s, (self.model_to_s or self.model_s) + self.allowed_s


@dataclass(frozen=True, slots=True)
class Side:
    """A lane with its name; `parted` are the ids of the messages that do not agree with the model."""

    name: str
    lane: Lane
    parted: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Overlay:
    """One figure: times in s since the start of the drive; `zero_s` is where its axis has 0."""

    strategy: str
    look: Style
    title: str
    start_s: float
    end_s: float
    zero_s: float
    addresses: tuple[tuple[float, float, str], ...]
    outages: tuple[tuple[float, float], ...]
    starts: tuple[tuple[float, str], ...]  # disruptions: when, and in words
    sides: tuple[Side, ...]
    instants: tuple[Instant, ...]
    parted: int  # values of this strategy, in this stretch, that do not agree

    @property
    def whole(self) -> bool:
        return self.zero_s == self.start_s


def kind_words(kind: str) -> str:
    """A disruption inside a sentence: new address, NAT rebind."""
    words = KINDS.get(kind, kind)
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def whole_drive(evidence: ValidationEvidence, strategy: str) -> Overlay:
    """The drive from start to end."""
    return _overlay(evidence, strategy, "The whole drive", 0.0, evidence.end_s, 0.0)


def zooms(evidence: ValidationEvidence, strategy: str) -> tuple[list[Overlay], int]:
    """The disruptions close up, from 5 s before each to where all sides have caught up; and how many there are in all."""
    found = []
    for disruption in evidence.disruptions:
        start = float(disruption["start_s"])
        if start >= evidence.end_s:
            continue
        end = _caught_up_s(evidence, strategy, disruption)
        kind = str(disruption["kind"])
        title = f"{KINDS.get(kind, kind)} at {start:,.1f}{NBSP}s"
        found.append(_overlay(evidence, strategy, title, max(start - BEFORE_S, 0.0), end, start))
    order = sorted(found, key=lambda one: (-(one.parted > 0), one.zero_s - one.end_s))[:MOST_ZOOMS]
    return sorted(order, key=lambda one: one.zero_s), len(found)


def _caught_up_s(evidence: ValidationEvidence, strategy: str, disruption: Mapping[str, Any]) -> float:
    """Where every side is back and has caught up after a disruption."""
    start = float(disruption["start_s"])
    where = f"{disruption['kind']} at {start:.1f} s"
    ends = [float(disruption["end_s"]), start + LEAST_AFTER_S]
    for found in evidence.by_key:
        for row in found.values():
            if row.strategy == strategy and row.where == where:
                ends += instants(row)
    for episodes in (evidence.model_episodes, *evidence.live_episodes):
        for number in range(evidence.members):
            one = episode_of({**disruption, "replication": number}, episodes.get(strategy, ()))
            if one is not None and not one.censored:
                ends.append(one.end_s)
    rows = evidence.of(strategy)
    if evidence.found.against_log:
        up = [row for row in rows if row.what == "time" and row.where.startswith("connected") and max(instants(row)) > start]
        ends += instants(up[0]) if up else []
    back = max(ends)
    ends += [at for row in rows if row.what == "delivered" and start <= row.at_s <= back for at in instants(row)]
    return min(max(ends) + MARGIN_S, start + MOST_AFTER_S)


def _overlay(evidence: ValidationEvidence, strategy: str, title: str, start_s: float, end_s: float, zero_s: float) -> Overlay:
    addresses = [
        (max(begin, start_s), min(end, end_s), name)
        for begin, end, name in spans_of(evidence.timeline, "address", end_s)
        if begin < end_s and end > start_s
    ]
    starts = [
        (float(row["start_s"]), kind_words(row["kind"])) for row in evidence.disruptions if start_s <= row["start_s"] <= end_s
    ]
    sides = _sides(evidence, strategy, start_s, end_s)
    shown = _instants(evidence, strategy, start_s, end_s)
    whole = zero_s == start_s
    rows = [row for row in evidence.of(strategy) if not row.agrees]
    parted = len(rows) if whole else sum(zero_s <= _when(row) <= end_s for row in rows if row.where != "all")
    return Overlay(
        strategy,
        evidence.styles[strategy],
        title,
        start_s,
        end_s,
        zero_s,
        tuple(addresses),
        tuple(evidence.outages(start_s, end_s)),
        tuple(starts),
        sides,
        shown,
        parted,
    )


def _when(row: Row) -> float:
    return min((value for value in instants(row)), default=row.at_s) if row.allowed_s is not None else row.at_s


def _instants(evidence: ValidationEvidence, strategy: str, start_s: float, end_s: float) -> tuple[Instant, ...]:
    found = []
    for key, first in evidence.by_key[0].items() if evidence.by_key else ():
        word = WORDS.get(first.what) or (key[1].partition(" ")[0] if first.what == "time" else None)
        if first.strategy != strategy or word is None or word == "delivered" or first.allowed_s is None:
            continue
        rows = [rows.get(key) for rows in evidence.by_key]
        places = [value for row in rows if row is not None for value in instants(row)]
        if not any(start_s <= place <= end_s for place in places):
            continue
        model_s = first.model if isinstance(first.model, float) else None
        live = tuple(
            (row.live if isinstance(row.live, float) else None, row.agrees) if row is not None else (None, True) for row in rows
        )
        found.append(Instant(word, model_s, first.model_to, first.allowed_s, live))
    order = list(WORDS.values())

    def place(one: Instant) -> tuple[float, int]:
        at_s = one.model_s if one.model_s is not None else math.inf
        return round(at_s, 3), order.index(one.words) if one.words in order else 0

    return tuple(sorted(found, key=place))


def _sides(evidence: ValidationEvidence, strategy: str, start_s: float, end_s: float) -> tuple[Side, ...]:
    model = evidence.model
    member = evidence.member(strategy)
    sides = [Side("model", _lane(lanes(model, evidence.model_episodes, member, start_s, end_s), strategy), {})]
    if evidence.found.against_log:
        comparison = evidence.found.comparisons[0]
        lane = log_lane(comparison.events, model.messages, strategy, start_s, end_s)
        return (*sides, Side("log", lane, _parted_in_log(evidence, strategy, lane)))
    for (name, comparison), episodes in zip(evidence.lives, evidence.live_episodes, strict=True):
        lane = _lane(lanes(comparison.run, episodes, 0, start_s, end_s), strategy)
        sides.append(Side(name, lane, _within(parted_messages(comparison.rows, strategy), lane, start_s, end_s)))
    return tuple(sides)


def _within(parted: Mapping[int, str], lane: Lane, start_s: float, end_s: float) -> dict[int, str]:
    """Those of the messages that are created or delivered in this stretch."""
    here = pl.col("created_s").is_between(start_s, end_s) | pl.col("delivered_s").is_between(start_s, end_s)
    shown = set(lane.messages.filter(here.fill_null(False))["message"])
    return {number: name for number, name in parted.items() if number in shown}


def _lane(found: Sequence[Lane], strategy: str) -> Lane:
    return next(lane for lane in found if lane.strategy == strategy)


def parted_messages(rows: Sequence[Row], strategy: str) -> dict[int, str]:
    """Id of each message that does not agree -> its name in the rows, `ota 3`."""
    found: dict[int, str] = {}
    for row in rows:
        if row.strategy == strategy and not row.agrees and row.where.startswith("message "):
            name = row.where.removeprefix("message ")
            number = name.rpartition(" ")[2]
            if number.isdigit() and (int(number) not in found or " " in name):
                found[int(number)] = name
    return found


def _parted_in_log(evidence: ValidationEvidence, strategy: str, lane: Lane) -> dict[int, str]:
    """As `parted_messages`, by the delivery instants of the log: its deliveries need not name their messages."""
    parted_s = {row.live: row.where for row in evidence.of(strategy) if not row.agrees and isinstance(row.live, float)}
    rows = lane.messages.select("message", "delivered_s").iter_rows()
    return {number: parted_s[at].removeprefix("message ") for number, at in rows if at in parted_s}


def log_lane(events: Sequence[LogEvent], messages: pl.DataFrame, strategy: str, start_s: float, end_s: float) -> Lane:
    """The lane of a field log: connected or not, and what it says was delivered.

    A delivery that names its message begins where the model created it; another has no beginning, and a negative id.
    """
    segments = []
    up_s: float | None = start_s if next((kind for _, kind, _ in events if kind != "delivered"), "") == "disconnected" else None
    at_s = start_s
    for time_s, kind, _ in events:
        if kind == "connected" and up_s is None:
            segments.append(Segment(at_s, time_s, OFFLINE))
            up_s = at_s = time_s
        elif kind == "disconnected" and up_s is not None:
            segments.append(Segment(up_s, time_s, REACHABLE))
            up_s, at_s = None, time_s
    if any(kind != "delivered" for _, kind, _ in events):
        segments.append(Segment(at_s, end_s, OFFLINE if up_s is None else REACHABLE))
    shown = [
        Segment(max(part.start_s, start_s), min(part.end_s, end_s), part.label)
        for part in segments
        if part.end_s > start_s and part.start_s < end_s
    ]
    mine = messages.filter((pl.col("strategy") == strategy) & (pl.col("replication") == 0) & (pl.col("kind") != "probe"))
    known = _by_name(mine)
    delivered = [
        (*known.get(name, (-1 - number, at)), at) for number, (at, kind, name) in enumerate(events) if kind == "delivered"
    ]
    frame = pl.DataFrame(
        {
            "message": [number for number, _, _ in delivered],
            "kind": [""] * len(delivered),
            "created_s": [float(born) for _, born, _ in delivered],
            "delivered_s": [float(at) for _, _, at in delivered],
            "outcome": ["delivered"] * len(delivered),
            "gone_s": [None] * len(delivered),
        },
        schema_overrides={"gone_s": pl.Float64, "created_s": pl.Float64, "delivered_s": pl.Float64, "message": pl.Int64},
    )
    return Lane(strategy, tuple(shown), (), (), frame)


def _by_name(messages: pl.DataFrame) -> dict[str, tuple[int, float]]:
    """Id and creation of each message, by its id and by kind:number."""
    found: dict[str, tuple[int, float]] = {}
    for (kind,), rows in messages.sort("created_s", "message").partition_by("kind", as_dict=True, maintain_order=True).items():
        for number, (message, created_s) in enumerate(rows.select("message", "created_s").iter_rows(), 1):
            found[str(message)] = found[f"{kind}:{number}"] = (message, created_s)
    return found
