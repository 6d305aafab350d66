"""The same client id connects before the broker has noticed that the old connection is dead: docs/sources.md, Brokers 3."""

import pytest

from sim.machine import Message, TransportAccepted
from sim.protocols.mqtt_packets import (
    SESSION_TAKEN_OVER,
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Will,
)
from tests.protocols.broker_at_hand import PORT, TOPIC, WILLS, BrokerAtHand, Client

KEEPS_SESSIONS = ["spec", "mosquitto", "rabbitmq", "aedes", "aedes_redis", "emqx", "hivemq", "aws_iot"]
MEASURED = ["mosquitto", "rabbitmq", "aedes", "aedes_redis"]
WILL = Will(WILLS, 10)


def half_open(preset: str, qos: int = 2, *, will: Will | None = WILL, v5: bool = False, **overrides):
    """As in the measurements: u0 received and not acknowledged, the hole, then h1 (QoS 1), h2 (0), h3 (2), h4 (1) published.

    Returns broker, observer and the old connection; the clock stands 2 s after the hole.
    """
    broker = BrokerAtHand(preset, **overrides)
    observer = broker.observer()
    old = broker.connect(keep_alive_s=60, acknowledges=False, will=will, v5=v5, session_expiry_s=3600.0 if v5 else None)
    old.subscribe(qos)
    broker.publish("u0")
    broker.advance(1.0)
    old.fall_into_hole()
    for name, publish_qos in (("h1", 1), ("h2", 0), ("h3", 2), ("h4", 1)):
        broker.publish(name, publish_qos)
    broker.advance(3.0)
    return broker, observer, old


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("preset", KEEPS_SESSIONS)
def test_a_takeover_finds_the_session_at_once_and_closes_the_old_transport(preset, qos):
    """Brokers 3 and fact 3: CONNACK within 5 ms, session present 1, old socket to FIN-WAIT-1."""
    broker, _, old = half_open(preset, qos)
    new = broker.connect(keep_alive_s=60)
    assert new.connack is not None
    assert new.connack.session_present
    at, _ = next(item for item in new.received if type(item[1]) is ConnAck)
    assert at - 3.0 <= 0.005
    assert old.closed == (3.0, "taken_over")


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("preset", KEEPS_SESSIONS)
def test_what_went_to_the_dead_transport_is_redelivered_in_order_but_qos_0(preset, qos):
    """Brokers 3: u0 h1 h3 h4 on the new connection, h2 (QoS 0) lost; u0 twice: at least once, always."""
    broker, _, old = half_open(preset, qos)
    new = broker.connect(keep_alive_s=60)
    assert old.published == ["u0"]
    assert new.published == ["u0", "h1", "h3", "h4"]


@pytest.mark.parametrize(
    ("preset", "dup"), [("spec", True), ("mosquitto", True), ("rabbitmq", True), ("aedes", False), ("aedes_redis", False)]
)
def test_whether_redelivered_messages_bear_dup_depends_on_the_broker(preset, dup):
    """Brokers 3: all DUP=1 on mosquitto and RabbitMQ, DUP=0 on aedes; a client that de-duplicates by DUP fails there."""
    broker, _, _ = half_open(preset)
    new = broker.connect(keep_alive_s=60)
    assert [packet.dup for packet in new.packets(Publish)] == [dup] * 4


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "aedes", "aedes_redis"])
def test_packet_identifiers_are_kept(preset):
    """Brokers 3 and fact 4: ids 1-4 kept on mosquitto; aedes keeps its own too."""
    broker, _, old = half_open(preset)
    sent = [packet.packet_id for packet in old.packets(Publish)] + [
        packet.packet_id for _, packet in old.missed if type(packet) is Publish and packet.qos
    ]
    new = broker.connect(keep_alive_s=60)
    assert [packet.packet_id for packet in new.packets(Publish)] == sent == [1, 2, 3, 4]


def test_rabbitmq_numbers_packets_anew_on_each_connection():
    """Brokers, fact 4: a client that de-duplicates by packet id fails on RabbitMQ."""
    broker = BrokerAtHand("rabbitmq")
    old = broker.connect(acknowledges=True)
    old.subscribe(1)
    for n in range(5):
        broker.publish(f"before {n}")
    old.acknowledges = False
    old.fall_into_hole()
    broker.publish("h1")
    broker.publish("h2")
    assert [packet.packet_id for _, packet in old.missed] == [6, 7]
    new = broker.connect()
    assert [packet.packet_id for packet in new.packets(Publish)] == [1, 2]
    broker.publish("n1")
    assert new.packets(Publish)[-1].packet_id == 3


@pytest.mark.parametrize(
    ("preset", "published"),
    [("spec", True), ("aedes", True), ("aedes_redis", True), ("mosquitto", False), ("rabbitmq", False), ("amqtt", False)],
)
def test_of_the_brokers_measured_only_aedes_publishes_the_will_at_a_takeover(preset, published):
    """Brokers 3, column "will published". MQTT 3.1.1 3.1.2.5 asks for it: the connection closed without a DISCONNECT."""
    broker, observer, _ = half_open(preset)
    broker.connect(keep_alive_s=60)
    broker.advance(10.0)
    assert observer.published == (["will"] if published else [])


@pytest.mark.parametrize("preset", KEEPS_SESSIONS)
def test_a_message_published_after_the_takeover_is_delivered(preset):
    """Brokers 3, last column."""
    broker, _, _ = half_open(preset)
    new = broker.connect(keep_alive_s=60)
    broker.publish("after")
    assert new.published[-1] == "after"


def test_amqtt_is_deaf_after_a_takeover_until_the_next_connection():
    """Brokers 3, amqtt with a user name: nothing redelivered, connection up but deaf, message comes at the next reconnect."""
    broker, _, _ = half_open("amqtt")
    deaf = broker.connect(keep_alive_s=60)
    assert deaf.connack is not None
    assert deaf.connack.session_present
    broker.publish("after")
    broker.advance(20.0)
    assert deaf.published == []
    assert deaf.closed is None
    deaf.lose_transport()
    hearing = broker.connect(keep_alive_s=60)
    assert hearing.published == ["after"]
    assert [packet.dup for packet in hearing.packets(Publish)] == [False]
    assert {name for name, _cause in broker.drops} >= {"u0", "h1", "h3", "h4"}


def test_amqtt_raises_every_message_to_the_qos_of_the_subscription():
    """Brokers 2, last bullet but one: QoS 0 arrives as QoS 2 if subscribed so; fact 5: so QoS 0 is not lost there."""
    broker = BrokerAtHand("amqtt")
    client = broker.connect(acknowledges=False)
    client.subscribe(2)
    broker.publish("m", 0)
    assert [packet.qos for packet in client.packets(Publish)] == [2]


@pytest.mark.parametrize("preset", [*MEASURED, "amqtt"])
def test_a_live_old_connection_sees_a_plain_fin(preset):
    """Brokers 3: no MQTT packet before it, on all of mosquitto, RabbitMQ, aedes, amqtt."""
    broker = BrokerAtHand(preset)
    old = broker.connect()
    before = len(old.received)
    broker.connect()
    assert old.closed == (pytest.approx(broker.now, abs=0.01), "taken_over")
    assert len(old.received) == before


@pytest.mark.parametrize(
    ("preset", "told"), [("spec", True), ("emqx", True), ("hivemq", True), ("aws_iot", True), ("mosquitto", False)]
)
def test_with_mqtt_5_the_old_connection_is_told_why_but_not_by_mosquitto(preset, told):
    """MQTT 5 3.1.4-3: DISCONNECT 0x8E; Brokers 3: mosquitto 2.0.11 sent none, only FIN."""
    broker = BrokerAtHand(preset)
    old = broker.connect(v5=True, session_expiry_s=3600.0)
    broker.connect(v5=True, session_expiry_s=3600.0)
    codes = [packet.code for packet in old.packets(Disconnect)]
    assert codes == ([SESSION_TAKEN_OVER] if told else [])
    assert SESSION_TAKEN_OVER == 0x8E


def test_unacknowledged_messages_of_a_live_old_connection_come_again():
    """Brokers 3: "Un-acked messages come again as above"."""
    broker = BrokerAtHand("mosquitto")
    old = broker.connect(acknowledges=False)
    old.subscribe(1)
    broker.publish("m1")
    new = broker.connect()
    assert (old.published, new.published) == (["m1"], ["m1"])


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "aedes"])
def test_a_qos_2_message_that_was_received_is_released_and_not_sent_again(preset):
    """MQTT 3.1.1 4.3.3, 4.4: after PUBREC only the PUBREL is sent again."""
    broker = BrokerAtHand(preset)
    old = broker.connect(acknowledges=False)
    old.subscribe(2)
    broker.publish("m1", 2)
    broker.publish("m2", 2)
    old.send(PubRec(1))
    assert [packet.packet_id for packet in old.packets(PubRel)] == [1]
    new = broker.connect(acknowledges=False)
    assert [packet.packet_id for packet in new.packets(PubRel)] == [1]
    assert new.published == ["m2"]
    new.send(PubComp(1))
    new.send(PubRec(2))
    new.send(PubComp(2))
    last = broker.connect()
    assert last.published == []
    assert last.packets(PubRel) == []


def test_a_publisher_that_repeats_a_qos_2_message_does_not_publish_it_twice():
    """MQTT 3.1.1 4.3.3, method A: the packet identifier is kept until PUBREL, over a reconnection too."""
    broker = BrokerAtHand("spec")
    subscriber = broker.connect("subscriber")
    subscriber.subscribe(2)
    message = Message(77, "telemetry", TOPIC, 10, 2, 0.0)
    broker.names[77] = "m"
    old = broker.connect("sender", acknowledges=False)
    old.send(Publish(message, 2, 9))
    new = broker.connect("sender", acknowledges=False)
    new.send(Publish(message, 2, 9, dup=True))
    assert [packet.packet_id for packet in new.packets(PubRec)] == [9]
    assert subscriber.published == ["m"]
    new.send(PubRel(9))
    assert [packet.packet_id for packet in new.packets(PubComp)] == [9]
    new.send(Publish(message, 2, 9))
    assert subscriber.published == ["m", "m"], "after PUBREL the identifier is free again"


def test_what_the_old_connection_still_says_does_not_count():
    broker = BrokerAtHand("mosquitto")
    old = broker.connect(acknowledges=False)
    old.subscribe(1)
    broker.publish("m1")
    new = broker.connect(acknowledges=False)
    old.send(PubAck(1))
    old.disconnect()
    assert new.closed is None
    assert broker.connect().published == ["m1"]
    old.lose_transport()


def test_a_broker_that_blocks_takeovers_answers_only_after_the_old_connection_has_timed_out():
    """Brokers 3, hbmqtt: no CONNACK in 10 s while the old connection is believed alive; a setting here."""
    broker = BrokerAtHand("spec", takeover_blocks=True)
    old = broker.connect(keep_alive_s=10)
    old.fall_into_hole()
    broker.advance(2.0)
    assert broker.connect(keep_alive_s=10).connack is None
    broker.advance(16.0)
    assert old.closed == (pytest.approx(15.0, abs=0.01), "keep_alive")
    assert broker.connect(keep_alive_s=10).connack is not None


def test_a_connection_that_is_taken_over_before_its_connack_gets_none():
    """Two CONNECT within the time a broker needs for one: RabbitMQ takes 2.6 ms (Brokers 6)."""
    broker = BrokerAtHand("rabbitmq")
    first = Client(broker, 1, "vehicle", acknowledges=True)
    second = Client(broker, 2, "vehicle", acknowledges=True)
    for client in (first, second):
        broker.clients[client.transport] = client
        broker.perform(broker.machine.handle(broker.now, TransportAccepted(client.transport, PORT)))
        client.send(Connect("vehicle", False, 60))
        broker.advance(broker.now + 0.001)
    broker.advance(1.0)
    assert first.connack is None
    assert first.closed is not None
    assert len(second.packets(ConnAck)) == 1
