"""The broker's port in the server's namespace: TLS ends here, MQTT is looked at, and behind it the broker has plain TCP.

As `sim.live.tls_relay` it makes nothing up: FIN and RST of either side are passed on, and the broker is dialled only after
the handshake. It tells who came (`visits`): a vehicle's connection may end because somebody else bears its client id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.live.clock import Clock
from sim.live.observed.visits import Visit
from sim.live.packet.relay import End, Relay
from sim.live.wire import reason_of

if TYPE_CHECKING:  # without TLS its packages are not needed
    from sim.live.packet.tls_records import RecordwiseTLSStream

Secure = Callable[[Callable[[str], asyncio.Protocol]], "RecordwiseTLSStream"]


class Door:
    """Hands connections on to `host`:`port`. `accept` makes the protocol of one that comes in; `stop` ends all."""

    def __init__(
        self, clock: Clock, host: str, port: int, secure: Secure | None, *, whole: bool, first: Callable[[], bytes] | None = None
    ) -> None:
        """`whole`: all MQTT packets are noted, else each connection's CONNECT alone. `first`: as Relay's."""
        self._first = first
        self._clock = clock
        self._whole = whole
        self._host, self._port = host, port
        self._secure = secure
        self._relays: set[Relay] = set()
        self.visits: list[Visit] = []
        self.connected: Callable[[Visit], None] = _nothing  # told of each CONNECT

    def accept(self) -> asyncio.Protocol:
        visit = Visit(self._whole)
        if self._secure is None:
            return self._relayed(visit, None)
        visit.tls = True
        streams: list[RecordwiseTLSStream] = []  # of one, which does not exist yet where it is referred to
        stream = self._secure(lambda _peer: self._shaken(visit, streams[0]))
        streams.append(stream)
        stream.made = lambda transport: self._came(visit, transport)
        stream.lost = lambda: visit.over(self._clock.now())
        stream.shaken.add_done_callback(lambda done: self._judged(visit, stream, done))
        return stream

    def stop(self) -> None:
        for relay in list(self._relays):
            relay.stop()

    def _came(self, visit: Visit, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        visit.near = (str(peer[0]), int(peer[1])) if peer else ("", 0)
        visit.accepted_s = self._clock.now()
        self.visits.append(visit)

    def _shaken(self, visit: Visit, stream: RecordwiseTLSStream) -> asyncio.Protocol:
        visit.shaken_s = self._clock.now()
        visit.handshake_in, visit.handshake_out = stream.bytes_in, stream.bytes_out
        visit.resumed = stream.resumed
        return self._relayed(visit, stream)

    def _judged(self, visit: Visit, stream: RecordwiseTLSStream, done: asyncio.Future[bool]) -> None:
        if not stream.is_tls:
            visit.unreadable = "it does not speak TLS, the server does"
        error = None if done.cancelled() else done.exception()
        if error is not None:
            reason = reason_of(error)
            visit.failed = reason if reason in ("tls_failed", "wrong_peer") else ""
            visit.over(self._clock.now(), by_broker=bool(visit.failed))

    def _relayed(self, visit: Visit, stream: RecordwiseTLSStream | None) -> asyncio.Protocol:
        return Relay(self._relays, self._host, self._port, WatchedEnd(self, visit, stream), self._first).near

    def told(self, visit: Visit, had_connect: bool) -> None:
        """Bytes of the vehicle were looked at."""
        if visit.connect is not None and not had_connect:
            self.connected(visit)


class WatchedEnd(End):
    """The vehicle's end, which notes what passes."""

    def __init__(self, door: Door, visit: Visit, stream: RecordwiseTLSStream | None) -> None:
        super().__init__()
        self._door = door
        self._visit = visit
        self._stream = stream
        self._plain_in = self._plain_out = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._stream is None:
            self._door._came(self._visit, transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._plain_in += len(data)
        had_connect = self._visit.connect is not None
        place = self._plain_in if self._stream is None else self._stream.bytes_in
        self._visit.up(self._door._clock.now(), data, place)
        self._door.told(self._visit, had_connect)
        super().data_received(data)

    def write(self, data: bytes) -> None:
        start = self._plain_out if self._stream is None else self._stream.bytes_out
        super().write(data)
        self._plain_out += len(data)
        self._visit.down(self._door._clock.now(), data, start)

    def eof_received(self) -> bool:
        self._visit.over(self._door._clock.now())
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._visit.over(self._door._clock.now())
        super().connection_lost(exc)

    def write_eof(self) -> None:
        self._visit.over(self._door._clock.now(), by_broker=True)
        super().write_eof()

    def reset(self) -> None:
        self._visit.over(self._door._clock.now(), by_broker=True)
        super().reset()


def _nothing(_visit: Visit) -> None:
    pass
