"""`python -m sim broker`: serve the broker machine until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import Callable, Sequence

from sim.live.broker_service import SERVED_LIMITS, BrokerService
from sim.protocols.broker_presets import PRESETS


class UnknownPreset(ValueError):
    """No preset has that name; the text says which there are."""


def serve(
    host: str,
    port: int,
    preset: str,
    refused_filters: Sequence[str],
    keep_alive_max_s: int,
    say: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UnknownPreset, CannotListen."""
    if preset not in PRESETS:
        raise UnknownPreset(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    limits = dataclasses.replace(SERVED_LIMITS, refused_filters=tuple(refused_filters), keep_alive_max_s=keep_alive_max_s)
    service = BrokerService(PRESETS[preset][0], host, port, limits=limits)
    asyncio.run(_serve(service, preset, say))


async def _serve(service: BrokerService, preset: str, say: Callable[[str], None]) -> None:
    await service.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, ended.set)
    versions = "MQTT 3.1.1 and 5" if service.behaviour.mqtt5 else "MQTT 3.1.1"
    say(f"{versions} on {service.host}:{service.port}, preset {preset}; Ctrl-C ends it")
    try:
        await ended.wait()
    finally:
        await service.stop()
    say(f"stopped after {service.connections_made} connections")
    for defect in service.defects:
        say(f"defect: {type(defect).__name__}: {defect}")
