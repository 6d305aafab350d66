"""Why a broker lost a message, from what can be seen outside it. The one place where causes are attributed.

Our own machines record what they drop, live too (outbox, store, publisher, pushes). What a real broker drops nobody records.
What is seen of it: which messages arrived, QoS and size, the connections with their CONNACKs (session present or not), when
the path beneath each one died, and how this broker is known to behave. The model's own record of each drop is the truth
that this is tested against. A message whose fate the rules do not tell is `unattributed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.broker_view import Session, sessions_of
from sim.record.causes import UNATTRIBUTED

#: What this module can find; other causes are records of our own machines.
BROKER_CAUSES = (
    "queue_full",
    "session_expired",
    "clean_session_discarded",
    "qos0_dead_transport",
    "qos0_offline",
    "message_expired",
    "no_subscription",
    "payload_too_large",
    "broker_restart",
)

Row = dict[str, Any]


def attribute(
    messages: pl.DataFrame,
    connections: pl.DataFrame,
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    workload: Mapping[str, Any],
    horizon_s: float,
    outages: Sequence[tuple[float, float]] = (),
    restarts_s: Sequence[float] = (),
    forgets_s: Sequence[float] = (),
) -> pl.DataFrame:
    """Causes of the messages that did not arrive, for one vehicle in one drive under a strategy with MQTT.

    `behaviour` are the fields of the broker's BrokerBehaviour, `settings` those of the strategy's MQTTConnection, `workload`
    the manifest's, `outages` the spans in s in which the link lost every packet (`DrivePath.unusable_spans`), `restarts_s` when
    the broker's node was killed, `forgets_s` those of them after which it knew no session. Returns a row
    per undelivered message, by id: message (i8), cause (text): one of BROKER_CAUSES, "" where somebody still holds it
    (pending), `unattributed` where the rules do not tell. `outcome`, `cause` and `gone_s` of `messages` are not looked at.
    """
    rows = messages.sort("created_s", "message").to_dicts()
    sessions = sessions_of(connections, rows, behaviour, settings, outages, forgets_s)
    downlink = [row for row in rows if not row["uplink"]]
    found = []
    for row in rows:
        if row["delivered_s"] is not None:
            continue
        if row["uplink"] or row["handed_s"] is not None:
            cause = _of_uplink(row, behaviour)
        else:
            cause = _of_downlink(row, downlink, sessions, behaviour, settings, workload, horizon_s, restarts_s)
        found.append((row["message"], cause))
    return pl.DataFrame(sorted(found), schema={"message": pl.Int64, "cause": pl.String}, orient="row")


def _of_uplink(row: Row, behaviour: Mapping[str, Any]) -> str:
    """A message of the vehicle, or its answer to a request that had arrived. With QoS 1 and 2 it keeps it until PUBACK."""
    if row["size_bytes"] > behaviour["packet_limit_bytes"] and row["uplink"]:
        return "payload_too_large"
    return "qos0_dead_transport" if row["qos"] == 0 and (row["sends"] or row["handed_s"] is not None) else ""


def _of_downlink(
    row: Row,
    downlink: Sequence[Row],
    sessions: Sequence[Session],
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    workload: Mapping[str, Any],
    horizon_s: float,
    restarts_s: Sequence[float],
) -> str:
    created_s = row["created_s"]
    session = next((each for each in reversed(sessions) if each.subscribed_s <= created_s), None)
    if session is None or created_s >= session.ended_s:
        return "no_subscription"
    if row["size_bytes"] > behaviour["packet_limit_bytes"]:
        return "payload_too_large"
    if min(row["qos"], behaviour["qos_max"]) == 0:
        waits = behaviour.get("window_holds_qos0", False) and _window_was_full(row, downlink, session, behaviour)
        if not (session.offline_at(created_s) or session.deaf_at(created_s) or waits):
            return "qos0_dead_transport"
        if not behaviour["queue_qos0"]:
            return "qos0_offline"
        if any(created_s < at < session.next_ready_after(created_s) for at in restarts_s):
            return "broker_restart"  # no disk gets QoS 0
    if not behaviour["redeliver_inflight"] and session.half_open_at(created_s):
        return "qos0_dead_transport"
    if _queue_was_full(row, downlink, session, behaviour):
        return "queue_full"
    if _had_expired(row, session, workload):
        return "message_expired"
    if session.ended_s < horizon_s:
        return session.end_cause
    # the session is still there, and so is the message: it waits for its next connection, or its window
    return "" if session.may_hold(created_s, horizon_s) else UNATTRIBUTED


def _queue_was_full(row: Row, downlink: Sequence[Row], session: Session, behaviour: Mapping[str, Any]) -> bool:
    """Whether others that did arrive later filled the queue: earlier ones where the newest is dropped, else later ones.

    Of a session that was discarded nothing arrived later, and a full queue in it cannot be told from the discarding.
    """
    limit, created_s = behaviour["queue_limit"], row["created_s"]
    resumed_s = session.next_ready_after(created_s)
    others = [other for other in downlink if other is not row and min(other["qos"], behaviour["qos_max"]) > 0]
    if behaviour["queue_drop"] == "newest":
        waiting = [other for other in others if other["created_s"] <= created_s and _arrived_after(other, created_s)]
    else:
        waiting = [other for other in others if created_s <= other["created_s"] < resumed_s and _arrived_after(other, resumed_s)]
    return len(waiting) >= int(limit)


def _window_was_full(row: Row, downlink: Sequence[Row], session: Session, behaviour: Mapping[str, Any]) -> bool:
    """Whether as many messages as the window takes had been sent in this session and had not arrived."""
    created_s = row["created_s"]
    sent = [
        other
        for other in downlink
        if min(other["qos"], behaviour["qos_max"]) > 0
        and session.subscribed_s <= other["created_s"] <= created_s
        and (other["handed_s"] is None or other["handed_s"] > created_s)
    ]
    return len(sent) >= int(behaviour["inflight_limit"])


def _arrived_after(row: Row, time_s: float) -> bool:
    return row["handed_s"] is not None and row["handed_s"] > time_s


def _had_expired(row: Row, session: Session, workload: Mapping[str, Any]) -> bool:
    diagnostics = workload.get("diagnostics") or {}
    if row["kind"] != "diagnostics" or not diagnostics.get("expire"):
        return False
    resumed_s = session.next_ready_after(row["created_s"])
    return math.isfinite(resumed_s) and row["created_s"] + diagnostics["timeout_s"] <= resumed_s
