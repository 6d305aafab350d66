from dataclasses import replace

import numpy as np
import pytest

from sim.drive.build import build_timeline
from sim.drive.config import DriveConfig, LinkSettings, Script, ScriptStep, Silences
from sim.drive.timeline import LinkState

from .drives import scripted

SEED = scripted(
    ScriptStep(0.0, cell="Tower-A", gateway="a", rtt_s=0.080),
    ScriptStep(15.0, cell="Tower-B", gateway="b"),
    ScriptStep(17.0, rtt_s=0.850),
)


def test_the_message_flow_of_the_seed():
    t = build_timeline(SEED, 1, 0)
    assert t.start_s.tolist() == [0.0, 15.0, 17.0]
    assert t.rtt_s.tolist() == [0.080, 0.080, 0.850]
    assert t.link.tolist() == [LinkState.UP, LinkState.LOST, LinkState.UP]
    assert [t.addresses[i] if i >= 0 else None for i in t.address] == ["10.1.1.100", None, "10.2.5.200"]
    assert [t.cells[i] for i in t.cell] == ["Tower-A", "Tower-B", "Tower-B"]
    assert [t.gateways[i] for i in t.gateway] == ["a", "b", "b"]
    assert [(d.kind, d.start_s, d.end_s, d.before, d.after) for d in t.disruptions] == [
        ("handover", 15.0, 15.0, "Tower-A", "Tower-B"),
        ("reassignment", 15.0, 17.0, "10.1.1.100", "10.2.5.200"),
    ]
    assert t.end_s == 60.0


def test_a_script_draws_nothing():
    first, second = (build_timeline(SEED, seed, replication) for seed, replication in ((1, 0), (2, 5)))
    assert first.start_s.tolist() == second.start_s.tolist()
    noisy = replace(SEED, link=LinkSettings(rate_sigma=1.0, silences=Silences(over_2s_per_hour=100.0)))
    assert build_timeline(noisy, 1, 0).rtt_s.tolist() == [0.080, 0.080, 0.850]


def test_what_the_first_step_leaves_open_comes_from_the_link():
    t = build_timeline(DriveConfig(script=Script((ScriptStep(0.0),), 10.0)), 1, 0)
    assert (t.rtt_s[0], t.downlink_bps[0], t.uplink_bps[0]) == (0.080, 20e6, 5e6)
    assert (t.gateways, len(t.addresses), t.link.tolist(), t.disruptions) == (("gateway",), 1, [LinkState.UP], ())
    assert np.isnan(t.x_m).all()


def test_held_and_lost_steps_are_disruptions():
    t = build_timeline(
        scripted(
            ScriptStep(0.0, cell="A", gateway="a"),
            ScriptStep(5.0, link="held", cause="lorry"),
            ScriptStep(5.5, rtt_s=0.2),
            ScriptStep(6.0, link="up"),
            ScriptStep(10.0, link="held", cell="B"),
            ScriptStep(10.1, link="up"),
            ScriptStep(20.0, link="lost", cause="tunnel"),
        ),
        1,
        0,
    )
    assert [(d.kind, d.start_s, d.end_s, d.cause) for d in t.disruptions] == [
        ("held", 5.0, 6.0, "lorry"),
        ("handover", 10.0, 10.1, ""),
        ("coverage_gap", 20.0, 60.0, "tunnel"),
    ]
    assert t.link[-1] == LinkState.LOST  # also in the drain


@pytest.mark.parametrize(("mode", "changes"), [("gateway_change", 1), ("every_handover", 2), ("never", 0)])
def test_modes(mode, changes):
    steps = (ScriptStep(0.0, cell="A", gateway="a"), ScriptStep(10.0, cell="B"), ScriptStep(20.0, cell="C", gateway="b"))
    t = build_timeline(scripted(*steps, mode=mode), 1, 0)
    assert sum(d.kind == "reassignment" for d in t.disruptions) == changes


def test_a_gateway_changes_in_a_script_even_while_the_link_is_lost():
    steps = (ScriptStep(0.0, gateway="a"), ScriptStep(10.0, link="lost", gateway="b"), ScriptStep(30.0, link="up"))
    t = build_timeline(scripted(*steps), 1, 0)
    (change,) = (d for d in t.disruptions if d.kind == "reassignment")
    assert (change.start_s, change.end_s) == (10.0, 12.0)


def test_lost_for_longer_than_the_network_waits():
    steps = (ScriptStep(0.0, gateway="a"), ScriptStep(10.0, link="lost"), ScriptStep(50.0, link="up"))
    t = build_timeline(scripted(*steps, reattach_after_s=30.0), 1, 0)
    (change,) = (d for d in t.disruptions if d.kind == "reassignment")
    assert (change.start_s, change.end_s, change.after) == (40.0, 52.0, "10.1.1.101")
