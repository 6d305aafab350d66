"""MQTT 3.1.1 by scripted exchange: the subjects of the public interoperability suite for that version."""

import time

import pytest

from sim.live.mqtt_codec import encode
from sim.protocols.mqtt_packets import V311, ConnAck, Connect, PubComp, Publish, PubRec, PubRel, Will
from tests.live.wire_client import WireClient, connected


def test_basic(port, topic):
    """3.1, 3.3, 3.8: all three qualities of service from and to one client, in order."""
    client = connected(port, topic)
    assert client.connack == ConnAck(False)
    assert client.subscribe(topic) == (2,)
    for qos in (0, 1, 2):
        client.publish(topic, b"qos %d" % qos, qos)
    packets = client.expect_payloads(b"qos 0", b"qos 1", b"qos 2")
    assert [packet.qos for packet in packets] == [0, 1, 2]
    client.disconnect()


def test_a_second_connect_is_an_error(port, topic):
    """[MQTT-3.1.0-2]."""
    client = connected(port, topic)
    client.send(Connect(topic, True, 60))
    client.wait_until_closed()
    assert client.received == []


def test_a_wrong_protocol_name_or_version_is_refused(port, topic):
    """[MQTT-3.1.2-1], [MQTT-3.1.2-2]."""
    wrong_name = WireClient(port)
    wrong_name.send_bytes(encode(Connect(topic, True, 60), V311).replace(b"\x04MQTT", b"\x04MQTX"))
    assert wrong_name.bytes_until_closed() in (b"", b"\x20\x02\x00\x01")
    wrong_version = WireClient(port)
    wrong_version.send_bytes(encode(Connect(topic, True, 60), V311).replace(b"MQTT\x04", b"MQTT\x03"))
    assert wrong_version.bytes_until_closed() == b"\x20\x02\x00\x01"
    later_version = WireClient(port)
    later_version.send_bytes(encode(Connect(topic, True, 60), V311).replace(b"MQTT\x04", b"MQTT\x07"))
    assert later_version.bytes_until_closed() in (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00")


def test_the_first_packet_must_be_connect(port):
    """[MQTT-3.1.0-1]."""
    client = WireClient(port)
    client.send_bytes(b"\xc0\x00")
    client.wait_until_closed()


def test_retained_messages(port, topic):
    """3.3.1.3: the last of each topic for later subscribers, until one without payload clears it."""
    publisher = connected(port, topic + "-publisher")
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"old", qos, retain=True)
        publisher.publish(f"{topic}/{qos}", b"qos %d" % qos, qos, retain=True)
    subscriber = connected(port, topic)
    subscriber.subscribe(f"{topic}/+")
    found = {packet.message.body: packet for packet in (subscriber.expect(Publish) for _ in range(3))}
    assert {body: packet.qos for body, packet in found.items()} == {b"qos 0": 0, b"qos 1": 1, b"qos 2": 2}
    assert all(packet.retain for packet in found.values())
    assert subscriber.quiet() == []
    publisher.publish(f"{topic}/0", b"now", 0, retain=True)
    assert not subscriber.expect(Publish).retain  # [MQTT-3.3.1-9]: to an established subscription
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"", qos, retain=True)
    later = connected(port, topic + "-later")
    later.subscribe(f"{topic}/+")
    assert later.quiet() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_published_when_the_connection_is_lost(port, topic, qos):
    """3.1.2.5."""
    watcher = connected(port, topic)
    watcher.subscribe(topic)
    client = connected(port, topic + "-dies", will=Will(topic, 4, qos, payload=b"dead"))
    client.vanish()
    (packet,) = watcher.expect_payloads(b"dead")
    assert (packet.qos, packet.retain) == (qos, False)


def test_a_will_is_discarded_at_disconnect(port, topic):
    """[MQTT-3.14.4-3]."""
    watcher = connected(port, topic)
    watcher.subscribe(topic)
    connected(port, topic + "-leaves", will=Will(topic, 4, 1, payload=b"dead")).disconnect()
    assert watcher.quiet() == []


def test_a_retained_will_is_retained(port, topic):
    """[MQTT-3.1.2-17]."""
    connected(port, topic, will=Will(topic, 4, 1, True, payload=b"dead")).vanish()
    time.sleep(0.2)
    watcher = connected(port, topic + "-watcher")
    watcher.subscribe(topic)
    (packet,) = watcher.expect_payloads(b"dead")
    assert packet.retain


def test_zero_length_client_id(port):
    """[MQTT-3.1.3-7], [MQTT-3.1.3-8]: only with clean session; 0x02 otherwise."""
    refused = WireClient(port).connect("", clean=False, expects=2)
    refused.wait_until_closed()
    first = WireClient(port).connect("", clean=True)
    second = WireClient(port).connect("", clean=True)
    first.publish("x", qos=1)
    second.publish("x", qos=1)


def test_offline_message_queueing(port, topic):
    """3.1.2.4: QoS 1 and 2 wait for a session that is not connected; QoS 0 may."""
    client = connected(port, topic, clean=False)
    client.subscribe(f"{topic}/+")
    client.disconnect()
    publisher = connected(port, topic + "-publisher")
    for qos in (0, 1, 2):
        publisher.publish(f"{topic}/{qos}", b"qos %d" % qos, qos)
    client = connected(port, topic, clean=False)
    assert client.connack == ConnAck(True)
    bodies = [packet.message.body for packet in client.quiet(0.5)]
    assert bodies in ([b"qos 1", b"qos 2"], [b"qos 0", b"qos 1", b"qos 2"])


def test_a_clean_session_leaves_nothing(port, topic):
    """[MQTT-3.1.2-6]."""
    client = connected(port, topic, clean=False)
    client.subscribe(topic)
    client.disconnect()
    connected(port, topic, clean=True).disconnect()
    client = connected(port, topic, clean=False)
    assert client.connack == ConnAck(False)
    connected(port, topic + "-publisher").publish(topic, qos=1)
    assert client.quiet() == []


@pytest.mark.differs("mosquitto 2.0.11 sends one copy with the QoS of the subscription it finds first")
def test_overlapping_subscriptions(port, topic):
    """3.3.5: one copy with the highest QoS, or a copy for each subscription."""
    client = connected(port, topic)
    client.subscribe((f"{topic}/#", 2), (f"{topic}/+", 1))
    client.publish(f"{topic}/C", b"overlap", 2)
    assert sorted(packet.qos for packet in client.quiet(0.5)) in ([2], [1, 2])


def test_keep_alive(port, topic, broker):
    """3.1.2.10: a client that is silent for one and a half keep alives is gone, its will published; mosquitto looks each 5 s."""
    watcher = connected(port, topic)
    watcher.subscribe(topic)
    started_s = time.monotonic()
    silent = connected(port, topic + "-silent", keep_alive_s=1, will=Will(topic, 4, 2, payload=b"dead"))
    watcher.expect_payloads(b"dead", within_s=9.0)
    assert time.monotonic() - started_s > 1.4
    if broker == "ours":
        assert time.monotonic() - started_s < 2.5
    silent.wait_until_closed()


def test_a_client_that_pings_is_kept(port, topic):
    client = connected(port, topic, keep_alive_s=1)
    for _ in range(4):
        time.sleep(0.45)
        client.send_bytes(b"\xc0\x00")
    assert client.quiet() == []
    assert not client.closed


def test_redelivery_on_reconnect(port, topic):
    """4.4: what was not acknowledged is sent again with its identifier and DUP; after PUBREC the PUBREL alone."""
    client = connected(port, topic, clean=False, acknowledges=False)
    client.subscribe(f"{topic}/#")
    publisher = connected(port, topic + "-publisher")
    publisher.publish(f"{topic}/1", b"one", 1)
    publisher.publish(f"{topic}/2", b"two", 2)
    publisher.publish(f"{topic}/3", b"three", 2)
    first = [client.expect(Publish) for _ in range(3)]
    client.send(PubRec(first[2].packet_id))
    assert client.expect(PubRel).packet_id == first[2].packet_id
    client.vanish()
    client = connected(port, topic, clean=False, acknowledges=False)
    again = [client.expect(Publish) for _ in range(2)]
    assert [packet.message.body for packet in again] == [b"one", b"two"]
    assert [(packet.packet_id, packet.dup) for packet in again] == [(packet.packet_id, True) for packet in first[:2]]
    assert client.expect(PubRel).packet_id == first[2].packet_id
    client.send(PubComp(first[2].packet_id))
    client.vanish()
    client = connected(port, topic, clean=False)
    assert [packet.message.body for packet in client.quiet(0.5)] == [b"one", b"two"]
    client.disconnect()
    assert connected(port, topic, clean=False).quiet() == []


def test_a_publisher_that_repeats_a_qos_2_message_publishes_it_once(port, topic):
    """4.3.3: the identifier is kept until PUBREL."""
    client = connected(port, topic)
    client.subscribe(topic)
    publisher = connected(port, topic + "-publisher", clean=False)
    packet_id = publisher.publish(topic, b"once", 2, wait=False)
    publisher.expect(PubRec)
    publisher.vanish()
    publisher = connected(port, topic + "-publisher", clean=False)
    publisher.publish(topic, b"once", 2, wait=False)
    assert publisher.expect(PubRec).packet_id == packet_id
    publisher.send(PubRel(packet_id))
    publisher.expect(PubComp)
    client.expect_payloads(b"once")


@pytest.mark.differs("mosquitto refuses a filter by its access list alone, which these tests do not write")
def test_subscribe_failure(port, topic):
    """[MQTT-3.9.3-1]: 0x80 for the filter refused, the others are granted."""
    client = connected(port, topic)
    assert client.subscribe(("test/nosubscribe", 2), (topic, 1)) == (0x80, 1)
    client.publish("test/nosubscribe")
    client.publish(topic, b"granted", 1)
    client.expect_payloads(b"granted")


def test_dollar_topics(port, topic):
    """[MQTT-4.7.2-1]: a filter that begins with a wildcard does not match them."""
    client = connected(port, topic)
    client.subscribe("#", "+/" + topic)
    client.quiet()
    client.publish("$" + topic, qos=1)
    client.publish("$x/" + topic, qos=1)
    assert [packet.message.topic for packet in client.quiet()] == []
    client.subscribe(f"${topic}/#")
    client.publish(f"${topic}/a", b"named", 1)
    assert client.expect(Publish).message.body == b"named"


def test_unsubscribe(port, topic):
    """3.10.4."""
    client = connected(port, topic)
    client.subscribe(f"{topic}/a", f"{topic}/b", f"{topic}/c")
    client.unsubscribe(f"{topic}/a", f"{topic}/never")
    publisher = connected(port, topic + "-publisher")
    for name in "abc":
        publisher.publish(f"{topic}/{name}", name.encode(), 1)
    client.expect_payloads(b"b", b"c")


def test_wildcards(port, topic):
    """4.7.1: the table of the standard."""
    client = connected(port, topic)
    client.subscribe(f"{topic}/sport/tennis/player1/#", f"{topic}/+/finance")
    tennis = ("sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player2")
    for name in (*tennis, "/finance", "x/finance", "x/y/finance"):
        client.publish(f"{topic}/{name}", name.encode(), 1)
    client.expect_payloads(b"sport/tennis/player1", b"sport/tennis/player1/ranking", b"/finance", b"x/finance")


def test_a_new_connection_takes_the_session_over(port, topic):
    """[MQTT-3.1.4-2]: the old one is closed."""
    old = connected(port, topic, clean=False, acknowledges=False)
    old.subscribe(topic)
    new = connected(port, topic, clean=False)
    assert new.connack == ConnAck(True)
    old.wait_until_closed()
    connected(port, topic + "-publisher").publish(topic, b"for the new", 1)
    new.expect_payloads(b"for the new")


def test_messages_of_a_publisher_come_in_order(port, topic):
    """4.6."""
    client = connected(port, topic)
    client.subscribe(topic)
    publisher = connected(port, topic + "-publisher")
    bodies = [b"%d" % i for i in range(200)]
    for body in bodies:
        publisher.publish(topic, body, 1, wait=False)
    client.expect_payloads(*bodies)
