"""The API of a backend machine on a free port of 127.0.0.1, and raw requests to it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

from sim.live.admission import Admission
from sim.live.clock import Clock
from sim.live.host import Host
from sim.live.http_codec import HTTPCodec
from sim.live.http_limits import HTTPLimits
from sim.live.listening import Accepter, listen, port_of
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.record.journal import SERVER, Journal
from sim.record.recorder import Recorder
from sim.strategies.backend import HybridBackend
from sim.strategies.config import DDNSHeartbeat, Hybrid
from sim.strategies.context import Context
from sim.strategies.push_backend import PushBackend
from sim.strategies.workload import Workload

ROOT = "/api/v1/vehicles/VIN123"
BACKENDS = {"ddns_heartbeat": lambda c: PushBackend(DDNSHeartbeat(), c), "hybrid": lambda c: HybridBackend(Hybrid(), c)}
WITHIN_S = 20.0


def context(tls: TLS | None = None, vin: str = "VIN123") -> Context:
    server = Server(tls=tls or TLS())
    workload = Workload(ota=None, diagnostics=None, telemetry=None, probes=None)
    return Context(vin, server, workload, lambda _p: 1.0, lambda _p, _i: 0.5, 0.0, 1e6, "10.1.1.100")


async def nowhere(*_arguments: Any) -> Any:
    raise OSError


@contextlib.asynccontextmanager
async def served(
    use: str = "hybrid",
    *,
    tls: TLS | None = None,
    secure: Accepter | None = None,
    admission: Admission | None = None,
    store: tuple[str, str] | None = None,
    **limits: Any,
) -> AsyncIterator[tuple[int, Host]]:
    """(port, host) of the API; at the end the host must not have failed.

    `store`: URL and prefix of a Redis. `limits` as of HTTPLimits.
    """
    loop = asyncio.get_running_loop()
    bounds = HTTPLimits(**limits)
    clock = Clock(loop, 0.0)
    machine = BACKENDS[use](context(tls or TLS(profile="none")))
    options: dict[str, Any] = {
        "connect": nowhere,
        "resolve": nowhere,
        "codec_for": lambda _p, _a: HTTPCodec("server", "x", reads_uplink=True, limits=bounds),
    }
    journal = Journal(Recorder(trace=True))
    if store is None:
        host = Host(machine, SERVER, clock, journal, **options)
    else:
        from sim.live.store.changes import Changes
        from sim.live.store.redis_store import RedisStore
        from sim.live.store.storing_host import StoringHost

        changes = Changes()
        machine.keep_in(changes)
        kept = RedisStore(*store, clock.epoch_s, within_s=0.5)
        host = StoringHost(machine, SERVER, clock, journal, store=kept, changes={"VIN123": changes}, **options)
        await host.open()
    listener = await listen(host, 443, secure, admission=admission)
    host.start()
    try:
        yield port_of(listener), host
    finally:
        listener.close()
        await host.stop()
        if store is not None:
            await kept.close()
    assert host.failure is None
    assert bounds.held_bytes == 0


async def exchange(port: int, *parts: bytes, pause_s: float = 0.0, eof: bool = False) -> bytes:
    """What comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause_s)
            if eof:
                writer.write_eof()
            while data := await reader.read(65536):
                said += data
    except ConnectionError:
        pass
    finally:
        writer.close()
    return said


def statuses(said: bytes) -> list[int]:
    """The statuses of the responses in what was said."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", said)]


def request(method: str = "GET", path: str = ROOT, body: bytes | None = None, *more: str, version: str = "1.1") -> bytes:
    """A well-formed request."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *more]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    ends = time.monotonic() + WITHIN_S
    while time.monotonic() < ends:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise AssertionError("nobody listens")
