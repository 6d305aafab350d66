"""What of a session is written down, so that it outlives the connection, and perhaps the node (MQTT 3.1.1 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from sim.machine import Message
from sim.protocols.stored_messages import Entry


class Inflight:
    """A message sent and not yet acknowledged; `released` once PUBREC was received (QoS 2)."""

    __slots__ = ("message", "qos", "released", "retain")

    def __init__(self, message: Message, qos: int, retain: bool) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.released = False

    def copy(self) -> Inflight:
        other = Inflight(self.message, self.qos, self.retain)
        other.released = self.released
        return other


@dataclass(slots=True)
class SavedSession:
    """The state of a session at an instant. Never changed: who restores it copies."""

    subscriptions: dict[str, int]
    options: dict[str, tuple[int, tuple[int, ...]]] | None
    inflight: dict[int, Inflight]
    queue: list[Entry]
    incoming_qos2: set[int]
    next_id: int
    session_expiry_s: float

    def entries(self) -> list[Entry]:
        """The messages in it, in order."""
        return [(sent.message, sent.qos, sent.retain) for sent in self.inflight.values()] + self.queue
