"""The vehicle's bounded local queue for uplink messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.machine import Drop, Message
from sim.strategies.config import Outbox as OutboxSettings


class Outbox:
    """First in, first out; a full one drops the newest or the oldest (`outbox_full`)."""

    __slots__ = ("_messages", "_settings")

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._messages: list[Message] = []  # short, and mostly empty: a deque takes 600 bytes

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message, out: list[Any]) -> None:
        if len(self._messages) >= self._settings.limit:
            if self._settings.drop == "newest" or not self._messages:
                out.append(Drop(message, "outbox_full"))
                return
            out.append(Drop(self._messages.pop(0), "outbox_full"))
        self._messages.append(message)

    def pop(self) -> Message:
        return self._messages.pop(0)

    def take(self, n: int) -> tuple[Message, ...]:
        """Remove and return up to n messages, oldest first."""
        return tuple(self._messages.pop(0) for _ in range(min(n, len(self._messages))))

    def put_back(self, messages: tuple[Message, ...], out: list[Any]) -> None:
        """Return messages that could not be sent to the front, in their order; what came meanwhile may leave them no room."""
        self._messages[:0] = messages
        while len(self._messages) > self._settings.limit:
            out.append(Drop(self._messages.pop(-1 if self._settings.drop == "newest" else 0), "outbox_full"))

    def held(self) -> Iterator[Message]:
        yield from self._messages
