"""A broker driven by hand: raw clients that see every packet, may withhold acknowledgements and may fall into a hole."""

import dataclasses
from collections import deque
from collections.abc import Iterable
from typing import Any

from sim.machine import CloseTransport, Drop, Message, PacketReceived, SendPacket, TransportAccepted, TransportLost
from sim.protocols.broker_presets import Broker
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Will,
)

PORT = 8883
TOPIC = "vehicle/VIN123/down/ota"
WILLS = "vehicle/VIN123/will"


class Client:
    """One connection of one client. `received` and `missed` (sent by the broker into the hole) are lists of (instant, packet)."""

    def __init__(self, broker: "BrokerAtHand", transport: int, client_id: str, acknowledges: bool) -> None:
        self.broker = broker
        self.transport = transport
        self.client_id = client_id
        self.acknowledges = acknowledges
        self.in_hole = False
        self.received: list[tuple[float, Any]] = []
        self.missed: list[tuple[float, Any]] = []
        self.closed: tuple[float, str] | None = None  # when and why the broker closed

    def send(self, packet: Any) -> None:
        self.broker.deliver(self.transport, packet)

    def packets(self, kind: type) -> list[Any]:
        return [packet for _, packet in self.received if type(packet) is kind]

    @property
    def connack(self) -> ConnAck | None:
        found = self.packets(ConnAck)
        return found[0] if found else None

    @property
    def published(self) -> list[str]:
        """Names of the messages received, in order."""
        return [self.broker.names[packet.message.id] for packet in self.packets(Publish)]

    def publishes(self, names: Iterable[str]) -> list[Publish]:
        return [packet for packet in self.packets(Publish) if self.broker.names[packet.message.id] in names]

    def subscribe(self, qos: int = 2, topic: str = TOPIC) -> None:
        self.send(Subscribe(60_000, ((topic, qos),)))

    def ping(self) -> None:
        self.send(PingReq())

    def fall_into_hole(self) -> None:
        """From now on nothing passes in either direction, and nobody is told."""
        self.in_hole = True

    def disconnect(self, code: int = 0) -> None:
        self.send(Disconnect(code))

    def lose_transport(self) -> None:
        """The broker's kernel tells it that the transport is gone."""
        self.broker.perform(self.broker.machine.handle(self.broker.now, TransportLost(self.transport, "reset")))


class BrokerAtHand:
    """The machine, the clock and the clients."""

    def __init__(self, preset: str = "spec", tick_phase: float = 0.0, **overrides: Any) -> None:
        self.behaviour = dataclasses.replace(Broker(preset=preset).behaviour(), **overrides)  # type: ignore[arg-type]
        self.machine = MQTTBroker(self.behaviour, tick_phase)
        self.now = 0.0
        self.clients: dict[int, Client] = {}
        self.names: dict[int, str] = {-1: "will"}
        self.drops: list[tuple[str, str]] = []  # (name of the message, cause)
        self._publisher: Client | None = None
        self._last_packet_id = 0
        self._to_acknowledge: deque[tuple[Client, Any]] = deque()
        self._acknowledging = False

    # --- time ---

    def advance(self, to_s: float) -> None:
        """Let the broker's deadlines pass up to `to_s`."""
        while (due := self.machine.next_deadline()) <= to_s:
            self.now = max(self.now, due)
            self.perform(self.machine.handle_deadline(self.now))
        self.now = to_s

    def perform(self, actions: list[Any]) -> None:
        for action in actions:
            if type(action) is SendPacket:
                client = self.clients[action.transport]
                if client.in_hole:
                    client.missed.append((self.now, action.packet))
                else:
                    client.received.append((self.now, action.packet))
                    if client.acknowledges:
                        self._to_acknowledge.append((client, action.packet))
            elif type(action) is CloseTransport:
                self.clients[action.transport].closed = (self.now, action.reason)
            elif type(action) is Drop:
                self.drops.append((self.names[action.message.id], action.cause))
        if not self._acknowledging:
            self._acknowledging = True
            while self._to_acknowledge:
                self._acknowledge(*self._to_acknowledge.popleft())
            self._acknowledging = False

    def _acknowledge(self, client: Client, packet: Any) -> None:
        if type(packet) is Publish and packet.qos == 1:
            client.send(PubAck(packet.packet_id))
        elif type(packet) is Publish and packet.qos == 2:
            client.send(PubRec(packet.packet_id))
        elif type(packet) is PubRec:
            client.send(PubRel(packet.packet_id))
        elif type(packet) is PubRel:
            client.send(PubComp(packet.packet_id))

    # --- clients ---

    def deliver(self, transport: int, packet: Any) -> None:
        if not self.clients[transport].in_hole:
            self.perform(self.machine.handle(self.now, PacketReceived(transport, packet)))

    def connect(
        self,
        client_id: str = "vehicle",
        *,
        keep_alive_s: int = 60,
        clean: bool = False,
        v5: bool = False,
        acknowledges: bool = True,
        will: Will | None = None,
        session_expiry_s: float | None = None,
        receive_maximum: int | None = None,
    ) -> Client:
        """Open a transport, send CONNECT and wait for the CONNACK (a second at most)."""
        transport = len(self.clients) + 1
        client = self.clients[transport] = Client(self, transport, client_id, acknowledges)
        self.perform(self.machine.handle(self.now, TransportAccepted(transport, PORT)))
        connect = Connect(client_id, clean, keep_alive_s, V5 if v5 else V311, session_expiry_s, receive_maximum, will, client_id)
        self.deliver(transport, connect)
        for _ in range(100):  # other sessions may have deadlines too
            due = self.machine.next_deadline()
            if client.received or client.closed or due > self.now + 0.1:
                break
            self.advance(due)
        return client

    def observer(self) -> Client:
        """A client that sees wills, as the one in the measurements."""
        observer = self.connect("observer", keep_alive_s=0, clean=True)
        observer.subscribe(0, WILLS)
        return observer

    def publish(self, name: str, qos: int = 1, topic: str = TOPIC, size: int = 100, expires_s: float | None = None) -> None:
        """A publisher in the broker's own network publishes."""
        if self._publisher is None or self._publisher.closed:
            self._publisher = self.connect("publisher", keep_alive_s=0, clean=True)
        message = Message(len(self.names), "ota", topic, size, qos, self.now)
        if expires_s is not None:
            message.expires_s = self.now + expires_s
        self.names[message.id] = name
        self._last_packet_id += 1
        self._publisher.send(Publish(message, qos, self._last_packet_id if qos else 0))

    @property
    def publisher(self) -> Client:
        assert self._publisher is not None
        return self._publisher
