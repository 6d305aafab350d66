"""`python -m sim api`: serve the vehicles' API, its store and its name server on their own until interrupted.

The machines are those of the server side of strategies 2 and 3. Their time is Unix time here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.live.clock import Clock
from sim.live.codecs import Ports
from sim.live.listening import Accepter, listen, port_of
from sim.live.names.name_server import KEY_NAME, NamesUnavailable, new_key
from sim.live.server_side import RedisPlace, ServerSide
from sim.live.store.place import StorePlace, read_place, with_database
from sim.live.store.redis_server import OwnRedis
from sim.live.vin import VIN
from sim.protocols.dns import DNS
from sim.protocols.server import Server
from sim.protocols.tls import TLS, Profile
from sim.record.journal import Journal
from sim.record.recorder import Recorder
from sim.strategies.backend import HybridBackend
from sim.strategies.config import Hybrid
from sim.strategies.context import VEHICLE_PORT, Context
from sim.strategies.vehicle_backends import VehicleBackends
from sim.strategies.workload import Workload

if TYPE_CHECKING:
    import dns.tsig

PREFIX = "handover-lab:api"


class APIRefused(Exception):
    """The API cannot be served as asked; one line."""


@dataclass(frozen=True, slots=True)
class APIOptions:
    """What the command was given. `certificates`: a folder that `certificates` has written, None: plain HTTP."""

    host: str
    port: int
    vins: Sequence[str]
    name: str
    certificates: Path | None
    profile: Profile
    store: str
    prefix: str
    dns_port: int
    dns_key: Path | None
    name_ttl_s: float


def serve(options: APIOptions, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises APIRefused, StoreUnavailable, NamesUnavailable."""
    try:
        address = str(IPv4Address(options.host))
    except AddressValueError:
        raise APIRefused(f"--host: {options.host!r} is no IPv4 address") from None
    for vin in options.vins:
        if not VIN.fullmatch(vin):
            raise APIRefused(f"--vin: {vin!r} is no VIN: letters, digits and hyphens, 50 at most")
    place = read_place(options.store)
    key = _key(options.dns_key) if options.dns_key is not None else new_key()
    profile: Profile = options.profile if options.certificates is not None else "none"
    reached = "127.0.0.1" if address == "0.0.0.0" else address
    server = Server(
        name=options.name,
        address=reached,
        https_port=options.port or 443,
        tls=TLS(profile=profile),
        dns=DNS(ttl_s=options.name_ttl_s, propagation_s=0.0),
    )
    asyncio.run(_serve(options, address, server, place, key, _secure(options, server), say))


def _secure(options: APIOptions, server: Server) -> Accepter | None:
    if options.certificates is None:
        return None
    from sim.live.certificates import CertificatesRefused, read
    from sim.live.tls import TLSStream
    from sim.live.tls_context import TLSUnavailable, contexts

    try:
        found = read(options.certificates, server.name, [])
        made = contexts(server.tls, found.root, found.server)
    except (CertificatesRefused, TLSUnavailable, ValueError) as error:
        raise APIRefused(f"--certificates: {error}") from None
    return lambda inner: TLSStream(made, inner)


async def _serve(
    options: APIOptions,
    address: str,
    server: Server,
    place: StorePlace,
    key: dns.tsig.Key,
    secure: Accepter | None,
    say: Callable[[str], None],
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, ended.set)
    contexts = {vin: _context(vin, server) for vin in options.vins}
    backends = {vin: HybridBackend(Hybrid(), context) for vin, context in contexts.items()}
    first = next(iter(contexts.values()))
    async with _redis(place, options.prefix) as redis:
        side = ServerSide(
            server,
            VehicleBackends(backends),
            backends,
            Clock(loop, time.time()),
            Journal(Recorder()),
            connect=_nobody,
            codec_for=Ports(server, VEHICLE_PORT, first.host, "3.1.1").of_server,
            secure=None,
            host_of=first.host_of,
            name_ttl_s=options.name_ttl_s,
            redis=redis,
            key=key,
        )
        try:
            await side.open(address, options.dns_port)
            try:
                listener = await listen(side.host, server.https_port, secure, address=address, real_port=options.port)
            except OSError as error:
                raise APIRefused(f"cannot listen on {address}:{options.port}: {error.strerror or error}") from None
            side.host.start()
            scheme = "http" if secure is None else "https"
            say(f"{scheme}://{address}:{port_of(listener)}/api/v1/vehicles/ of {', '.join(options.vins)}; Ctrl-C ends it")
            say(side.said)
            try:
                while not ended.is_set() and side.host.failure is None:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await ended.wait()
            finally:
                listener.close()
        finally:
            await side.stop()
    if side.host.failure is not None:
        raise side.host.failure


@contextlib.asynccontextmanager
async def _redis(place: StorePlace, prefix: str) -> AsyncIterator[RedisPlace | None]:
    if place.kind == "memory":
        yield None
    elif place.kind == "given":
        yield RedisPlace(with_database(place.url), prefix, is_kept=True)
    else:
        with tempfile.TemporaryDirectory(prefix="handover-lab-") as folder:
            own = await OwnRedis.started(Path(folder))
            try:
                yield RedisPlace(own.url, prefix, is_kept=True)
            finally:
                await own.stop()


def _context(vin: str, server: Server) -> Context:
    """Nothing is created here and nothing drawn."""
    workload = Workload(ota=None, diagnostics=None, telemetry=None, probes=None)
    now = time.time()
    return Context(vin, server, workload, lambda _purpose: 1.0, lambda _purpose, _index: 0.5, now, now, "")


async def _nobody(*_arguments: Any) -> None:
    raise ConnectionRefusedError


def _key(path: Path) -> dns.tsig.Key:
    """The key in a file of BIND's form, which is made where it is not there. Raises APIRefused."""
    import dns.tsig

    try:
        if not path.exists():
            made = new_key()
            secret = base64.b64encode(made.secret).decode()
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(opened, "w") as file:
                    file.write(f'key "{KEY_NAME}" {{\n    algorithm hmac-sha256;\n    secret "{secret}";\n}};\n')
            except OSError:
                path.unlink()  # half a key would be in the way of the next attempt
                raise
            return made
        if not path.is_file():  # nobody may fill a pipe
            raise ValueError("is no regular file")
        words = path.read_text().replace("{", " ").replace("}", " ").replace(";", " ").replace('"', " ").split()
        fields = dict(zip(words[::2], words[1::2], strict=False))
        return dns.tsig.Key(fields["key"], fields["secret"], fields["algorithm"])
    except (OSError, KeyError, ValueError, NamesUnavailable) as error:
        raise APIRefused(f"--dns-key: {path} cannot be used: {error or type(error).__name__}") from None
