"""The server side of a live run: the host of its machine, the store behind it, and the name server beside it.

vehicle --heartbeat--> machine --keepers--> Redis, where one is asked for (sim.live.store), and DNS update (sim.live.names)
machine --ResolveName--> resolver with a cache --> name server
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.live.clock import Clock
from sim.live.host import Connector, Host, Securer
from sim.live.names.name_server import NameServer, new_key
from sim.live.names.server_names import ServerNames
from sim.live.names.sockets import NameSockets
from sim.live.store.place import StoreUnavailable, without_password
from sim.live.wire import Codec
from sim.protocols.kept import Entry
from sim.protocols.server import Server
from sim.record.journal import SERVER, Journal

if TYPE_CHECKING:  # at run time only where Redis is asked for
    import dns.tsig

    from sim.live.store.redis_store import RedisStore


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Keys that begin with `prefix` in the Redis at `url`. `is_kept`: they stay when the server ends."""

    url: str
    prefix: str
    is_kept: bool = False


class ServerSide:
    """`open` before use, `stop` always. `host` is the machine's, `names` the name server."""

    def __init__(
        self,
        server: Server,
        machine: Any,
        backends: Mapping[str, Any],
        clock: Clock,
        journal: Journal,
        *,
        connect: Connector,
        codec_for: Callable[[int, bool], Codec],
        secure: Securer | None,
        host_of: Callable[[str], str],
        name_ttl_s: float,
        address: Callable[[], str] = lambda: "",
        redis: RedisPlace | None = None,
        key: dns.tsig.Key | None = None,
    ) -> None:
        """`backends`: by VIN, those of the machine's parts that keep something of the vehicle; others need no store.

        `address` is the vehicle's, for the records. `host_of` gives a vehicle's host name from its VIN, `name_ttl_s` is the TTL
        of that name, `key` signs its updates.

        Raises:
            NamesUnavailable: the server's name is none.
        """
        self._clock = clock
        self._journal = journal
        self._host_of = host_of
        self._name_ttl_s = name_ttl_s
        self._redis = redis
        self._key = key or new_key()
        self._dealings: ServerNames | None = None
        self._store: RedisStore | None = None
        self.names = NameServer(server, clock.now, self._key)
        self.sockets = NameSockets(self.names)
        self.store_version = ""
        keeping = {vin: backend for vin, backend in backends.items() if hasattr(backend, "keep_in")}
        options: dict[str, Any] = {
            "connect": connect,
            "resolve": self._resolve,
            "codec_for": codec_for,
            "secure": secure,
            "address": address,
        }
        for backend in keeping.values():
            backend.keep_in(self)
            if hasattr(backend, "resolve_names"):
                backend.resolve_names()
        if redis is None or not keeping:
            self.host = Host(machine, SERVER, clock, journal, **options)
            return
        from sim.live.store.changes import Changes
        from sim.live.store.redis_store import RedisStore as Store
        from sim.live.store.storing_host import StoringHost

        changes = {vin: Changes() for vin in keeping}
        for vin, backend in keeping.items():
            backend.keep_in(self, changes[vin])
        self._store = Store(redis.url, redis.prefix, clock.epoch_s)
        self.host = StoringHost(
            machine, SERVER, clock, journal, store=self._store, changes=changes, on_entry=self.heartbeat, **options
        )

    async def open(self, address: str = "127.0.0.1", port: int = 0) -> None:
        """Serve names on address:port, and take over what the store holds. Raises NamesUnavailable, StoreUnavailable."""
        await self.sockets.listen(address, port)
        self._dealings = ServerNames(
            address, self.sockets.port, self.names.main, self._key, self._clock.now, failed=self._not_updated
        )
        if self._store is None or self._redis is None:
            return
        from sim.live.store.redis_store import StoreLost
        from sim.live.store.storing_host import StoringHost

        assert isinstance(self.host, StoringHost)
        try:
            self.store_version = f"redis {await self.host.open()}"
        except StoreLost as lost:
            raise StoreUnavailable(f"no use of the Redis at {without_password(self._redis.url)}: {lost}") from None

    @property
    def said(self) -> str:
        """Where names are served and what is kept where, for people."""
        names = f"names: {self.sockets.address} port {self.sockets.port}, zone {self.names.main}"
        if self._store is None or self._redis is None:
            return f"{names}; store: memory"
        return f"{names}; store: {without_password(self._redis.url)}, keys {self._redis.prefix}:*"

    async def stop(self) -> None:
        """End all; the keys of a run are removed, unless they are to be kept."""
        await self.host.stop()
        if self._dealings is not None:
            await self._dealings.stop()
        self.sockets.stop()
        if self._store is None or self._redis is None:
            return
        from sim.live.store.redis_store import StoreLost

        if not self._redis.is_kept:
            with contextlib.suppress(StoreLost):  # then they end by themselves
                await self._store.forget()
        await self._store.close()

    async def _resolve(self, name: str) -> str:
        return await self._dealings.resolve(name) if self._dealings is not None else ""

    def _not_updated(self, why: str) -> None:
        self._journal.record.state(self._clock.now(), "server", "name_not_updated", why)

    # --- a keeper (sim.protocols.kept): DNS is told of addresses ------------------------------------------------------------

    def heartbeat(self, vin: str, entry: Entry) -> None:
        if self._dealings is not None:
            self._dealings.update(self._host_of(vin), entry.address, self._name_ttl_s)

    def put(self, message: Any) -> None:
        """DNS has no messages."""

    def remove(self, message_id: int) -> None:
        """Nor does it lose any."""
