"""MQTT 5: connecting, sessions, wills, keep alive, closing with a reason."""

import time

import pytest

from sim.live.mqtt_codec import encode
from sim.protocols.mqtt_packets import V5, Auth, ConnAck, Connect, Disconnect, PingResp, Publish, PubRecWithReason, PubRel, Will
from tests.live.wire_client import WireClient, connected5

FOR_EVER = 4_294_967_295.0


def will(topic: str, **more) -> Will:
    return Will(topic, 4, 1, payload=b"dead", **more)


def test_basic(port, topic):
    client = connected5(port, topic)
    assert client.connack is not None
    assert not client.connack.session_present
    assert client.subscribe(topic) == (2,)
    for qos in (0, 1, 2):
        client.publish(topic, b"qos %d" % qos, qos)
    assert [packet.qos for packet in client.expect_payloads(b"qos 0", b"qos 1", b"qos 2")] == [0, 1, 2]
    client.disconnect()


def test_a_second_connect_is_an_error(port, topic):
    """[MQTT-3.1.0-2]; 0x82 before closing."""
    client = connected5(port, topic)
    client.send(Connect(topic, True, 60, V5))
    assert client.refused_with() in (0x82, None)


def test_a_wrong_protocol_name_is_refused(port, topic):
    client = WireClient(port, V5)
    client.send_bytes(encode(Connect(topic, True, 60, V5), V5).replace(b"\x00\x04MQTT", b"\x00\x04MQTX"))
    assert client.bytes_until_closed() in (b"", b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01")


def test_zero_length_client_id_is_assigned(port):
    """[MQTT-3.1.3-6], [MQTT-3.2.2-16]: also without clean start, and each its own."""
    ids = set()
    for clean in (False, True):
        client = WireClient(port, V5).connect("", clean=clean)
        assert client.connack is not None
        ids.add((client.connack.properties or {})["assigned_client_identifier"])
    assert len(ids) == 2
    assert "" not in ids


def test_session_expiry(port, topic):
    """3.1.2.11.2: absent and 0 end with the connection; a number of seconds; changed at DISCONNECT (3.14.2.2.2)."""
    connected5(port, topic).disconnect()
    assert not connected5_present(port, topic, 0.0)
    short, longer, prolonged = (f"{topic}-{name}" for name in ("short", "longer", "prolonged"))
    connected5(port, short, session_expiry_s=1.0).disconnect()
    connected5(port, longer, session_expiry_s=60.0).disconnect()
    connected5(port, prolonged, session_expiry_s=1.0).disconnect(properties={"session_expiry_interval": 60})
    time.sleep(2.3)  # mosquitto counts in whole seconds
    assert not connected5_present(port, short, 1.0)
    assert connected5_present(port, longer, 60.0)
    assert connected5_present(port, prolonged, 60.0)
    client = connected5(port, prolonged, clean=False, session_expiry_s=60.0)
    client.disconnect(properties={"session_expiry_interval": 0})
    assert not connected5_present(port, prolonged, 0.0)


def connected5_present(port: int, client_id: str, expiry_s: float) -> bool:
    client = connected5(port, client_id, clean=False, session_expiry_s=expiry_s)
    client.disconnect()
    assert client.connack is not None
    return client.connack.session_present


def test_a_session_that_was_to_end_cannot_be_prolonged_at_disconnect(port, topic):
    """[MQTT-3.1.2-23], 3.14.2.2.2: a protocol error."""
    client = connected5(port, topic)
    client.send(Disconnect(0, {"session_expiry_interval": 10}))
    assert client.refused_with() in (0x82, None)
    assert not connected5_present(port, topic, 0.0)


def test_clean_start_discards_and_the_new_session_stays(port, topic):
    """3.1.2.4."""
    connected5(port, topic, session_expiry_s=60.0).disconnect()
    client = connected5(port, topic, clean=True, session_expiry_s=60.0)
    assert client.connack is not None
    assert not client.connack.session_present
    client.disconnect()
    assert connected5_present(port, topic, 0.0)


def test_offline_message_queueing(port, topic):
    client = connected5(port, topic, session_expiry_s=99999.0)
    client.subscribe(f"{topic}/+")
    client.disconnect()
    publisher = connected5(port, topic + "-publisher")
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"qos %d" % qos, qos)
    client = connected5(port, topic, clean=False)
    bodies = [packet.message.body for packet in client.quiet(0.5)]
    assert bodies in ([b"qos 1", b"qos 2"], [b"qos 0", b"qos 1", b"qos 2"])


def test_redelivery_on_reconnect(port, topic):
    """4.4."""
    client = connected5(port, topic, session_expiry_s=99999.0, acknowledges=False)
    client.subscribe(f"{topic}/#")
    client.publish(f"{topic}/1", b"one", 1)
    publisher = connected5(port, topic + "-publisher")
    publisher.publish(f"{topic}/2", b"two", 2)
    first = [client.expect(Publish) for _ in range(2)]
    client.disconnect()
    client = connected5(port, topic, clean=False)
    again = [client.expect(Publish) for _ in range(2)]
    assert [(packet.message.body, packet.packet_id, packet.dup) for packet in again] == [
        (packet.message.body, packet.packet_id, True) for packet in first
    ]


def test_a_qos_2_exchange_that_was_refused_is_over(port, topic):
    """4.3.3: PUBREC with 0x80 or more; no PUBREL, nothing again."""
    client = connected5(port, topic, session_expiry_s=60.0, acknowledges=False)
    client.subscribe(topic)
    connected5(port, topic + "-publisher").publish(topic, b"refused", 2)
    packet = client.expect(Publish)
    client.send(PubRecWithReason(packet.packet_id, 0x97))
    client.quiet()
    assert not any(isinstance(packet, PubRel) for packet in client.received)
    client.vanish()
    client = connected5(port, topic, clean=False, session_expiry_s=60.0)
    assert client.quiet() == []


def test_will_message_with_properties(port, topic, broker):
    """3.1.3.2: user properties, content type, response topic, correlation data go with it; by keep alive here."""
    watcher = connected5(port, topic)
    watcher.subscribe(topic)
    properties = {
        "payload_format_indicator": 1,
        "content_type": "text",
        "response_topic": "answers",
        "correlation_data": b"7",
        "user_property": (("a", "2"), ("c", "3")),
    }
    silent = connected5(port, topic + "-silent", keep_alive_s=1, will=will(topic, properties=properties))
    (packet,) = watcher.expect_payloads(b"dead", within_s=9.0)
    assert packet.properties == properties
    if broker == "ours":
        assert silent.refused_with() == 0x8D  # 4.13.2


@pytest.mark.differs("mosquitto 2.0.11 takes it")
def test_a_will_whose_response_topic_has_wildcards_is_refused(port, topic):
    """[MQTT-3.3.2-14], 3.1.3.2.6."""
    client = WireClient(port, V5)
    client.send(Connect(topic, True, 60, V5, will=will(topic, properties={"response_topic": "answers/+"})))
    client.wait_until_closed()
    assert [packet.code for packet in client.received] in ([0x90], [0x82], [0x81])


@pytest.mark.differs("mosquitto 2.0.11 does not send the will at the end of the session")
def test_will_delay(port, topic):
    """3.1.3.2.2: after the interval or at the end of the session, whichever is first."""
    watcher = connected5(port, topic)
    watcher.subscribe(f"{topic}/#")
    for name, delay_s, expiry_s in (("both", 1.0, 5.0), ("session", 5.0, 1.0), ("none", 5.0, 0.0)):
        client = connected5(port, f"{topic}-{name}", session_expiry_s=expiry_s, will=will(f"{topic}/{name}", delay_s=delay_s))
        client.vanish()
    started_s = time.monotonic()
    at: dict[str, float] = {}
    for _ in range(3):
        packet = watcher.expect(Publish)
        at[packet.message.topic.rpartition("/")[2]] = time.monotonic() - started_s
    assert at["none"] < 0.5
    assert 0.5 < at["both"] < 2.6
    assert 0.5 < at["session"] < 3.2
    assert watcher.quiet() == []


def test_a_will_is_not_sent_where_the_client_is_back_within_the_delay(port, topic):
    """[MQTT-3.1.3-9]."""
    watcher = connected5(port, topic)
    watcher.subscribe(topic)
    connected5(port, topic + "-away", session_expiry_s=60.0, will=will(topic, delay_s=1.0)).vanish()
    connected5(port, topic + "-away", clean=False, session_expiry_s=60.0)
    assert watcher.quiet(2.2) == []


def test_a_will_goes_out_with_disconnect_0x04(port, topic):
    """3.14.2.1."""
    watcher = connected5(port, topic)
    watcher.subscribe(topic)
    connected5(port, topic + "-leaves", will=will(topic)).disconnect(4)
    watcher.expect_payloads(b"dead")


@pytest.mark.differs("mosquitto 2.0.11 sends no DISCONNECT at a takeover")
def test_a_session_taken_over_is_told_so(port, topic):
    """[MQTT-3.1.4-3]: 0x8E."""
    old = connected5(port, topic, session_expiry_s=60.0)
    new = connected5(port, topic, clean=False, session_expiry_s=60.0)
    assert new.connack is not None
    assert new.connack.session_present
    assert old.refused_with() == 0x8E


@pytest.mark.differs("mosquitto has no maximum of its own unless max_keepalive is set")
def test_server_keep_alive(port, topic):
    """[MQTT-3.2.2-21]."""
    client = connected5(port, topic, keep_alive_s=120)
    assert client.connack is not None
    assert (client.connack.properties or {})["server_keep_alive"] == 60
    client = connected5(port, topic, keep_alive_s=30)
    assert client.connack is not None
    assert "server_keep_alive" not in (client.connack.properties or {})


def test_authentication_is_refused(port, topic):
    """4.12: a method that is not supported is refused with 0x8C in CONNACK; AUTH without a method is a protocol error."""
    client = WireClient(port, V5).connect(topic, properties={"authentication_method": "SCRAM-SHA-1"}, expects=0x8C)
    client.wait_until_closed()
    client = connected5(port, topic)
    client.send(Auth(0x18))
    assert client.refused_with() in (0x82, None)


def test_pingreq_is_answered(port, topic):
    client = connected5(port, topic)
    client.send_bytes(b"\xc0\x00")
    client.expect(PingResp)


def test_a_client_of_311_takes_up_a_session_of_5(port, topic):
    """The session belongs to the client id, not to the version."""
    client = connected5(port, topic, session_expiry_s=60.0)
    client.subscribe(topic, properties={"subscription_identifier": (5,)})
    client.disconnect()
    connected5(port, topic + "-publisher").publish(topic, b"kept", 1, properties={"user_property": (("a", "b"),)})
    client = WireClient(port).connect(topic, clean=False)
    assert client.connack == ConnAck(True)
    client.expect_payloads(b"kept")
