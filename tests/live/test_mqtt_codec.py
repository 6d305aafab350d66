"""The codec against itself, against a second implementation, and against bytes that are wrong."""

from __future__ import annotations

import dataclasses
import socket

import mqtt5
import paho.mqtt.client as paho
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sim.live.mqtt_codec import Decoder, InvalidPacket, MalformedPacket, ProtocolViolation, UnsupportedVersion, encode
from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    Connect,
    Malformed,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from tests.live.mqtt_packets_drawn import packets, publishes, texts, wills

VERSIONS = [V311, V5]
many = settings(max_examples=200, deadline=None)


# --- round trips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@many
def test_what_is_encoded_is_decoded_again_and_has_the_size_it_says(version, data):
    packet = data.draw(packets(version))
    encoded = encode(packet, version)
    assert Decoder(version).feed(encoded) == [packet]
    if not isinstance(packet, Publish) or packet.message.topic.isascii():  # as the lab's topics are
        assert packet.encoded_size == len(encoded)


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_stream_may_be_cut_anywhere(version, data):
    sent = data.draw(st.lists(packets(version), max_size=5))
    stream = b"".join(encode(packet, version) for packet in sent)
    decoder = Decoder(version)
    received = []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:n])
        stream = stream[n:]
    assert received == sent
    assert decoder.buffered_bytes == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_is_learned_from_connect(version):
    decoder = Decoder()
    assert decoder.version is None
    decoder.feed(encode(Connect("a", True, 10, version), version) + encode(PingReq(), version))
    assert decoder.version == version


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 100, 121, 122, 123, 127, 128, 16_376, 16_384, 70_000, 2_097_152])
def test_messages_of_the_model_have_a_size_and_no_bytes(version, size):
    """Remaining lengths on both sides of every border (MQTT 3.1.1 2.2.3, table 2.4)."""
    packet = Publish(Message(5, "ota", "vehicle/VIN123/down/ota", size, 1, 0.0), 1, 7, version=version)
    assert len(encode(packet, version)) == packet.encoded_size
    will = Connect("a", True, 10, version, will=Will("t", 10, delay_s=3.0))
    if version == V5:
        assert len(encode(will, version)) == will.encoded_size


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "packet",
    [Subscribe(1, (("é" * 70, 1),)), SubAck(1, (0,) * 130), UnsubAck(1), Connect("vehicle-ü", True, 60)],
    ids=lambda packet: type(packet).__name__,
)
def test_sizes_count_bytes_and_not_characters(version, packet):
    packet = dataclasses.replace(packet, version=version)
    assert len(encode(packet, version)) == packet.encoded_size


# --- other implementations ----------------------------------------------------------------------------------------------


@given(packet=packets(V5))
@many
def test_mqtt5_reads_what_we_write_and_we_read_what_it_writes(packet):
    """mqtt5 is a codec in Rust. Its bytes need not be ours: the order of properties and leaving defaults out are free."""
    encoded = encode(packet, V5)
    try:
        other, size = mqtt5.read(encoded)
    except ValueError:
        assume(False)  # it refuses some that the standard allows, an empty topic filter for one
    assert size == len(encoded)
    (again,) = Decoder(V5).feed(other.write())
    assert type(again) is type(packet) or type(packet) in type(again).__mro__ or type(again) in type(packet).__mro__
    assert mqtt5.read(encode(again, V5))[0] == other


def from_paho(client: paho.Client) -> bytes:
    return bytes(client._out_packet.pop()["packet"])


@given(
    client_id=texts.filter(bool), clean=st.booleans(), keep_alive_s=st.integers(0, 65_535),
    username=st.none() | texts.filter(bool), password=texts,
    will=st.none() | wills(V311).filter(lambda will: will.payload_bytes > 0),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_connect_of_311_is_what_paho_writes(client_id, clean, keep_alive_s, username, password, will):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, clean, protocol=paho.MQTTv311)
    if username is not None:
        client.username_pw_set(username, password)
    if will is not None:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    client._send_connect(keep_alive_s)
    secret = password.encode() if username else None
    ours = Connect(client_id, clean, keep_alive_s, will=will, username=username or "", password=secret)
    written = from_paho(client)
    assert Decoder().feed(written) == [ours]
    assert encode(ours, V311) == written


@given(packet=publishes(V311))
@settings(max_examples=60, deadline=None)
def test_publish_of_311_is_what_paho_writes(packet):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "a", protocol=paho.MQTTv311)
    message = packet.message
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client._sock = theirs  # it writes PUBLISH where it has a socket alone
        info = paho.MQTTMessageInfo(packet.packet_id)
        client._send_publish(packet.packet_id, message.topic.encode(), message.body, packet.qos, packet.retain, packet.dup, info)
        ours.settimeout(5)
        assert ours.recv(4096) == encode(packet, V311)
        client._sock = None


@given(filters=st.lists(st.tuples(texts.filter(bool), st.integers(0, 2)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_subscriptions_of_311_are_what_paho_writes(filters):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "a", protocol=paho.MQTTv311)
    client._send_subscribe(False, [(name.encode(), qos) for name, qos in filters])
    assert from_paho(client) == encode(Subscribe(1, tuple(filters)), V311)
    client._send_unsubscribe(False, [name.encode() for name, _qos in filters])
    assert from_paho(client) == encode(Unsubscribe(2, tuple(name for name, _qos in filters)), V311)


@pytest.mark.parametrize(
    ("command", "packet"),
    [("_send_puback", PubAck(9)), ("_send_pubrec", PubRec(9)), ("_send_pubrel", PubRel(9)), ("_send_pubcomp", PubComp(9))],
)
def test_acknowledgements_of_311_are_what_paho_writes(command, packet):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "a", protocol=paho.MQTTv311)
    getattr(client, command)(9)
    assert from_paho(client) == encode(packet, V311)


# --- what is wrong --------------------------------------------------------------------------------------------------------

H = bytes.fromhex
_CONNECT_5 = "00044d515454 05 02 000a"  # name, level, clean start, keep alive

#: what, version (None: first packet), bytes, exception, reason code
WRONG = [
    ("packet type 0", V311, "00 00", MalformedPacket, 0x81),
    ("packet type 15 before 5", V311, "f0 00", MalformedPacket, 0x81),
    ("remaining length of five bytes", V5, "30 ff ff ff ff 01", MalformedPacket, 0x81),
    ("remaining length longer than needed", V5, "c0 80 00", MalformedPacket, 0x81),
    ("flags of PINGREQ", V311, "c1 00", MalformedPacket, 0x81),
    ("PINGREQ with a body", V311, "c0 01 00", MalformedPacket, 0x81),
    ("flags of SUBSCRIBE", V311, "80 06 0001 0001 61 00", MalformedPacket, 0x81),
    ("flags of PUBREL", V311, "60 02 0001", MalformedPacket, 0x81),
    ("flags of UNSUBSCRIBE", V311, "a0 05 0001 0001 61", MalformedPacket, 0x81),
    ("flags of CONNECT", None, "11 0d 00044d515454 04 02 000a 0001 61", MalformedPacket, 0x81),
    ("first packet", None, "c0 00", ProtocolViolation, 0x82),
    ("protocol name", None, "10 0d 00044d515458 04 02 000a 0001 61", MalformedPacket, 0x84),
    ("protocol level 3", None, "10 0f 00064d5149736470 03 02 000a 0001 61", UnsupportedVersion, 0x84),
    ("protocol level 6", None, "10 0d 00044d515454 06 02 000a 0001 61", UnsupportedVersion, 0x84),
    ("reserved flag of CONNECT", None, "10 0d 00044d515454 04 03 000a 0001 61", MalformedPacket, 0x81),
    ("will QoS 3", None, "10 13 00044d515454 04 1e 000a 0001 61 0001 74 0001 6d", MalformedPacket, 0x81),
    ("will QoS without a will", None, "10 0d 00044d515454 04 0a 000a 0001 61", MalformedPacket, 0x81),
    ("will retain without a will", None, "10 0d 00044d515454 04 22 000a 0001 61", MalformedPacket, 0x81),
    ("will topic with a wildcard", None, "10 13 00044d515454 04 06 000a 0001 61 0001 23 0001 6d", MalformedPacket, 0x90),
    ("password without a user name", None, "10 10 00044d515454 04 42 000a 0001 61 0001 70", ProtocolViolation, 0x82),
    ("CONNECT with bytes after it", None, "10 0e 00044d515454 04 02 000a 0001 61 00", MalformedPacket, 0x81),
    ("CONNECT that ends early", None, "10 0c 00044d515454 04 02 000a 0002", MalformedPacket, 0x81),
    ("receive maximum 0", None, f"10 11 {_CONNECT_5} 03 21 0000 0001 61", ProtocolViolation, 0x82),
    ("maximum packet size 0", None, f"10 13 {_CONNECT_5} 05 27 00000000 0001 61", ProtocolViolation, 0x82),
    ("request problem information 2", None, f"10 10 {_CONNECT_5} 02 17 02 0001 61", ProtocolViolation, 0x82),
    ("authentication data without a method", None, f"10 12 {_CONNECT_5} 04 16 0001 61 0001 61", ProtocolViolation, 0x82),
    ("session expiry twice", None, f"10 18 {_CONNECT_5} 0a 11 00000001 11 00000001 0001 61", ProtocolViolation, 0x82),
    ("QoS 3", V311, "36 06 0001 61 0001 6d", MalformedPacket, 0x81),
    ("DUP with QoS 0", V311, "38 03 0001 61", MalformedPacket, 0x81),
    ("packet identifier 0 in PUBLISH", V311, "32 05 0001 61 0000", ProtocolViolation, 0x82),
    ("packet identifier 0 in PUBACK", V311, "40 02 0000", ProtocolViolation, 0x82),
    ("packet identifier 0 in SUBSCRIBE", V311, "82 06 0000 0001 61 00", ProtocolViolation, 0x82),
    ("# in a topic", V311, "30 03 0001 23", MalformedPacket, 0x90),
    ("+ in a topic", V311, "30 05 0003 612f2b", MalformedPacket, 0x90),
    ("no topic", V311, "30 02 0000", ProtocolViolation, 0x82),
    ("no topic and no alias", V5, "30 03 0000 00", ProtocolViolation, 0x82),
    ("topic alias 0", V5, "30 07 0001 61 03 23 0000", ProtocolViolation, 0x94),
    ("wildcard in a response topic", V5, "30 08 0001 61 04 08 0001 2b", MalformedPacket, 0x90),
    ("a property twice", V5, "30 08 0001 61 04 0101 0101", ProtocolViolation, 0x82),
    ("a property of another packet", V5, "30 09 0001 61 05 11 00000001", MalformedPacket, 0x81),
    ("an unknown property", V5, "30 06 0001 61 02 7e 01", MalformedPacket, 0x81),
    ("properties longer than the packet", V5, "30 04 0001 61 05", MalformedPacket, 0x81),
    ("payload format 2", V5, "30 06 0001 61 02 01 02", ProtocolViolation, 0x82),
    ("U+0000", V311, "30 03 0001 00", MalformedPacket, 0x81),
    ("a surrogate", V311, "30 05 0003 eda080", MalformedPacket, 0x81),
    ("an over-long form", V311, "30 04 0002 c080", MalformedPacket, 0x81),
    ("a UTF-8 sequence cut short", V311, "30 03 0001 c3", MalformedPacket, 0x81),
    ("SUBSCRIBE without a filter", V311, "82 02 0001", ProtocolViolation, 0x82),
    ("SUBSCRIBE with QoS 3", V311, "82 06 0001 0001 61 03", MalformedPacket, 0x81),
    ("reserved bits of a subscription", V311, "82 06 0001 0001 61 04", MalformedPacket, 0x81),
    ("reserved bits of subscription options", V5, "82 07 0001 00 0001 61 40", MalformedPacket, 0x81),
    ("retain handling 3", V5, "82 07 0001 00 0001 61 30", ProtocolViolation, 0x82),
    ("no local on a shared subscription", V5, "82 0f 0001 00 0009 2473686172652f612f 04", ProtocolViolation, 0x82),
    ("subscription identifier 0", V5, "82 09 0001 02 0b00 0001 61 00", ProtocolViolation, 0x82),
    ("two subscription identifiers", V5, "82 0b 0001 04 0b01 0b02 0001 61 00", ProtocolViolation, 0x82),
    ("UNSUBSCRIBE without a filter", V311, "a2 02 0001", ProtocolViolation, 0x82),
    ("DISCONNECT with a body before 5", V311, "e0 01 00", MalformedPacket, 0x81),
    ("a reason code DISCONNECT has not", V5, "e0 01 01", ProtocolViolation, 0x82),
    ("a reason code PUBACK has not", V5, "40 03 0001 92", ProtocolViolation, 0x82),
    ("a reason code AUTH has not", V5, "f0 01 01", ProtocolViolation, 0x82),
    ("flags of CONNACK", V311, "20 02 02 00", MalformedPacket, 0x81),
    ("return code of CONNACK", V311, "20 02 00 06", ProtocolViolation, 0x82),
    ("return code of SUBACK", V311, "90 03 0001 03", ProtocolViolation, 0x82),
]  # fmt: skip


@pytest.mark.parametrize(("version", "data", "error", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_refused_with_its_reason_code(version, data, error, code):
    decoder = Decoder(version)
    with pytest.raises(error) as caught:
        decoder.feed(H(data))
    assert caught.value.reason_code == code
    assert caught.value.text
    with pytest.raises(error):
        decoder.feed(b"")


def test_a_packet_above_the_limit_is_refused_when_its_length_is_known():
    """MQTT 5 3.2.2.3.6: 0x95; the body is not waited for."""
    decoder = Decoder(V5, limit_bytes=100)
    assert len(decoder.feed(b"\x30\x62" + b"\0\x01a\0" + bytes(94))) == 1
    with pytest.raises(ProtocolViolation) as caught:
        decoder.feed(b"\x30\x63")
    assert caught.value.reason_code == 0x95


def test_good_packets_before_a_bad_one_are_returned():
    decoder = Decoder(V311)
    assert decoder.feed(b"\xc0\x00\xc0\x00\x00\x00\xc0\x00") == [PingReq(), PingReq()]
    assert isinstance(decoder.error, MalformedPacket)
    with pytest.raises(MalformedPacket):
        decoder.feed(b"")


def test_the_version_of_a_bad_connect_is_known():
    """So that it can be answered with a CONNACK of its version (MQTT 5 4.13.1)."""
    decoder = Decoder()
    with pytest.raises(InvalidPacket):
        decoder.feed(H(f"10 11 {_CONNECT_5} 03 21 0000 0001 61"))
    assert decoder.version == V5


@pytest.mark.parametrize("version", [None, *VERSIONS])
@given(data=st.binary(max_size=200))
@many
def test_random_bytes_give_packets_or_an_invalid_packet(version, data):
    decoder = Decoder(version)
    try:
        decoder.feed(data)
    except InvalidPacket:
        assert decoder.error is not None
        assert 0x81 <= decoder.error.reason_code <= 0xA2


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@many
def test_mutated_packets_give_packets_or_an_invalid_packet(version, data):
    encoded = bytearray(encode(data.draw(packets(version)), version))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(version)
    try:
        received = decoder.feed(bytes(encoded))
    except InvalidPacket:
        return
    for packet in received:  # what is accepted can be said again
        assert Decoder(version).feed(encode(packet, version)) == [packet]


@pytest.mark.parametrize(
    "packet",
    [Publish(Message(0, "other", "x" * 70_000, 0, 0, 0.0), 0), Subscribe(1, (("a\0b", 0),)), Malformed(0x81, "")],
    ids=["long topic", "U+0000", "no packet"],
)
def test_what_cannot_be_said_is_not_encoded(packet):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        encode(packet, V311)
