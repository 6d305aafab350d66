"""MQTTSession: what a broker keeps for one client id, connected or not. A machine of its own.

MQTT 3.1.1 3.1.2.4 (clean session), 3.1.2.10 (keep alive), 3.1.4 (takeover), 4.1 (session state), 4.4 (redelivery);
MQTT 5.0 3.1.2.11 (session expiry, receive maximum), 4.9 (flow control). Where brokers differ the session follows its
`BrokerBehaviour`.

    absent -> connected <-> offline -> ended
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Final

from sim.machine import NEVER, CloseTransport, Deadlines, Drop, Message, Note, SendPacket
from sim.protocols.broker_limits import NO_LIMITS, BrokerLimits
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.mqtt5_connection import MQTT5Connection, will_message, with_identifiers
from sim.protocols.mqtt_packets import (
    SUBSCRIPTION_FAILED,
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    Malformed,
    PingReq,
    PingResp,
    PubAck,
    PubAckWithReason,
    PubComp,
    PubCompWithReason,
    Publish,
    PubRec,
    PubRecWithReason,
    PubRel,
    PubRelWithReason,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from sim.protocols.mqtt_reasons import (
    DISCONNECT_WITH_WILL,
    KEEP_ALIVE_TIMEOUT,
    NO_SUBSCRIPTION_EXISTED,
    PACKET_IDENTIFIER_NOT_FOUND,
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    QOS_NOT_SUPPORTED,
    RECEIVE_MAXIMUM_EXCEEDED,
    SERVER_SHUTTING_DOWN,
    SESSION_TAKEN_OVER,
    SUCCESS,
)
from sim.protocols.mqtt_subscriptions import refusal, shared_filter
from sim.protocols.publishing import Out, Subscriber
from sim.protocols.saved_session import Inflight
from sim.protocols.stored_messages import Entry, InflightMessages, MessageQueue, StoredBytes, taken


class State(Enum):
    """Of the session, not of the client."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    ABSENT = "absent"  # no state kept
    ACCEPTING = "accepting"  # CONNECT is being worked on
    CONNECTED = "connected"
    OFFLINE = "offline"  # kept without a connection
    ENDED = "ended"  # expired or discarded


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.ABSENT: frozenset({State.ACCEPTING, State.OFFLINE}),
    State.ACCEPTING: frozenset({State.CONNECTED, State.OFFLINE, State.ENDED, State.ACCEPTING}),
    State.CONNECTED: frozenset({State.OFFLINE, State.ENDED, State.ACCEPTING}),
    State.OFFLINE: frozenset({State.ACCEPTING, State.ENDED}),
    State.ENDED: frozenset({State.ACCEPTING}),
}

_NOTHING: Final[deque[Entry]] = deque()  # in place of a queue with nothing in it, which takes 700 bytes
_STATE_NOTES: Final = {state: "session_" + state.value for state in State}


class MQTTSession(Subscriber):
    """One client's session. `publish` is called by the broker for each message routed to it."""

    __slots__ = (
        "_again", "_behaviour", "_blocked", "_bounded", "_connected_at", "_deaf", "_incoming_qos2", "_inflight",
        "_keep_alive_s", "_last_packet_at", "_later", "_limits", "_marked", "_next_id", "_queue", "_route", "_session_expiry_s",
        "_stored", "_taken_over", "_tick_phase", "_v5", "_window", "armed", "clean", "client_id", "deadlines", "options",
        "retained_wanted", "routing", "serial", "state", "subscriptions", "subscriptions_changed", "transport", "version",
        "will",
    )  # fmt: skip

    def __init__(
        self,
        client_id: str,
        behaviour: BrokerBehaviour,
        route: Callable[[float, Message, int, bool, Out], None],
        *,
        tick_phase: float = 0.0,
        serial: int = 0,
        limits: BrokerLimits = NO_LIMITS,
        stored: StoredBytes | None = None,
    ) -> None:
        """`route(now, message, qos, retain, out)` publishes what the client sends; `tick_phase` in [0, 1) places broker ticks.

        `stored` is the account of bytes that the sessions of a broker share, where it keeps one.
        """
        self.client_id = client_id
        self.serial = serial
        self._behaviour = behaviour
        self._limits = limits
        self._route = route
        self._tick_phase = tick_phase * behaviour.keep_alive_tick_s
        self.deadlines = Deadlines()
        self.armed = NEVER  # the broker's, for its heap
        self.subscriptions_changed = False  # the broker reads and clears it
        self.state = State.ABSENT
        self.transport = -1
        self.version = V311
        self.clean = True
        self.subscriptions: dict[str, int] = {}
        self.options: dict[str, tuple[int, tuple[int, ...]]] | None = None  # filter -> options, identifiers; None: none has any
        self.retained_wanted: list[str] | None = None  # filters just subscribed to; the broker reads and clears it
        self.routing = False  # a message of this client is being routed; known to those with options alone
        self.will: Will | None = None
        self._session_expiry_s = 0.0
        self._keep_alive_s = 0.0
        self._connected_at = 0.0
        self._last_packet_at = 0.0
        self._window = behaviour.inflight_limit
        self._stored = stored
        self._bounded = False  # there is something to be asked before a message is sent
        self._inflight: dict[int, Inflight] = {} if stored is None else InflightMessages(stored)
        self._queue: deque[Entry] = _NOTHING if stored is None else MessageQueue(stored)
        self._next_id = 1
        self._incoming_qos2: dict[int, None] = {}  # an empty set takes 200 bytes, an empty dictionary 64
        self._blocked = False
        self._deaf = False
        self._taken_over = False  # the connection took over from one that was believed alive
        self._v5: MQTT5Connection | None = None  # None: connected with 3.1.1
        self._marked: dict[int, None] = {}  # messages in the queue that bear DUP, sent before or not
        self._again: deque[int] | None = None  # identifiers in flight that are still to be sent again on this connection
        self._later: deque[Entry] | None = None  # older than the queue; left for the next connection

    # --- connection ---------------------------------------------------------------------------------------------------

    def attach(self, now: float, transport: int, connect: Connect, out: Out) -> None:
        """A CONNECT for this client id arrived on `transport`."""
        behaviour = self._behaviour
        taken_over = self.transport >= 0
        if taken_over:
            self._let_go_of_old_transport(now, connect, out)
        elif connect.clean_start and self.state is State.OFFLINE:
            self._publish_will(now, out)  # MQTT 5 3.1.3.2.2: its delay ends with the session
        present = self.state in (State.CONNECTED, State.OFFLINE, State.ACCEPTING)
        # the session of the old connection may end with it (MQTT 5 3.1.2.11.2: no expiry interval means 0)
        if present and (connect.clean_start or self._session_expiry_s <= 0.0):
            self._discard("clean_session_discarded", out)
            present = False
        self._enter(State.ACCEPTING, now, out)
        self.deadlines.clear("session_expiry")
        self.deadlines.clear("will")
        self.transport = transport
        self.version = connect.version
        self.clean = connect.clean_start
        self.will = connect.will
        self._session_expiry_s = self._expiry(connect)
        self._keep_alive_s = float(connect.keep_alive_s)
        self._v5 = None
        if connect.version == V5:
            self._v5 = MQTT5Connection(connect, self.client_id, self._session_expiry_s, behaviour, self._limits)
            self._keep_alive_s = float(self._v5.keep_alive_s)
        self._bounded = self._v5 is not None or self._stored is not None
        self._connected_at = self._last_packet_at = now
        self._window = min(behaviour.inflight_limit, connect.receive_maximum or 65535)
        self._blocked = False
        self._deaf = taken_over and behaviour.takeover_deaf
        self._taken_over = taken_over
        if not behaviour.redeliver_inflight:
            for sent in self._inflight.values():
                out.append(Drop(sent.message, "qos0_dead_transport"))
            self._inflight.clear()
        self._arm_keep_alive()
        self.deadlines.clear("connack_new")  # of a connection that was taken over before its CONNACK
        self.deadlines.clear("connack_present")
        # the time between CONNECT and CONNACK is the broker's own work
        self.deadlines.set("connack_present" if present else "connack_new", now + behaviour.connack_delay_s)

    def _accept(self, now: float, present: bool, out: Out) -> None:
        self._enter(State.CONNECTED, now, out)
        properties = self._v5.connack if self._v5 is not None else None
        connack = ConnAck(present, version=self.version, properties=properties)
        if not self._fits(connack):
            out.append(CloseTransport(self.transport, reason="refused"))  # nothing can be said to this client
            self.detach(now, out, clean=True)
            return
        out.append(SendPacket(self.transport, connack))
        again = list(self._inflight)
        if self._behaviour.renumber_on_resume:
            again = self._renumber(now, out)
        self._again = deque(again) if again else None
        if self._behaviour.resume_batch:
            self._leave_behind(self._behaviour.resume_batch)
        self._pump(now, out)

    def _renumber(self, now: float, out: Out) -> list[int]:
        """Give what is in flight identifiers of the new connection, from 1; returns them, in order."""
        sent_before = list(self._inflight.values())
        self._inflight.clear()
        self._next_id = 1
        if self._taken_over and self._behaviour.queued_first_on_takeover:
            self._again = None
            self._pump(now, out)  # a window of what was queued; the old connection still holds its own
        first = self._next_id
        for i, sent in enumerate(sent_before):
            self._inflight[first + i] = sent
        self._next_id = first + len(sent_before)
        return list(range(first, self._next_id))

    def _leave_behind(self, batch: int) -> None:
        """Of the backlog only `batch` messages are for this connection."""
        if self._later:
            self._to_queue().extendleft(reversed(taken(self._later)))
        self._later = deque() if self._stored is None else MessageQueue(self._stored)
        again = self._again or ()
        if len(again) > batch:
            self._again = deque(itertools.islice(again, batch))
        while len(self._queue) > max(0, batch - len(again)):
            self._later.extendleft([self._queue.pop()])

    def _let_go_of_old_transport(self, now: float, connect: Connect, out: Out) -> None:
        if self.version == V5 and self._behaviour.takeover_reason:
            out.append(SendPacket(self.transport, Disconnect(SESSION_TAKEN_OVER)))
        out.append(CloseTransport(self.transport, reason="taken_over"))
        out.append(Note("session_taken_over", self.transport, self.client_id))
        self.transport = -1
        goes_on = not connect.clean_start and self._session_expiry_s > 0.0
        if self.will is not None and self._behaviour.will_on_takeover and not (goes_on and self.will.delay_s > 0.0):
            self._publish_will(now, out)  # MQTT 5 3.1.4: not where the session goes on and the will has a delay

    def _expiry(self, connect: Connect) -> float:
        if connect.version == V5:
            return self._granted(connect.session_expiry_s or 0.0)
        return 0.0 if connect.clean_start else self._behaviour.session_expiry_default_s

    def _granted(self, asked_s: float) -> float:
        """MQTT 5 3.1.2.11.2: the largest interval means for ever; the broker may give less."""
        return min(math.inf if asked_s >= 4294967295.0 else asked_s, self._behaviour.session_expiry_max_s)

    def detach(self, now: float, out: Out, *, clean: bool = False) -> None:
        """The connection is over. `clean`: by DISCONNECT, so the will is discarded (3.14.4)."""
        self.transport = -1
        self.deadlines.clear("keep_alive")
        self.deadlines.clear("connack_present")
        self.deadlines.clear("connack_new")
        if clean:
            self.will = None
        if self.will is not None:
            delay_s = min(self.will.delay_s, self._session_expiry_s)
            if delay_s > 0.0:
                self.deadlines.set("will", now + delay_s)
            else:
                self._publish_will(now, out)
        if self._session_expiry_s <= 0.0 or self._behaviour.discards_after_disconnect:
            self._end("clean_session_discarded" if self._session_expiry_s <= 0.0 else "session_expired", now, out)
            return
        self._enter(State.OFFLINE, now, out)
        if self._session_expiry_s < math.inf:
            self.deadlines.set("session_expiry", now + self._session_expiry_s)

    @property
    def last_heard_s(self) -> float:
        """When a packet of the client came."""
        return self._last_packet_at

    def make_room(self, now: float, out: Out) -> None:
        """End a session without a connection, because the broker can keep no more (MQTT 3.1.1 and 5, 4.1)."""
        self.deadlines.clear("session_expiry")
        self._end("session_expired", now, out)

    def _publish_will(self, now: float, out: Out) -> None:
        will, self.will = self.will, None
        if will is not None:
            self.deadlines.clear("will")
            message = will_message(now, will.topic, will.payload, will.payload_bytes, will.qos, will.properties)
            self.routing = self.options is not None
            self._route(now, message, will.qos, will.retain, out)
            self.routing = False

    def _end(self, cause: str, now: float, out: Out) -> None:
        self._publish_will(now, out)  # one that is delayed still: MQTT 5 3.1.3.2.2
        self._discard(cause, out)
        self._enter(State.ENDED, now, out)

    def _discard(self, cause: str, out: Out) -> None:
        for message in self.held():
            out.append(Drop(message, cause))
        self._inflight.clear()
        if self._later:
            self._later.clear()
        self._again = self._later = None
        self._queue.clear()
        self.subscriptions.clear()
        self.options = None
        self.subscriptions_changed = True
        self._marked.clear()
        self._incoming_qos2.clear()
        self._next_id = 1

    def _enter(self, state: State, now: float, out: Out) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"session {self.client_id}: {self.state} -> {state} is not in the table")
        if state is not self.state:
            self.state = state
            out.append(Note(_STATE_NOTES[state], self.transport, self.client_id))

    # --- packets of the client -----------------------------------------------------------------------------------------

    def receive(self, now: float, packet: Any, out: Out) -> None:
        """A packet of the client arrived."""
        self._last_packet_at = now
        if type(packet) is PubAck:
            if self._inflight.pop(packet.packet_id, None) is not None and (self._queue or self._again):
                self._acknowledged(now, packet.packet_id, out)
            return
        handler = _HANDLERS.get(type(packet))
        if handler is None:
            self._protocol_error(now, out)
        else:
            handler(self, now, packet, out)

    def _on_publish(self, now: float, packet: Publish, out: Out) -> None:
        qos = packet.qos
        message = packet.message
        if message.size_bytes > self._behaviour.packet_limit_bytes:
            out.append(Drop(message, "payload_too_large"))
            self._protocol_error(now, out, PACKET_TOO_LARGE)
            return
        if self._v5 is not None:
            found = self._checked(now, packet, self._v5)
            if isinstance(found, int):
                self._protocol_error(now, out, found)
                return
            message = found
        if qos == 1 or (qos == 2 and self._behaviour.qos_max < 2):
            out.append(SendPacket(self.transport, PubAck(packet.packet_id)))
        elif qos == 2:
            if packet.packet_id in self._incoming_qos2:
                out.append(SendPacket(self.transport, PubRec(packet.packet_id)))
                return
            out.append(SendPacket(self.transport, PubRec(packet.packet_id)))
            self._incoming_qos2[packet.packet_id] = None
        if self.options is None:
            self._route(now, message, qos, packet.retain, out)
            return
        self.routing = True
        self._route(now, message, qos, packet.retain, out)
        self.routing = False

    def _checked(self, now: float, packet: Publish, v5: MQTT5Connection) -> Message | int:
        """The message of a PUBLISH of MQTT 5, or the reason code that it is refused with."""
        qos = packet.qos
        if qos > self._behaviour.qos_max and self._limits.insists_on_qos_max:
            return QOS_NOT_SUPPORTED  # 3.2.2.3.4
        if qos == 2 and self._behaviour.qos_max == 2:
            v5.under_way.add(packet.packet_id)
            if len(v5.under_way) > v5.receive_maximum:
                return RECEIVE_MAXIMUM_EXCEEDED  # [MQTT-3.3.4-7]
        return packet.message if packet.properties is None else v5.incoming(now, packet)

    def _on_puback(self, now: float, packet: PubAckWithReason, out: Out) -> None:
        """With a reason: whatever it is, the message is not sent again (MQTT 5 4.4)."""
        if self._inflight.pop(packet.packet_id, None) is not None:
            self._acknowledged(now, packet.packet_id, out)

    def _on_pubrec(self, now: float, packet: PubRec, out: Out) -> None:
        sent = self._inflight.get(packet.packet_id)
        if sent is not None:
            sent.released = True
        elif self._v5 is not None:
            out.append(SendPacket(self.transport, PubRelWithReason(packet.packet_id, PACKET_IDENTIFIER_NOT_FOUND)))
            return
        out.append(SendPacket(self.transport, PubRel(packet.packet_id)))

    def _on_pubrec_with_reason(self, now: float, packet: PubRecWithReason, out: Out) -> None:
        if packet.code < SUBSCRIPTION_FAILED:
            self._on_pubrec(now, packet, out)
        elif self._inflight.pop(packet.packet_id, None) is not None:
            self._acknowledged(now, packet.packet_id, out)  # MQTT 5 4.3.3: the exchange is over, no PUBREL follows

    def _on_pubrel(self, now: float, packet: PubRel, out: Out) -> None:
        known = packet.packet_id in self._incoming_qos2
        self._incoming_qos2.pop(packet.packet_id, None)
        if self._v5 is not None:
            self._v5.under_way.discard(packet.packet_id)
        if known or self._v5 is None:
            out.append(SendPacket(self.transport, PubComp(packet.packet_id)))
        else:
            out.append(SendPacket(self.transport, PubCompWithReason(packet.packet_id, PACKET_IDENTIFIER_NOT_FOUND)))

    def _on_pubcomp(self, now: float, packet: PubComp, out: Out) -> None:
        if self._inflight.pop(packet.packet_id, None) is not None:
            self._acknowledged(now, packet.packet_id, out)

    def _acknowledged(self, now: float, packet_id: int, out: Out) -> None:
        """There is room in the window again."""
        if self._again and packet_id in self._again:
            self._again.remove(packet_id)  # acknowledged before it was sent again
        self._pump(now, out)

    def _on_subscribe(self, now: float, packet: Subscribe, out: Out) -> None:
        codes = []
        self.subscriptions_changed = True
        identifiers = packet.properties.get("subscription_identifier", ()) if packet.properties else ()
        self.retained_wanted = wanted = []
        for name, options in packet.filters:
            known = name in self.subscriptions
            code = refusal(name, len(self.subscriptions) - known, self._limits)
            if code != SUCCESS:
                codes.append(code if packet.version == V5 else SUBSCRIPTION_FAILED)
                continue
            granted = min(options & 3, self._behaviour.qos_max)
            self.subscriptions[name] = granted
            self._set_options(name, options & ~3, identifiers)
            codes.append(granted)
            # retain handling (MQTT 5 3.8.3.1): 0 send, 1 send for a new subscription, 2 do not; never for a shared one (4.8.2)
            handling = options >> 4
            if (handling == 0 or (handling == 1 and not known)) and shared_filter(name) is None:
                wanted.append(name)
        suback = SubAck(packet.packet_id, tuple(codes), self.version)
        if self._fits(suback):
            out.append(SendPacket(self.transport, suback))
        out.append(Note("subscribed", self.transport, self.client_id))

    def _fits(self, packet: ConnAck | SubAck | UnsubAck) -> bool:
        """What a client of MQTT 5 cannot take is not sent, as if it had been [MQTT-3.1.2-25]."""
        return self._v5 is None or self._v5.takes(packet)

    def _set_options(self, name: str, options: int, identifiers: tuple[int, ...]) -> None:
        if options or identifiers:
            if self.options is None:
                self.options = {}
            self.options[name] = (options, identifiers)
        elif self.options is not None:
            self.options.pop(name, None)

    def _on_unsubscribe(self, now: float, packet: Unsubscribe, out: Out) -> None:
        self.subscriptions_changed = True
        codes = []
        for name in packet.filters:
            codes.append(NO_SUBSCRIPTION_EXISTED if self.subscriptions.pop(name, None) is None else SUCCESS)
            if self.options is not None:
                self.options.pop(name, None)
        said = tuple(codes) if self.version == V5 else ()
        unsuback = UnsubAck(packet.packet_id, said, self.version)
        if self._fits(unsuback):
            out.append(SendPacket(self.transport, unsuback))
        out.append(Note("subscribed", self.transport, self.client_id))

    def _on_pingreq(self, now: float, packet: PingReq, out: Out) -> None:
        out.append(SendPacket(self.transport, PingResp()))

    def _on_disconnect(self, now: float, packet: Disconnect, out: Out) -> None:
        if packet.properties is not None and "session_expiry_interval" in packet.properties:
            asked_s = float(packet.properties["session_expiry_interval"])
            if asked_s > 0.0 and self._session_expiry_s <= 0.0:
                self._protocol_error(now, out)  # MQTT 5 3.14.2.2.2
                return
            self._session_expiry_s = self._granted(asked_s)
        out.append(CloseTransport(self.transport, reason="disconnect"))
        self.detach(now, out, clean=packet.code != DISCONNECT_WITH_WILL)

    def _on_malformed(self, now: float, packet: Malformed, out: Out) -> None:
        self._protocol_error(now, out, packet.code, packet.text)

    def _protocol_error(self, now: float, out: Out, code: int = PROTOCOL_ERROR, text: str = "") -> None:
        """Close; with MQTT 5 say why before (4.13, 3.14.2.1)."""
        self._say_goodbye(code, out, text)
        out.append(CloseTransport(self.transport, reason="protocol_error"))
        self.detach(now, out)

    def _say_goodbye(self, code: int, out: Out, text: str = "") -> None:
        if self._v5 is not None:
            packet = Disconnect(code, {"reason_string": text} if text and self._v5.says_why else None)
            if not self._v5.takes(packet):
                packet = Disconnect(code)  # [MQTT-3.14.2-3]
            out.append(SendPacket(self.transport, packet))

    def shut_down(self, now: float, out: Out) -> None:
        """The broker ends: wills of those that are connected are published (MQTT 3.1.1 3.1.2.5)."""
        if self.transport >= 0:
            self._say_goodbye(SERVER_SHUTTING_DOWN, out)
            out.append(CloseTransport(self.transport, reason="shutting_down"))
            self.detach(now, out)

    def write_blocked(self) -> None:
        self._blocked = True

    def write_resumed(self, now: float, out: Out) -> None:
        self._blocked = False
        self._pump(now, out)

    # --- messages to the client -----------------------------------------------------------------------------------------

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        """Deliver a routed message with `qos` (already the lower of the publisher's and the subscription's)."""
        if self.state is State.CONNECTED and not self._deaf:
            if qos == 0:
                if len(self._inflight) >= self._window and self._behaviour.window_holds_qos0:
                    self._enqueue(message, 0, retain, out)
                elif not self._blocked and self._v5 is None:
                    out.append(SendPacket(self.transport, Publish(message, 0, 0, False, retain, self.version)))
                else:
                    self._send_qos0(now, message, retain, out)
                return
            if not self._queue and not self._again and not self._blocked and len(self._inflight) < self._window:
                self._send(now, message, qos, retain, out)
                return
        elif qos == 0 and not self._behaviour.queue_qos0:
            out.append(Drop(message, "qos0_offline"))
            return
        self._enqueue(message, qos, retain, out)

    @property
    def reachable(self) -> bool:
        """Whether a message would be sent now."""
        return self.state is State.CONNECTED and not self._blocked

    def deliver(self, now: float, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], out: Out) -> None:
        """As `publish`, with the identifiers of the subscriptions that matched."""
        self.publish(now, with_identifiers(message, identifiers) if identifiers else message, qos, retain, out)

    def _send_qos0(self, now: float, message: Message, retain: bool, out: Out) -> None:
        v5 = self._v5
        if self._blocked and self._limits.drops_qos0_when_blocked:
            out.append(Drop(message, "queue_full"))
        elif v5 is None:
            out.append(SendPacket(self.transport, Publish(message, 0, 0, False, retain, self.version)))
        elif v5.too_large(now, message, 0):
            out.append(Drop(message, "payload_too_large"))
        else:
            out.append(SendPacket(self.transport, v5.outgoing(now, message, 0, 0, retain)))

    def _send(self, now: float, message: Message, qos: int, retain: bool, out: Out) -> None:
        v5 = self._v5
        if self._bounded and self._does_not_fit(now, message, qos, out):
            return
        packet_id = self._next_id
        while packet_id in self._inflight:
            packet_id = packet_id % 65535 + 1
        self._next_id = packet_id % 65535 + 1
        self._inflight[packet_id] = Inflight(message, qos, retain)
        dup = message.id in self._marked
        if dup:
            del self._marked[message.id]
        if v5 is None:
            out.append(SendPacket(self.transport, Publish(message, qos, packet_id, dup, retain, self.version)))
        else:
            out.append(SendPacket(self.transport, v5.outgoing(now, message, qos, packet_id, retain, dup=dup)))

    def _does_not_fit(self, now: float, message: Message, qos: int, out: Out) -> bool:
        """Whether the client takes no packet as large, or the broker can keep no copy until it is acknowledged."""
        if self._v5 is not None and self._v5.too_large(now, message, qos):
            out.append(Drop(message, "payload_too_large"))  # [MQTT-3.1.2-25]: as if it had been sent
            return True
        return self._stored is not None and self._stored.refuses(message, self._queue, self._inflight, out)

    def _enqueue(self, message: Message, qos: int, retain: bool, out: Out) -> None:
        if self._stored is not None and self._stored.refuses(message, self._queue, self._inflight, out):
            return
        if len(self._queue) + len(self._later or ()) >= self._behaviour.queue_limit:
            if self._behaviour.queue_drop == "newest" or not self._queue:
                out.append(Drop(message, "queue_full"))
                return
            out.append(Drop(self._queue.popleft()[0], "queue_full"))
        self._to_queue().append((message, qos, retain))

    def _to_queue(self) -> deque[Entry]:
        """The queue, for who puts something into it."""
        if self._queue is _NOTHING:
            self._queue = deque()
        return self._queue

    def _pump(self, now: float, out: Out) -> None:
        """Send what is to be sent again, then from the queue, while the window and the transport allow (MQTT 5 4.9)."""
        if self.state is not State.CONNECTED or self._deaf:
            return
        again, queue = self._again, self._queue
        while again and not self._blocked and len(self._inflight) - len(again) < self._window:
            self._send_again(now, again.popleft(), out)
        while queue and not again and not self._blocked and len(self._inflight) < self._window:
            message, qos, retain = queue.popleft()
            if message.expires_s <= now and self._behaviour.mqtt5:  # 3.1.1 has no message expiry
                out.append(Drop(message, "message_expired"))
            elif qos == 0:
                self._send_qos0(now, message, retain, out)
            else:
                self._send(now, message, qos, retain, out)
        if not queue and self._stored is None:
            self._queue = _NOTHING

    def _send_again(self, now: float, packet_id: int, out: Out) -> None:
        """MQTT 3.1.1 4.4: the PUBLISH with its identifier, or the PUBREL where PUBREC had been received."""
        sent = self._inflight[packet_id]
        if sent.released:
            out.append(SendPacket(self.transport, PubRel(packet_id)))
            return
        dup = self._behaviour.dup_on_resume
        if self._v5 is None:
            packet = Publish(sent.message, sent.qos, packet_id, dup, sent.retain, self.version)
        elif self._v5.too_large(now, sent.message, sent.qos):
            self._inflight.pop(packet_id)  # the client takes less than on the connection before
            out.append(Drop(sent.message, "payload_too_large"))
            return
        else:
            packet = self._v5.outgoing(now, sent.message, sent.qos, packet_id, sent.retain, dup=dup)
        out.append(SendPacket(self.transport, packet))

    def held(self) -> Iterator[Message]:
        """Messages of which this session holds a copy."""
        for sent in self._inflight.values():
            yield sent.message
        for message, _qos, _retain in itertools.chain(self._later or (), self._queue):
            yield message

    # --- time -----------------------------------------------------------------------------------------------------------

    def _arm_keep_alive(self) -> None:
        at = self._keep_alive_deadline()
        if at < NEVER:
            self.deadlines.set("keep_alive", at)
        else:
            self.deadlines.clear("keep_alive")

    def _keep_alive_deadline(self) -> float:
        """When the broker gives the client up if no packet comes (MQTT 3.1.1 3.1.2.10 and what brokers make of it)."""
        behaviour = self._behaviour
        allowed_s = self._keep_alive_s * behaviour.keep_alive_factor
        if self._keep_alive_s <= 0.0 or behaviour.keep_alive_rule == "never":
            return NEVER
        last = self._last_packet_at
        if behaviour.keep_alive_rule == "exact" or (
            behaviour.keep_alive_rule == "tick_after" and behaviour.keep_alive_tick_s <= 0.0
        ):
            return last + allowed_s
        if behaviour.keep_alive_rule == "tick_after":
            tick, phase = behaviour.keep_alive_tick_s, self._tick_phase
            return math.ceil((last + allowed_s - phase) / tick) * tick + phase
        # tick_from_connect: a check every allowed_s from CONNECT; the first one after the last packet still finds it
        checks = math.floor((last - self._connected_at) / allowed_s) + 1 + behaviour.keep_alive_checks
        return self._connected_at + checks * allowed_s

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "keep_alive":
                # packets move the deadline without touching it; it may have come early
                if self._keep_alive_deadline() > now:
                    self._arm_keep_alive()
                else:
                    out.append(Note("keep_alive_expired", self.transport, self.client_id))
                    self._say_goodbye(KEEP_ALIVE_TIMEOUT, out)
                    out.append(CloseTransport(self.transport, reason="keep_alive"))
                    self.detach(now, out)
            elif name == "session_expiry":
                self._end("session_expired", now, out)
            elif name == "will":
                self._publish_will(now, out)
            else:
                self._accept(now, name == "connack_present", out)
        return out


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    Publish: MQTTSession._on_publish,
    PingReq: MQTTSession._on_pingreq,
    Subscribe: MQTTSession._on_subscribe,
    Unsubscribe: MQTTSession._on_unsubscribe,
    PubRec: MQTTSession._on_pubrec,
    PubRel: MQTTSession._on_pubrel,
    PubComp: MQTTSession._on_pubcomp,
    Disconnect: MQTTSession._on_disconnect,
    PubAckWithReason: MQTTSession._on_puback,
    PubRecWithReason: MQTTSession._on_pubrec_with_reason,
    PubRelWithReason: MQTTSession._on_pubrel,
    PubCompWithReason: MQTTSession._on_pubcomp,
    Malformed: MQTTSession._on_malformed,
}
