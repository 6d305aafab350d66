"""Rows and runs by the schema, for tests: every column has a default, a test writes only what matters to it."""

from __future__ import annotations

from typing import Any

import polars as pl

from sim.measure.arrivals import Arrivals
from sim.measure.attempt_history import Attempt, Channel, History, attempts_of
from sim.measure.drive_path import DrivePath, Event
from sim.parking import Parked
from sim.record.read import Run, table_schema
from sim.record.schema import TABLES

_DEFAULTS: dict[str, Any] = {"f8": None, "i4": 0, "i8": 0, "b": False, "s": ""}


def table(name: str, *rows: dict[str, Any]) -> pl.DataFrame:
    """A table of the schema from rows that give some of its columns."""
    columns = {column.name: _DEFAULTS[column.kind] for column in TABLES[name]}
    for row in rows:
        assert set(row) <= set(columns), set(row) - set(columns)
    full = [{**columns, "strategy": "s", **row} if "strategy" in columns else {**columns, **row} for row in rows]
    return pl.DataFrame(full, schema=table_schema(name))


def message(number: int, created_s: float, delivered_s: float | None = None, cause: str = "", **more: Any) -> dict[str, Any]:
    outcome = "delivered" if delivered_s is not None else "lost" if cause else "pending"
    row = {
        "message": number,
        "kind": "ota",
        "size_bytes": 1000,
        "qos": 1,
        "created_s": created_s,
        "first_sent_s": created_s,
        "sends": 1,
        "handed_s": delivered_s,
        "delivered_s": delivered_s,
        "via": "mqtt" if delivered_s is not None else "",
        "arrivals": 0 if delivered_s is None else 1,
        "outcome": outcome,
        "cause": cause,
    }
    return {**row, **more}


def vehicle(**more: Any) -> dict[str, Any]:
    return {"end_s": 700.0, "horizon_s": 1000.0, "radio_active_s": 100.0, **more}


def connection(number: int, purpose: str, asked_s: float, ready_s: float | None = None, **more: Any) -> dict[str, Any]:
    """An attempt: 0.1 s of DNS, TCP and TLS each where ready_s leaves room, then what was given."""
    row: dict[str, Any] = {
        "attempt": number,
        "purpose": purpose,
        "opener": "vehicle",
        "trigger": "retry",
        "address": "A",
        "asked_s": asked_s,
        "started_s": asked_s + 0.1,
        "ready_s": ready_s,
        "session_present": -1,
        "outcome": "ready" if ready_s is not None else "failed",
    }
    if ready_s is not None:
        row |= {"tcp_s": asked_s + 0.2, "opened_s": asked_s + 0.3}
        if purpose == "mqtt":
            row |= {"connack_s": asked_s + 0.4, "session_present": 1}
        else:
            row |= {"noticed_s": ready_s, "reason": "done"}
    return {**row, **more}


def timeline(*rows: tuple[float, str, str]) -> pl.DataFrame:
    """(start, address, link) rows of vehicle 0 in drive 0."""
    return table("timeline", *({"start_s": start, "address": address, "link": link} for start, address, link in rows))


def history(
    channel: Channel,
    path: pl.DataFrame,
    *rows: dict[str, Any],
    horizon_s: float = 1000.0,
    inbound: bool = True,
    arrivals: Arrivals | None = None,
    rebinds_s: tuple[float, ...] = (),
    parked: Parked = (),
) -> History:
    attempts = attempts_of(table("connections", *rows))
    return History(channel, attempts, DrivePath(path), horizon_s, inbound, arrivals, rebinds_s, parked)


def attempt(**values: Any) -> Attempt:
    return attempts_of(table("connections", values))[0]


def reassignment(start_s: float, end_s: float, before: str = "A", after: str = "B") -> Event:
    return Event("reassignment", start_s, end_s, before, after)


def manifest(**more: Any) -> dict[str, Any]:
    return {
        "run_id": "r1",
        "scenario": "test",
        "seed": 1,
        "replications": 1,
        "access": "private_apn",
        "workload": {"ota": {}, "probes": {"within_s": 10.0}},
        "strategies": [{"name": "s", "use": "mqtt_persistent", "baseline": False, "config": {}}],
        "objectives": [],
        **more,
    }


def run_of(tables: dict[str, pl.DataFrame], **more: Any) -> Run:
    """A run in memory; tables that are not given are empty."""
    return Run(manifest(**more), {name: tables.get(name, table(name)) for name in TABLES if name != "trace" or name in tables})
