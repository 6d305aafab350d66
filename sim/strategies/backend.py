"""The OTA server's side of the strategies that use MQTT: publisher, receiver of uplink, and for the hybrid the HTTPS API.

The backend is an MQTT client of the broker, in the same data centre (transport LAN).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sim.machine import (
    AddressChanged,
    Deadlines,
    Deliver,
    Drop,
    MachineBase,
    Message,
    MessageCreated,
    NameFailed,
    NameResolved,
    PacketReceived,
    SendPacket,
    StoreChanged,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.http import HTTPRequest, HTTPResponse, Unreadable
from sim.protocols.kept import Keeper
from sim.protocols.mqtt_packets import ConnAck, Connect, PubAck, Publish, PubRec, PubRel, Subscribe
from sim.protocols.pending import PendingMessages
from sim.protocols.publishing import Publishing, Subscriber
from sim.protocols.registry import Registry
from sim.strategies.config import Hybrid as HybridSettings
from sim.strategies.context import LAN, Context
from sim.strategies.ota import OTAPublisher
from sim.strategies.update_server import update_server
from sim.strategies.vehicle_api import Call, VehicleAPI, asked_of, read_heartbeat, read_ids, read_poll, refusal, status_response
from sim.subclassing import mypyc_attr

Out = list[Any]
_CALLS: Final = frozenset({Call.UPDATE})  # of the API that its vehicles may make


class UplinkSubscriber(Subscriber):
    """Hands what vehicles publish to the backend."""

    __slots__ = ("_backend",)

    def __init__(self, backend: MQTTBackend) -> None:
        self._backend = backend

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        self._backend.arrived(now, message, "mqtt", out)


@mypyc_attr(allow_interpreted_subclasses=True)
class MQTTBackend(MachineBase):
    """Publishes what the server's applications create, takes what the vehicle publishes."""

    __slots__ = ("_api", "_broker", "_context", "_next_packet_id", "deadlines", "publisher", "updates")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.deadlines = Deadlines()
        self.publisher = OTAPublisher(context, self.deadlines)
        self.updates = update_server(context)
        self._api = VehicleAPI(context, _CALLS)
        self._broker: Publishing | None = None
        self._next_packet_id = 0

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        if type(event) is MessageCreated:  # nearly all of them
            self._on_created(now, event, out)
        else:
            _HANDLERS[type(event)](self, now, event, out)
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            self._deadline_passed(now, name, out)
        return out

    def held(self) -> Iterator[Message]:
        """An update to be fetched; the broker holds what was published."""
        return self.updates.held() if self.updates is not None else iter(())

    def _deadline_passed(self, now: float, name: str, out: Out) -> None:
        for message in self.publisher.deadline_passed(now, name, out):
            self._publish(now, message, out)

    def _on_opened(self, now: float, event: TransportOpened, out: Out) -> None:
        if event.transport == LAN:
            out.append(SendPacket(LAN, Connect(f"ota-server-{self._context.vin}", True, 0, username="ota-server")))

    def _on_created(self, now: float, event: MessageCreated, out: Out) -> None:
        if self.updates is not None:
            self.updates.announced(now, event.message, out)
        self._publish(now, event.message, out)

    def join(self, broker: Publishing) -> None:
        """Publish into a broker of the same data centre by a call, and take from it what vehicles publish."""
        self._broker = broker
        broker.subscribe_local(self._context.topic("up/#"), UplinkSubscriber(self))

    def _publish(self, now: float, message: Message, out: Out) -> None:
        if self._broker is not None:
            self._broker.publish(now, message, message.qos, False, out)
            return
        packet_id = 0
        if message.qos:
            packet_id = self._next_packet_id = self._next_packet_id % 65535 + 1
        out.append(SendPacket(LAN, Publish(message, message.qos, packet_id)))

    def _on_packet(self, now: float, event: PacketReceived, out: Out) -> None:
        packet = event.packet
        kind = type(packet)
        if kind is PubAck:
            return
        if kind is Publish:
            if packet.qos == 1:
                out.append(SendPacket(LAN, PubAck(packet.packet_id)))
            self.arrived(now, packet.message, "mqtt", out)
        elif kind is ConnAck:
            # QoS 1: what a vehicle sends again bears DUP, and RabbitMQ 3.10 gives that to no subscriber with QoS 0
            out.append(SendPacket(LAN, Subscribe(1, ((self._context.topic("up/#"), 1),))))
        elif kind is PubRec:
            out.append(SendPacket(LAN, PubRel(packet.packet_id)))
        elif kind is HTTPRequest:
            self._serve(now, event.transport, packet, out)

    def arrived(self, now: float, message: Message, via: str, out: Out) -> None:
        """An uplink message is at the backend."""
        out.append(Deliver(message, via))
        if message.reply_to >= 0:
            for chunk in self.publisher.acknowledged(now, message.reply_to, out):
                self._publish(now, chunk, out)

    def _serve(self, now: float, transport: int, request: HTTPRequest, out: Out) -> None:
        call = self._api.find(transport, request)
        if isinstance(call, HTTPResponse):
            out.append(SendPacket(transport, call))
        elif call is Call.UPDATE:
            if self.updates is None:
                out.append(SendPacket(transport, refusal(404, request)))
            else:
                self.updates.serve(transport, request, out)
        else:
            answer = None if request.body is Unreadable.BODY else self._answer(now, call, request, out)
            out.append(SendPacket(transport, refusal(400, request) if answer is None else answer))

    def _answer(self, now: float, call: Call, request: HTTPRequest, out: Out) -> HTTPResponse | None:
        """None: the body is malformed. Here no other call is offered."""
        return refusal(404, request)

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        self._api.accepted(event)

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        self._api.lost(event.transport)

    def _store_changed(self, now: float, event: StoreChanged, out: Out) -> None:
        """Here nothing is kept."""

    def _on_stored(self, now: float, event: StoreChanged, out: Out) -> None:
        self._store_changed(now, event, out)

    def _on_nothing(self, now: float, event: Any, out: Out) -> None:
        """Of no concern to this machine."""


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    PacketReceived: MQTTBackend._on_packet,
    TransportOpened: MQTTBackend._on_opened,
    TransportAccepted: MQTTBackend._on_accepted,
    TransportLost: MQTTBackend._on_lost,
    WriteBlocked: MQTTBackend._on_nothing,
    WriteResumed: MQTTBackend._on_nothing,
    NameResolved: MQTTBackend._on_nothing,
    NameFailed: MQTTBackend._on_nothing,
    AddressChanged: MQTTBackend._on_nothing,
    StoreChanged: MQTTBackend._on_stored,
}


@mypyc_attr(allow_interpreted_subclasses=True)
class HybridBackend(MQTTBackend):
    """With the pending-messages API: each message is written once and seen by the MQTT session and by the poll."""

    __slots__ = ("_config", "_pending", "_registry")

    def __init__(self, config: HybridSettings, context: Context) -> None:
        super().__init__(context)
        self._config = config
        self._pending = PendingMessages(config.store_limit)
        self._registry = Registry()
        self._api = VehicleAPI(context, frozenset(Call))

    def held(self) -> Iterator[Message]:
        yield from self._pending.held()
        yield from super().held()

    def keep_in(self, *keepers: Keeper) -> None:
        """Tell these of each change of the registry and of the pending messages."""
        self._registry.keepers = self._pending.keepers = keepers

    def _store_changed(self, now: float, event: StoreChanged, out: Out) -> None:
        self._api.store_changed(event, out)
        if event.kept is not None:
            self._registry.restore(self._context.vin, event.kept.entry)
            gone = self._pending.restore(event.kept.messages)
            if event.kept.emptied:
                out.extend(Drop(message, "store_failover") for message in gone)

    def _publish(self, now: float, message: Message, out: Out) -> None:
        if message.qos or message.kind == "probe":  # QoS 0 is sent once or not at all; a probe may come by either way
            out.extend(self._pending.put(message))
        super()._publish(now, message, out)

    def arrived(self, now: float, message: Message, via: str, out: Out) -> None:
        if message.reply_to >= 0:
            # the answer shows that the request has arrived
            self._pending.acknowledge((message.reply_to,))
        super().arrived(now, message, via, out)

    def _answer(self, now: float, call: Call, request: HTTPRequest, out: Out) -> HTTPResponse | None:
        """None: the body is malformed."""
        vin = self._context.vin
        if call is Call.PENDING:
            return self._poll(now, request, out)
        if call is Call.STATUS:
            return status_response(vin, self._registry.get(vin), request)
        if call is Call.ACKNOWLEDGE:
            ids = read_ids(request.body)
            if ids is None:
                return None
            self._pending.acknowledge(ids)
            return HTTPResponse(204)
        if call is Call.HEARTBEAT:
            heartbeat = read_heartbeat(request.body)
            if heartbeat is None:
                return None
            self._registry.heartbeat(now, vin, heartbeat.address, heartbeat.status)
            return HTTPResponse(204, purpose="heartbeat")
        for message in request.messages:
            self.arrived(now, message, "post", out)
        return HTTPResponse(204, purpose=request.purpose)

    def _poll(self, now: float, request: HTTPRequest, out: Out) -> HTTPResponse | None:
        poll = read_poll(asked_of(request), self._config.poll_batch, self._config.ack)
        if poll is None:
            return None
        self._pending.acknowledge_through(poll.through)
        self._pending.acknowledge(poll.beyond)
        batch = self._pending.oldest(poll.batch, now, out)
        if poll.ack == "explicit":
            return HTTPResponse(200, messages=batch)
        self._pending.acknowledge([message.id for message in batch])
        return HTTPResponse(200, messages=batch, cause_if_lost="poll_response_lost")
