"""A made-up run with every strategy: two reassignments and a silence, drawn per drive; no claim to be right about protocols.

It stands in for the model where a test needs whole folders: all tables, many drives, nothing inconsistent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from sim.record.read import Run
from sim.streams import Stream

from .records import connection, message, run_of, table, vehicle

ADDRESSES = ("10.1.1.100", "10.2.5.200", "10.3.9.150")
DELAY_S = 1.2
END_S, HORIZON_S = 700.0, 1000.0

STRATEGIES = (
    ("mqtt_persistent", False),
    ("ddns_heartbeat", False),
    ("hybrid", False),
    ("mqtt_clean_session", True),
    ("static_push", True),
)


class Drive:
    """Address changes and a silence at drawn instants."""

    def __init__(self, replication: int) -> None:
        draws = Stream(7, replication, 0, "synthetic")
        self.changes = [200.0 + 20.0 * draws.uniform(0), 450.0 + 20.0 * draws.uniform(1)]
        self.silence = (600.0 + 20.0 * draws.uniform(2), 625.0 + 5.0 * draws.uniform(3))
        self.phase = 10.0 * draws.uniform(4)

    def timeline(self) -> list[dict[str, Any]]:
        rows = [(0.0, ADDRESSES[0], "up")]
        for change, address in zip(self.changes, ADDRESSES[1:], strict=True):
            rows += [(change, "", "lost"), (change + DELAY_S, address, "up")]
        rows += [(self.silence[0], ADDRESSES[2], "lost"), (self.silence[1], ADDRESSES[2], "up")]
        return [
            {"start_s": start, "address": address, "link": link, "rtt_s": 0.08, "x_m": 25.0 * start, "y_m": 0.0}
            for start, address, link in rows
        ]

    def disruptions(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number, change in enumerate(self.changes):
            rows.append({"kind": "handover", "start_s": change, "end_s": change, "before": f"T{number}", "after": "T"})
            rows.append(
                {
                    "kind": "reassignment",
                    "start_s": change,
                    "end_s": change + DELAY_S,
                    "before": ADDRESSES[number],
                    "after": ADDRESSES[number + 1],
                }
            )
        rows.append({"kind": "silence", "start_s": self.silence[0], "end_s": self.silence[1]})
        return rows

    def address_number(self, time_s: float) -> int:
        return sum(time_s >= change + DELAY_S for change in self.changes)


def _connections(use: str, drive: Drive) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    if use.startswith("mqtt") or use == "hybrid":
        up_s = 0.0
        for number, change in enumerate(drive.changes):
            noticed = change + DELAY_S + drive.phase
            address = ADDRESSES[number]
            more = {"path_end_s": change, "noticed_s": noticed, "reason": "address", "trigger": "address", "address": address}
            rows.append(connection(2 * number, "mqtt", up_s, up_s + 0.5, **more))
            late = {"address": ADDRESSES[number + 1], "noticed_s": noticed + 1.0, "reason": "connect_timeout"}
            rows.append(connection(2 * number + 1, "mqtt", noticed, **late))
            if use == "hybrid":
                rows.append(connection(100 + number, "poll", noticed + 1.0, noticed + 1.6, address=ADDRESSES[number + 1]))
            up_s = noticed + 3.0
        rows.append(connection(9, "mqtt", up_s, up_s + 0.5, address=ADDRESSES[2], outcome="open"))
    if use == "ddns_heartbeat":
        for number in range(int(HORIZON_S / 30.0)):
            at_s = 30.0 * number + drive.phase
            rows.append(connection(number, "heartbeat", at_s, at_s + 0.5, address=ADDRESSES[drive.address_number(at_s)]))
    return rows


def _messages(use: str, drive: Drive, replication: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    draws = Stream(7, replication, 0, "messages")
    repair_s = {"mqtt_persistent": 4.0, "mqtt_clean_session": 4.0, "hybrid": 2.0, "ddns_heartbeat": 20.0}.get(use)
    for kind, every in (("ota", 5.0), ("diagnostics", 60.0), ("telemetry", 10.0), ("probe", 20.0)):
        uplink = kind == "telemetry"
        for number in range(int(END_S / every)):
            created = every * number + 1.0
            end_s = DELAY_S + drive.phase + (repair_s or 3.0)
            late = next((change for change in drive.changes if change <= created < change + end_s), None)
            more: dict[str, Any] = {"kind": kind, "uplink": uplink, "replication": replication}
            identity = len(rows)
            if use == "static_push" and not uplink and created >= drive.changes[0]:
                rows.append(message(identity, created, None, "stale_address", gone_s=created + 30.0, **more))
            elif late is not None and use == "mqtt_clean_session" and not uplink:
                rows.append(message(identity, created, None, "clean_session_discarded", gone_s=created + 9.0, **more))
            elif late is not None and repair_s is not None:
                at_s = late + DELAY_S + drive.phase + repair_s
                more["late"] = kind == "diagnostics" and at_s > created + 10.0
                rows.append(message(identity, created, at_s, arrivals=2, sends=2, **more))
            else:
                rows.append(message(identity, created, created + 0.08 + 0.04 * draws.uniform(identity), **more))
    return rows


def synthetic_run(replications: int = 5, **more: Any) -> Run:
    parts: dict[str, list[pl.DataFrame]] = {
        name: [table(name)] for name in ("messages", "connections", "disruptions", "timeline", "traffic", "vehicles", "states")
    }
    for replication in range(replications):
        drive = Drive(replication)
        parts["timeline"].append(table("timeline", *({"replication": replication, **row} for row in drive.timeline())))
        parts["disruptions"].append(table("disruptions", *({"replication": replication, **row} for row in drive.disruptions())))
        for use, _ in STRATEGIES:
            who = {"strategy": use, "replication": replication}
            parts["connections"].append(table("connections", *({**row, **who} for row in _connections(use, drive))))
            parts["messages"].append(table("messages", *({**row, "strategy": use} for row in _messages(use, drive, replication))))
            heartbeats = 12_000 if use == "ddns_heartbeat" else 0
            parts["traffic"].append(
                table(
                    "traffic",
                    {**who, "direction": "down", "purpose": "payload", "packets": 140, "bytes": 160_000},
                    {**who, "direction": "up", "purpose": "heartbeat", "packets": 30, "bytes": heartbeats + 10 * replication},
                    {**who, "direction": "up", "purpose": "probe", "packets": 30, "bytes": 3_000},
                )
            )
            parts["vehicles"].append(table("vehicles", vehicle(**who, connections_total=3, current_address=ADDRESSES[2])))
    settings = {
        "replications": replications,
        "strategies": [{"name": use, "use": use, "baseline": baseline, "config": {}} for use, baseline in STRATEGIES],
        "presets": [{"preset": "mosquitto", "version": "2.0.11", "status": "measured"}],
        **more,
    }
    return run_of({name: pl.concat(frames) for name, frames in parts.items()}, **settings)


def write_run(run: Run, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(run.manifest), encoding="utf-8")
    for name in ("messages", "connections", "disruptions", "timeline", "traffic", "vehicles", "states"):
        run.table(name).write_parquet(folder / f"{name}.parquet")
    return folder
