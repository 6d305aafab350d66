"""When a vehicle notices that its path is dead: docs/sources.md, Brokers 7 (paho-mqtt 2.2.0), in the whole model."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.protocols.broker_presets import Broker
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, attempts, black_hole, drive, reassigned, run, telemetry, traced

PAHO = Backoff(policy="paho", base_s=1.0, cap_s=120.0)


def paho(keep_alive_s: float, **other: object) -> MQTTPersistent:
    """paho-python's client loop: no address watch, five seconds to connect, 1 s before the first attempt."""
    return MQTTPersistent(keep_alive_s=keep_alive_s, address_watch="off", connect_timeout_s=5.0, backoff=PAHO, **other)  # type: ignore[arg-type]


#: keep alive, TCP_USER_TIMEOUT, hole after CONNECT, publish after the hole (None: idle), measured range after the hole, reason
MEASURED = [
    pytest.param(10, 0, 2.0, None, (18.00, 18.03), "keep_alive", id="K=10 idle"),
    pytest.param(10, 0, 13.0, None, (16.99, 17.03), "keep_alive", id="K=10, hole 3 s after an answered ping"),
    pytest.param(10, 0, 2.0, 0.1, (18.01, 18.13), "keep_alive", id="K=10, publish pending from 0.1 s on: no sooner"),
    pytest.param(10, 0, 2.0, 5.0, (18.01, 18.13), "keep_alive", id="K=10, publish pending from 5 s on: no sooner"),
    pytest.param(30, 0, 2.0, None, (58.03, 58.05), "keep_alive", id="K=30 idle"),
    pytest.param(30, 0, 2.0, 0.1, (58.03, 58.16), "keep_alive", id="K=30 pending"),
    pytest.param(10, 5, 2.0, 0.1, (5.45, 5.65), "timed_out", id="K=10 pending, user timeout 5 s"),
    pytest.param(10, 5, 2.0, None, (13.48, 13.48), "timed_out", id="K=10 idle, user timeout 5 s: the ping fails"),
    pytest.param(30, 10, 2.0, 0.1, (10.54, 10.67), "timed_out", id="K=30 pending, user timeout 10 s"),
]


@pytest.mark.parametrize(("keep_alive_s", "user_timeout_s", "hole_s", "publish_s", "measured_s", "reason"), MEASURED)
def test_a_dead_path_is_noticed_as_late_as_measured(keep_alive_s, user_timeout_s, hole_s, publish_s, measured_s, reason):
    """docs/sources.md, Brokers 7, first table; a fifth of a second is allowed for threads and timers of a real machine."""
    workload = NOTHING_TO_SEND if publish_s is None else telemetry(hole_s + publish_s)
    seen = run(black_hole(hole_s, 80.0), paho(keep_alive_s, user_timeout_s=user_timeout_s), workload)
    first = attempts(seen)[0]
    assert first.reason == reason
    assert measured_s[0] - 0.2 <= first.noticed_s - hole_s <= measured_s[1] + 0.2


@pytest.mark.parametrize(
    ("keep_alive_s", "user_timeout_s", "pending", "connack_after_hole_s"),
    [(10, 0, False, 19.0), (30, 0, False, 59.05), (10, 5, True, 6.65), (30, 10, True, 11.54)],
)
def test_the_session_is_back_a_second_after_the_loss_was_noticed(keep_alive_s, user_timeout_s, pending, connack_after_hole_s):
    """docs/sources.md, Brokers 7, "Recovery": CONNACK with session present after the hole, from the new address."""
    workload = telemetry(2.1) if pending else NOTHING_TO_SEND
    seen = run(reassigned(2.0, 70.0), paho(keep_alive_s, user_timeout_s=user_timeout_s), workload)
    again = attempts(seen)[1]
    assert again.session_present == 1
    assert again.connack_s - 2.0 == pytest.approx(connack_after_hole_s, abs=0.25)


def test_a_publish_sent_before_the_loss_is_sent_again_after_the_reconnection():
    """docs/sources.md, Brokers 7, third row: "after the reconnect the publish is sent again, on_publish at once"."""
    seen = run(reassigned(2.0, 29.0), paho(10), telemetry(15.0))
    assert seen.record.sends[0] == 2
    assert seen.record.delivered[0] == pytest.approx(attempts(seen)[1].connack_s, abs=0.01)


def test_pings_go_out_every_keep_alive_whatever_else_is_sent():
    """docs/sources.md, Brokers 7: PINGREQ 10.02, 20.03, 30.04 s after CONNECT, with a SUBSCRIBE and publishes between."""
    seen = run(black_hole(39.0, 40.0), paho(10), telemetry(3.0))
    assert traced(seen, "vehicle", "send_packet", "PINGREQ") == pytest.approx([10.0, 20.0, 30.0], abs=0.05)


def test_by_the_idle_rule_a_ping_goes_out_only_after_a_keep_alive_without_sending():
    """MQTT 3.1.1 3.1.2.10: the client ensures that no more than a keep alive passes between control packets."""
    config = MQTTPersistent(keep_alive_s=10.0, address_watch="off", ping_rule="idle")
    busy = run(black_hole(99.0, 99.0), config, telemetry(3.0))
    assert traced(busy, "vehicle", "send_packet", "PINGREQ") == []
    idle = run(black_hole(59.0, 59.0), config, telemetry(25.0))
    assert traced(idle, "vehicle", "send_packet", "PINGREQ") == pytest.approx([10.0, 20.0, 35.0, 45.0], abs=0.05)


def test_a_ping_timeout_of_its_own_replaces_the_second_keep_alive():
    config = MQTTPersistent(keep_alive_s=10.0, address_watch="off", ping_timeout_s=3.0)
    seen = run(black_hole(2.0, 20.0), config)
    assert attempts(seen)[0].noticed_s == pytest.approx(13.0, abs=0.01)


@given(keep_alive_s=st.integers(5, 60), hole=st.floats(0.02, 3.0))
@settings(max_examples=30, deadline=None)
def test_a_dead_path_is_noticed_between_one_and_two_keep_alives_after_it_died(keep_alive_s, hole):
    """docs/sources.md, Brokers, fact 2: paho notices K..2 K after the path died."""
    hole_s = round(hole * keep_alive_s, 3)
    seen = run(black_hole(hole_s, hole_s + 3.0 * keep_alive_s), paho(float(keep_alive_s)), trace=False)
    waited = attempts(seen)[0].noticed_s - hole_s
    assert keep_alive_s - 0.05 <= waited <= 2 * keep_alive_s + 0.05


def test_without_keep_alive_and_without_data_a_dead_path_is_never_noticed():
    """docs/sources.md, Linux TCP (Brokers 8): idle, nothing in 1000 s."""
    seen = run(black_hole(2.0, 1500.0), paho(0.0))
    assert math.isnan(attempts(seen)[0].noticed_s)


def test_what_ends_a_connection_is_a_setting():
    """docs/sources.md, Seed D: the seed's code looks at nothing but its address."""
    config = MQTTPersistent(keep_alive_s=10.0, notices=("address",))
    unchanged = run(black_hole(2.0, 120.0), config)
    assert len(attempts(unchanged)) == 1
    changed = run(reassigned(2.0, 60.0), config)
    assert attempts(changed)[0].reason == "address"


def test_the_keep_alive_that_the_server_says_is_the_one_that_is_kept():
    """MQTT 5 [MQTT-3.1.2-21]: PINGREQ every 20 s, though 600 s were asked for."""
    server = dataclasses.replace(PLAIN, broker=Broker(preset="spec", keep_alive_max_s=20.0))
    seen = run(drive(Row(0.0), end_s=110.0), MQTTPersistent(version="5", keep_alive_s=600.0), server=server)
    pings = traced(seen, "vehicle", "send_packet", "PINGREQ")
    assert [round(at) for at in pings] == [20, 40, 60, 80, 100]
