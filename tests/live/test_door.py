"""The door before the broker: what passes is passed on, and each MQTT packet is noted with its exact place in TCP's stream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from sim.live.clock import Clock
from sim.live.mqtt_codec import Decoder, encode
from sim.live.packet.door import Door
from sim.live.packet.tls_records import RecordwiseTLSStream
from sim.live.payload import encode_message
from sim.machine import Message
from sim.protocols.mqtt_packets import V311, ConnAck, Connect, PubAck, Publish, Subscribe
from sim.protocols.tls import TLS
from tests.live.tls_ends import End, connect, of_server, of_vehicle, until

CLASSICAL = TLS(profile="classical")
ANSWER = encode(ConnAck(False), V311)


def publish(number: int, size: int) -> bytes:
    message = Message(number, "ota", "vehicle/VIN123/down/ota", size, 1, 0.0)
    body = encode_message(message)
    return encode(Publish(Message(number, "ota", message.topic, len(body), 1, 0.0, body=body), 1, number), V311)


class Broker:
    """Answers CONNECT, and each SUBSCRIBE with three messages in one write, one of them larger than a record of TLS."""

    MESSAGES = (publish(1, 100), publish(2, 50_000), publish(3, 40))

    def __init__(self) -> None:
        self.packets: list[object] = []
        self.ended: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = Decoder(None)
        self.writers.append(writer)
        try:
            while data := await reader.read(65_536):
                for packet in decoder.feed(data):
                    self.packets.append(packet)
                    if isinstance(packet, Connect):
                        writer.write(ANSWER)
                    elif isinstance(packet, Subscribe):
                        writer.write(b"".join(self.MESSAGES))
            self.ended.append("FIN")
        except ConnectionResetError:
            self.ended.append("RST")
        writer.close()


@contextlib.asynccontextmanager
async def doors(*, tls: bool, whole: bool = True) -> AsyncIterator[tuple[Door, Broker, int]]:
    """(the door, the broker behind it, the door's port)."""
    loop = asyncio.get_running_loop()
    broker = Broker()
    behind = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    server_side = of_server(CLASSICAL)
    secure = (lambda inner: RecordwiseTLSStream(server_side, inner)) if tls else None
    door = Door(Clock(loop, 0.0), "127.0.0.1", behind.sockets[0].getsockname()[1], secure, whole=whole)
    front = await loop.create_server(door.accept, "127.0.0.1", 0)
    try:
        yield door, broker, front.sockets[0].getsockname()[1]
    finally:
        door.stop()
        front.close()
        behind.close()


def test_places_are_those_of_the_records_that_really_passed():
    async def run() -> None:
        async with doors(tls=True) as (door, broker, port):
            stream, end = await connect(of_vehicle(CLASSICAL), port)
            sent = [stream.bytes_out]
            # one write of TCP for several records, and a packet that takes more than one record
            for data in (encode(Connect("me", True, 30), V311), publish(9, 40_000), encode(PubAck(7), V311)):
                end.transport.write(data)
                sent.append(stream.bytes_out)
            await until(lambda: bytes(end.got) == ANSWER, "CONNACK")
            received = [stream.bytes_in]
            end.transport.write(encode(Subscribe(1, (("#", 1),)), V311))
            await until(lambda: len(end.got) == len(ANSWER) + sum(map(len, Broker.MESSAGES)), "the messages")
            received.append(stream.bytes_in)
            (visit,) = door.visits
            assert [seen.end for seen in visit.came] == [*sent[1:], stream.bytes_out]
            assert visit.handshake_in == sent[0]
            assert visit.bytes_in == stream.bytes_out
            assert [type(packet) for packet in broker.packets] == [Connect, Publish, PubAck, Subscribe]
            connack, small, large, last = visit.went
            assert (connack.end, last.end) == tuple(received)
            # the first record has the first message and the beginning of the second
            assert small.end == received[0] + 16_384 + 22
            assert large.end == last.end
            assert (large.packet.message.id, large.packet.message.body) == (2, None)  # payloads are not kept
            assert (visit.near, visit.tls, visit.failed) == (stream.lower.get_extra_info("sockname"), True, "")

    asyncio.run(run())


def test_without_tls_places_are_those_of_the_plain_bytes():
    async def run() -> None:
        async with doors(tls=False) as (door, broker, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            hello = encode(Connect("me", True, 30), V311)
            writer.write(hello[:5])
            await asyncio.sleep(0.05)
            writer.write(hello[5:] + encode(Subscribe(1, (("#", 1),)), V311))
            total = len(ANSWER) + sum(map(len, Broker.MESSAGES))
            await asyncio.wait_for(reader.readexactly(total), 5.0)
            (visit,) = door.visits
            assert [seen.end for seen in visit.went] == [4, *(4 + sum(map(len, Broker.MESSAGES[: n + 1])) for n in range(3))]
            assert [seen.end for seen in visit.came] == [len(hello), len(hello) + len(encode(Subscribe(1, (("#", 1),)), V311))]
            assert visit.connect is not None
            assert visit.connect.client_id == "me"
            writer.close()
            await until(lambda: broker.ended == ["FIN"], "FIN at the broker")
            assert visit.ended_s == visit.ended_s
            assert not visit.ended_by_broker

    asyncio.run(run())


def test_who_ended_a_connection_is_known_and_both_ways_of_ending_pass():
    async def run() -> None:
        async with doors(tls=False) as (door, broker, port):
            for number, reset in enumerate((False, True)):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(encode(Connect("me", True, 30), V311))
                await asyncio.wait_for(reader.readexactly(len(ANSWER)), 5.0)
                theirs = broker.writers[number]
                if reset:
                    theirs.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    theirs.transport.abort()
                else:
                    theirs.close()
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(reader.read(), 5.0) == b""
                    assert not reset
                assert door.visits[number].ended_by_broker
                writer.close()

    asyncio.run(run())


def test_each_connect_is_told_once_and_nothing_more_is_kept_where_nothing_more_is_wanted():
    async def run() -> None:
        async with doors(tls=False, whole=False) as (door, _, port):
            told = []
            door.connected = told.append
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(encode(Connect("me", True, 30), V311))
            await asyncio.wait_for(reader.readexactly(len(ANSWER)), 5.0)
            writer.write(encode(Subscribe(1, (("#", 1),)), V311))
            await asyncio.wait_for(reader.readexactly(sum(map(len, Broker.MESSAGES))), 5.0)
            assert told == door.visits
            assert (len(told[0].came), told[0].went) == (1, [])
            writer.close()

    asyncio.run(run())


def test_a_program_that_does_not_speak_tls_is_refused_and_that_is_said():
    async def run() -> None:
        async with doors(tls=True) as (door, broker, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(encode(Connect("me", True, 30), V311))
            await asyncio.wait_for(reader.read(), 5.0)
            await until(lambda: bool(door.visits[0].failed), "the refusal")
            (visit,) = door.visits
            assert (visit.failed, visit.unreadable) == ("tls_failed", "it does not speak TLS, the server does")
            assert (visit.ended_by_broker, broker.packets) == (True, [])
            writer.close()

    asyncio.run(run())


def test_a_client_that_wants_another_certificate_gives_up_and_that_is_said():
    async def run() -> None:
        async with doors(tls=True) as (door, _, port):
            with contextlib.suppress(OSError):
                await connect(of_vehicle(CLASSICAL), port, expected="another.company.com", end=End())
            await until(lambda: door.visits[0].ended_s == door.visits[0].ended_s, "the end")
            assert door.visits[0].failed == "tls_failed"

    asyncio.run(run())
