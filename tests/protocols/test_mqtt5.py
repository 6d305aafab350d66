"""MQTT 5 where it differs: session expiry, message expiry, will delay, receive maximum, clean start, versions."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.machine import Message
from sim.protocols.broker_limits import NO_LIMITS
from sim.protocols.broker_presets import PRESETS
from sim.protocols.mqtt5_connection import MQTT5Connection
from sim.protocols.mqtt_packets import V5, ConnAck, Connect, PubAck, Publish, Will
from tests.protocols.broker_at_hand import WILLS, BrokerAtHand

V5_PRESETS = ["spec", "mosquitto", "emqx", "hivemq", "aws_iot"]


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("preset", V5_PRESETS)
def test_without_a_session_expiry_interval_the_session_is_absent_after_an_interruption(preset, noticed):
    """docs/sources.md, Brokers 7: "session present False after the same interruption"; MQTT 5 3.1.2.11.2: absent means 0."""
    broker = BrokerAtHand(preset)
    old = broker.connect(v5=True, keep_alive_s=10)
    old.subscribe(1)
    old.fall_into_hole()
    broker.publish("m1")
    broker.advance(60.0 if noticed else 5.0)
    broker.publish("m2")
    new = broker.connect(v5=True, keep_alive_s=10)
    assert new.connack is not None
    assert not new.connack.session_present
    assert new.published == []
    assert [name for name, _cause in broker.drops] == ["m1", "m2"]
    assert broker.drops[0] == ("m1", "clean_session_discarded")


@pytest.mark.parametrize(("away_s", "present"), [(0.0, True), (29.0, True), (31.0, False)])
def test_a_session_ends_after_its_expiry_interval(away_s, present):
    """MQTT 5 3.1.2.11.2."""
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=30.0)
    client.subscribe(1)
    client.lose_transport()
    broker.publish("m1")
    broker.advance(away_s)
    client = broker.connect(v5=True, session_expiry_s=30.0)
    assert client.connack is not None
    assert client.connack.session_present == present
    assert client.published == (["m1"] if present else [])
    assert broker.drops == ([] if present else [("m1", "session_expired")])


@given(st.floats(0.0, 1e7), st.integers(0, 2**32 - 1), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_the_remaining_expiry_interval_is_never_more_than_the_received_one(now, interval, waited):
    """[MQTT-3.3.2-6], at any reading of the clock: less what it has waited, and never more than four bytes hold."""
    connection = MQTT5Connection(Connect("c", True, 60, V5), "c", 0.0, PRESETS["spec"][0], NO_LIMITS)
    received = Publish(Message(0, "other", "t", 0, 0, now), 0, version=V5, properties={"message_expiry_interval": interval})
    message = connection.incoming(now, received)
    assert isinstance(message, Message)
    sent = connection.outgoing(now + waited, message, 0, 0, False)
    assert (sent.properties or {})["message_expiry_interval"] == max(0, interval - waited)


def test_the_largest_expiry_interval_means_never():
    """MQTT 5 3.1.2.11.2: 0xFFFFFFFF."""
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=4294967295.0, keep_alive_s=0)
    client.lose_transport()
    assert broker.machine.next_deadline() == math.inf


def test_a_broker_may_end_a_session_earlier_than_asked_for():
    """RabbitMQ's maximum, a day, put on the standard's broker (docs/sources.md, Failure modes 5)."""
    broker = BrokerAtHand("spec", session_expiry_max_s=86400.0)
    client = broker.connect(v5=True, session_expiry_s=4294967295.0)
    client.lose_transport()
    broker.advance(90_000.0)
    client = broker.connect(v5=True)
    assert client.connack is not None
    assert not client.connack.session_present


def test_clean_start_discards_the_session_but_the_new_one_outlives_its_connection():
    """MQTT 5 3.1.2.4: clean start is about the past alone; the session expiry interval about the future."""
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=300.0)
    client.subscribe(1)
    client.lose_transport()
    broker.publish("m1")
    client = broker.connect(v5=True, clean=True, session_expiry_s=300.0)
    assert client.connack is not None
    assert not client.connack.session_present
    assert broker.drops == [("m1", "clean_session_discarded")]
    client.subscribe(1)
    client.lose_transport()
    broker.publish("m2")
    client = broker.connect(v5=True, session_expiry_s=300.0)
    assert client.connack is not None
    assert client.connack.session_present
    assert client.published == ["m2"]


@pytest.mark.parametrize(("expiry_s", "delivered"), [(None, True), (30.0, True), (5.0, False)])
def test_a_message_that_waits_longer_than_its_expiry_interval_is_dropped(expiry_s, delivered):
    """MQTT 5 3.3.2.3.3: deleted if delivery has not begun by then."""
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=300.0)
    client.subscribe(1)
    client.lose_transport()
    broker.publish("m1", expires_s=expiry_s)
    broker.publish("m2")
    broker.advance(10.0)
    client = broker.connect(v5=True, session_expiry_s=300.0)
    assert client.published == (["m1", "m2"] if delivered else ["m2"])
    assert broker.drops == ([] if delivered else [("m1", "message_expired")])


def test_a_message_whose_delivery_had_begun_does_not_expire():
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=300.0, acknowledges=False)
    client.subscribe(1)
    broker.publish("m1", expires_s=5.0)
    client.lose_transport()
    broker.advance(10.0)
    assert broker.connect(v5=True, session_expiry_s=300.0).published == ["m1"]


def will(delay_s: float) -> Will:
    return Will(WILLS, 10, delay_s=delay_s)


@pytest.mark.parametrize(
    ("delay_s", "session_expiry_s", "published_s"),
    [(0.0, 300.0, 0.0), (20.0, 300.0, 20.0), (300.0, 20.0, 20.0), (20.0, None, 0.0), (20.0, 0.0, 0.0)],
)
def test_a_will_waits_for_its_delay_or_the_end_of_the_session(delay_s, session_expiry_s, published_s):
    """MQTT 5 3.1.3.2.2: whichever happens first."""
    broker = BrokerAtHand("spec")
    observer = broker.observer()
    client = broker.connect(v5=True, session_expiry_s=session_expiry_s, will=will(delay_s))
    lost_s = broker.now
    client.lose_transport()
    broker.advance(lost_s + 1000.0)
    (at,) = [at for at, packet in observer.received if type(packet) is Publish]
    assert at - lost_s == pytest.approx(published_s)


def test_a_will_is_not_published_where_the_client_is_back_within_the_delay():
    """MQTT 5 3.1.3.2.2: a new network connection to the session before the interval has passed."""
    broker = BrokerAtHand("spec")
    observer = broker.observer()
    client = broker.connect(v5=True, session_expiry_s=300.0, will=will(20.0))
    client.lose_transport()
    broker.advance(10.0)
    client = broker.connect(v5=True, session_expiry_s=300.0)
    broker.advance(1000.0)
    assert observer.published == []


@pytest.mark.parametrize("v5", [False, True])
def test_a_client_that_disconnects_takes_its_will_with_it_unless_it_says_so(v5):
    """MQTT 3.1.1 3.14.4; MQTT 5 3.14.2.1: reason code 0x04, disconnect with will message."""
    broker = BrokerAtHand("spec")
    observer = broker.observer()
    broker.connect(v5=v5, will=will(0.0)).disconnect()
    assert observer.published == []
    if v5:
        broker.connect(v5=v5, will=will(0.0)).disconnect(code=4)
        assert observer.published == ["will"]


@pytest.mark.parametrize(
    ("preset", "receive_maximum", "window"),
    [("mosquitto", 5, 5), ("mosquitto", 100, 20), ("mosquitto", None, 20), ("spec", 5, 5), ("emqx", 5, 5), ("emqx", 100, 32)],
)
def test_the_window_is_the_lower_of_the_brokers_and_the_clients(preset, receive_maximum, window):
    """docs/sources.md, Brokers 4: mosquitto v5: min(20, client's receive maximum 5) = 5; MQTT 5 4.9."""
    broker = BrokerAtHand(preset)
    client = broker.connect(v5=True, session_expiry_s=300.0, receive_maximum=receive_maximum, acknowledges=False)
    client.subscribe(1)
    for n in range(100):
        broker.publish(str(n))
    assert len(client.published) == window


@given(before=st.integers(1, 30), after=st.integers(1, 30), n=st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_a_client_that_comes_back_with_a_smaller_receive_maximum_is_not_sent_more(before, after, n):
    """MQTT 5 4.9: at no time more unacknowledged messages than the receive maximum of this connection."""
    broker = BrokerAtHand("spec")
    client = broker.connect(v5=True, session_expiry_s=300.0, receive_maximum=before, acknowledges=False)
    client.subscribe(1)
    for i in range(n):
        broker.publish(str(i))
    client.lose_transport()
    client = broker.connect(v5=True, session_expiry_s=300.0, receive_maximum=after, acknowledges=False)
    assert len(client.published) == min(n, after)
    acknowledged = 0
    while acknowledged < len(client.packets(Publish)):
        client.send(PubAck(client.packets(Publish)[acknowledged].packet_id))
        acknowledged += 1
        assert len(client.packets(Publish)) - acknowledged <= after
    assert client.published == [str(i) for i in range(n)]


@pytest.mark.parametrize(
    ("preset", "code"),
    [
        pytest.param("aedes", 1, id="aedes: CONNACK return code 1"),
        pytest.param("aedes_redis", 1, id="aedes-redis: the same"),
        pytest.param(
            "rabbitmq",
            None,
            id="RabbitMQ 3.10: closes without a CONNACK",
        ),
    ],
)
def test_how_a_broker_without_mqtt_5_refuses_it(preset, code):
    """Brokers 3, last bullet."""
    broker = BrokerAtHand(preset)
    client = broker.connect(v5=True)
    assert client.closed is not None
    assert [packet.code for packet in client.packets(ConnAck)] == ([] if code is None else [code])


def test_amqtt_lets_a_client_with_mqtt_5_wait():
    """Brokers 3, last bullet: amqtt sends nothing for 10 s."""
    broker = BrokerAtHand("amqtt")
    client = broker.connect(v5=True)
    broker.advance(10.0)
    assert client.received == []
    assert client.closed is None
