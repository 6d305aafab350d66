"""Values of a comparison that rest on a timer of TCP, which the loopback link's relay does not have.

The relay acknowledges to each side what the other never got, and sends again when it likes: when data that an outage held
back arrives, when a SYN gets through after it, and when a connection that nobody answers ends is made up there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from sim.measure.agreement import Row, attempts_by_name, channel_of_attempts
from sim.measure.arrivals import Arrivals

Attempts = Mapping[str, Mapping[str, Any]]
_ATTEMPT = ("asked", "ready", "trigger", "outcome")


def without_timers(
    rows: Sequence[Row],
    strategy: str,
    connections: pl.DataFrame,
    messages: pl.DataFrame,
    outages: Sequence[tuple[float, float]],
) -> list[Row]:
    """The rows, those of `strategy` that rest on such a timer as not comparable. The tables are the model's, of one run."""
    attempts = attempts_by_name(connections, channel_of_attempts(connections))
    found = _given_up(attempts) | _begun_in(attempts, outages)
    late, instants = _held_back(attempts, messages, outages)
    found |= late
    instants |= {float(row["noticed_s"]) for row in attempts.values() if row["reason"] == "timed_out" and row["noticed_s"]}
    return [
        replace(row, comparable=False, agrees=True)
        if row.strategy == strategy and ((row.where, row.what) in found or (" at " in row.where and row.model in instants))
        else row
        for row in rows
    ]


def _given_up(attempts: Attempts) -> set[tuple[str, str]]:
    """Attempts and connections that the kernel gave up, and the attempts that followed."""
    found: set[tuple[str, str]] = set()
    for name, row in attempts.items():
        if row["reason"] == "timed_out" and row["started_s"] is not None:
            kind, _, number = name.rpartition(" ")
            if row["ready_s"] is None:
                found |= {(name, "outcome"), (name, "ready")}
            found |= {(f"{kind} {int(number) + 1}", what) for what in _ATTEMPT}
    return found


def _begun_in(attempts: Attempts, outages: Sequence[tuple[float, float]]) -> set[tuple[str, str]]:
    """Attempts that began in an outage and came through after it: a SYN that was sent again."""
    return {(name, "ready") for name, row in attempts.items() if _came_through(row, outages)}


def _came_through(row: Mapping[str, Any], outages: Sequence[tuple[float, float]]) -> bool:
    started_s, ready_s = row["started_s"], row["ready_s"]
    if started_s is None or ready_s is None:
        return False
    return any(started_s < end_s < ready_s and ready_s > start_s for start_s, end_s in outages)


def _held_back(
    attempts: Attempts, messages: pl.DataFrame, outages: Sequence[tuple[float, float]]
) -> tuple[set[tuple[str, str]], set[float]]:
    """Deliveries of what a surviving connection, or one that was being made, held back; and their instants."""
    arrivals = Arrivals(messages)
    waits = []  # (begin, end): what was created before the end and delivered after it waited for TCP
    for row in attempts.values():
        ready_s = row["ready_s"]
        over_s = min(math.inf if row[name] is None else row[name] for name in ("noticed_s", "path_end_s"))
        waits += [
            (end_s, arrivals.flow_from(end_s))
            for start_s, end_s in outages
            if row["purpose"] == "mqtt" and ready_s is not None and ready_s <= start_s and over_s > end_s
        ]
        if _came_through(row, outages):
            waits.append((ready_s, ready_s))
    found: set[tuple[str, str]] = set()
    instants: set[float] = set()
    for kind, message, created_s, delivered_s in messages.select("kind", "message", "created_s", "delivered_s").iter_rows():
        if delivered_s is not None and any(created_s <= flows_s and delivered_s >= begin_s for begin_s, flows_s in waits):
            found.add((f"message {kind} {message}", "delivered"))
            instants.add(delivered_s)
    return found, instants
