"""The vehicle's MQTT side: connect, keep alive, detection, reconnection with backoff, local queue. The heart of strategy 1.

MQTT 3.1.1 3.1 (CONNECT), 3.12 (PINGREQ), 4.4 (redelivery); the reconnection loop is the seed's (connectionLoop(): attempt
at once, after a failure wait 1, 2, 4 ... 60 s without end; while connected look at the address each 10 s).

    offline -> resolving -> opening -> connecting -> (subscribing ->) online -> resolving ...
    a failed attempt: backing_off -> resolving; ignition off, where it is to disconnect: parked -> resolving
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Final

from sim.machine import (
    AddressChanged,
    CloseTransport,
    Deadlines,
    IgnitionChanged,
    MachineBase,
    Message,
    MessageCreated,
    NameFailed,
    NameResolved,
    Note,
    OpenTransport,
    PacketReceived,
    ResolveName,
    SendPacket,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.mqtt_packets import (
    ACCEPTED,
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
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
)
from sim.strategies.application import Application
from sim.strategies.backoff import resets, wait_s
from sim.strategies.config import MQTTConnection
from sim.strategies.context import Context
from sim.strategies.outbox import Outbox
from sim.strategies.update_client import update_client
from sim.subclassing import mypyc_attr

UPLINK_WINDOW: Final = 20  # unacknowledged uplink messages: paho-python's max_inflight_messages (failure-modes 5)


class State(Enum):
    """Of the vehicle's MQTT connection."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    OFFLINE = "offline"  # not started
    RESOLVING = "resolving"
    OPENING = "opening"  # TCP and TLS
    CONNECTING = "connecting"  # CONNECT sent, CONNACK awaited
    SUBSCRIBING = "subscribing"
    ONLINE = "online"
    BACKING_OFF = "backing_off"
    PARKED = "parked"  # ignition off, and not connected on purpose


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.OFFLINE: frozenset({State.RESOLVING, State.PARKED}),
    State.RESOLVING: frozenset({State.OPENING, State.BACKING_OFF, State.RESOLVING, State.PARKED}),
    State.OPENING: frozenset({State.CONNECTING, State.BACKING_OFF, State.RESOLVING, State.PARKED}),
    State.CONNECTING: frozenset({State.SUBSCRIBING, State.ONLINE, State.BACKING_OFF, State.RESOLVING, State.PARKED}),
    State.SUBSCRIBING: frozenset({State.ONLINE, State.BACKING_OFF, State.RESOLVING, State.PARKED}),
    State.ONLINE: frozenset({State.RESOLVING, State.BACKING_OFF, State.PARKED}),
    State.BACKING_OFF: frozenset({State.RESOLVING, State.PARKED}),
    State.PARKED: frozenset({State.RESOLVING}),
}

Out = list[Any]
_STATE_NOTES: Final = {state: state.value for state in State}  # `.value` of an Enum is a Python call
_ATTEMPTING: Final = frozenset({State.RESOLVING, State.OPENING, State.CONNECTING, State.SUBSCRIBING})


@mypyc_attr(allow_interpreted_subclasses=True)
class MQTTVehicle(MachineBase):
    """A machine; also a part of the hybrid strategy, which passes its own Deadlines and is told of `on_change`."""

    __slots__ = (
        "_address",
        "_answers",
        "_attempts",
        "_blocked",
        "_config",
        "_context",
        "_incoming_qos2",
        "_inflight",
        "_keep_alive_s",
        "_known_address",
        "_last_message",
        "_last_sent",
        "_looked_s",
        "_new_id",
        "_next_packet_id",
        "_outbox",
        "_ping_outstanding",
        "_resolved",
        "_trigger",
        "_waited_s",
        "application",
        "auto_retry",
        "deadlines",
        "on_change",
        "on_message",
        "state",
        "transport",
        "update",
    )  # fmt: skip

    def __init__(
        self,
        config: MQTTConnection,
        context: Context,
        *,
        deadlines: Deadlines | None = None,
        new_id: Callable[[], int] | None = None,
    ) -> None:
        self._config = config
        self._context = context
        self.deadlines = deadlines if deadlines is not None else Deadlines()
        self._new_id = new_id if new_id is not None else TransportIds()
        self.application = Application(context.topic("up/response"))
        self.update = update_client(context, self.deadlines, self._new_id)
        self._outbox = Outbox(config.outbox)
        self.state = State.OFFLINE
        self.transport = -1
        self.on_change: Callable[[float, State, Out], None] | None = None
        self.on_message: Callable[[Message], None] | None = None
        self.auto_retry = True  # False: the owner says when to try again
        self._address: str | None = None  # what the interface has
        self._keep_alive_s = config.keep_alive_s  # or what the server says instead [MQTT-3.1.2-21]
        self._known_address: str | None = None  # what was looked at last (the seed's last_known_ip_)
        self._looked_s = 0.0  # when that was, while connected
        self._attempts = 0  # failed ones in a row
        self._waited_s = 0.0
        self._trigger = "start"
        self._resolved = ""
        self._blocked = False
        self._ping_outstanding = False
        self._last_sent = 0.0
        self._last_message = 0.0
        self._next_packet_id = 1
        self._inflight: dict[int, tuple[Message, int, bool]] = {}  # packet id -> (message, QoS, PUBREC received)
        self._incoming_qos2: dict[int, None] = {}
        self._answers: dict[int, Message] = {}
        self.deadlines.set("start", context.start_s)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        self.input(now, event, out)
        return out

    def input(self, now: float, event: Any, out: Out) -> None:
        """As `handle`, for an owner that has other parts too."""
        if type(event) is PacketReceived:
            if event.transport == self.transport:
                packet = event.packet
                if type(packet) is Publish:  # most of them
                    self._on_publish(now, packet, out)
                    return
                handler = _PACKETS.get(type(packet))
                if handler is not None:
                    handler(self, now, packet, out)
            elif self.update is not None:
                self.update.input(now, event, out)
            return
        if self.update is not None and self.update.input(now, event, out):
            return
        _HANDLERS[type(event)](self, now, event, out)

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            self.deadline_passed(now, name, out)
        return out

    def deadline_passed(self, now: float, name: str, out: Out) -> None:
        """One of this machine's deadlines passed: start, connect_timeout, backoff, ping, pingresp, address_poll, wake, sleep."""
        if name == "ping":
            self._ping_due(now, out)
        elif name == "pingresp":
            self._lost(now, "keep_alive", out)
        elif name == "address_poll":
            self._poll_address(now, out)
        elif name == "connect_timeout":
            self._attempt_failed(now, "connect_timeout", out)
        elif self.update is not None and name.startswith("update"):
            self.update.deadline_passed(now, name, out)
        elif name == "wake":
            self._wake(now, out)
        elif name == "sleep":
            self._sleep_due(now, out)
        else:
            self.attempt(now, "start" if name == "start" else "retry", out)

    def held(self) -> Iterator[Message]:
        """Uplink messages that wait or are not acknowledged."""
        for message, _qos, _released in self._inflight.values():
            yield message
        yield from self._outbox.held()

    def let_go(self) -> None:
        self.on_change = None
        self.on_message = None
        if self.update is not None:
            self.update.let_go()

    # --- attempts -------------------------------------------------------------------------------------------------------

    def attempt(self, now: float, trigger: str, out: Out) -> None:
        """Start a connection attempt."""
        self.deadlines.clear("backoff")
        self.deadlines.clear("address_poll")
        self._trigger = trigger
        self._known_address = self._address  # the seed looks at its address before each attempt
        self._enter(State.RESOLVING, now, out)
        self.deadlines.set("connect_timeout", now + self._config.connect_timeout_s)
        self.transport = self._new_id()
        out.append(ResolveName(self._context.server.name, self.transport, "mqtt", trigger, self._waited_s))

    def _on_resolved(self, now: float, event: NameResolved, out: Out) -> None:
        if self.state is not State.RESOLVING or event.transport != self.transport:
            return
        server = self._context.server
        self._enter(State.OPENING, now, out)
        out.append(
            OpenTransport(
                self.transport,
                event.address,
                server.mqtt_port,
                server.name,
                "mqtt",
                self._trigger,
                self._config.user_timeout_s,
                self._waited_s,
            )
        )

    def _on_name_failed(self, now: float, event: NameFailed, out: Out) -> None:
        if self.state is State.RESOLVING and event.transport == self.transport:
            self._attempt_failed(now, "name_failed", out)

    def _on_opened(self, now: float, event: TransportOpened, out: Out) -> None:
        if event.transport != self.transport or self.state is not State.OPENING:
            return
        config = self._config
        v5 = config.version == "5"
        self._enter(State.CONNECTING, now, out)
        connect = Connect(
            self._context.client_id,
            config.clean_session,
            int(config.keep_alive_s),
            V5 if v5 else V311,
            config.session_expiry_s if v5 and not config.clean_session else None,
            config.receive_maximum if v5 else None,
            username=self._context.client_id,
        )
        out.append(SendPacket(self.transport, connect))
        self._last_sent = now

    def _attempt_failed(self, now: float, reason: str, out: Out) -> None:
        if self.state is State.RESOLVING:
            out.append(Note("failed", self.transport, reason))
        else:
            out.append(CloseTransport(self.transport, abort=True, reason=reason))
        self._end_attempt(now, out)

    def _end_attempt(self, now: float, out: Out) -> None:
        self.transport = -1
        for name in ("connect_timeout", "ping", "pingresp"):
            self.deadlines.clear(name)
        self._enter(State.BACKING_OFF, now, out)
        config, n = self._config.backoff, self._attempts
        self._waited_s = wait_s(config, n, self._context.draw("backoff", n), self._waited_s)
        self._attempts = n + 1
        if self.auto_retry:
            self.deadlines.set("backoff", now + self._waited_s)

    def _lost(self, now: float, why: str, out: Out) -> None:
        """The connection is given up (`keep_alive`, `address`) or is gone (`transport`); try again."""
        if self.transport >= 0:
            if why == "address":
                # the seed disconnects cleanly; on the dead path the packet never arrives
                out.append(SendPacket(self.transport, Disconnect()))
            out.append(CloseTransport(self.transport, abort=why != "address", reason=why))
            self.transport = -1
        for name in ("ping", "pingresp", "address_poll", "connect_timeout"):
            self.deadlines.clear(name)
        if self._config.backoff.policy == "paho":
            # paho waits before the first attempt too: 1, 3, 7 s after the disconnect (brokers 7)
            self._end_attempt(now, out)
            return
        self._waited_s = 0.0
        self.attempt(now, why, out)

    # --- parking ---------------------------------------------------------------------------------------------------------

    def _on_ignition(self, now: float, event: IgnitionChanged, out: Out) -> None:
        if self._config.when_parked == "stay_connected":
            return
        if event.on:
            self.deadlines.clear("wake", "sleep")
            if self.state is State.PARKED:
                self._come_back(now, "ignition", out)
        elif self.state is not State.PARKED:
            self._park(now, out)
            if self._config.when_parked == "sleep":
                self.deadlines.set("wake", now + self._context.phase("wake") * self._config.wake_every_s)

    def _park(self, now: float, out: Out) -> None:
        """Leave the broker with DISCONNECT (3.14), so that no will is published, and stay away."""
        if self.state in (State.ONLINE, State.SUBSCRIBING):
            out.append(SendPacket(self.transport, Disconnect()))
            out.append(CloseTransport(self.transport, reason="disconnect"))
        elif self.state is State.RESOLVING:
            out.append(Note("failed", self.transport, "parked"))
        elif self.transport >= 0:
            out.append(CloseTransport(self.transport, abort=True, reason="parked"))
        self.transport = -1
        self.deadlines.clear("start", "connect_timeout", "backoff", "ping", "pingresp", "address_poll", "sleep")
        if self.update is not None:
            self.update.pause(out)
        self._enter(State.PARKED, now, out)

    def _wake(self, now: float, out: Out) -> None:
        """The clock woke the vehicle; the ignition is off."""
        self.deadlines.set("wake", now + self._config.wake_every_s)
        if self.state is State.PARKED:
            self._last_message = now
            self.deadlines.set("sleep", now + self._config.awake_s)
            self._come_back(now, "wake", out)

    def _come_back(self, now: float, trigger: str, out: Out) -> None:
        self._waited_s = 0.0
        self._attempts = 0
        self.attempt(now, trigger, out)
        if self.update is not None:
            self.update.resume(now, trigger, out)

    def _sleep_due(self, now: float, out: Out) -> None:
        heard_s = self._last_message if self.update is None else max(self._last_message, self.update.last_part_s)
        until_s = heard_s + self._config.awake_s
        if until_s > now and self.state is State.ONLINE:
            self.deadlines.set("sleep", until_s)
        else:
            self._park(now, out)

    # --- what the link tells ---------------------------------------------------------------------------------------------

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        if event.transport != self.transport:
            return
        if self.state in _ATTEMPTING:
            self._end_attempt(now, out)
            return
        self.transport = -1
        if "transport" in self._config.notices:
            self._lost(now, "transport", out)

    def _on_address(self, now: float, event: AddressChanged, out: Out) -> None:
        self._address = event.address
        if self._known_address is None and self.state is State.OFFLINE:
            self._known_address = event.address
        if self._config.address_watch == "poll":
            self._await_poll(now)
        if self._config.address_watch != "link_event" or event.address is None or "address" not in self._config.notices:
            return
        if event.address == self._known_address:
            return
        self._known_address = event.address
        if self.state is State.ONLINE:
            self._lost(now, "address", out)
        elif self.state is State.BACKING_OFF:
            self.attempt(now, "address", out)
        elif self.state in _ATTEMPTING:
            # the attempt under way is bound to an address that is gone
            if self.state is State.RESOLVING:
                out.append(Note("failed", self.transport, "address"))
            else:
                out.append(CloseTransport(self.transport, abort=True, reason="address"))
            self.attempt(now, "address", out)

    def _await_poll(self, now: float) -> None:
        """Be called at the first poll that will find another address; those that will find none are left out."""
        if self.state is not State.ONLINE:
            return
        # no address is not a change (the seed compares texts; an interface that is down has none to compare)
        if self._address is None or self._address == self._known_address:
            self.deadlines.clear("address_poll")
            return
        at = self._looked_s + self._config.address_poll_s
        while at < now:
            at += self._config.address_poll_s
        self.deadlines.set("address_poll", at)

    def _poll_address(self, now: float, out: Out) -> None:
        self._looked_s = now
        self._known_address = self._address
        if "address" in self._config.notices:
            self._lost(now, "address", out)

    # --- packets ---------------------------------------------------------------------------------------------------------

    def _on_publish(self, now: float, packet: Publish, out: Out) -> None:
        message = packet.message
        if packet.qos == 2:
            out.append(SendPacket(self.transport, PubRec(packet.packet_id)))
            self._last_sent = now
            if packet.packet_id in self._incoming_qos2:
                return
            self._incoming_qos2[packet.packet_id] = None
        self._last_message = now
        reply = self.application.receive(now, message, "mqtt", out)
        if self.update is not None and message.kind == "ota":
            self.update.announced(now, out)
        if packet.qos == 1:
            out.append(SendPacket(self.transport, PubAck(packet.packet_id)))
            self._last_sent = now
        if self.on_message is not None:
            self.on_message(message)
        if reply is not None:
            self.send(now, reply, out)

    def _on_connack(self, now: float, packet: ConnAck, out: Out) -> None:
        if self.state is not State.CONNECTING:
            return  # a second one is a fault of the server
        if packet.code != ACCEPTED:
            self._attempt_failed(now, "refused", out)
            return
        out.append(Note("connack", self.transport, "session present" if packet.session_present else "no session"))
        self.deadlines.clear("connect_timeout")
        if resets(self._config.backoff):
            self._attempts = 0
        self._waited_s = 0.0
        self._blocked = False
        self._ping_outstanding = False
        properties = packet.properties
        self._keep_alive_s = self._config.keep_alive_s
        if properties is not None and "server_keep_alive" in properties:
            self._keep_alive_s = float(properties["server_keep_alive"])
        if self._keep_alive_s > 0.0:
            # the first connection has stood for a while when the drive begins: its pings are at a phase drawn for the drive
            phase = self._context.phase("keep_alive") if self._trigger == "start" else 1.0
            self.deadlines.set("ping", now + phase * self._keep_alive_s)
        if not packet.session_present:
            self._incoming_qos2.clear()
        self._resend(now, packet.session_present, out)
        if packet.session_present and self._config.resubscribe == "when_needed":
            self._go_online(now, out)
        else:
            self._enter(State.SUBSCRIBING, now, out)
            qos = max(
                (w.qos for w in (self._context.workload.ota, self._context.workload.diagnostics) if w is not None), default=1
            )
            filters = ((self._context.topic("down/#"), qos),)
            version = V5 if self._config.version == "5" else V311
            out.append(SendPacket(self.transport, Subscribe(self._take_packet_id(), filters, version)))
        self._last_sent = now
        self.flush(now, out)

    def _resend(self, now: float, resumed: bool, out: Out) -> None:
        version = V5 if self._config.version == "5" else V311
        for packet_id, (message, qos, released) in self._inflight.items():
            if released:
                out.append(SendPacket(self.transport, PubRel(packet_id)))
            else:
                out.append(SendPacket(self.transport, Publish(message, qos, packet_id, resumed, False, version)))

    def _on_suback(self, now: float, packet: SubAck, out: Out) -> None:
        if self.state is State.SUBSCRIBING:
            self._go_online(now, out)

    def _go_online(self, now: float, out: Out) -> None:
        self._enter(State.ONLINE, now, out)
        out.append(Note("ready", self.transport, "mqtt"))
        self._looked_s = now
        if self._config.address_watch == "poll":
            self._await_poll(now)

    def _on_pingresp(self, now: float, packet: PingResp, out: Out) -> None:
        self._ping_outstanding = False
        self.deadlines.clear("pingresp")

    def _on_disconnect(self, now: float, packet: Disconnect, out: Out) -> None:
        """MQTT 5: the server is about to close (3.14); TransportLost follows."""

    def _on_puback(self, now: float, packet: PubAck | PubComp, out: Out) -> None:
        if self._inflight.pop(packet.packet_id, None) is not None:
            self.flush(now, out)

    def _on_pubrec(self, now: float, packet: PubRec, out: Out) -> None:
        sent = self._inflight.get(packet.packet_id)
        if sent is not None:
            self._inflight[packet.packet_id] = (sent[0], sent[1], True)
        out.append(SendPacket(self.transport, PubRel(packet.packet_id)))

    def _on_pubrec_with_reason(self, now: float, packet: PubRecWithReason, out: Out) -> None:
        """MQTT 5 4.3.3: a reason of 0x80 or more ends the exchange; the broker has not taken the message."""
        if packet.code < 0x80:
            self._on_pubrec(now, packet, out)
        elif self._inflight.pop(packet.packet_id, None) is not None:
            self.flush(now, out)

    def _on_pubrel(self, now: float, packet: PubRel, out: Out) -> None:
        self._incoming_qos2.pop(packet.packet_id, None)
        out.append(SendPacket(self.transport, PubComp(packet.packet_id)))

    def _ping_due(self, now: float, out: Out) -> None:
        config = self._config
        if config.ping_rule == "idle" and self._last_sent + self._keep_alive_s > now:
            self.deadlines.set("ping", self._last_sent + self._keep_alive_s)
            return
        if self._ping_outstanding:
            # given up one keep alive after the PINGREQ that was not answered (brokers 7)
            if "keep_alive" in config.notices:
                self._lost(now, "keep_alive", out)
            return
        self.deadlines.set("ping", now + self._keep_alive_s)
        if self.transport < 0:
            return
        self._ping_outstanding = True
        self._last_sent = now
        if config.ping_timeout_s is not None and "keep_alive" in config.notices:
            self.deadlines.set("pingresp", now + config.ping_timeout_s)
        out.append(SendPacket(self.transport, PingReq()))

    # --- uplink -----------------------------------------------------------------------------------------------------------

    def _on_created(self, now: float, event: MessageCreated, out: Out) -> None:
        self.send(now, event.message, out)

    def send(self, now: float, message: Message, out: Out) -> None:
        """Send an uplink message, or keep it in the outbox until that is possible."""
        self._outbox.put(message, out)
        self.flush(now, out)

    def flush(self, now: float, out: Out) -> None:
        """Send from the outbox while connected, not blocked and the window is open."""
        while (
            self._outbox and not self._blocked and self.transport >= 0 and len(self._inflight) < UPLINK_WINDOW
            and self.state in (State.ONLINE, State.SUBSCRIBING)
        ):  # fmt: skip
            message = self._outbox.pop()
            packet_id = 0
            if message.qos:
                packet_id = self._take_packet_id()
                self._inflight[packet_id] = (message, message.qos, False)
            version = V5 if self._config.version == "5" else V311
            out.append(SendPacket(self.transport, Publish(message, message.qos, packet_id, version=version)))
            self._last_sent = now

    def take_outbox(self, n: int) -> tuple[Message, ...]:
        """For the hybrid strategy, which may post what waits here."""
        return self._outbox.take(n)

    def put_back(self, messages: tuple[Message, ...], out: Out) -> None:
        self._outbox.put_back(messages, out)

    def _take_packet_id(self) -> int:
        packet_id = self._next_packet_id
        while packet_id in self._inflight:
            packet_id = packet_id % 65535 + 1
        self._next_packet_id = packet_id % 65535 + 1
        return packet_id

    def _on_blocked(self, now: float, event: WriteBlocked, out: Out) -> None:
        if event.transport == self.transport:
            self._blocked = True

    def _on_resumed(self, now: float, event: WriteResumed, out: Out) -> None:
        if event.transport == self.transport:
            self._blocked = False
            self.flush(now, out)

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        """This strategy does not listen."""
        out.append(CloseTransport(event.transport, abort=True, reason="refused"))

    def _enter(self, state: State, now: float, out: Out) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"MQTT vehicle: {self.state} -> {state} is not in the table")
        self.state = state
        out.append(Note(_STATE_NOTES[state], self.transport))
        if self.on_change is not None:
            self.on_change(now, state, out)


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    MessageCreated: MQTTVehicle._on_created,
    AddressChanged: MQTTVehicle._on_address,
    IgnitionChanged: MQTTVehicle._on_ignition,
    TransportOpened: MQTTVehicle._on_opened,
    TransportLost: MQTTVehicle._on_lost,
    NameResolved: MQTTVehicle._on_resolved,
    NameFailed: MQTTVehicle._on_name_failed,
    WriteBlocked: MQTTVehicle._on_blocked,
    WriteResumed: MQTTVehicle._on_resumed,
    TransportAccepted: MQTTVehicle._on_accepted,
}

#: input or packet type -> handler; after the class, so that the methods exist
_PACKETS: Final[dict[type, Callable[..., None]]] = {
    PubAck: MQTTVehicle._on_puback,
    PingResp: MQTTVehicle._on_pingresp,
    ConnAck: MQTTVehicle._on_connack,
    SubAck: MQTTVehicle._on_suback,
    PubRec: MQTTVehicle._on_pubrec,
    PubRel: MQTTVehicle._on_pubrel,
    PubComp: MQTTVehicle._on_puback,
    Disconnect: MQTTVehicle._on_disconnect,
    PubAckWithReason: MQTTVehicle._on_puback,
    PubRecWithReason: MQTTVehicle._on_pubrec_with_reason,
    PubRelWithReason: MQTTVehicle._on_pubrel,
    PubCompWithReason: MQTTVehicle._on_puback,
}


class TransportIds:
    """1, 2, 3, ...: ids of the transports that one machine opens."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        self._last += 1
        return self._last
