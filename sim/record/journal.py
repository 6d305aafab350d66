"""How a driver writes records: rows of connections, states, deliveries, drops, trace. The model's and the live driver's alike."""

from __future__ import annotations

import math
from typing import Any, Final

from sim.machine import (
    AddressChanged,
    Deliver,
    Drop,
    IgnitionChanged,
    Message,
    MessageCreated,
    NameFailed,
    Note,
    OpenTransport,
    Packet,
    PacketReceived,
    ResolveName,
    SendPacket,
    ServerChanged,
    StoreChanged,
    TransportLost,
)
from sim.record.recorder import Connection, Recorder, describe

SIDES: Final = ("vehicle", "server")
VEHICLE: Final = 0
SERVER: Final = 1


class Journal:
    """Writes what happens to one vehicle into its Recorder. `side`: VEHICLE or SERVER."""

    __slots__ = ("_behind_nat", "_rows", "record", "tracing")

    def __init__(self, record: Recorder, *, behind_nat: bool = False) -> None:
        """`behind_nat`: nobody can connect to the vehicle, whatever its address."""
        self.record = record
        self._behind_nat = behind_nat
        self.tracing = record.trace is not None
        self._rows: dict[tuple[int, int], Connection] = {}

    # --- connections ------------------------------------------------------------------------------------------------------

    def row(self, side: int, transport: int) -> Connection | None:
        """The row of the connection (or exchange) that `transport` of that side carries."""
        return self._rows.get((side, transport))

    def asked(self, side: int, action: OpenTransport | ResolveName, address: str, now: float) -> Connection:
        """The row of the attempt that `action` is a step of; `address` is the vehicle's."""
        row = self._rows.get((side, action.transport))
        if row is None:
            row = self._new_row(side, action.transport, action.purpose, action.trigger, action.waited_s, address, now)
        return row

    def opening(self, side: int, action: OpenTransport, address: str, now: float) -> Connection:
        """The machine asks for a transport."""
        row = self.asked(side, action, address, now)
        row.started_s = now
        row.target = f"{action.address}:{action.port}"
        return row

    def _new_row(
        self, side: int, transport: int, purpose: str, trigger: str, waited_s: float, address: str, now: float
    ) -> Connection:
        row = Connection(len(self.record.connections), purpose, SIDES[side], trigger, address, waited_s, now)
        self.record.connections.append(row)
        self._rows[side, transport] = row
        return row

    def end_row(self, side: int, transport: int, now: float, reason: str, path_end_s: float = math.inf) -> None:
        """The opener on `side` gave the connection up or was told that it is gone."""
        row = self._rows.get((side, transport))
        if row is None:
            return
        row.end(now, reason)
        if row.tcp_s > now:
            row.tcp_s = math.nan  # known ahead, and given up before
        if path_end_s < now:
            row.path_end_s = path_end_s

    def peer_ended(self, row: Connection, now: float) -> None:
        """The end that did not open the connection gave it up or was told that it is gone."""
        if row.peer_ended_s != row.peer_ended_s:
            row.peer_ended_s = now

    # --- packets and messages ---------------------------------------------------------------------------------------------

    def sent(self, side: int, now: float, packet: Packet) -> bool:
        """A packet is written to a transport that stands; returns whether a message in it had been written before."""
        message = packet.carried
        if message is not None:
            self.record.messages_sent += side == VEHICLE
            return self.record.sent(now, message)
        again = False
        for message in getattr(packet, "messages", ()):
            again = self.record.sent(now, message) or again
            self.record.messages_sent += side == VEHICLE
        return again

    def written_again(self, packet: Any) -> float:
        """The share of the messages in a packet, just written, that had been written before: where nobody can see the air."""
        messages: tuple[Message, ...] = (packet.carried,) if packet.carried is not None else packet.messages
        whole = sum(message.size_bytes for message in messages)
        again = sum(self.record.on_air(message, message.size_bytes) for message in messages)
        return again / whole if whole else 0.0

    def sent_part(self, now: float, part: Any, on_air_bytes: int) -> int:
        """A part of a body is written to a transport that stands; returns how much of it had been on the air before."""
        return self.record.sent_part(now, part.of, part.offset, on_air_bytes, part.begins)

    def lost(self, now: float, packet: Packet) -> None:
        """A packet will never arrive; what nobody keeps a copy of is lost with it."""
        carried = packet.carried
        cause = packet.cause_if_lost
        if cause:
            batch: tuple[Message, ...] = (carried,) if carried is not None else getattr(packet, "messages", ())
            for message in batch:
                self.record.drop(now, message, cause)

    def created(self, message: Message) -> None:
        """A machine's own application created a message."""
        self.record.created(message)

    def deliver(self, side: int, now: float, action: Deliver) -> None:
        if side == VEHICLE:
            self.record.messages_received += 1
        self.record.deliver(now, action.message, action.via)
        if self.tracing:
            self.record.note_trace(now, SIDES[side], "deliver", -1, action.message.id, action.via)

    def drop(self, side: int, now: float, action: Drop, address: str) -> None:
        """A machine removed a copy; `address` is the vehicle's.

        The server sees a timeout alone; who looks from outside knows whether it knocked at an address that was the vehicle's.
        """
        cause = action.cause
        if cause == "unreachable" and not self._behind_nat:
            pushed = next((row for row in reversed(self.record.connections) if row.purpose == "push"), None)
            if pushed is not None and pushed.target.rpartition(":")[0] != address:
                cause = "stale_address"
        self.record.drop(now, action.message, cause)
        if self.tracing:
            self.record.note_trace(now, SIDES[side], "drop", -1, action.message.id, cause)

    # --- notes ------------------------------------------------------------------------------------------------------------

    def note(self, side: int, now: float, action: Note, address: str) -> Connection | None:
        """A note of a machine: a step of a connection, or a state entered.

        Returns the new row where an exchange begins on a transport that was kept open.
        """
        if self.tracing:
            detail = action.kind + (" " + action.detail if action.detail else "")
            self.record.note_trace(now, SIDES[side], "note", action.transport, -1, detail)
        kind = action.kind
        if kind not in _STEPS:
            self.record.state(now, SIDES[side], kind, action.detail)
            return None
        row = self._rows.get((side, action.transport))
        if row is None:
            return None
        if kind == "connack":
            row.connack_s = now
            row.session_present = int(action.detail == "session present")
        elif kind == "ready":
            if row.ready_s != row.ready_s:
                row.ready_s = now
                row.outcome = "ready"
        elif kind == "failed":
            row.end(now, action.detail)
        else:  # a further exchange
            row.end(row.ready_s, "done")
            fresh = self._new_row(side, action.transport, row.purpose, action.detail, 0.0, address, now)
            fresh.target = row.target
            fresh.started_s = fresh.tcp_s = fresh.opened_s = now
            return fresh
        return None

    # --- trace ------------------------------------------------------------------------------------------------------------

    def trace_input(self, side: int, now: float, event: Any) -> None:
        """An input that is about to be handled; call it where `tracing`."""
        message = -1
        detail = ""
        if type(event) is PacketReceived:
            detail = describe(event.packet)
            inner = event.packet.carried
            message = inner.id if inner is not None else -1
        elif type(event) is MessageCreated:
            message = event.message.id
            detail = event.message.kind
        elif type(event) is TransportLost or type(event) is NameFailed:
            detail = event.reason
        elif type(event) is AddressChanged:
            detail = event.address or ""
        elif type(event) is IgnitionChanged:
            detail = "on" if event.on else "off"
        elif type(event) is ServerChanged:
            detail = event.what + (f" node {event.node}" if event.node >= 0 else "")
        elif type(event) is StoreChanged:
            detail = event.reason or f"{len(event.kept.messages)} messages"
        self.record.note_trace(now, SIDES[side], name_of(type(event)), getattr(event, "transport", -1), message, detail)

    def trace_send(self, side: int, now: float, action: SendPacket) -> None:
        """A packet that is about to be sent; call it where `tracing`."""
        message = action.packet.carried
        number = message.id if message is not None else -1
        self.record.note_trace(now, SIDES[side], "send_packet", action.transport, number, describe(action.packet))


_STEPS: Final = frozenset({"connack", "ready", "failed", "exchange"})  # notes that are steps of a connection

_names: dict[type, str] = {}  # of inputs, in the trace


def name_of(kind: type) -> str:
    """`TransportOpened` -> `transport_opened`."""
    name = _names.get(kind)
    if name is None:
        letters = kind.__name__
        name = _names[kind] = "".join("_" + c.lower() if c.isupper() else c for c in letters).lstrip("_")
    return name
