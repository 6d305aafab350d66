"""The model against a field log: a CSV with the columns `time_s`, `event` and, for `delivered`, `message`.

event: connected | disconnected | delivered. Times are seconds since the start of the drive. `message` is an id as in
messages.parquet, or kind:number (ota:3, the third chunk); where it is empty the n-th of those meets the
model's n-th of the deliveries that no line names.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.agreement import Row, timing
from sim.measure.tolerance import Tolerance

LogEvent = tuple[float, str, str]  # time in s, event, message

_MOST_S = 1e8
_MOST_BYTES = 64 * 2**20
EVENTS = ("connected", "disconnected", "delivered")


class FieldLogError(ValueError):
    """The log cannot be read; one line with file and line."""


def read_field_log(path: Path) -> list[LogEvent]:
    """(time in s, event, message) of each line, in the order of time. Raises FieldLogError."""
    try:
        if path.exists() and not path.is_file():  # nobody may fill a pipe, and a device may have no end
            raise FieldLogError(f"{path}: {'is a folder, expected a file' if path.is_dir() else 'is no regular file'}")
        if path.stat().st_size > _MOST_BYTES:
            raise FieldLogError(f"{path}: is larger than {_MOST_BYTES // 2**20} MiB, no log of one drive is")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FieldLogError(f"{path}: {error.strerror if isinstance(error, OSError) else 'is not UTF-8'}") from None
    reader = csv.DictReader(text.splitlines())
    missing = {"time_s", "event"} - set(reader.fieldnames or ())
    if missing:
        raise FieldLogError(
            f"{path}:1: no column {' and '.join(sorted(missing))}, columns: {', '.join(reader.fieldnames or ('none',))}"
        )
    found = []
    for number, line in enumerate(reader, 2):
        event = (line["event"] or "").strip()
        if event not in EVENTS:
            raise FieldLogError(f"{path}:{number}: event: {event!r} is not one of {', '.join(EVENTS)}")
        try:
            at_s = float(line["time_s"])
        except (TypeError, ValueError):
            raise FieldLogError(f"{path}:{number}: time_s: {line['time_s']!r} is not a number") from None
        if not abs(at_s) <= _MOST_S:
            raise FieldLogError(f"{path}:{number}: time_s: {line['time_s']!r} is out of range, expected seconds of the drive")
        found.append((at_s, event, (line.get("message") or "").strip()))
    if not found:
        raise FieldLogError(f"{path}: has no events below its header, expected some of {', '.join(EVENTS)}")
    return sorted(found, key=lambda row: row[0])


def compare_field_log(strategy: str, model: dict[str, pl.DataFrame], log: list[LogEvent], tolerance: Tolerance) -> list[Row]:
    """Compare the model's run of one strategy (replication 0) with the log, event by event."""
    mine = pl.col("strategy") == strategy
    channel = model["connections"].filter(mine & pl.col("purpose").is_in(["mqtt", "heartbeat"]))
    messages = model["messages"].filter(mine & (pl.col("kind") != "probe"))
    instants = {
        "connected": channel["ready_s"].drop_nulls().sort().to_list(),
        "disconnected": channel.filter(pl.col("ready_s").is_not_null())["noticed_s"].drop_nulls().sort().to_list(),
        "delivered": messages["delivered_s"].drop_nulls().sort().to_list(),
    }
    rows: list[Row] = []
    for event in EVENTS:
        seen = [(at, message) for at, kind, message in log if kind == event]
        known = instants[event]
        named = [(at, message) for at, message in seen if message]
        if event == "delivered" and named:
            rows += [_named(strategy, messages, at, message, tolerance) for at, message in named]
            seen = [(at, message) for at, message in seen if not message]
            found = [row["message"] for row in (_find(messages, message) for _, message in named) if row is not None]
            unnamed = messages.filter(~pl.col("message").is_in(found) & pl.col("delivered_s").is_not_null())
            if not seen:
                rows += _missing(strategy, unnamed, messages.filter(pl.col("message").is_in(found)), log[-1][0], tolerance)
                continue
            known = unnamed["delivered_s"].sort().to_list()
        same = len(known) == len(seen)
        rows.append(
            Row(strategy, "all", f"{event}: number", len(known), len(seen), float(len(seen) - len(known)), same, float("inf"))
        )
        before = 0.0
        for number, (a, (b, _message)) in enumerate(zip(known, seen, strict=False)):
            rows.append(timing(strategy, f"{event} {number}", "time", a, b, a, tolerance, a - before))
            before = a
    return rows


def _missing(strategy: str, unnamed: pl.DataFrame, named: pl.DataFrame, until_s: float, tolerance: Tolerance) -> list[Row]:
    """Deliveries of the model before the log ends, of kinds that it lists, that no line of it has."""
    gone = unnamed.filter(pl.col("kind").is_in(named["kind"].unique().implode()) & (pl.col("delivered_s") <= until_s))
    return [
        timing(strategy, f"message {kind} {message}", "delivered", at, None, created, tolerance, at - created)
        for kind, message, at, created in gone.sort("delivered_s")
        .select("kind", "message", "delivered_s", "created_s")
        .iter_rows()
    ]


def _named(strategy: str, messages: pl.DataFrame, at: float, message: str, tolerance: Tolerance) -> Row:
    """One delivery that names its message."""
    found = _find(messages, message)
    if found is None:
        return Row(strategy, f"message {message}", "delivered", "no such message", at, None, False, at)
    created = found["created_s"]
    model_s = found["delivered_s"]
    return timing(strategy, f"message {message}", "delivered", model_s, at, created, tolerance, (model_s or at) - created)


def _find(messages: pl.DataFrame, name: str) -> dict[str, Any] | None:
    """The message of this name, an id or kind:number; None where there is none."""
    kind, _, number = name.partition(":")
    if number:
        rows = messages.filter(pl.col("kind") == kind).sort("created_s", "message")
        index = int(number) - 1 if number.isdigit() else -1
        return rows.row(index, named=True) if 0 <= index < len(rows) else None
    rows = messages.filter(pl.col("message") == int(name)) if name.isdigit() else messages.head(0)
    return rows.row(0, named=True) if len(rows) else None
