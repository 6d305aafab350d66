"""What a session holds for its client, in a broker that bounds the bytes it stores for all sessions together.

The containers are subclasses of Python's, which the compiler cannot lay out as classes of its own: hence the mark on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from sim.machine import Drop, Message
from sim.protocols.mqtt_properties import properties_bytes
from sim.subclassing import mypyc_attr

Entry = tuple[Message, int, bool]  # message, QoS, retain
_OVERHEAD_BYTES = 200  # of an entry and its message, about
_NOTHING = object()


class Holding(Protocol):
    message: Message


Held = TypeVar("Held", bound=Holding)


def stored_bytes(message: Message) -> int:
    """Memory that a message takes, about."""
    more = properties_bytes(message.properties) if message.properties else 0
    return message.size_bytes + len(message.topic) + more + _OVERHEAD_BYTES


def taken(queue: deque[Entry]) -> list[Entry]:
    """All that is in it, in order; it is empty afterwards."""
    entries = list(queue)
    queue.clear()
    return entries


class StoredBytes:
    """How many bytes the sessions of a broker hold, and how many they may. A message held twice counts twice."""

    __slots__ = ("always", "held", "limit", "queues")

    def __init__(self, limit: int, always: int = 0) -> None:
        """`always`: what a session may hold although all is full."""
        self.limit = limit
        self.always = always
        self.held = 0
        self.queues: dict[int, MessageQueue] = {}  # those with something in them, by id()

    def refuses(self, message: Message, queue: deque[Entry], inflight: dict[int, Any], out: list[Any]) -> bool:
        """Whether there is no room for a message of the session that has these: it is dropped.

        Where all is full the longest queue loses its newest messages to one that is shorter also with the message, and a session
        with little has room in any case: clients that leave a backlog behind would shut out all others. What is in flight
        is left where it is.
        """
        assert isinstance(queue, MessageQueue)
        assert isinstance(inflight, InflightMessages)
        wanted = stored_bytes(message)
        if queue.held + inflight.held + wanted <= self.always:
            return False
        while self.held + wanted > self.limit:
            longest = max(self.queues.values(), key=lambda one: one.held, default=queue)
            if longest.held <= queue.held + wanted:
                out.append(Drop(message, "queue_full"))
                return True
            while self.held + wanted > self.limit and longest.held > queue.held + wanted:
                out.append(Drop(longest.pop()[0], "queue_full"))
        return False


@mypyc_attr(native_class=False)
class MessageQueue(deque[Entry]):
    """The queue; only what MQTTSession calls is overridden."""

    def __init__(self, stored: StoredBytes) -> None:
        super().__init__()
        self.stored = stored
        self.held = 0  # bytes

    def append(self, entry: Entry) -> None:
        self._take(entry)
        super().append(entry)

    def extendleft(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._take(entry)
            super().appendleft(entry)

    def popleft(self) -> Entry:
        entry = super().popleft()
        self._release(entry)
        return entry

    def pop(self) -> Entry:  # type: ignore[override]
        entry = super().pop()
        self._release(entry)
        return entry

    def clear(self) -> None:
        self.stored.held -= self.held
        self.held = 0
        self.stored.queues.pop(id(self), None)
        super().clear()

    def _take(self, entry: Entry) -> None:
        n_bytes = stored_bytes(entry[0])
        self.held += n_bytes
        self.stored.held += n_bytes
        self.stored.queues[id(self)] = self

    def _release(self, entry: Entry) -> None:
        n_bytes = stored_bytes(entry[0])
        self.held -= n_bytes
        self.stored.held -= n_bytes
        if not self:
            self.stored.queues.pop(id(self), None)


@mypyc_attr(native_class=False)
class InflightMessages(dict[int, Held]):
    """What is sent and not acknowledged, by packet identifier; only what MQTTSession calls is overridden."""

    def __init__(self, stored: StoredBytes) -> None:
        super().__init__()
        self.stored = stored
        self.held = 0  # bytes

    def __setitem__(self, packet_id: int, sent: Held) -> None:
        self._count(stored_bytes(sent.message))
        super().__setitem__(packet_id, sent)

    def pop(self, packet_id: int, default: object = _NOTHING) -> Held | None:  # type: ignore[override]
        sent = super().pop(packet_id, None)
        if sent is not None:
            self._count(-stored_bytes(sent.message))
        elif default is _NOTHING:
            raise KeyError(packet_id)
        return sent

    def clear(self) -> None:
        self._count(-self.held)
        super().clear()

    def _count(self, n_bytes: int) -> None:
        self.held += n_bytes
        self.stored.held += n_bytes
