"""The server side's dealings with DNS: it updates the vehicle's name when a heartbeat is accepted, and resolves it.

Both go over the wire to the authoritative server. The resolver keeps answers for their TTL, negative ones too, so that it
is wrong about a vehicle for as long as a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import dns.asyncquery
import dns.exception
import dns.rcode
import dns.tsig
import dns.update

from sim.live.names.questions import address_of
from sim.protocols.dns import Cache

_WITHIN_S: Final = 2.0
_TRIES: Final = 2


class ServerNames:
    """Asks the name server at `server`:`port`, which has the zone `zone`. `stop` always."""

    def __init__(
        self, server: str, port: int, zone: str, key: dns.tsig.Key, now: Callable[[], float], *, failed: Callable[[str], None]
    ) -> None:
        """`failed` is told why an update was not made."""
        self._server = server
        self._port = port
        self._zone = zone
        self._key = key
        self._now = now
        self._failed = failed
        self._cache = Cache()
        self._waiting: dict[str, tuple[str, float]] = {}  # newest address and TTL of a name that is to be updated
        self._updating: asyncio.Task[None] | None = None

    def update(self, name: str, address: str, ttl_s: float) -> None:
        """Set the address of a name, "" for none; one update at a time, and of several that wait for it the newest."""
        self._waiting[name] = (address, ttl_s)
        if self._updating is None or self._updating.done():
            self._updating = asyncio.ensure_future(self._update())

    async def _update(self) -> None:
        while self._waiting:
            name, (address, ttl_s) = self._waiting.popitem()
            why = ""
            for _ in range(_TRIES):
                try:
                    message = dns.update.UpdateMessage(self._zone, keyring=self._key)
                    absolute = name + "."
                    if address:
                        message.replace(absolute, round(ttl_s), "A", address)
                    else:
                        message.delete(absolute, "A")
                    said = await dns.asyncquery.udp(message, self._server, _WITHIN_S, self._port)
                    why = "" if said.rcode() == dns.rcode.NOERROR else dns.rcode.to_text(said.rcode())
                    break
                except (OSError, dns.exception.DNSException, ValueError) as error:
                    why = str(error) or type(error).__name__
            if why:
                self._failed(why)

    async def resolve(self, name: str) -> str:
        """The address of a name, "" where there is none. What was to be updated before is updated first. Raises NoAnswer."""
        if self._updating is not None:
            await asyncio.wait([self._updating])
        known = self._cache.get(self._now(), name)
        if known is not None:
            return known
        address, ttl_s = await address_of(name, self._server, self._port, within_s=_WITHIN_S)
        self._cache.put(self._now(), name, address, ttl_s)
        return address

    async def stop(self) -> None:
        if self._updating is not None:
            self._updating.cancel()
            await asyncio.wait([self._updating], timeout=_WITHIN_S)
