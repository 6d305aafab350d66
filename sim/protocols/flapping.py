"""Protection against flapping: a client that disconnects too often is banned for a while (EMQX `flapping_detect`)."""

from __future__ import annotations

from collections import deque

from sim.protocols.broker_presets import BrokerBehaviour


class Flapping:
    """Counts the disconnections of each client in a sliding window."""

    __slots__ = ("_ban_s", "_banned_until", "_limit", "_seen", "_window_s")

    def __init__(self, behaviour: BrokerBehaviour) -> None:
        self._limit = behaviour.flapping_limit
        self._window_s = behaviour.flapping_window_s
        self._ban_s = behaviour.flapping_ban_s
        self._seen: dict[str, deque[float]] = {}
        self._banned_until: dict[str, float] = {}

    def disconnected(self, now: float, client_id: str) -> None:
        seen = self._seen.setdefault(client_id, deque())
        seen.append(now)
        while seen[0] <= now - self._window_s:
            seen.popleft()
        if len(seen) >= self._limit:
            self._banned_until[client_id] = now + self._ban_s
            del self._seen[client_id]

    def banned(self, now: float, client_id: str) -> bool:
        """Whether a CONNECT of this client is refused; a ban that is over is forgotten."""
        until_s = self._banned_until.get(client_id)
        if until_s is not None and now >= until_s:
            del self._banned_until[client_id]
            return False
        return until_s is not None
