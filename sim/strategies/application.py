"""The vehicle's application: takes messages from any way, answers requests once, counts a second arrival as a duplicate."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from sim.machine import Deliver, Message
from sim.strategies.sources import TELEMETRY_IDS

_REMEMBERED: Final = 4096  # ids of answered requests that are remembered


class Application:
    """`receive` delivers and returns the reply, if the message wants one and was not answered before."""

    __slots__ = ("_answered", "_reply_topic")

    def __init__(self, reply_topic: str) -> None:
        self._reply_topic = reply_topic
        self._answered: OrderedDict[int, None] = OrderedDict()

    def receive(self, now: float, message: Message, via: str, out: list[Any], *, again: bool = False) -> Message | None:
        """Hand over `message`; returns the response to send, None where none is due.

        `again`: answer a repeated request once more, for ways on which a response is not kept until acknowledged.
        """
        out.append(Deliver(message, via))
        if message.reply_bytes == 0 or (message.id in self._answered and not again):
            return None
        self._answered[message.id] = None
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        return Message(
            -1 - message.id,
            message.kind,
            self._reply_topic,
            message.reply_bytes,
            message.qos,
            now,
            uplink=True,
            reply_to=message.id,
        )


class Receipts:
    """Which downlink messages have arrived: all up to `through`, and some beyond. Told to the server with a poll."""

    __slots__ = ("_beyond", "through")

    def __init__(self) -> None:
        self.through = 0
        self._beyond: set[int] = set()

    def add(self, message_id: int) -> None:
        """A message arrived; only ids that count without holes matter: not probes, nor chunks of a window (answered)."""
        if message_id == self.through + 1:
            self.through += 1
            while self.through + 1 in self._beyond:
                self.through += 1
                self._beyond.discard(self.through)
        elif self.through < message_id < TELEMETRY_IDS:
            self._beyond.add(message_id)

    def beyond(self, limit: int) -> tuple[int, ...]:
        """The lowest `limit` ids beyond `through` that have arrived."""
        return tuple(sorted(self._beyond)[:limit])


def receipt_bytes(n: int) -> int:
    """Size of `through` and n further ids in a request (decimal, comma separated)."""
    return 16 + 8 * n
