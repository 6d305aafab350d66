"""The metrics by name: one line, which direction is better, and where they stand in a strategy's numbers.

`ota.lost` is a metric of a kind of message, `all.lost` of the workload together (never the probes). The names are those of
a scenario's objectives. Counts and bytes are per drive where an interval or an objective is concerned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sim.record.causes import KINDS, PURPOSES

Unit = Literal["count", "share", "s", "bytes", "MB"]


class UnknownMetricError(Exception):
    """No metric has this name. The text is one line."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`path` leads to the value in a strategy's numbers; a table with `up` and `down` there is summed."""

    doc: str
    better: Literal["higher", "lower"]
    unit: Unit
    path: tuple[str, ...]


_OF_KIND: dict[str, tuple[str, Literal["higher", "lower"], Unit]] = {
    "created": ("messages created", "higher", "count"),
    "delivered": ("messages delivered, late ones too", "higher", "count"),
    "pending": ("messages neither delivered nor lost at the end of the run", "lower", "count"),
    "lost": ("messages lost", "lower", "count"),
    "duplicates": ("hand-overs beyond the first", "lower", "count"),
    "late": ("messages delivered after their timeout", "lower", "count"),
    "latency_s.p50": ("time within which half of the created messages were delivered", "lower", "s"),
    "latency_s.p95": ("time within which 95 % of the created messages were delivered", "lower", "s"),
    "latency_s.p99": ("time within which 99 % of the created messages were delivered", "lower", "s"),
    "latency_s.max": ("longest latency of a delivered message", "lower", "s"),
    "latency_s.mean_capped": ("mean latency, an undelivered message counted to the end of the run", "lower", "s"),
    "delivered_within_10s": ("share of the created messages delivered within 10 s", "higher", "share"),
    "delivered_within_60s": ("share of the created messages delivered within 60 s", "higher", "share"),
}

_OF_UPDATE: dict[str, Metric] = {
    "ota.complete_s": Metric("time until the vehicle had the whole image", "lower", "s", ("update", "complete_s")),
    "ota.completed_share": Metric("share of the image that arrived", "higher", "share", ("update", "completed_share")),
    "ota.resent_bytes": Metric("bytes of the image sent more than once", "lower", "bytes", ("update", "resent_bytes")),
}

_OF_STRATEGY: dict[str, Metric] = {
    "reachability": Metric("share of the probe requests answered in time", "higher", "share", ("reachability", "share")),
    "recovery_s.n": Metric("recovery episodes", "lower", "count", ("recovery_s", "n")),
    "recovery_s.cut": Metric("episodes that parking cut short, in no other number", "lower", "count", ("recovery_s", "cut")),
    "recovery_s.censored": Metric("recovery episodes that did not end in the run", "lower", "count", ("recovery_s", "censored")),
    "recovery_s.p50": Metric("median recovery time", "lower", "s", ("recovery_s", "p50")),
    "recovery_s.p95": Metric("95 % quantile of the recovery time", "lower", "s", ("recovery_s", "p95")),
    "recovery_s.max": Metric("longest recovery that ended", "lower", "s", ("recovery_s", "max")),
    "recovery_s.mean": Metric("mean recovery time, unended ones to the end of the run", "lower", "s", ("recovery_s", "mean")),
    "catch_up_s.p50": Metric("median time from recovery to an empty backlog", "lower", "s", ("recovery_s", "catch_up_s", "p50")),
    "catch_up_s.p95": Metric("95 % quantile of the catch-up", "lower", "s", ("recovery_s", "catch_up_s", "p95")),
    "catch_up_s.max": Metric("longest catch-up", "lower", "s", ("recovery_s", "catch_up_s", "max")),
    "waking_s.p50": Metric("median time from ignition on until the vehicle can be reached", "lower", "s", ("waking_s", "p50")),
    "waking_s.p95": Metric("95 % quantile of the time from ignition on to reachable", "lower", "s", ("waking_s", "p95")),
    "waking_s.max": Metric("longest time from ignition on to reachable", "lower", "s", ("waking_s", "max")),
    "attempts.total": Metric("connection attempts of all purposes", "lower", "count", ("attempts", "total")),
    "attempts.failed": Metric("connection attempts that failed", "lower", "count", ("attempts", "failed")),
    "reconnections": Metric("connections given up or lost", "lower", "count", ("connection_stats", "reconnections")),
    "bytes.total": Metric("IP bytes both ways, without the probes", "lower", "bytes", ("bytes", "total")),
    "mb_per_vehicle_month": Metric(
        "MB a month at 2 h of driving a day, or as driven where there is parking",
        "lower",
        "MB",
        ("mb_per_vehicle_month",),
    ),
    "overhead_mb_per_vehicle_month": Metric(
        "MB a month as above, without first-time payload", "lower", "MB", ("overhead_mb_per_vehicle_month",)
    ),
    "radio_active_s_per_vehicle_month": Metric(
        "time in RRC connected in a month as above", "lower", "s", ("radio_active_s_per_vehicle_month",)
    ),
    "radio_active_s": Metric("time in RRC connected, with the inactivity tail", "lower", "s", ("radio_active_s",)),
}


_OF_FLEET: dict[str, Metric] = {
    "fleet.cut_off": Metric("vehicles cut off by the fault that cut off most", "lower", "count", ("fleet", "cut_off")),
    "fleet.not_back": Metric(
        "of these, vehicles without a connection until the end of their run", "lower", "count", ("fleet", "not_back")
    ),
    "fleet.back_s.p50": Metric("time from the fault until half of them were back", "lower", "s", ("fleet", "back_s", "p50")),
    "fleet.back_s.p95": Metric("time from the fault until 95 % of them were back", "lower", "s", ("fleet", "back_s", "p95")),
    "fleet.back_s.max": Metric("time from the fault until all of them were back", "lower", "s", ("fleet", "back_s", "p100")),
    "fleet.connections_per_s": Metric(
        "most connections asked for in a second (SYNs at the nodes)", "lower", "count", ("fleet", "nodes", "connections_per_s")
    ),
    "fleet.handshakes_per_s": Metric(
        "most TLS handshakes begun in a second", "lower", "count", ("fleet", "nodes", "handshakes_per_s")
    ),
    "fleet.queue": Metric("most connections that waited at a node", "lower", "count", ("fleet", "nodes", "queue")),
    "fleet.cpu_share": Metric("highest CPU load of a node in a second", "lower", "share", ("fleet", "nodes", "cpu_share")),
    "fleet.cpu_saturated_s": Metric(
        "seconds in which the CPU of a node was full", "lower", "s", ("fleet", "nodes", "cpu_saturated_s")
    ),
    "fleet.admission_saturated_s": Metric(
        "seconds in which a node admitted as many CONNECTs as it can", "lower", "s", ("fleet", "nodes", "admission_saturated_s")
    ),
    "fleet.cell_saturated_s": Metric("seconds in which a cell was full", "lower", "s", ("fleet", "nodes", "cell_saturated_s")),
    "fleet.turned_away": Metric("CONNECTs that a node turned away", "lower", "count", ("fleet", "nodes", "turned_away")),
    "fleet.dropped_syns": Metric("SYNs dropped at a full backlog", "lower", "count", ("fleet", "nodes", "dropped_syns")),
    "fleet.bytes_per_vehicle": Metric(
        "IP bytes both ways of a vehicle, without the probes", "lower", "bytes", ("fleet", "bytes_per_vehicle")
    ),
}


def _catalog() -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for kind in ("all", *KINDS):
        base = () if kind == "all" else ("workloads", kind)
        for name, (doc, better, unit) in _OF_KIND.items():
            text = f"{doc} (all workloads)" if kind == "all" else f"{doc} ({kind})"
            metrics[f"{kind}.{name}"] = Metric(text, better, unit, (*base, *name.split(".")))
    metrics |= _OF_UPDATE | _OF_STRATEGY | _OF_FLEET
    for purpose, doc in PURPOSES.items():
        metrics[f"bytes.{purpose}"] = Metric(f"IP bytes both ways: {doc}", "lower", "bytes", ("bytes", purpose))
    return metrics


METRICS: dict[str, Metric] = _catalog()


def metric(name: str) -> Metric:
    """The metric of this name. Raises UnknownMetricError."""
    if name not in METRICS:
        raise UnknownMetricError(f"{name} is not a metric; `python -m sim list` shows them")
    return METRICS[name]


def lookup(numbers: Mapping[str, Any], name: str) -> float | None:
    """The value of a metric in one strategy's numbers, in the metric's unit; None where it has none (no data).

    In memory a value beyond the horizon is inf; in metrics.json both are null.
    """
    found: Any = numbers
    for key in metric(name).path:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    if isinstance(found, Mapping):
        found = sum(found.values())
    return None if found is None else float(found)


def value(metrics: Mapping[str, Any], strategy: str, name: str) -> float | None:
    """The value of a metric for a strategy in the content of metrics.json (over all drives: counts and bytes are sums)."""
    if strategy not in metrics["strategies"]:
        raise UnknownMetricError(f"this run has no strategy {strategy}; it has {', '.join(metrics['strategies'])}")
    return lookup(metrics["strategies"][strategy], name)


def per_drive(numbers: list[dict[str, Any]], name: str) -> list[float | None]:
    """The vector of a metric over drives, from the numbers of each drive: what intervals are drawn from."""
    return [lookup(drive, name) for drive in numbers]
