"""The pushing server as a machine: names that are resolved elsewhere, and what it keeps in a store outside."""

from __future__ import annotations

from typing import Any

import pytest

from sim.machine import (
    Drop,
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
)
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.kept import Entry, Kept
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.strategies.config import DDNSHeartbeat
from sim.strategies.push_backend import PushBackend, State
from sim.strategies.workload import Diagnostics, Workload
from tests.strategies.by_hand import context

HOST = "vin123.vehicles.ota-server.company.com"
HEARTBEAT = "/api/v1/vehicles/VIN123/heartbeat"


def machine(**config: Any) -> PushBackend:
    workload = Workload(ota=None, diagnostics=Diagnostics(timeout_s=10.0), telemetry=None, probes=None)
    return PushBackend(DDNSHeartbeat(**config), context(workload, server=Server(tls=TLS(profile="none"))))


def chunk(message_id: int, kind: str = "ota", created_s: float = 0.0) -> Message:
    return Message(message_id, kind, "t", 100, 1, created_s)


def of(actions: list[Any], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def beat(backend: PushBackend, now: float, address: str = "10.2.5.200") -> list[Any]:
    backend.handle(now, TransportAccepted(7, 443))
    return backend.handle(now, PacketReceived(7, HTTPRequest("POST", HEARTBEAT, {"ip": address})))


# --- names ------------------------------------------------------------------------------------------------------------------


def resolving() -> PushBackend:
    backend = machine(locate="dns")
    backend.resolve_names()
    (asked,) = of(backend.handle(1.0, MessageCreated(chunk(1))), ResolveName)
    assert (asked.name, asked.transport) == (HOST, -1)
    assert backend.state is State.RESOLVING
    return backend


def test_a_name_is_resolved_before_the_vehicle_is_called():
    backend = resolving()
    assert backend.handle(1.1, MessageCreated(chunk(2))) == []  # one question at a time
    assert backend.handle(1.1, NameResolved("another.example", "10.9.9.9")) == []
    (opened,) = of(backend.handle(1.2, NameResolved(HOST, "10.2.5.200")), OpenTransport)
    assert (opened.address, opened.trigger, opened.peer) == ("10.2.5.200", "message", HOST)
    (sent,) = of(backend.handle(1.3, TransportOpened(opened.transport)), SendPacket)
    assert [message.id for message in sent.packet.messages] == [1, 2]


def test_a_name_that_does_not_exist_is_asked_for_again_at_the_next_heartbeat():
    backend = resolving()
    assert of(backend.handle(1.2, NameFailed(HOST, "no_address")), OpenTransport) == []
    assert backend.state is State.HOLDING
    assert backend.handle(1.3, NameResolved(HOST, "10.2.5.200")) == []  # too late
    assert len(of(beat(backend, 30.0), ResolveName)) == 1


def test_a_resolver_that_says_nothing():
    backend = resolving()
    assert backend.next_deadline() == 11.0  # the timeout of a connection, in which the question is
    assert of(backend.handle_deadline(11.0), OpenTransport) == []
    assert backend.state is State.HOLDING


# --- the store ----------------------------------------------------------------------------------------------------------------


class Keeps:
    """A keeper that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def heartbeat(self, vin: str, entry: Entry) -> None:
        self.told.append((vin, entry.address))

    def put(self, message: Message) -> None:
        self.told.append(message.id)

    def remove(self, message_id: int) -> None:
        self.told.append(-message_id)


def test_every_change_is_told():
    backend = machine()
    keeper = Keeps()
    backend.keep_in(keeper)
    backend.handle(1.0, MessageCreated(chunk(1)))
    (opened,) = of(beat(backend, 2.0), OpenTransport)
    backend.handle(2.1, TransportOpened(opened.transport))
    backend.handle(2.2, PacketReceived(opened.transport, HTTPResponse(200, {"ids": [1]})))
    backend.handle(3.0, MessageCreated(chunk(2, "diagnostics", 3.0)))
    backend.handle(3.0, MessageCreated(chunk(3)))
    backend.handle(4.0, TransportLost(backend.transport, "reset"))
    backend.handle_deadline(13.0)  # the request is withdrawn
    assert keeper.told == [1, ("VIN123", "10.2.5.200"), -1, 2, 3, -2]


def test_what_was_kept_is_pushed_after_a_restart():
    backend = machine()
    kept = Kept("VIN123", Entry("10.2.5.200", -5.0), (chunk(1), chunk(2, "diagnostics", 0.5)))
    (opened,) = of(backend.handle(1.0, StoreChanged(kept)), OpenTransport)
    assert opened.address == "10.2.5.200"
    assert backend.next_deadline() == 10.5  # the request has its timeout again
    assert [message.id for message in backend.held()] == [1, 2]


def test_an_address_that_another_server_has_learned_sets_the_messages_off():
    backend = machine()
    backend.handle(1.0, MessageCreated(chunk(1)))
    assert backend.state is State.HOLDING
    known = Kept("VIN123", Entry("10.2.5.200", 1.5), (chunk(1),))
    (opened,) = of(backend.handle(2.0, StoreChanged(known)), OpenTransport)
    assert opened.trigger == "heartbeat"
    backend.handle(3.0, TransportLost(opened.transport, "timed_out"))
    assert of(backend.handle(4.0, StoreChanged(known)), OpenTransport) == []  # nothing new: it waits for a heartbeat


@pytest.mark.parametrize(("emptied", "causes"), [(True, ["store_failover"]), (False, [])])
def test_messages_that_are_gone_from_the_store(emptied: bool, causes: list[str]):
    """Acknowledged at another server, or lost with the store."""
    backend = machine()
    backend.handle(1.0, MessageCreated(chunk(1)))
    backend.handle(1.0, MessageCreated(chunk(2)))
    drops = of(backend.handle(2.0, StoreChanged(Kept("VIN123", None, (chunk(2),), emptied))), Drop)
    assert [(drop.message.id, drop.cause) for drop in drops] == [(1, cause) for cause in causes]
    assert [message.id for message in backend.held()] == [2]


def test_while_the_store_is_out_of_reach():
    backend = machine()
    withheld = (SendPacket(7, HTTPResponse(204, purpose="heartbeat")),)
    actions = backend.handle(1.0, StoreChanged(None, "refused", withheld))
    assert [note.kind for note in of(actions, Note)] == ["store_lost"]
    (sent,) = of(actions, SendPacket)
    assert (sent.transport, sent.packet.status, sent.packet.purpose) == (7, 503, "heartbeat")
    assert [sent.packet.status for sent in of(beat(backend, 2.0), SendPacket)] == [503]
    assert [note.kind for note in of(backend.handle(3.0, StoreChanged(Kept("VIN123"))), Note)] == ["store_regained"]
    assert [sent.packet.status for sent in of(beat(backend, 4.0), SendPacket)] == [204]
