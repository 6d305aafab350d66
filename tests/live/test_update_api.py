"""An update over real HTTP/1.1: ranges, statuses, parts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.live.http_codec import HTTPCodec
from sim.machine import Create, Message, MessageCreated, PacketReceived, SendPacket, TransportAccepted
from sim.protocols.http import BodyPart, HTTPRequest, HTTPResponse
from sim.protocols.server import Server
from sim.strategies.backend import HybridBackend, MQTTBackend
from sim.strategies.config import DDNSHeartbeat, Hybrid
from sim.strategies.context import Context
from sim.strategies.push_backend import PushBackend
from sim.strategies.sources import RANGE_IDS
from sim.strategies.workload import OTA, Workload

PATH = "/api/v1/vehicles/VIN123/update"
MINE = "vin123.vehicles.ota-server.company.com"
ota = OTA(via="https_range", image_bytes=300_000, range_bytes=100_000)
WORK = Workload(ota=ota, probes=None)
CONTEXT = Context("VIN123", Server(), WORK, lambda _p: 1.0, lambda _p, _i: 0.5, 0.0, 1e6, "10.1.1.100")
BACKENDS = {
    "mqtt_persistent": lambda: MQTTBackend(CONTEXT),
    "hybrid": lambda: HybridBackend(Hybrid(), CONTEXT),
    "ddns_heartbeat": lambda: PushBackend(DDNSHeartbeat(), CONTEXT),
}
every = pytest.mark.parametrize("use", BACKENDS)


def announced(use, peer=MINE):
    machine = BACKENDS[use]()
    machine.handle(0.0, TransportAccepted(7, 443, peer, "10.1.1.100"))
    created = machine.handle(1.0, MessageCreated(Message(1, "ota", "vehicle/VIN123/down/ota", 512, 1, 1.0)))
    return machine, [action.message for action in created if isinstance(action, Create)]


def ask(machine, byte_range=None, path=PATH):
    actions = machine.handle(2.0, PacketReceived(7, HTTPRequest("GET", path, byte_range=byte_range)))
    return [action.packet for action in actions if isinstance(action, SendPacket) and action.transport == 7]


@every
def test_the_announcement_creates_a_message_for_each_range_and_keeps_them(use):
    machine, ranges = announced(use)
    assert [(message.id, message.size_bytes) for message in ranges] == [(RANGE_IDS + i, 100_000) for i in range(3)]
    assert {message.id for message in machine.held()} >= {message.id for message in ranges}


@every
def test_a_range_is_answered_with_its_bytes(use):
    machine, _ = announced(use)
    head, *parts = ask(machine, (150_000, 199_999))
    assert (head.status, head.parts_bytes, head.headers) == (206, 50_000, (("Content-Range", "bytes 150000-199999/300000"),))
    assert [(part.of - RANGE_IDS, part.offset, part.size_bytes, part.begins) for part in parts] == [(1, 50_000, 50_000, True)]
    assert ask(machine, (299_000, 10**9))[0].headers == (("Content-Range", "bytes 299000-299999/300000"),)
    head, *parts = ask(machine)
    assert (head.status, head.parts_bytes, sum(part.size_bytes for part in parts)) == (200, 300_000, 300_000)
    assert [part.of - RANGE_IDS for part in parts if part.begins] == [0, 1, 2]


@every
def test_what_is_not_there_or_not_the_callers_is_refused(use):
    machine, _ = announced(use)
    assert ask(machine, (300_000, 300_001))[0].status == 416
    assert ask(machine, (5, 4))[0].status == 416
    stranger, _ = announced(use, peer="vin9.vehicles.ota-server.company.com")
    assert ask(stranger, (0, 9))[0].status == 403
    silent = BACKENDS[use]()
    silent.handle(0.0, TransportAccepted(7, 443, MINE, "10.1.1.100"))
    assert ask(silent, (0, 9))[0].status == 404  # nothing was announced


@pytest.mark.parametrize("machine", [HybridBackend, MQTTBackend, PushBackend])
def test_without_such_updates_there_is_nothing_to_fetch(machine):
    context = dataclasses.replace(CONTEXT, workload=Workload(ota=None, probes=None))
    config = {HybridBackend: (Hybrid(),), PushBackend: (DDNSHeartbeat(),)}.get(machine, ())
    made = machine(*config, context)
    made.handle(0.0, TransportAccepted(7, 443, MINE, "10.1.1.100"))
    assert ask(made, (0, 9))[0].status == 404
    assert list(made.held()) == []


def test_a_range_and_its_parts_pass_over_the_wire():
    client, server = HTTPCodec("client", "server", reads_uplink=False), HTTPCodec("server", "server", reads_uplink=True)
    for byte_range in ((0, 99_999), (100_000, 150_000)):
        (request,) = server.feed(client.encode(HTTPRequest("GET", PATH, byte_range=byte_range)))
        assert (request.path, request.byte_range) == (PATH, byte_range)
        size = byte_range[1] + 1 - byte_range[0]
        found = client.feed(server.encode(HTTPResponse(206, parts_bytes=size, headers=(("Content-Range", "x"),))))
        for part in (size - 20_000, 20_000):
            found += client.feed(server.encode(BodyPart(part)))
        assert (found[0].status, found[0].parts_bytes) == (206, size)
        assert sum(part.size_bytes for part in found[1:]) == size
    (request,) = server.feed(client.encode(HTTPRequest("GET", PATH)))  # and the connection goes on with something else
    assert request.byte_range is None


@given(st.text(max_size=30).filter(lambda text: text.isprintable() and text.isascii()))
def test_any_range_header_is_read_or_ignored(value):
    server = HTTPCodec("server", "server", reads_uplink=True)
    text = f"GET {PATH} HTTP/1.1\r\nHost: server\r\nRange: {value.strip()}\r\n\r\n"
    (request,) = server.feed(text.encode())
    assert request.byte_range is None or request.byte_range[0] >= 0


@pytest.mark.parametrize(
    ("value", "found"),
    [("bytes=5-9", (5, 9)), ("bytes=5-", (5, 10**15)), ("bytes=-5", None), ("bytes=1-2,4-5", None), ("lines=1-2", None)],
)
def test_the_forms_of_a_range(value, found):
    server = HTTPCodec("server", "server", reads_uplink=True)
    (request,) = server.feed(f"GET {PATH} HTTP/1.1\r\nHost: server\r\nRange: {value}\r\n\r\n".encode())
    assert request.byte_range == found
