"""Our broker on a free port of 127.0.0.1, in a thread of its own, for a `with` block."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from ssl import SSLContext
from typing import Any

from sim.live.arrival_order import new_event_loop
from sim.live.broker_service import SERVED_LIMITS, BrokerService
from sim.protocols.broker_presets import PRESETS


@contextlib.contextmanager
def served_broker(
    preset: str = "spec", *, recorder: Any = None, connections: int = 1000, ssl: SSLContext | None = None, **limits: Any
) -> Iterator[BrokerService]:
    """Start the service, hand it out, stop it, and see that nothing in it raised."""
    bounds = dataclasses.replace(SERVED_LIMITS, **limits)
    service = BrokerService(PRESETS[preset][0], port=0, limits=bounds, recorder=recorder, connections=connections, ssl=ssl)
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(service.start(), loop).result(5)
        yield service
        asyncio.run_coroutine_threadsafe(service.stop(), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
    assert service.defects == []
