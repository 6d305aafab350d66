"""The server's own MQTT connection to a broker that may go away: what is not acknowledged is kept, and published again.

Stands between the host and the server's machine. In the model the publisher keeps its messages by a call
(`sim.protocols.session_store`); here it is an MQTT client like any other, of whichever node takes its connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from sim.machine import Drop, Message, PacketReceived, SendPacket, TransportLost
from sim.protocols.mqtt_packets import ConnAck, PubAck, Publish, PubRec, SubAck
from sim.strategies.context import LAN


class LastingPublisher:
    """A machine around another one. `lost` is called where the connection is gone; who opens a new one says TransportOpened."""

    def __init__(self, machine: Any, limit: int | None = None) -> None:
        """`limit`: messages that are kept while nobody takes them; the oldest gives way. None: all."""
        self._machine = machine
        self._limit = limit
        self._serves = False
        self._waiting: deque[Publish] = deque()  # while nobody serves
        self._unacknowledged: dict[int, Publish] = {}  # by packet identifier
        self.lost: Callable[[], None] = _nothing

    def handle(self, now: float, event: Any) -> list[Any]:
        kind = type(event)
        if kind is TransportLost and event.transport == LAN:
            self._serves = False
            self.lost()
        elif kind is PacketReceived and event.transport == LAN:
            packet = event.packet
            if type(packet) in (PubAck, PubRec):
                self._unacknowledged.pop(packet.packet_id, None)
            elif type(packet) is ConnAck:
                # SUBSCRIBE first: what the vehicles publish meanwhile would have no subscriber
                return self._passed(self._machine.handle(now, event))
            elif type(packet) is SubAck:
                self._serves = True
                return [*self._again(), *self._passed(self._machine.handle(now, event))]
        return self._passed(self._machine.handle(now, event))

    def next_deadline(self) -> float:
        return float(self._machine.next_deadline())

    def handle_deadline(self, now: float) -> list[Any]:
        return self._passed(self._machine.handle_deadline(now))

    def held(self) -> Iterator[Message]:
        """What no broker has."""
        yield from self._machine.held()
        for packet in self._waiting:
            yield packet.message

    def _passed(self, actions: list[Any]) -> list[Any]:
        """What may leave of what the machine wants."""
        return [kept for action in actions for kept in self._checked(action)]

    def _checked(self, action: Any) -> list[Any]:
        if type(action) is not SendPacket or action.transport != LAN or type(action.packet) is not Publish:
            return [action]
        packet = action.packet
        if self._serves:
            if packet.qos:
                self._unacknowledged[packet.packet_id] = packet
            return [action]
        self._waiting.append(packet)
        if self._limit is not None and len(self._waiting) > self._limit:
            return [Drop(self._waiting.popleft().message, "publisher_gave_up")]
        return []

    def _again(self) -> list[Any]:
        """What was sent and not acknowledged, then what has waited."""
        again = [SendPacket(LAN, Publish(one.message, one.qos, one.packet_id, dup=True)) for one in self._unacknowledged.values()]
        waited = [SendPacket(LAN, packet) for packet in self._waiting]
        self._unacknowledged |= {packet.packet_id: packet for packet in self._waiting if packet.qos}
        self._waiting.clear()
        return again + waited


def _nothing() -> None:
    pass
