"""OTA publisher that keeps a window of chunks unacknowledged by the vehicle's application."""

from __future__ import annotations

from typing import Any

from sim.machine import Create, Deadlines, Drop, Message
from sim.strategies.context import Context
from sim.strategies.sources import chunk_bytes, chunks

ACK_BYTES = 64  # the vehicle's answer to a chunk: id and checksum
WINDOW_IDS = 3_000_000  # ids of chunks that are created by need, apart from those created by the clock


class OTAPublisher:
    """Part of a backend. Chunk ids: those of the downlink, from 1 where no other workload counts there, else WINDOW_IDS + i."""

    __slots__ = ("_context", "_deadlines", "_next", "_open", "_ota")

    def __init__(self, context: Context, deadlines: Deadlines) -> None:
        self._context = context
        self._deadlines = deadlines
        ota = context.workload.ota
        self._ota = ota if ota is not None and ota.window is not None else None
        self._next = 0
        self._open: dict[int, Message] = {}
        if self._ota is not None:
            deadlines.set("ota", 0.0)

    def deadline_passed(self, now: float, name: str, out: list[Any]) -> list[Message]:
        """`ota`: fill the window. `ota_give_up`: drop chunks that are too old. Returns the chunks to publish."""
        if self._ota is None:
            return []
        if name == "ota_give_up":
            limit_s = self._ota.give_up_s or 0.0
            for message in [m for m in self._open.values() if m.created_s + limit_s <= now]:
                del self._open[message.id]
                out.append(Drop(message, "publisher_gave_up"))
        return self._fill(now, out)

    def acknowledged(self, now: float, message_id: int, out: list[Any]) -> list[Message]:
        """The vehicle's application has the chunk. Returns the chunks to publish next."""
        if self._ota is None or self._open.pop(message_id, None) is None:
            return []
        return self._fill(now, out)

    def _fill(self, now: float, out: list[Any]) -> list[Message]:
        ota = self._ota
        if ota is None or ota.window is None or now >= self._context.drive_end_s:
            return []
        total = chunks(ota) or 0
        fresh = []
        while len(self._open) < ota.window and self._next < total:
            message = Message(
                WINDOW_IDS + self._next,
                "ota",
                self._context.topic("down/ota"),
                chunk_bytes(ota, self._next),
                ota.qos,
                now,
                reply_bytes=ACK_BYTES,
            )
            self._next += 1
            self._open[message.id] = message
            out.append(Create(message))
            fresh.append(message)
        if ota.give_up_s is not None and self._open:
            self._deadlines.set("ota_give_up", min(m.created_s for m in self._open.values()) + ota.give_up_s)
        return fresh
