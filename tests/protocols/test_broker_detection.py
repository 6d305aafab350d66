"""When a broker notices that a client is gone: docs/sources.md, Brokers 1. "Noticed": the will arrives at an observer."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.protocols.mqtt_packets import PingReq, Will
from tests.protocols.broker_at_hand import WILLS, BrokerAtHand

WILL = Will(WILLS, 10)


def noticed_after_s(
    preset: str, keep_alive_s: int, last_packet_s: float, tick_phase: float = 0.0, watched_s: float = 200.0
) -> float:
    """Seconds from the client's last packet to its will, CONNECT being at 0; inf where it does not come while watched."""
    broker = BrokerAtHand(preset, tick_phase, connack_delay_s=0.0)
    observer = broker.observer()
    client = broker.connect(keep_alive_s=keep_alive_s, will=WILL)
    broker.advance(last_packet_s)
    if last_packet_s:
        client.send(PingReq())
    client.fall_into_hole()
    broker.advance(last_packet_s + watched_s)
    wills = [at for at, packet in observer.received if getattr(packet, "message", None) is not None]
    if not wills:
        assert client.closed is None
        return math.inf
    assert client.closed == (wills[0], "keep_alive")
    return wills[0] - last_packet_s


#: brokers 1: the clients of the run sent their last packet 0, 2.5, 5, 7.5 and 9 s after CONNECT (K=30: 0 and 8 s);
#: mosquitto's groups ended 16.1, 22.1, 28.1 s after CONNECT, which is the phase of its tick in that run
MOSQUITTO_PHASE = (16.07 % 6.0) / 6.0
MEASURED = [
    ("mosquitto", 10, 0.0, 16.09),
    ("mosquitto", 10, 2.5, 19.55),
    ("mosquitto", 10, 5.0, 17.04),
    ("mosquitto", 10, 7.5, 20.56),
    ("mosquitto", 10, 9.0, 19.07),
    ("mosquitto", 30, 0.0, 46.13),
    ("mosquitto", 30, 8.0, 50.11),
    ("rabbitmq", 10, 0.0, 30.01),
    ("rabbitmq", 10, 2.5, 27.47),
    ("rabbitmq", 10, 5.0, 24.97),
    ("rabbitmq", 10, 7.5, 22.48),
    ("rabbitmq", 10, 9.0, 20.98),
    ("rabbitmq", 30, 0.0, 90.01),
    ("rabbitmq", 30, 8.0, 82.00),
    ("aedes", 10, 0.0, 15.00),
    ("aedes", 10, 5.0, 15.08),
    ("aedes", 10, 9.0, 15.00),
    ("aedes", 30, 0.0, 45.01),
    ("aedes", 30, 8.0, 45.02),
    ("aedes_redis", 10, 2.5, 15.00),
    ("aedes_redis", 30, 8.0, 45.02),
    ("amqtt", 10, 0.0, math.inf),
    ("amqtt", 10, 9.0, math.inf),
    ("amqtt", 30, 8.0, math.inf),
]


@pytest.mark.parametrize(("preset", "keep_alive_s", "last_packet_s", "measured_s"), MEASURED)
def test_a_broker_notices_as_late_as_measured(preset, keep_alive_s, last_packet_s, measured_s):
    """docs/sources.md, Brokers 1, every figure of the table."""
    seen_s = noticed_after_s(preset, keep_alive_s, last_packet_s, MOSQUITTO_PHASE)
    assert seen_s == measured_s or abs(seen_s - measured_s) <= 0.1


@pytest.mark.parametrize(("keep_alive_s", "cut_s"), [(10, 18.0), (20, 36.0), (2, 5.2)])
def test_mosquitto_of_another_run_lies_within_the_rule(keep_alive_s, cut_s):
    """docs/sources.md, Failure modes F1: mosquitto 2.0.11 cut K=10 at 18.0 s, K=20 at 36.0 s, K=2 at 5.2 s."""
    phases = [i / 60 for i in range(60)]
    seen = [noticed_after_s("mosquitto", keep_alive_s, 0.0, phase) for phase in phases]
    assert min(seen) <= cut_s <= max(seen) + 0.1


@given(keep_alive_s=st.integers(1, 300), last=st.floats(0.0, 1.4), phase=st.floats(0.0, 1.0, exclude_max=True))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize(
    ("preset", "earliest", "latest", "tick_s"),
    [
        ("spec", 1.5, 1.5, 0.0),
        ("aedes", 1.5, 1.5, 0.0),
        ("aedes_redis", 1.5, 1.5, 0.0),
        ("emqx", 1.5, 1.5, 0.0),
        ("hivemq", 1.5, 1.5, 0.0),
        ("aws_iot", 1.5, 1.5, 0.0),
        ("mosquitto", 1.5, 1.5, 6.0),
        ("rabbitmq", 2.0, 3.0, 0.0),
    ],
)
def test_each_broker_notices_within_its_rule(preset, earliest, latest, tick_s, keep_alive_s, last, phase):
    """docs/brokers.md; docs/sources.md, Brokers, fact 1: 1.5 K; mosquitto and a tick of 6 s; RabbitMQ 2 K to 3 K by phase."""
    last_s = round(last * keep_alive_s, 3)
    seen_s = noticed_after_s(preset, keep_alive_s, last_s, phase, watched_s=3.0 * keep_alive_s + 10.0)
    assert earliest * keep_alive_s - 1e-6 <= seen_s <= latest * keep_alive_s + tick_s + 1e-6


@pytest.mark.parametrize(
    "preset", ["spec", "mosquitto", "rabbitmq", "aedes", "aedes_redis", "amqtt", "emqx", "hivemq", "aws_iot"]
)
def test_a_client_without_keep_alive_is_never_given_up(preset):
    """docs/sources.md, Brokers 1: K=0 not noticed while watched, any broker. MQTT 3.1.1 3.1.2.10."""
    assert noticed_after_s(preset, 0, 5.0, watched_s=100_000.0) == math.inf


@pytest.mark.parametrize("preset", ["mosquitto", "rabbitmq", "aedes"])
def test_traffic_to_the_dead_client_does_not_delay_the_notice(preset):
    """docs/sources.md, Brokers 1: two clients got a QoS 1 publish each second meanwhile: no difference."""
    broker = BrokerAtHand(preset, connack_delay_s=0.0)
    client = broker.connect(keep_alive_s=10, will=WILL)
    client.subscribe(1)
    client.fall_into_hole()
    alone_s = noticed_after_s(preset, 10, 0.0)
    for second in range(1, 41):
        broker.advance(float(second))
        broker.publish(f"m{second}")
    assert client.closed is not None
    assert client.closed[0] == pytest.approx(alone_s)


@pytest.mark.parametrize("preset", ["spec", "mosquitto", "rabbitmq", "aedes"])
def test_a_client_that_pings_is_kept(preset):
    broker = BrokerAtHand(preset)
    client = broker.connect(keep_alive_s=10)
    for n in range(1, 200):
        broker.advance(10.0 * n)
        client.ping()
    assert client.closed is None
