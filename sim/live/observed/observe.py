"""From packets, and what the broker's side saw, to the records of a live run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.live.observed.attempts import Attempt, attempts_of, rows_of
from sim.live.observed.deliveries import Deliveries
from sim.live.observed.flows import End, Traffic
from sim.live.observed.spent import book
from sim.live.observed.visits import Visit
from sim.protocols.mqtt_packets import SUBSCRIPTION_FAILED, V5, SubAck, Subscribe
from sim.record.recorder import Recorder


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a program's packets tell of its settings, None: nothing. Stands in the manifest as its config.

    `session_expiry_s` is MQTT 5's; `subscriptions` are topic filters, `granted_qos` is the highest QoS granted for one.
    """

    client_id: str | None = None
    version: str | None = None
    keep_alive_s: float | None = None
    clean_session: bool | None = None
    session_expiry_s: float | None = None
    subscriptions: tuple[str, ...] = ()
    granted_qos: int | None = None


def observe(
    traffic: Traffic, visits: Sequence[Visit], broker: End, server: Recorder, topic_down: str, end_s: float
) -> tuple[Recorder, ClientSettings]:
    """The records of a run of which packets up to `end_s` count; what the drive would have created later is undelivered.

    `broker`: the address and port that the vehicle connects to. `server`: what the server's side recorded, its workload, which
    goes out below `topic_down`, and what it dropped itself. Uplink is what the program published.
    """
    record = Recorder(trace=True)
    expected = [message for message in server.messages if not message.uplink]
    record.expect(expected)
    attempts = attempts_of(traffic, visits, broker)
    record.connections += rows_of(attempts, traffic.lookups, end_s)
    Deliveries(record, {message.id: message for message in expected}, topic_down).read(attempts, end_s)
    book(record, traffic, attempts, end_s)
    for message, cause, gone_s in zip(server.messages, server.cause, server.gone, strict=True):
        if cause:
            record.drop(gone_s, message, cause)
    record.states += server.states
    record.trace = sorted([*(record.trace or ()), *(server.trace or ())], key=lambda row: row[0])
    return record, _settings(attempts)


def _settings(attempts: Sequence[Attempt]) -> ClientSettings:
    """As the first CONNECT has it; subscriptions of all connections."""
    visits = [one.visit for one in attempts if one.visit is not None and one.visit.connect is not None]
    if not visits:
        return ClientSettings()
    connect = visits[0].connect
    assert connect is not None
    filters = [
        name for visit in visits for seen in visit.came if isinstance(seen.packet, Subscribe) for name, _ in seen.packet.filters
    ]
    granted = [
        code
        for visit in visits
        for seen in visit.went
        if isinstance(seen.packet, SubAck)
        for code in seen.packet.codes
        if code < SUBSCRIPTION_FAILED
    ]
    return ClientSettings(
        connect.client_id,
        "5" if connect.version == V5 else "3.1.1",
        float(connect.keep_alive_s),
        connect.clean_start,
        (connect.session_expiry_s or 0.0) if connect.version == V5 else None,
        tuple(dict.fromkeys(filters)),
        max(granted, default=None),
    )
