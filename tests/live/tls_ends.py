"""Two ends of TLS on 127.0.0.1, for tests that run in an event loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from sim.live.certificates import Certificates, issue
from sim.live.tls import TLSStream
from sim.live.tls_context import Contexts, contexts
from sim.protocols.tls import TLS

SERVER = "ota-server.company.com"
VEHICLE = "vin123.vehicles.ota-server.company.com"
WITHIN_S = 20.0

PROFILES = [
    TLS(profile="classical"),
    TLS(profile="hybrid"),
    TLS(profile="pqc", signature="ml-dsa-44"),
    TLS(profile="pqc", signature="ml-dsa-65"),
]


def pki(profile: str = "hybrid", signature: str = "ml-dsa-44", other: int = 0) -> Certificates:
    """Certificates; another `other` gives those of another authority with the same names."""
    return _issued(profile, signature, other)


@functools.cache
def _issued(profile: str, signature: str, _other: int) -> Certificates:
    return issue([SERVER, "ota-server.com", "52.78.123.45", "127.0.0.1"], ["VIN123", "VIN9"], profile, signature)


def of_server(settings: TLS, made: Certificates | None = None) -> Contexts:
    made = made or pki(settings.profile, settings.signature)
    return contexts(settings, made.root, made.server)


def of_vehicle(settings: TLS, made: Certificates | None = None, vin: str = "VIN123") -> Contexts:
    made = made or pki(settings.profile, settings.signature)
    return contexts(settings, made.root, made.vehicles[vin])


class End(asyncio.Protocol):
    """An inner protocol that keeps what it is told; one that echoes sends it back."""

    def __init__(self, peer: str = "", *, echoes: bool = False, stays_half_open: bool = False) -> None:
        self.peer = peer
        self.got = bytearray()
        self.told: list[str] = []
        self.error: BaseException | None = None
        self.transport: Any = None
        self._echoes = echoes
        self._stays = stays_half_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self._echoes:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self._stays

    def pause_writing(self) -> None:
        self.told.append("paused")

    def resume_writing(self) -> None:
        self.told.append("resumed")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.told.append("lost")
        self.error = exc


class Listener:
    """A TLS server. `streams` and `ends` in the order in which they came."""

    def __init__(self, of: Contexts, *, accepts_only: str = "", make: Callable[[str], End] | None = None) -> None:
        self._of = of
        self._only = accepts_only
        self._make = make or (lambda peer: End(peer, echoes=True))
        self.streams: list[TLSStream] = []
        self.ends: list[End] = []
        self.port = 0

    def _inner(self, peer: str) -> End:
        self.ends.append(self._make(peer))
        return self.ends[-1]

    def _stream(self) -> TLSStream:
        self.streams.append(TLSStream(self._of, self._inner, accepts_only=self._only))
        return self.streams[-1]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        server = await asyncio.get_running_loop().create_server(self._stream, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for stream in self.streams:
                stream.abort()


async def connect(of: Contexts, port: int, *, expected: str = SERVER, end: End | None = None) -> tuple[TLSStream, End]:
    """A client whose handshake is done; raises what the opener is told."""
    inner = end or End()

    def named(peer: str) -> End:
        inner.peer = peer
        return inner

    stream = TLSStream(of, named, client_of=expected)
    async with asyncio.timeout(WITHIN_S):
        await asyncio.get_running_loop().create_connection(lambda: stream, "127.0.0.1", port)
        await stream.shaken
    return stream, inner


async def until(seen: Callable[[], bool], what: str = "") -> None:
    for _ in range(int(WITHIN_S / 0.005)):
        if seen():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"not seen within {WITHIN_S:g} s: {what}")
