"""Real TLS: handshakes of each profile, who is refused, resumption, and what passes through."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import struct

import pytest

from sim.live import tls
from sim.live.certificates import write
from sim.live.wire import HandshakeFailed, reason_of
from sim.protocols.tls import TLS
from tests.live.tls_ends import PROFILES, SERVER, VEHICLE, End, Listener, connect, of_server, of_vehicle, pki, until

HYBRID = TLS(profile="hybrid")
GROUPS = {"classical": "X25519", "hybrid": "X25519MLKEM768", "pqc": "X25519MLKEM768"}


def named(settings: TLS) -> str:
    return f"{settings.profile} {settings.signature if settings.profile == 'pqc' else ''}"


@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize("settings", PROFILES, ids=named)
def test_a_handshake_of_each_profile(settings: TLS, mutual: bool):
    settings = dataclasses.replace(settings, mutual=mutual)

    async def run() -> None:
        async with Listener(of_server(settings)).listening() as server:
            stream, end = await connect(of_vehicle(settings), server.port)
            connection = stream._connection
            assert connection is not None
            assert stream.group.lower() == GROUPS[settings.profile].lower()
            assert connection.get_protocol_version_name() == "TLSv1.3"
            # leaf and intermediate are shown, the root is not
            assert len(connection.get_peer_cert_chain(as_cryptography=True) or ()) == 2
            assert (stream.peer, end.peer) == (SERVER, SERVER)
            end.transport.write(b"hello")
            await until(lambda: end.got == b"hello", "the echo")
            assert server.ends[0].peer == (VEHICLE if mutual else "")
            assert not stream.resumed

    asyncio.run(run())


def test_a_peer_of_another_name_is_a_wrong_peer():
    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            for expected in ("another.company.com", "52.78.123.46"):
                with pytest.raises(HandshakeFailed) as failed:
                    await connect(of_vehicle(HYBRID), server.port, expected=expected)
                assert reason_of(failed.value) == "wrong_peer"
            for good in (SERVER, SERVER.upper(), "ota-server.com", "52.78.123.45", ""):
                await connect(of_vehicle(HYBRID), server.port, expected=good)
            await until(lambda: len(server.ends) == 5, "those five")
            await asyncio.sleep(0.05)
            assert len(server.ends) == 5  # nobody is told of a connection that was refused

    asyncio.run(run())


def test_the_server_of_another_authority_is_refused():
    async def run() -> None:
        async with Listener(of_server(HYBRID, pki(other=1))).listening() as server:
            with pytest.raises(HandshakeFailed) as failed:
                await connect(of_vehicle(HYBRID), server.port)
            assert reason_of(failed.value) == "tls_failed"
            await until(lambda: server.streams[0].shaken.done(), "the server's end")
            assert not server.ends

    asyncio.run(run())


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(lambda: of_vehicle(dataclasses.replace(HYBRID, mutual=False)), id="shows no certificate"),
        pytest.param(lambda: dataclasses.replace(of_vehicle(HYBRID), client=_trusting_but_foreign()), id="of another authority"),
    ],
)
def test_a_client_without_a_good_certificate_is_refused(client):
    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            # TLS 1.3: the client's handshake is done before the server has looked at its certificate
            _stream, end = await connect(client(), server.port)
            await until(lambda: "lost" in end.told, "the refusal")
            assert end.error is not None
            assert reason_of(end.error) == "tls_failed"
            assert not server.ends

    asyncio.run(run())


def _trusting_but_foreign():
    """A client that trusts our authority and shows the certificate of another one."""
    made, foreign = pki(), pki(other=1)
    return of_vehicle(HYBRID, dataclasses.replace(made, vehicles=foreign.vehicles)).client


def test_a_client_of_another_group_is_refused():
    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            classical = of_vehicle(TLS(profile="classical"), pki())
            with pytest.raises(HandshakeFailed) as failed:
                await connect(classical, server.port)
            assert reason_of(failed.value) == "tls_failed"

    asyncio.run(run())


def test_a_vehicle_accepts_its_server_and_no_other_vehicle():
    async def run() -> None:
        async with Listener(of_vehicle(HYBRID), accepts_only=SERVER).listening() as vehicle:
            await connect(of_server(HYBRID), vehicle.port, expected=VEHICLE)
            await until(lambda: len(vehicle.ends) == 1, "the server")
            _stream, end = await connect(of_vehicle(HYBRID, vin="VIN9"), vehicle.port, expected=VEHICLE)
            await until(lambda: "lost" in end.told, "the refusal")
            assert len(vehicle.ends) == 1

    asyncio.run(run())


@pytest.mark.parametrize("ending", ["close", "abort"])
@pytest.mark.parametrize("after_death", [False, True])
@pytest.mark.parametrize("kind", ["off", "stateless", "stateful"])
@pytest.mark.parametrize("profile", ["hybrid", "pqc"])
def test_resumption(profile: str, kind: str, after_death: bool, ending: str):
    settings = TLS(profile=profile, resumption=kind, resume_after_death=after_death)
    expected = kind != "off" and (ending == "close" or after_death)

    async def run() -> None:
        vehicle = of_vehicle(settings)
        async with Listener(of_server(settings)).listening() as server:
            for number in range(4):
                stream, end = await connect(vehicle, server.port)
                assert stream.resumed is (expected and number > 0)
                end.transport.write(b"x")
                await until(lambda: bool(end.got), "the echo, which comes after the tickets")  # noqa: B023
                assert server.ends[-1].peer == VEHICLE  # a ticket stands for the certificate too
                getattr(end.transport, ending)()
                await until(lambda: "lost" in server.ends[-1].told, "the server's end")

    asyncio.run(run())


def test_a_session_is_resumed_while_the_old_connection_is_half_open():
    """The case of a new address: the server has not noticed yet, and never gets a close_notify."""
    settings = TLS(resumption="stateful", resume_after_death=True)

    async def run() -> None:
        vehicle = of_vehicle(settings)
        async with Listener(of_server(settings)).listening() as server:
            stream, end = await connect(vehicle, server.port)
            end.transport.write(b"x")
            await until(lambda: bool(end.got), "the echo")
            stream._end_session()  # as abort() does, but nothing reaches the server
            again, _end = await connect(vehicle, server.port)
            assert again.resumed
            assert "lost" not in server.ends[0].told

    asyncio.run(run())


def test_a_large_message_crosses_whole():
    message = bytes(range(256)) * 1024

    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            stream, end = await connect(of_vehicle(HYBRID), server.port)
            end.transport.write(message)
            await until(lambda: len(end.got) == len(message), "256 KiB and back")
            assert bytes(end.got) == message
            assert stream.bytes_out > len(message)

    asyncio.run(run())


def test_a_slow_reader_stops_the_writer():
    size = 32 * 1024 * 1024

    async def run() -> None:
        async with Listener(of_server(HYBRID), make=lambda peer: End(peer)).listening() as server:
            _stream, end = await connect(of_vehicle(HYBRID), server.port)
            end.transport.set_write_buffer_limits(256 * 1024, 64 * 1024)
            await until(lambda: bool(server.ends), "the server's end")
            reader = server.ends[0]
            reader.transport.pause_reading()
            end.transport.write(bytes(size))
            await asyncio.sleep(0.1)
            assert end.told == ["made", "paused"]
            assert end.transport.get_write_buffer_size() > 256 * 1024
            held = len(reader.got)
            await asyncio.sleep(0.1)
            assert len(reader.got) == held  # it reads nothing more, not even what has been decrypted
            reader.transport.resume_reading()
            await until(lambda: len(reader.got) == size, "the rest")
            assert end.told == ["made", "paused", "resumed"]

    asyncio.run(run())


def test_a_close_is_told_as_such_and_one_half_may_stay_open():
    async def run() -> None:
        halves = Listener(of_server(HYBRID), make=lambda peer: End(peer, stays_half_open=True))
        async with halves.listening() as server:
            stream, end = await connect(of_vehicle(HYBRID), server.port)
            end.transport.write(b"last words")
            end.transport.write_eof()
            await until(lambda: bool(server.ends) and "eof" in server.ends[0].told, "close_notify")
            assert server.ends[0].got == b"last words"
            server.ends[0].transport.write(b"still here")
            await until(lambda: end.got == b"still here", "the other direction")
            server.ends[0].transport.close()
            await until(lambda: "lost" in end.told and "lost" in server.ends[0].told, "both ends")
            assert end.error is None
            assert server.ends[0].error is None
            assert stream.closing

    asyncio.run(run())


def test_a_reset_is_told_as_a_reset():
    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            stream, end = await connect(of_vehicle(HYBRID), server.port)
            await until(lambda: bool(server.ends), "the server's end")
            opened = stream.lower.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
            await until(lambda: "lost" in server.ends[0].told, "RST")
            assert server.ends[0].error is not None
            assert reason_of(server.ends[0].error) == "reset"

    asyncio.run(run())


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x15\x03\x03\x00\x02\x02\x28", b"\x00"]
)
def test_noise_is_refused_and_harms_nobody(noise: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tls, "HANDSHAKE_AT_MOST_S", 0.2)

    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(noise)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()  # an alert perhaps, and the end
            writer.close()
            stream, _end = await connect(of_vehicle(HYBRID), server.port)
            assert stream.group
            assert len(server.ends) <= 1

    asyncio.run(run())


def test_a_client_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tls, "HANDSHAKE_AT_MOST_S", 0.1)

    async def run() -> None:
        async with Listener(of_server(HYBRID)).listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
            assert isinstance(server.streams[0].shaken.exception(), TimeoutError)

    asyncio.run(run())


def test_another_implementation_of_tls_is_understood(tmp_path):
    """Python's own ssl, linked to another OpenSSL, as a client with certificate; profile classical, since it has no ML-KEM."""
    settings = TLS(profile="classical")
    made = pki("classical")
    write(made, tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.load_cert_chain(tmp_path / "vmg.crt", tmp_path / "vmg.key")

    async def run() -> None:
        async with Listener(of_server(settings)).listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=SERVER)
            writer.write(b"hello")
            async with asyncio.timeout(5):
                assert await reader.readexactly(5) == b"hello"
            assert server.ends[0].peer == VEHICLE
            writer.close()

    asyncio.run(run())
