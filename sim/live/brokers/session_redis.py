"""The Redis in which the nodes of a broker share their sessions, with what `server.store` says of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from sim.live.brokers.processes import Process, output_of, program, start

_ANSWER_WITHIN_S = 1.0


def missing() -> str | None:
    """One line where there is no redis-server."""
    return "redis-server is not installed: make deps" if program("redis-server") is None else None


def redis_words(port: int, folder: Path, aof: str | None) -> list[str]:
    """The arguments of redis-server. `aof` is its appendfsync; None: it keeps nothing after its end."""
    words = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--daemonize", "no"]
    kept = ["--appendonly", "no"] if aof is None else ["--appendonly", "yes", "--appendfsync", aof]
    return [*words, *kept]


@dataclass(slots=True)
class SessionRedis:
    """A redis-server that runs, on `port` of 127.0.0.1."""

    port: int
    process: Process

    @classmethod
    async def started(cls, folder: Path, port: int, aof: str | None) -> SessionRedis:
        """Start it with data and log in `folder`. It may not answer yet: who asks it waits."""
        words = redis_words(port, folder, aof)
        return cls(port, await start(program("redis-server") or "redis-server", *words, log=folder / "redis.log"))

    async def answers(self) -> bool:
        """Whether it serves: while it reads its append-only file it says LOADING."""
        with contextlib.suppress(OSError, TimeoutError):
            return await asyncio.wait_for(self._said("PING"), _ANSWER_WITHIN_S) == b"+PONG\r\n"
        return False

    async def _said(self, command: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(command.encode() + b"\r\n")
            return await reader.readline()
        finally:
            writer.close()


async def redis_version() -> str:
    """Of the redis-server that is installed."""
    said = re.search(r"v=(\S+)", await output_of(program("redis-server") or "redis-server", "--version"))
    return f"redis {said[1] if said else 'of an unknown version'}"
