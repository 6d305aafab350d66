"""Whatever the valid settings are, the timeline keeps its promises."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.build import build_timeline
from sim.drive.check import check_drive
from sim.drive.config import (
    RTT,
    DriveConfig,
    Gateway,
    Handover,
    LinkSettings,
    Network,
    Radio,
    Reassignment,
    Script,
    ScriptStep,
    Silences,
    Tower,
    Waypoint,
)
from sim.drive.outages import Outage
from sim.drive.timeline import LinkState

coordinates = st.tuples(st.floats(-5e3, 5e3), st.floats(-5e3, 5e3))
gateways = st.sampled_from(["a", "b"])
networks = st.builds(
    Network,
    gateways=st.just({"a": Gateway("10.1.1.100"), "b": Gateway()}),
    reassignment=st.builds(
        Reassignment,
        mode=st.sampled_from(["gateway_change", "every_handover", "never"]),
        delay_s=st.floats(0.0, 40.0),
        gateway_hold_s=st.floats(0.0, 40.0),
        sticky=st.booleans(),
        reattach_after_s=st.floats(1.0, 100.0),
    ),
)
links = st.builds(
    LinkSettings,
    rtt=st.builds(RTT, tail_share=st.floats(0.0, 1.0), inflation=st.floats(1.0, 3.0)),
    rate_sigma=st.floats(0.0, 2.0),
    silences=st.builds(Silences, over_2s_per_hour=st.floats(0.0, 200.0), over_30s_per_hour=st.floats(0.0, 50.0)),
    realism=st.booleans(),
)
radios = st.builds(
    Radio,
    model=st.sampled_from(["uma", "umi", "rma"]),
    frequency_hz=st.floats(0.7e9, 6e9),
    shadowing_db=st.none() | st.floats(0.0, 12.0),
    filter_coefficient=st.integers(0, 19),
)
handovers = st.builds(
    Handover,
    a3_offset_db=st.floats(-3.0, 6.0),
    time_to_trigger_s=st.sampled_from([0.0, 0.04, 0.32, 2.56]),
    interruption_s=st.floats(0.0, 0.5),
    failure_share=st.floats(0.0, 1.0),
)
waypoints = st.lists(
    st.builds(Waypoint, at_m=coordinates, speed_mps=st.floats(5.0, 60.0), stop_s=st.floats(0.0, 60.0)), min_size=1, max_size=4
)
towers = st.lists(st.tuples(coordinates, gateways, st.none() | st.just(2.1e9)), min_size=1, max_size=12)
routes = st.builds(
    lambda route, towers, **rest: DriveConfig(
        route=(*route, Waypoint((6e3, 0.0), 30.0)),
        towers=tuple(Tower(f"T{i}", at, gateway, frequency_hz=f) for i, (at, gateway, f) in enumerate(towers)),
        **rest,
    ),
    waypoints,
    towers,
    network=networks,
    link=links,
    radio=radios,
    handover=handovers,
)
script_steps = st.builds(
    ScriptStep,
    at_s=st.just(0.0),
    link=st.none() | st.sampled_from(["up", "held", "lost"]),
    cell=st.none() | st.sampled_from(["A", "B"]),
    gateway=st.none() | gateways,
    rtt_s=st.none() | st.floats(0.0, 2.0),
)


def in_order(steps: list[ScriptStep], gaps: list[float]) -> tuple[ScriptStep, ...]:
    at_s = [0.0, *np.cumsum(gaps).tolist()]
    return tuple(
        ScriptStep(t, s.link, s.cell, s.gateway, s.rtt_s, s.downlink_bps, s.uplink_bps) for t, s in zip(at_s, steps, strict=False)
    )


scripts = st.builds(
    lambda steps, gaps, network: DriveConfig(script=Script(in_order(steps, gaps), 500.0), network=network),
    st.lists(script_steps, min_size=1, max_size=8),
    st.lists(st.floats(0.1, 50.0), min_size=8, max_size=8),
    networks,
)


outages = st.lists(
    st.builds(
        lambda start_s, for_s, name: Outage(start_s, start_s + for_s, **name),
        st.floats(0.0, 400.0),
        st.floats(0.0, 60.0),
        st.sampled_from([{"tower": "T0"}, {"tower": "T1"}, {"tower": "A"}, {"gateway": "a"}, {"gateway": "b"}]),
    ),
    max_size=3,
)


def keeps_its_promises(config: DriveConfig, vehicle: int, out: list[Outage]) -> None:
    assert check_drive(config) == []
    t = build_timeline(
        config, 1, 0, vehicle, faults=lambda end_s: ([each for each in out if each.start_s < end_s], ())
    )  # LinkTimeline itself holds that rows rise, and no address means lost
    starts = [d.start_s for d in t.disruptions]
    assert starts == sorted(starts)
    for d in t.disruptions:
        assert 0.0 <= d.start_s <= d.end_s
        assert d.start_s <= t.end_s
        # what is under way at the end is carried to its end: a silence of a minute, an attach
        assert d.end_s <= t.end_s + 60.0
    for column, names in ((t.cell, t.cells), (t.gateway, t.gateways), (t.address, t.addresses)):
        assert column.min() >= -1
        assert column.max() < max(1, len(names))
    assert np.isfinite(t.rtt_s).all()
    assert (t.rtt_s >= 0.0).all()
    assert (t.downlink_bps > 0.0).all()
    assert (t.uplink_bps > 0.0).all()
    assert len(set(t.addresses)) == len(t.addresses)
    changes = [d for d in t.disruptions if d.kind == "reassignment"]
    given = [int(a) for a, last in zip(t.address, [-1, *t.address[:-1]], strict=True) if a >= 0 and a != last]
    # each address after the first one comes by a reassignment; without delay none is seen in between
    first = 1 if given else 0
    assert len(given) - first <= len(changes)
    if config.network.reassignment.mode == "never":
        assert changes == []
    # every row that is not up is explained
    blocked = np.zeros(len(t.start_s), dtype=bool)
    for d in t.disruptions:
        blocked |= (t.start_s >= d.start_s) & ((t.start_s < d.end_s) | (d.end_s >= t.end_s))
    before_first = (t.address < 0) & (np.cumsum(t.address >= 0) == 0)
    assert (blocked | before_first)[t.link != LinkState.UP].all()


@settings(max_examples=60, deadline=None)
@given(routes, st.integers(0, 3), outages)
def test_any_route(config, vehicle, out):
    keeps_its_promises(config, vehicle, out)


@settings(max_examples=100, deadline=None)
@given(scripts, st.integers(0, 3), outages)
def test_any_script(config, vehicle, out):
    keeps_its_promises(config, vehicle, out)
