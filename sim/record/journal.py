"""How a driver writes records: rows of connections, states, deliveries, drops, trace. The same for the model and live."""

from __future__ import annotations

import math
from typing import Any

from sim.machine import AddressChanged, Deliver, Drop, Message, MessageCreated, NameFailed, Note, PacketReceived, TransportLost
from sim.record.recorder import Connection, Recorder, describe

SIDES = ("vehicle", "server")
VEHICLE, SERVER = 0, 1


class Journal:
    """Writes what happens to one vehicle into its Recorder. `end` of a transport: 0 the vehicle's, 1 the server's."""

    def __init__(self, record: Recorder) -> None:
        self.record = record
        self.tracing = record.trace is not None
        self._rows: dict[tuple[int, int], Connection] = {}

    # --- connections ------------------------------------------------------------------------------------------------------

    def row(self, end: int, transport: int) -> Connection | None:
        """The row of the connection (or exchange) that `transport` of that end carries."""
        return self._rows.get((end, transport))

    def new_row(
        self, end: int, transport: int, purpose: str, trigger: str, waited_s: float, address: str, now: float
    ) -> Connection:
        row = Connection(len(self.record.connections), purpose, SIDES[end], trigger, address, waited_s, now)
        self.record.connections.append(row)
        self._rows[end, transport] = row
        return row

    def end_row(self, end: int, transport: int, now: float, reason: str, path_end_s: float = math.inf) -> None:
        """The opener at `end` gave the connection up or was told that it is gone."""
        row = self._rows.get((end, transport))
        if row is not None:
            row.end(now, reason)
            if path_end_s < now:
                row.path_end_s = path_end_s

    # --- actions ----------------------------------------------------------------------------------------------------------

    def deliver(self, side: int, now: float, action: Deliver) -> None:
        if side == VEHICLE:
            self.record.messages_received += 1
        self.record.deliver(now, action.message, action.via)
        self.trace(now, side, "deliver", -1, action.message.id, action.via)

    def drop(self, side: int, now: float, action: Drop) -> None:
        self.record.drop(now, action.message, action.cause)
        self.trace(now, side, "drop", -1, action.message.id, action.cause)

    def sent(self, side: int, now: float, transport: int, packet: Any) -> None:
        """A packet is written to a transport."""
        messages: tuple[Message, ...] = (packet.message,) if packet.message is not None else getattr(packet, "messages", ())
        for message in messages:
            self.record.sent(now, message)
            if side == VEHICLE:
                self.record.messages_sent += 1
        if self.tracing:
            self.trace(
                now, side, "send_packet", transport, packet.message.id if packet.message is not None else -1, describe(packet)
            )

    def note(self, side: int, now: float, action: Note, address: str = "") -> None:
        """A note of a machine: a step of a connection, or a state entered."""
        if self.tracing:
            self.trace(now, side, "note", action.transport, -1, action.kind + (" " + action.detail if action.detail else ""))
        kind = action.kind
        if kind not in ("connack", "ready", "failed", "exchange"):
            self.record.state(now, SIDES[side], kind, action.detail)
            return
        row = self._rows.get((side, action.transport))
        if row is None:
            return
        if kind == "connack":
            row.connack_s = now
            row.session_present = int(action.detail == "session present")
        elif kind == "ready":
            if row.ready_s != row.ready_s:
                row.ready_s = now
                row.outcome = "ready"
        elif kind == "failed":
            row.end(now, action.detail)
        else:
            row.end(row.ready_s, "done")
            fresh = self.new_row(side, action.transport, row.purpose, action.detail, 0.0, address, now)
            fresh.target = row.target
            fresh.started_s = fresh.tcp_s = fresh.opened_s = now

    # --- trace ------------------------------------------------------------------------------------------------------------

    def trace(self, now: float, side: int, kind: str, transport: int, message: int, detail: str) -> None:
        if self.tracing:
            self.record.note_trace(now, SIDES[side], kind, transport, message, detail)

    def input(self, side: int, now: float, event: Any) -> None:
        """Trace an input before it is handled."""
        if not self.tracing:
            return
        message, detail = -1, ""
        if isinstance(event, PacketReceived):
            detail = describe(event.packet)
            message = event.packet.message.id if event.packet.message is not None else -1
        elif isinstance(event, MessageCreated):
            message, detail = event.message.id, event.message.kind
        elif isinstance(event, TransportLost | NameFailed):
            detail = event.reason
        elif isinstance(event, AddressChanged):
            detail = event.address or ""
        self.trace(now, side, snake(type(event).__name__), getattr(event, "transport", -1), message, detail)


def snake(name: str) -> str:
    """`TransportOpened` -> `transport_opened`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
