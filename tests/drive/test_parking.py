"""A parked vehicle: one row of the timeline, one cell or none, and a drive that goes on where it stopped."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.drive.build import build_timeline
from sim.drive.check import check_drive
from sim.drive.config import DriveConfig, LinkSettings, ScriptStep, Silences, Tower, Waypoint
from sim.drive.timeline import LinkState
from tests.drive.drives import scripted
from tests.drive.test_recorded import replay, rows

HOUR = 3600.0
TOWERS = tuple(Tower(f"T{i}", (1000.0 + 3000.0 * i, 200.0), "west" if i < 3 else "east") for i in range(6))
OFTEN = Silences(60.0, 30.0, 10.0, 2.0)


def garage(stop_s: float, loss_db: float = 15.0, **link) -> DriveConfig:
    """12 km, a stop half way, 12 km; 20 minutes of driving."""
    parked = Waypoint((12e3, 0.0), 20.0, stop_s, "off", loss_db)
    return DriveConfig(route=(Waypoint((0.0, 0.0)), parked, Waypoint((0.0, 0.0))), towers=TOWERS, link=LinkSettings(**link))


def inside(timeline, off_s, on_s):
    """Rows that begin within a parking, after the one with which it begins."""
    return int(((timeline.start_s > off_s) & (timeline.start_s < on_s)).sum())


@pytest.mark.parametrize("stop_s", [HOUR, 21 * 24 * HOUR])
def test_however_long_it_stands_a_parked_vehicle_is_one_row(stop_s):
    timeline = build_timeline(garage(stop_s, silences=OFTEN), 1, 0)
    ((off_s, on_s),) = timeline.parked
    assert (off_s, on_s, timeline.end_s) == (600.0, 600.0 + stop_s, 1200.0 + stop_s)
    assert inside(timeline, off_s, on_s) <= 1  # the end of a silence that was under way
    assert len(timeline.start_s) < 4000
    assert not [d for d in timeline.disruptions if off_s <= d.start_s < on_s]


def test_the_way_on_is_the_same_however_long_it_stood():
    short, long = (build_timeline(garage(stop_s, silences=OFTEN), 1, 0) for stop_s in (HOUR, 9 * HOUR))
    for timeline, off_s, on_s in ((short, 600.0, 600.0 + HOUR), (long, 600.0, 600.0 + 9 * HOUR)):
        assert (timeline.parked[0][0], timeline.parked[0][1]) == (off_s, on_s)
    first, second = short.start_s < 600.0, short.start_s >= 600.0 + HOUR
    again, later = long.start_s < 600.0, long.start_s >= 600.0 + 9 * HOUR
    assert np.allclose(short.start_s[second] + 8 * HOUR, long.start_s[later])
    for name in ("cell", "address", "link", "rtt_s", "downlink_bps", "x_m", "rsrp_dbm"):
        mine, other = getattr(short, name), getattr(long, name)
        assert np.array_equal(mine[first], other[again], equal_nan=name == "rsrp_dbm"), name
        assert np.allclose(mine[second], other[later], equal_nan=True), name


def test_walls_weaken_the_signal_by_their_loss():
    outside, inner = (build_timeline(garage(HOUR, loss_db, realism=False), 1, 0) for loss_db in (0.0, 20.0))
    at = [int(np.searchsorted(t.start_s, 600.0, side="right")) - 1 for t in (outside, inner)]
    assert outside.rsrp_dbm[at[0]] - inner.rsrp_dbm[at[1]] == pytest.approx(20.0)
    assert outside.cell[at[0]] == inner.cell[at[1]] >= 0


def test_deep_below_no_cell_is_heard_and_after_the_detach_the_address_is_new():
    timeline = build_timeline(garage(10 * HOUR, 120.0), 1, 0)
    parked = (timeline.start_s >= 600.0) & (timeline.start_s < 600.0 + 10 * HOUR)
    assert set(timeline.link[parked].tolist()) == {LinkState.LOST}
    assert set(timeline.cell[parked].tolist()) == {-1}
    changes = [d for d in timeline.disruptions if d.kind == "reassignment" and d.cause == "re-attach"]
    assert [(d.start_s, d.end_s) for d in changes] == [(600.0 + 3480.0, 600.0 + 10 * HOUR + 1.5)]
    gaps = [d for d in timeline.disruptions if d.kind == "coverage_gap" and d.cause.startswith("parked")]
    assert [(d.start_s, d.end_s) for d in gaps] == [(600.0, 600.0 + 10 * HOUR)]


def test_a_drive_may_begin_and_end_parked():
    route = (Waypoint((0.0, 0.0), None, HOUR, "off"), Waypoint((12e3, 0.0), 20.0, HOUR, "off", 120.0))
    timeline = build_timeline(DriveConfig(route=route, towers=TOWERS), 1, 0)
    assert timeline.parked == ((0.0, HOUR), (HOUR + 600.0, math.inf))  # it stays parked in the drain
    assert timeline.end_s == 2 * HOUR + 600.0
    assert timeline.link[-1] == LinkState.LOST
    alone = build_timeline(DriveConfig(route=(route[0],), towers=TOWERS), 1, 0)
    assert (alone.parked, alone.end_s, len(alone.start_s)) == (((0.0, math.inf),), HOUR, 1)


def test_a_stop_with_the_ignition_on_is_a_part_of_the_drive():
    config = garage(HOUR, 0.0)
    on = replace(config, route=(config.route[0], replace(config.route[1], ignition="on"), config.route[2]))
    timeline = build_timeline(on, 1, 0)
    assert timeline.parked == ()
    assert inside(timeline, 600.0, 600.0 + HOUR) > 3000


def test_a_script_says_when_the_ignition_is_off():
    timeline = build_timeline(
        scripted(
            ScriptStep(0.0, gateway="a"),
            ScriptStep(10.0, ignition="off"),
            ScriptStep(20.0, link="lost"),
            ScriptStep(30.0, link="up", ignition="on"),
            ScriptStep(50.0, ignition="off"),
        ),
        1,
        0,
    )
    assert timeline.parked == ((10.0, 30.0), (50.0, math.inf))
    assert [t for t in (10.0, 20.0, 30.0, 50.0) if t not in timeline.start_s] == []


def test_a_log_that_rests_with_the_ignition_has_no_gap(tmp_path):
    lines = rows("t_s,cell,ign", "0,a,1", "1,a,1", "2,a,0", "900,a,1", "901,b,1", "910,b,1")
    columns = {"cell": "cell", "ignition": "ign"}
    timeline = replay(tmp_path, lines, columns)
    assert timeline.parked == ((2.0, 900.0),)
    assert [(d.start_s, d.end_s) for d in timeline.disruptions if d.kind == "log_gap"] == [(901.0, 910.0)]
    assert [(d.start_s, d.end_s) for d in replay(tmp_path, lines, {"cell": "cell"}).disruptions if d.kind == "log_gap"] == [
        (2.0, 900.0),
        (901.0, 910.0),
    ]


def test_an_ignition_that_does_not_fit_is_named():
    stop, loss = Waypoint((0.0, 0.0), ignition="off"), Waypoint((1.0, 0.0), 1.0, 5.0, "on", 10.0)
    errors = check_drive(DriveConfig(route=(stop, loss), towers=TOWERS))
    assert [(error.key, error.text) for error in errors] == [
        ("route.0.ignition", "off is for a vehicle that stands, expected `stop` beside it, such as stop: 8 h"),
        ("route.1.indoor_loss", "is for a parked vehicle, expected `ignition: off` beside it"),
    ]
