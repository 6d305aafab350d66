"""Short names of metrics, for headings and axes."""

from __future__ import annotations

from sim.measure.metrics_catalog import metric

_SHORT = {
    "all.delivered_within_10s": "delivered within 10 s",
    "all.delivered_within_60s": "delivered within 60 s",
    "all.latency_s.mean_capped": "mean latency",
    "all.latency_s.p50": "median latency",
    "all.latency_s.p95": "latency, 95 % quantile",
    "all.latency_s.p99": "latency, 99 % quantile",
    "all.lost": "messages lost",
    "all.duplicates": "messages handed over twice",
    "recovery_s.mean": "mean recovery",
    "waking_s.p95": "ignition on to reachable, p95",
    "recovery_s.p95": "recovery, 95 % quantile",
    "reachability": "reachability",
    "bytes.total": "data",
    "mb_per_vehicle_month": "data a month",
    "attempts.total": "connection attempts",
    "radio_active_s": "radio on",
    "fleet.back_s.p50": "half of the fleet back",
    "fleet.back_s.p95": "95 % of the fleet back",
    "fleet.handshakes_per_s": "peak of handshakes in a second",
    "fleet.connections_per_s": "peak of connections in a second",
    "fleet.bytes_per_vehicle": "data a vehicle",
}


def short_name(name: str) -> str:
    """ "delivered within 60 s"; of a metric without a short name its description."""
    if name in _SHORT:
        return _SHORT[name]
    if name.startswith("bytes."):
        return f"data for {name.removeprefix('bytes.').replace('_', ' ')}"
    return metric(name).doc.removesuffix(" (all workloads)")


def heading(name: str) -> str:
    short = short_name(name)
    return short[0].upper() + short[1:]
