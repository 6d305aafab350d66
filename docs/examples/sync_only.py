"""A strategy written from the contract alone: one HTTPS exchange every so often, in which both sides hand over what waits.

No broker, no push, nothing kept open. Used by own_strategies.yaml; docs/own_strategy.md builds it in five steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sim.machine import (
    AddressChanged,
    CloseTransport,
    Deadlines,
    Deliver,
    IgnitionChanged,
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
from sim.protocols.http import Endpoint, HTTPClient, HTTPRequest, HTTPResponse
from sim.protocols.pending import PendingMessages
from sim.settings import setting
from sim.strategies.application import Application
from sim.strategies.config import Outbox as OutboxSettings
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import TransportIds
from sim.strategies.outbox import Outbox

Out = list[Any]


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Step 1: what the scenario file may set."""

    every_s: float = setting(20.0, "an exchange each", "this example", above=0.0)
    timeout_s: float = setting(10.0, "an exchange that takes longer has failed", "this example", above=0.0)
    batch: int = setting(20, "messages handed over in one response at most", "this example", at_least=1)
    store_limit: int = setting(1000, "messages kept for a vehicle", "this example", at_least=1)
    outbox: OutboxSettings = setting(factory=OutboxSettings, doc="local queue for uplink messages")


class State(Enum):
    """Step 2: the states, and which may follow which."""

    RESTING = "resting"
    SYNCING = "syncing"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RESTING: frozenset({State.SYNCING}),
    State.SYNCING: frozenset({State.RESTING}),
}


class SyncVehicle:
    """Step 3: the vehicle's machine. It owns an HTTP client, which shares its deadlines."""

    __slots__ = ("_application", "_config", "_http", "_known", "_outbox", "_path", "_sending", "deadlines", "state")

    def __init__(self, config: SyncSettings, context: Context) -> None:
        server = context.server
        self._config = config
        self.deadlines = Deadlines()
        self._http = HTTPClient(
            deadlines=self.deadlines, deadline="timeout", endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode="per_request", timeout_s=config.timeout_s, new_id=TransportIds(), purpose="poll",
            on_response=self._synced, on_failure=self._failed,
        )  # fmt: skip
        self._path = f"/api/v1/vehicles/{context.vin}/sync"
        self._application = Application(context.topic("up/response"))
        self._outbox = Outbox(config.outbox)
        self._sending: tuple[Message, ...] = ()
        self._known: list[int] = []  # ids that have arrived and that the server has not been told of
        self.state = State.RESTING
        # the phase is drawn for each drive: detection times must not be an artefact of t = 0
        self.deadlines.set("sync", context.start_s + config.every_s * context.phase("sync"))

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        _VEHICLE[type(event)](self, now, event, out)
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        while (name := self.deadlines.due(now)) is not None:
            if name == "sync":
                self.deadlines.set("sync", now + self._config.every_s)
                if self.state is State.RESTING:
                    self._enter(State.SYNCING, out)
                    self._ask(now, out)
            else:
                self._http.deadline_passed(now, out)
        return out

    def held(self) -> Iterator[Message]:
        """Messages that this machine still has a copy of: the ledger counts them as pending."""
        yield from self._sending
        yield from self._outbox.held()

    # --- the exchange ---------------------------------------------------------------------------------------------------

    def _ask(self, now: float, out: Out) -> None:
        self._sending = self._outbox.take(self._config.batch)
        body = {"ids": tuple(self._known), "batch": self._config.batch}
        request = HTTPRequest("POST", self._path, body, 8 * len(self._known), messages=self._sending)
        self._http.send(now, request, out)

    def _synced(self, now: float, response: HTTPResponse, out: Out) -> None:
        self._sending = ()
        self._known = []
        for message in response.messages:
            self._known.append(message.id)
            reply = self._application.receive(now, message, "poll", out)
            if reply is not None:
                self._outbox.put(reply, out)
        if self._known or len(self._outbox):
            self._ask(now, out)  # in the same exchange: acknowledge, answer, take the next batch
        else:
            self._enter(State.RESTING, out)

    def _failed(self, now: float, reason: str, out: Out) -> None:
        self._outbox.put_back(self._sending, out)
        self._sending = ()
        self._enter(State.RESTING, out)

    # --- inputs ---------------------------------------------------------------------------------------------------------

    def _on_created(self, now: float, event: MessageCreated, out: Out) -> None:
        self._outbox.put(event.message, out)

    def _on_packet(self, now: float, event: PacketReceived, out: Out) -> None:
        if event.transport == self._http.transport:
            self._http.received(now, event.packet, out)

    def _on_opened(self, now: float, event: TransportOpened, out: Out) -> None:
        if event.transport == self._http.transport:
            self._http.opened(now, out)

    def _on_lost(self, now: float, event: TransportLost, out: Out) -> None:
        if event.transport == self._http.transport:
            self._http.lost(now, event.reason, out)

    def _on_resolved(self, now: float, event: NameResolved, out: Out) -> None:
        self._http.name_resolved(now, event, out)

    def _on_name_failed(self, now: float, event: NameFailed, out: Out) -> None:
        self._http.name_failed(now, event, out)

    def _on_accepted(self, now: float, event: TransportAccepted, out: Out) -> None:
        out.append(CloseTransport(event.transport, abort=True, reason="refused"))

    def _on_nothing(self, now: float, event: Any, out: Out) -> None:
        """Of no concern to this machine."""

    def _enter(self, state: State, out: Out) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"sync: {self.state} -> {state} is not in the table")
        self.state = state
        out.append(Note(state.value))


class SyncServer:
    """Step 4: the server's machine. Each message is kept until the vehicle has said that it arrived."""

    uses_broker = False  # else the lab puts an MQTT broker beside it

    __slots__ = ("_store", "deadlines")

    def __init__(self, config: SyncSettings) -> None:
        self._store = PendingMessages(config.store_limit)
        self.deadlines = Deadlines()

    def handle(self, now: float, event: Any) -> Out:
        out: Out = []
        if type(event) is MessageCreated:
            out += self._store.put(event.message)
        elif type(event) is PacketReceived:
            request: HTTPRequest = event.packet
            self._store.acknowledge(request.body["ids"])
            out += [Deliver(message, "post") for message in request.messages]
            batch = self._store.oldest(request.body["batch"], now, out)
            out.append(SendPacket(event.transport, HTTPResponse(200, messages=batch)))
        return out

    def next_deadline(self) -> float:
        return self.deadlines.earliest

    def handle_deadline(self, now: float) -> Out:
        return []

    def held(self) -> Iterator[Message]:
        return self._store.held()


class SyncOnly:
    """Step 5: the class that `use: sync_only.py:SyncOnly` names."""

    Config = SyncSettings

    @staticmethod
    def vehicle(config: SyncSettings, context: Context) -> SyncVehicle:
        return SyncVehicle(config, context)

    @staticmethod
    def server(config: SyncSettings, context: Context) -> SyncServer:
        return SyncServer(config)


#: input type -> handler; after the class, so that the methods exist
_VEHICLE: dict[type, Callable[..., None]] = {
    MessageCreated: SyncVehicle._on_created,
    PacketReceived: SyncVehicle._on_packet,
    TransportOpened: SyncVehicle._on_opened,
    TransportLost: SyncVehicle._on_lost,
    TransportAccepted: SyncVehicle._on_accepted,
    NameResolved: SyncVehicle._on_resolved,
    NameFailed: SyncVehicle._on_name_failed,
    AddressChanged: SyncVehicle._on_nothing,
    IgnitionChanged: SyncVehicle._on_nothing,
    WriteBlocked: SyncVehicle._on_nothing,
    WriteResumed: SyncVehicle._on_nothing,
}
