"""The live driver: hosts one machine on the event loop. As in the model it contains no protocol behaviour and no choices.

The laws of the model's driver hold: calls are atomic and never re-entered (nothing is awaited inside one), one wake-up is
armed and only when the deadline is earlier, now = max(clock, deadline), inputs of an abandoned transport are ignored, and
every exception of the outside becomes an input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sim.live.clock import Clock
from sim.live.vehicle_log import VehicleLog
from sim.live.wire import Codec, Wire, reason_of
from sim.machine import (
    NEVER,
    AddressChanged,
    CloseTransport,
    Create,
    Deliver,
    Drop,
    NameFailed,
    NameResolved,
    Note,
    OpenTransport,
    PacketReceived,
    ResolveName,
    SendPacket,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.http import BodyPart
from sim.record.journal import VEHICLE, Journal
from sim.record.recorder import Connection

if TYPE_CHECKING:  # at run time only where TLS is used: it needs more packages
    from sim.live.tls import TLSStream

#: Opens a connection to (address, port) for a wire; raises OSError. The link decides from which address it leaves.
#: The last argument is TCP_USER_TIMEOUT in s, 0: the system's default.
Connector = Callable[[str, int, Callable[[], asyncio.Protocol], float], Awaitable[None]]
#: A TLS client's end: (name the peer has to bear, maker of what speaks inside).
Securer = Callable[[str, Callable[[str], asyncio.Protocol]], "TLSStream"]
#: Resolves a name, or returns "" where it cannot.
Resolver = Callable[[str], Awaitable[str]]
_OPEN_AT_MOST_S = 140.0  # a connect that the machine forgot: longer than Linux keeps trying (131 s)
_SHAKE_AT_MOST_S = 1000.0  # a TLS handshake likewise: longer than Linux keeps retransmitting (924.6 s in theory)


class Host:
    """Hosts `machine` as `side` (VEHICLE or SERVER) of a journal."""

    def __init__(
        self,
        machine: Any,
        side: int,
        clock: Clock,
        journal: Journal,
        *,
        connect: Connector,
        resolve: Resolver,
        codec_for: Callable[[int, bool], Codec],
        address: Callable[[], str] = lambda: "",
        secure: Securer | None = None,
        log: VehicleLog | None = None,
    ) -> None:
        """`codec_for(port, accepted)` makes the codec of what is spoken there; `address()` is the vehicle's, for the records.

        `secure`: what this host opens is TLS; what it accepts is the listener's business. `log`: told what the vehicle sees.
        """
        self.machine = machine
        self._side = side
        self._clock = clock
        self._journal = journal
        self._connect = connect
        self._resolve = resolve
        self._codec_for = codec_for
        self._address = address
        self._wires: dict[int, Wire] = {}
        self._ids: dict[Wire, int] = {}
        self._secure = secure
        self._log = log
        self.ends: dict[tuple[str, int], Connection] = {}  # address and port from which each connection left
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._openers: set[asyncio.Task[None]] = set()  # the loop keeps weak references only
        self._names: set[asyncio.Task[None]] = set()
        self._next_accepted_id = 1_000_000
        self._armed = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self.failure: BaseException | None = None  # a defect of ours that a callback met

    # --- time and calls -------------------------------------------------------------------------------------------------

    def input(self, event: Any) -> None:
        """Something happened."""
        if self._stopped:
            return
        now = self._clock.now()
        if self._log is not None and isinstance(event, AddressChanged):
            self._log.address(now, event.address)
        try:
            if self._journal.tracing:
                self._journal.trace_input(self._side, now, event)
            self._perform(now, self.machine.handle(now, event))
            self._arm()
        except Exception as error:
            self._fail(error)

    def start(self) -> None:
        """Arm the first deadline."""
        self._arm()

    def _arm(self) -> None:
        at = self.machine.next_deadline()
        if at < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = at
            self._timer = self._clock.at(at, self._wake)

    def _wake(self) -> None:
        if self._stopped:
            return
        # an event loop may call a timer one resolution of its clock early
        now = max(self._clock.now(), self._armed)
        self._armed = NEVER
        try:
            if self.machine.next_deadline() <= now:
                self._perform(now, self.machine.handle_deadline(now))
            self._arm()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._stopped = True

    # --- actions --------------------------------------------------------------------------------------------------------

    def _perform(self, now: float, actions: list[Any]) -> None:
        for action in actions:
            _ACTIONS[type(action)](self, now, action)

    def _send(self, now: float, action: SendPacket) -> None:
        if self._journal.tracing:
            self._journal.trace_send(self._side, now, action)
        wire = self._wires.get(action.transport)
        if wire is None:
            return
        packet, again = action.packet, 0.0
        if type(packet) is BodyPart:
            again = self._journal.sent_part(now, packet, packet.size_bytes) / max(packet.size_bytes, 1)
        elif self._journal.sent(self._side, now, packet):
            again = self._journal.written_again(packet)
        n_bytes = wire.send(packet)
        up, purpose = self._side == VEHICLE, packet.purpose
        repeated = round(n_bytes * again) if purpose == "payload" else 0
        self._book(action.transport, up=up, purpose=purpose, n_bytes=n_bytes - repeated)
        if repeated:
            self._book(action.transport, up=up, purpose="repeated", n_bytes=repeated, packets=0)

    def _book(self, transport: int, *, up: bool, purpose: str, n_bytes: int, packets: int = 1) -> None:
        self._journal.record.bytes("up" if up else "down", purpose, packets, n_bytes)
        row = self._journal.row(self._side, transport)
        if row is not None:
            if up:
                row.bytes_up += n_bytes
            else:
                row.bytes_down += n_bytes

    def _open(self, now: float, action: OpenTransport) -> None:
        self._journal.opening(self._side, action, self._address(), now)
        task = asyncio.ensure_future(self._open_wire(action))
        self._opening[action.transport] = task
        self._openers.add(task)
        task.add_done_callback(self._openers.discard)

    async def _open_wire(self, action: OpenTransport) -> None:
        """TCP, then TLS where asked for; the machine is told by the wire itself once it is made (`_opened`)."""
        transport = action.transport
        wire = self._announced(action.port, accepted=False)
        stream = None if self._secure is None else self._secure(action.peer, lambda _peer: wire)
        wire.made = lambda: self._opened(transport, wire, stream)
        try:
            async with asyncio.timeout(_OPEN_AT_MOST_S):
                await self._connect(action.address, action.port, lambda: stream or wire, action.user_timeout_s)
            self._tcp_stands(transport)
            if stream is not None:
                async with asyncio.timeout(_SHAKE_AT_MOST_S):
                    await stream.shaken
        except (OSError, TimeoutError) as error:
            if stream is not None and not stream.shaken.done():
                stream.abort()
            if self._opening.pop(transport, None) is not None:
                self._told_lost(transport, reason_of(error))
        except asyncio.CancelledError:
            if stream is not None:
                stream.abort()  # abandoned in the handshake
            raise

    def _tcp_stands(self, transport: int) -> None:
        row = self._journal.row(self._side, transport)
        if row is not None and row.tcp_s != row.tcp_s:
            row.tcp_s = self._clock.now()

    def _opened(self, transport: int, wire: Wire, stream: TLSStream | None) -> None:
        if self._opening.pop(transport, None) is None:
            wire.close(abort=True)  # abandoned while it opened
            return
        self._wires[transport] = wire
        self._ids[wire] = transport
        self._tcp_stands(transport)
        row = self._journal.row(self._side, transport)
        resumed = stream is not None and stream.resumed
        if row is not None:
            row.opened_s = self._clock.now()
            row.resumed = resumed
            self.ends[wire.end] = row
        if stream is not None:
            up = self._side == VEHICLE
            self._book(transport, up=up, purpose="handshake", n_bytes=stream.bytes_out)
            self._book(transport, up=not up, purpose="handshake", n_bytes=stream.bytes_in)
        self.input(TransportOpened(transport, resumed))

    def _close(self, now: float, action: CloseTransport) -> None:
        task = self._opening.pop(action.transport, None)
        if task is not None:
            task.cancel()
        wire = self._wires.pop(action.transport, None)
        if wire is not None:
            self._ids.pop(wire, None)
            wire.close(abort=action.abort)
        self._end_row(action.transport, now, action.reason)

    def _resolve_name(self, now: float, action: ResolveName) -> None:
        if action.transport >= 0:
            self._journal.asked(self._side, action, self._address(), now)
        task = asyncio.ensure_future(self._ask(action.name, action.transport))
        self._names.add(task)  # the loop keeps weak references only
        task.add_done_callback(self._names.discard)

    async def _ask(self, name: str, transport: int) -> None:
        try:
            address = await self._resolve(name)
        except OSError:
            address = ""
        self.input(NameResolved(name, address, transport) if address else NameFailed(name, "timed_out", transport))

    def _create(self, now: float, action: Create) -> None:
        self._journal.created(action.message)

    def _deliver(self, now: float, action: Deliver) -> None:
        self._journal.deliver(self._side, now, action)

    def _drop(self, now: float, action: Drop) -> None:
        self._journal.drop(self._side, now, action, self._address())

    def _note(self, now: float, action: Note) -> None:
        self._journal.note(self._side, now, action, self._address())
        if self._log is not None:
            self._log.note(now, action, self._journal.row(self._side, action.transport))

    # --- what the outside tells -------------------------------------------------------------------------------------------

    def accept(self, port: int, peer: str = "") -> Wire:
        """A wire for a connection that came in on `port`; the machine is told once it is made."""
        self._next_accepted_id += 1
        transport = self._next_accepted_id
        wire = self._announced(port, accepted=True)
        wire.made = lambda: self._accepted(wire, transport, port, peer)
        return wire

    def _accepted(self, wire: Wire, transport: int, port: int, peer: str) -> None:
        self._wires[transport] = wire
        self._ids[wire] = transport
        self.input(TransportAccepted(transport, port, peer, wire.peer))

    def adopt(self, transport: int, wire: Wire) -> None:
        """A wire that stands already (the server's own connection to its broker)."""
        self._wires[transport] = wire
        self._ids[wire] = transport
        self.input(TransportOpened(transport))

    def wire(self, port: int) -> Wire:
        """A wire whose inputs go to this machine, for `adopt`."""
        return Wire(self._codec_for(port, False), on_packet=self._received, on_lost=self._lost, on_blocked=self._blocked)

    def _announced(self, port: int, *, accepted: bool) -> _AnnouncedWire:
        codec = self._codec_for(port, accepted)
        return _AnnouncedWire(codec, on_packet=self._received, on_lost=self._lost, on_blocked=self._blocked)

    def _received(self, wire: Wire, packet: Any) -> None:
        transport = self._ids.get(wire)
        if transport is not None:
            self.input(PacketReceived(transport, packet))

    def _lost(self, wire: Wire, reason: str) -> None:
        transport = self._ids.pop(wire, None)
        if transport is not None and self._wires.pop(transport, None) is not None:
            self._told_lost(transport, reason)

    def _told_lost(self, transport: int, reason: str) -> None:
        self._end_row(transport, self._clock.now(), reason)
        self.input(TransportLost(transport, reason))

    def _end_row(self, transport: int, now: float, reason: str) -> None:
        row = self._journal.row(self._side, transport)
        if self._log is not None and row is not None and row.noticed_s != row.noticed_s:
            reason = self._log.ended(now, row, reason)  # it may know better than the machine can
        self._journal.end_row(self._side, transport, now, reason)

    def _blocked(self, wire: Wire, blocked: bool) -> None:
        transport = self._ids.get(wire)
        if transport is not None:
            self.input(WriteBlocked(transport) if blocked else WriteResumed(transport))

    async def stop(self) -> None:
        """End everything this host has open; nothing is told to the machine any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._openers, *self._names]
        for task in tasks:
            task.cancel()
        for wire in list(self._wires.values()):
            wire.close(abort=True)
        await asyncio.gather(*tasks, return_exceptions=True)


class _AnnouncedWire(Wire):
    """Tells its owner when the connection is made."""

    made: Callable[[], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.made()


_ACTIONS: dict[type, Callable[..., None]] = {
    SendPacket: Host._send,
    OpenTransport: Host._open,
    CloseTransport: Host._close,
    ResolveName: Host._resolve_name,
    Create: Host._create,
    Deliver: Host._deliver,
    Drop: Host._drop,
    Note: Host._note,
}
