"""What a broker and those it hands messages to are for each other. Classes and not protocols: calls go without a detour."""

from __future__ import annotations

from typing import Any

from sim.machine import Message
from sim.subclassing import mypyc_attr

Out = list[Any]


@mypyc_attr(allow_interpreted_subclasses=True)
class Subscriber:
    """Where a routed message goes: a session, or an application in the same data centre."""

    __slots__ = ()

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Publishing(Subscriber):
    """A broker of the same data centre as its applications see it: MQTTBroker, or SessionStore where it has nodes."""

    __slots__ = ()

    def subscribe_local(self, name: str, subscriber: Subscriber) -> None:
        raise NotImplementedError
