"""The server's store of messages for one vehicle: oldest first, bounded, kept until acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sim.machine import Drop, Message
from sim.protocols.kept import Keeper


class PendingMessages:
    """Messages by id in the order of creation. `limit` messages at most; the oldest gives way (`queue_full`)."""

    __slots__ = ("_limit", "_messages", "keepers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: dict[int, Message] = {}
        self.keepers: tuple[Keeper, ...] = ()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> list[Drop]:
        """Store a message; returns the drops this caused."""
        drops = []
        while len(self._messages) >= self._limit:
            oldest = next(iter(self._messages))
            drops.append(Drop(self._remove(oldest), "queue_full"))
        self._messages[message.id] = message
        for keeper in self.keepers:
            keeper.put(message)
        return drops

    def oldest(self, n: int, now: float, expired: list[Drop]) -> tuple[Message, ...]:
        """The n oldest messages; those that have expired are removed and added to `expired`."""
        batch: list[Message] = []
        for message in list(self._messages.values()):
            if message.expires_s <= now:
                expired.append(Drop(self._remove(message.id), "message_expired"))
            elif len(batch) < n:
                batch.append(message)
            else:
                break
        return tuple(batch)

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Forget messages by id; unknown ids do no harm."""
        for message_id in ids:
            self.pop(message_id)

    def acknowledge_through(self, message_id: int) -> None:
        """Forget all messages up to and including this id."""
        for known in [m for m in self._messages if m <= message_id]:
            self._remove(known)

    def pop(self, message_id: int) -> Message | None:
        """Remove a message; None where it is not known."""
        return self._remove(message_id) if message_id in self._messages else None

    def _remove(self, message_id: int) -> Message:
        for keeper in self.keepers:
            keeper.remove(message_id)
        return self._messages.pop(message_id)

    def restore(self, messages: Iterable[Message]) -> list[Message]:
        """Take over what a store holds; returns the messages that were here and are not there. Keepers know it."""
        before, self._messages = self._messages, {message.id: message for message in messages}
        return [message for message in before.values() if message.id not in self._messages]

    def held(self) -> Iterator[Message]:
        yield from self._messages.values()
