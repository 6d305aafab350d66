"""MQTT 5: what goes with a message, and how much of it may be under way."""

import time

import pytest

from sim.protocols.mqtt_packets import (
    V5,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubCompWithReason,
    Publish,
    PubRec,
    PubRel,
    PubRelWithReason,
    Subscribe,
    Unsubscribe,
)
from tests.live.wire_client import WireClient, connected5


def test_retained_messages_keep_their_properties(port, topic):
    """3.3.1.3, 3.3.2.3.7."""
    publisher = connected5(port, topic + "-publisher")
    pairs = {"user_property": (("a", "2"), ("c", "3"))}
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"qos %d" % qos, qos, retain=True, properties=pairs)
    client = connected5(port, topic)
    client.subscribe(f"{topic}/+")
    packets = [client.expect(Publish) for _ in range(3)]
    assert sorted(packet.qos for packet in packets) == [0, 1, 2]
    assert all(packet.properties == pairs and packet.retain for packet in packets)
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"", 1, retain=True)
    later = connected5(port, topic + "-later")
    later.subscribe(f"{topic}/+")
    assert later.quiet() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_are_passed_on_unaltered(port, topic, qos):
    """[MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]."""
    client = connected5(port, topic)
    client.subscribe(topic)
    properties = {
        "payload_format_indicator": 1,
        "content_type": "My name",
        "response_topic": "answers/here",
        "correlation_data": b"\x00334",
        "user_property": (("a", "2"), ("c", "3"), ("a", "2")),
    }
    client.publish(topic, b"", qos, properties=properties)
    assert client.expect(Publish).properties == properties


def test_request_and_response(port, topic):
    """4.10."""
    requester, responder = connected5(port, topic + "-a"), connected5(port, topic + "-b")
    requester.subscribe(f"{topic}/answers")
    responder.subscribe(f"{topic}/requests")
    requester.publish(f"{topic}/requests", b"?", 1, properties={"response_topic": f"{topic}/answers", "correlation_data": b"334"})
    request = responder.expect(Publish)
    assert request.properties is not None
    responder.publish(
        request.properties["response_topic"], b"!", 1, properties={"correlation_data": request.properties["correlation_data"]}
    )
    (answer,) = requester.expect_payloads(b"!")
    assert answer.properties == {"correlation_data": b"334"}


def test_message_expiry(port, topic):
    """[MQTT-3.3.2-5], [MQTT-3.3.2-6]: gone after the interval, retained ones too; the remaining one is sent."""
    client = connected5(port, topic, session_expiry_s=99999.0)
    client.subscribe(topic)
    client.disconnect()
    publisher = connected5(port, topic + "-publisher")
    publisher.publish(f"{topic}/retained", b"expires", 1, retain=True, properties={"message_expiry_interval": 1})
    for qos in (1, 2):
        publisher.publish(topic, b"expires", qos, properties={"message_expiry_interval": 1})
    for qos in (1, 2):
        publisher.publish(topic, b"stays", qos, properties={"message_expiry_interval": 60})
    time.sleep(2.2)
    client = connected5(port, topic, clean=False)
    for packet in client.expect_payloads(b"stays", b"stays"):
        assert packet.properties is not None
        assert 55 <= packet.properties["message_expiry_interval"] < 60
    client.subscribe(f"{topic}/retained")
    assert client.quiet() == []


def test_client_topic_alias(port, topic):
    """3.3.2.3.4."""
    client = connected5(port, topic, session_expiry_s=60.0)
    assert client.connack is not None
    assert (client.connack.properties or {})["topic_alias_maximum"] >= 1
    client.subscribe(f"{topic}/+")
    client.publish(f"{topic}/a", b"set", 1, properties={"topic_alias": 1})
    client.publish("", b"used", 1, properties={"topic_alias": 1})
    client.publish(f"{topic}/b", b"set again", 1, properties={"topic_alias": 1})
    client.publish("", b"used again", 1, properties={"topic_alias": 1})
    packets = client.expect_payloads(b"set", b"used", b"set again", b"used again")
    assert [packet.message.topic for packet in packets] == [f"{topic}/{name}" for name in "aabb"]
    assert all(not packet.properties for packet in packets)  # the alias is the connection's
    client.disconnect()
    client = connected5(port, topic, clean=False)
    client.publish("", b"forgotten", 1, properties={"topic_alias": 1}, wait=False)
    assert client.refused_with() in (0x82, 0x94)


@pytest.mark.differs("mosquitto 2.0.11 answers alias 0 with 0x81")
@pytest.mark.parametrize("alias", [0, 65_535])
def test_a_topic_alias_that_is_not_allowed(port, topic, alias):
    """[MQTT-3.3.2-8], [MQTT-3.3.2-9]: 0x94."""
    client = connected5(port, topic)
    client.publish(topic, b"m", 1, properties={"topic_alias": alias}, wait=False)
    assert client.refused_with() == 0x94


@pytest.mark.differs("mosquitto 2.0.11 uses no aliases towards its clients")
def test_server_topic_alias(port, topic):
    """3.1.2.11.5: as many as the client allows, none where it allows none."""
    client = connected5(port, topic, properties={"topic_alias_maximum": 1})
    client.subscribe(f"{topic}/+")
    for qos in (0, 1, 2):
        client.publish(f"{topic}/a", b"%d" % qos, qos)
    client.publish(f"{topic}/b", b"other", 1)
    packets = client.expect_payloads(b"0", b"1", b"2", b"other")
    assert [packet.message.topic for packet in packets] == [f"{topic}/a", "", "", f"{topic}/b"]
    assert [(packet.properties or {}).get("topic_alias") for packet in packets] == [1, 1, 1, None]


@pytest.mark.parametrize("properties", [None, {"topic_alias_maximum": 0}])
def test_no_server_topic_alias(port, topic, properties):
    """[MQTT-3.1.2-26], [MQTT-3.1.2-27]."""
    client = connected5(port, topic, properties=properties)
    client.subscribe(topic)
    for qos in (0, 1, 2):
        client.publish(topic, b"%d" % qos, qos)
    assert all(not packet.properties for packet in client.expect_payloads(b"0", b"1", b"2"))


def test_maximum_packet_size_of_the_client(port, topic):
    """[MQTT-3.1.2-24], [MQTT-3.1.2-25]: a larger packet is not sent, as if it had been; the next one is."""
    client = connected5(port, topic, properties={"maximum_packet_size": 128})
    client.subscribe(topic)
    for body in (b"." * 64, b"." * 128, b"next"):
        client.publish(topic, body, 1)
    client.expect_payloads(b"." * 64, b"next")


@pytest.mark.differs("mosquitto 2.0.11 is a few bytes off")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_maximum_packet_size_of_the_client_to_the_byte(port, topic, qos):
    """3.1.2.11.4: the whole packet counts, fixed header included."""
    client = connected5(port, topic, properties={"maximum_packet_size": 128})
    client.subscribe(topic)
    room = 128 - 2 - 2 - len(topic) - 1 - (2 if qos else 0)
    client.publish(topic, b"." * room, qos)
    client.publish(topic, b"." * (room + 1), qos)
    client.publish(topic, b"next", qos)
    client.expect_payloads(b"." * room, b"next")


@pytest.mark.differs("mosquitto 2.0.11 refuses a maximum below 20 and heeds it for PUBLISH alone")
def test_maximum_packet_size_holds_for_every_packet(port, topic):
    """[MQTT-3.1.2-24]: SUBACK and UNSUBACK that are too large do not come; what follows does. A CONNACK cannot be left out."""
    client = connected5(port, topic, properties={"maximum_packet_size": 30})
    filters = tuple((f"{n}", 0) for n in range(40))
    client.send(Subscribe(1, filters, V5))
    client.send(Unsubscribe(2, tuple(name for name, _ in filters), V5))
    client.send(PingReq())
    client.expect(PingResp)
    assert client.received == []
    client = WireClient(port, V5)
    client.send(Connect(topic, True, 60, V5, properties={"maximum_packet_size": 3}))
    assert client.bytes_until_closed() == b""


def test_a_smaller_maximum_packet_size_counts_for_what_is_sent_again(port, topic):
    """[MQTT-3.1.2-24] on the next connection: what does not fit there any more is done with, the next message comes."""
    client = connected5(port, topic, session_expiry_s=60.0, acknowledges=False)
    client.subscribe(topic)
    publisher = connected5(port, topic + "-publisher")
    for body in (b"." * 200, b"small"):
        publisher.publish(topic, body, 1)
    client.expect_payloads(b"." * 200, b"small")
    client.vanish()
    client = connected5(port, topic, clean=False, session_expiry_s=60.0, properties={"maximum_packet_size": 128})
    client.expect_payloads(b"small")
    client.disconnect()
    client = connected5(port, topic, clean=False)
    assert client.quiet() == []


@pytest.mark.differs("mosquitto 2.0.11 sends two more after one acknowledgement")
def test_receive_maximum_of_the_client(port, topic):
    """[MQTT-3.3.4-9]: no more than that many unacknowledged; one more for each acknowledgement."""
    client = connected5(port, topic, receive_maximum=2, acknowledges=False)
    client.subscribe(topic)
    for i in range(4):
        client.publish(topic, b"%d" % i, 1)
    first = client.expect_payloads(b"0", b"1")
    client.publish(topic, b"qos 0 is not counted", 0)
    client.expect_payloads(b"qos 0 is not counted")
    client.send(PubAck(first[0].packet_id))
    (third,) = client.expect_payloads(b"2")
    client.send(PubAck(first[1].packet_id))
    client.send(PubAck(third.packet_id))
    client.expect_payloads(b"3")


@pytest.mark.differs("mosquitto 2.0.11 answers PUBREC 0x97 and stays connected")
def test_receive_maximum_of_the_server(port, topic):
    """[MQTT-3.3.4-7]: DISCONNECT 0x93 for the client that sends more."""
    client = connected5(port, topic)
    assert client.connack is not None
    allowed = (client.connack.properties or {})["receive_maximum"]
    for _ in range(allowed):
        client.publish(topic, b"m", 2, wait=False)
    for _ in range(allowed):
        client.expect(PubRec)
    assert not client.closed
    client.publish(topic, b"m", 2, wait=False)
    assert client.refused_with(1.0) == 0x93


@pytest.mark.differs("mosquitto 2.0.11 answers PUBREC 0x97 and stays connected")
def test_receive_maximum_counts_for_one_connection(port, topic):
    """4.9: the quotas begin anew with each connection; what an earlier one has left without PUBREL does not count."""
    client = connected5(port, topic, session_expiry_s=60.0)
    assert client.connack is not None
    allowed = (client.connack.properties or {})["receive_maximum"]
    for _ in range(allowed):
        client.publish(topic, b"left behind", 2, wait=False)
    for _ in range(allowed):
        client.expect(PubRec)
    client.vanish()
    again = connected5(port, topic, clean=False, session_expiry_s=60.0)
    for _ in range(allowed):
        again.next_id()
    for _ in range(allowed):
        again.publish(topic, b"new", 2, wait=False)
    for _ in range(allowed):
        assert again.expect(PubRec).packet_id > allowed
    again.publish(topic, b"one too many", 2, wait=False)
    assert again.refused_with() == 0x93


@pytest.mark.differs("mosquitto 2.0.11 has no limit unless max_packet_size is set")
@pytest.mark.parametrize(("beyond", "code"), [(0, None), (1, 0x95)])
def test_maximum_packet_size_of_the_server_to_the_byte(port, topic, beyond, code):
    """[MQTT-3.2.2-15]: what CONNACK says counts for the whole packet; 0x95 for a larger one."""
    client = connected5(port, topic)
    assert client.connack is not None
    limit = (client.connack.properties or {})["maximum_packet_size"]
    payload = bytes(limit + beyond - 5 - 2 - len(topic) - 1)
    client.publish(topic, payload, 0)
    client.disconnect()
    assert [packet.code for packet in client.received if isinstance(packet, Disconnect)] == ([code] if code else [])


@pytest.mark.differs("mosquitto 2.0.11 answers PUBCOMP without a reason")
def test_an_acknowledgement_for_nothing(port, topic):
    """3.6.2.1, 3.7.2.1: PUBREL and PUBREC with an unknown identifier are answered with 0x92."""
    client = connected5(port, topic)
    client.send(PubRel(77))
    assert client.expect(PubCompWithReason, 1.0).code == 0x92
    client.send(PubRec(78))
    assert client.expect(PubRelWithReason).code == 0x92
