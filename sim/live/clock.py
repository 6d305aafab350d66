"""Time of a live run: seconds since the start of the drive, on the event loop's monotonic clock. Never scaled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sim.live.lateness import Lateness


class Clock:
    """`now()` is 0 at the start of the drive and negative before. `late`: how much later than asked for calls were made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_s: float) -> None:
        self._loop = loop
        self.late = Lateness()
        self._origin = loop.time() - start_s
        self.epoch_s = time.time() - start_s  # Unix time of the start of the drive, for those outside

    def now(self) -> float:
        return self._loop.time() - self._origin

    def wall(self, when_s: float) -> datetime:
        """The wall clock at an instant of the drive, for people."""
        return datetime.now(UTC) + timedelta(seconds=when_s - self.now())

    def at(self, when_s: float, call: Callable[..., Any], *arguments: Any) -> asyncio.TimerHandle:
        """Call at an instant of the drive; at once where it has passed."""
        if when_s <= self.now():
            return self._loop.call_at(self._origin + when_s, call, *arguments)
        return self._loop.call_at(self._origin + when_s, self._call, when_s, call, arguments)

    def _call(self, when_s: float, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.late.add(max(0.0, self.now() - when_s))
        call(*arguments)
