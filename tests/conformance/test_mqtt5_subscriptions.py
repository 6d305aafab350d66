"""MQTT 5: subscription options and identifiers, shared subscriptions, reason codes of SUBACK and UNSUBACK."""

import pytest

from sim.live.mqtt_codec import encode
from sim.protocols.mqtt_packets import V5, Subscribe, UnsubAck, Unsubscribe
from tests.live.wire_client import WireClient, connected5

NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08
IF_NEW, NEVER = 0x10, 0x20  # retain handling


def test_no_local(port, topic):
    """[MQTT-3.8.3-3]."""
    own, other = connected5(port, topic + "-own"), connected5(port, topic + "-other")
    for client in (own, other):
        client.subscribe((topic, 2 | NO_LOCAL))
    own.publish(topic, b"not for me", 1)
    other.expect_payloads(b"not for me")
    assert own.quiet() == []


@pytest.mark.differs("mosquitto 2.0.11 sends retained messages whoever published them")
def test_no_local_holds_for_retained_messages_too(port, topic):
    """[MQTT-3.8.3-3]: whoever published it does not get it back when it subscribes."""
    own, other = connected5(port, topic + "-own"), connected5(port, topic + "-other")
    own.publish(f"{topic}/a", b"kept", 1, retain=True)
    other.publish(f"{topic}/b", b"of the other", 1, retain=True)
    own.subscribe((f"{topic}/+", 2 | NO_LOCAL))
    own.expect_payloads(b"of the other")
    own.subscribe(f"{topic}/a")
    own.expect_payloads(b"kept")
    other.subscribe((f"{topic}/a", 2 | NO_LOCAL))
    other.expect_payloads(b"kept")
    for name in "ab":
        own.publish(f"{topic}/{name}", b"", 1, retain=True)


def test_retain_as_published(port, topic):
    """[MQTT-3.3.1-12], [MQTT-3.3.1-13]."""
    asks, does_not = connected5(port, topic + "-asks"), connected5(port, topic + "-does-not")
    asks.subscribe((topic, 2 | RETAIN_AS_PUBLISHED))
    does_not.subscribe(topic)
    asks.publish(topic, b"plain", 1)
    asks.publish(topic, b"retained", 1, retain=True)
    assert [packet.retain for packet in asks.expect_payloads(b"plain", b"retained")] == [False, True]
    assert [packet.retain for packet in does_not.expect_payloads(b"plain", b"retained")] == [False, False]
    asks.publish(topic, b"", 1, retain=True)


def test_retain_handling(port, topic):
    """3.8.3.1: 0 at each SUBSCRIBE, 1 for a new subscription, 2 never."""
    publisher = connected5(port, topic + "-publisher")
    for name in "abc":
        publisher.publish(f"{topic}/{name}", name.encode(), 1, retain=True)
    client = connected5(port, topic)
    for options, copies in ((2 | IF_NEW, 3), (2 | IF_NEW, 0), (2 | NEVER, 0), (2, 3), (2, 3)):
        client.subscribe((f"{topic}/+", options))
        assert len(client.quiet()) == copies
    late = connected5(port, topic + "-late")
    late.subscribe((f"{topic}/+", 2 | NEVER))
    assert late.quiet() == []
    for name in "abc":
        publisher.publish(f"{topic}/{name}", b"", 1, retain=True)


def test_subscription_identifiers(port, topic):
    """[MQTT-3.3.4-3], [MQTT-3.3.4-4]: of every subscription that matches."""
    one, two = connected5(port, topic + "-one"), connected5(port, topic + "-two")
    one.subscribe(topic, properties={"subscription_identifier": (456_789,)})
    two.subscribe(topic, properties={"subscription_identifier": (2,)})
    two.subscribe(f"{topic}/#", properties={"subscription_identifier": (3,)})
    two.publish(topic, b"m", 1)
    (packet,) = one.expect_payloads(b"m")
    assert packet.properties == {"subscription_identifier": (456_789,)}
    packets = two.quiet(0.5)  # one copy with both, or two copies
    found = sorted(identifier for packet in packets for identifier in (packet.properties or {})["subscription_identifier"])
    assert found == [2, 3]
    two.subscribe(topic)  # replaced by one without
    two.publish(topic, b"n", 1)
    found = [identifier for packet in two.quiet() for identifier in (packet.properties or {}).get("subscription_identifier", ())]
    assert found == [3]


def test_a_retained_message_has_the_identifier_too(port, topic):
    client = connected5(port, topic)
    client.publish(topic, b"kept", 1, retain=True)
    client.subscribe(topic, properties={"subscription_identifier": (9,)})
    (packet,) = client.expect_payloads(b"kept")
    assert packet.properties == {"subscription_identifier": (9,)}
    client.publish(topic, b"", 0, retain=True)


@pytest.mark.differs("mosquitto 2.0.11 sends retained messages to shared subscriptions")
def test_shared_subscriptions(port, topic):
    """4.8.2: one copy for all of a group, plain subscriptions beside it get theirs; no retained messages."""
    members = [connected5(port, f"{topic}-{i}") for i in range(2)]
    publisher = connected5(port, topic + "-publisher")
    publisher.publish(f"{topic}/x", b"retained", 1, retain=True)
    for member in members:
        assert member.subscribe(f"$share/{topic}/{topic}/x", f"{topic}/plain") == (2, 2)
    assert [member.quiet() for member in members] == [[], []]
    publisher.publish(f"{topic}/plain", b"all", 1)
    for member in members:
        member.expect_payloads(b"all")
    bodies = [b"%d" % i for i in range(10)]
    for body in bodies:
        publisher.publish(f"{topic}/x", body, 1)
    shares = [[packet.message.body for packet in member.quiet()] for member in members]
    assert sorted(shares[0] + shares[1]) == bodies
    assert all(shares)
    members[0].unsubscribe(f"$share/{topic}/{topic}/x")
    publisher.publish(f"{topic}/x", b"the other", 1)
    members[1].expect_payloads(b"the other")
    publisher.publish(f"{topic}/x", b"", 1, retain=True)


@pytest.mark.differs("mosquitto 2.0.11 gives members that are away their turn")
def test_a_shared_subscription_goes_to_a_member_that_is_connected(port, topic):
    here, away = connected5(port, topic + "-here"), connected5(port, topic + "-away", session_expiry_s=60.0)
    for member in (here, away):
        member.subscribe(f"$share/{topic}/{topic}")
    away.disconnect()
    publisher = connected5(port, topic + "-publisher")
    bodies = [b"%d" % i for i in range(4)]
    for body in bodies:
        publisher.publish(topic, body, 1)
    here.expect_payloads(*bodies)


@pytest.mark.differs("mosquitto refuses a filter by its access list alone, which these tests do not write")
def test_subscribe_failure(port, topic):
    client = connected5(port, topic)
    assert client.subscribe(("test/nosubscribe", 2), (topic, 1)) == (0x80, 1)


@pytest.mark.differs("mosquitto 2.0.11 closes on an invalid filter")
@pytest.mark.parametrize("name", ["a/#/b", "a+/b", "$share//a", "$share/x", "$share/+/a", ""])
def test_invalid_filters(port, topic, name):
    """4.7.1, 4.8.2: 0x8F for that one alone."""
    client = connected5(port, topic)
    assert client.subscribe((name, 0), (topic, 0)) == (0x8F, 0)


@pytest.mark.differs("mosquitto 2.0.11 takes it")
def test_no_local_on_a_shared_subscription(port, topic):
    """[MQTT-3.8.3-4]: a protocol error."""
    client = connected5(port, topic)
    client.send(Subscribe(1, ((f"$share/{topic}/x", 1 | NO_LOCAL),), V5))
    assert client.refused_with(1.0) == 0x82


def test_unsubscribe_says_what_there_was(port, topic):
    """3.11.3: 0x00 and 0x11."""
    client = connected5(port, topic)
    client.subscribe(topic)
    client.send(Unsubscribe(9, (topic, f"{topic}/never"), V5))
    assert client.expect(UnsubAck) == UnsubAck(9, (0x00, 0x11), V5)
    client.publish(topic, b"m", 1)
    assert client.quiet() == []


@pytest.mark.differs("mosquitto 2.0.11 sends one copy with the QoS of the subscription it finds first")
def test_overlapping_subscriptions(port, topic):
    """3.3.4."""
    client = connected5(port, topic)
    client.subscribe((f"{topic}/#", 2), (f"{topic}/+", 1))
    client.publish(f"{topic}/C", b"overlap", 2)
    assert sorted(packet.qos for packet in client.quiet(0.5)) in ([2], [1, 2])


def test_dollar_topics(port, topic):
    client = connected5(port, topic)
    client.subscribe("#")
    client.quiet()
    client.publish("$" + topic, qos=1)
    assert client.quiet() == []


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        pytest.param(b"\x36\x07\x00\x01a\x00\x01\x00m", {0x81}, id="QoS 3"),
        pytest.param(b"\x30\x05\x00\x02a+\x00", {0x81, 0x82, 0x90}, id="wildcard in a topic name"),
        pytest.param(b"\x32\x06\x00\x01a\x00\x00\x00", {0x81, 0x82}, id="packet identifier 0"),
        pytest.param(b"\x80\x07\x00\x01\x00\x00\x01a\x00", {0x81, 0x82}, id="SUBSCRIBE with wrong flags"),
        pytest.param(b"\x82\x03\x00\x01\x00", {0x81, 0x82}, id="SUBSCRIBE without a filter"),
        pytest.param(b"\x30\x05\x00\x02\xc0\x80\x00", {0x81}, id="not UTF-8"),
        pytest.param(b"\x30\xff\xff\xff\xff\x01", {0x81}, id="remaining length of five bytes"),
        pytest.param(b"\x00\x00", {0x81, 0x82}, id="packet type 0"),
        pytest.param(b"\x20\x03\x00\x00\x00", {0x81, 0x82}, id="CONNACK from a client"),
        pytest.param(b"\x30\x08\x00\x01a\x04\x01\x01\x01\x01", {0x81, 0x82}, id="a property twice"),
        pytest.param(b"\x30\x06\x00\x01a\x02\x0b\x01", {0x81, 0x82}, id="subscription identifier from a client"),
    ],
)
def test_what_is_malformed_is_answered_and_closed(port, broker, topic, data, codes):
    """4.13: a reason in DISCONNECT, or none, and the connection is closed; the broker serves on."""
    client = connected5(port, topic)
    client.send_bytes(data)
    if broker == "mosquitto" and data.endswith(b"\x0b\x01"):
        pytest.xfail("mosquitto 2.0.11 takes it")
    code = client.refused_with()
    assert code is None or code in codes
    WireClient(port, V5).connect(topic)


def test_encoding_of_a_subscription_identifier_0_is_refused(port, topic):
    """3.8.2.1.2."""
    client = connected5(port, topic)
    good = encode(Subscribe(1, ((topic, 0),), V5, {"subscription_identifier": (1,)}), V5)
    client.send_bytes(good.replace(b"\x0b\x01", b"\x0b\x00"))
    assert client.refused_with() in (0x82, 0x81, None)


@pytest.mark.differs("mosquitto 2.0.11 grants any number")
@pytest.mark.parametrize("kind", [Subscribe, Unsubscribe])
def test_more_filters_than_one_packet_may_have(port, topic, kind):
    """Our own bound, said with 0x97 (4.13): one packet must not keep the others waiting for seconds."""
    client = connected5(port, topic)
    one = (topic, 0) if kind is Subscribe else topic
    client.send(kind(1, (one,) * 1_001, V5))
    assert client.refused_with() == 0x97
