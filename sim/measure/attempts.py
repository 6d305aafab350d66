"""Connection attempts and the seed's ConnectionStats."""

from __future__ import annotations

from typing import Any

import polars as pl


def attempts(connections: pl.DataFrame) -> dict[str, Any]:
    """`total`, `failed`, and both `by_purpose` (mqtt, poll, heartbeat, push, post)."""
    failed = pl.col("outcome") == "failed"
    counted = connections.group_by("purpose").agg(pl.len().alias("total"), failed.sum().alias("failed")).sort("purpose")
    by_purpose = {str(purpose): {"total": int(total), "failed": int(bad)} for purpose, total, bad in counted.iter_rows()}
    return {
        "total": sum(entry["total"] for entry in by_purpose.values()),
        "failed": sum(entry["failed"] for entry in by_purpose.values()),
        "by_purpose": by_purpose,
    }


def connection_stats(vehicles: pl.DataFrame) -> dict[str, Any]:
    """The fields of the seed's ConnectionStats: counters summed over vehicles and drives, the last two of the last drive.

    `last_connection_s` is in s since the start of that drive.
    """
    last = vehicles.sort("replication", "vehicle").tail(1).to_dicts()
    return {
        "total_connections": _sum(vehicles, "connections_total"),
        "failed_connections": _sum(vehicles, "connections_failed"),
        "reconnections": _sum(vehicles, "reconnections"),
        "messages_sent": _sum(vehicles, "messages_sent"),
        "messages_received": _sum(vehicles, "messages_received"),
        "last_connection_s": last[0]["last_connection_s"] if last else None,
        "current_address": last[0]["current_address"] if last else "",
    }


def _sum(vehicles: pl.DataFrame, column: str) -> int:
    return int(vehicles[column].fill_null(0).sum())
