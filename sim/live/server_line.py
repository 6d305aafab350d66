"""The server's own connection to its broker, opened again whenever it is lost, at whichever node takes it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from sim.live.host import Host
from sim.strategies.context import LAN

_OPEN_WITHIN_S: Final = 1.0
_AGAIN_AFTER_S: Final = 0.05


class ServerLine:
    """`lose` is called where the connection is gone; `stop` always."""

    def __init__(self, server: Host, host: str, ports: list[int]) -> None:
        """`ports` of the nodes: the server knows them all, and needs no balancer."""
        self._server = server
        self._host = host
        self._ports = ports
        self._next = 0
        self._opening: asyncio.Task[None] | None = None

    def lose(self) -> None:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        """Until one is there, or `stop`."""
        loop = asyncio.get_running_loop()
        while True:
            self._next = (self._next + 1) % len(self._ports)
            wire = self._server.wire(0)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_OPEN_WITHIN_S):
                    await loop.create_connection(lambda wire=wire: wire, self._host, self._ports[self._next])  # type: ignore[misc]  # mypy and defaults of lambdas
                self._opening = None  # a loss that comes within the call begins anew
                self._server.adopt(LAN, wire)
                return
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def stop(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
