"""MQTTBroker: accepts connections, finds the session of a client id, routes messages. All timers are the sessions'.

MQTT 3.1.1 3.1.4 (CONNECT actions), 3.3.1.3 (retained), 4.7 (topics). It will not: bridge, share subscriptions, or
authenticate beyond what the transport's certificate says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sim.machine import (
    NEVER,
    CloseTransport,
    Drop,
    Message,
    PacketReceived,
    SendPacket,
    TransportAccepted,
    TransportLost,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.mqtt_packets import NOT_SUPPORTED_V311, V5, ConnAck, Connect, PubAck, Publish, Subscribe
from sim.protocols.mqtt_session import MQTTSession, Out, filter_matches


class Subscriber(Protocol):
    """Where a routed message goes: a session, or an application in the same data centre."""

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None: ...


class MQTTBroker:
    """A broker with the behaviour of a preset. `tick_phase` in [0, 1) places its keep alive ticks in time."""

    __slots__ = (
        "_behaviour",
        "_by_transport",
        "heap",
        "_local",
        "_matches",
        "_packet_limit_bytes",
        "_retained",
        "_serial",
        "_sessions",
        "_tick_phase",
        "_ties",
    )

    def __init__(self, behaviour: BrokerBehaviour, tick_phase: float = 0.0) -> None:
        self._behaviour = behaviour
        self._packet_limit_bytes = behaviour.packet_limit_bytes
        self._tick_phase = tick_phase
        self._sessions: dict[str, MQTTSession] = {}
        self._by_transport: dict[int, MQTTSession | None] = {}
        self._local: list[tuple[str, Subscriber]] = []
        self._retained: dict[str, tuple[Message, int]] = {}
        self._matches: dict[str, list[tuple[Subscriber, int]]] = {}  # topic -> where it goes, until a subscription changes
        self.heap: list[tuple[float, int, MQTTSession]] = []  # lazy: a session's entry may be early, never late
        self._serial = 0
        self._ties = 0  # order of equal deadlines: that of arming

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        _HANDLERS[type(event)](self, now, event, out)
        return out

    def next_deadline(self) -> float:
        """Earliest instant at which a session may have something to do; early is possible, late is not. O(1)."""
        return self.heap[0][0] if self.heap else NEVER

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        heap = self.heap
        while heap and heap[0][0] <= now:
            at, _tie, session = heapq.heappop(heap)
            if at == session.armed:
                session.armed = NEVER
            if session.deadlines.earliest <= now:
                before = session.transport
                out += session.handle_deadline(now)
                if before >= 0 and session.transport < 0:
                    self._by_transport.pop(before, None)
            self._settle(session)
        return out

    def held(self) -> Iterator[Message]:
        """Messages of which the broker holds a copy for some session."""
        for session in self._sessions.values():
            yield from session.held()

    def session(self, client_id: str) -> MQTTSession | None:
        """The session of a client id, for tests and inspection."""
        return self._sessions.get(client_id)

    # --- connections ----------------------------------------------------------------------------------------------------

    def received(self, now: float, event: PacketReceived, out: Out) -> None:
        """A packet of a client arrived."""
        packet = event.packet
        session = self._by_transport.get(event.transport)
        if session is None:
            self._first_packet(now, event.transport, packet, out)
            return
        if session.transport != event.transport:
            return  # the session was taken over; what the old connection still says does not count
        session.receive(now, packet, out)
        kind = type(packet)
        if kind is PubAck or (kind is Publish and session.transport >= 0):
            return  # neither changes subscriptions nor deadlines
        if kind is Subscribe:
            self._send_retained(now, session, packet, out)
        if session.transport < 0:
            self._by_transport.pop(event.transport, None)
        self._settle(session)

    def _first_packet(self, now: float, transport: int, packet: Any, out: Out) -> None:
        if transport not in self._by_transport:
            return
        if type(packet) is not Connect:
            # MQTT 3.1.1 3.1.0-1: the first packet must be CONNECT
            self._by_transport.pop(transport)
            out.append(CloseTransport(transport, reason="protocol_error"))
            return
        if packet.version == V5 and not self._behaviour.mqtt5:
            self._by_transport.pop(transport)
            out.append(SendPacket(transport, ConnAck(False, NOT_SUPPORTED_V311)))
            out.append(CloseTransport(transport, reason="refused"))
            return
        client_id = packet.client_id or f"auto-{transport}"
        session = self._sessions.get(client_id)
        if session is None:
            session = MQTTSession(client_id, self._behaviour, self.publish, tick_phase=self._tick_phase, serial=self._serial)
            self._serial += 1
            self._sessions[client_id] = session
        elif session.transport >= 0:
            if self._behaviour.takeover_blocks:
                return  # no CONNACK while the old connection is believed alive (brokers 3: hbmqtt)
            self._by_transport.pop(session.transport, None)
        self._by_transport[transport] = session
        session.attach(now, transport, packet, out)
        self._settle(session)

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        self._by_transport[event.transport] = None

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        session = self._by_transport.pop(event.transport, None)
        if session is not None and session.transport == event.transport:
            session.detach(now, out)
            self._settle(session)

    def _on_blocked(self, now: float, event: WriteBlocked, out: Out) -> None:
        session = self._by_transport.get(event.transport)
        if session is not None and session.transport == event.transport:
            session.write_blocked()

    def _on_resumed(self, now: float, event: WriteResumed, out: Out) -> None:
        session = self._by_transport.get(event.transport)
        if session is not None and session.transport == event.transport:
            session.write_resumed(now, out)

    def _settle(self, session: MQTTSession) -> None:
        """After a call of a session: know its subscriptions and its deadline."""
        if session.subscriptions_changed:
            session.subscriptions_changed = False
            self._matches.clear()
        earliest = session.deadlines.earliest
        if earliest < session.armed:
            session.armed = earliest
            self._ties += 1
            heapq.heappush(self.heap, (earliest, self._ties, session))

    # --- routing --------------------------------------------------------------------------------------------------------

    def subscribe_local(self, name: str, subscriber: Subscriber) -> None:
        """Subscribe an application in the same data centre to a topic filter."""
        self._local.append((name, subscriber))
        self._matches.clear()

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        """Route a message to everybody subscribed to its topic (MQTT 3.1.1 3.3.4)."""
        topic = message.topic
        if retain:
            if message.size_bytes:
                self._retained[topic] = (message, qos)
            else:
                self._retained.pop(topic, None)
        matches = self._matches.get(topic)
        if matches is None:
            matches = self._matches[topic] = self._find(topic)
        if message.size_bytes > self._packet_limit_bytes:
            out.append(Drop(message, "payload_too_large"))
            return
        if not matches:
            out.append(Drop(message, "no_subscription"))
        for subscriber, granted in matches:
            subscriber.publish(now, message, qos if qos < granted else granted, False, out)

    def _find(self, topic: str) -> list[tuple[Subscriber, int]]:
        """Who is subscribed to `topic`, with the highest QoS granted, in the order in which they came."""
        found: list[tuple[Subscriber, int]] = []
        for session in self._sessions.values():
            granted = [qos for name, qos in session.subscriptions.items() if filter_matches(name, topic)]
            if granted:
                found.append((session, max(granted)))
        found += [(subscriber, 2) for name, subscriber in self._local if filter_matches(name, topic)]
        return found

    def _send_retained(self, now: float, session: MQTTSession, packet: Subscribe, out: Out) -> None:
        for name, _qos in packet.filters:
            granted = session.subscriptions.get(name)
            if granted is None:
                continue
            for topic, (message, qos) in self._retained.items():
                if filter_matches(name, topic):
                    session.publish(now, message, min(qos, granted), True, out)


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: dict[type, Callable[..., None]] = {
    PacketReceived: MQTTBroker.received,
    TransportAccepted: MQTTBroker._on_accepted,
    TransportLost: MQTTBroker._on_lost,
    WriteBlocked: MQTTBroker._on_blocked,
    WriteResumed: MQTTBroker._on_resumed,
}
