"""A client that speaks over a socket, packet by packet, so that a test sees everything and can say anything."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, TypeVar

from sim.live.mqtt_codec import Decoder, encode
from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

P = TypeVar("P")
PATIENCE_S = 2.5  # how long an answer may take before a test fails
QUIET_S = 0.2  # how long nothing must come for a test to believe that nothing will


class WireClient:
    """`received` are the packets not yet asked for, in order. Acknowledgements go out by themselves if it `acknowledges`."""

    def __init__(self, port: int, version: int = V311, *, acknowledges: bool = True) -> None:
        self.version = version
        self.acknowledges = acknowledges
        self.received: list[Any] = []
        self.closed = False
        self.connack: ConnAck | None = None
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder(version)
        self._packet_id = 0

    # --- sending ---

    def send(self, packet: Any) -> None:
        self.send_bytes(encode(packet, self.version))

    def send_bytes(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the broker may have closed already; the test sees that when it reads
            self._socket.sendall(data)

    def connect(self, client_id: str, *, clean: bool = True, keep_alive_s: int = 60, expects: int = 0, **more: Any) -> WireClient:
        """CONNECT and wait for CONNACK with the code `expects`. `more` are other fields of Connect."""
        self.send(Connect(client_id, clean, keep_alive_s, self.version, **more))
        self.connack = self.expect(ConnAck)
        assert self.connack.code == expects, self.connack
        return self

    def publish(
        self,
        topic: str,
        payload: bytes = b"m",
        qos: int = 0,
        *,
        retain: bool = False,
        properties: dict | None = None,
        wait: bool = True,
    ) -> int:
        """PUBLISH and, with QoS 1 and 2, wait for the end of the exchange; returns the packet identifier."""
        packet_id = self.next_id() if qos else 0
        message = Message(0, "other", topic, len(payload), qos, 0.0, body=payload)
        self.send(Publish(message, qos, packet_id, retain=retain, version=self.version, properties=properties))
        if qos and wait:
            if qos == 1:
                assert self.expect(PubAck).packet_id == packet_id
            else:
                assert self.expect(PubRec).packet_id == packet_id
                self.send(PubRel(packet_id))
                assert self.expect(PubComp).packet_id == packet_id
        return packet_id

    def subscribe(self, *filters: tuple[str, int] | str, properties: dict | None = None) -> tuple[int, ...]:
        """SUBSCRIBE and return the codes of SUBACK; a filter alone asks for QoS 2."""
        wanted = tuple(one if isinstance(one, tuple) else (one, 2) for one in filters)
        self.send(Subscribe(self.next_id(), wanted, self.version, properties))
        return self.expect(SubAck).codes

    def unsubscribe(self, *filters: str) -> tuple[int, ...]:
        self.send(Unsubscribe(self.next_id(), filters, self.version))
        return self.expect(UnsubAck).codes

    def disconnect(self, code: int = 0, properties: dict | None = None) -> None:
        """DISCONNECT, and wait until the broker has closed, so that what follows finds the session offline."""
        self.send(Disconnect(code, properties))
        self.wait_until_closed()
        self._socket.close()

    def vanish(self) -> None:
        """The connection is lost without DISCONNECT."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.close()

    def next_id(self) -> int:
        self._packet_id += 1
        return self._packet_id

    # --- receiving ---

    def _read(self, until_s: float) -> bool:
        """Read once; False where nothing came in time or the broker has closed."""
        left_s = until_s - time.monotonic()
        if self.closed or left_s <= 0:
            return False
        self._socket.settimeout(left_s)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        for packet in self._decoder.feed(data):
            self.received.append(packet)
            if self.acknowledges:
                self._acknowledge(packet)
        return True

    def _acknowledge(self, packet: Any) -> None:
        if isinstance(packet, Publish) and packet.qos == 1:
            self.send(PubAck(packet.packet_id))
        elif isinstance(packet, Publish) and packet.qos == 2:
            self.send(PubRec(packet.packet_id))
        elif isinstance(packet, PubRel):
            self.send(PubComp(packet.packet_id))

    def expect(self, kind: type[P], within_s: float = PATIENCE_S) -> P:
        """The next packet of that type; those of other types stay for later."""
        until_s = time.monotonic() + within_s
        while True:
            for i, packet in enumerate(self.received):
                if isinstance(packet, kind):
                    del self.received[i]
                    return packet
            if not self._read(until_s):
                raise AssertionError(f"no {kind.__name__} within {within_s} s{', closed' * self.closed}: {self.received}")

    def expect_payloads(self, *payloads: bytes, within_s: float = PATIENCE_S) -> list[Publish]:
        """That many PUBLISH packets come, with these payloads in this order, and then none for a moment."""
        found = [self.expect(Publish, within_s) for _ in payloads]
        assert [packet.message.body for packet in found] == list(payloads)
        assert self.quiet() == []
        return found

    def quiet(self, for_s: float = QUIET_S) -> list[Publish]:
        """PUBLISH packets that come within a moment, and those that were not asked for."""
        until_s = time.monotonic() + for_s
        while self._read(until_s):
            pass
        found = [packet for packet in self.received if isinstance(packet, Publish)]
        self.received = [packet for packet in self.received if not isinstance(packet, Publish)]
        return found

    def wait_until_closed(self, within_s: float = PATIENCE_S) -> None:
        until_s = time.monotonic() + within_s
        while not self.closed:
            if not self._read(until_s):
                assert self.closed, f"not closed within {within_s} s: {self.received}"

    def bytes_until_closed(self) -> bytes:
        """What the broker sends until it closes, not decoded."""
        found = b""
        self._socket.settimeout(PATIENCE_S)
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(65536):
                found += data
        self.closed = True
        return found

    def refused_with(self, within_s: float = PATIENCE_S) -> int | None:
        """Reason code of the DISCONNECT that comes before the broker closes; None where it closes without one."""
        self.wait_until_closed(within_s)
        found = [packet for packet in self.received if isinstance(packet, Disconnect)]
        return found[0].code if found else None


def connected(port: int, client_id: str, version: int = V311, *, acknowledges: bool = True, **more: Any) -> WireClient:
    """A client whose CONNECT was accepted."""
    return WireClient(port, version, acknowledges=acknowledges).connect(client_id, **more)


def connected5(port: int, client_id: str, *, acknowledges: bool = True, **more: Any) -> WireClient:
    """The same with MQTT 5."""
    return connected(port, client_id, V5, acknowledges=acknowledges, **more)
