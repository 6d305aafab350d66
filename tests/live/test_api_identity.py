"""The API: a vehicle speaks for its own VIN alone, and nothing that anybody sends raises."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.live.clock import Clock
from sim.live.host import Host
from sim.live.http_codec import HTTPCodec
from sim.live.tls_parties import Parties
from sim.machine import Message, SendPacket, StoreChanged, TransportAccepted, TransportLost
from sim.machine import PacketReceived as Received
from sim.protocols.http import HTTPRequest, HTTPResponse, Unreadable
from sim.protocols.kept import Entry, Kept
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.record.journal import SERVER, Journal
from sim.record.recorder import Recorder
from sim.strategies.backend import HybridBackend
from sim.strategies.config import DDNSHeartbeat, Hybrid
from sim.strategies.context import Context
from sim.strategies.push_backend import PushBackend
from sim.strategies.vehicle_backends import VehicleBackends
from sim.strategies.workload import Workload
from tests.live import tls_ends

ROOT = "/api/v1/vehicles/VIN123"
MINE = "vin123.vehicles.ota-server.company.com"
THEIRS = "vin9.vehicles.ota-server.company.com"
BACKENDS = {"ddns_heartbeat": lambda c: PushBackend(DDNSHeartbeat(), c), "hybrid": lambda c: HybridBackend(Hybrid(), c)}
BEAT = {"ip": "10.2.5.200", "status": "online"}
both = pytest.mark.parametrize("use", list(BACKENDS))


def context(tls: TLS | None = None, vin: str = "VIN123") -> Context:
    server = Server(tls=tls or TLS())
    workload = Workload(ota=None, diagnostics=None, telemetry=None, probes=None)
    return Context(vin, server, workload, lambda _p: 1.0, lambda _p, _i: 0.5, 0.0, 1e6, "10.1.1.100")


def ask(machine: Any, method: str, path: str, body: Any = None, *, transport: int = 7, **more: Any) -> HTTPResponse:
    """The machine's answer to a request."""
    actions = machine.handle(1.0, Received(transport, HTTPRequest(method, path, body, **more)))
    (answer,) = [a.packet for a in actions if isinstance(a, SendPacket) and a.transport == transport]
    assert isinstance(answer, HTTPResponse)
    return answer


def served(use: str, peer: str = MINE, tls: TLS | None = None) -> Any:
    machine = BACKENDS[use](context(tls))
    machine.handle(0.0, TransportAccepted(7, 443, peer, "10.2.5.200"))
    return machine


@both
@pytest.mark.parametrize("rest", ["", "/heartbeat", "/telemetry"])
def test_a_vehicle_speaks_for_its_own_vin_alone(use: str, rest: str):
    method = "GET" if not rest else "POST"
    for peer, status in ((MINE, (200, 204)), (THEIRS, (403,)), ("", (403,)), ("ota-server.company.com", (403,))):
        assert ask(served(use, peer), method, ROOT + rest, BEAT).status in status
    # nor does it learn of others, whether they exist or not
    for vin in ("VIN9", "VIN124"):
        assert ask(served(use), method, f"/api/v1/vehicles/{vin}{rest}", BEAT).status == 403


@both
def test_what_is_refused_has_no_effect(use: str):
    machine = served(use, THEIRS)
    ask(machine, "POST", ROOT + "/heartbeat", BEAT)
    machine.handle(1.0, TransportAccepted(8, 443, MINE, ""))
    assert ask(machine, "GET", ROOT, transport=8).body["current_ip"] is None


def test_pending_messages_are_shown_to_their_vehicle_alone():
    machine = served("hybrid", THEIRS)
    machine._pending.put(Message(1, "ota", "t", 100, 1, 0.0))
    for path, method, body in (("", "GET", {"ack": "none"}), ("/ack", "POST", {"ids": [1]})):
        answer = ask(machine, method, ROOT + "/pending-messages" + path, body)
        assert (answer.status, answer.messages) == (403, ())
    machine.handle(1.0, TransportAccepted(8, 443, MINE, ""))
    assert [m.id for m in ask(machine, "GET", ROOT + "/pending-messages", transport=8).messages] == [1]
    assert ask(machine, "POST", ROOT + "/pending-messages/ack", {"ids": [1]}, transport=8).status == 204
    assert not list(machine.held())


@both
def test_a_transport_that_is_gone_speaks_for_nobody(use: str):
    machine = served(use)
    machine.handle(1.0, TransportLost(7, "closed"))
    assert ask(machine, "GET", ROOT).status == 403


@both
@pytest.mark.parametrize("tls", [TLS(profile="none"), TLS(mutual=False)], ids=["no TLS", "not mutual"])
def test_where_nobody_shows_a_certificate_the_path_is_believed(use: str, tls: TLS):
    assert ask(served(use, "", tls), "POST", ROOT + "/heartbeat", BEAT).status == 204
    assert ask(served(use, "", tls), "GET", "/api/v1/vehicles/VIN9").status == 404


@both
def test_the_status_of_a_vehicle(use: str):
    machine = served(use)
    body = {"vin": "VIN123", "current_ip": None, "last_heartbeat": None, "status": "unknown"}
    assert ask(machine, "GET", ROOT).body == body
    assert ask(machine, "POST", ROOT + "/heartbeat", BEAT).status == 204
    assert ask(machine, "GET", ROOT).body == body | {"current_ip": "10.2.5.200", "last_heartbeat": 1.0, "status": "online"}


@both
@pytest.mark.parametrize(
    "path", ["/", "/api/v1/vehicles/", "/api/v1/vehicles//heartbeat", "/api/v2/vehicles/VIN123", ROOT + "/", ROOT + "/x", "*"]
)
def test_unknown_paths(use: str, path: str):
    assert ask(served(use), "GET", path).status == 404


@both
@pytest.mark.parametrize(
    ("rest", "method", "allow"), [("", "POST", "GET"), ("/heartbeat", "GET", "POST"), ("/telemetry", "PUT", "POST")]
)
def test_wrong_methods(use: str, rest: str, method: str, allow: str):
    answer = ask(served(use), method, ROOT + rest, BEAT)
    assert (answer.status, answer.headers) == (405, (("Allow", allow),))


MALFORMED: list[Any] = [
    None, [], "x", 7, {}, {"ip": None}, {"ip": 1}, {"ip": "10.1.1"}, {"ip": "x" * 9999}, {"ip": "10.1.1.1\n"}, {"ip": "::1"},
    {"ip": "10.1.1.1", "status": 1}, {"ip": "10.1.1.1", "status": "x" * 999}, Unreadable.BODY,
]  # fmt: skip


@both
@pytest.mark.parametrize("body", MALFORMED, ids=repr)
def test_malformed_heartbeats(use: str, body: Any):
    assert ask(served(use), "POST", ROOT + "/heartbeat", body).status == 400


@pytest.mark.parametrize(
    "body", [{}, {"ids": 1}, {"ids": ["1"]}, {"ids": [1.0]}, {"ids": [True]}, {"ids": [0] * 10_001}, None, Unreadable.BODY]
)
def test_malformed_acknowledgements(body: Any):
    assert ask(served("hybrid"), "POST", ROOT + "/pending-messages/ack", body).status == 400


@pytest.mark.parametrize(
    ("query", "status", "ids"),
    [
        ("", 200, [1, 2, 3, 4]),
        ("?batch=2", 200, [1, 2]),
        ("?through=1&beyond=3", 200, [2, 4]),
        ("?beyond=1,2,4", 200, [3]),
        ("?other=x", 200, [1, 2, 3, 4]),
        ("?batch=0", 400, []),
        ("?batch=x", 400, []),
        ("?batch=" + "9" * 9999, 400, []),
        ("?beyond=1,", 400, []),
        ("?ack=maybe", 400, []),
    ],
)
def test_a_poll_by_query(query: str, status: int, ids: list[int]):
    machine = served("hybrid")
    for number in range(1, 5):
        machine._pending.put(Message(number, "ota", "t", 100, 1, 0.0))
    answer = ask(machine, "GET", ROOT + "/pending-messages" + query)
    assert (answer.status, [message.id for message in answer.messages]) == (status, ids)


def test_several_vehicles_behind_one_api():
    backends = {vin: HybridBackend(Hybrid(), context(vin=vin)) for vin in ("VIN123", "VIN9")}
    machine = VehicleBackends(backends)
    for transport, peer in ((7, MINE), (8, THEIRS)):
        machine.handle(0.0, TransportAccepted(transport, 443, peer, ""))
    theirs = "/api/v1/vehicles/VIN9"
    assert ask(machine, "POST", ROOT + "/heartbeat", BEAT).status == 204
    assert ask(machine, "POST", theirs + "/heartbeat", {"ip": "10.3.9.150"}, transport=8).status == 204
    assert ask(machine, "GET", ROOT).body["current_ip"] == "10.2.5.200"
    assert ask(machine, "GET", theirs, transport=8).body["current_ip"] == "10.3.9.150"
    assert ask(machine, "GET", theirs).status == 403
    assert ask(machine, "GET", "/api/v1/vehicles/VIN5").status == 403
    assert ask(machine, "GET", "/nowhere").status == 404
    # the store goes, and takes an answer with it
    withheld = (SendPacket(7, HTTPResponse(204, purpose="heartbeat")),)
    said = [a for a in machine.handle(2.0, StoreChanged(None, "refused", withheld)) if isinstance(a, SendPacket)]
    assert [(a.transport, a.packet.status) for a in said] == [(7, 503)]
    assert [ask(machine, "GET", path, transport=t).status for path, t in ((ROOT, 7), (theirs, 8))] == [503, 503]
    machine.handle(3.0, StoreChanged(Kept("VIN9", Entry("10.4.4.4", 2.5), (Message(5, "ota", "t", 100, 1, 2.0),))))
    assert ask(machine, "GET", theirs, transport=8).body["current_ip"] == "10.4.4.4"
    assert ask(machine, "GET", ROOT).status == 503
    assert [message.id for message in machine.held()] == [5]
    machine.handle(4.0, TransportLost(8, "closed"))
    assert ask(machine, "GET", theirs, transport=8).status == 403


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"batch": 0},
        {"batch": "1"},
        {"batch": 1e9},
        {"batch": 10**9},
        {"through": None},
        {"beyond": {}},
        {"ack": "maybe"},
        {"ack": []},
    ],
)
def test_malformed_polls(body: Any):
    assert ask(served("hybrid"), "GET", ROOT + "/pending-messages", body).status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["ip", "status", "ids", "batch", "ack", "through", "beyond", "x"]), inner, max_size=5)
    ),
    max_leaves=10,
)
PATHS = st.sampled_from(
    [ROOT, *(ROOT + rest for rest in ("/heartbeat", "/telemetry", "/pending-messages", "/pending-messages/ack"))]
)


@both
@given(st.lists(st.tuples(st.sampled_from(["GET", "POST", "PUT", "HEAD"]), PATHS | st.text(), JSON), max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_body_raises(use: str, requests: list[tuple[str, str, Any]]):
    machine = served(use)
    for method, path, body in requests:
        assert ask(machine, method, path, body).status in (200, 204, 400, 403, 404, 405)


# --- bytes ------------------------------------------------------------------------------------------------------------------


def codec() -> HTTPCodec:
    return HTTPCodec("server", "x", reads_uplink=True)


BODIES = [
    b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"a":1e999}', b"NaN", b"null", b'"\\ud800"',
]  # fmt: skip
BATCHES = [
    b"", b"\n", b"{}\n", b"[]\n", b'{"messages":1}\n', b'{"messages":[1]}\n', b'{"messages":[{"topic":"t","qos":0,"size":-1}]}\n',
    b'{"messages":[{"topic":"t","qos":1e999,"size":0}]}\n', b'{"messages":[{"topic":"t","qos":0,"size":5}]}\nabc',
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body"), [*(("application/json", b) for b in BODIES), *(("application/vnd.handover-lab.batch", b) for b in BATCHES)]
)
def test_an_unreadable_body_is_answered_with_400(kind: str, body: bytes):
    end = codec()
    head = f"POST {ROOT}/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    (request,) = end.feed(head.encode() + body)
    answer = ask(served("ddns_heartbeat"), request.method, request.path, request.body)
    assert answer.status == 400
    written = end.encode(answer)
    assert written.startswith(b"HTTP/1.1 400")
    assert end.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # the connection goes on


def test_what_is_no_http_is_answered_and_closed():
    for noise, status in (
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70000, b"431"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    ):
        end = codec()
        with pytest.raises(ValueError, match=r"\w"):
            end.feed(noise)
        assert end.farewell().split()[1] == status


def test_framing_of_answers():
    end = codec()
    (request,) = end.feed(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    written = end.encode(ask(served("hybrid"), request.method, request.path))
    head, _, rest = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert rest == b""
    assert end.is_over
    end = codec()
    two = f"POST {ROOT}/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n".encode() + b'{"ip":"10.1.1.1"}'
    (request,) = end.feed(two + two)
    assert request.body == {"ip": "10.1.1.1"}
    written = end.encode(HTTPResponse(204))
    assert b"Content-" not in written  # RFC 9110 8.6
    assert end.has_more
    assert end.feed(b"")[0].body == {"ip": "10.1.1.1"}


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_raise_but_value_errors(noise: bytes, framed: bool):
    end = codec()
    if framed:
        kind = b"application/vnd.handover-lab.batch" if noise[:1] > b"\x80" else b"application/json"
        noise = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(noise)) + noise
    try:
        for packet in end.feed(noise):
            end.encode(ask(served("hybrid"), packet.method, packet.path, packet.body, messages=packet.messages))
    except ValueError:
        end.farewell()


# --- sockets ------------------------------------------------------------------------------------------------------------------


@both
def test_over_real_sockets_with_real_certificates(use: str):
    made, tls = tls_ends.pki(), TLS()
    parties = Parties(tls_ends.SERVER, tls_ends.of_vehicle(tls, made), tls_ends.of_server(tls, made))

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def nowhere(*_arguments: Any) -> Any:
            raise OSError

        host = Host(
            BACKENDS[use](context()), SERVER, Clock(loop, 0.0), Journal(Recorder(trace=True)), connect=nowhere, resolve=nowhere,
            codec_for=lambda _port, _accepted: codec(),
        )  # fmt: skip
        listener = await loop.create_server(lambda: parties.server_accepts(lambda peer: host.accept(443, peer)), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]

        async def exchange(vin: str, *requests: bytes) -> bytes:
            _stream, end = await tls_ends.connect(tls_ends.of_vehicle(tls, made, vin), port)
            for request in requests:
                end.transport.write(request)
            await tls_ends.until(lambda: "eof" in end.told or "lost" in end.told, "the end")
            return bytes(end.got)

        body = json.dumps(BEAT).encode()
        beat = f"POST {ROOT}/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        status = f"GET {ROOT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        assert (await exchange("VIN9", status)).startswith(b"HTTP/1.1 403")
        said = await exchange("VIN123", beat + status)  # both at once: the second waits for the answer to the first
        assert said.startswith(b"HTTP/1.1 204")
        assert b'"current_ip": "10.2.5.200"' in said
        for noise in (b"\x00" * 2000 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", status.replace(b"GET", b"BREW")):
            assert (await exchange("VIN123", noise)).startswith(b"HTTP/1.1 4")
        assert host.failure is None
        await host.stop()
        listener.close()

    asyncio.run(run())
