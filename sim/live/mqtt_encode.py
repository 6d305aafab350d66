"""MQTT control packets to bytes (MQTT 3.1.1 and 5.0, chapter 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.live.mqtt_properties_codec import write_properties
from sim.live.mqtt_wire import write_binary, write_text, write_variable
from sim.protocols.mqtt_packets import (
    V5,
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
)
from sim.protocols.mqtt_properties import Properties


def encode(packet: Any, version: int) -> bytes:
    """Return the packet as bytes. ValueError where it cannot be said in MQTT (an over-long string, say)."""
    encoder = _ENCODERS.get(type(packet))
    if encoder is None:
        raise TypeError(f"{type(packet).__name__} is no packet that is sent")
    return encoder(packet, version)


def _packet(first_byte: int, body: bytes) -> bytes:
    return bytes((first_byte,)) + write_variable(len(body)) + body


def _publish(packet: Publish, version: int) -> bytes:
    message = packet.message
    topic = message.topic.encode()
    # a message of the model has a size and no bytes
    payload = message.body if message.body is not None else bytes(message.size_bytes)
    out = bytearray(len(topic).to_bytes(2, "big"))
    out += topic
    if packet.qos:
        out += packet.packet_id.to_bytes(2, "big")
    if version == V5:
        out += write_properties(packet.properties)
    out += payload
    return _packet(0x30 | packet.dup << 3 | packet.qos << 1 | packet.retain, bytes(out))


def _connect(packet: Connect, version: int) -> bytes:
    will = packet.will
    flags = packet.clean_start << 1
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    if packet.username:
        flags |= 0x80
    if packet.password is not None:
        flags |= 0x40
    v5 = packet.version == V5
    body = write_text("MQTT") + bytes((packet.version, flags)) + packet.keep_alive_s.to_bytes(2, "big")
    if v5:
        body += write_properties(packet.all_properties)
    body += write_text(packet.client_id)
    if will is not None:
        if v5:
            body += write_properties(will.all_properties)
        body += write_text(will.topic) + write_binary(will.payload or bytes(will.payload_bytes))
    if packet.username:
        body += write_text(packet.username)
    if packet.password is not None:
        body += write_binary(packet.password)
    return _packet(0x10, body)


def _connack(packet: ConnAck, version: int) -> bytes:
    body = bytes((packet.session_present, packet.code))
    return _packet(0x20, body + write_properties(packet.properties) if packet.version == V5 else body)


def _reason(code: int, properties: Properties | None) -> bytes:
    """Reason code and properties, left out as far as the standard allows (MQTT 5 3.4.2.1, 3.14.2.1)."""
    if properties:
        return bytes((code,)) + write_properties(properties)
    return bytes((code,)) if code else b""


def _acknowledgement(first_byte: int) -> Callable[[Any, int], bytes]:
    def encode_it(packet: Any, version: int) -> bytes:
        return bytes((first_byte, 2)) + int(packet.packet_id).to_bytes(2, "big")

    return encode_it


def _acknowledgement_with_reason(first_byte: int) -> Callable[[Any, int], bytes]:
    def encode_it(packet: Any, version: int) -> bytes:
        identifier = int(packet.packet_id).to_bytes(2, "big")
        return _packet(first_byte, identifier + _reason(packet.code, packet.properties) if version == V5 else identifier)

    return encode_it


def _subscribe(packet: Subscribe, version: int) -> bytes:
    body = packet.packet_id.to_bytes(2, "big")
    if version == V5:
        body += write_properties(packet.properties)
    body += b"".join(write_text(name) + bytes((options,)) for name, options in packet.filters)
    return _packet(0x82, body)


def _suback(packet: SubAck, version: int) -> bytes:
    body = packet.packet_id.to_bytes(2, "big")
    if version == V5:
        body += write_properties(packet.properties)
    return _packet(0x90, body + bytes(packet.codes))


def _unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    body = packet.packet_id.to_bytes(2, "big")
    if version == V5:
        body += write_properties(packet.properties)
    return _packet(0xA2, body + b"".join(write_text(name) for name in packet.filters))


def _unsuback(packet: UnsubAck, version: int) -> bytes:
    body = packet.packet_id.to_bytes(2, "big")
    if version == V5:
        body += write_properties(packet.properties) + bytes(packet.codes)
    return _packet(0xB0, body)


def _disconnect(packet: Disconnect, version: int) -> bytes:
    return _packet(0xE0, _reason(packet.code, packet.properties) if version == V5 else b"")


def _auth(packet: Auth, version: int) -> bytes:
    return _packet(0xF0, _reason(packet.code, packet.properties))


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    Publish: _publish,
    Connect: _connect,
    ConnAck: _connack,
    PubAck: _acknowledgement(0x40),
    PubRec: _acknowledgement(0x50),
    PubRel: _acknowledgement(0x62),
    PubComp: _acknowledgement(0x70),
    PubAckWithReason: _acknowledgement_with_reason(0x40),
    PubRecWithReason: _acknowledgement_with_reason(0x50),
    PubRelWithReason: _acknowledgement_with_reason(0x62),
    PubCompWithReason: _acknowledgement_with_reason(0x70),
    Subscribe: _subscribe,
    SubAck: _suback,
    Unsubscribe: _unsubscribe,
    UnsubAck: _unsuback,
    PingReq: lambda packet, version: b"\xc0\x00",
    PingResp: lambda packet, version: b"\xd0\x00",
    Disconnect: _disconnect,
    Auth: _auth,
}
