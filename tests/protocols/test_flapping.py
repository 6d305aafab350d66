"""A client that disconnects too often is refused for a while (EMQX flapping_detect; docs/sources.md, failure-modes F4)."""

import dataclasses

import pytest

from sim.protocols.broker_presets import PRESETS, Broker, BrokerBehaviour
from sim.protocols.flapping import Flapping
from sim.server.config import Fault
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from tests.model.runs import PLAIN, attempts
from tests.model.server_faults import run_with

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
    """Three crashes of its node within a minute; refused with CONNACK, then with backoff until 20 s have passed."""
    broker = Broker(preset="spec", flapping_limit=3, flapping_ban_s=20.0)
    faults = [Fault("node_crash", at_s=at_s, for_s=0.5) for at_s in (100.0, 110.0, 120.0)]
    config = MQTTPersistent(version=version, session_expiry_s=3600.0, backoff=Backoff(policy="fixed", base_s=2.0))
    seen = run_with(faults, config, server=dataclasses.replace(PLAIN, broker=broker))
    rows = attempts(seen)
    banned = [row for row in rows if 121.0 < row.asked_s < 139.0]
    assert len(banned) >= 7
    assert {(row.outcome, row.reason) for row in banned} == {("failed", "refused")}
    assert rows[-1].outcome == "ready"
    assert 140.0 <= rows[-1].connack_s < 143.0
