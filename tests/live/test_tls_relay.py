"""The terminating relay, hosts over TLS, and the model's table of flights against real ones."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sim.live.brokers import start_broker
from sim.live.certificates import write
from sim.live.clock import Clock
from sim.live.codecs import MQTTCodec
from sim.live.host import Host
from sim.live.http_codec import HTTPCodec
from sim.live.tls import TLSStream
from sim.live.tls_parties import Parties
from sim.live.tls_relay import TLSRelay
from sim.live.wire import Wire
from sim.machine import NEVER, AddressChanged, Message, OpenTransport, TransportAccepted, TransportLost, TransportOpened
from sim.protocols.mqtt_packets import V311, ConnAck, Connect, PubAck, Publish, SubAck, Subscribe
from sim.protocols.tls import TLS
from sim.record.journal import SERVER, VEHICLE, Journal
from sim.record.recorder import Recorder
from tests.live import tls_ends
from tests.live.tls_ends import End, connect, of_server, of_vehicle, pki, until

HYBRID = TLS(profile="hybrid")
_MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
_PUB = shutil.which("mosquitto_pub")


class Behind:
    """A plain server behind the relay; `dialled` counts who came."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.ends: list[End] = []

    def _end(self) -> End:
        self.ends.append(End(**self._options))
        return self.ends[-1]

    @contextlib.asynccontextmanager
    async def relayed(self) -> AsyncIterator[int]:
        server = await asyncio.get_running_loop().create_server(self._end, "127.0.0.1", 0)
        relay = TLSRelay(of_server(HYBRID), "127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            yield await relay.start()
        finally:
            relay.stop()
            server.close()
            await asyncio.sleep(0)


def test_the_relay_dials_after_the_handshake_and_for_nobody_it_refused():
    async def run() -> None:
        behind = Behind(echoes=True)
        async with behind.relayed() as port:
            _stream, refused = await connect(of_vehicle(dataclasses.replace(HYBRID, mutual=False)), port)
            await until(lambda: "lost" in refused.told, "the refusal")
            assert not behind.ends
            _stream, end = await connect(of_vehicle(HYBRID), port)
            end.transport.write(b"early")  # before the relay has dialled
            await until(lambda: end.got == b"early", "the echo")

    asyncio.run(run())


def test_a_short_packet_is_readable_before_the_long_one_that_was_read_with_it():
    # CONNACK and a chunk from one read of the broker: in one record the CONNACK would wait for 16 KiB of the chunk
    async def run() -> None:
        _stream, end = await connect(of_vehicle(HYBRID), await broker())
        reads: list[int] = []
        end.data_received = lambda data: (reads.append(len(data)), end.got.extend(data))  # type: ignore[method-assign]
        end.transport.write(b"go")
        await until(lambda: len(end.got) == 4 + 100_000, "the chunk")
        assert reads[0] <= 1300

    async def broker() -> int:
        class Broker(End):
            def data_received(self, data: bytes) -> None:
                self.transport.write(b"conn" + bytes(100_000))

        server = await asyncio.get_running_loop().create_server(
            lambda: TLSStream(of_server(HYBRID), lambda peer: Broker(peer)), "127.0.0.1", 0
        )
        return int(server.sockets[0].getsockname()[1])

    asyncio.run(run())


def test_the_relay_passes_the_end_on_in_both_directions():
    async def run() -> None:
        behind = Behind()
        async with behind.relayed() as port:
            _stream, end = await connect(of_vehicle(HYBRID), port)
            await until(lambda: bool(behind.ends) and bool(behind.ends[-1].told), "the dial")
            end.transport.close()
            await until(lambda: "lost" in behind.ends[0].told, "close_notify as FIN")
            assert behind.ends[0].told == ["made", "eof", "lost"]

            _stream, end = await connect(of_vehicle(HYBRID), port)
            await until(lambda: len(behind.ends) == 2 and bool(behind.ends[-1].told), "the dial")
            behind.ends[1].transport.close()
            await until(lambda: "lost" in end.told, "FIN as close_notify")
            assert end.error is None

            stream, end = await connect(of_vehicle(HYBRID), port)
            await until(lambda: len(behind.ends) == 3 and bool(behind.ends[-1].told), "the dial")
            opened = stream.lower.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
            await until(lambda: "lost" in behind.ends[2].told, "RST as RST")
            assert isinstance(behind.ends[2].error, ConnectionResetError)

            _stream, end = await connect(of_vehicle(HYBRID), port)
            await until(lambda: len(behind.ends) == 4, "the dial")
            opened = behind.ends[3].transport.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            behind.ends[3].transport.abort()
            await until(lambda: "lost" in end.told, "RST as RST")
            assert end.error is not None

    asyncio.run(run())


@pytest.mark.broker
@pytest.mark.skipif(_MOSQUITTO is None, reason="mosquitto is not installed: make deps")
def test_the_relay_in_front_of_mosquitto(tmp_path: Path):
    """A 256 KiB message at QoS 1 from one vehicle to another; the broker knows nothing of TLS."""
    body = bytes(range(256)) * 1024

    async def run() -> None:
        broker = await start_broker("mosquitto", tmp_path)
        relay = TLSRelay(of_server(HYBRID), broker.host, broker.port)
        try:
            port = await relay.start()
            got: dict[str, list[Any]] = {"a": [], "b": []}
            wires = {}
            for name, vin in (("a", "VIN123"), ("b", "VIN9")):
                wire = Wire(
                    MQTTCodec(V311, reads_uplink=True),
                    on_packet=lambda _w, p, n=name: got[n].append(p),
                    on_lost=lambda _w, _r: None,
                )
                stream = TLSStream(of_vehicle(HYBRID, vin=vin), lambda _peer, w=wire: w, client_of=tls_ends.SERVER)
                await asyncio.get_running_loop().create_connection(lambda s=stream: s, "127.0.0.1", port)
                await stream.shaken
                wire.send(Connect(f"client-{name}", True, 30))
                wires[name] = wire
                await until(lambda n=name: any(isinstance(p, ConnAck) for p in got[n]), "CONNACK")
            wires["b"].send(Subscribe(1, (("t", 1),)))
            await until(lambda: any(isinstance(p, SubAck) for p in got["b"]), "SUBACK")
            wires["a"].send(Publish(Message(0, "other", "t", len(body), 1, 0.0, uplink=True, body=body), 1, 7))
            await until(lambda: any(isinstance(p, PubAck) for p in got["a"]), "PUBACK")
            await until(lambda: any(isinstance(p, Publish) for p in got["b"]), "the message")
            arrived = next(p for p in got["b"] if isinstance(p, Publish))
            assert bytes(arrived.message.body) == body
            for wire in wires.values():
                wire.close(abort=False)
        finally:
            relay.stop()
            await broker.stop()

    asyncio.run(run())


@pytest.mark.broker
@pytest.mark.skipif(_MOSQUITTO is None or _PUB is None, reason="mosquitto and its clients are not installed: make deps")
def test_mosquitto_pub_with_the_files_of_the_seed(tmp_path: Path):
    """The seed's command, profile classical: --cafile ca.crt --cert vmg.crt --key vmg.key; without those it is refused."""
    settings = TLS(profile="classical")
    files = tmp_path / "pki"
    write(pki("classical"), files)

    async def publish(port: int, *certificate: str) -> tuple[int, str]:
        command = [
            str(_PUB),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "--cafile",
            str(files / "ca.crt"),
            *certificate,
            "-t",
            "vehicle/VIN123/status",
        ]
        process = await asyncio.create_subprocess_exec(
            *command, "-q", "1", "-m", '{"status":"online"}', stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), 20)
        except TimeoutError:
            process.kill()
            raise
        return process.returncode or 0, said.decode()

    async def run() -> None:
        broker = await start_broker("mosquitto", tmp_path / "broker")
        relay = TLSRelay(of_server(settings), broker.host, broker.port)
        try:
            port = await relay.start()
            code, said = await publish(port, "--cert", str(files / "vmg.crt"), "--key", str(files / "vmg.key"))
            assert (code, said) == (0, "")
            code, said = await publish(port)
            assert code != 0, said
        finally:
            relay.stop()
            await broker.stop()

    asyncio.run(run())


class Idle:
    """A machine that notes its inputs and opens one transport."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def handle(self, _now: float, event: Any) -> list[Any]:
        self.inputs.append(event)
        return [OpenTransport(1, "127.0.0.1", 443, tls_ends.SERVER, "poll")] if isinstance(event, AddressChanged) else []

    def next_deadline(self) -> float:
        return NEVER


@pytest.mark.parametrize("certificate_of_the_server", ["its own", "another's"])
def test_hosts_over_tls(certificate_of_the_server: str):
    made = pki()
    settings = TLS(resumption="stateless")
    wrong = certificate_of_the_server == "another's"
    served = dataclasses.replace(made, server=made.vehicles["VIN9"]) if wrong else made
    parties = Parties(tls_ends.SERVER, of_vehicle(settings, made), of_server(settings, served))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock, journal = Clock(loop, 0.0), Journal(Recorder(trace=True))
        machines = Idle(), Idle()

        async def dial(_address: str, _port: int, protocol: Any, _user_timeout_s: float = 0.0) -> None:
            await loop.create_connection(protocol, "127.0.0.1", listener.sockets[0].getsockname()[1])

        async def resolve(_name: str) -> str:
            return ""

        def codec(_port: int, accepted: bool) -> HTTPCodec:
            return HTTPCodec("server" if accepted else "client", "x", reads_uplink=True)

        vehicle = Host(
            machines[0], VEHICLE, clock, journal, connect=dial, resolve=resolve, codec_for=codec, secure=parties.vehicle_opens
        )
        server = Host(machines[1], SERVER, clock, journal, connect=dial, resolve=resolve, codec_for=codec)
        listener = await loop.create_server(lambda: parties.server_accepts(lambda peer: server.accept(443, peer)), "127.0.0.1", 0)
        vehicle.input(AddressChanged("10.1.1.100"))
        await until(lambda: len(machines[0].inputs) > 1, "the transport")
        row = journal.row(VEHICLE, 1)
        assert row is not None
        assert row.tcp_s > 0.0
        if wrong:
            assert machines[0].inputs[1] == TransportLost(1, "wrong_peer")
            assert not machines[1].inputs
        else:
            assert machines[0].inputs[1] == TransportOpened(1, False)
            assert row.opened_s > row.tcp_s
            await until(lambda: bool(machines[1].inputs), "the server's machine")
            assert machines[1].inputs[0] == TransportAccepted(1_000_001, 443, tls_ends.VEHICLE, "127.0.0.1")
            assert row.bytes_up > 3000
        await vehicle.stop()
        await server.stop()
        listener.close()
        assert vehicle.failure is None
        assert server.failure is None

    asyncio.run(run())


def test_the_table_of_the_model_has_the_flights_of_real_handshakes():
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    try:
        from tls_flights import PAGE, SETTINGS, TOLERANCE, compared, worst_of
    finally:
        sys.path.pop(0)
    seen = 0
    for settings, expected, real in compared():
        assert abs(worst_of(expected, real)) <= TOLERANCE, (settings, expected, real)
        seen += 1
    assert seen == 2 * len(SETTINGS)
    page = PAGE.read_text(encoding="utf-8")
    assert sum(line.startswith(("| classical", "| hybrid", "| pqc")) for line in page.splitlines()) == seen
