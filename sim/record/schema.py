"""Columns of the files in a run's folder: name, type, meaning. The only definition of the vocabulary of records.

Times are seconds since the start of the drive (of a fleet: of each vehicle's own drive, but for what is said to be on the
fleet's clock); "never" is null. Rows are ordered by (integer microseconds of the first
time column, vehicle, serial), so that the same seed gives the same bytes whatever process wrote them.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table. kind: f8 (float), i4, i8, b (bool), s (text)."""

    name: str
    kind: str
    doc: str


_WHO = (
    Column("strategy", "s", "name of the strategy variant"),
    Column("replication", "i4", "number of the drive, from 0"),
    Column("vehicle", "i4", "number of the vehicle, from 0"),
)

MESSAGES = (
    *_WHO,
    Column("message", "i8", "id of the message, unique per vehicle; a diagnostics row stands for request and response"),
    Column("kind", "s", "ota | diagnostics | telemetry | probe"),
    Column("uplink", "b", "true: from the vehicle"),
    Column("size_bytes", "i8", "payload; of the request for diagnostics and probes"),
    Column("qos", "i4", "MQTT quality of service asked for"),
    Column("created_s", "f8", "when the application created it"),
    Column("first_sent_s", "f8", "when it was first written to a transport towards its receiver"),
    Column("sends", "i4", "how often it was written to a transport"),
    Column(
        "resent_bytes",
        "i8",
        "payload bytes of it sent again: on the air before (live: written before)",
    ),
    Column("handed_s", "f8", "first hand-over to the receiving application (of the request, for diagnostics and probes)"),
    Column("delivered_s", "f8", "ota: as handed_s; diagnostics, probe: response at the server; telemetry: at the backend"),
    Column("via", "s", "way of the first hand-over: mqtt | poll | push | post | download"),
    Column("arrivals", "i4", "how often it was handed over; all but the first are duplicates"),
    Column("late", "b", "delivered, but after its timeout"),
    Column("outcome", "s", "delivered | lost | pending"),
    Column("cause", "s", "one of record.causes where lost, else empty"),
    Column("gone_s", "f8", "when the last copy was removed, where lost"),
)

CONNECTIONS = (
    *_WHO,
    Column("attempt", "i4", "serial number of the attempt for this vehicle, from 0"),
    Column("purpose", "s", "mqtt | poll | heartbeat | push | post | download"),
    Column("opener", "s", "vehicle | server"),
    Column(
        "trigger",
        "s",
        "why: start | retry | address | keep_alive | transport | due | message | ignition | wake;"
        " not_observed of a user's own program (live)",
    ),
    Column("address", "s", "the vehicle's address when it started; empty where it had none"),
    Column("target", "s", "address:port it was opened to"),
    Column("waited_s", "f8", "wait ordered by the backoff policy before this attempt"),
    Column("asked_s", "f8", "when it began: name resolution, or the transport where no name was resolved"),
    Column("started_s", "f8", "when the transport was asked for"),
    Column("tcp_s", "f8", "TCP established at the opener"),
    Column("opened_s", "f8", "TLS done at the opener"),
    Column("resumed", "b", "TLS resumed by ticket"),
    Column("connack_s", "f8", "CONNACK received (mqtt)"),
    Column("session_present", "i4", "1 / 0 as in CONNACK, -1 where there was none"),
    Column("ready_s", "f8", "messages can flow: subscribed or session resumed (mqtt); response received (others)"),
    Column("path_end_s", "f8", "when the path beneath it died, where it died before the connection ended"),
    Column("noticed_s", "f8", "when the opener gave it up or was told"),
    Column("peer_ended_s", "f8", "when the other end gave it up or was told; null where that was not observed (live)"),
    Column("outcome", "s", "ready | failed | open"),
    Column(
        "reason",
        "s",
        "why it ended: closed | reset | timed_out | keep_alive | address | connect_timeout | no_address | done | "
        "taken_over | not_observed | ...",
    ),
    Column("bytes_up", "i8", "IP bytes from the vehicle"),
    Column("bytes_down", "i8", "IP bytes to the vehicle"),
)

DISRUPTIONS = (
    Column("replication", "i4", "number of the drive, from 0"),
    Column("vehicle", "i4", "number of the vehicle; of a fleet -1: what happens to all of them, on the fleet's clock"),
    Column(
        "kind",
        "s",
        "handover | radio_link_failure | silence | coverage_gap | log_gap | reassignment | detach | held | rebind |"
        " tower_outage | region_outage; of the server side, the same for every vehicle: node_crash | node_upgrade |"
        " store_failover | store_crash | balancer_change | dns_outage | dns_stale | api_errors | certificate_expiry",
    ),
    Column("start_s", "f8", "start"),
    Column("end_s", "f8", "end"),
    Column("before", "s", "cell or address before; the node, tower or gateway that fails"),
    Column("after", "s", "cell or address after; the address that DNS answers (dns_stale)"),
    Column("cause", "s", "free text"),
)

TIMELINE = (
    Column("replication", "i4", "number of the drive, from 0"),
    Column("vehicle", "i4", "number of the vehicle"),
    Column("start_s", "f8", "the row holds from here to the next row's start"),
    Column("cell", "s", "serving cell, empty: none"),
    Column("gateway", "s", "gateway (PGW/UPF anchor)"),
    Column("address", "s", "IP address, empty: none"),
    Column("link", "s", "up | held | lost"),
    Column("parked", "b", "whether the ignition is off"),
    Column("rtt_s", "f8", "round-trip time"),
    Column("downlink_bps", "f8", "rate to the vehicle"),
    Column("uplink_bps", "f8", "rate from the vehicle"),
    Column("x_m", "f8", "position east"),
    Column("y_m", "f8", "position north"),
    Column("rsrp_dbm", "f8", "RSRP of the serving cell"),
)

STATES = (
    *_WHO,
    Column("time_s", "f8", "instant of entering the state"),
    Column("machine", "s", "vehicle | server"),
    Column(
        "state",
        "s",
        "state entered, as in the machine's table (`address_noticed`, `heartbeat_accepted`, `store_lost`, `store_regained` are "
        "marks, not states)",
    ),
    Column("detail", "s", "free text"),
)

TRAFFIC = (
    *_WHO,
    Column("direction", "s", "up | down"),
    Column("purpose", "s", "one of record.causes.PURPOSES"),
    Column("packets", "i8", "application packets"),
    Column("bytes", "i8", "IP bytes with TCP/IP and TLS overhead and pure acknowledgements"),
)

VEHICLES = (
    *_WHO,
    Column(
        "starts_s", "f8", "when it sets out: what the fleet's clock shows when that of the vehicle shows 0; 0 without a fleet"
    ),
    Column("end_s", "f8", "end of the drive"),
    Column("horizon_s", "f8", "end of the run: end_s + drain"),
    Column("parked_s", "f8", "time of the drive with the ignition off"),
    Column("radio_active_s", "f8", "time in RRC connected, with the inactivity tail"),
    Column(
        "connections_total",
        "i4",
        "successful connections (ConnectionStats.total_connections): MQTT, else heartbeats, else all exchanges",
    ),
    Column("connections_failed", "i4", "failed attempts (ConnectionStats.failed_connections)"),
    Column("reconnections", "i4", "connections given up or lost (ConnectionStats.reconnections)"),
    Column("messages_sent", "i8", "application messages sent by the vehicle"),
    Column("messages_received", "i8", "application messages received by the vehicle, duplicates included"),
    Column("last_connection_s", "f8", "instant of the last successful connection"),
    Column("current_address", "s", "address at the end"),
)

TRACE = (
    *_WHO,
    Column("time_s", "f8", "instant"),
    Column("serial", "i8", "order of equal times"),
    Column("source", "s", "vehicle | server | broker | link"),
    Column("kind", "s", "input or action in snake case: transport_opened, send_packet, deliver, ..."),
    Column("transport", "i4", "number of the transport, -1: none"),
    Column("message", "i8", "id of the message, -1: none"),
    Column("detail", "s", "packet name, reason, address, state"),
)

LOAD = (
    Column("strategy", "s", "name of the strategy variant, or of the mix"),
    Column("replication", "i4", "number of the drive, from 0"),
    Column("place", "s", "name of the broker's node, or of the cell"),
    Column(
        "station",
        "s",
        "of a node accept: queue of connections | cpu: handshakes, packets | connect: admission of CONNECTs; of a cell uplink | "
        "downlink",
    ),
    Column("came_s", "f8", "when the work came, on the fleet's clock"),
    Column("turn_s", "f8", "when its turn was; null: it was turned away"),
    Column("work_s", "f8", "how long the station was taken by it (scaled: docs/fleets.md)"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "messages": MESSAGES,
    "connections": CONNECTIONS,
    "disruptions": DISRUPTIONS,
    "timeline": TIMELINE,
    "states": STATES,
    "traffic": TRAFFIC,
    "vehicles": VEHICLES,
    "trace": TRACE,
    "load": LOAD,
}
