"""A transport on which CONNECT has not come yet: the server closes it when that takes too long (MQTT 5 3.1.4)."""

from __future__ import annotations

from typing import Any

from sim.machine import NEVER, CloseTransport, Deadlines
from sim.protocols.mqtt_session import State


class Unconnected:
    """Stands in the broker's heap of deadlines as a session does."""

    __slots__ = ("armed", "client_id", "deadlines", "state", "subscriptions_changed", "transport")

    def __init__(self, transport: int, until_s: float) -> None:
        self.transport = transport
        self.client_id = ""
        self.state = State.ABSENT
        self.subscriptions_changed = False
        self.armed = NEVER
        self.deadlines = Deadlines()
        self.deadlines.set("connect", until_s)

    def connected(self) -> None:
        """CONNECT came, or the transport is gone."""
        self.deadlines.clear("connect")

    def handle_deadline(self, now: float) -> list[Any]:
        if self.deadlines.due(now) is None:
            return []
        transport, self.transport = self.transport, -1
        return [CloseTransport(transport, reason="connect_timeout")]
