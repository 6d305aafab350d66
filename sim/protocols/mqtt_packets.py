"""MQTT control packets as typed objects with their encoded size (MQTT 3.1.1 chapter 3, MQTT 5.0 chapter 3).

Bytes exist only at the live edge; here a packet knows how many it would be. `purpose` is what the cost table books it
under, `cause_if_lost` the cause of loss of the message in it when nobody keeps a copy (QoS 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from sim.machine import Message

V311 = 4
V5 = 5


def fixed_header_bytes(remaining: int) -> int:
    """Bytes of packet type and remaining length (MQTT 3.1.1 2.2.3: 1 to 4 bytes of 7 bits each)."""
    if remaining < 128:
        return 2
    if remaining < 16_384:
        return 3
    return 4 if remaining < 2_097_152 else 5


class ControlPacket:
    """What packets that carry no application message have in common; constants of the class, not fields."""

    __slots__ = ()
    message: ClassVar[Message | None] = None
    cause_if_lost: ClassVar[str] = ""


class HandshakePacket(ControlPacket):
    """Booked under `handshake`."""

    __slots__ = ()
    purpose: ClassVar[str] = "handshake"


class AcknowledgementPacket(ControlPacket):
    """Header and packet identifier: booked under `payload` like the message it acknowledges."""

    __slots__ = ()
    purpose: ClassVar[str] = "payload"
    encoded_size: ClassVar[int] = 4


class PingPacket(ControlPacket):
    """Header alone, booked under `keep_alive`."""

    __slots__ = ()
    purpose: ClassVar[str] = "keep_alive"
    encoded_size: ClassVar[int] = 2


@dataclass(slots=True)
class Will:
    """Will message of a CONNECT; `delay_s` is MQTT 5's will delay interval."""

    topic: str
    payload_bytes: int
    qos: int = 0
    retain: bool = False
    delay_s: float = 0.0
    payload: bytes = b""


@dataclass(slots=True)
class Connect(HandshakePacket):
    client_id: str
    clean_start: bool
    keep_alive_s: int
    version: int = V311
    session_expiry_s: float | None = None  # MQTT 5 property; None: absent, which means 0
    receive_maximum: int | None = None
    will: Will | None = None
    username: str = ""

    @property
    def encoded_size(self) -> int:
        body = 10 + 2 + len(self.client_id)
        if self.version == V5:
            body += 1 + (5 if self.session_expiry_s is not None else 0) + (3 if self.receive_maximum is not None else 0)
        if self.will is not None:
            body += 2 + len(self.will.topic) + 2 + self.will.payload_bytes + (1 if self.version == V5 else 0)
        if self.username:
            body += 2 + len(self.username)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class ConnAck(HandshakePacket):
    session_present: bool
    code: int = 0  # 0 accepted; MQTT 3.1.1 return code or MQTT 5 reason code
    version: int = V311

    @property
    def encoded_size(self) -> int:
        return 4 if self.version == V311 else 11


@dataclass(slots=True)
class Publish:
    """`message` is the application's message; `repeated` marks what was written to a transport before, whatever DUP says."""

    message: Message
    qos: int
    packet_id: int = 0
    dup: bool = False
    repeated: bool = False
    retain: bool = False
    version: int = V311

    @property
    def encoded_size(self) -> int:
        message = self.message
        body = 2 + len(message.topic) + message.size_bytes
        if self.qos:
            body += 2
        if self.version == V5:
            body += 1
        # fixed_header_bytes(), inlined: this is read for every packet of a run
        return body + (2 if body < 128 else 3 if body < 16_384 else 4 if body < 2_097_152 else 5)

    @property
    def purpose(self) -> str:
        if self.message.kind == "probe":
            return "probe"
        return "repeated" if self.repeated else "payload"

    @property
    def cause_if_lost(self) -> str:
        return "" if self.qos else "qos0_dead_transport"


@dataclass(slots=True)
class PubAck(AcknowledgementPacket):
    packet_id: int


@dataclass(slots=True)
class PubRec(AcknowledgementPacket):
    packet_id: int


@dataclass(slots=True)
class PubRel(AcknowledgementPacket):
    packet_id: int


@dataclass(slots=True)
class PubComp(AcknowledgementPacket):
    packet_id: int


@dataclass(slots=True)
class Subscribe(HandshakePacket):
    packet_id: int
    filters: tuple[tuple[str, int], ...]  # (topic filter, QoS asked for)
    version: int = V311

    @property
    def encoded_size(self) -> int:
        body = 2 + sum(3 + len(name) for name, _ in self.filters) + (1 if self.version == V5 else 0)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class SubAck(HandshakePacket):
    packet_id: int
    codes: tuple[int, ...]

    @property
    def encoded_size(self) -> int:
        return 4 + len(self.codes)


@dataclass(slots=True)
class Unsubscribe(HandshakePacket):
    packet_id: int
    filters: tuple[str, ...]

    @property
    def encoded_size(self) -> int:
        body = 2 + sum(2 + len(name) for name in self.filters)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class UnsubAck(HandshakePacket):
    packet_id: int

    @property
    def encoded_size(self) -> int:
        return 4


@dataclass(slots=True)
class PingReq(PingPacket):
    """Header alone."""


@dataclass(slots=True)
class PingResp(PingPacket):
    """Header alone."""


@dataclass(slots=True)
class Disconnect(HandshakePacket):
    code: int = 0  # MQTT 5 reason code; 0x8E: session taken over

    @property
    def encoded_size(self) -> int:
        return 2


@dataclass(slots=True)
class Auth(HandshakePacket):
    """MQTT 5 AUTH; extended authentication is not supported and refused as 4.12 says."""

    code: int = 0

    @property
    def encoded_size(self) -> int:
        return 2

    properties: dict[str, Any] = field(default_factory=dict)


ACCEPTED = 0
NOT_SUPPORTED_V311 = 1  # CONNACK return code: unacceptable protocol version
SESSION_TAKEN_OVER = 0x8E
SUBSCRIPTION_FAILED = 0x80
