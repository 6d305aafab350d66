"""Changes of one vehicle's registry entry and pending messages that a store has not been told of yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.machine import Message
from sim.protocols.kept import Entry, Kept


@dataclass(slots=True)
class Batch:
    """What is written at once. `messages`: by id, None for one that is removed."""

    entry: Entry | None = None
    messages: dict[int, Message | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.entry is not None or bool(self.messages)


class Changes:
    """A keeper (sim.protocols.kept) that collects. Of several changes of one thing the last is kept, so it is bounded."""

    def __init__(self) -> None:
        self._batch = Batch()

    def __bool__(self) -> bool:
        return bool(self._batch)

    def heartbeat(self, vin: str, entry: Entry) -> None:
        self._batch.entry = entry

    def put(self, message: Message) -> None:
        self._batch.messages.pop(message.id, None)  # its place is that of the last change
        self._batch.messages[message.id] = message

    def remove(self, message_id: int) -> None:
        self._batch.messages[message_id] = None

    def take(self) -> Batch:
        """The changes since the last take."""
        taken, self._batch = self._batch, Batch()
        return taken

    def put_back(self, batch: Batch) -> None:
        """What could not be written is older than what has changed since."""
        newer = self._batch
        self._batch = Batch(newer.entry or batch.entry, {**batch.messages, **newer.messages})

    def over(self, kept: Kept) -> Kept:
        """What a store would hold if these changes were in it."""
        messages = {message.id: message for message in kept.messages}
        for message_id, message in self._batch.messages.items():
            if message is None:
                messages.pop(message_id, None)
            else:
                messages[message_id] = message
        return Kept(kept.vin, self._batch.entry or kept.entry, tuple(messages.values()), kept.emptied)
