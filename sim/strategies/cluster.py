"""A data centre whose broker has nodes that may fail, and a store of sessions: what DataCentre leaves out.

Simplification: the API's own database of pending messages and the server are not among what fails; requests may fail
(fault `api_errors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.machine import Message, PacketReceived, ServerChanged, TransportAccepted
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.mqtt_packets import Connect
from sim.protocols.session_store import SessionStore
from sim.strategies.data_centre import DataCentre

Out = list[Any]


class Cluster(DataCentre):
    """Tells the store of nodes and of itself, and has a CONNECT wait where the store does not answer."""

    __slots__ = ("_node_of", "_store", "_waiting")

    def __init__(self, backend: Any, broker: MQTTBroker, mqtt_port: int, store: SessionStore) -> None:
        super().__init__(backend, broker, mqtt_port, store)
        self._store = store
        self._node_of: dict[int, int] = {}  # of the broker's transports
        self._waiting: dict[int, PacketReceived] = {}  # CONNECTs, by transport

    def handle(self, now: float, event: Any) -> Out:
        kind = type(event)
        if kind is PacketReceived:
            if event.transport in self._at_broker and type(event.packet) is Connect:
                out: Out = []
                self._connect(now, event, out)
                self._forget_closed(out)
                return out
            return super().handle(now, event)
        if kind is ServerChanged:
            out = []
            self._store.changed(now, event, out)
            for transport in event.transports:
                self._gone(transport)
            waiting, self._waiting = self._waiting, {}
            for connect in waiting.values():
                self._connect(now, connect, out)
            self._forget_closed(out)
            return out
        if kind is TransportAccepted and event.port == self._mqtt_port:
            self._node_of[event.transport] = event.node
        return super().handle(now, event)

    def _gone(self, transport: int) -> None:
        self._waiting.pop(transport, None)
        self._node_of.pop(transport, None)
        super()._gone(transport)

    def _connect(self, now: float, event: PacketReceived, out: Out) -> None:
        if not self._store.serves:
            self._waiting[event.transport] = event
            return
        client_id = event.packet.client_id
        delay_s = self._store.connecting(now, client_id, self._node_of.get(event.transport, 0), out)
        self.broker.received(now, event, out)
        if delay_s > 0.0:
            self.broker.hold_connack(client_id, delay_s)

    def held(self) -> Iterator[Message]:
        yield from super().held()
        yield from self._store.held()
