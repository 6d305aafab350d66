"""How far model and live run disagree: both values and the difference, per strategy, disruption and message.

Pure: two runs' tables in, rows out. A timing agrees when it differs by no more than the larger of a share and a time;
outcomes agree when they are identical. Where the model is run several times, `sim.measure.ensemble` makes one row of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sim.measure.drive_path import Event
from sim.measure.recovery import starts_episode
from sim.measure.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Row:
    """One compared quantity. `model` and `live` are seconds, or text for outcomes; `difference` is live - model in s.

    Where the model gives an interval, `model` is its begin and `model_to` its end, and `difference` is the distance from it;
    where it gives several outcomes, `model` names them all. What is not `comparable` counts neither for nor against
    (`agrees` is then true).
    """

    strategy: str
    where: str  # reassignment at 15.0 s | attempt 2 | push 4 | message ota 3 | all
    what: str
    model: Any
    live: Any
    difference: float | None
    agrees: bool
    at_s: float  # when, for the first record at which the two part
    model_to: float | None = None
    allowed_s: float | None = None  # of a timing: what it may differ by
    comparable: bool = True


_SAME_EXCHANGE_S = 1.0  # polls, pushes and the like that were asked for within this of each other are the same one

#: Purposes of attempts. The first of them that a strategy has is its channel, whose attempts are called just so.
PURPOSES = ("mqtt", "heartbeat", "push", "poll", "post", "download")


def compare_runs(model: Mapping[str, pl.DataFrame], live: Mapping[str, pl.DataFrame], tolerance: Tolerance) -> list[Row]:
    """Compare two runs of the same drive (replication 0, vehicle 0), strategy by strategy.

    `model` and `live` map table names (messages, connections, disruptions, trace) to frames with the columns of
    sim.record.schema.
    """
    rows: list[Row] = []
    tables = [side[name]["strategy"] for side in (live, model) for name in ("connections", "messages")]
    for strategy in pl.concat(tables).unique(maintain_order=True).to_list():
        mine = pl.col("strategy") == strategy
        pick = {name: (model[name].filter(mine), live[name].filter(mine)) for name in ("messages", "connections", "trace")}
        rows += _connections(strategy, *pick["connections"], tolerance)
        rows += _disruptions(strategy, model["disruptions"], pick, tolerance)
        rows += _messages(strategy, *pick["messages"], tolerance)
        rows += _duplicate_flags(strategy, *pick["trace"])
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
    allowed_s = tolerance.allowed_s(span_s)
    if model is None or live is None:
        return Row(strategy, where, what, model, live, None, model is None and live is None, at_s, allowed_s=allowed_s)
    difference = live - model
    return Row(strategy, where, what, model, live, difference, abs(difference) <= allowed_s, at_s, allowed_s=allowed_s)


def attempts_by_name(connections: pl.DataFrame, channel: str) -> dict[str, dict[str, Any]]:
    """Rows of one strategy's connections by the names that they have here: attempt 0, push 3; each purpose counted from 0."""
    begun = connections.with_columns(pl.coalesce("asked_s", "started_s").alias("asked_s")).sort("asked_s", "attempt")
    found: dict[str, dict[str, Any]] = {}
    counted: dict[str, int] = {}
    for row in begun.to_dicts():
        number = counted[row["purpose"]] = counted.get(row["purpose"], -1) + 1
        found[f"{'attempt' if row['purpose'] == channel else row['purpose']} {number}"] = row
    return found


def channel_of_attempts(*connections: pl.DataFrame) -> str:
    """The purpose of the attempts that make a strategy's channel, "" where there are none."""
    there = {purpose for frame in connections for purpose in frame["purpose"].unique()}
    return next((purpose for purpose in PURPOSES if purpose in there), "")


def _connections(strategy: str, model: pl.DataFrame, live: pl.DataFrame, tolerance: Tolerance) -> list[Row]:
    """Attempts of each purpose in their order: how many, when, with what outcome; of the channel also why, and the session."""
    rows = []
    channel = channel_of_attempts(model, live)
    sides = [attempts_by_name(frame, channel) for frame in (model, live)]
    for purpose in PURPOSES:
        mine, theirs = ([name for name, row in side.items() if row["purpose"] == purpose] for side in sides)
        if not mine and not theirs:
            continue
        difference = len(theirs) - len(mine)
        rows.append(
            Row(strategy, "all", f"attempts ({purpose})", len(mine), len(theirs), float(difference), not difference, math.inf)
        )
        before = 0.0
        pairs = list(zip(mine, theirs, strict=False)) if purpose == channel else _matched(sides, mine, theirs)
        for name, other_name in pairs:
            if not name or not other_name:  # of exchanges: one more or less does not move all that follow
                rows.append(_alone(strategy, name, other_name, sides, tolerance))
                continue
            a, b = sides[0][name], sides[1][other_name]
            at = a["asked_s"]
            rows.append(timing(strategy, name, "asked", at, b["asked_s"], at, tolerance, at - before))
            rows.append(timing(strategy, name, "ready", a["ready_s"], b["ready_s"], at, tolerance, (a["ready_s"] or at) - at))
            if purpose == channel:
                told = [(what, a[what], b[what]) for what in ("trigger", "outcome", "session_present")]
            else:
                told = [("outcome", _end(a), _end(b))]
            rows += [Row(strategy, name, what, one, other, None, one == other, at) for what, one, other in told]
            before = a["noticed_s"] or at
    return rows


def _matched(sides: Sequence[Mapping[str, Any]], mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Exchanges of both sides that belong together, by when they were asked for; "" where one side has none."""
    found = []
    i = j = 0
    while i < len(mine) or j < len(theirs):
        a = sides[0][mine[i]]["asked_s"] if i < len(mine) else math.inf
        b = sides[1][theirs[j]]["asked_s"] if j < len(theirs) else math.inf
        together = abs(a - b) <= _SAME_EXCHANGE_S
        found.append((mine[i] if together or a < b else "", theirs[j] if together or b < a else ""))
        i += bool(found[-1][0])
        j += bool(found[-1][1])
    return found


def _alone(strategy: str, name: str, other_name: str, sides: Sequence[Mapping[str, Any]], tolerance: Tolerance) -> Row:
    """An exchange that one side alone has."""
    at: float = sides[0][name]["asked_s"] if name else sides[1][other_name]["asked_s"]
    model, live = (at, None) if name else (None, at)
    return timing(strategy, name or f"{other_name} (live)", "asked", model, live, at, tolerance, 0.0)


def _end(attempt: Mapping[str, Any]) -> str:
    """How an exchange ended: ready | open | failed (timed_out)."""
    return f"failed ({attempt['reason']})" if attempt["outcome"] == "failed" else str(attempt["outcome"])


def _disruptions(
    strategy: str, disruptions: pl.DataFrame, pick: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]], tolerance: Tolerance
) -> list[Row]:
    """For each disruption that begins a recovery episode: detection, first redelivery, caught up.

    To a disruption belongs what was created before the next one begins. What waited for it in one world is looked at in
    both, so that a message at the edge does not make two different sets.
    """
    rows = []
    columns = ("kind", "start_s", "end_s", "before", "after")
    events = [Event(*row) for row in disruptions.sort("start_s").select(columns).iter_rows()]
    deaths = [event for event in events if starts_episode(event)]
    for number, event in enumerate(deaths):
        start = event.start_s
        where = f"{event.kind} at {start:.1f} s"
        until_s = deaths[number + 1].start_s if number + 1 < len(deaths) else math.inf
        gave_up = [_gave_up(pick["connections"][side], start, until_s) for side in (0, 1)]
        waited = pl.concat([_waited(pick["messages"][side], start, until_s, gave_up[side]) for side in (0, 1)]).unique()
        found = []
        for side in (0, 1):
            came = pick["messages"][side].filter(pl.col("message").is_in(waited.implode()))["delivered_s"]
            found.append((gave_up[side], came.min(), came.max()))
        for what, a, b in zip(("detection", "first redelivery", "caught up"), *found, strict=True):
            known = [at for at in (a, b) if at is not None]
            if known:
                rows.append(timing(strategy, where, what, a, b, min(known), tolerance, (a if a is not None else start) - start))
    return rows


def _gave_up(connections: pl.DataFrame, start_s: float, until_s: float) -> float | None:
    """When the vehicle gave the connection up that the disruption met; None where none was up, or it was kept."""
    up = (pl.col("ready_s") < start_s) & (pl.col("noticed_s") >= start_s) & (pl.col("noticed_s") < until_s)
    first: float | None = connections.filter(up & (pl.col("purpose") == "mqtt"))["noticed_s"].min()  # type: ignore[assignment]
    return first


def _waited(messages: pl.DataFrame, start_s: float, until_s: float, gave_up_s: float | None) -> pl.Series:
    """Downlink that the disruption delayed: for long, or from before it was noticed to after."""
    over = pl.lit(gave_up_s, dtype=pl.Float64)
    late = pl.col("delivered_s") - pl.col("created_s") > 1.0
    across = (pl.col("created_s") < over) & (pl.col("delivered_s") > over)
    mine = (pl.col("created_s") < until_s) & (pl.col("delivered_s") > start_s) & ~pl.col("uplink") & (pl.col("kind") != "probe")
    return messages.filter(mine & (late | across))["message"]


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


def _duplicate_flags(strategy: str, model: pl.DataFrame, live: pl.DataFrame) -> list[Row]:
    """The DUP flags of each QoS 1 or 2 PUBLISH that reached the vehicle, in the order in which they came (MQTT 3.3.1.1)."""
    flags = [_flags(frame) for frame in (model, live)]
    rows = []
    for message in sorted(flags[0].keys() | flags[1].keys()):
        one, other = (found.get(message, (math.inf, "-")) for found in flags)
        rows.append(Row(strategy, f"message {message}", "DUP", one[1], other[1], None, one[1] == other[1], min(one[0], other[0])))
    return rows


def _flags(trace: pl.DataFrame) -> dict[int, tuple[float, str]]:
    """Message -> (first arrival in s, "0", "1", "0 1", ...)."""
    came = trace.filter(
        (pl.col("source") == "vehicle")
        & (pl.col("kind") == "packet_received")
        & (pl.col("message") >= 0)
        & pl.col("detail").str.contains(r"^PUBLISH qos [12]")
    ).sort("time_s", "serial")
    found: dict[int, tuple[float, str]] = {}
    for message, time_s, detail in came.select("message", "time_s", "detail").iter_rows():
        first_s, before = found.get(message, (time_s, ""))
        found[message] = (first_s, f"{before} {int(detail.endswith(' dup'))}".strip())
    return found


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


def first_parting(rows: Sequence[Row]) -> Row | None:
    """The earliest record at which model and live part."""
    parted = [row for row in rows if not row.agrees]
    return min(parted, key=lambda row: row.at_s) if parted else None
