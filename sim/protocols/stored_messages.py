"""What a session holds for its client, in a broker that bounds the bytes it stores for all sessions together.

The containers are subclasses of Python's, which the compiler cannot lay out as classes of its own: hence the mark on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol, TypeVar

from sim.machine import Message
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


class StoredBytes:
    """How many bytes the sessions of a broker hold, and how many they may. A message held twice counts twice."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def would_exceed(self, message: Message) -> bool:
        return self.held + stored_bytes(message) > self.limit

    def take(self, message: Message) -> None:
        self.held += stored_bytes(message)

    def release(self, message: Message) -> None:
        self.held -= stored_bytes(message)


@mypyc_attr(native_class=False)
class MessageQueue(deque[Entry]):
    """The queue; only what MQTTSession calls is overridden."""

    def __init__(self, stored: StoredBytes) -> None:
        super().__init__()
        self.stored = stored

    def append(self, entry: Entry) -> None:
        self.stored.take(entry[0])
        super().append(entry)

    def extendleft(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.stored.take(entry[0])
            super().appendleft(entry)

    def popleft(self) -> Entry:
        entry = super().popleft()
        self.stored.release(entry[0])
        return entry

    def pop(self) -> Entry:  # type: ignore[override]
        entry = super().pop()
        self.stored.release(entry[0])
        return entry

    def clear(self) -> None:
        for message, _qos, _retain in self:
            self.stored.release(message)
        super().clear()


@mypyc_attr(native_class=False)
class InflightMessages(dict[int, Held]):
    """What is sent and not acknowledged, by packet identifier; only what MQTTSession calls is overridden."""

    def __init__(self, stored: StoredBytes) -> None:
        super().__init__()
        self.stored = stored

    def __setitem__(self, packet_id: int, sent: Held) -> None:
        self.stored.take(sent.message)
        super().__setitem__(packet_id, sent)

    def pop(self, packet_id: int, default: object = _NOTHING) -> Held | None:  # type: ignore[override]
        sent = super().pop(packet_id, None)
        if sent is not None:
            self.stored.release(sent.message)
        elif default is _NOTHING:
            raise KeyError(packet_id)
        return sent

    def clear(self) -> None:
        for sent in self.values():
            self.stored.release(sent.message)
        super().clear()
