"""One accepted connection of the served broker: bytes to packets and back, blocked and resumed, closed without a hang."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from sim.live.mqtt_codec import Decoder, InvalidPacket, UnsupportedVersion, encode
from sim.machine import PacketReceived, TransportLost, WriteBlocked, WriteResumed
from sim.protocols.mqtt_packets import V5, V311, Malformed

#: bytes in the send buffer from which the machine is told to hold back, and below which it may go on
_HIGH_WATER, _LOW_WATER = 256 * 1024, 64 * 1024
#: how long a connection that we close may take to hand over what is unsent and to be closed by its peer
_LINGER_S = 5.0


class Hosting(Protocol):
    """What a connection needs of the service."""

    def take(self, event: Any) -> None: ...

    def clock(self) -> float: ...

    def accept(self, connection: BrokerConnection) -> int | None: ...

    def gone(self, connection: BrokerConnection) -> None: ...

    def may_buffer(self, connection: BrokerConnection) -> bool: ...


class BrokerConnection(asyncio.Protocol):
    """`id` is the transport's, chosen by the service; -1 before the connection is accepted."""

    def __init__(self, service: Hosting, limit_bytes: int, limit5_bytes: int) -> None:
        self.id = -1
        self.blocked = False
        self._service = service
        self._decoder = Decoder(limit_bytes=limit_bytes, limit5_bytes=limit5_bytes)
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._linger: asyncio.TimerHandle | None = None

    @property
    def partial_bytes(self) -> int:
        """Bytes held of a packet that is not complete yet."""
        return self._decoder.buffered_bytes

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # --- what asyncio tells -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(_HIGH_WATER, _LOW_WATER)
        found = self._service.accept(self)
        if found is None:
            self._closing = True
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # read and thrown away: closing with unread bytes would send RST, and our last packet might be lost
        decoder = self._decoder
        try:
            packets = decoder.feed(data, self._service.clock())
        except InvalidPacket as error:
            self._service.take(PacketReceived(self.id, self._malformed(error)))
            return
        for packet in packets:
            self._service.take(PacketReceived(self.id, packet))
        if decoder.error is not None:
            self._service.take(PacketReceived(self.id, self._malformed(decoder.error)))
        elif decoder.buffered_bytes and not self._service.may_buffer(self):
            self.lose("reset")

    def _malformed(self, error: InvalidPacket) -> Malformed:
        version = self._decoder.version or 0
        if isinstance(error, UnsupportedVersion):
            # a later version than ours would understand a CONNACK of 5, an earlier one that of 3.1.1 (MQTT 5 3.1.2.2)
            version = V5 if error.level > V5 else V311
        return Malformed(error.reason_code, error.text, version)

    def eof_received(self) -> bool:
        return False  # the transport closes itself; connection_lost follows

    def pause_writing(self) -> None:
        self.blocked = True
        self._service.take(WriteBlocked(self.id))

    def resume_writing(self) -> None:
        self.blocked = False
        self._service.take(WriteResumed(self.id))

    def connection_lost(self, error: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._service.gone(self)
        self._end("closed" if error is None else "timed_out" if isinstance(error, TimeoutError) else "reset")

    # --- what the machine wants ---------------------------------------------------------------------------------------------

    def send(self, packet: Any) -> None:
        """Write a packet; a connection that is closing or whose peer reads nothing takes no more."""
        if self._closing or self._transport is None or self._transport.is_closing():
            return  # asyncio tells of the loss in a moment, and would write each packet until then to its log
        self._transport.write(encode(packet, self._decoder.version or V311))
        if self.blocked and not self._service.may_buffer(self):
            self.lose("reset")

    def close(self, *, abort: bool = False) -> None:
        """Close after what was written; the machine has let go of the transport already."""
        transport = self._transport
        if transport is None or self._closing:
            return
        self._closing = True
        if abort:
            transport.abort()
            return
        if transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()  # FIN; the peer closes its side when it has read it
        else:
            transport.close()
        self._linger = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def lose(self, reason: str) -> None:
        """The connection cannot go on for a reason of ours; to the machine it is a loss like any other."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if not self._closing:
            self._closing = True
            self._service.take(TransportLost(self.id, reason))
