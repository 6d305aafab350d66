"""The first record at which model and live run part: the record itself on both sides, or the chain behind the message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sim.measure.agreement import PURPOSES, Row, attempts_by_name, channel_of_attempts
from sim.measure.explain import ExplainError, explain
from sim.measure.validation import Comparison
from sim.record.read import Run
from sim.report.validation_evidence import ValidationEvidence, drive_of

_FIELDS = {
    "trigger": "why",
    "address": "address",
    "asked_s": "asked",
    "started_s": "transport asked for",
    "tcp_s": "TCP",
    "opened_s": "TLS",
    "connack_s": "CONNACK",
    "session_present": "session present",
    "ready_s": "ready",
    "path_end_s": "path ended",
    "noticed_s": "given up",
    "outcome": "outcome",
    "reason": "reason",
}


@dataclass(frozen=True, slots=True)
class Parting:
    """`fields`: (name, model, live, whether equal to a millisecond) of an attempt; `chains`: (side, text) of a message."""

    words: str
    live: str
    fields: tuple[tuple[str, str, str, bool], ...] = ()
    chains: tuple[tuple[str, str], ...] = ()


def parting(evidence: ValidationEvidence) -> Parting | None:
    """What is known of the first parting; None where all agree, or where there is no single record behind it."""
    row = evidence.first_parting
    if row is None or evidence.found.against_log:
        return None
    side, comparison = _where_it_parts(evidence, row)
    member = evidence.member(row.strategy)
    if row.where.partition(" ")[0] in ("attempt", *PURPOSES):
        fields = _attempt(evidence.model, member, comparison.run, row)
        return Parting(f"{row.strategy}, {row.where}", side, fields=fields) if fields else None
    if row.what == "detection":
        fields = _lost(evidence.model, member, comparison.run, row)
        return Parting(f"{row.strategy}, the connection that was lost", side, fields=fields) if fields else None
    message = _message(evidence, comparison, row, member)
    if message is None:
        return None
    chains = []
    for name, run, drive in (("model", evidence.model, member), (side, comparison.run, 0)):
        try:
            chains.append((name, explain(run, message, row.strategy, drive).rstrip()))
        except ExplainError:
            chains.append((name, "there is no such message"))
    return Parting(f"{row.strategy}, message {message}", side, chains=tuple(chains))


def _where_it_parts(evidence: ValidationEvidence, row: Row) -> tuple[str, Comparison]:
    """The live run that the row is of."""
    for side, comparison in evidence.lives:
        if row in comparison.rows:
            return side, comparison
    return evidence.lives[0]


def _channel(run: Run, drive: int, strategy: str) -> list[dict[str, Any]]:
    """The attempts of the strategy's channel, in their order."""
    rows = drive_of(run, drive, "connections", strategy)
    return rows.filter(pl.col("purpose") == channel_of_attempts(rows)).sort("asked_s").to_dicts()


def _attempt(model: Run, member: int, live: Run, row: Row) -> tuple[tuple[str, str, str, bool], ...]:
    """The attempt that the row names, on both sides."""
    frames = [drive_of(run, drive, "connections", row.strategy) for run, drive in ((model, member), (live, 0))]
    channel = channel_of_attempts(*frames)
    mine, theirs = (attempts_by_name(frame, channel).get(row.where) for frame in frames)
    return _side_by_side(mine, theirs) if mine is not None and theirs is not None else ()


def _lost(model: Run, member: int, live: Run, row: Row) -> tuple[tuple[str, str, str, bool], ...]:
    """The connection that the disruption cut, on both sides: the one that was given up first after it."""
    found = []
    for rows in (_channel(model, member, row.strategy), _channel(live, 0, row.strategy)):
        cut = [one for one in rows if one["asked_s"] < row.at_s and (one["noticed_s"] or -1.0) >= row.at_s]
        if not cut:
            return ()
        found.append(min(cut, key=lambda one: float(one["noticed_s"])))
    return _side_by_side(*found)


def _side_by_side(model: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[tuple[str, str, str, bool], ...]:
    found = []
    for column, name in _FIELDS.items():
        a, b = _cell(model[column]), _cell(live[column])
        found.append((name, a, b, a == b))
    return tuple(found)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:,.3f}" if isinstance(value, float) else str(value).replace("_", " ")


def _message(evidence: ValidationEvidence, comparison: Comparison, row: Row, member: int) -> str | None:
    """The id of the message behind a row."""
    if row.where.startswith("message "):
        return row.where.rpartition(" ")[2]
    if row.what not in ("first redelivery", "caught up"):
        return None
    for run, drive, at in ((evidence.model, member, row.model), (comparison.run, 0, row.live)):
        if isinstance(at, float):
            found = drive_of(run, drive, "messages", row.strategy).filter((pl.col("delivered_s") - at).abs() < 1e-9)
            if found.height:
                return str(found["message"][0])
    return None
