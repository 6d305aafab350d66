"""The vehicle's stub resolver: a cache, and queries by UDP over the link (RFC 1035 7, resolv.conf(5))."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from sim.live.clock import Clock
from sim.live.packet import names
from sim.protocols.dns import Cache
from sim.protocols.server import Server


class Resolver:
    """`vehicle_socket(kind)` makes a socket bound to the address that the vehicle has then."""

    def __init__(
        self, server: Server, clock: Clock, vehicle_socket: Callable[[socket.SocketKind], Awaitable[socket.socket]]
    ) -> None:
        self._server = server
        self._clock = clock
        self._vehicle_socket = vehicle_socket
        self._cache = Cache()

    async def resolve(self, name: str) -> str:
        """The address of a name, "" where there is none.

        A query without answer is sent again after `dns.retry_s`, `dns.retries` times, from the address that the vehicle has
        then. Without an address it fails at once, as a resolver does without a route.
        """
        dns = self._server.dns
        if dns.cached and name == self._server.name:
            return self._server.address
        known = self._cache.get(self._clock.now(), name)
        if known is not None:
            return known
        for _ in range(dns.retries + 1):
            try:
                address, ttl_s = await asyncio.wait_for(self._ask(name), dns.retry_s)
            except TimeoutError:
                continue
            except OSError:
                return ""
            self._cache.put(self._clock.now(), name, address, ttl_s if address else dns.negative_ttl_s)
            return address
        return ""

    async def _ask(self, name: str) -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        number = int.from_bytes(os.urandom(2), "big")
        with await self._vehicle_socket(socket.SOCK_DGRAM) as opened:
            await loop.sock_connect(opened, (self._server.address, names.PORT))
            await loop.sock_sendall(opened, names.query(number, name))
            while True:
                found = names.read_answer(await loop.sock_recv(opened, 2048), number)
                if found is not None:
                    return found
