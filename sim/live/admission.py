"""The listening side of a port: so many connections at once, whoever they come from.

When all places are taken, the connection that has been quiet longest makes way, as in web servers that close kept-alive
connections under pressure; where none has been quiet for a second, the new one is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from sim.live.open_files import files_at_most

PLACES: Final = 256  # our choice: a vehicle has two at most
_QUIET_S: Final = 1.0


class Admission:
    """Counts the connections of one listener."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = min(places, files_at_most() // 2)  # half, as a relay takes two for each
        self._inside: dict[_Guest, None] = {}  # the one that was heard last is last
        self.refused = 0

    def __len__(self) -> int:
        return len(self._inside)

    def guard(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A protocol factory for a listener, from that of what is behind it."""
        return lambda: _Guest(self, make)

    def enter(self, guest: _Guest, now: float) -> bool:
        """Whether there is a place."""
        if len(self._inside) >= self._places:
            quietest = next(iter(self._inside))
            if now - quietest.heard_s < _QUIET_S:
                self.refused += 1
                return False
            self.leave(quietest)
            quietest.put_out()
        self._inside[guest] = None
        return True

    def heard(self, guest: _Guest) -> None:
        if self._inside.pop(guest, 0) is None:
            self._inside[guest] = None

    def leave(self, guest: _Guest) -> None:
        self._inside.pop(guest, None)


class _Guest(asyncio.Protocol):
    """Passes everything on to the protocol behind, which is made only once there is a place for it."""

    def __init__(self, admission: Admission, make: Callable[[], asyncio.Protocol]) -> None:
        self._admission = admission
        self._make = make
        self._behind: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.heard_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard_s = self._loop.time()
        if not self._admission.enter(self, self.heard_s):
            self._transport.abort()
            return
        self._behind = self._make()
        self._behind.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        self._admission.heard(self)
        if self._behind is not None:
            self._behind.data_received(data)

    def eof_received(self) -> bool | None:
        return self._behind.eof_received() if self._behind is not None else False

    def pause_writing(self) -> None:
        if self._behind is not None:
            self._behind.pause_writing()

    def resume_writing(self) -> None:
        if self._behind is not None:
            self._behind.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._admission.leave(self)
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.connection_lost(exc)

    def put_out(self) -> None:
        """Make way for another."""
        if self._transport is not None:
            self._transport.abort()
