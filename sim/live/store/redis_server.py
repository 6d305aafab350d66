"""A Redis server of the lab's own: a free port of 127.0.0.1, a folder and a log of its own, nothing kept after its end."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from sim.live.brokers.processes import Process, free_ports, output_of, program, start
from sim.live.store.place import StoreUnavailable

_READY_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 1.0


def missing_redis() -> str | None:
    """One line where there is no redis-server."""
    return "redis-server is not installed: make deps" if program("redis-server") is None else None


async def start_redis(folder: Path, port: int) -> Process:
    """Start redis-server; it may not answer yet. Data and log in `folder`."""
    return await start(
        program("redis-server") or "redis-server",
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no", "--daemonize", "no",
        log=folder / "redis.log",
    )  # fmt: skip


async def redis_version() -> str:
    """Version of the redis-server that is installed."""
    said = re.search(r"v=(\S+)", await output_of(program("redis-server") or "redis-server", "--version"))
    return said[1] if said else "of an unknown version"


@dataclass(slots=True)
class OwnRedis:
    """A Redis server that runs and answers. `stop` always."""

    url: str
    version: str
    process: Process

    @classmethod
    async def started(cls, folder: Path) -> OwnRedis:
        """Start one and wait until it answers. Raises StoreUnavailable."""
        why = missing_redis()
        if why:
            raise StoreUnavailable(why)
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        own = cls(f"redis://127.0.0.1:{port}/0", await redis_version(), await start_redis(folder.resolve(), port))
        try:
            await own._ready(port)
        except BaseException:
            await own.stop()
            raise
        return own

    async def _ready(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + _READY_WITHIN_S
        while loop.time() < ends_s:
            if self.process.returncode is not None:
                raise StoreUnavailable(f"redis-server ended with code {self.process.returncode}: see {self.process.log}")
            with contextlib.suppress(OSError, TimeoutError):
                if await asyncio.wait_for(_answers(port), _ANSWER_WITHIN_S):
                    return
            await asyncio.sleep(0.02)
        raise StoreUnavailable(f"redis-server did not answer on port {port} within {_READY_WITHIN_S:g} s")

    async def stop(self) -> None:
        await self.process.stop()


async def _answers(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()
