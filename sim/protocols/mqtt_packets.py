"""MQTT control packets as typed objects with their encoded size (MQTT 3.1.1 chapter 3, MQTT 5.0 chapter 3).

Bytes exist only at the live edge; here a packet knows how many it would be. `purpose` is what the cost table books it
under, `cause_if_lost` the cause of loss of the message in it when nobody keeps a copy (QoS 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.machine import Message, Packet
from sim.protocols.mqtt_properties import Properties, properties_bytes, utf8_bytes
from sim.protocols.mqtt_reasons import SESSION_TAKEN_OVER as SESSION_TAKEN_OVER
from sim.subclassing import mypyc_attr

V311: Final = 4
V5: Final = 5


def fixed_header_bytes(remaining: int) -> int:
    """Bytes of packet type and remaining length (MQTT 3.1.1 2.2.3: 1 to 4 bytes of 7 bits each)."""
    if remaining < 128:
        return 2
    if remaining < 16_384:
        return 3
    return 4 if remaining < 2_097_152 else 5


class ControlPacket(Packet):
    """What all packets have in common; here, so that the compiler sees that they inherit no fields (tools/compile.py)."""

    __slots__ = ()


class HandshakePacket(ControlPacket):
    """Booked under `handshake`."""

    __slots__ = ()

    @property
    def purpose(self) -> str:
        return "handshake"


class AcknowledgementPacket(ControlPacket):
    """Header and packet identifier: booked under `payload` like the message it acknowledges."""

    __slots__ = ()

    @property
    def encoded_size(self) -> int:
        return 4

    @property
    def purpose(self) -> str:
        return "payload"


class PingPacket(ControlPacket):
    """Header alone, booked under `keep_alive`."""

    __slots__ = ()

    @property
    def encoded_size(self) -> int:
        return 2

    @property
    def purpose(self) -> str:
        return "keep_alive"


@dataclass(slots=True)
class Will:
    """Will message of a CONNECT; `delay_s` is MQTT 5's will delay interval, `properties` the others of MQTT 5 3.1.3.2."""

    topic: str
    payload_bytes: int
    qos: int = 0
    retain: bool = False
    delay_s: float = 0.0
    payload: bytes = b""
    properties: Properties | None = None

    @property
    def all_properties(self) -> Properties:
        """The properties as they are sent, the will delay interval in front."""
        found: Properties = {"will_delay_interval": int(self.delay_s)} if self.delay_s else {}
        return found | self.properties if self.properties else found


@dataclass(slots=True)
class Connect(HandshakePacket):
    client_id: str
    clean_start: bool
    keep_alive_s: int
    version: int = V311
    session_expiry_s: float | None = None  # MQTT 5 property; None: absent, which means 0
    receive_maximum: int | None = None
    will: Will | None = None
    username: str = ""  # "": absent
    password: bytes | None = None
    properties: Properties | None = None  # of MQTT 5, but for the two above

    @property
    def all_properties(self) -> Properties:
        """The properties as they are sent, the two with a field of their own in front."""
        found: Properties = {}
        if self.session_expiry_s is not None:
            found["session_expiry_interval"] = int(min(self.session_expiry_s, 4_294_967_295.0))
        if self.receive_maximum is not None:
            found["receive_maximum"] = self.receive_maximum
        return found | self.properties if self.properties else found

    @property
    def encoded_size(self) -> int:
        body = 10 + utf8_bytes(self.client_id)
        if self.version == V5:
            body += properties_bytes(self.all_properties)
        if self.will is not None:
            body += utf8_bytes(self.will.topic) + 2 + self.will.payload_bytes
            body += properties_bytes(self.will.all_properties) if self.version == V5 else 0
        if self.username:
            body += utf8_bytes(self.username)
        if self.password is not None:
            body += 2 + len(self.password)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class ConnAck(HandshakePacket):
    session_present: bool
    code: int = 0  # 0 accepted; MQTT 3.1.1 return code or MQTT 5 reason code
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        if self.version == V311:
            return 4
        body = 2 + properties_bytes(self.properties)
        return fixed_header_bytes(body) + body


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class Publish(ControlPacket):
    """`message` is the application's message.

    `properties` are those of this packet (MQTT 5); what passes from publisher to subscriber is in `message.properties`.
    `encoded_size` takes the topic for ASCII, which the lab's topics are: asking would cost half a percent of a run.
    """

    message: Message
    qos: int
    packet_id: int = 0
    dup: bool = False
    retain: bool = False
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        message = self.message
        body = 2 + len(message.topic) + message.size_bytes
        if self.qos:
            body += 2
        if self.version == V5:
            body += properties_bytes(self.properties) if self.properties else 1
        # fixed_header_bytes(), inlined: this is read for every packet of a run
        return body + (2 if body < 128 else 3 if body < 16_384 else 4 if body < 2_097_152 else 5)

    @property
    def carried(self) -> Message:
        return self.message

    @property
    def purpose(self) -> str:
        return "probe" if self.message.kind == "probe" else "payload"

    @property
    def cause_if_lost(self) -> str:
        return "" if self.qos else "qos0_dead_transport"


@mypyc_attr(free_list_len=1)
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


def _reason_size(identifier_bytes: int, code: int, properties: Properties | None) -> int:
    """MQTT 5 3.4.2.1, 3.14.2.1: reason code 0 is left out where there are no properties, their length where there are none."""
    body = identifier_bytes
    if properties:
        body += 1 + properties_bytes(properties)
    elif code:
        body += 1
    return fixed_header_bytes(body) + body


# Acknowledgements with a reason code or properties (MQTT 5) are types of their own: those without stay four bytes, a
# constant of the class, and what dispatches on `type(packet) is PubAck` need not look at a code.


@dataclass(slots=True)
class PubAckWithReason(PubAck):
    code: int = 0
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(2, self.code, self.properties)


@dataclass(slots=True)
class PubRecWithReason(PubRec):
    code: int = 0
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(2, self.code, self.properties)


@dataclass(slots=True)
class PubRelWithReason(PubRel):
    code: int = 0
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(2, self.code, self.properties)


@dataclass(slots=True)
class PubCompWithReason(PubComp):
    code: int = 0
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(2, self.code, self.properties)


@dataclass(slots=True)
class Subscribe(HandshakePacket):
    packet_id: int
    filters: tuple[tuple[str, int], ...]  # (topic filter, QoS asked for; MQTT 5: the byte of subscription options, 3.8.3.1)
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        body = 2 + sum(1 + utf8_bytes(name) for name, _ in self.filters)
        if self.version == V5:
            body += properties_bytes(self.properties)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class SubAck(HandshakePacket):
    packet_id: int
    codes: tuple[int, ...]
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        body = 2 + len(self.codes) + (properties_bytes(self.properties) if self.version == V5 else 0)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class Unsubscribe(HandshakePacket):
    packet_id: int
    filters: tuple[str, ...]
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        body = 2 + sum(utf8_bytes(name) for name in self.filters)
        if self.version == V5:
            body += properties_bytes(self.properties)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class UnsubAck(HandshakePacket):
    packet_id: int
    codes: tuple[int, ...] = ()  # MQTT 5 alone
    version: int = V311
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        body = 2 + (len(self.codes) + properties_bytes(self.properties) if self.version == V5 else 0)
        return fixed_header_bytes(body) + body


@dataclass(slots=True)
class PingReq(PingPacket):
    """Header alone."""


@dataclass(slots=True)
class PingResp(PingPacket):
    """Header alone."""


@dataclass(slots=True)
class Disconnect(HandshakePacket):
    code: int = 0  # MQTT 5 reason code; 0x8E: session taken over
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(0, self.code, self.properties)


@dataclass(slots=True)
class Auth(HandshakePacket):
    """MQTT 5 AUTH; extended authentication is not supported and refused as 4.12 says."""

    code: int = 0
    properties: Properties | None = None

    @property
    def encoded_size(self) -> int:
        return _reason_size(0, self.code, self.properties)


@dataclass(slots=True)
class Malformed(HandshakePacket):
    """Stands for bytes that are no packet, so that a machine can answer them as MQTT 5 4.13 says; never sent.

    `code` is the MQTT 5 reason code, `version` that of the connection (0: not known), `text` says what was wrong.
    """

    code: int
    text: str
    version: int = 0

    @property
    def encoded_size(self) -> int:
        return 0


ACCEPTED = 0
NOT_SUPPORTED_V311 = 1  # CONNACK return code: unacceptable protocol version
SUBSCRIPTION_FAILED = 0x80
