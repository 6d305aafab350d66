"""Weeks of parking in the model: what holds a connection behind a NAT, what a queue and a session keep, what it costs to run."""

import dataclasses
import math

import pytest

from sim.drive.config import CGNAT, Network
from sim.machine import Message
from sim.protocols.broker_presets import Broker
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTPersistent
from sim.strategies.workload import Diagnostics, Probes, Telemetry
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, attempts, drive, lost, run

HOUR, DAY = 3600.0, 86400.0
WEEK = dataclasses.replace(drive(Row(0.0), end_s=7 * DAY), parked=((100.0, 7 * DAY - 100.0),))
BEHIND_NAT = Network(access="cgnat", cgnat=CGNAT(idle_timeout_s=300.0))
REQUESTS = dataclasses.replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=HOUR, timeout_s=30.0))


@pytest.mark.parametrize(("keep_alive_s", "held"), [(30.0, True), (240.0, True), (299.0, True), (360.0, False), (600.0, False)])
def test_a_keep_alive_below_the_nats_timeout_holds_a_parked_connection(keep_alive_s, held):
    requests = dataclasses.replace(REQUESTS, diagnostics=Diagnostics(every_s=3700.0))
    seen = run(WEEK, MQTTPersistent(keep_alive_s=keep_alive_s), requests, network=BEHIND_NAT)
    rows = attempts(seen)
    latency_s = [done - m.created_s for done, m in zip(seen.record.delivered, seen.record.messages, strict=True)]
    if held:
        assert len(rows) == 1
        assert max(latency_s) < 1.0
        return
    # each ping after the NAT has forgotten the connection is answered with a reset
    assert len(rows) > 7 * DAY / (2 * keep_alive_s + 10.0)
    dead = [row for row in rows if row.reason == "reset"]
    assert all(0.0 < row.noticed_s - row.path_end_s < keep_alive_s - 300.0 + 1.0 for row in dead)
    assert max(latency_s) > 30.0


def test_time_parked_costs_no_events_but_those_of_what_is_sent():
    silent = run(WEEK, MQTTPersistent(keep_alive_s=0.0))
    assert silent.handled < 30  # the address poll of each 10 s is 60,480 times a week nothing
    pings = run(WEEK, MQTTPersistent(keep_alive_s=30.0))
    assert pings.handled < 5 * 7 * DAY / 30.0
    away = run(WEEK, MQTTPersistent(keep_alive_s=30.0, when_parked="disconnect"))
    assert away.handled < 100
    assert len(attempts(away)) == 2


@pytest.mark.parametrize("config", [MQTTPersistent(), Hybrid(), DDNSHeartbeat(address_watch="poll")])
def test_an_address_that_changes_while_parked_is_noticed_at_the_next_poll(config):
    moved = dataclasses.replace(drive(Row(0.0), Row(5003.0, 1), end_s=6000.0), parked=((100.0, 5900.0),))
    use = {Hybrid: "hybrid", DDNSHeartbeat: "ddns_heartbeat"}.get(type(config), "mqtt_persistent")
    seen = run(moved, dataclasses.replace(config, **({"heartbeat_s": 4000.0} if use == "ddns_heartbeat" else {})), use=use)
    rows = [row for row in seen.record.connections if row.trigger == "address"]
    assert len(rows) == 1
    assert 5003.0 < rows[0].asked_s <= 5013.0


@pytest.mark.parametrize(("limit", "kept"), [(1000, 166), (100, 100)])
def test_the_brokers_queue_keeps_what_is_sent_to_a_parked_vehicle_up_to_its_limit(limit, kept):
    server = dataclasses.replace(PLAIN, broker=Broker(preset="mosquitto", queue_limit=limit, inflight_limit=20))
    seen = run(WEEK, MQTTPersistent(when_parked="disconnect"), REQUESTS, server=server)
    assert len(seen.outcomes) == 167
    assert sum(outcome == "delivered" for outcome, _ in seen.outcomes) >= kept
    assert lost(seen) == ({"queue_full": 167 - kept} if kept < 166 else {})


def test_a_session_that_expires_while_parked_takes_the_queue_with_it():
    config = MQTTPersistent(when_parked="disconnect", version="5", session_expiry_s=DAY)
    server = dataclasses.replace(PLAIN, broker=Broker(preset="mosquitto"))
    seen = run(WEEK, config, REQUESTS, server=server)
    causes = lost(seen)
    assert causes["session_expired"] == 24
    assert causes["no_subscription"] == 143
    assert [row.session_present for row in attempts(seen)] == [0, 0]


def test_one_that_sleeps_delivers_within_its_interval():
    config = MQTTPersistent(when_parked="sleep", wake_every_s=2 * HOUR, awake_s=30.0)
    seen = run(WEEK, config, REQUESTS)
    late = [done - m.created_s for done, m in zip(seen.record.delivered, seen.record.messages, strict=True)]
    assert not [value for value in late[:-1] if math.isnan(value)]
    assert HOUR < max(late) <= 2 * HOUR + 30.0


def test_what_is_created_while_parked_is_a_setting():
    work = dataclasses.replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=10.0), probes=Probes(mean_gap_s=5.0))

    def created(while_parked: bool) -> list[Message]:
        telemetry = dataclasses.replace(work.telemetry, while_parked=while_parked)
        return run(WEEK, MQTTPersistent(), dataclasses.replace(work, telemetry=telemetry)).record.messages

    resting, going_on = created(False), created(True)
    on = [m for m in resting if m.kind == "telemetry"]
    assert all(m.created_s < 100.0 or m.created_s >= 7 * DAY - 100.0 for m in resting)
    assert [m.created_s for m in on] == [
        m.created_s for m in going_on if m.kind == "telemetry" and not 100.0 <= m.created_s < 7 * DAY - 100.0
    ]
    assert len([m for m in going_on if m.kind == "telemetry"]) == 60_479
    assert 20 <= len([m for m in resting if m.kind == "probe"]) <= 60  # 200 s of driving, a probe each 5 s
