"""A TCP connection that carries packets: bytes on one side, typed packets on the other. Bounded, and never awaited."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any, Protocol, cast

WRITE_HIGH_BYTES = 4 * 1024 * 1024  # as the model's send buffer (Linux tcp_wmem[2])
WRITE_LOW_BYTES = WRITE_HIGH_BYTES // 2


class Codec(Protocol):
    """Packets to bytes and back. `feed` raises ValueError on bytes that are no packets of the protocol."""

    def encode(self, packet: Any) -> bytes: ...

    def feed(self, data: bytes) -> list[Any]: ...

    @property
    def has_more(self) -> bool:
        """Whether feed(b"") would give more packets, now that one was written."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the protocol ends the connection after what was written."""
        ...

    def farewell(self) -> bytes:
        """What is said before hanging up on bytes that are no packets."""
        ...


class Wire(asyncio.Protocol):
    """One connection. The owner is told of packets and of the end, each at most once after the other."""

    def __init__(
        self,
        codec: Codec,
        *,
        on_packet: Callable[[Wire, Any], None],
        on_lost: Callable[[Wire, str], None],
        on_blocked: Callable[[Wire, bool], None] | None = None,
    ) -> None:
        self._codec = codec
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._on_blocked = on_blocked
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._eof = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        try:
            packets = self._codec.feed(data)
        except ValueError:
            self._end("protocol_error")
            self._hang_up()
            return
        for packet in packets:
            if self._closed:
                return
            self._on_packet(self, packet)

    def eof_received(self) -> bool:
        self._eof = True
        return False  # the transport closes itself

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end("closed" if exc is None else reason_of(exc))

    def pause_writing(self) -> None:
        if self._on_blocked is not None and not self._closed:
            self._on_blocked(self, True)

    def resume_writing(self) -> None:
        if self._on_blocked is not None and not self._closed:
            self._on_blocked(self, False)

    def send(self, packet: Any) -> int:
        """Write a packet; returns its bytes."""
        data = self._codec.encode(packet)
        if self._transport is not None and not self._closed:
            self._transport.write(data)
            self.bytes_out += len(data)
            if self._codec.is_over:
                self._transport.close()
            elif self._codec.has_more:
                # not now: the owner is in the middle of a call
                asyncio.get_running_loop().call_soon(self.data_received, b"")
        return len(data)

    def close(self, *, abort: bool) -> None:
        """The owner closes it; it is told nothing more."""
        self._closed = True
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._transport.close()

    def _hang_up(self) -> None:
        if self._transport is None:
            return
        last = self._codec.farewell()
        if last:
            self._transport.write(last)
            self._transport.close()
        else:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._on_lost(self, reason)


class HandshakeFailed(OSError):
    """TLS refused the peer, or the peer us. `reason`: tls_failed or wrong_peer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def reason_of(error: BaseException) -> str:
    """An exception of the outside as a reason of TransportLost."""
    if isinstance(error, HandshakeFailed):
        return error.reason
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "reset"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "timed_out"
    if isinstance(error, OSError):
        return {
            errno.ETIMEDOUT: "timed_out",
            errno.EADDRNOTAVAIL: "no_address",
            errno.ENETUNREACH: "no_route",
            errno.EHOSTUNREACH: "unreachable",
            errno.ECONNREFUSED: "refused",
        }.get(error.errno or 0, "reset")
    return "reset"
