"""From recorders to tables: the only writer of the files that sim.record.schema describes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sim.drive.timeline import Disruption, LinkState, LinkTimeline
from sim.parking import Parked, is_parked, parked_s
from sim.record.recorder import Recorder
from sim.record.schema import TABLES

_DTYPES: dict[str, Any] = {"f8": pl.Float64, "i4": pl.Int32, "i8": pl.Int64, "b": pl.Boolean, "s": pl.String}
Columns = dict[str, list[Any]]


def frame(table: str, columns: Columns) -> pl.DataFrame:
    """A frame with the columns and types of `table`; NaN becomes null (never)."""
    series = []
    for name, kind, _doc in TABLES[table]:
        values = columns.get(name, [])
        if kind == "f8":
            series.append(pl.Series(name, np.asarray(values, dtype=np.float64), dtype=pl.Float64).fill_nan(None))
        else:
            series.append(pl.Series(name, values, dtype=_DTYPES[kind]))
    return pl.DataFrame(series)


def frames(columns: dict[str, Columns]) -> dict[str, pl.DataFrame]:
    """The tables of `vehicle_columns`."""
    return {name: frame(name, found) for name, found in columns.items()}


def joined(parts: Iterable[dict[str, Columns]]) -> dict[str, pl.DataFrame]:
    """Tables of many vehicles, one after the other."""
    total: dict[str, Columns] = {}
    for part in parts:
        for name, columns in part.items():
            have = total.get(name)
            if have is None:
                total[name] = columns
            else:
                for column, values in columns.items():
                    have[column] += values
    return frames(total)


def vehicle_columns(
    record: Recorder,
    outcomes: list[tuple[str, str]],
    *,
    strategy: str,
    replication: int,
    vehicle: int,
    start_s: float,
    end_s: float,
    horizon_s: float,
    radio_active_s: float,
    current_address: str,
    timeouts: dict[str, float],
    parked: Parked = (),
    starts_s: float = 0.0,
) -> dict[str, Columns]:
    """Tables of one vehicle's run, as lists. `timeouts`: kind -> s after which a delivery is late; `parked`: as in its timeline.

    `starts_s`: when it sets out on the clock of its fleet.
    """

    def who(n: int) -> Columns:
        return {"strategy": [strategy] * n, "replication": [replication] * n, "vehicle": [vehicle] * n}

    messages = record.messages
    n = len(messages)
    delivered = np.asarray(record.delivered)
    created = np.array([m.created_s for m in messages])
    limits = np.array([timeouts.get(m.kind, np.inf) for m in messages])
    lost = [outcome == "lost" for outcome, _ in outcomes]
    found: dict[str, Columns] = {
        "messages": (
            who(n)
            | {
                "message": [m.id for m in messages],
                "kind": [m.kind for m in messages],
                "uplink": [m.uplink for m in messages],
                "size_bytes": [m.size_bytes for m in messages],
                "qos": [m.qos for m in messages],
                "created_s": created.tolist(),
                "first_sent_s": record.first_sent,
                "sends": record.sends,
                "resent_bytes": record.resent_bytes(),
                "handed_s": record.handed,
                "delivered_s": record.delivered,
                "via": record.via,
                "arrivals": record.arrivals,
                "late": ((delivered - created) > limits).tolist() if n else [],
                "outcome": [outcome for outcome, _ in outcomes],
                "cause": [cause for _, cause in outcomes],
                "gone_s": [gone if is_lost else np.nan for gone, is_lost in zip(record.gone, lost, strict=True)],
            }
        ),
    }
    rows = record.connections
    names = [c.name for c in TABLES["connections"][3:]]
    found["connections"] = who(len(rows)) | {name: [getattr(row, name) for row in rows] for name in names}
    states = record.states
    found["states"] = who(len(states)) | {
        "time_s": [s[0] for s in states],
        "machine": [s[1] for s in states],
        "state": [s[2] for s in states],
        "detail": [s[3] for s in states],
    }
    cells = sorted(record.traffic.items())
    found["traffic"] = who(len(cells)) | {
        "direction": [key[0] for key, _ in cells],
        "purpose": [key[1] for key, _ in cells],
        "packets": [cell[0] for _, cell in cells],
        "bytes": [cell[1] for _, cell in cells],
    }
    # a vehicle that parks leaves on purpose
    given_up = [
        row
        for row in rows
        if row.purpose == "mqtt" and row.outcome == "ready" and row.noticed_s == row.noticed_s and row.reason != "disconnect"
    ]
    kept = [row for row in rows if row.purpose == "mqtt"] or [row for row in rows if row.purpose == "heartbeat"] or rows
    ready = [row for row in kept if row.outcome == "ready"]
    found["vehicles"] = who(1) | {
        "starts_s": [starts_s],
        "end_s": [end_s],
        "horizon_s": [horizon_s],
        "parked_s": [parked_s(parked, end_s)],
        "radio_active_s": [radio_active_s],
        "connections_total": [len(ready)],
        "connections_failed": [sum(row.outcome == "failed" for row in kept)],
        "reconnections": [len(given_up) if kept and kept[0].purpose == "mqtt" else 0],
        "messages_sent": [record.messages_sent],
        "messages_received": [record.messages_received],
        "last_connection_s": [ready[-1].ready_s if ready else np.nan],
        "current_address": [current_address],
    }
    if record.trace is not None:
        trace = record.trace
        found["trace"] = who(len(trace)) | {
            "time_s": [t[0] for t in trace],
            "serial": list(range(len(trace))),
            "source": [t[1] for t in trace],
            "kind": [t[2] for t in trace],
            "transport": [t[3] for t in trace],
            "message": [t[4] for t in trace],
            "detail": [t[5] for t in trace],
        }
    return found


def drive_tables(
    timeline: LinkTimeline, replication: int, vehicle: int, happened: Sequence[Disruption] = ()
) -> dict[str, pl.DataFrame]:
    """The drive's own tables: timeline and disruptions; `happened` are those of the server side, "never" ends with the drive."""
    n = len(timeline.start_s)

    def names(indices: Any, texts: tuple[str, ...]) -> list[str]:
        return [texts[i] if i >= 0 else "" for i in indices.tolist()]

    def finite(values: Any) -> list[float]:
        return np.where(np.isfinite(values), values, np.nan).tolist()  # type: ignore[no-any-return]

    rows = sorted((*timeline.disruptions, *happened), key=lambda row: row.start_s) if happened else timeline.disruptions
    return {
        "timeline": frame(
            "timeline",
            {
                "replication": [replication] * n,
                "vehicle": [vehicle] * n,
                "start_s": timeline.start_s.tolist(),
                "cell": names(timeline.cell, timeline.cells),
                "gateway": names(timeline.gateway, timeline.gateways),
                "address": names(timeline.address, timeline.addresses),
                "link": [LinkState(state).name.lower() for state in timeline.link.tolist()],
                "parked": [is_parked(timeline.parked, at_s) for at_s in timeline.start_s.tolist()],
                "rtt_s": timeline.rtt_s.tolist(),
                "downlink_bps": finite(timeline.downlink_bps),
                "uplink_bps": finite(timeline.uplink_bps),
                "x_m": timeline.x_m.tolist(),
                "y_m": timeline.y_m.tolist(),
                "rsrp_dbm": timeline.rsrp_dbm.tolist(),
            },
        ),
        "disruptions": frame(
            "disruptions",
            {
                "replication": [replication] * len(rows),
                "vehicle": [vehicle] * len(rows),
                "kind": [d.kind for d in rows],
                "start_s": [d.start_s for d in rows],
                "end_s": [d.end_s if d.end_s < np.inf else max(timeline.end_s, d.start_s) for d in rows],
                "before": [d.before for d in rows],
                "after": [d.after for d in rows],
                "cause": [d.cause for d in rows],
            },
        ),
    }


def concatenate(parts: Iterable[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Join tables in the order given."""
    joined: dict[str, list[pl.DataFrame]] = {}
    for part in parts:
        for name, table in part.items():
            joined.setdefault(name, []).append(table)
    return {name: pl.concat(tables) for name, tables in joined.items()}


def write(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """Write each table to <folder>/<table>.parquet."""
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet", compression="zstd")


def digest(tables: dict[str, pl.DataFrame], metrics: dict[str, Any]) -> str:
    """SHA-256 over messages, connections and metrics; the same for the same seed, whatever ran it and how."""
    total = hashlib.sha256()
    for name in ("messages", "connections"):
        table = tables[name]
        for column in table.columns:
            total.update(f"{name}.{column}\n".encode())
            series = table[column]
            if series.dtype == pl.String:
                total.update("\n".join(series.to_list()).encode())
            elif series.dtype == pl.Float64:
                # integer microseconds: what the order and the equality of records are defined on
                values = series.fill_null(float("nan")).to_numpy()
                total.update(
                    np.where(np.isnan(values), np.int64(-(2**62)), np.round(np.nan_to_num(values) * 1e6))
                    .astype(np.int64)
                    .tobytes()
                )
            else:
                total.update(series.cast(pl.Int64).to_numpy().tobytes())
    # the run id is a hash of the code too; the results of equal code under another id are the same
    numbers = {key: value for key, value in metrics.items() if key != "run_id"}
    total.update(json.dumps(numbers, sort_keys=True, allow_nan=False).encode())
    return total.hexdigest()
