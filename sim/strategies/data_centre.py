"""The OTA server and its broker in one data centre, as one machine.

Simplification: what server and broker say to each other takes no time and loses nothing, so the server publishes into the
broker by a call. Against a broker elsewhere (live) the backend is an MQTT client on its transport LAN instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.machine import (
    CloseTransport,
    Deadlines,
    MachineBase,
    Message,
    MessageCreated,
    PacketReceived,
    TransportAccepted,
    TransportLost,
    hosted,
)
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.mqtt_packets import Connect
from sim.protocols.publishing import Publishing

Out = list[Any]


class DataCentre(MachineBase):
    """Routes inputs to the backend or, where the transport came in on the MQTT port, to the broker."""

    __slots__ = ("_at_broker", "_backend_deadlines", "_broker_deadlines", "_hosted", "_mqtt_port", "backend", "broker")

    def __init__(self, backend: Any, broker: MQTTBroker, mqtt_port: int, publishing: Publishing | None = None) -> None:
        """`publishing` is what the backend publishes into, where it is not the broker itself."""
        self.backend = backend
        self.broker = broker
        self._mqtt_port = mqtt_port
        self._at_broker: dict[int, None] = {}  # transports of the broker
        self._hosted = hosted(backend)
        self._backend_deadlines: Deadlines = backend.deadlines
        self._broker_deadlines = broker.heap
        backend.join(broker if publishing is None else publishing)

    def handle(self, now: float, event: Any) -> Out:
        if type(event) is PacketReceived:
            if event.transport in self._at_broker:
                out: Out = []
                self.broker.received(now, event, out)
                if type(event.packet) is Connect:
                    self._forget_closed(out)
                return out
            return self._hosted.handle(now, event)
        if type(event) is MessageCreated:
            return self._hosted.handle(now, event)
        transport = getattr(event, "transport", -1)
        if type(event) is TransportAccepted and event.port == self._mqtt_port:
            self._at_broker[transport] = None
        if transport in self._at_broker:
            if type(event) is TransportLost:
                self._gone(transport)
            return self.broker.handle(now, event)
        return self._hosted.handle(now, event)

    def next_deadline(self) -> float:
        backend_s = self._backend_deadlines.earliest
        if self._broker_deadlines:
            broker_s = self._broker_deadlines[0][0]  # MQTTBroker.next_deadline(), inlined: asked after every input
            return backend_s if backend_s < broker_s else broker_s
        return backend_s

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        if self.backend.next_deadline() <= now:
            out += self.backend.handle_deadline(now)
        if self.broker.next_deadline() <= now:
            out += self.broker.handle_deadline(now)
            self._forget_closed(out)
        return out

    def _forget_closed(self, out: Out) -> None:
        """Nothing is heard any more of transports that the broker has closed (after a takeover, or a silence)."""
        for action in out:
            if type(action) is CloseTransport:
                self._gone(action.transport)

    def _gone(self, transport: int) -> None:
        self._at_broker.pop(transport, None)

    def let_go(self) -> None:
        self.broker.let_go()
        self._hosted.let_go()

    def held(self) -> Iterator[Message]:
        yield from self.backend.held()
        yield from self.broker.held()
