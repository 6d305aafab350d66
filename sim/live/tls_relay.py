"""A terminating relay: TLS in front, plain TCP behind, so that any broker can be reached by TLS unmodified.

The broker is dialled only after the handshake: a client that is refused never shows there. FIN and RST of either side are
passed on (FIN of the broker as close_notify) and nothing is made up: a broker's connection to a vehicle that is gone stays
open for as long as the TCP connection in front does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sim.live.packet.relay import Relay
from sim.live.tls import TLSStream
from sim.live.tls_context import Contexts


class TLSRelay:
    """Listens with TLS, relays to `host`:`port`. `start` before use, `stop` always."""

    def __init__(
        self,
        contexts: Contexts | None,
        host: str,
        port: int,
        *,
        seen: Callable[[TLSStream], None] | None = None,
        first: Callable[[], bytes] | None = None,
    ) -> None:
        """`contexts` None: it is plain TCP in front, too. `first`: as Relay's.

        `seen` is told of each connection that comes in, before its handshake.
        """
        self._first = first
        self._contexts = contexts
        self._host, self._port = host, port
        self._seen = seen
        self._relays: set[Relay] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, address: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port."""
        made = self._plain if self._contexts is None else self._stream
        self._listener = await asyncio.get_running_loop().create_server(made, address, port)
        return int(self._listener.sockets[0].getsockname()[1])

    def _plain(self) -> asyncio.Protocol:
        return Relay(self._relays, self._host, self._port, first=self._first).near

    def _stream(self) -> TLSStream:
        assert self._contexts is not None
        stream = TLSStream(self._contexts, lambda _peer: self._plain())
        if self._seen is not None:
            self._seen(stream)
        return stream

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for relay in list(self._relays):
            relay.stop()
