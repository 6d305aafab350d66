"""What one vehicle's run leaves behind, in typed columns filled as it goes; the same recorder serves the model and live.

Truth about losses: a message is lost when its last copy was removed, and its cause is that of the record which removed it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sim.machine import Message
from sim.record.causes import UNATTRIBUTED

NAN: Final = math.nan


class Connection:
    """A row of connections.parquet in the making."""

    __slots__ = (
        "address",
        "asked_s",
        "attempt",
        "bytes_down",
        "bytes_up",
        "connack_s",
        "noticed_s",
        "opened_s",
        "opener",
        "outcome",
        "path_end_s",
        "peer_ended_s",
        "purpose",
        "ready_s",
        "reason",
        "resumed",
        "session_present",
        "started_s",
        "target",
        "tcp_s",
        "trigger",
        "waited_s",
    )

    def __init__(self, attempt: int, purpose: str, opener: str, trigger: str, address: str, waited_s: float, now: float) -> None:
        self.attempt = attempt
        self.purpose = purpose
        self.opener = opener
        self.trigger = trigger
        self.address = address
        self.target = ""
        self.waited_s = waited_s
        self.asked_s = now
        self.started_s = self.tcp_s = self.opened_s = self.connack_s = self.ready_s = self.path_end_s = self.noticed_s = NAN
        self.peer_ended_s = NAN
        self.resumed = False
        self.session_present = -1
        self.outcome = "open"
        self.reason = ""
        self.bytes_up = 0
        self.bytes_down = 0

    def end(self, now: float, reason: str) -> None:
        """The opener gave it up or was told."""
        if self.noticed_s != self.noticed_s:  # not yet ended
            self.noticed_s = now
            self.reason = reason
            if self.outcome == "open":
                self.outcome = "failed"


class Booked:
    """IP packets and bytes of one purpose in one direction."""

    __slots__ = ("n_bytes", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.n_bytes = 0


class Recorder:
    """Records of one vehicle under one strategy in one replication."""

    __slots__ = (
        "_aired",
        "_parts",
        "_replies",
        "_rows",
        "_traffic",
        "arrivals",
        "cause",
        "connections",
        "delivered",
        "first_sent",
        "gone",
        "handed",
        "messages",
        "messages_received",
        "messages_sent",
        "sends",
        "states",
        "trace",
        "via",
    )

    def __init__(self, *, trace: bool = False) -> None:
        self.messages: list[Message] = []
        self._rows: dict[int, int] = {}
        self._replies: dict[int, int] = {}  # id of a reply -> how often it was written
        # id -> (packet, payload bytes on the air) of each write: where there was more than one, or not all of it got on the air
        self._aired: dict[int, list[tuple[Any, int]]] = {}
        self._parts: dict[int, list[int]] = {}  # row -> [bytes of it that were on the air, bytes sent again]
        self.first_sent: list[float] = []
        self.sends: list[int] = []
        self.handed: list[float] = []
        self.delivered: list[float] = []
        self.arrivals: list[int] = []
        self.gone: list[float] = []
        self.via: list[str] = []
        self.cause: list[str] = []
        self.connections: list[Connection] = []
        self.states: list[tuple[float, str, str, str]] = []
        self._traffic: dict[tuple[str, str], Booked] = {}
        self.trace: list[tuple[float, str, str, int, int, str]] | None = [] if trace else None
        self.messages_sent = 0
        self.messages_received = 0

    def expect(self, messages: list[Message]) -> None:
        """Rows for messages that will be created by the clock, all at once."""
        n = len(messages)
        self._rows.update(
            zip([message.id for message in messages], range(len(self.messages), len(self.messages) + n), strict=True)
        )
        self.messages += messages
        for column in (self.first_sent, self.handed, self.delivered, self.gone):
            column += [NAN] * n
        self.sends += [0] * n
        self.arrivals += [0] * n
        self.via += [""] * n
        self.cause += [""] * n

    def created(self, message: Message) -> None:
        """A message that a machine creates exists from now on."""
        self._rows[message.id] = len(self.messages)
        self.messages.append(message)
        self.first_sent.append(NAN)
        self.sends.append(0)
        self.handed.append(NAN)
        self.delivered.append(NAN)
        self.arrivals.append(0)
        self.gone.append(NAN)
        self.via.append("")
        self.cause.append("")

    def sent(self, now: float, message: Message) -> bool:
        """The message was written to a transport towards its receiver; returns whether it had been before.

        A reply has no row of its own.
        """
        row = self._rows.get(message.id)
        if row is None:
            if message.id >= 0:
                return False
            writes = self._replies.get(message.id, 0)
            self._replies[message.id] = writes + 1
            return writes > 0
        sends = self.sends[row]
        if sends == 0:
            self.first_sent[row] = now
        self.sends[row] = sends + 1
        return sends > 0

    def on_air(self, message: Message, n_bytes: int, packet: Any = None) -> int:
        """A message was written in `packet`, and the first `n_bytes` of its payload get on the air.

        Returns by how many bytes what is sent again grows. To be called for each write but a first one of which all bytes get on
        the air. A live host cannot see the air: to it on the air is what was written.
        """
        writes = self._aired.get(message.id)
        if writes is None:
            row = self._rows.get(message.id)
            times = self._replies.get(message.id, 1) if row is None else self.sends[row]
            writes = self._aired[message.id] = [(None, message.size_bytes)] * (times - 1)
        before = _again(writes)
        writes.append((packet, n_bytes))
        return _again(writes) - before

    def aired_bytes(self, message: Message, packet: Any) -> int:
        """So many bytes of the message in `packet` are on the air, as far as is known."""
        writes = self._aired.get(message.id)
        return message.size_bytes if writes is None else writes[_write_of(packet, writes)][1]

    def off_air(self, message: Message, n_bytes: int, packet: Any) -> int:
        """The last `n_bytes` of the message in `packet` never got on the air after all: its transport was over before.

        Returns by how many bytes what is sent again shrinks.
        """
        writes = self._aired.setdefault(message.id, [(None, message.size_bytes)])
        before = _again(writes)
        which = _write_of(packet, writes)
        writes[which] = (packet, max(writes[which][1] - n_bytes, 0))
        return before - _again(writes)

    def sent_part(self, now: float, message_id: int, offset: int, n_bytes: int, begins: bool) -> int:
        """`n_bytes` of a message from `offset` on went on the air; returns how many of them had been there before."""
        row = self._rows.get(message_id)
        if row is None:
            return 0
        if begins:
            if self.sends[row] == 0:
                self.first_sent[row] = now
            self.sends[row] += 1
        part = self._parts.setdefault(row, [0, 0])
        if n_bytes == 0:
            return 0
        again = max(0, min(part[0], offset + n_bytes) - offset)
        part[0] = max(part[0], offset + n_bytes)
        part[1] += again
        return again

    def part_unsent(self, message_id: int, n_bytes: int) -> None:
        """The last bytes of what `sent_part` was told never got on the air: their transport was over before."""
        part = self._parts.get(self._rows.get(message_id, -1))
        if part is not None:
            part[0] = max(0, part[0] - n_bytes)

    def resent_bytes(self) -> list[int]:
        """For each message the payload bytes of it that were on the air again."""
        parts, aired = self._parts, self._aired
        return [parts[row][1] if row in parts else _again(aired.get(message.id, ())) for row, message in enumerate(self.messages)]

    def deliver(self, now: float, message: Message, via: str) -> None:
        """Hand-over to an application. A reply completes the row of its request."""
        if message.id < 0:
            row = self._rows.get(message.reply_to)
            if row is not None and self.delivered[row] != self.delivered[row] and self.messages[row].kind != "ota":
                self.delivered[row] = now
            return
        row = self._rows.get(message.id)
        if row is None:
            return
        arrivals = self.arrivals[row]
        self.arrivals[row] = arrivals + 1
        if arrivals == 0:
            self.handed[row] = now
            self.via[row] = via
            if message.kind == "ota" or message.kind == "telemetry":
                self.delivered[row] = now

    def drop(self, now: float, message: Message, cause: str) -> None:
        """A copy was removed for `cause`."""
        row = self._rows.get(message.id if message.id >= 0 else message.reply_to)
        if row is not None:
            self.cause[row] = cause
            self.gone[row] = now

    def state(self, now: float, machine: str, state: str, detail: str) -> None:
        self.states.append((now, machine, state, detail))

    def bytes(self, direction: str, purpose: str, packets: int, n_bytes: int) -> None:
        """Book IP bytes."""
        cell = self.booked(direction, purpose)
        cell.packets += packets
        cell.n_bytes += n_bytes

    def booked(self, direction: str, purpose: str) -> Booked:
        """What is booked under a purpose, to be added to."""
        cell = self._traffic.get((direction, purpose))
        if cell is None:
            cell = self._traffic[direction, purpose] = Booked()
        return cell

    @property
    def traffic(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(direction, purpose) -> packets, bytes."""
        return {key: (cell.packets, cell.n_bytes) for key, cell in self._traffic.items()}

    def outcomes(self, held: Iterable[Message]) -> list[tuple[str, str]]:
        """(outcome, cause) for each message, given the copies that somebody still holds at the end.

        A message that nobody holds, that was not delivered and for which no cause is on record is `unattributed`.
        """
        kept: set[int] = set()
        for message in held:
            kept.add(message.id if message.id >= 0 else message.reply_to)
        found = []
        for row, message in enumerate(self.messages):
            if self.delivered[row] == self.delivered[row]:
                found.append(("delivered", ""))
            elif message.id in kept:
                found.append(("pending", ""))
            else:
                found.append(("lost", self.cause[row] or UNATTRIBUTED))
        return found

    def note_trace(self, now: float, source: str, kind: str, transport: int, message: int, detail: str) -> None:
        if self.trace is not None:
            self.trace.append((now, source, kind, transport, message, detail))


def _write_of(packet: Any, writes: list[tuple[Any, int]]) -> int:
    """Which of a message's writes was in a packet: of several the fullest; one not known is a first one, all aired."""
    known = [at for at, write in enumerate(writes) if write[0] is packet]
    known = known or [at for at, write in enumerate(writes) if write[0] is None] or [len(writes) - 1]
    return max(known, key=lambda at: writes[at][1])


def _again(writes: Sequence[tuple[Any, int]]) -> int:
    """What is on the air more than once, where each write puts a message's first bytes there: all but the most of one write."""
    return sum(n_bytes for _, n_bytes in writes) - max((n_bytes for _, n_bytes in writes), default=0)


def describe(packet: Any) -> str:
    """A packet in a few words, for the trace."""
    name = type(packet).__name__
    if name == "Publish":
        return f"PUBLISH qos {packet.qos} id {packet.packet_id}" + (" dup" if packet.dup else "")
    if name == "ConnAck":
        return "CONNACK " + ("session present" if packet.session_present else "no session")
    if name == "Connect":
        return f"CONNECT {packet.client_id} clean {int(packet.clean_start)}"
    if name == "HTTPRequest":
        return f"{packet.method} {packet.path}" + (f" with {len(packet.messages)} messages" if packet.messages else "")
    if name == "BodyPart":
        return f"{packet.size_bytes} bytes of a body"
    if name == "HTTPResponse":
        return f"{packet.status}" + (f" with {len(packet.messages)} messages" if packet.messages else "")
    if hasattr(packet, "packet_id"):
        return f"{name.upper()} id {packet.packet_id}"
    return name.upper()
