"""Towers out of service: on a road another one takes over or there is a gap; in a script there is no other."""

import pytest

from sim.drive.build import build_timeline
from sim.drive.config import DriveConfig, LinkSettings, Script, ScriptStep, Tower, Waypoint
from sim.drive.outages import Outage
from sim.drive.timeline import LinkState

ROAD = (Waypoint((0.0, 0.0)), Waypoint((4000.0, 0.0), speed_mps=20.0))  # 200 s
TWO = (Tower("A", (0.0, 50.0), "west"), Tower("B", (4000.0, 50.0), "east"))
PLAIN = LinkSettings(realism=False)
SCRIPT = Script(
    (
        ScriptStep(0.0, link="up", cell="A", gateway="west", rtt_s=0.08),
        ScriptStep(100.0, link="up", cell="B", gateway="east", rtt_s=0.08),
    ),
    200.0,
)


def made(config, *outages):
    return build_timeline(config, 1, 0, faults=lambda end_s: (outages, ()))


def serving(timeline, at_s):
    row = max(i for i, start in enumerate(timeline.start_s.tolist()) if start <= at_s)
    cell = int(timeline.cell[row])
    return timeline.cells[cell] if cell >= 0 else "", LinkState(int(timeline.link[row]))


def test_the_next_tower_serves_while_one_is_out():
    config = DriveConfig(route=ROAD, towers=TWO, link=PLAIN)
    assert serving(made(config), 60.0) == ("A", LinkState.UP)
    timeline = made(config, Outage(50.0, 150.0, tower="A"))
    assert serving(timeline, 49.0) == ("A", LinkState.UP)
    assert serving(timeline, 60.0) == ("B", LinkState.UP)
    kinds = [d.kind for d in timeline.disruptions if 49.0 < d.start_s < 60.0]
    assert "tower_outage" in kinds
    assert "radio_link_failure" in kinds


def test_where_all_towers_of_a_region_are_out_there_is_no_service_until_they_are_back():
    config = DriveConfig(route=ROAD, towers=(TWO[0],), link=PLAIN)
    timeline = made(config, Outage(50.0, 80.0, gateway="west"))
    assert serving(timeline, 55.0)[1] is LinkState.LOST
    assert serving(timeline, 90.0) == ("A", LinkState.UP)
    told = [(d.start_s, d.end_s, d.before) for d in timeline.disruptions if d.kind == "region_outage"]
    assert told == [(50.0, 80.0, "west")]


@pytest.mark.parametrize(("outage", "spans"), [
    (Outage(50.0, 80.0, tower="A"), [(50.0, 80.0)]),
    (Outage(50.0, 150.0, tower="A"), [(50.0, 100.0)]),
    (Outage(50.0, 150.0, gateway="east"), [(100.0, 150.0)]),
    (Outage(150.0, 900.0, tower="B"), [(150.0, 900.0)]),
    (Outage(50.0, 80.0, tower="B"), []),
])  # fmt: skip
def test_a_script_is_without_service_while_its_cell_is_out(outage, spans):
    timeline = made(DriveConfig(script=SCRIPT), outage)
    assert [(d.start_s, d.end_s) for d in timeline.disruptions if d.kind == "coverage_gap"] == spans
    for start_s, end_s in spans:
        assert serving(timeline, (start_s + end_s) / 2)[1] is LinkState.LOST
        if end_s < 200.0:
            assert serving(timeline, end_s + 2.0)[1] is LinkState.UP


def test_rebinds_of_the_faults_are_added_to_those_of_the_nat():
    timeline = build_timeline(DriveConfig(script=SCRIPT), 1, 0, faults=lambda end_s: ((), (end_s - 50.0, 20.0)))
    assert timeline.rebinds_s == (20.0, 150.0)
