"""What the broker's side sees of one connection of the vehicle: when it came and went, and its MQTT packets both ways.

Each packet is noted with its place in the bytes that TCP carries. That place leads to the instants at which the vehicle's
interface sent or received it (sim.live.observed.flows), which nobody could read off the encrypted bytes themselves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sim.live.mqtt_decode import CONNECT_TYPE, decode
from sim.live.mqtt_errors import InvalidPacket
from sim.live.payload import decode_message
from sim.protocols.mqtt_packets import V311, Connect, Publish

_PACKET_AT_MOST_BYTES = 64 * 1024 * 1024  # kept while it comes; after a longer one nothing more is read
_TLS_RECORD_BYTES = 16_384  # plain text in a record at most (RFC 8446 5.1)
_TLS_HANDSHAKE = 22  # type of the record in which a client begins (RFC 8446 5.1); no MQTT packet begins with it
_TLS_EXTRA_BYTES = 22  # of a record: header 5, content type 1, tag 16


class Seen(NamedTuple):
    """An MQTT packet at the broker's side, at `at_s`; its last byte is before place `end` of its direction's TCP stream."""

    at_s: float
    packet: Any
    end: int


class PacketCutter:
    """Cuts one direction's bytes into MQTT control packets (MQTT 3.1.1 2.2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """(first byte, rest behind the fixed header, bytes of `data` up to its end) of each packet that is now complete.

        Raises InvalidPacket where the bytes are none.
        """
        before = len(self._buffer)
        buffer = self._buffer
        buffer += data
        found = []
        at = 0
        while (header := self._header(at)) is not None:
            body_at, end = header
            if end - at > _PACKET_AT_MOST_BYTES:
                raise InvalidPacket(0, f"a packet of {end - at} bytes")
            if end > len(buffer):
                break
            found.append((buffer[at], bytes(buffer[body_at:end]), end - before))
            at = end
        del buffer[:at]
        return found

    def _header(self, at: int) -> tuple[int, int] | None:
        """Where the body begins and ends; None where the fixed header is not complete."""
        length = 0
        for place in range(4):
            if at + 1 + place >= len(self._buffer):
                return None
            byte = self._buffer[at + 1 + place]
            length |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return at + 2 + place, at + 2 + place + length
        raise InvalidPacket(0, "the remaining length has more than four bytes")


@dataclass(eq=False)
class Visit:
    """One connection as the broker's side has it; instants in s of the drive, NaN: never. `near` is the vehicle's end.

    `whole`: all packets are noted, else CONNECT alone is looked for.
    """

    whole: bool = True
    near: tuple[str, int] = ("", 0)
    accepted_s: float = math.nan
    shaken_s: float = math.nan  # TLS done, at the server
    handshake_in: int = 0  # bytes of the TLS handshake
    handshake_out: int = 0
    tls: bool = False
    resumed: bool = False
    failed: str = ""  # why TLS failed
    bytes_in: int = 0  # of TCP that have come
    ended_s: float = math.nan  # the broker ended it, or the server's side was told of its end
    ended_by_broker: bool = False
    unreadable: str = ""  # why the MQTT packets from here on are not known
    connect: Connect | None = None
    came: list[Seen] = field(default_factory=list)  # from the vehicle
    went: list[Seen] = field(default_factory=list)  # from the broker
    _cutters: tuple[PacketCutter, PacketCutter] = field(default_factory=lambda: (PacketCutter(), PacketCutter()), repr=False)

    def up(self, now: float, data: bytes, end: int) -> None:
        """Bytes of the vehicle, the last of which is before `end` of the TCP stream: in TLS, one record and its end."""
        self.bytes_in = end
        if self.unreadable or not (self.whole or self.connect is None):
            return
        try:
            for first, body, offset in self._cutters[0].feed(data):
                if self.connect is None and first != CONNECT_TYPE << 4:
                    tls = first == _TLS_HANDSHAKE and not self.tls
                    raise InvalidPacket(0, "it speaks TLS, the server does not" if tls else "the first packet is not CONNECT")
                packet = decode(first, body, self.connect.version if self.connect else 0, now)
                if self.connect is None:
                    self.connect = packet
                place = end if self.tls else end - len(data) + offset
                self.came.append(Seen(now, _remembered(packet, now, uplink=True), place))
        except InvalidPacket as error:
            self.unreadable = str(error)

    def down(self, now: float, data: bytes, start: int) -> None:
        """Bytes of the broker, the first of which goes to `start` of the TCP stream."""
        if self.unreadable or not self.whole:
            return
        version = self.connect.version if self.connect else V311
        try:
            for first, body, offset in self._cutters[1].feed(data):
                lenient = first & ~0x08 if first & 0xFE == 0x38 else first  # aedes hands on the publisher's DUP with QoS 0
                packet = _remembered(decode(lenient, body, version, now), now, uplink=False)
                self.went.append(Seen(now, packet, self._place(start, offset, len(data))))
        except InvalidPacket as error:
            self.unreadable = str(error)

    def _place(self, start: int, offset: int, length: int) -> int:
        """Where byte `offset` of what was written at once ends: in TLS with the record that it is in."""
        if not self.tls:
            return start + offset
        records = -(-offset // _TLS_RECORD_BYTES)
        return start + min(records * _TLS_RECORD_BYTES, length) + records * _TLS_EXTRA_BYTES

    def over(self, now: float, *, by_broker: bool = False) -> None:
        """The broker's side ends it, or is told of the end."""
        if math.isnan(self.ended_s):
            self.ended_s, self.ended_by_broker = now, by_broker


def _remembered(packet: Any, now: float, *, uplink: bool) -> Any:
    """The packet with what identifies its payload in place of the payload: the lab's header, or else a hash."""
    if not isinstance(packet, Publish):
        return packet
    wire = packet.message
    payload = bytes(wire.body or b"")
    message = decode_message(wire.topic, payload, packet.qos, now, uplink=uplink)
    if message.body is not None:
        message.body = hashlib.blake2b(payload, digest_size=8).digest()
    return dataclasses.replace(packet, message=message)
