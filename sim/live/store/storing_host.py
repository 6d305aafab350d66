"""A host whose machine's registry and pending messages are in Redis too, where a restarted or a second server finds them.

    a request -> what others have changed is read -> the machine -> what it changed is written -> the answer goes out

The machine knows nothing of it: it tells its keepers what it changes, and gets StoreChanged when somebody else has, or
when Redis is out of reach. Calls stay atomic; it is only the answers to requests that wait, until what they rest on is
written. What comes while Redis is asked is read and written together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from sim.live.host import Host
from sim.live.store.changes import Changes
from sim.live.store.redis_store import WITHIN_S, RedisStore, StoreLost
from sim.machine import PacketReceived, SendPacket, StoreChanged
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.kept import Entry

_LOOK_EVERY_S: Final = 1.0  # for what others have changed, and whether Redis is there
_END_WITHIN_S: Final = 3 * WITHIN_S


class StoringHost(Host):
    """`changes`: by VIN, what the machine's part for that vehicle has as its keeper."""

    def __init__(
        self,
        *arguments: Any,
        store: RedisStore,
        changes: dict[str, Changes],
        on_entry: Callable[[str, Entry], None] = lambda _vin, _entry: None,
        **options: Any,
    ) -> None:
        """`on_entry` is told of heartbeats that were read from the store; the rest is Host's."""
        super().__init__(*arguments, **options)
        self._store = store
        self._changes = changes
        self._on_entry = on_entry
        self._mark = ""
        self._seen: dict[str, int] = {}  # by VIN: number of writes that is known here
        self._requests: list[PacketReceived] = []
        self._withheld: list[SendPacket] = []
        self._is_lost = self._is_ending = False
        self._wanted = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """Reach the store and take over what is in it; returns its version. Raises StoreLost."""
        version = await self._store.open()
        await self._look(everything=True)
        return version

    def start(self) -> None:
        super().start()
        self._worker = asyncio.ensure_future(self._work())

    async def stop(self) -> None:
        """As Host; what has not been written yet is written where the store is there."""
        self._is_ending = True
        self._wanted.set()
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=_END_WITHIN_S)  # the round that is under way
            self._worker.cancel()
        if not self._is_lost:
            with contextlib.suppress(StoreLost):
                await self._write()
        await super().stop()

    # --- what goes through the store --------------------------------------------------------------------------------------

    def input(self, event: Any) -> None:
        if type(event) is PacketReceived and type(event.packet) is HTTPRequest and not self._is_lost:
            self._requests.append(event)
            self._wanted.set()
        else:
            super().input(event)

    def _perform(self, now: float, actions: list[Any]) -> None:
        if not self._is_lost and any(self._changes.values()):
            answers = [a for a in actions if type(a) is SendPacket and type(a.packet) is HTTPResponse]
            self._withheld += answers
            actions = [a for a in actions if not any(a is answer for answer in answers)]
            self._wanted.set()
        super()._perform(now, actions)

    async def _work(self) -> None:
        while not self._is_ending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._round()
            except StoreLost as lost:
                self._lose(lost.reason)
            except Exception as error:
                self._fail(error)
                return

    async def _round(self) -> None:
        """Write, read, and hand over the requests that have waited for it."""
        await self._write()
        await self._look(everything=self._is_lost)
        requests, self._requests = self._requests, []
        for event in requests:
            if event.transport in self._wires:  # its sender has not gone meanwhile
                super().input(event)

    async def _write(self) -> None:
        batches = {vin: changes.take() for vin, changes in self._changes.items() if changes}
        withheld, self._withheld = self._withheld, []
        if batches:
            try:
                counts = await self._store.write(batches)
            except BaseException:
                for vin, batch in batches.items():
                    self._changes[vin].put_back(batch)
                self._withheld = withheld + self._withheld
                raise
            for vin, count in counts.items():
                # a number that somebody else has moved too does not become known by this
                if count == self._seen.get(vin, 0) + 1:
                    self._seen[vin] = count
        now = self._clock.now()
        for answer in withheld:
            self._send(now, answer)

    async def _look(self, *, everything: bool) -> None:
        mark, counts = await self._store.look(self._changes)
        emptied = bool(self._mark) and mark != self._mark
        if not mark:
            mark = await self._store.mark()
        for vin, count in counts.items():
            seen = self._seen.get(vin, 0)
            if not (everything or emptied or count != seen):
                continue
            kept, self._seen[vin] = await self._store.read(vin)
            kept.emptied = emptied or count < seen
            self._is_lost = False
            kept = self._changes[vin].over(kept)
            super().input(StoreChanged(kept))
            if kept.entry is not None:
                self._on_entry(vin, kept.entry)
        self._mark = mark

    def _lose(self, reason: str) -> None:
        """The store is out of reach; the machine says what those are told who wait for it."""
        withheld, self._withheld = tuple(self._withheld), []
        requests, self._requests = self._requests, []
        if not self._is_lost:
            self._is_lost = True
            super().input(StoreChanged(None, reason, withheld))
        for event in requests:
            super().input(event)
