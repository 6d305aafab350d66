"""What a session delivers when its client comes back after the broker had noticed: docs/sources.md, Brokers 2 and 4."""

import pytest

from sim.protocols.mqtt_packets import PubAck, PubComp, Publish, PubRec, PubRel, SubAck
from tests.protocols.broker_at_hand import TOPIC, BrokerAtHand

MEASURED = ["mosquitto", "rabbitmq", "aedes", "aedes_redis"]


def noticed(preset: str, qos: int = 2) -> tuple[BrokerAtHand, list[int]]:
    """h1 (QoS 1), h2 (0), h3 (2), h4 (1) published while half-open, d1..d4 likewise after the broker had noticed.

    Returns the broker and the packet identifiers that the dead connection had been sent.
    """
    broker = BrokerAtHand(preset)
    old = broker.connect(keep_alive_s=10, acknowledges=False)
    old.subscribe(qos)
    old.fall_into_hole()
    broker.advance(1.0)
    for name, publish_qos in (("h1", 1), ("h2", 0), ("h3", 2), ("h4", 1)):
        broker.publish(name, publish_qos)
    broker.advance(60.0)
    for name, publish_qos in (("d1", 1), ("d2", 0), ("d3", 2), ("d4", 1)):
        broker.publish(name, publish_qos)
    broker.advance(70.0)
    return broker, [packet.packet_id for _, packet in old.missed if type(packet) is Publish and packet.qos]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("preset", MEASURED)
def test_a_resumed_session_delivers_in_order(preset, qos):
    """Brokers 2: session present 1; h1 h3 h4 d1 d3 d4, on RabbitMQ with d2 among them."""
    broker, _ = noticed(preset, qos)
    new = broker.connect(keep_alive_s=10)
    assert new.connack is not None
    assert new.connack.session_present
    with_d2 = ["d2"] if preset == "rabbitmq" else []
    assert new.published == ["h1", "h3", "h4", "d1", *with_d2, "d3", "d4"]


@pytest.mark.parametrize("preset", MEASURED)
def test_only_what_had_been_sent_before_bears_dup_and_not_on_aedes(preset):
    """Brokers 2, column DUP: 1 for h*, 0 for d*; aedes 0 for all."""
    broker, _ = noticed(preset)
    new = broker.connect(keep_alive_s=10)
    dup = not preset.startswith("aedes")
    assert {packet.dup for packet in new.publishes(["h1", "h3", "h4"])} == {dup}
    assert {packet.dup for packet in new.publishes(["d1", "d2", "d3", "d4"])} == {False}


@pytest.mark.parametrize("preset", ["mosquitto", "aedes", "aedes_redis"])
def test_identifiers_of_the_half_open_time_are_kept_and_new_ones_continue(preset):
    """Brokers 2, column packet id: h* keep 1, 2, 3; d* continue 4, 5, 6 on mosquitto, get new ones on aedes."""
    broker, sent = noticed(preset)
    new = broker.connect(keep_alive_s=10)
    assert [packet.packet_id for packet in new.publishes(["h1", "h3", "h4"])] == sent == [1, 2, 3]
    assert [packet.packet_id for packet in new.publishes(["d1", "d3", "d4"])] == [4, 5, 6]


def test_rabbitmq_numbers_from_one():
    """Brokers 2: numbered 1.. per connection."""
    broker, _ = noticed("rabbitmq")
    new = broker.connect(keep_alive_s=10)
    assert [packet.packet_id for packet in new.packets(Publish) if packet.qos] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("preset", MEASURED)
def test_qos_0_of_the_half_open_time_is_lost_and_of_the_offline_time_only_rabbitmq_keeps_it(preset):
    """Brokers 2, column QoS 0: lost / lost; RabbitMQ lost / delivered (as QoS 0). Fact 5."""
    broker, _ = noticed(preset)
    new = broker.connect(keep_alive_s=10)
    assert "h2" not in new.published
    if preset == "rabbitmq":
        assert [packet.qos for packet in new.publishes(["d2"])] == [0]
        assert broker.drops == []
    else:
        assert broker.drops == [("d2", "qos0_offline")]


def test_amqtt_never_notices_and_delivers_nothing():
    """Brokers 2, amqtt: it never noticed, so all eight went to the dead socket; lost."""
    broker, _ = noticed("amqtt")
    assert broker.connect(keep_alive_s=10).published == []
    assert {name for name, _cause in broker.drops} >= {"h1", "h3", "h4", "d1", "d3", "d4"}


@pytest.mark.parametrize(("preset", "granted"), [("spec", 2), ("mosquitto", 2), ("rabbitmq", 1), ("aedes", 2), ("aws_iot", 1)])
def test_rabbitmq_grants_and_acknowledges_qos_1_where_2_was_asked_for(preset, granted):
    """Brokers 2, column QoS 2: SUBACK grants 1; the publisher's QoS 2 is answered with PUBACK; delivered as QoS 1."""
    broker = BrokerAtHand(preset)
    client = broker.connect()
    client.subscribe(2)
    assert client.packets(SubAck)[0].codes == (granted,)
    broker.publish("m", 2)
    assert [packet.qos for packet in client.packets(Publish)] == [granted]
    answers = {type(packet) for _, packet in broker.publisher.received}
    assert (PubAck in answers, PubRec in answers) == (granted == 1, granted == 2)


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "aedes", "aedes_redis"])
def test_a_qos_2_message_takes_four_packets_and_is_then_forgotten(preset):
    """MQTT 3.1.1 4.3.3: PUBLISH, PUBREC, PUBREL, PUBCOMP."""
    broker, _ = noticed(preset)
    new = broker.connect(keep_alive_s=10)
    two = [packet.packet_id for packet in new.packets(Publish) if packet.qos == 2]
    assert [packet.packet_id for packet in new.packets(PubRel)] == two
    assert list(broker.machine.held()) == []
    assert broker.connect(keep_alive_s=10).published == []


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "aedes"])
def test_a_message_received_but_not_completed_is_released_after_the_offline_time(preset):
    """Brokers 2: "works, PUBREL after it"; MQTT 3.1.1 4.4."""
    broker = BrokerAtHand(preset)
    old = broker.connect(keep_alive_s=10, acknowledges=False)
    old.subscribe(2)
    broker.publish("m", 2)
    old.send(PubRec(1))
    old.fall_into_hole()
    broker.advance(60.0)
    new = broker.connect(acknowledges=False)
    assert new.published == []
    assert [packet.packet_id for packet in new.packets(PubRel)] == [1]
    new.send(PubComp(1))
    assert list(broker.machine.held()) == []


#: preset -> numbers delivered at the first, second and third connection of 3000 published to an offline session
OFFLINE = {
    "mosquitto": [range(1000)],
    "hivemq": [range(1000)],
    "emqx": [range(2000, 3000)],
    "rabbitmq": [range(3000)],
    "aedes": [range(3000)],
    "amqtt": [range(3000)],
    "aedes_redis": [range(1001), range(1001, 2002), range(2002, 3000)],
}


@pytest.mark.parametrize("preset", OFFLINE)
def test_how_many_of_3000_an_offline_session_keeps_and_which(preset):
    """Brokers 4 (measured): mosquitto 1000, oldest kept; RabbitMQ and aedes all; aedes-redis 1001, 1001, 998 by connection;
    amqtt with a user name all. Failure modes F6, F7 (read): HiveMQ CE drops the newest of 1000, EMQX the oldest."""
    broker = BrokerAtHand(preset)
    client = broker.connect()
    client.subscribe(1)
    client.lose_transport()
    for n in range(3000):
        broker.publish(str(n), size=1024)
    assert len(broker.publisher.packets(PubAck)) == 3000, "the publisher is not told of drops"
    kept = []
    for expected in OFFLINE[preset]:
        client = broker.connect()
        assert client.published == [str(n) for n in expected]
        kept += client.published
        client.lose_transport()
    dropped = [name for name, cause in broker.drops if cause == "queue_full"]
    assert sorted(kept + dropped, key=int) == [str(n) for n in range(3000)]
    assert broker.connect().published == []


@pytest.mark.parametrize(
    ("preset", "first", "second", "with_dup"),
    [
        pytest.param("rabbitmq", 3000, 0, 10, id="RabbitMQ: 3000, first 10 with DUP"),
        pytest.param("aedes", 3000, 0, 0, id="aedes memory: 3000"),
        pytest.param("aedes_redis", 1001, 1001, 0, id="aedes-redis: 1001 at the first connect, 1001 at the second"),
        pytest.param("mosquitto", 1020, 0, 20, id="mosquitto (fact 7): 1000 queued and 20 in flight"),
    ],
)
def test_how_many_of_3000_published_while_half_open_come_after_the_takeover(preset, first, second, with_dup):
    """Brokers 4, column "3000 while half-open, then takeover", and fact 7; the order with RabbitMQ: docs/brokers.md."""
    broker = BrokerAtHand(preset)
    old = broker.connect()
    old.subscribe(1)
    old.fall_into_hole()
    for n in range(3000):
        broker.publish(str(n), size=1024)
    new = broker.connect()
    assert len(new.published) == first
    order = [str(n) for n in range(first)]
    if preset == "rabbitmq":
        order = order[10:20] + order[:10] + order[20:]
    assert new.published == order
    assert sum(packet.dup for packet in new.packets(Publish)) == with_dup
    assert len(broker.connect().published) == second


def test_a_session_whose_backlog_exceeds_a_batch_still_gets_new_messages():
    """Brokers 4: aedes-redis keeps the rest of a backlog for later connections; what is published meanwhile is routed live."""
    broker = BrokerAtHand("aedes_redis")
    client = broker.connect()
    client.subscribe(1)
    client.lose_transport()
    for n in range(1500):
        broker.publish(str(n))
    client = broker.connect()
    assert len(client.published) == 1001
    broker.publish("live")
    assert client.published[-1] == "live"
    client.lose_transport()
    assert broker.connect().published == [str(n) for n in range(1001, 1500)]


#: preset -> unacknowledged messages of 300 that a client which never acknowledges gets
WINDOWS = {
    "mosquitto": 20,
    "rabbitmq": 10,
    "aedes": 300,
    "aedes_redis": 300,
    "amqtt": 300,
    "emqx": 32,
    "aws_iot": 100,
    "spec": 300,
}


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize(("preset", "window"), WINDOWS.items())
def test_how_many_messages_a_broker_sends_without_acknowledgement(preset, window, offline):
    """Brokers 4, column "unacked window" (measured); Failure modes 5 (read): EMQX 32, AWS IoT 100."""
    broker = BrokerAtHand(preset)
    client = broker.connect(acknowledges=False)
    client.subscribe(1)
    if offline:
        client.lose_transport()
    for n in range(300):
        broker.publish(str(n))
    if offline:
        client = broker.connect(acknowledges=False)
    assert client.published == [str(n) for n in range(window)]
    client.send(PubAck(client.packets(Publish)[0].packet_id))
    assert len(client.published) == min(300, window + 1)


@pytest.mark.parametrize(
    ("preset", "again", "dup"), [("mosquitto", 20, True), ("rabbitmq", 10, True), ("aedes", 300, False), ("amqtt", 0, False)]
)
def test_a_client_that_closes_without_acknowledging_gets_the_same_again(preset, again, dup):
    """Brokers 4, below the table: the same 20 / 10 with DUP=1, aedes all 300 with DUP=0, amqtt none (lost)."""
    broker = BrokerAtHand(preset)
    client = broker.connect(acknowledges=False)
    client.subscribe(1)
    for n in range(300):
        broker.publish(str(n))
    client.lose_transport()
    client = broker.connect(acknowledges=False)
    first = client.packets(Publish)[:again]
    assert client.published[:again] == [str(n) for n in range(again)]
    assert {packet.dup for packet in first} == ({dup} if again else set())


def test_a_message_for_nobody_is_dropped_with_that_cause():
    broker = BrokerAtHand("mosquitto")
    broker.publish("m", topic="vehicle/VIN9/down/ota")
    assert broker.drops == [("m", "no_subscription")]


@pytest.mark.parametrize(
    ("preset", "size", "dropped"),
    [("aws_iot", 200_000, True), ("emqx", 200_000, False), ("emqx", 2_000_000, True), ("mosquitto", 2_000_000, False)],
)
def test_a_packet_above_the_brokers_limit_is_refused(preset, size, dropped):
    """docs/sources.md, Real world 2.5: AWS IoT 128 KB, EMQX 1 MB, the protocol 256 MiB. The connection is closed."""
    broker = BrokerAtHand(preset)
    client = broker.connect()
    client.subscribe(1)
    broker.publish("m", size=size)
    assert broker.drops == ([("m", "payload_too_large")] if dropped else [])
    assert client.published == ([] if dropped else ["m"])
    assert (broker.publisher.closed is not None) == dropped


def test_a_clean_session_leaves_nothing_behind():
    """MQTT 3.1.1 3.1.2.4: neither subscriptions nor messages outlive the connection."""
    broker = BrokerAtHand("mosquitto")
    client = broker.connect(clean=True, acknowledges=False)
    client.subscribe(1)
    broker.publish("m1")
    client.lose_transport()
    broker.publish("m2")
    client = broker.connect(clean=True)
    assert client.connack is not None
    assert not client.connack.session_present
    assert client.published == []
    assert broker.drops == [("m1", "clean_session_discarded"), ("m2", "no_subscription")]
    client.subscribe(1, TOPIC)
    broker.publish("m3")
    assert client.published == ["m3"]


def test_clean_session_discards_what_a_persistent_one_had_left():
    """MQTT 3.1.1 3.1.2.4: "the Client and Server MUST discard any previous Session"."""
    broker = BrokerAtHand("mosquitto")
    client = broker.connect()
    client.subscribe(1)
    client.lose_transport()
    broker.publish("m1")
    client = broker.connect(clean=True)
    assert client.connack is not None
    assert not client.connack.session_present
    assert broker.drops == [("m1", "clean_session_discarded")]


def test_the_session_of_an_anonymous_amqtt_client_goes_with_its_connection():
    """Brokers 2, last bullets: removed although clean_session is false; 0 of 3000. A setting, off where there are user names."""
    broker = BrokerAtHand("amqtt", discards_after_disconnect=True)
    client = broker.connect()
    client.subscribe(1)
    client.disconnect()
    broker.publish("m1")
    client = broker.connect()
    assert client.connack is not None
    assert not client.connack.session_present
    assert client.published == []


@pytest.mark.parametrize(
    ("preset", "kept_s", "gone_s"),
    [("rabbitmq", 86_000, 87_000), ("emqx", 7_100, 7_300), ("aws_iot", 3_500, 3_700), ("mosquitto", 30 * 86_400, None)],
)
def test_how_long_a_session_outlives_its_connection(preset, kept_s, gone_s):
    """Failure modes F10 and 5 (read): RabbitMQ a day, EMQX 2 h, AWS IoT 1 h, mosquitto for ever."""
    for at_s, present in ((kept_s, True), (gone_s, False)):
        if at_s is None:
            continue
        broker = BrokerAtHand(preset)
        client = broker.connect(keep_alive_s=0)
        client.subscribe(1)
        client.lose_transport()
        broker.publish("m1")
        broker.advance(float(at_s))
        client = broker.connect()
        assert client.connack is not None
        assert client.connack.session_present == present
        assert broker.drops == ([] if present else [("m1", "session_expired")])


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "rabbitmq", "aedes"])
def test_only_rabbitmq_holds_qos_0_back_while_its_window_is_full(preset):
    """docs/brokers.md: RabbitMQ's prefetch counts for both of its queues."""
    broker = BrokerAtHand(preset)
    client = broker.connect(acknowledges=False)
    client.subscribe(1)
    window = min(broker.behaviour.inflight_limit, 50)
    for i in range(window):
        broker.publish(f"q{i}")
    broker.publish("z", 0)
    held = preset == "rabbitmq"
    assert ("z" in client.published) is not held
    client.send(PubAck(client.packets(Publish)[0].packet_id))
    assert "z" in client.published
