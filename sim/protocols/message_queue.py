"""The queue of a session in a broker that bounds the bytes it stores for all sessions together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sim.machine import Message

Entry = tuple[Message, int, bool]  # message, QoS, retain
_OVERHEAD_BYTES = 200  # of an entry and its message, about


class StoredBytes:
    """How many bytes the queues of a broker hold, and how many they may. A message in two queues counts twice."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def would_exceed(self, message: Message) -> bool:
        return self.held + message.size_bytes + _OVERHEAD_BYTES > self.limit


class MessageQueue(deque[Entry]):
    """A deque that keeps the account; only what MQTTSession calls is overridden."""

    def __init__(self, stored: StoredBytes) -> None:
        super().__init__()
        self.stored = stored

    def append(self, entry: Entry) -> None:
        self.stored.held += entry[0].size_bytes + _OVERHEAD_BYTES
        super().append(entry)

    def extendleft(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.stored.held += entry[0].size_bytes + _OVERHEAD_BYTES
            super().appendleft(entry)

    def popleft(self) -> Entry:
        return self._gone(super().popleft())

    def pop(self) -> Entry:  # type: ignore[override]
        return self._gone(super().pop())

    def clear(self) -> None:
        for entry in self:
            self._gone(entry)
        super().clear()

    def _gone(self, entry: Entry) -> Entry:
        self.stored.held -= entry[0].size_bytes + _OVERHEAD_BYTES
        return entry
