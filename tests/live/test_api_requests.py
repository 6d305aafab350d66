"""The API on a port: raw requests and what they are answered with; slow, silent and greedy clients; noise."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.live.admission import Admission
from sim.live.http_codec import HTTPCodec
from sim.live.wire import Wire
from tests.live.served_api import ROOT, WITHIN_S, exchange, request, served, statuses

BEAT = b'{"ip": "10.2.5.200"}'
LIST = ROOT + "/pending-messages"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"8\r\n" + BEAT[:8] + b"\r\nc\r\n" + BEAT[8:] + b"\r\n0\r\n\r\n"

#: name -> (raw bytes, statuses of the answers, whether the connection is closed after them)
TABLE: dict[str, tuple[bytes, list[int], bool]] = {
    "status": (request(), [200], False),
    "heartbeat": (request("POST", ROOT + "/heartbeat", BEAT), [204], False),
    "pending": (request("GET", LIST), [200], False),
    "acknowledgement": (request("POST", LIST + "/ack", b'{"ids": [1]}'), [204], False),
    "telemetry": (request("POST", ROOT + "/telemetry", b""), [204], False),
    "a query is allowed": (request("GET", LIST + "?batch=1"), [200], False),
    "absolute target": (request("GET", "http://x" + ROOT), [200], False),
    "wrong method": (request("DELETE"), [405], False),
    "wrong method with body": (request("PUT", ROOT + "/heartbeat", BEAT), [405], False),
    "HEAD": (request("HEAD"), [405], False),
    "OPTIONS": (request("OPTIONS", "*"), [404], False),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", [404], False),
    "upgrade": (request("GET", ROOT, None, "Connection: Upgrade", "Upgrade: websocket"), [200], False),
    "unknown path": (request("GET", "/"), [404], False),
    "another vehicle": (request("GET", "/api/v1/vehicles/VIN9"), [404], False),
    "bad JSON": (request("POST", ROOT + "/heartbeat", b"{"), [400], False),
    "JSON of another shape": (request("POST", ROOT + "/heartbeat", b"[1]"), [400], False),
    "no length": (request("POST", ROOT + "/heartbeat"), [411], True),
    "no length, HTTP/1.0": (request("POST", ROOT + "/heartbeat", version="1.0"), [411], True),
    "chunked": (request("POST", ROOT + "/heartbeat", None, CHUNKED) + CHUNKS, [204], False),
    "chunked and a length": (request("POST", ROOT + "/heartbeat", BEAT, CHUNKED), [400], True),
    "chunks that are none": (request("POST", ROOT + "/heartbeat", None, CHUNKED) + b"zz\r\n", [400], True),
    "gzip": (request("POST", ROOT + "/heartbeat", None, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", [501], True),
    "two lengths": (request("POST", ROOT + "/heartbeat", BEAT, "Content-Length: 3"), [400], True),
    "length that is none": (request("POST", ROOT + "/heartbeat", None, "Content-Length: -1"), [400], True),
    "body too large": (request("POST", ROOT + "/heartbeat", None, "Content-Length: 5000"), [413], True),
    "body beyond numbers": (request("POST", ROOT + "/heartbeat", None, "Content-Length: " + "9" * 19), [413], True),
    "chunks too large": (request("POST", ROOT + "/heartbeat", None, CHUNKED) + b"1388\r\n" + b"x" * 5000, [413], True),
    "header too large": (request("GET", ROOT, None, "X: " + "a" * 20000), [431], True),
    "headers without end": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 60_000, [431], True),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", [400], True),
    "HTTP/1.0": (request("GET", ROOT, version="1.0"), [200], True),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], True),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400], True),
    "close": (request("GET", ROOT, None, "Connection: close"), [200], True),
    "100-continue": (request("POST", ROOT + "/heartbeat", BEAT, "Expect: 100-continue"), [100, 204], False),
    "100-continue, too large": (request("POST", ROOT + "/heartbeat", None, "Expect: 100-continue", "Content-Length: 5000"),
                                [413], True),
    "another expectation": (request("POST", ROOT + "/heartbeat", BEAT, "Expect: 200-ok"), [417], True),
    "pipelined": (request() + request("POST", ROOT + "/heartbeat", BEAT) + request("GET", LIST), [200, 204, 200], False),
    "pipelined, the second is none": (request() + b"\x00\r\n\r\n", [200, 400], True),
    "pipelined, the first closes": (request("GET", ROOT, None, "Connection: close") + request(), [200], True),
}  # fmt: skip


LAST = request("GET", "/last", None, "Connection: close")


@pytest.mark.parametrize("name", TABLE)
def test_requests(name: str):
    raw, expected, closes = TABLE[name]

    async def run() -> None:
        async with served(body_bytes=4096) as (port, _host):
            # in one piece, and as a slow network would bring it
            for parts in ([raw + LAST], [raw[:7], raw[7:25], raw[25:], LAST]):
                said = await exchange(port, *parts, pause_s=0.01 if len(parts) > 1 else 0.0)
                assert statuses(said) == expected + ([] if closes else [404])

    asyncio.run(run())


def test_what_the_answers_say():
    async def run() -> None:
        async with served() as (port, _host):
            assert b"\r\nAllow: GET\r\n" in await exchange(port, request("DELETE"), LAST)
            assert b"\r\nAllow: POST\r\n" in await exchange(port, request("GET", ROOT + "/heartbeat"), LAST)
            assert b"\r\nConnection: close\r\n" in await exchange(port, request("POST", ROOT + "/heartbeat"))
            # the client has said all it has to say; it still wants to hear
            assert statuses(await exchange(port, request(), eof=True)) == [200]

    asyncio.run(run())


# --- slow, silent, greedy ---------------------------------------------------------------------------------------------------


async def _hangs_for(port: int, first: bytes, drip: bytes = b"", at_most_s: float = 5.0) -> tuple[float, bytes]:
    """How long the server bears a client that sends this and then a byte of `drip` now and then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(first)
    said = b""
    while time.monotonic() - began < at_most_s:
        with contextlib.suppress(TimeoutError):
            data = await asyncio.wait_for(reader.read(65536), 0.02)
            if not data:
                break
            said += data
        writer.write(drip)
    writer.close()
    return time.monotonic() - began, said


@pytest.mark.parametrize(
    ("first", "drip", "said"),
    [
        (b"", b"", []),
        (b"GET / HTTP/1.1\r\n", b"X", [408]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"", [408]),
        (request("POST", ROOT + "/heartbeat", None, "Content-Length: 4000"), b"x", [408]),
        (request("POST", ROOT + "/heartbeat", None, CHUNKED), b"1\r\nx\r\n", [408]),
        (request() + request()[:20], b"", [200, 408]),
    ],
    ids=["silence", "drip of a head", "half a head", "drip of a body", "drip of chunks", "half a second request"],
)
def test_a_request_has_to_come_to_an_end(first: bytes, drip: bytes, said: list[int]):
    async def run() -> None:
        async with served(request_s=0.4) as (port, _host):
            took_s, heard = await _hangs_for(port, first, drip)
            assert statuses(heard) == said
            assert 0.3 < took_s < 2.9  # the time, and the farewell

    asyncio.run(run())


def test_a_slow_link_is_no_attack():
    """A large body has its time, however slowly it comes."""

    async def run() -> None:
        async with served(request_s=0.3, body_bytes_per_s=1000) as (port, _host):
            body = b'"' + b"x" * 998 + b'"'
            parts = [body[n : n + 100] for n in range(0, 1000, 100)]
            head = request("POST", ROOT + "/telemetry", None, "Content-Length: 1000", "Connection: close")
            assert statuses(await exchange(port, head, *parts, pause_s=0.07)) == [204]

    asyncio.run(run())


def test_a_connection_kept_open_ends_after_its_idle_time():
    async def run() -> None:
        async with served(idle_s=0.4) as (port, _host):
            took_s, heard = await _hangs_for(port, request())
            assert statuses(heard) == [200]
            assert 0.3 < took_s < 1.0

    asyncio.run(run())


def test_bodies_of_all_connections_together_are_bounded():
    async def run() -> None:
        async with served(all_bodies_bytes=10_000, request_s=2.0) as (port, _host):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _reader, writer in held:
                writer.write(request("POST", ROOT + "/telemetry", None, "Content-Length: 4000") + b"x" * 3900)
            await asyncio.sleep(0.1)
            assert [len(reader._buffer) > 0 for reader, _writer in held] == [False, False, True]
            assert statuses(bytes(held[2][0]._buffer)) == [413]
            for _reader, writer in held:
                writer.close()
            await asyncio.sleep(0.1)
            small = request("POST", ROOT + "/telemetry", b'"' + b"x" * 9000 + b'"', "Connection: close")
            assert statuses(await exchange(port, small)) == [204]  # what was held is free again

    asyncio.run(run())


def test_as_many_connections_as_there_are_places():
    async def run() -> None:
        admission = Admission(4)
        async with served(admission=admission) as (port, _host):
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
            await asyncio.sleep(0.05)
            assert await exchange(port, LAST) == b""  # all are taken, and none of them has been quiet for long
            assert (len(admission), admission.refused) == (4, 1)
            await asyncio.sleep(1.0)
            silent[0][1].write(b"GET")
            await asyncio.sleep(0.05)
            assert statuses(await exchange(port, LAST)) == [404]
            # the second was the one that had been quiet longest
            ended = [reader.at_eof() or reader.exception() is not None for reader, _writer in silent]
            assert ended == [False, True, False, False]
            for _reader, writer in silent:
                writer.close()
            await asyncio.sleep(0.05)
            assert len(admission) == 0

    asyncio.run(run())


def test_a_client_that_never_reads_stops_being_read(monkeypatch: pytest.MonkeyPatch):
    """It asks and asks; the answers fill the buffers, and the server asks the kernel for no more."""
    monkeypatch.setattr("sim.live.wire.WRITE_HIGH_BYTES", 64 * 1024)
    monkeypatch.setattr("sim.live.wire.WRITE_LOW_BYTES", 32 * 1024)

    async def run() -> None:
        async with served() as (port, host):
            few = socket.socket()
            few.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            few.connect(("127.0.0.1", port))
            _reader, writer = await asyncio.open_connection(sock=few, limit=1024)

            async def ask_on() -> None:
                while True:
                    writer.write(request() * 100)
                    await writer.drain()

            writer.write(request())
            ends = time.monotonic() + WITHIN_S
            asking: asyncio.Task[None] | None = None
            unsent = 0
            while unsent <= 64 * 1024:
                assert time.monotonic() < ends
                await asyncio.sleep(0.05)
                for wire in host._wires.values():
                    transport = wire._transport
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
                    unsent = transport.get_write_buffer_size()
                    asking = asking or asyncio.ensure_future(ask_on())
            await asyncio.sleep(0.3)
            assert 64 * 1024 < transport.get_write_buffer_size() < 128 * 1024
            assert not transport.is_reading()
            assert statuses(await exchange(port, LAST)) == [404]
            asking.cancel()
            writer.transport.abort()

    asyncio.run(run())


# --- noise ------------------------------------------------------------------------------------------------------------------

_WORDS = [
    b"GET ", b"POST ", ROOT.encode(), b"/heartbeat", b"/pending-messages", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n",
    b"Host: x\r\n", b"Content-Length: 20\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"14\r\n", b"\n",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Content-Type: application/vnd.handover-lab.batch\r\n", BEAT,
    b'{"messages": [{"topic": "t", "qos": 0, "size": 3}]}\nabc', b'{"ids": [1]}', b"\x00", b"\xff", request(),
    request("POST", ROOT + "/heartbeat", BEAT),
]  # fmt: skip
NOISE = st.lists(st.sampled_from(_WORDS) | st.binary(max_size=40), max_size=12).map(b"".join)


@given(st.lists(NOISE, min_size=1, max_size=6), st.sampled_from(["hybrid", "ddns_heartbeat"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_noise_on_the_port_harms_nobody(noise: list[bytes], use: str):
    async def send(port: int, data: bytes) -> None:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            writer.write_eof()
        writer.close()

    async def run() -> None:
        async with served(use) as (port, _host):
            await asyncio.gather(*(send(port, data) for data in noise))
            assert statuses(await exchange(port, request("GET", ROOT, None, "Connection: close"))) == [200]

    asyncio.run(run())


def test_a_peer_that_resets_while_it_is_hung_up_on_is_no_defect():
    """The kernel knows of the reset before the loop does: shutdown() then says that the socket is not connected."""

    class Reset(asyncio.Transport):
        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            pass

        def is_closing(self) -> bool:
            return False

        def write(self, data: object) -> None:
            pass

        def can_write_eof(self) -> bool:
            return True

        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def abort(self) -> None:
            pass

    async def case() -> list[str]:
        ends: list[str] = []
        codec = HTTPCodec("server", "x", reads_uplink=True)
        wire = Wire(codec, on_packet=lambda *_: None, on_lost=lambda _wire, reason: ends.append(reason))
        wire.connection_made(Reset())
        wire.data_received(b"\x16\x03\x01\r\n\r\n")
        return ends

    assert asyncio.run(case()) == ["protocol_error"]
