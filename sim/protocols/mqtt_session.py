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
from typing import Any

from sim.machine import NEVER, CloseTransport, Deadlines, Drop, Message, Note, SendPacket
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.mqtt_packets import (
    SESSION_TAKEN_OVER,
    SUBSCRIPTION_FAILED,
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)


class State(Enum):
    """Of the session, not of the client."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    ABSENT = "absent"  # no state kept
    ACCEPTING = "accepting"  # CONNECT is being worked on
    CONNECTED = "connected"
    OFFLINE = "offline"  # kept without a connection
    ENDED = "ended"  # expired or discarded


TRANSITIONS: dict[State, frozenset[State]] = {
    State.ABSENT: frozenset({State.ACCEPTING}),
    State.ACCEPTING: frozenset({State.CONNECTED, State.OFFLINE, State.ENDED, State.ACCEPTING}),
    State.CONNECTED: frozenset({State.OFFLINE, State.ENDED, State.ACCEPTING}),
    State.OFFLINE: frozenset({State.ACCEPTING, State.ENDED}),
    State.ENDED: frozenset({State.ACCEPTING}),
}

Out = list[Any]
_STATE_NOTES = {state: "session_" + state.value for state in State}


class Inflight:
    """A message sent and not yet acknowledged; `released` once PUBREC was received (QoS 2)."""

    __slots__ = ("message", "qos", "released", "retain")

    def __init__(self, message: Message, qos: int, retain: bool) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.released = False


class MQTTSession:
    """One client's session. `publish` is called by the broker for each message routed to it."""

    __slots__ = (
        "_again", "_behaviour", "_blocked", "_connected_at", "_deaf", "_incoming_qos2", "_inflight", "_keep_alive_s", "_last_packet_at", "_later",
        "_next_id", "_queue", "_route", "_session_expiry_s", "_tick_phase", "_window", "armed", "subscriptions_changed", "clean", "client_id", "deadlines", "serial",
        "state", "subscriptions", "transport", "version", "will",
    )  # fmt: skip

    def __init__(
        self,
        client_id: str,
        behaviour: BrokerBehaviour,
        route: Callable[[float, Message, int, bool, Out], None],
        *,
        tick_phase: float = 0.0,
        serial: int = 0,
    ) -> None:
        """`route(now, message, qos, retain, out)` publishes what the client sends; `tick_phase` in [0, 1) places the broker's ticks."""
        self.client_id = client_id
        self.serial = serial
        self._behaviour = behaviour
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
        self.will: Will | None = None
        self._session_expiry_s = 0.0
        self._keep_alive_s = 0.0
        self._connected_at = 0.0
        self._last_packet_at = 0.0
        self._window = behaviour.inflight_limit
        self._inflight: dict[int, Inflight] = {}
        self._queue: deque[tuple[Message, int, bool]] = deque()
        self._next_id = 1
        self._incoming_qos2: set[int] = set()
        self._blocked = False
        self._deaf = False
        self._again: deque[int] | None = None  # identifiers in flight that are still to be sent again on this connection
        self._later: deque[tuple[Message, int, bool]] | None = None  # older than the queue; left for the next connection

    # --- connection ---------------------------------------------------------------------------------------------------

    def attach(self, now: float, transport: int, connect: Connect, out: Out) -> None:
        """A CONNECT for this client id arrived on `transport`."""
        behaviour = self._behaviour
        taken_over = self.transport >= 0
        if taken_over:
            self._let_go_of_old_transport(now, out)
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
        self._connected_at = self._last_packet_at = now
        self._window = min(behaviour.inflight_limit, connect.receive_maximum or 65535)
        self._blocked = False
        self._deaf = taken_over and behaviour.takeover_deaf
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
        out.append(SendPacket(self.transport, ConnAck(present, version=self.version)))
        if self._behaviour.renumber_on_resume:
            self._inflight = {i + 1: sent for i, sent in enumerate(self._inflight.values())}
            self._next_id = len(self._inflight) + 1
        self._again = deque(self._inflight) if self._inflight else None
        if self._behaviour.resume_batch:
            self._leave_behind(self._behaviour.resume_batch)
        self._pump(now, out)

    def _leave_behind(self, batch: int) -> None:
        """Of the backlog only `batch` messages are for this connection."""
        if self._later:
            self._queue.extendleft(reversed(self._later))
        self._later = deque()
        again = self._again or ()
        if len(again) > batch:
            self._again = deque(itertools.islice(again, batch))
        while len(self._queue) > max(0, batch - len(again)):
            self._later.appendleft(self._queue.pop())

    def _let_go_of_old_transport(self, now: float, out: Out) -> None:
        if self.version == V5 and self._behaviour.takeover_reason:
            out.append(SendPacket(self.transport, Disconnect(SESSION_TAKEN_OVER)))
        out.append(CloseTransport(self.transport, reason="taken_over"))
        out.append(Note("session_taken_over", self.transport, self.client_id))
        self.transport = -1
        if self.will is not None and self._behaviour.will_on_takeover:
            self._publish_will(now, out)

    def _expiry(self, connect: Connect) -> float:
        if connect.version == V5:
            asked = connect.session_expiry_s or 0.0
            return min(math.inf if asked >= 4294967295.0 else asked, self._behaviour.session_expiry_max_s)
        return 0.0 if connect.clean_start else self._behaviour.session_expiry_default_s

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

    def _publish_will(self, now: float, out: Out) -> None:
        will, self.will = self.will, None
        if will is not None:
            message = Message(-1, "will", will.topic, will.payload_bytes, will.qos, now, uplink=True, body=will.payload)
            self._route(now, message, will.qos, will.retain, out)

    def _end(self, cause: str, now: float, out: Out) -> None:
        self._discard(cause, out)
        self._enter(State.ENDED, now, out)

    def _discard(self, cause: str, out: Out) -> None:
        for message in self.held():
            out.append(Drop(message, cause))
        self._inflight.clear()
        self._again = self._later = None
        self._queue.clear()
        self.subscriptions.clear()
        self.subscriptions_changed = True
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
        if packet.message.size_bytes > self._behaviour.packet_limit_bytes:
            out.append(Drop(packet.message, "payload_too_large"))
            self._protocol_error(now, out)
            return
        if qos == 1 or (qos == 2 and self._behaviour.qos_max < 2):
            out.append(SendPacket(self.transport, PubAck(packet.packet_id)))
        elif qos == 2:
            out.append(SendPacket(self.transport, PubRec(packet.packet_id)))
            if packet.packet_id in self._incoming_qos2:
                return
            self._incoming_qos2.add(packet.packet_id)
        self._route(now, packet.message, qos, packet.retain, out)

    def _on_pubrec(self, now: float, packet: PubRec, out: Out) -> None:
        sent = self._inflight.get(packet.packet_id)
        if sent is not None:
            sent.released = True
        out.append(SendPacket(self.transport, PubRel(packet.packet_id)))

    def _on_pubrel(self, now: float, packet: PubRel, out: Out) -> None:
        self._incoming_qos2.discard(packet.packet_id)
        out.append(SendPacket(self.transport, PubComp(packet.packet_id)))

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
        for name, qos in packet.filters:
            if not filter_is_valid(name):
                codes.append(SUBSCRIPTION_FAILED)
                continue
            granted = min(qos, self._behaviour.qos_max)
            self.subscriptions[name] = granted
            codes.append(granted)
        out.append(SendPacket(self.transport, SubAck(packet.packet_id, tuple(codes))))
        out.append(Note("subscribed", self.transport, self.client_id))

    def _on_unsubscribe(self, now: float, packet: Unsubscribe, out: Out) -> None:
        self.subscriptions_changed = True
        for name in packet.filters:
            self.subscriptions.pop(name, None)
        out.append(SendPacket(self.transport, UnsubAck(packet.packet_id)))
        out.append(Note("subscribed", self.transport, self.client_id))

    def _on_pingreq(self, now: float, packet: PingReq, out: Out) -> None:
        out.append(SendPacket(self.transport, PingResp()))

    def _on_disconnect(self, now: float, packet: Disconnect, out: Out) -> None:
        out.append(CloseTransport(self.transport, reason="disconnect"))
        # MQTT 5 reason code 0x04: disconnect with will message
        self.detach(now, out, clean=packet.code != 4)

    def _protocol_error(self, now: float, out: Out) -> None:
        out.append(CloseTransport(self.transport, reason="protocol_error"))
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
                out.append(SendPacket(self.transport, Publish(message, 0, 0, False, False, retain, self.version)))
                return
            if not self._queue and not self._again and not self._blocked and len(self._inflight) < self._window:
                self._send(message, qos, retain, out)
                return
        elif qos == 0 and not self._behaviour.queue_qos0:
            out.append(Drop(message, "qos0_offline"))
            return
        self._enqueue(message, qos, retain, out)

    def _send(self, message: Message, qos: int, retain: bool, out: Out) -> None:
        packet_id = self._next_id
        while packet_id in self._inflight:
            packet_id = packet_id % 65535 + 1
        self._next_id = packet_id % 65535 + 1
        self._inflight[packet_id] = Inflight(message, qos, retain)
        out.append(SendPacket(self.transport, Publish(message, qos, packet_id, False, False, retain, self.version)))

    def _enqueue(self, message: Message, qos: int, retain: bool, out: Out) -> None:
        if len(self._queue) >= self._behaviour.queue_limit:
            if self._behaviour.queue_drop == "newest" or not self._queue:
                out.append(Drop(message, "queue_full"))
                return
            out.append(Drop(self._queue.popleft()[0], "queue_full"))
        self._queue.append((message, qos, retain))

    def _pump(self, now: float, out: Out) -> None:
        """Send what is to be sent again, then from the queue, while the window and the transport allow (MQTT 5 4.9)."""
        if self.state is not State.CONNECTED or self._deaf:
            return
        again, queue = self._again, self._queue
        while again and not self._blocked and len(self._inflight) - len(again) < self._window:
            self._send_again(again.popleft(), out)
        while queue and not again and not self._blocked and len(self._inflight) < self._window:
            message, qos, retain = queue.popleft()
            if message.expires_s <= now:
                out.append(Drop(message, "message_expired"))
            elif qos == 0:
                out.append(SendPacket(self.transport, Publish(message, 0, 0, False, False, retain, self.version)))
            else:
                self._send(message, qos, retain, out)

    def _send_again(self, packet_id: int, out: Out) -> None:
        """MQTT 3.1.1 4.4: the PUBLISH with its identifier, or the PUBREL where PUBREC had been received."""
        sent = self._inflight[packet_id]
        if sent.released:
            out.append(SendPacket(self.transport, PubRel(packet_id)))
            return
        dup = self._behaviour.dup_on_resume
        out.append(SendPacket(self.transport, Publish(sent.message, sent.qos, packet_id, dup, True, sent.retain, self.version)))

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
        # tick_from_connect: ticks every allowed_s from CONNECT; closed at the first tick with no byte since the tick before
        return self._connected_at + (math.floor((last - self._connected_at) / allowed_s) + 2) * allowed_s

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "keep_alive":
                # packets move the deadline without touching it; it may have come early
                if self._keep_alive_deadline() > now:
                    self._arm_keep_alive()
                else:
                    out.append(Note("keep_alive_expired", self.transport, self.client_id))
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
_HANDLERS: dict[type, Callable[..., None]] = {
    Publish: MQTTSession._on_publish,
    PingReq: MQTTSession._on_pingreq,
    Subscribe: MQTTSession._on_subscribe,
    Unsubscribe: MQTTSession._on_unsubscribe,
    PubRec: MQTTSession._on_pubrec,
    PubRel: MQTTSession._on_pubrel,
    PubComp: MQTTSession._on_pubcomp,
    Disconnect: MQTTSession._on_disconnect,
}


def filter_is_valid(name: str) -> bool:
    """Topic filter rules of MQTT 3.1.1 4.7.1."""
    if not name or "\0" in name:
        return False
    levels = name.split("/")
    for i, level in enumerate(levels):
        if "#" in level and (level != "#" or i != len(levels) - 1):
            return False
        if "+" in level and level != "+":
            return False
    return True


def filter_matches(name: str, topic: str) -> bool:
    """Whether the topic filter matches the topic (MQTT 3.1.1 4.7)."""
    if topic.startswith("$") and name[:1] in "+#":
        return False
    wanted, levels = name.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)
