from pathlib import Path

import numpy as np
import pytest

from sim.drive.build import build_timeline
from sim.drive.config import DriveConfig, Gateway, Network, Reassignment, Recorded, RecordedColumns
from sim.drive.recorded import floor_and_holds
from sim.drive.timeline import LinkState

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def replay(folder: Path, text: str, columns: dict, **settings):
    (folder / "log.csv").write_text(text, encoding="utf-8")
    network = settings.pop("network", Network())
    config = DriveConfig(recorded=Recorded("log.csv", RecordedColumns(**columns), **settings), network=network)
    return build_timeline(config, 1, 0, folder=folder)


def rows(header: str, *lines: str) -> str:
    return "\n".join((header, *lines)) + "\n"


def test_the_floor_is_the_least_rtt_of_the_window_and_what_is_above_holds():
    time_s = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    floor, holds = floor_and_holds(time_s, np.array([0.050, 0.040, 0.540, 0.041, 0.060]), 60.0)
    assert floor.at(time_s).tolist() == [0.050, 0.040, 0.040, 0.040, 0.060]
    assert holds == [(2.0, 2.5)]  # 1 ms of jitter is no queue


def test_overlapping_holds_are_merged():
    _, holds = floor_and_holds(np.array([0.0, 1.0, 1.5, 2.0, 9.0]), np.array([0.04, 3.04, 2.54, 0.54, 0.04]), 60.0)
    assert holds == [(1.0, 4.0)]


def test_blank_rtt_keeps_the_floor():
    floor, holds = floor_and_holds(np.array([0.0, 1.0, 2.0]), np.array([np.nan, 0.08, np.nan]), 60.0)
    assert (floor.value.tolist(), holds) == ([0.08], [])


def test_measured_rtt_becomes_floor_and_hold(tmp_path):
    t = replay(tmp_path, rows("t_s,rtt_ms", "100,50", "101,1050", "102,50", "103,50"), {"rtt": "rtt_ms"})
    assert t.end_s == 3.0
    assert set(t.rtt_s) == {0.05}
    assert [(t.start_s[i], t.start_s[i + 1]) for i in np.flatnonzero(t.link == LinkState.HELD)] == [(1.0, 2.0)]
    assert [(d.kind, d.start_s, d.end_s) for d in t.disruptions] == [("held", 1.0, 2.0)]
    assert t.measured == ("rtt",)


@pytest.mark.parametrize(
    ("column", "text", "bps"),
    [
        ("dl_kbps", "500", 5e5),
        ("dl_mbps", "5", 5e6),
        ("dl_bps", "5000", 5e3),
        ("down", "500", 5e5),
        ("down", "0", 1e3),
        ("down", "", 20e6),
    ],
)
def test_the_suffix_of_a_rate_column_is_its_unit(tmp_path, column, text, bps):
    t = replay(tmp_path, rows(f"t_s,{column}", f"0,{text}", "1,7", f"2,{text}"), {"downlink": column})
    assert (t.downlink_bps[0], t.uplink_bps[0]) == (bps, 5e6)


@pytest.mark.parametrize(("column", "text", "rtt_s"), [("rtt_ms", "80", 0.08), ("rtt_s", "0.08", 0.08), ("ping", "80", 0.08)])
def test_the_suffix_of_an_rtt_column_is_its_unit(tmp_path, column, text, rtt_s):
    assert replay(tmp_path, rows(f"t_s,{column}", f"0,{text}", f"1,{text}"), {"rtt": column}).rtt_s[0] == pytest.approx(rtt_s)


def test_a_gap_is_never_read_as_coverage(tmp_path):
    t = replay(tmp_path, rows("t_s,cell", "0,A", "4,A", "10,B", "11,B"), {"cell": "cell"})
    assert [(d.kind, d.start_s, d.end_s) for d in t.disruptions] == [("log_gap", 4.0, 10.0)]
    gap = (t.start_s >= 4.0) & (t.start_s < 10.0)
    assert (t.link[gap] == LinkState.LOST).all()
    assert (t.cell[gap] == -1).all()
    assert len(t.addresses) == 1
    assert any("gaps of the log" in note for note in t.notes)


def test_a_long_gap_means_a_new_attach(tmp_path):
    network = Network(gateways={"g": Gateway("10.1.1.1")}, reassignment=Reassignment(reattach_after_s=30.0, delay_s=1.0))
    t = replay(tmp_path, rows("t_s", "0", "1", "100", "102", "200"), {}, network=network, gap_s=50.0)
    assert [(d.start_s, d.end_s, d.before, d.after) for d in t.disruptions if d.kind == "reassignment"] == [
        (31.0, 101.0, "10.1.1.1", "10.1.1.2"),
        (132.0, 201.0, "10.1.1.2", "10.1.1.3"),
    ]


def test_not_attached_is_lost(tmp_path):
    t = replay(tmp_path, rows("t_s,reg", "0,1", "1,0", "2,", "3,true", "4,1"), {"attached": "reg"})
    assert [(d.kind, d.start_s, d.end_s) for d in t.disruptions] == [("detach", 1.0, 3.0)]
    assert (t.link[(t.start_s >= 1.0) & (t.start_s < 3.0)] == LinkState.LOST).all()


def test_a_log_that_ends_detached_stays_lost(tmp_path):
    t = replay(tmp_path, rows("t_s,reg", "0,1", "1,0", "2,0"), {"attached": "reg"})
    assert t.link[-1] == LinkState.LOST
    assert t.disruptions[0].end_s == 2.0


def test_addresses_change_exactly_as_logged(tmp_path):
    lines = ("0,A,10.0.0.1", "1,B,10.0.0.1", "2,B,10.0.0.9", "3,B,", "4,B,10.0.0.1")
    t = replay(tmp_path, rows("t_s,cell,ip", *lines), {"cell": "cell", "address": "ip"})
    assert [(d.kind, d.start_s, d.end_s, d.before, d.after) for d in t.disruptions if d.kind == "reassignment"] == [
        ("reassignment", 2.0, 2.0, "10.0.0.1", "10.0.0.9"),
        ("reassignment", 3.0, 4.0, "10.0.0.9", "10.0.0.1"),
    ]
    no_address = (t.start_s >= 3.0) & (t.start_s < 4.0)
    assert (t.link[no_address] == LinkState.LOST).all()


def test_addresses_are_not_inferred_from_cells(tmp_path):
    t = replay(tmp_path, rows("t_s,cell", "0,A", "1,B", "2,A"), {"cell": "cell"})
    assert len(t.addresses) == 1
    handovers = [d for d in t.disruptions if d.kind == "handover"]
    assert [(d.start_s, d.before, d.after) for d in handovers] == [(1.0, "A", "B"), (2.0, "B", "A")]
    assert all(d.end_s > d.start_s for d in handovers)  # no RTT is measured, so the interruption is modelled


def test_where_rtt_is_measured_a_handover_adds_no_hold(tmp_path):
    t = replay(tmp_path, rows("t_s,cell,rtt_ms", "0,A,50", "1,B,50", "2,B,50"), {"cell": "cell", "rtt": "rtt_ms"})
    (handover,) = t.disruptions
    assert (handover.kind, handover.start_s, handover.end_s) == ("handover", 1.0, 1.0)
    assert (t.link == LinkState.UP).all()


def test_another_operator_is_another_address(tmp_path):
    network = Network(gateways={"g": Gateway("10.1.1.1")}, reassignment=Reassignment(delay_s=1.0))
    t = replay(tmp_path, rows("t_s,op", "0,one", "10,two", "20,two"), {"operator": "op"}, network=network, gap_s=60.0)
    (change,) = t.disruptions
    assert (change.start_s, change.end_s, change.before) == (10.0, 11.0, "10.1.1.1")
    assert t.gateways == ("g", "two")


def test_part_of_a_log(tmp_path):
    t = replay(tmp_path, rows("t_s,cell", *(f"{1000 + i},{i}" for i in range(10))), {"cell": "cell"}, from_s=3.0, until_s=6.0)
    assert (t.end_s, t.cells) == (3.0, ("3", "4", "5", "6"))


def test_position_in_metres_from_the_first_fix(tmp_path):
    lines = ("0,51.0,7.0", "1,,", "2,51.001,7.001", "3,51.001,7.001")
    t = replay(tmp_path, rows("t_s,lat,lon", *lines), {"latitude": "lat", "longitude": "lon"})
    at = np.searchsorted(t.start_s, 2.0)
    assert t.y_m[at] == pytest.approx(111.19, abs=0.01)
    assert t.x_m[at] == pytest.approx(111.19 * np.cos(np.radians(51.0)), abs=0.01)
    assert t.y_m[np.searchsorted(t.start_s, 1.0)] == pytest.approx(111.19 / 2, abs=0.01)


def test_the_bundled_drive():
    columns = RecordedColumns(latitude="lat", longitude="lon", cell="cell_id_hex", rsrp="rsrp_dbm", rtt="rtt_ms")
    config = DriveConfig(recorded=Recorded("drives/cicv5g_south_n8_v10_01.csv", columns))
    t = build_timeline(config, 1, 0, folder=SCENARIOS)
    assert t.end_s == pytest.approx(114, abs=1)
    assert t.measured == ("cell", "position", "rsrp", "rtt")
    assert max(d.end_s - d.start_s for d in t.disruptions) > 9.0  # the largest RTT is 10.2 s
    assert (t.address == 0).all()
    assert "CC BY 4.0" in (SCENARIOS / "drives" / "README.md").read_text(encoding="utf-8")
