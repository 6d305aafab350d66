"""The server's side of strategies in which it connects in to the vehicle: registry or DNS, store, pusher, HTTPS API.

Strategy 2 (`DDNSHeartbeat`): a failed batch keeps its messages until the next accepted heartbeat. Baseline `StaticPush`:
always the first address, a bounded number of attempts.

    idle -> opening -> waiting -> idle; a failure: holding -> opening. Where the zone is another's: resolving -> opening
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Final

from sim.machine import (
    AddressChanged,
    CloseTransport,
    Deadlines,
    Deliver,
    Drop,
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
    StoreChanged,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.dns import Cache, Zone
from sim.protocols.http import HTTPRequest, HTTPResponse, Unreadable
from sim.protocols.kept import Keeper
from sim.protocols.pending import PendingMessages
from sim.protocols.registry import Registry
from sim.strategies.config import DDNSHeartbeat, StaticPush
from sim.strategies.context import VEHICLE_PORT, Context
from sim.strategies.mqtt_vehicle import TransportIds
from sim.strategies.ota import OTAPublisher
from sim.strategies.update_server import update_server
from sim.strategies.vehicle_api import Call, VehicleAPI, read_heartbeat, read_ids, refusal, status_response
from sim.subclassing import mypyc_attr

Out = list[Any]
_CALLS: Final = frozenset({Call.HEARTBEAT, Call.STATUS, Call.TELEMETRY, Call.UPDATE})  # of the API that its vehicles may make


class State(Enum):
    """Of the pusher for one vehicle."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    IDLE = "push_idle"
    RESOLVING = "push_resolving"  # the vehicle's name, by somebody else's zone
    OPENING = "push_opening"  # TCP and TLS to the vehicle
    WAITING = "push_waiting"  # batch sent, acknowledgement awaited
    HOLDING = "push_holding"  # failed; waits for the next heartbeat (strategy 2) or the next attempt (static_push)


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.RESOLVING, State.OPENING, State.HOLDING}),
    State.RESOLVING: frozenset({State.OPENING, State.HOLDING}),
    State.OPENING: frozenset({State.WAITING, State.HOLDING}),
    State.WAITING: frozenset({State.IDLE, State.HOLDING}),
    State.HOLDING: frozenset({State.RESOLVING, State.OPENING, State.IDLE}),
}


@mypyc_attr(allow_interpreted_subclasses=True)
class PushBackend(MachineBase):
    """A machine: the OTA server of the strategies that push."""

    uses_broker = False

    __slots__ = (
        "_address", "_api", "_attempts", "_batch", "_cache", "_config", "_context", "_new_id", "_registry", "_store", "_trigger",
        "_zone", "deadlines", "publisher", "state", "transport", "updates",
    )  # fmt: skip

    def __init__(self, config: DDNSHeartbeat | StaticPush, context: Context) -> None:
        self._config = config
        self._context = context
        self.deadlines = Deadlines()
        self.publisher = OTAPublisher(context, self.deadlines)
        self.updates = update_server(context)
        self._store = PendingMessages(config.push.store_limit)
        self._registry = Registry()
        self._zone: Zone | None = Zone()
        self._cache = Cache()
        self._api = VehicleAPI(context, _CALLS)
        self._new_id = TransportIds()
        self._batch: tuple[Message, ...] = ()
        self._attempts: dict[int, int] = {}
        self._trigger = ""  # of the attempt whose name is being resolved
        self._address = context.first_address if isinstance(config, StaticPush) else ""
        self.state = State.IDLE
        self.transport = -1

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        _HANDLERS[type(event)](self, now, event, out)
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "push_timeout":
                if self.transport >= 0:
                    reason = "connect_timeout" if self.state is State.OPENING else "request_timeout"
                    out.append(CloseTransport(self.transport, abort=True, reason=reason))
                self._failed(now, "timed_out", out)
            elif name == "push_retry":
                self._push(now, "retry", out)
            elif name == "request_timeout":
                self._withdraw(now, out)
            else:
                for message in self.publisher.deadline_passed(now, name, out):
                    self._take(now, message, out)
        return out

    def held(self) -> Iterator[Message]:
        yield from self._store.held()
        if self.updates is not None:
            yield from self.updates.held()

    # --- kept and named elsewhere -------------------------------------------------------------------------------------------

    def keep_in(self, *keepers: Keeper) -> None:
        """Tell these of each change of the registry and of the pending messages."""
        self._registry.keepers = self._store.keepers = keepers

    def resolve_names(self) -> None:
        """The zone is another's, and told of the vehicle by a keeper: names are resolved, no longer looked up by a call."""
        self._zone = None

    def _on_store(self, now: float, event: StoreChanged, out: Out) -> None:
        self._api.store_changed(event, out)
        if event.kept is None:
            return
        moved = self._registry.restore(self._context.vin, event.kept.entry)
        gone = self._store.restore(event.kept.messages)
        if event.kept.emptied:
            out.extend(Drop(message, "store_failover") for message in gone)
        for message in self._store.held():
            self._expect_answer(message)
        if self.state is State.IDLE or (moved and self.state is State.HOLDING):
            self._push(now, "heartbeat" if moved else "message", out)

    # --- messages ---------------------------------------------------------------------------------------------------------

    def _on_created(self, now: float, event: MessageCreated, out: Out) -> None:
        if self.updates is not None:
            self.updates.announced(now, event.message, out)
        self._take(now, event.message, out)

    def _take(self, now: float, message: Message, out: Out) -> None:
        out.extend(self._store.put(message))
        self._expect_answer(message)
        if self.state is State.IDLE:
            self._push(now, "message", out)

    def _expect_answer(self, message: Message) -> None:
        timeout_s = self._timeout_of(message)
        if timeout_s is not None and self.deadlines.at("request_timeout") > message.created_s + timeout_s:
            self.deadlines.set("request_timeout", message.created_s + timeout_s)

    def _timeout_of(self, message: Message) -> float | None:
        workload = self._context.workload
        if message.kind == "diagnostics" and workload.diagnostics is not None:
            return workload.diagnostics.timeout_s
        if message.kind == "probe" and workload.probes is not None:
            return workload.probes.within_s
        return None

    def _withdraw(self, now: float, out: Out) -> None:
        """Requests that were not answered within their timeout are not sent any more."""
        nearest = float("inf")
        for message in list(self._store.held()):
            timeout_s = self._timeout_of(message)
            if timeout_s is None:
                continue
            ends_s = message.created_s + timeout_s
            if ends_s > now:
                nearest = min(nearest, ends_s)
            elif not (self.state is State.WAITING and message in self._batch):
                self._store.pop(message.id)
                out.append(Drop(message, "request_timeout"))
            else:
                nearest = min(nearest, now + 1.0)  # it is on its way; look again
        if nearest < float("inf"):
            self.deadlines.set("request_timeout", nearest)

    # --- pushing ----------------------------------------------------------------------------------------------------------

    def _locate(self, now: float) -> str | None:
        """Where the vehicle is believed to be; "" where nothing is known, None where its name has to be resolved."""
        config = self._config
        if isinstance(config, StaticPush):
            return self._address
        if config.locate == "registry":
            entry = self._registry.get(self._context.vin)
            return entry.address if entry is not None else ""
        if self._zone is None:
            return None
        cached = self._cache.get(now, self._context.host)
        if cached is None:
            answer = self._zone.answer(now, self._context.host)
            dns = self._context.server.dns
            address, ttl_s = answer if answer is not None else ("", dns.negative_ttl_s)
            self._cache.put(now, self._context.host, address, ttl_s)
            cached = address
        return cached

    def _push(self, now: float, trigger: str, out: Out) -> None:
        if self.state in (State.RESOLVING, State.OPENING, State.WAITING):
            return
        if not len(self._store):
            self._enter(State.IDLE, out)
            return
        address = self._locate(now)
        if address is None:
            self._enter(State.RESOLVING, out)
            self._trigger = trigger
            self.deadlines.set("push_timeout", now + self._config.push.connect_timeout_s)
            out.append(ResolveName(self._context.host))
        elif address:
            self._connect(now, address, trigger, out)
        else:
            self._enter(State.HOLDING, out)

    def _on_resolved(self, now: float, event: NameResolved, out: Out) -> None:
        if self.state is State.RESOLVING and event.name == self._context.host:
            self._connect(now, event.address, self._trigger, out)

    def _on_name_failed(self, now: float, event: NameFailed, out: Out) -> None:
        if self.state is State.RESOLVING and event.name == self._context.host:
            self._failed(now, "name_failed", out)

    def _connect(self, now: float, address: str, trigger: str, out: Out) -> None:
        self._enter(State.OPENING, out)
        self.transport = self._new_id()
        self.deadlines.set("push_timeout", now + self._config.push.connect_timeout_s)
        waited_s = self._config.retry_s if trigger == "retry" and isinstance(self._config, StaticPush) else 0.0
        out.append(OpenTransport(self.transport, address, VEHICLE_PORT, self._context.host, "push", trigger, waited_s=waited_s))

    def _on_opened(self, now: float, event: TransportOpened, out: Out) -> None:
        if event.transport != self.transport:
            return
        expired: list[Drop] = []
        self._batch = self._store.oldest(self._config.push.batch, now, expired)
        out.extend(expired)
        self._enter(State.WAITING, out)
        if not self._batch:
            out.append(CloseTransport(self.transport, reason="done"))
            self._finished(now, out)
            return
        self.deadlines.set("push_timeout", now + self._config.push.response_timeout_s)
        purpose = "probe" if all(message.kind == "probe" for message in self._batch) else "payload"
        request = HTTPRequest("POST", "/messages", messages=self._batch, purpose=purpose)
        out.append(SendPacket(self.transport, request))

    def _acknowledged(self, now: float, response: HTTPResponse, out: Out) -> None:
        ids = read_ids(response.body)
        if response.status != 200 or ids is None:
            out.append(CloseTransport(self.transport, reason="refused"))
            self._failed(now, "refused", out)
            return
        self._store.acknowledge(ids)
        for message_id in ids:
            self._attempts.pop(message_id, None)
        self._batch = ()
        out.append(Note("ready", self.transport, "push"))
        out.append(CloseTransport(self.transport, reason="done"))
        fresh: list[Message] = []
        for reply in response.messages:
            out.append(Deliver(reply, "push"))
            fresh += self.publisher.acknowledged(now, reply.reply_to, out)
        self._finished(now, out)
        for message in fresh:
            self._take(now, message, out)

    def _finished(self, now: float, out: Out) -> None:
        self.transport = -1
        self.deadlines.clear("push_timeout")
        self._enter(State.IDLE, out)
        if len(self._store):
            self._push(now, "message", out)

    def _failed(self, now: float, reason: str, out: Out) -> None:
        self.transport = -1
        self.deadlines.clear("push_timeout")
        self._batch = ()
        self._enter(State.HOLDING, out)
        if not isinstance(self._config, StaticPush):
            return
        cause = "wrong_peer" if reason == "wrong_peer" else "unreachable"
        # an attempt is one of every message that waited for it
        for message in list(self._store.held()):
            self._attempts[message.id] = self._attempts.get(message.id, 0) + 1
            if self._attempts[message.id] >= self._config.attempts:
                self._store.pop(message.id)
                del self._attempts[message.id]
                out.append(Drop(message, cause))
        self.deadlines.set("push_retry", now + self._config.retry_s)

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        if event.transport == self.transport:
            self._failed(now, event.reason, out)
        else:
            self._api.lost(event.transport)

    # --- API --------------------------------------------------------------------------------------------------------------

    def _on_packet(self, now: float, event: PacketReceived, out: Out) -> None:
        packet = event.packet
        if event.transport == self.transport:
            if isinstance(packet, HTTPResponse):
                self._acknowledged(now, packet, out)
        elif isinstance(packet, HTTPRequest):
            self._serve(now, event.transport, packet, out)

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        self._api.accepted(event)

    def _serve(self, now: float, transport: int, request: HTTPRequest, out: Out) -> None:
        call = self._api.find(transport, request)
        if isinstance(call, HTTPResponse):
            out.append(SendPacket(transport, call))
        elif call is Call.UPDATE:
            if self.updates is None:
                out.append(SendPacket(transport, refusal(404, request)))
            else:
                self.updates.serve(transport, request, out)
        elif request.body is Unreadable.BODY:
            out.append(SendPacket(transport, refusal(400, request)))
        elif call is Call.HEARTBEAT:
            self._heartbeat(now, transport, request, out)
        elif call is Call.STATUS:
            entry = self._registry.get(self._context.vin)
            out.append(SendPacket(transport, status_response(self._context.vin, entry, request)))
        else:
            for message in request.messages:
                out.append(Deliver(message, "post"))
            out.append(SendPacket(transport, HTTPResponse(204, purpose=request.purpose)))

    def _heartbeat(self, now: float, transport: int, request: HTTPRequest, out: Out) -> None:
        heartbeat = read_heartbeat(request.body)
        if heartbeat is None:
            out.append(SendPacket(transport, refusal(400, request)))
            return
        address = heartbeat.address
        self._registry.heartbeat(now, self._context.vin, address, heartbeat.status)
        if isinstance(self._config, DDNSHeartbeat) and self._config.locate == "dns" and self._zone is not None:
            dns = self._context.server.dns
            self._zone.update(now, self._context.host, address, self._config.dns_ttl_s, dns.propagation_s)
        out.append(Note("heartbeat_accepted", detail=address))
        out.append(SendPacket(transport, HTTPResponse(204, purpose="heartbeat")))
        if self.state in (State.HOLDING, State.IDLE):
            self._push(now, "heartbeat", out)

    def _on_nothing(self, now: float, event: Any, out: Out) -> None:
        """Of no concern to this machine."""

    def _enter(self, state: State, out: Out) -> None:
        if state is self.state:
            return
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"push backend: {self.state} -> {state} is not in the table")
        self.state = state
        out.append(Note(state.value, self.transport))


#: input or packet type -> handler; after the class, so that the methods exist
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    MessageCreated: PushBackend._on_created,
    PacketReceived: PushBackend._on_packet,
    TransportOpened: PushBackend._on_opened,
    TransportLost: PushBackend._on_lost,
    TransportAccepted: PushBackend._on_accepted,
    WriteBlocked: PushBackend._on_nothing,
    WriteResumed: PushBackend._on_nothing,
    NameResolved: PushBackend._on_resolved,
    NameFailed: PushBackend._on_name_failed,
    AddressChanged: PushBackend._on_nothing,
    StoreChanged: PushBackend._on_store,
}
