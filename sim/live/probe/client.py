"""A client that sees every packet, may withhold acknowledgements, and may fall silent with its connection open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sim.live.mqtt_codec import Decoder, encode
from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V311,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Will,
)

P = TypeVar("P")
ANSWER_S = 5.0  # how long an answer may take before an exchange counts as not observed
QUIET_S = 0.7  # how long nothing must come to believe that nothing will


class NoAnswer(Exception):
    """The broker did not do what the exchange needs; the text says what was waited for."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The broker that is probed. `run` keeps client ids and topics of one probing apart from everything else."""

    host: str
    port: int
    run: str
    tls: ssl.SSLContext | None = None
    username: str | None = None  # None: every client gives its own id, as amqtt wants one
    password: bytes | None = None

    def topic(self, name: str) -> str:
        return f"probe/{self.run}/{name}"


class ProbeClient(asyncio.Protocol):
    """`received`: (instant, packet) in order; acknowledgements go out by themselves while `acknowledges` is on."""

    def __init__(self, peer: Peer, name: str, version: int = V311, *, acknowledges: bool = True) -> None:
        self.peer = peer
        self.client_id = f"probe-{peer.run}-{name}"
        self.version = version
        self.acknowledges = acknowledges
        self.received: list[tuple[float, Any]] = []
        self.connected_s = 0.0  # when CONNECT was sent
        self.sent_s = 0.0  # when the last packet was
        self.connack_s = 0.0  # CONNECT to CONNACK
        self.tcp_s = 0.0  # the TCP (and TLS) handshake before it
        self.closed = False
        self.undecoded = b""  # what could not be read as packets of the client's version
        self._decoder = Decoder(version, lenient=True)
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()
        self._packet_id = 0
        self._outstanding = 0

    # --- what asyncio tells -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        try:
            packets = self._decoder.feed(data)
        except ValueError:
            self.undecoded = data
            self.drop()
            self._over()
            return
        for packet in packets:
            self.received.append((now, packet))
            if self.acknowledges:
                self._acknowledge(packet)
            if isinstance(packet, PubAck | PubComp):
                self._outstanding -= 1
        self._news.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._over()

    def _over(self) -> None:
        self.closed = True
        self._news.set()

    def _acknowledge(self, packet: Any) -> None:
        if isinstance(packet, Publish) and packet.qos == 1:
            self.send(PubAck(packet.packet_id))
        elif isinstance(packet, Publish) and packet.qos == 2:
            self.send(PubRec(packet.packet_id))
        elif isinstance(packet, PubRel):
            self.send(PubComp(packet.packet_id))

    # --- doing --------------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """TCP and TLS. Raises NoAnswer."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.create_connection(lambda: self, self.peer.host, self.peer.port, ssl=self.peer.tls)
        except TimeoutError:
            raise NoAnswer(f"no connection within {ANSWER_S:g} s") from None
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
            raise NoAnswer(f"no connection: {why}") from None
        self.tcp_s = loop.time() - before

    async def connect(
        self,
        *,
        clean: bool = False,
        keep_alive_s: int = 60,
        will: Will | None = None,
        session_expiry_s: float | None = None,
        within_s: float = ANSWER_S,
    ) -> ConnAck:
        """Open, CONNECT and wait for the CONNACK, whatever it says. Raises NoAnswer."""
        await self.open()
        peer = self.peer
        username = peer.username if peer.username is not None else self.client_id
        self.send(
            Connect(
                self.client_id,
                clean,
                keep_alive_s,
                self.version,
                session_expiry_s,
                will=will,
                username=username,
                password=peer.password,
            )
        )
        self.connected_s = self.sent_s
        connack = await self.expect(ConnAck, within_s)
        self.connack_s = asyncio.get_running_loop().time() - self.connected_s
        return connack

    def send(self, packet: Any) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(packet, self.version))
            self.sent_s = asyncio.get_running_loop().time()

    async def subscribe(self, topic: str, qos: int = 2) -> int:
        """SUBSCRIBE; returns the code of SUBACK."""
        self._packet_id += 1
        self.send(Subscribe(self._packet_id, ((topic, qos),), self.version))
        return (await self.expect(SubAck)).codes[0]

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False, dup: bool = False) -> None:
        """PUBLISH; `settled` waits for the acknowledgements. Acknowledges PUBREC itself."""
        if qos:
            self._packet_id = self._packet_id % 65535 + 1
            self._outstanding += 1
        message = Message(0, "other", topic, len(payload), qos, 0.0, body=payload)
        self.send(Publish(message, qos, self._packet_id if qos else 0, dup, retain=retain, version=self.version))

    async def settled(self, at_most: int = 0, within_s: float = ANSWER_S) -> None:
        """Wait until no more than `at_most` messages of this client are unacknowledged. Raises NoAnswer."""
        for _, packet in [one for one in self.received if isinstance(one[1], PubRec)]:
            self._release(packet)
        await self._until(lambda: self._outstanding <= at_most, within_s, "acknowledgements of what was published")

    def _release(self, packet: PubRec) -> None:
        self.send(PubRel(packet.packet_id))
        self.received = [one for one in self.received if one[1] is not packet]

    def ping(self) -> None:
        self.send(PingReq())

    def fall_silent(self) -> None:
        """Nothing is read or sent any more, and the connection stays: to the broker as if the path had died."""
        self.acknowledges = False
        if self._transport is not None:
            self._transport.pause_reading()

    def listen_again(self) -> None:
        """Read what has come meanwhile; nothing is acknowledged."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def disconnect(self) -> None:
        """DISCONNECT, and wait until the broker has closed, so that what follows finds the session offline."""
        self.send(Disconnect())
        with contextlib.suppress(NoAnswer):
            await self._until(lambda: self.closed, 1.0, "FIN")
        self.drop()

    def drop(self) -> None:
        """Close the connection without DISCONNECT."""
        if self._transport is not None:
            self._transport.abort()

    # --- seeing -------------------------------------------------------------------------------------------------------------

    async def _until(self, done: Callable[[], bool], within_s: float, what: str) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + within_s
        while not done():
            if self.closed:
                raise NoAnswer(f"closed by the broker, no {what}")
            self._news.clear()
            try:
                async with asyncio.timeout_at(ends_s):
                    await self._news.wait()
            except TimeoutError:
                if done():
                    return
                raise NoAnswer(f"no {what} within {within_s:g} s") from None

    async def expect(self, kind: type[P], within_s: float = ANSWER_S) -> P:
        """The first packet of that type; it is taken out of `received`. Raises NoAnswer."""

        def found() -> bool:
            return any(isinstance(packet, kind) for _, packet in self.received)

        await self._until(found, within_s, kind.__name__.upper())
        at = next(i for i, (_, packet) in enumerate(self.received) if isinstance(packet, kind))
        return cast(P, self.received.pop(at)[1])

    async def quiet(self, for_s: float = QUIET_S, at_most_s: float = 20.0) -> list[Publish]:
        """Wait until nothing has come for a moment; returns the PUBLISH packets so far, in order."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + at_most_s
        seen = -1
        while not self.closed and loop.time() < ends_s and seen != len(self.received):
            seen = len(self.received)
            await asyncio.sleep(for_s)
        return self.published

    @property
    def published(self) -> list[Publish]:
        """The PUBLISH packets received, in order."""
        return [packet for _, packet in self.received if isinstance(packet, Publish)]

    def first_publish_s(self) -> float | None:
        """When the first PUBLISH arrived."""
        return next((at for at, packet in self.received if isinstance(packet, Publish)), None)


def names(packets: list[Publish]) -> list[str]:
    """Payloads as text, as the exchanges name their messages."""
    return [bytes(packet.message.body or b"").decode(errors="replace") for packet in packets]


def named_will(topic: str, name: str) -> Will:
    """A will whose payload says whose it is."""
    payload = name.encode()
    return Will(topic, len(payload), payload=payload)
