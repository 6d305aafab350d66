"""The name server's sockets: UDP and TCP on one port (RFC 7766), bounded, and never brought down by what comes in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final, cast

from sim.live.admission import Admission
from sim.live.names.name_server import NameServer, NamesUnavailable

_IDLE_S: Final = 10.0  # of a TCP connection: RFC 7766 6.2.3, a few seconds
_PLACES: Final = 64
_UNSENT_BYTES: Final = 1024 * 1024  # to a client that asks and does not read
_TRIES: Final = 20  # a port that is free for UDP need not be so for TCP

Answer = Callable[[bytes], bytes | None]


class NameSockets:
    """`listen` before use, `stop` always; `address` and `port` are where it listens."""

    def __init__(self, names: NameServer) -> None:
        self.names = names
        self._udp: list[asyncio.DatagramTransport] = []
        self._tcp: list[asyncio.Server] = []
        self._admission = Admission(_PLACES)
        self._open: set[_Stream] = set()
        self.address = ""
        self.port = 0

    async def listen(self, address: str = "127.0.0.1", port: int = 0) -> None:
        """On UDP and TCP; port 0: a free one. Raises NamesUnavailable."""
        for _ in range(_TRIES if port == 0 else 1):
            udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                udp.bind((address, port))
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((address, udp.getsockname()[1]))
            except OSError as error:
                udp.close()
                tcp.close()
                why = error.strerror or str(error)
            else:
                self.address, self.port = address, int(udp.getsockname()[1])
                await self.take(udp, tcp)
                return
        raise NamesUnavailable(f"names cannot be served on {address}:{port}: {why}")

    async def take(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve on sockets that are bound, too."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._answer_udp), sock=udp)
        self._udp.append(transport)
        made = self._admission.guard(lambda: _Stream(self._answer_tcp, self._open))
        self._tcp.append(await loop.create_server(made, sock=tcp))

    def _answer_udp(self, wire: bytes) -> bytes | None:
        return self.names.answer(wire, udp=True)

    def _answer_tcp(self, wire: bytes) -> bytes | None:
        return self.names.answer(wire, udp=False)

    def stop(self) -> None:
        for transport in self._udp:
            transport.close()
        for server in self._tcp:
            server.close()
        for stream in list(self._open):
            stream.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str | int, int]) -> None:
        reply = self._answer(data)
        if reply is not None and self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.sendto(reply, sender)

    def error_received(self, exc: Exception) -> None:
        """Who asked is gone."""


class _Stream(asyncio.Protocol):
    """Messages with two bytes of length before each (RFC 1035 4.2.2)."""

    def __init__(self, answer: Answer, everyone: set[_Stream]) -> None:
        self._answer = answer
        self._everyone = everyone
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 2:
            size = int.from_bytes(self._data[:2], "big")
            if len(self._data) < 2 + size:
                break
            wire = bytes(self._data[2 : 2 + size])
            del self._data[: 2 + size]
            reply = self._answer(wire)
            if reply is None or self._transport is None:
                self.close()
                return
            self._transport.write(len(reply).to_bytes(2, "big") + reply)
            self._wait()  # for the next message; not for each byte of it
        if self._transport is not None and self._transport.get_write_buffer_size() > _UNSENT_BYTES:
            self._transport.abort()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(_IDLE_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
