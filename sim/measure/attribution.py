"""Why a broker lost a message, from what can be seen outside it. The one place where causes are attributed.

Our own machines record what they drop, live too (outbox, store, publisher, pushes). What a real broker drops nobody records.
What is seen of it: which messages arrived, QoS and size, the connections with their CONNACKs (session present or not), when
the path beneath each one died, and how this broker is known to behave. The model's own record of each drop is the truth
that this is tested against. A message whose fate the rules do not tell is `unattributed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.broker_replay import BrokerReplay
from sim.measure.broker_view import sessions_of
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
    old_path: str = "black_hole",
    pings_s: Sequence[float] = (),
    restarts_s: Sequence[float] = (),
    forgets_s: Sequence[float] = (),
) -> pl.DataFrame:
    """Causes of the messages that did not arrive, for one vehicle in one drive under a strategy with MQTT.

    `behaviour` are the fields of the broker's BrokerBehaviour, `settings` those of the strategy's MQTTConnection, `workload`
    the manifest's, `outages` the spans in s in which the link lost every packet (`DrivePath.unusable_spans`), `old_path` what
    packets to an address that was left meet, `pings_s` when the vehicle sent PINGREQ, where that was seen, `restarts_s` when
    the broker's node was killed, `forgets_s` those of them after which it knew no session. Returns a row per undelivered
    message, by id: message (i8), cause (text): one of BROKER_CAUSES, "" where somebody still holds it (pending),
    `unattributed` where the rules do not tell. `outcome`, `cause` and `gone_s` of `messages` are not looked at.
    """
    rows = messages.sort("created_s", "message").to_dicts()
    sessions = sessions_of(connections, rows, behaviour, settings, outages, old_path, pings_s, forgets_s)
    downlink = [row for row in rows if not row["uplink"]]
    causes = BrokerReplay(downlink, sessions, behaviour, settings, workload, horizon_s, restarts_s).causes
    found = []
    for row in rows:
        if row["delivered_s"] is not None:
            continue
        if row["uplink"] or row["handed_s"] is not None:
            cause = _of_uplink(row, behaviour)
        else:
            cause = causes.get(row["message"], UNATTRIBUTED)
        found.append((row["message"], cause))
    return pl.DataFrame(sorted(found), schema={"message": pl.Int64, "cause": pl.String}, orient="row")


def _of_uplink(row: Row, behaviour: Mapping[str, Any]) -> str:
    """A message of the vehicle, or its answer to a request that had arrived. With QoS 1 and 2 it keeps it until PUBACK."""
    if row["size_bytes"] > behaviour["packet_limit_bytes"] and row["uplink"]:
        return "payload_too_large"
    return "qos0_dead_transport" if row["qos"] == 0 and (row["sends"] or row["handed_s"] is not None) else ""
