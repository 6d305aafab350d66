"""How far model and live run disagree: both values and the difference, per strategy, disruption and message.

Pure: two runs' tables in, rows out. A timing agrees when it differs by no more than the larger of a share and a time
(default 5 % or 0.25 s); outcomes agree when they are identical. Where a value depends on a phase that cannot be set live
(a broker's tick), the model gives an interval and containment is the test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A timing may differ by `share` of the model's value or by `seconds`, whichever is larger."""

    share: float = 0.05
    seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """One compared quantity. `model` and `live` are seconds, or text for outcomes; `difference` is live - model in s."""

    strategy: str
    where: str  # start | reassignment at 15.0 s | message ota 3 | all
    what: str
    model: Any
    live: Any
    difference: float | None
    agrees: bool
    at_s: float  # when, for the first record at which the two part


def compare_runs(model: Mapping[str, pl.DataFrame], live: Mapping[str, pl.DataFrame], tolerance: Tolerance) -> list[Row]:
    """Compare two runs of the same drive (replication 0, vehicle 0), strategy by strategy.

    `model` and `live` map table names to frames with the columns of sim.record.schema.
    """
    rows: list[Row] = []
    for strategy in live["messages"]["strategy"].unique(maintain_order=True).to_list():
        mine = pl.col("strategy") == strategy
        pick = {name: (model[name].filter(mine), live[name].filter(mine)) for name in ("messages", "connections")}
        rows += _connections(strategy, *pick["connections"], tolerance)
        rows += _disruptions(strategy, model["disruptions"], pick, tolerance)
        rows += _messages(strategy, *pick["messages"], tolerance)
        rows += _sets(strategy, *pick["messages"])
    return rows


def timing(
    strategy: str,
    where: str,
    what: str,
    model: float | None,
    live: float | None,
    at_s: float,
    tolerance: Tolerance,
    span_s: float,
) -> Row:
    """A pair of instants; `span_s` is the duration that the share applies to."""
    if model is None or live is None:
        return Row(strategy, where, what, model, live, None, model is None and live is None, at_s)
    difference = live - model
    return Row(
        strategy, where, what, model, live, difference, abs(difference) <= max(tolerance.share * span_s, tolerance.seconds), at_s
    )


def _connections(strategy: str, model: pl.DataFrame, live: pl.DataFrame, tolerance: Tolerance) -> list[Row]:
    """Attempts of the strategy's first channel in their order: when, why, with what outcome, session present."""
    rows = []
    purpose = "mqtt" if (live["purpose"] == "mqtt").any() or (model["purpose"] == "mqtt").any() else "heartbeat"
    mine = model.filter(pl.col("purpose") == purpose).sort("asked_s").to_dicts()
    theirs = live.filter(pl.col("purpose") == purpose).sort("asked_s").to_dicts()
    rows.append(
        Row(
            strategy,
            "all",
            f"attempts ({purpose})",
            len(mine),
            len(theirs),
            float(len(theirs) - len(mine)),
            len(mine) == len(theirs),
            math.inf,
        )
    )
    before = 0.0
    for number, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        where = f"attempt {number}"
        at = a["asked_s"]
        rows.append(timing(strategy, where, "asked", at, b["asked_s"], at, tolerance, at - before))
        rows.append(timing(strategy, where, "ready", a["ready_s"], b["ready_s"], at, tolerance, (a["ready_s"] or at) - at))
        for what in ("trigger", "outcome", "session_present"):
            rows.append(Row(strategy, where, what, a[what], b[what], None, a[what] == b[what], at))
        before = a["noticed_s"] or at
    return rows


def _disruptions(
    strategy: str, disruptions: pl.DataFrame, pick: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]], tolerance: Tolerance
) -> list[Row]:
    """For each end of an address, and each rebind of the NAT: detection, first redelivery, caught up."""
    rows = []
    for disruption in disruptions.filter(pl.col("kind").is_in(["reassignment", "rebind"])).sort("start_s").to_dicts():
        start = disruption["start_s"]
        where = f"{disruption['kind']} at {start:.1f} s"
        found = []
        for side in (0, 1):
            connections, messages = pick["connections"][side], pick["messages"][side]
            gave_up = connections.filter(
                (pl.col("asked_s") < start) & (pl.col("noticed_s") >= start) & (pl.col("purpose") == "mqtt")
            )["noticed_s"].min()
            late = messages.filter(
                (pl.col("created_s") < start + 120.0)
                & (pl.col("delivered_s") > start)
                & ~pl.col("uplink")
                & (pl.col("kind") != "probe")
            )
            # what the loss delayed: for long, or from before it was noticed to after
            waited = late.filter(
                (pl.col("delivered_s") - pl.col("created_s") > 1.0)
                | ((pl.col("created_s") < gave_up) & (pl.col("delivered_s") > gave_up))
            )
            found.append((gave_up, waited["delivered_s"].min(), waited["delivered_s"].max()))
        for what, a, b in zip(("detection", "first redelivery", "caught up"), *found, strict=True):
            if a is not None or b is not None:
                rows.append(timing(strategy, where, what, a, b, start, tolerance, (a if a is not None else start) - start))
    return rows


def _messages(strategy: str, model: pl.DataFrame, live: pl.DataFrame, tolerance: Tolerance) -> list[Row]:
    """Each message: outcome, cause, arrivals and when it was delivered."""
    rows = []
    joined = model.join(live, on="message", how="full", suffix="_live", coalesce=True).sort("created_s", nulls_last=True)
    for row in joined.to_dicts():
        where = f"message {row['kind'] or row['kind_live']} {row['message']}"
        at = row["created_s"] if row["created_s"] is not None else row["created_s_live"]
        fate = (row["outcome"], row["cause"])
        fate_live = (row["outcome_live"], row["cause_live"])
        rows.append(Row(strategy, where, "outcome", _fate(fate), _fate(fate_live), None, fate == fate_live, at))
        if row["outcome"] == "delivered" and row["outcome_live"] == "delivered":
            rows.append(
                timing(
                    strategy,
                    where,
                    "delivered",
                    row["delivered_s"],
                    row["delivered_s_live"],
                    at,
                    tolerance,
                    row["delivered_s"] - at,
                )
            )
            rows.append(
                Row(
                    strategy,
                    where,
                    "arrivals",
                    row["arrivals"],
                    row["arrivals_live"],
                    None,
                    row["arrivals"] == row["arrivals_live"],
                    at,
                )
            )
    return rows


def _fate(fate: tuple[Any, Any]) -> str:
    outcome, cause = fate
    return "missing" if outcome is None else f"{outcome} ({cause})" if cause else str(outcome)


def _sets(strategy: str, model: pl.DataFrame, live: pl.DataFrame) -> list[Row]:
    """The order in which what was delivered arrived, for each direction."""
    rows = []
    for uplink in (False, True):
        orders = [
            frame.filter((pl.col("uplink") == uplink) & pl.col("handed_s").is_not_null() & (pl.col("kind") != "probe"))
            .sort("handed_s", "message")["message"]
            .to_list()
            for frame in (model, live)
        ]
        same = orders[0] == orders[1]
        parting = next((i for i, (a, b) in enumerate(zip(*orders, strict=False)) if a != b), None)
        text = "same" if same else f"parts at arrival {parting if parting is not None else min(map(len, orders))}"
        rows.append(
            Row(
                strategy,
                "all",
                f"order of arrival ({'up' if uplink else 'down'})",
                len(orders[0]),
                len(orders[1]),
                None,
                same,
                math.inf if same else 0.0,
            )
        )
        if not same:
            rows[-1] = Row(strategy, "all", rows[-1].what, "model's order", text, None, False, math.inf)
    return rows


def first_parting(rows: list[Row]) -> Row | None:
    """The earliest record at which model and live part."""
    parted = [row for row in rows if not row.agrees]
    return min(parted, key=lambda row: row.at_s) if parted else None
