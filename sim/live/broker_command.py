"""`python -m sim broker`: serve the broker machine until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sim.live.arrival_order import new_event_loop
from sim.live.broker_service import SERVED_LIMITS, BrokerService
from sim.protocols.broker_presets import PRESETS


class UnknownPreset(ValueError):
    """No preset has that name; the text says which there are."""


class UnusableCertificate(ValueError):
    """A file of TLS cannot be used; the text says which and why."""


def serve(
    host: str,
    port: int,
    preset: str,
    refused_filters: Sequence[str],
    keep_alive_max_s: int,
    say: Callable[[str], None],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UnknownPreset, CannotListen."""
    if preset not in PRESETS:
        raise UnknownPreset(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    _allow_files()
    # it warns of each write to a connection that is gone and has not been told so yet; inside TLS nobody can see that
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    limits = dataclasses.replace(SERVED_LIMITS, refused_filters=tuple(refused_filters), keep_alive_max_s=keep_alive_max_s)
    service = BrokerService(PRESETS[preset][0], host, port, limits=limits, ssl=tls)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(service, preset, say))


def tls_of(certificate: Path | None, key: Path | None, authority: Path | None) -> ssl.SSLContext | None:
    """TLS 1.2 or later with this certificate; a client has to show one of `authority` where that is given. None: plain TCP.

    Raises UnusableCertificate. Python's own OpenSSL: what it cannot read, ML-DSA keys for one, it says.
    """
    if certificate is None or key is None:
        if (certificate, key, authority) != (None, None, None):
            raise UnusableCertificate("TLS wants both --cert and --key")
        return None
    for path in (certificate, key, authority):
        if path is not None and path.exists() and not path.is_file():  # nobody may fill a pipe
            raise UnusableCertificate(f"{path}: is no regular file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise UnusableCertificate(f"{certificate} with the key {key}: {_why(error)}") from None
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(authority)
        except OSError as error:
            raise UnusableCertificate(f"{authority}: {_why(error)}") from None
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a PEM file that this OpenSSL can read").replace("_", " ").lower()
    return (error.strerror or str(error)).lower()


def _allow_files() -> None:
    """As many open files as this user may have: each connection is one."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(service: BrokerService, preset: str, say: Callable[[str], None]) -> None:
    await service.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, ended.set)
    versions = "MQTT 3.1.1 and 5" if service.behaviour.mqtt5 else "MQTT 3.1.1"
    inside = " in TLS" if service.uses_tls else ""
    say(f"{versions}{inside} on {service.host}:{service.port}, preset {preset}; Ctrl-C ends it")
    try:
        await ended.wait()
    finally:
        await service.stop()
    say(f"stopped after {service.connections_made} connections")
    for defect in service.defects:
        say(f"defect: {type(defect).__name__}: {defect}")
