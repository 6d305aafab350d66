"""The ledger: what became of the messages. created = delivered + lost + pending, for each kind, checked in every run.

Latencies run from creation to delivery: at the vehicle's application (ota), of the response at the server (diagnostics,
probes), at the backend's subscriber (telemetry). Quantiles are over all created messages, and what was not delivered
lies beyond the horizon, so that a strategy that leaves slow messages undelivered does not look faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from sim.measure.stats import rank_quantile
from sim.record.causes import CAUSES, KINDS, UNATTRIBUTED

#: Kinds that count as the workload. Probes are the lab's own and never in it.
WORKLOAD_KINDS = ("ota", "diagnostics", "telemetry")
WITHIN_S = (10, 60)
OUTCOMES = ("delivered", "lost", "pending")


class LedgerError(Exception):
    """The records contradict themselves: a defect of the lab, not of a strategy. The text names the first such message."""


def with_horizon(messages: pl.DataFrame, vehicles: pl.DataFrame) -> pl.DataFrame:
    """Add `horizon_s`, the end of the run of each message's vehicle. LedgerError where a vehicle has no row."""
    who = ["strategy", "replication", "vehicle"]
    joined = messages.join(vehicles.select(*who, "horizon_s"), on=who, how="left")
    _refuse(joined, pl.col("horizon_s").is_null(), "its vehicle has no row in vehicles")
    return joined


def check_ledger(messages: pl.DataFrame, allow_unattributed: bool = False) -> None:
    """Raise LedgerError where a message has no or two fates, or was lost without a cause from the closed list.

    `unattributed` is a failure in the model and allowed live, where the inside of a broker cannot be seen.
    """
    causes = [*CAUSES, UNATTRIBUTED] if allow_unattributed else list(CAUSES)
    lost = pl.col("outcome") == "lost"
    delivered = pl.col("outcome") == "delivered"
    rules: list[tuple[pl.Expr, str]] = [
        (~pl.col("kind").is_in(KINDS), "its kind is not one of " + ", ".join(KINDS)),
        (~pl.col("outcome").is_in(OUTCOMES), "its outcome is not one of " + ", ".join(OUTCOMES)),
        (lost & ~pl.col("cause").fill_null("").is_in(causes), "it was lost without a cause from the closed list"),
        (~lost & (pl.col("cause").fill_null("") != ""), "it has a cause of loss and was not lost"),
        (delivered & pl.col("delivered_s").is_null(), "it was delivered at no instant"),
        (~delivered & pl.col("delivered_s").is_not_null(), "it has an instant of delivery and was not delivered"),
        (pl.col("delivered_s") < pl.col("created_s"), "it was delivered before it was created"),
    ]
    for rule, why in rules:
        _refuse(messages, rule, why)
    doubled = pl.struct("strategy", "replication", "vehicle", "message").is_duplicated()
    _refuse(messages, doubled, "there are two messages with its id")


def _refuse(messages: pl.DataFrame, rule: pl.Expr, why: str) -> None:
    bad = messages.filter(rule.fill_null(False))
    if bad.height:
        row = bad.row(0, named=True)
        raise LedgerError(
            f"message {row['message']} ({row['kind']}) of vehicle {row['vehicle']} in drive {row['replication']} under"
            f" {row['strategy']}: {why} (outcome {row['outcome'] or 'none'},"
            f" cause {row['cause'] or 'none'}); {bad.height} such messages"
        )


def tally(messages: pl.DataFrame) -> dict[str, Any]:
    """Ledger and latencies of these messages, which have a `horizon_s` column (see `with_horizon`).

    - `created`, `delivered`, `pending`, `lost`: counts; `lost_by_cause`: cause -> count, by name;
    - `duplicates`: hand-overs beyond the first; `late`: delivered after the timeout (counted as delivered);
    - `latency_s`: `p50`, `p95`, `p99` over all created (the time within which that share of them was delivered; inf where
      fewer were); `max` of the delivered ones (None: none); `mean_capped`: mean with an undelivered message counted as
      horizon - created. None where nothing was created;
    - `delivered_within_10s`, `delivered_within_60s`: shares of the created, None where nothing was created.
    """
    created = messages.height
    outcome = messages["outcome"]
    delivered = int((outcome == "delivered").sum())
    pending = int((outcome == "pending").sum())
    lost_by_cause = {
        str(cause): int(count)
        for cause, count in messages.filter(pl.col("outcome") == "lost").group_by("cause").len().sort("cause").iter_rows()
    }
    lost = sum(lost_by_cause.values())
    if created != delivered + lost + pending:
        raise LedgerError(f"created {created} is not delivered {delivered} + lost {lost} + pending {pending}")
    return {
        "created": created,
        "delivered": delivered,
        "pending": pending,
        "lost": lost,
        "lost_by_cause": lost_by_cause,
        "duplicates": int((messages["arrivals"].fill_null(0) - 1).clip(lower_bound=0).sum()),
        "late": int(messages["late"].fill_null(False).sum()),
        **_latencies(messages),
    }


def _latencies(messages: pl.DataFrame) -> dict[str, Any]:
    n = messages.height
    born = messages["created_s"].to_numpy()
    arrived = messages["delivered_s"].fill_null(math.inf).to_numpy()
    latency = np.sort(arrived - born)
    done = latency[np.isfinite(latency)]
    numbers: dict[str, Any] = {
        "latency_s": {
            **{f"p{percent}": rank_quantile(latency, percent) for percent in (50, 95, 99)},
            "max": float(done[-1]) if len(done) else None,
            "mean_capped": math.fsum(np.minimum(arrived, messages["horizon_s"].to_numpy()) - born) / n if n else None,
        }
    }
    for within in WITHIN_S:
        numbers[f"delivered_within_{within}s"] = int((latency <= within).sum()) / n if n else None
    return numbers


def by_kind(messages: pl.DataFrame, kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The tally of each kind; a kind without messages has zeros."""
    return {kind: tally(messages.filter(pl.col("kind") == kind)) for kind in kinds}


def overall(messages: pl.DataFrame) -> dict[str, Any]:
    """The tally of the workload: all kinds together but the probes."""
    return tally(messages.filter(pl.col("kind").is_in(WORKLOAD_KINDS)))
