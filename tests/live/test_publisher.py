"""The server's publisher keeps what no broker has acknowledged."""

from __future__ import annotations

from typing import Any

from sim.live.publisher import LastingPublisher
from sim.machine import Drop, Message, MessageCreated, PacketReceived, SendPacket, TransportLost, TransportOpened
from sim.protocols.mqtt_packets import ConnAck, PubAck, Publish, SubAck
from sim.strategies.context import LAN


class Publishes:
    """Publishes what is created, and keeps nothing."""

    def __init__(self) -> None:
        self.published = 0

    def handle(self, now: float, event: Any) -> list[Any]:
        if type(event) is not MessageCreated:
            return []
        self.published += 1
        return [SendPacket(LAN, Publish(event.message, event.message.qos, self.published if event.message.qos else 0))]

    def held(self) -> list[Message]:
        return []


def message(number: int, qos: int = 1) -> Message:
    return Message(number, "ota", "t", 10, qos, 0.0)


def sent(actions: list[Any]) -> list[tuple[int, bool]]:
    return [(action.packet.message.id, action.packet.dup) for action in actions if type(action) is SendPacket]


def served(publisher: LastingPublisher) -> list[Any]:
    publisher.handle(0.0, TransportOpened(LAN))
    publisher.handle(0.0, PacketReceived(LAN, ConnAck(False)))
    return publisher.handle(0.0, PacketReceived(LAN, SubAck(1, (1,))))


def test_what_was_not_acknowledged_is_published_again_with_dup_and_what_waited_after_it() -> None:
    publisher, told = LastingPublisher(Publishes()), []
    publisher.lost = lambda: told.append("lost")
    served(publisher)
    assert sent(publisher.handle(0.0, MessageCreated(message(1)))) == [(1, False)]
    assert sent(publisher.handle(0.0, MessageCreated(message(2)))) == [(2, False)]
    publisher.handle(0.0, PacketReceived(LAN, PubAck(1)))
    publisher.handle(1.0, TransportLost(LAN, "closed"))
    assert told == ["lost"]
    assert sent(publisher.handle(2.0, MessageCreated(message(3)))) == []
    assert sent(publisher.handle(2.0, MessageCreated(message(4, qos=0)))) == []
    assert [one.id for one in publisher.held()] == [3, 4]
    assert sent(served(publisher)) == [(2, True), (3, False), (4, False)]
    assert list(publisher.held()) == []
    publisher.handle(3.0, TransportLost(LAN, "closed"))
    assert sent(served(publisher)) == [(2, True), (3, True)]  # QoS 0 is sent once


def test_the_oldest_gives_way_where_it_may_keep_so_many() -> None:
    publisher = LastingPublisher(Publishes(), limit=1)
    publisher.handle(0.0, MessageCreated(message(1)))
    [dropped] = publisher.handle(0.0, MessageCreated(message(2)))
    assert (type(dropped), dropped.message.id, dropped.cause) == (Drop, 1, "publisher_gave_up")


def test_a_lost_connection_of_somebody_else_is_none_of_its_business() -> None:
    publisher = LastingPublisher(Publishes())
    served(publisher)
    publisher.handle(0.0, TransportLost(1_000_001, "closed"))
    assert sent(publisher.handle(0.0, MessageCreated(message(1)))) == [(1, False)]
