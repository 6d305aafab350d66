"""The body of an MQTT control packet to its typed object (MQTT 3.1.1 and 5.0, chapter 3), checked as the standard says."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from sim.live.mqtt_errors import MalformedPacket, ProtocolViolation, UnsupportedVersion
from sim.live.mqtt_properties_codec import read_properties
from sim.live.mqtt_wire import Reader
from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubAckWithReason,
    PubComp,
    PubCompWithReason,
    Publish,
    PubRec,
    PubRecWithReason,
    PubRel,
    PubRelWithReason,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from sim.protocols.mqtt_properties import Properties
from sim.protocols.mqtt_reasons import ALLOWED, QUOTA_EXCEEDED, TOPIC_NAME_INVALID, UNSUPPORTED_PROTOCOL_VERSION

#: topic filters of one packet; the standard has no limit, so this bounds the work that one makes
MOST_FILTERS = 1_000

CONNECT_TYPE = 1
PUBLISH_TYPE = 3
_V5_ONLY = 15  # AUTH


def decode(first_byte: int, body: bytes, version: int, now: float) -> Any:
    """Return the packet of which `first_byte` is the first byte and `body` what follows the fixed header."""
    kind = first_byte >> 4
    flags = first_byte & 0x0F
    if kind == PUBLISH_TYPE:
        return _publish(flags, body, version, now)
    row = _DECODERS.get(kind)
    if row is None or (kind == _V5_ONLY and version != V5):
        raise MalformedPacket(f"packet type {kind} is reserved")
    name, wanted_flags, decoder = row
    if flags != wanted_flags:
        raise MalformedPacket(f"{name} with flags {flags:04b}, {wanted_flags:04b} is wanted")  # 2.2.2, 2.1.3
    reader = Reader(body)
    packet = decoder(reader, version)
    if reader.left:
        raise MalformedPacket(f"{reader.left} bytes too many in {name}")
    return packet


# --- PUBLISH ------------------------------------------------------------------------------------------------------------


def _publish(flags: int, body: bytes, version: int, now: float) -> Publish:
    qos = flags >> 1 & 3
    dup = bool(flags & 8)
    if qos == 3:
        raise MalformedPacket("PUBLISH with QoS 3")  # [MQTT-3.3.1-4]
    if dup and not qos:
        raise MalformedPacket("PUBLISH with DUP and QoS 0")  # [MQTT-3.3.1-2]
    reader = Reader(body)
    topic = reader.text()
    packet_id = _packet_id(reader) if qos else 0
    properties = read_properties(reader, "publish") if version == V5 else None
    if not topic and (properties is None or "topic_alias" not in properties):
        raise ProtocolViolation("PUBLISH without a topic")  # [MQTT-4.7.3-1]; MQTT 5 3.3.2.1
    _check_topic(topic)
    if properties is not None and "response_topic" in properties:
        _check_topic(properties["response_topic"])  # [MQTT-3.3.2-14]
    payload = reader.rest()
    message = Message(0, "other", topic, len(payload), qos, now, uplink=True, body=payload)
    return Publish(message, qos, packet_id, dup, bool(flags & 1), version, properties)


def _check_topic(topic: str) -> None:
    if "+" in topic or "#" in topic:
        raise MalformedPacket("a topic name with wildcards", TOPIC_NAME_INVALID)  # [MQTT-3.3.2-2]


def _packet_id(reader: Reader) -> int:
    packet_id = reader.two_bytes()
    if packet_id == 0:
        raise ProtocolViolation("packet identifier 0")  # [MQTT-2.3.1-1], MQTT 5 [MQTT-2.2.1-3]
    return packet_id


# --- CONNECT and CONNACK ------------------------------------------------------------------------------------------------


def _connect(reader: Reader, _version: int) -> Connect:
    if (name := reader.text()) not in ("MQTT", "MQIsdp"):
        raise MalformedPacket(f"protocol name {name[:20]!r}", UNSUPPORTED_PROTOCOL_VERSION)  # [MQTT-3.1.2-1]
    level = reader.byte()
    if name != "MQTT" or level not in (V311, V5):
        raise UnsupportedVersion(UNSUPPORTED_PROTOCOL_VERSION, f"protocol {name} level {level}", level)  # [MQTT-3.1.2-2]
    flags = reader.byte()
    if flags & 0x01:
        raise MalformedPacket("the reserved flag of CONNECT is set")  # [MQTT-3.1.2-3]
    keep_alive_s = reader.two_bytes()
    v5 = level == V5
    properties = read_properties(reader, "connect") if v5 else None
    client_id = reader.text()
    will = _will(reader, flags, v5)
    username = reader.text() if flags & 0x80 else ""
    if flags & 0x40 and not flags & 0x80 and not v5:
        raise ProtocolViolation("a password without a user name")  # [MQTT-3.1.2-22]; MQTT 5 allows it
    password = reader.binary() if flags & 0x40 else None
    if properties is None:
        return Connect(client_id, bool(flags & 2), keep_alive_s, level, None, None, will, username, password)
    if "authentication_data" in properties and "authentication_method" not in properties:
        raise ProtocolViolation("authentication data without a method")  # MQTT 5 3.1.2.11.10
    expiry_s = properties.pop("session_expiry_interval", None)
    receive_maximum = properties.pop("receive_maximum", None)
    return Connect(
        client_id, bool(flags & 2), keep_alive_s, level, float(expiry_s) if expiry_s is not None else None, receive_maximum,
        will, username, password, properties or None,
    )  # fmt: skip


def _will(reader: Reader, flags: int, v5: bool) -> Will | None:
    qos = flags >> 3 & 3
    if not flags & 0x04:
        if flags & 0x38:
            raise MalformedPacket("will QoS or will retain without a will")  # [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        return None
    if qos == 3:
        raise MalformedPacket("a will with QoS 3")  # [MQTT-3.1.2-14]
    properties = read_properties(reader, "will") if v5 else None
    topic = reader.text()
    if not topic:
        raise MalformedPacket("a will without a topic", TOPIC_NAME_INVALID)
    _check_topic(topic)
    if properties is not None and "response_topic" in properties:
        _check_topic(properties["response_topic"])  # [MQTT-3.3.2-14]: of the message that the will becomes
    payload = reader.binary()
    delay_s = properties.pop("will_delay_interval", 0) if properties else 0
    return Will(topic, len(payload), qos, bool(flags & 0x20), float(delay_s), payload, properties or None)


def _connack(reader: Reader, version: int) -> ConnAck:
    flags = reader.byte()
    if flags > 1:
        raise MalformedPacket("reserved flags of CONNACK are set")  # [MQTT-3.2.2-1]
    code = reader.byte()
    if version != V5:
        if code > 5:
            raise ProtocolViolation(f"CONNACK with return code {code}")
        return ConnAck(bool(flags), code, version)
    _check_code("connack", code)
    return ConnAck(bool(flags), code, version, read_properties(reader, "connack"))


# --- acknowledgements ---------------------------------------------------------------------------------------------------


def _check_code(packet: str, code: int) -> None:
    if code not in ALLOWED[packet]:
        raise ProtocolViolation(f"reason code 0x{code:02X} in {packet.upper()}")


def _reason(reader: Reader, packet: str, version: int) -> tuple[int, Properties | None]:
    """Reason code and properties, either of which may be left out at the end (MQTT 5 3.4.2.1, 3.14.2.1)."""
    if version != V5 or not reader.left:
        return 0, None
    code = reader.byte()
    _check_code(packet, code)
    return code, read_properties(reader, packet) if reader.left else None


def _acknowledgement(name: str, plain: type, with_reason: type) -> Callable[[Reader, int], Any]:
    def decode_it(reader: Reader, version: int) -> Any:
        packet_id = _packet_id(reader)
        code, properties = _reason(reader, name, version)
        return with_reason(packet_id, code, properties) if code or properties else plain(packet_id)

    return decode_it


# --- subscriptions ------------------------------------------------------------------------------------------------------


def _subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "subscribe") if version == V5 else None
    filters = []
    while reader.left:
        name = reader.text()
        options = reader.byte()
        if options & 3 == 3 or options & (0xC0 if version == V5 else 0xFC):
            raise MalformedPacket("reserved bits of a subscription or QoS 3")  # [MQTT-3.8.3-4], MQTT 5 [MQTT-3.8.3-5]
        if options & 0x30 == 0x30:
            raise ProtocolViolation("retain handling 3")  # MQTT 5 3.8.3.1
        if name.startswith("$share/") and options & 0x04 and version == V5:
            raise ProtocolViolation("no local on a shared subscription")  # [MQTT-3.8.3-4]
        filters.append((name, options))
        _check_number(filters)
    if not filters:
        raise ProtocolViolation("SUBSCRIBE without a topic filter")  # [MQTT-3.8.3-3], MQTT 5 [MQTT-3.8.3-2]
    return Subscribe(packet_id, tuple(filters), version, properties)


def _unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "unsubscribe") if version == V5 else None
    filters = []
    while reader.left:
        filters.append(reader.text())
        _check_number(filters)
    if not filters:
        raise ProtocolViolation("UNSUBSCRIBE without a topic filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, tuple(filters), version, properties)


def _check_number(filters: Sized) -> None:
    if len(filters) > MOST_FILTERS:
        raise ProtocolViolation(f"more than {MOST_FILTERS} topic filters", QUOTA_EXCEEDED)


def _suback(reader: Reader, version: int) -> SubAck:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "suback") if version == V5 else None
    codes = tuple(reader.rest())
    for code in codes:
        if version == V5:
            _check_code("suback", code)
        elif code not in (0, 1, 2, 0x80):
            raise ProtocolViolation(f"SUBACK with return code 0x{code:02X}")  # [MQTT-3.9.3-2]
    return SubAck(packet_id, codes, version, properties)


def _unsuback(reader: Reader, version: int) -> UnsubAck:
    packet_id = _packet_id(reader)
    if version != V5:
        return UnsubAck(packet_id, (), version)
    properties = read_properties(reader, "unsuback")
    codes = tuple(reader.rest())
    for code in codes:
        _check_code("unsuback", code)
    return UnsubAck(packet_id, codes, version, properties)


# --- the rest -----------------------------------------------------------------------------------------------------------


def _disconnect(reader: Reader, version: int) -> Disconnect:
    return Disconnect(*_reason(reader, "disconnect", version))


def _auth(reader: Reader, version: int) -> Auth:
    return Auth(*_reason(reader, "auth", version))


#: packet type -> name, flags that it must have (MQTT 3.1.1 2.2.2), decoder of the body
_DECODERS: dict[int, tuple[str, int, Callable[[Reader, int], Any]]] = {
    CONNECT_TYPE: ("CONNECT", 0, _connect),
    2: ("CONNACK", 0, _connack),
    4: ("PUBACK", 0, _acknowledgement("puback", PubAck, PubAckWithReason)),
    5: ("PUBREC", 0, _acknowledgement("pubrec", PubRec, PubRecWithReason)),
    6: ("PUBREL", 2, _acknowledgement("pubrel", PubRel, PubRelWithReason)),
    7: ("PUBCOMP", 0, _acknowledgement("pubcomp", PubComp, PubCompWithReason)),
    8: ("SUBSCRIBE", 2, _subscribe),
    9: ("SUBACK", 0, _suback),
    10: ("UNSUBSCRIBE", 2, _unsubscribe),
    11: ("UNSUBACK", 0, _unsuback),
    12: ("PINGREQ", 0, lambda reader, version: PingReq()),
    13: ("PINGRESP", 0, lambda reader, version: PingResp()),
    14: ("DISCONNECT", 0, _disconnect),
    _V5_ONLY: ("AUTH", 0, _auth),
}
