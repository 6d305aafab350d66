"""A client that disconnects too often is refused for a while (EMQX flapping_detect; docs/sources.md, failure-modes F4)."""

import dataclasses

import pytest

from sim.protocols.broker_presets import PRESETS, Broker, BrokerBehaviour
from sim.protocols.flapping import Flapping
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from tests.model.runs import PLAIN, Row, attempts, drive, run, telemetry

EMQX = BrokerBehaviour(flapping_limit=15)


def test_fifteen_disconnections_within_a_minute_are_a_ban_of_five_minutes():
    flapping = Flapping(EMQX)
    for i in range(14):
        flapping.disconnected(4.0 * i, "v")
    assert not flapping.banned(56.0, "v")
    flapping.disconnected(56.0, "v")
    assert [flapping.banned(at, "v") for at in (56.0, 355.9, 356.0, 356.1)] == [True, True, False, False]
    assert not flapping.banned(60.0, "w")


def test_slower_ones_are_not():
    flapping = Flapping(EMQX)
    for i in range(100):
        flapping.disconnected(4.5 * i, "v")  # 14 in any minute
        assert not flapping.banned(4.5 * i, "v")


def test_no_preset_has_it_on():
    assert {behaviour.flapping_limit for behaviour, _text in PRESETS.values()} == {0}


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_banned_vehicle_is_refused_until_the_ban_is_over(version):
    """The NAT rebinds three times within a minute, and each time the vehicle takes its session over: three disconnections."""
    server = dataclasses.replace(PLAIN, broker=Broker(preset="spec", flapping_limit=3, flapping_ban_s=20.0))
    timeline = dataclasses.replace(drive(Row(0.0, rtt_s=0.08), end_s=200.0), rebinds_s=(100.5, 110.5, 120.5))
    config = MQTTPersistent(version=version, session_expiry_s=3600.0, backoff=Backoff(policy="fixed", base_s=2.0))
    seen = run(timeline, config, telemetry(1.0), server=server, access="cgnat")
    rows = attempts(seen)
    # the third takeover is at about 121.4 s, and it stands: the ban meets the next CONNECT
    assert [row.reason for row in rows] == ["reset", "reset", "reset", ""]
    timeline = dataclasses.replace(timeline, rebinds_s=(100.5, 110.5, 120.5, 130.5))
    rows = attempts(run(timeline, config, telemetry(1.0), server=server, access="cgnat"))
    banned = [row for row in rows if row.reason == "refused"]
    assert len(banned) >= 4
    assert {row.outcome for row in banned} == {"failed"}
    assert rows[-1].outcome == "ready"
    assert 141.3 <= rows[-1].connack_s < 144.0
