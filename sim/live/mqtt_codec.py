"""The MQTT codec: typed packets to bytes and a stream of bytes to packets, for 3.1.1 and 5.

`encode(packet, version)` and `Decoder` are all that the rest of the lab uses. The representations are in mqtt_wire,
properties in mqtt_properties_codec, one packet each way in mqtt_encode and mqtt_decode, errors in mqtt_errors.
"""

from __future__ import annotations

from typing import Any

from sim.live.mqtt_decode import CONNECT_TYPE, decode
from sim.live.mqtt_encode import encode
from sim.live.mqtt_errors import InvalidPacket, MalformedPacket, ProtocolViolation, UnsupportedVersion
from sim.protocols.mqtt_packets import V5, V311
from sim.protocols.mqtt_reasons import PACKET_TOO_LARGE

__all__ = [
    "MAXIMUM_PACKET_BYTES",
    "Decoder",
    "InvalidPacket",
    "MalformedPacket",
    "ProtocolViolation",
    "UnsupportedVersion",
    "encode",
]

_DUP, _DUP_WITH_QOS0 = 0x08, 0x38
_PROTOCOL_NAME = b"\x00\x04MQTT"
#: fixed header and the largest remaining length (MQTT 3.1.1 2.2.3)
MAXIMUM_PACKET_BYTES = 5 + 268_435_455


class Decoder:
    """Cuts a stream of bytes into packets.

    `version` None: the first packet must be CONNECT, and the version is learned from it. A packet of more than
    `limit_bytes` is refused as soon as its length is known; after a CONNECT of MQTT 5 `limit5_bytes` counts, which CONNACK
    says (3.2.2.3.6).

    >>> Decoder(4).feed(bytes.fromhex("c000 d0"))
    [PingReq()]
    """

    __slots__ = ("_buffer", "_error", "_lenient", "_limit5_bytes", "_limit_bytes", "_wanted", "version")

    def __init__(
        self,
        version: int | None = None,
        *,
        limit_bytes: int = MAXIMUM_PACKET_BYTES,
        limit5_bytes: int = MAXIMUM_PACKET_BYTES,
        lenient: bool = False,
    ) -> None:
        """`lenient`: of a client that has to live with its broker; aedes hands on the publisher's DUP with QoS 0."""
        self.version = version
        self._lenient = lenient
        self._limit_bytes = limit_bytes
        self._limit5_bytes = min(limit5_bytes, limit_bytes)
        self._buffer = bytearray()
        self._wanted = 2  # bytes that have to be there before it is worth looking
        self._error: InvalidPacket | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a packet that is not complete."""
        return len(self._buffer)

    @property
    def error(self) -> InvalidPacket | None:
        """What was wrong with the stream; from then on nothing more is read from it."""
        return self._error

    def feed(self, data: bytes, now: float = 0.0) -> list[Any]:
        """Take bytes, return the packets that are complete, in order; `now` is when they came, for their messages.

        Raises InvalidPacket where the first thing to be read is no acceptable packet. Where good packets stand before it
        they are returned, `error` says what follows them, and the next call raises it.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return []
        packets: list[Any] = []
        try:
            self._read(packets, now)
        except InvalidPacket as error:
            self._error = error
            self._buffer.clear()
            if not packets:
                raise
        return packets

    def _read(self, packets: list[Any], now: float) -> None:
        buffer = self._buffer
        at = 0
        try:
            while True:
                header = self._header(at)
                if header is None:
                    self._wanted = 2
                    return
                body_at, end = header
                if end > len(buffer):
                    self._wanted = end - at
                    return
                kind = buffer[at] >> 4
                if self.version is None and kind != CONNECT_TYPE:
                    raise ProtocolViolation("the first packet is not CONNECT")  # [MQTT-3.1.0-1]
                if self.version is None and bytes(buffer[body_at : body_at + 6]) == _PROTOCOL_NAME and end > body_at + 6:
                    level = buffer[body_at + 6]  # known before the rest is checked: a bad CONNECT is answered in its version
                    self.version = level if level in (V311, V5) else None
                first = buffer[at]
                if self._lenient and first & 0xFE == _DUP_WITH_QOS0:
                    first &= ~_DUP
                packet = decode(first, bytes(buffer[body_at:end]), self.version or 0, now)
                at = end
                packets.append(packet)
        finally:
            del buffer[:at]

    def _header(self, at: int) -> tuple[int, int] | None:
        """Where the body begins and ends; None where the fixed header is not complete (MQTT 3.1.1 2.2.3)."""
        buffer = self._buffer
        length = 0
        for i in range(4):
            if at + 1 + i >= len(buffer):
                return None
            byte = buffer[at + 1 + i]
            length |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i and self.version == V5:
                    raise MalformedPacket("the remaining length has more bytes than it needs")  # MQTT 5 [MQTT-1.5.5-1]
                body_at = at + 2 + i
                if body_at + length - at > (self._limit5_bytes if self.version == V5 else self._limit_bytes):
                    raise ProtocolViolation(f"a packet of {body_at + length - at} bytes", PACKET_TOO_LARGE)
                return body_at, body_at + length
        raise MalformedPacket("the remaining length has more than four bytes")
