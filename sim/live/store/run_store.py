"""The store of one live run, shared by its strategies: each has keys of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sim.live.server_side import RedisPlace
from sim.live.store.place import StorePlace, StoreUnavailable, with_database, without_password
from sim.live.store.redis_server import OwnRedis


@dataclass(frozen=True, slots=True)
class RunStore:
    """`url` is "" where everything is kept in memory."""

    url: str = ""
    prefix: str = ""

    def place_of(self, strategy: str) -> RedisPlace | None:
        """Where the server side of a strategy keeps what it keeps; None: in memory."""
        return RedisPlace(self.url, f"{self.prefix}:{_word(strategy)}") if self.url else None


@contextlib.asynccontextmanager
async def run_store(place: StorePlace, run_id: str, folder: Path) -> AsyncIterator[RunStore]:
    """Start a Redis of the lab's own where that is asked for, with data and log in `folder`. Raises StoreUnavailable."""
    # two runs may have begun in the same second, in different folders of results
    prefix = f"handover-lab:{_word(run_id)}-{os.urandom(2).hex()}"
    if place.kind == "memory":
        yield RunStore()
    elif place.kind == "given":
        await _reach(place.url)
        yield RunStore(with_database(place.url), prefix)
    else:
        own = await OwnRedis.started(folder)
        try:
            await _reach(own.url)
            yield RunStore(own.url, prefix)
        finally:
            await own.stop()


async def _reach(url: str) -> None:
    """Raises StoreUnavailable where it cannot be used. The import takes a moment that a run that has begun does not have."""
    from sim.live.store.redis_store import RedisStore, StoreLost  # needs a package that nothing else does

    store = RedisStore(url, "", 0.0)
    try:
        await store.open()
    except StoreLost as lost:
        raise StoreUnavailable(f"--store: no use of the Redis at {without_password(url)}: {lost}") from None
    finally:
        await store.close()


def _word(text: str) -> str:
    """Without what separates the parts of a key or means something in a pattern."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in text)
