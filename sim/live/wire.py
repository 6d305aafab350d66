"""A TCP connection that carries packets: bytes on one side, typed packets on the other. Bounded, and never awaited."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
from collections.abc import Callable
from typing import Any, Final, cast

WRITE_HIGH_BYTES = 4 * 1024 * 1024  # as the model's send buffer (Linux tcp_wmem[2])
WRITE_LOW_BYTES = WRITE_HIGH_BYTES // 2
#: how long a connection that we close may take to hand over what is unsent
_LINGER_S: Final = 60.0
#: how long a peer that we hang up on may go on sending: closing with unread bytes would send RST, and our last word be lost
_FAREWELL_S: Final = 2.0
FOREVER: Final = (0, math.inf)


class Codec:
    """Packets to bytes and back, and what the protocol knows of connections: most know nothing of them."""

    def encode(self, packet: Any) -> bytes:
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Any]:
        """Raises ValueError on bytes that are no packets of the protocol."""
        raise NotImplementedError

    @property
    def has_more(self) -> bool:
        """Whether feed(b"") would give more packets, now that one was written."""
        return False

    @property
    def owes(self) -> bool:
        """Whether a packet was read whose answer has not been written; more may be read only then."""
        return False

    @property
    def is_crowded(self) -> bool:
        """Whether enough has come that cannot be read yet."""
        return False

    @property
    def only_answers(self) -> bool:
        """Whether all that is written answers something read: a peer that does not read need not be heard."""
        return False

    @property
    def is_over(self) -> bool:
        """Whether the protocol ends the connection after what was written."""
        return False

    @property
    def awaited(self) -> tuple[int, float]:
        """What the peer has to do next, as a number that changes with it, and how many s it has for it."""
        return FOREVER

    def interjection(self) -> bytes:
        """What is said before a packet is complete."""
        return b""

    def farewell(self, *, late: bool = False) -> bytes:
        """What is said before hanging up on bytes that are no packets, or on a peer that took too long."""
        return b""

    def ended(self) -> None:
        """The connection is over."""


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
        self._closed = False  # for the owner
        self._peer_is_done = False  # it has sent FIN
        self._holds_back = False
        self._is_blocked = False  # the peer does not read
        self._awaited = FOREVER
        self._since_s = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.peer = ""
        self.end = ("", 0)  # our own address and port

    # --- what asyncio tells -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self.end = transport.get_extra_info("sockname") or ("", 0)
        self._look_at_patience()

    def data_received(self, data: bytes) -> None:
        if self._closed or self._transport is None or self._transport.is_closing():
            return  # read and thrown away
        self.bytes_in += len(data)
        try:
            packets = self._codec.feed(data)
        except ValueError:
            self._end("protocol_error")
            self._hang_up(self._codec.farewell())
            return
        said = self._codec.interjection()
        if said:
            self._transport.write(said)
        for packet in packets:
            if self._closed:
                return
            self._on_packet(self, packet)
        self._hold_back()
        self._look_at_patience()

    def eof_received(self) -> bool:
        self._peer_is_done = True
        return self._codec.owes and not self._closed  # else the transport closes itself

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._patience, self._linger):
            if timer is not None:
                timer.cancel()
        self._end("closed" if exc is None else reason_of(exc))

    def pause_writing(self) -> None:
        self._is_blocked = True
        self._hold_back()
        if self._on_blocked is not None and not self._closed:
            self._on_blocked(self, True)

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._hold_back()
        if self._on_blocked is not None and not self._closed:
            self._on_blocked(self, False)
        self._read_on()

    # --- what the owner wants ---------------------------------------------------------------------------------------------

    def send(self, packet: Any) -> int:
        """Write a packet; returns its bytes, 0 where the connection is over."""
        if self._transport is None or self._closed or self._transport.is_closing():
            return 0
        data = self._codec.encode(packet)
        self._transport.write(data)
        self.bytes_out += len(data)
        if self._codec.is_over:
            self._close()
        elif self._codec.has_more:
            self._read_on()
        elif self._peer_is_done and not self._codec.owes:
            self._close()
        self._hold_back()
        self._look_at_patience()
        return len(data)

    def close(self, *, abort: bool) -> None:
        """The owner closes it; it is told nothing more."""
        self._closed = True
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._close()

    # --- the end ----------------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """After what was written, which a peer that reads nothing does not hold up for ever."""
        assert self._transport is not None
        self._transport.close()
        self._abort_after(_LINGER_S)

    def _hang_up(self, last: bytes) -> None:
        if self._transport is None:
            return
        if not last:
            self._transport.abort()
            return
        self._hold_back()
        self._transport.write(last)
        if self._peer_is_done or not self._transport.can_write_eof():
            self._transport.close()
        else:
            with contextlib.suppress(OSError):  # the peer has reset it, and the loop will say so in a moment
                self._transport.write_eof()
        self._abort_after(_FAREWELL_S)

    def _abort_after(self, delay_s: float) -> None:
        if self._linger is None and self._transport is not None:
            self._linger = asyncio.get_running_loop().call_later(delay_s, self._transport.abort)

    def _end(self, reason: str) -> None:
        self._codec.ended()
        if not self._closed:
            self._closed = True
            self._on_lost(self, reason)

    # --- bounds -----------------------------------------------------------------------------------------------------------

    def _hold_back(self) -> None:
        """Stop reading from a peer that sends more than can be answered, or does not read the answers; and go on later."""
        wanted = not self._closed and (self._codec.is_crowded or (self._is_blocked and self._codec.only_answers))
        if wanted == self._holds_back or self._transport is None or self._transport.is_closing():
            return
        self._holds_back = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _read_on(self) -> None:
        """Read what has come already; not now: the owner may be in the middle of a call."""
        if self._codec.has_more and not (self._is_blocked and self._codec.only_answers):
            asyncio.get_running_loop().call_soon(self.data_received, b"")

    def _look_at_patience(self) -> None:
        """Arm the timer for what the peer has to do next; one that rings too early is armed again."""
        if self._closed:
            return
        awaited = self._codec.awaited
        now = asyncio.get_running_loop().time()
        if awaited[0] != self._awaited[0] or self._awaited[1] == math.inf:
            self._since_s = now
        self._awaited = awaited
        if self._patience is None and awaited[1] < math.inf:
            self._patience = asyncio.get_running_loop().call_at(self._since_s + awaited[1], self._patience_over)
        elif self._patience is not None and self._since_s + awaited[1] < self._patience.when():
            self._patience.cancel()
            self._patience = asyncio.get_running_loop().call_at(self._since_s + awaited[1], self._patience_over)

    def _patience_over(self) -> None:
        self._patience = None
        if self._closed:
            return
        if asyncio.get_running_loop().time() < self._since_s + self._awaited[1]:
            self._look_at_patience()
            return
        self._end("timed_out")
        last = self._codec.farewell(late=True)
        if last:
            self._hang_up(last)
        else:
            self._close()


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
