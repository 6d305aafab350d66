"""MQTTBroker: accepts connections, finds the session of a client id, routes messages. All timers are the sessions'.

MQTT 3.1.1 3.1.4 (CONNECT actions), 3.3.1.3 (retained), 4.7 (topics); MQTT 5.0 4.8.2 (shared subscriptions), 4.12
(extended authentication: refused). It will not: bridge, or authenticate beyond what the transport's certificate says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any, Final

from sim.machine import (
    NEVER,
    CloseTransport,
    Drop,
    Message,
    Note,
    PacketReceived,
    SendPacket,
    TransportAccepted,
    TransportLost,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.broker_limits import NO_LIMITS, BrokerLimits
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.durable_session import DurableSession
from sim.protocols.flapping import Flapping
from sim.protocols.mqtt_packets import V5, ConnAck, Connect, Malformed, PubAck, Publish
from sim.protocols.mqtt_reasons import (
    BAD_AUTHENTICATION_METHOD,
    BANNED,
    CLIENT_IDENTIFIER_NOT_VALID,
    QOS_NOT_SUPPORTED,
    QUOTA_EXCEEDED,
    V311_RETURN_CODES,
    V311_UNACCEPTABLE_VERSION,
)
from sim.protocols.mqtt_session import State
from sim.protocols.mqtt_subscriptions import (
    NO_LOCAL,
    OptionedSubscriber,
    SharedGroup,
    filter_matches,
    levels_match,
    shared_filter,
)
from sim.protocols.publishing import Out, Publishing, Subscriber
from sim.protocols.retained import RetainedMessages
from sim.protocols.saved_session import SavedSession
from sim.protocols.stored_messages import StoredBytes
from sim.protocols.unconnected import Unconnected

#: the routing table keeps that many topics, and none longer than this
_MOST_ROUTES, _LONGEST_ROUTE = 4096, 512
#: shared subscriptions whose turn is remembered; entries of the heap beyond two for each session before it is compacted
_MOST_TURNS, _HEAP_SLACK = 4096, 1024


class MQTTBroker(Publishing):
    """A broker with the behaviour of a preset. `tick_phase` in [0, 1) places its keep alive ticks in time."""

    __slots__ = (
        "_behaviour",
        "_by_transport",
        "_flapping",
        "_limits",
        "_local",
        "_matches",
        "_packet_limit_bytes",
        "_publisher",
        "_raises_qos",
        "_retained",
        "_serial",
        "_sessions",
        "_stored",
        "_tick_phase",
        "_ties",
        "_turns",
        "_unconnected",
        "heap",
    )

    def __init__(self, behaviour: BrokerBehaviour, tick_phase: float = 0.0, limits: BrokerLimits = NO_LIMITS) -> None:
        self._behaviour = behaviour
        self._limits = limits
        self._packet_limit_bytes = behaviour.packet_limit_bytes
        self._raises_qos = behaviour.raises_qos
        self._tick_phase = tick_phase
        self._flapping = Flapping(behaviour) if behaviour.flapping_limit else None
        self._sessions: dict[str, DurableSession] = {}
        self._by_transport: dict[int, DurableSession | None] = {}
        self._local: list[tuple[str, Subscriber]] = []
        self._retained = RetainedMessages(limits.retained, limits.retained_bytes)
        self._publisher = ""  # client id, while its retained message is routed
        self._stored = StoredBytes(limits.stored_bytes, limits.session_bytes) if limits is not NO_LIMITS else None
        self._turns: dict[str, int] = {}  # of shared subscriptions
        self._unconnected: dict[int, Unconnected] = {}  # transports whose CONNECT has to come within a time
        self._matches: dict[str, list[tuple[Subscriber, int]]] = {}  # topic -> where it goes, until a subscription changes
        self.heap: list[tuple[float, int, DurableSession | Unconnected]] = []  # lazy: a session's entry may be early, never late
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
                    self._unconnected.pop(before, None)
            self._settle(session)
        return out

    def shut_down(self, now: float) -> Out:
        """Take leave of every client (MQTT 5: DISCONNECT 0x8B) and let go of the transports."""
        out: Out = []
        for session in list(self._sessions.values()):
            session.shut_down(now, out)
        out += [CloseTransport(transport, reason="shutting_down") for transport, of in self._by_transport.items() if of is None]
        self._by_transport.clear()
        return out

    def held(self) -> Iterator[Message]:
        """Messages of which the broker holds a copy for some session."""
        for session in self._sessions.values():
            yield from session.held()

    def let_go(self) -> None:
        """Forget all clients and subscribers without a word: each refers back to this broker."""
        self._sessions.clear()
        self._by_transport.clear()
        self._unconnected.clear()
        self._local.clear()
        self._matches.clear()
        self.heap.clear()

    def session(self, client_id: str) -> DurableSession | None:
        """The session of a client id, for tests and inspection."""
        return self._sessions.get(client_id)

    # --- what outlives a node -------------------------------------------------------------------------------------------

    def client_ids(self) -> list[str]:
        """Of all sessions, connected or not."""
        return list(self._sessions)

    def restore(self, now: float, client_id: str, saved: SavedSession, restarted: bool, out: Out) -> None:
        """Have a session again as it was written down; there is none of that client. `restarted`: its node was."""
        session = self._new_session(client_id)
        session.restore(now, saved, restarted, out)
        self._settle(session)

    def forget(self, now: float, client_id: str, cause: str, out: Out) -> None:
        """A session is gone with its node; nobody is told. `cause` as in DurableSession.forget."""
        session = self._sessions[client_id]
        self._by_transport.pop(session.transport, None)
        session.forget(now, cause, out)
        self._settle(session)

    def hold_connack(self, client_id: str, delay_s: float) -> None:
        """The CONNACK that is under way to this client comes later."""
        session = self._sessions.get(client_id)
        if session is not None:
            session.hold_connack(delay_s)

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
        kind = type(packet)
        if kind is Publish and packet.retain:
            self._publisher = session.client_id
            session.receive(now, packet, out)
            self._publisher = ""
        else:
            session.receive(now, packet, out)
        if kind is PubAck or (kind is Publish and session.transport >= 0):
            return  # neither changes subscriptions nor deadlines
        if session.retained_wanted is not None:
            self._send_retained(now, session, out)
        if session.transport < 0:
            self._by_transport.pop(event.transport, None)
            self._counted(now, session)
        self._settle(session)

    def _first_packet(self, now: float, transport: int, packet: Any, out: Out) -> None:
        if transport not in self._by_transport:
            return
        if self._unconnected:
            waiting = self._unconnected.pop(transport, None)
            if waiting is not None:
                waiting.connected()
        if type(packet) is Malformed and packet.version:
            self._refuse(transport, packet.version, packet.code, out)
            return
        if type(packet) is not Connect:
            # MQTT 3.1.1 3.1.0-1: the first packet must be CONNECT
            self._by_transport.pop(transport)
            out.append(CloseTransport(transport, reason="protocol_error"))
            return
        if packet.version == V5 and not self._behaviour.mqtt5:
            self._by_transport.pop(transport)
            if self._behaviour.mqtt5_refusal == "connack":
                out.append(SendPacket(transport, ConnAck(False, V311_UNACCEPTABLE_VERSION)))
            if self._behaviour.mqtt5_refusal != "silence":
                out.append(CloseTransport(transport, reason="refused"))
            return
        client_id = packet.client_id or self._new_client_id(transport)
        session = self._sessions.get(client_id)
        code = self._refusal(packet)
        if not code and session is None and len(self._sessions) >= self._limits.sessions and not self._make_room(now, out):
            code = QUOTA_EXCEEDED
        if self._flapping is not None and self._flapping.banned(now, client_id):
            code = BANNED
        if code:
            self._refuse(transport, packet.version, code, out)
            return
        if session is None:
            session = self._new_session(client_id)
        elif session.transport >= 0:
            if self._behaviour.takeover_blocks:
                return  # no CONNACK while the old connection is believed alive (brokers 3: hbmqtt)
            self._by_transport.pop(session.transport, None)
            self._counted(now, session)
        self._by_transport[transport] = session
        session.attach(now, transport, packet, out)
        self._settle(session)

    def _counted(self, now: float, session: DurableSession) -> None:
        """A connection of this client has ended."""
        if self._flapping is not None:
            self._flapping.disconnected(now, session.client_id)

    def _new_session(self, client_id: str) -> DurableSession:
        session = DurableSession(
            client_id,
            self._behaviour,
            self.publish,
            tick_phase=self._tick_phase,
            serial=self._serial,
            limits=self._limits,
            stored=self._stored,
        )
        self._serial += 1
        self._sessions[client_id] = session
        return session

    def _new_client_id(self, transport: int) -> str:
        """MQTT 3.1.1 3.1.3.1: the server must assign one that is not in use."""
        client_id = f"auto-{transport}"
        while client_id in self._sessions:
            client_id += "-"
        return client_id

    def _make_room(self, now: float, out: Out) -> bool:
        """Give up the session that has been without a connection the longest; False where there is none.

        Both standards let a server do so (4.1). Otherwise clients that leave sessions behind would shut out all others.
        """
        away = [session for session in self._sessions.values() if session.state is State.OFFLINE]
        if not away:
            return False
        longest = min(away, key=lambda session: session.last_heard_s)
        longest.make_room(now, out)
        self._settle(longest)
        return True

    def _refusal(self, connect: Connect) -> int:
        """Reason code with which a CONNECT is refused; 0: it is not."""
        if not connect.client_id and connect.version != V5 and not connect.clean_start:
            return CLIENT_IDENTIFIER_NOT_VALID  # [MQTT-3.1.3-8]; MQTT 5 has no such rule
        if connect.properties is not None and "authentication_method" in connect.properties:
            return BAD_AUTHENTICATION_METHOD  # MQTT 5 4.12
        if connect.version == V5 and connect.will is not None and connect.will.qos > self._behaviour.qos_max:
            return QOS_NOT_SUPPORTED  # [MQTT-3.2.2-12]
        return 0

    def _refuse(self, transport: int, version: int, code: int, out: Out) -> None:
        """CONNACK with the reason, where the version has a word for it, then close (3.1.1 3.2.2.3, 5 [MQTT-3.2.2-7])."""
        self._by_transport.pop(transport)
        if version == V5:
            out.append(SendPacket(transport, ConnAck(False, code, V5)))
        elif code in V311_RETURN_CODES:
            out.append(SendPacket(transport, ConnAck(False, V311_RETURN_CODES[code])))
        out.append(CloseTransport(transport, reason="refused"))

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        self._by_transport[event.transport] = None
        if self._limits.connect_timeout_s < NEVER:
            waiting = self._unconnected[event.transport] = Unconnected(event.transport, now + self._limits.connect_timeout_s)
            self._settle(waiting)

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        session = self._by_transport.pop(event.transport, None)
        if self._unconnected:
            waiting = self._unconnected.pop(event.transport, None)
            if waiting is not None:
                waiting.connected()
        if session is not None and session.transport == event.transport:
            session.detach(now, out)
            self._counted(now, session)
            self._settle(session)

    def _on_blocked(self, now: float, event: WriteBlocked, out: Out) -> None:
        session = self._by_transport.get(event.transport)
        if session is not None and session.transport == event.transport:
            session.write_blocked()

    def _on_resumed(self, now: float, event: WriteResumed, out: Out) -> None:
        session = self._by_transport.get(event.transport)
        if session is not None and session.transport == event.transport:
            session.write_resumed(now, out)

    def _settle(self, session: DurableSession | Unconnected) -> None:
        """After a call of a session: know its subscriptions and its deadline; forget it where it has ended."""
        if session.subscriptions_changed:
            session.subscriptions_changed = False
            self._matches.clear()
            if len(self._turns) > _MOST_TURNS:
                self._turns.clear()
        if session.state is State.ENDED and self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        earliest = session.deadlines.earliest
        if earliest < session.armed:
            session.armed = earliest
            self._ties += 1
            heapq.heappush(self.heap, (earliest, self._ties, session))
            if len(self.heap) > _HEAP_SLACK + 2 * (len(self._sessions) + len(self._unconnected)):
                self._compact()

    def _compact(self) -> None:
        """Drop entries of the heap that are superseded or whose session has no deadline any more; in place, it is shared."""
        kept = []
        for entry in self.heap:
            at, _tie, session = entry
            if at == session.armed and session.deadlines.earliest < NEVER:
                kept.append(entry)
            elif at == session.armed:
                session.armed = NEVER
        heapq.heapify(kept)
        self.heap[:] = kept

    # --- routing --------------------------------------------------------------------------------------------------------

    def subscribe_local(self, name: str, subscriber: Subscriber) -> None:
        """Subscribe an application in the same data centre to a topic filter."""
        self._local.append((name, subscriber))
        self._matches.clear()

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        """Route a message to everybody subscribed to its topic (MQTT 3.1.1 3.3.4)."""
        topic = message.topic
        if retain and not self._retained.put(message, qos, self._publisher):
            out.append(Note("retained_full", -1, topic))
        matches = self._matches.get(topic)
        if matches is None:
            matches = self._find(topic)
            if len(topic) <= _LONGEST_ROUTE:
                if len(self._matches) >= _MOST_ROUTES:
                    self._matches.clear()
                self._matches[topic] = matches
        if message.size_bytes > self._packet_limit_bytes:
            out.append(Drop(message, "payload_too_large"))
            return
        if not matches:
            out.append(Drop(message, "no_subscription"))
        if retain:
            for subscriber, granted in matches:
                kept = isinstance(subscriber, (OptionedSubscriber, SharedGroup))  # they know who wants the flag as published
                subscriber.publish(now, message, min(qos, granted), kept, out)
            return
        for subscriber, granted in matches:
            subscriber.publish(now, message, qos if qos < granted and not self._raises_qos else granted, False, out)

    def _find(self, topic: str) -> list[tuple[Subscriber, int]]:
        """Who is subscribed to `topic`, with the highest QoS granted, in the order in which they came; shared ones after them."""
        found: list[tuple[Subscriber, int]] = []
        groups: dict[str, SharedGroup] = {}
        levels = topic.split("/")
        for session in self._sessions.values():
            options = session.options
            granted = -1
            optioned = []
            for name, qos in session.subscriptions.items():
                shared = shared_filter(name)
                if not levels_match(name if shared is None else shared, levels):
                    continue
                flags, identifiers = options.get(name, (0, ())) if options is not None else (0, ())
                if shared is not None:
                    groups.setdefault(name, SharedGroup(name, self._turns)).add(session, qos, flags, identifiers)
                    continue
                granted = max(granted, qos)
                optioned.append((qos, flags, identifiers))
            if granted >= 0:
                plain = options is None or not any(flags or identifiers for _, flags, identifiers in optioned)
                found.append((session if plain else OptionedSubscriber(session, optioned), granted))
        found += [(group, 2) for group in groups.values()]
        found += [(subscriber, 2) for name, subscriber in self._local if filter_matches(name, topic)]
        return found

    def _send_retained(self, now: float, session: DurableSession, out: Out) -> None:
        """Retained messages for the filters just subscribed to (3.3.1.3), one copy of each, with all their identifiers."""
        wanted, session.retained_wanted = session.retained_wanted or [], None
        options = session.options or {}
        no_local = [name for name in wanted if options.get(name, (0, ()))[0] & NO_LOCAL]
        for message, qos, names in self._retained.matching(wanted, now, no_local, session.client_id):
            granted = max(session.subscriptions.get(name, 0) for name in names)
            identifiers = tuple(one for name in names for one in options.get(name, (0, ()))[1])
            session.deliver(now, message, min(qos, granted), True, identifiers, out)


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    PacketReceived: MQTTBroker.received,
    TransportAccepted: MQTTBroker._on_accepted,
    TransportLost: MQTTBroker._on_lost,
    WriteBlocked: MQTTBroker._on_blocked,
    WriteResumed: MQTTBroker._on_resumed,
}
