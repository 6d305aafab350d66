"""Rebinds of the carrier's NAT on the timeline."""

import pytest

from sim.drive.build import build_timeline
from sim.drive.config import CGNAT, DriveConfig, Network, Script, ScriptStep

SCRIPT = Script((ScriptStep(0.0, link="up", cell="a", rtt_s=0.08),), 7200.0)


def timeline(access="cgnat", replication=0, **cgnat):
    return build_timeline(DriveConfig(script=SCRIPT, network=Network(access=access, cgnat=CGNAT(**cgnat))), 1, replication)


def test_given_instants_are_on_the_timeline_and_among_the_disruptions():
    made = timeline(rebind_at_s=(300.0, 60.5, 9000.0))
    assert made.rebinds_s == (60.5, 300.0)
    assert [(d.kind, d.start_s, d.end_s) for d in made.disruptions] == [("rebind", 60.5, 60.5), ("rebind", 300.0, 300.0)]
    assert timeline("public", rebind_at_s=(60.5,)).rebinds_s == ()


def test_random_ones_come_at_the_rate_and_differ_between_drives_only():
    drawn = [timeline(replication=n, rebinds_per_hour=10.0).rebinds_s for n in range(60)]
    assert sum(map(len, drawn)) / 60 == pytest.approx(20.0, rel=0.1)  # Poisson: 20 +- 0.6
    assert len(set(drawn)) == 60
    assert drawn[3] == timeline(replication=3, rebinds_per_hour=10.0).rebinds_s
    assert all(0.0 < at < 7200.0 for rebinds in drawn for at in rebinds)
