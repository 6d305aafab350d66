"""The relay beside each end of the link: from a listener in a namespace to where the real program listens.

Programs of the lab listen on loopback outside of the namespaces. The kernel TCP under test ends in the namespace, at the
relay's socket; the way from there to the program is loopback without delay. FIN and RST of either side are passed on, and
nothing else is made up: where the kernel of the namespace has not noticed that its peer is gone, neither does the program.
What a relay changes: socket options that the program sets (TCP keepalive) do not reach the link, and its own buffers, kept
small, take some bytes more before a writer to a dead path is blocked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

_BUFFER_BYTES = 64 * 1024
_OPEN_AT_MOST_S = 10.0
_LOOK_EVERY_S = 0.02  # for a reset of an end that is not read
_TCP_CLOSE = 7  # the state of a socket that was reset (linux/tcp_states.h)


class Relay:
    """One connection: `near` is the end in the namespace, `far` the one to the program."""

    def __init__(
        self, everyone: set[Relay], host: str, port: int, near: End | None = None, first: Callable[[], bytes] | None = None
    ) -> None:
        """`first`: what the program is told of a connection before anything else."""
        self._everyone = everyone
        self._first = first
        self._host, self._port = host, port
        self.near, self.far = near or End(), End()
        self.near.other, self.far.other = self.far, self.near
        self.near.made = self._near_made
        self.near.gone = self.far.gone = self._gone
        self._opening: asyncio.Task[None] | None = None

    def _near_made(self) -> None:
        self._everyone.add(self)
        if self._first is not None:
            self.far.write(self._first())
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.create_connection(lambda: self.far, self._host, self._port), _OPEN_AT_MOST_S)
        except (OSError, TimeoutError):
            self.near.reset()  # nobody listens there: as near as a relay comes to a refusal

    def _gone(self) -> None:
        if self.near.is_gone and (self.far.is_gone or not self.far.is_made):
            self._everyone.discard(self)
            if self._opening is not None:
                self._opening.cancel()

    def stop(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self.near.reset()
        self.far.reset()


class End(asyncio.Protocol):
    """One end. What it reads the other end writes; a slow writer stops the reader."""

    other: End

    def __init__(self) -> None:
        self.made = self.gone = _nothing
        self.is_made = self.is_gone = False
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []  # for this end, from before it was made
        self._eof = False  # the other end has read FIN
        self._looking: asyncio.TimerHandle | None = None  # while it is not read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_made = True
        for data in self._waiting:
            self._transport.write(data)
        self._waiting.clear()
        if self._eof:
            self._say_eof(self._transport)
        if self.other.is_gone:
            self.reset()
        elif self.other.is_made:
            self.other.resume_reading()
        else:
            self._transport.pause_reading()  # until there is somebody to write to
        self.made()

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def eof_received(self) -> bool:
        self.other.write_eof()
        return True  # the other direction stays open, as TCP has it

    def connection_lost(self, exc: BaseException | None) -> None:
        self.is_gone = True
        if self._looking is not None:
            self._looking.cancel()
        if exc is not None:
            self.other.reset()
        self.gone()

    def pause_writing(self) -> None:
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._waiting.append(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """The other end has read FIN: pass it on; where this end has read one too, both are through."""
        self._eof = True
        if self._transport is not None and not self._transport.is_closing():
            self._say_eof(self._transport)
            if self.other._eof:
                self._transport.close()
                self.other.close()

    @staticmethod
    def _say_eof(transport: asyncio.Transport) -> None:
        with contextlib.suppress(OSError):  # reset already, of which the loop will tell in a moment
            transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._look_for_reset()

    def resume_reading(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _look_for_reset(self) -> None:
        """Who is not read is not heard either: a program that was killed would be resent to until all that it wrote is gone."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self._transport is None or self._transport.is_closing():
            return
        opened = self._transport.get_extra_info("socket")
        if opened is not None and opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            self._transport.abort()
            self.other.reset()
            return
        self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look_for_reset)

    def reset(self) -> None:
        """End it with RST instead of FIN."""
        if self._transport is not None and not self.is_gone:
            opened = self._transport.get_extra_info("socket")
            if opened is not None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


def _nothing() -> None:
    pass
