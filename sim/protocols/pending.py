"""The server's store of messages for one vehicle: oldest first, bounded, kept until acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sim.machine import Drop, Message


class PendingMessages:
    """Messages by id in the order of creation. `limit` messages at most; the oldest gives way (`queue_full`)."""

    __slots__ = ("_limit", "_messages")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: dict[int, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> list[Drop]:
        """Store a message; returns the drops this caused."""
        drops = []
        while len(self._messages) >= self._limit:
            oldest = next(iter(self._messages))
            drops.append(Drop(self._messages.pop(oldest), "queue_full"))
        self._messages[message.id] = message
        return drops

    def oldest(self, n: int, now: float, expired: list[Drop]) -> tuple[Message, ...]:
        """The n oldest messages; those that have expired are removed and added to `expired`."""
        batch: list[Message] = []
        for message in list(self._messages.values()):
            if message.expires_s <= now:
                expired.append(Drop(self._messages.pop(message.id), "message_expired"))
            elif len(batch) < n:
                batch.append(message)
            else:
                break
        return tuple(batch)

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Forget messages by id; unknown ids do no harm."""
        for message_id in ids:
            self._messages.pop(message_id, None)

    def acknowledge_through(self, message_id: int) -> None:
        """Forget all messages up to and including this id."""
        for known in [m for m in self._messages if m <= message_id]:
            del self._messages[known]

    def pop(self, message_id: int) -> Message | None:
        return self._messages.pop(message_id, None)

    def held(self) -> Iterator[Message]:
        yield from self._messages.values()
