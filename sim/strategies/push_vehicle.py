"""The vehicle's side of strategies in which the server connects in: heartbeat, listener, telemetry by POST.

Strategy 2 posts its address each 30 s (the seed's HeartbeatTask); the baseline static_push posts nothing.
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
    PacketReceived,
    SendPacket,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.http import Endpoint, HTTPClient, HTTPRequest, HTTPResponse, Unreadable
from sim.strategies.application import Application
from sim.strategies.config import DDNSHeartbeat, StaticPush
from sim.strategies.context import VEHICLE_PORT, Context
from sim.strategies.mqtt_vehicle import TransportIds
from sim.strategies.outbox import Outbox
from sim.strategies.update_client import update_client
from sim.subclassing import mypyc_attr

HEARTBEAT_BYTES: Final = 180  # JSON of vin, ip, status, timestamp, location, battery as in the seed
Out = list[Any]


class State(Enum):
    """Of the heartbeat."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    SILENT = "silent"  # not started, or a strategy without heartbeat
    REGISTERED = "registered"  # the last heartbeat was accepted
    UNREGISTERED = "unregistered"  # the last heartbeat failed, or the address changed since
    PARKED = "parked"  # ignition off, and silent on purpose


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.SILENT: frozenset({State.REGISTERED, State.UNREGISTERED, State.PARKED}),
    State.REGISTERED: frozenset({State.UNREGISTERED, State.PARKED}),
    State.UNREGISTERED: frozenset({State.REGISTERED, State.PARKED}),
    State.PARKED: frozenset({State.UNREGISTERED}),
}


@mypyc_attr(allow_interpreted_subclasses=True)
class PushVehicle(MachineBase):
    """Listens on VEHICLE_PORT. With `DDNSHeartbeat` settings it posts heartbeats, with `StaticPush` it does not."""

    __slots__ = (
        "_address",
        "_application",
        "_config",
        "_context",
        "_heart",
        "_heartbeat",
        "_known_address",
        "_last_message",
        "_looked_s",
        "_outbox",
        "_poster",
        "_posting",
        "_served",
        "deadlines",
        "state",
        "update",
    )

    def __init__(self, config: DDNSHeartbeat | StaticPush, context: Context) -> None:
        self._config = config
        self._context = context
        self.deadlines = Deadlines()
        self._application = Application(context.topic("up/response"))
        self._outbox = Outbox(config.outbox)
        self._posting: tuple[Message, ...] = ()
        self._served: dict[int, None] = {}  # transports the server opened
        self._address: str | None = None
        self._known_address: str | None = None
        self._looked_s = context.start_s  # when the address was polled
        self._last_message = context.start_s
        self.state = State.SILENT
        new_id = TransportIds()
        self.update = update_client(context, self.deadlines, new_id)
        server = context.server
        self._heart: DDNSHeartbeat | None = config if isinstance(config, DDNSHeartbeat) else None
        self._heartbeat = HTTPClient(
            deadlines=self.deadlines,
            deadline="heartbeat_timeout",
            endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode=config.http,
            timeout_s=self._heart.heartbeat_timeout_s if self._heart else None,
            new_id=new_id,
            purpose="heartbeat",
            on_response=self._heartbeat_accepted,
            on_failure=self._heartbeat_failed,
        )
        self._poster = HTTPClient(
            deadlines=self.deadlines,
            deadline="post_timeout",
            endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode=config.http,
            timeout_s=config.post_timeout_s,
            new_id=new_id,
            purpose="post",
            on_response=self._posted,
            on_failure=self._post_failed,
        )
        if self._heart is not None:
            self.deadlines.set("heartbeat", context.start_s)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        if self.update is None or not self.update.input(now, event, out):
            _HANDLERS[type(event)](self, now, event, out)
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "heartbeat":
                self._beat(now, "due", out)
            elif name == "heartbeat_timeout":
                self._heartbeat.deadline_passed(now, out)
            elif name == "post_timeout":
                self._poster.deadline_passed(now, out)
            elif name == "post_retry":
                self._post(now, out)
            elif self.update is not None and name.startswith("update"):
                self.update.deadline_passed(now, name, out)
            elif name == "wake":
                self._wake(now, out)
            elif name == "sleep":
                self._sleep_due(now, out)
            else:
                self._poll_address(now, out)
        return out

    def held(self) -> Iterator[Message]:
        yield from self._posting
        yield from self._outbox.held()

    def let_go(self) -> None:
        for client in (self._heartbeat, self._poster):
            client.let_go()
        if self.update is not None:
            self.update.let_go()

    # --- heartbeat --------------------------------------------------------------------------------------------------------

    def _beat(self, now: float, trigger: str, out: Out) -> None:
        if self._heart is None:
            return
        # the second heartbeat is at a phase drawn for the drive, the others follow at the period
        phase = self._context.phase("heartbeat") if self.state is State.SILENT else 1.0
        self.deadlines.set("heartbeat", now + phase * self._heart.heartbeat_s)
        if self._heartbeat.busy:
            return  # the POST before still hangs; the seed's task would be in it
        self._known_address = self._address
        self._report(now, self._address or "", "online", trigger, out)

    def _report(self, now: float, address: str, status: str, trigger: str, out: Out) -> None:
        path = f"/api/v1/vehicles/{self._context.vin}/heartbeat"
        request = HTTPRequest("POST", path, {"ip": address, "status": status}, HEARTBEAT_BYTES, purpose="heartbeat")
        self._heartbeat.send(now, request, out, trigger=trigger)

    def _heartbeat_accepted(self, now: float, response: HTTPResponse, out: Out) -> None:
        if self.state not in (State.REGISTERED, State.PARKED):
            self._enter(State.REGISTERED, out)

    def _heartbeat_failed(self, now: float, reason: str, out: Out) -> None:
        if self.state not in (State.UNREGISTERED, State.PARKED):
            self._enter(State.UNREGISTERED, out)

    # --- parking ----------------------------------------------------------------------------------------------------------

    def _on_ignition(self, now: float, event: IgnitionChanged, out: Out) -> None:
        heart = self._heart
        if heart is None or heart.when_parked == "stay_connected":
            return
        if event.on:
            self.deadlines.clear("wake", "sleep")
            self._come_back(now, "ignition", out)
        elif self.state is not State.PARKED:
            self._park(now, out)
            if heart.when_parked == "sleep":
                self.deadlines.set("wake", now + self._context.phase("wake") * heart.wake_every_s)

    def _park(self, now: float, out: Out) -> None:
        """A last heartbeat says that there is no address any more; then silence.

        Simplification: what the server opens to a parked vehicle all the same is reset once it stands.
        """
        self._heartbeat.abandon(out, "parked")
        self._poster.abandon(out, "parked")
        posting, self._posting = self._posting, ()
        self._outbox.put_back(posting, out)
        self.deadlines.clear("heartbeat", "address_poll", "post_retry", "sleep")
        if self.state is not State.SILENT:
            self._report(now, "", "parked", "parked", out)
        if self.update is not None:
            self.update.pause(out)
        self._enter(State.PARKED, out)

    def _come_back(self, now: float, trigger: str, out: Out) -> None:
        if self.state is not State.PARKED:
            return
        self._heartbeat.abandon(out, trigger)
        self._enter(State.UNREGISTERED, out)
        self._beat(now, trigger, out)
        self._post(now, out)
        self._await_poll(now)
        if self.update is not None:
            self.update.resume(now, trigger, out)

    def _wake(self, now: float, out: Out) -> None:
        """The clock woke the vehicle; the ignition is off."""
        if self._heart is not None:
            self.deadlines.set("wake", now + self._heart.wake_every_s)
            self.deadlines.set("sleep", now + self._heart.awake_s)
            self._last_message = now
            self._come_back(now, "wake", out)

    def _sleep_due(self, now: float, out: Out) -> None:
        heard_s = self._last_message if self.update is None else max(self._last_message, self.update.last_part_s)
        if self._heart is not None and heard_s + self._heart.awake_s > now and self.state is State.REGISTERED:
            self.deadlines.set("sleep", heard_s + self._heart.awake_s)
        elif self.state is not State.PARKED:
            self._park(now, out)

    # --- address ----------------------------------------------------------------------------------------------------------

    def _on_address(self, now: float, event: AddressChanged, out: Out) -> None:
        self._address = event.address
        if self._heart is not None and self._heart.address_watch == "link_event":
            self._look_at_address(now, out)
        self._await_poll(now)

    def _await_poll(self, now: float) -> None:
        """Be called at the first poll of the address that will find another one; those that will find none are left out."""
        if self._heart is None or self._heart.address_watch != "poll" or self.state is State.PARKED:
            return
        if not self._is_another():
            self.deadlines.clear("address_poll")
            return
        at = self._looked_s + self._heart.address_poll_s
        while at < now:
            at += self._heart.address_poll_s
        self.deadlines.set("address_poll", at)

    def _poll_address(self, now: float, out: Out) -> None:
        self._looked_s = now
        self._look_at_address(now, out)

    def _is_another(self) -> bool:
        return self._address is not None and self._known_address is not None and self._address != self._known_address

    def _look_at_address(self, now: float, out: Out) -> None:
        if self.state is State.PARKED or not self._is_another():
            return
        self._heartbeat.abandon(out, "address")
        if self.state is State.REGISTERED:
            self._enter(State.UNREGISTERED, out)
        self._beat(now, "address", out)

    # --- messages -----------------------------------------------------------------------------------------------------------

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        if event.port == VEHICLE_PORT and self.state is not State.PARKED:
            self._served[event.transport] = None
        else:
            out.append(CloseTransport(event.transport, abort=True, reason="refused"))

    def _on_packet(self, now: float, event: PacketReceived, out: Out) -> None:
        if event.transport in self._served:
            self._serve(now, event.transport, event.packet, out)
            return
        for client in (self._heartbeat, self._poster):
            if event.transport == client.transport:
                client.received(now, event.packet, out)

    def _serve(self, now: float, transport: int, request: HTTPRequest, out: Out) -> None:
        """The server's batch: hand over, answer with acknowledgement and the replies to requests in it."""
        refused = _refusal(request)
        if refused is not None:
            out.append(SendPacket(transport, refused))
            return
        replies = []
        self._last_message = now
        for message in request.messages:
            reply = self._application.receive(now, message, "push", out, again=True)
            if self.update is not None and message.kind == "ota":
                self.update.announced(now, out)
            if reply is not None:
                replies.append(reply)
        purpose = "probe" if request.purpose == "probe" else "payload"
        ids = tuple(message.id for message in request.messages)
        # where this response is lost the server sends the batch again, and the requests in it are answered again
        out.append(SendPacket(transport, HTTPResponse(200, {"ids": ids}, 8 * len(ids), tuple(replies), purpose)))

    def _on_created(self, now: float, event: MessageCreated, out: Out) -> None:
        self._outbox.put(event.message, out)
        if not self._poster.busy and self.deadlines.at("post_retry") > now and self.state is not State.PARKED:
            self._post(now, out)

    def _post(self, now: float, out: Out) -> None:
        if self._poster.busy or not len(self._outbox):
            return
        self._posting = self._outbox.take(self._config.post_batch)
        request = HTTPRequest(
            "POST", f"/api/v1/vehicles/{self._context.vin}/telemetry", messages=self._posting, purpose="payload"
        )
        self._poster.send(now, request, out, trigger="message")

    def _posted(self, now: float, response: HTTPResponse, out: Out) -> None:
        self._posting = ()
        if len(self._outbox):
            # not from within on_response: the transport may be kept open and would be seen as going on
            self.deadlines.set("post_retry", now)

    def _post_failed(self, now: float, reason: str, out: Out) -> None:
        posting, self._posting = self._posting, ()
        self._outbox.put_back(posting, out)
        # the next message tries again; a second one here in case none comes
        self.deadlines.set("post_retry", now + 10.0)

    # --- transports -----------------------------------------------------------------------------------------------------------

    def _on_opened(self, now: float, event: TransportOpened, out: Out) -> None:
        for client in (self._heartbeat, self._poster):
            if event.transport == client.transport:
                client.opened(now, out)

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        if self._served.pop(event.transport, 0) is None:
            return
        for client in (self._heartbeat, self._poster):
            if event.transport == client.transport:
                client.lost(now, event.reason, out)

    def _on_resolved(self, now: float, event: NameResolved, out: Out) -> None:
        for client in (self._heartbeat, self._poster):
            client.name_resolved(now, event, out)

    def _on_name_failed(self, now: float, event: NameFailed, out: Out) -> None:
        for client in (self._heartbeat, self._poster):
            client.name_failed(now, event, out)

    def _on_write(self, now: float, event: Any, out: Out) -> None:
        """One exchange at a time: there is nothing to hold back."""

    def _enter(self, state: State, out: Out) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"push vehicle: {self.state} -> {state} is not in the table")
        self.state = state
        out.append(Note(state.value))


def _refusal(request: HTTPRequest) -> HTTPResponse | None:
    """The answer to what is no batch of messages (RFC 9110 15.5)."""
    if request.path != "/messages":
        return HTTPResponse(404, purpose=request.purpose)
    if request.method != "POST":
        return HTTPResponse(405, purpose=request.purpose, headers=(("Allow", "POST"),))
    return HTTPResponse(400, purpose=request.purpose) if request.body is Unreadable.BODY else None


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    PacketReceived: PushVehicle._on_packet,
    MessageCreated: PushVehicle._on_created,
    AddressChanged: PushVehicle._on_address,
    IgnitionChanged: PushVehicle._on_ignition,
    TransportOpened: PushVehicle._on_opened,
    TransportLost: PushVehicle._on_lost,
    TransportAccepted: PushVehicle._on_accepted,
    NameResolved: PushVehicle._on_resolved,
    NameFailed: PushVehicle._on_name_failed,
    WriteBlocked: PushVehicle._on_write,
    WriteResumed: PushVehicle._on_write,
}
