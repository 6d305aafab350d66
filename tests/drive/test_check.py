from dataclasses import replace

import pytest

from sim.drive.build import build_timeline
from sim.drive.check import check_drive
from sim.drive.config import (
    RTT,
    DriveConfig,
    Gateway,
    Handover,
    LinkSettings,
    Network,
    Recorded,
    RecordedColumns,
    Script,
    ScriptStep,
    Tower,
    Waypoint,
)
from sim.drive.errors import DriveError

from .drives import city_a_to_b, scripted

GOOD = city_a_to_b()
SCRIPT = Script((ScriptStep(0.0),), 10.0)


@pytest.mark.parametrize(
    ("config", "key", "part"),
    [
        (DriveConfig(), "route", "exactly one of"),
        (replace(GOOD, script=SCRIPT), "script", "route and script"),
        (replace(GOOD, towers=()), "towers", "required along a route"),
        (replace(GOOD, route=()), "route", "waypoints"),
        (replace(GOOD, route=(Waypoint((0.0, 0.0)),)), "route", "takes no time"),
        (replace(GOOD, route=(Waypoint((0.0, 0.0)), Waypoint((1.0, 0.0)))), "route.1.speed", "speed"),
        (replace(GOOD, towers=(*GOOD.towers, Tower("X", (0.0, 0.0), "nowhere"))), "towers.3.gateway", "city-a, highway, city-b"),
        (replace(GOOD, towers=(*GOOD.towers, GOOD.towers[0])), "towers.3.id", "is the id of towers.0 already"),
        (replace(GOOD, route=None, script=SCRIPT), "towers", "is for a route"),
        (replace(GOOD, network=Network(gateways={"city-a": Gateway("10.1")})), "network.gateways.city-a.address", "not an IP"),
        (
            replace(GOOD, network=Network(gateways=dict.fromkeys(("city-a", "highway", "city-b"), Gateway("10.0.0.1")))),
            "network.gateways.highway.address",
            "of gateway 'city-a' already",
        ),
        (replace(GOOD, link=LinkSettings(rtt=RTT(median_s=1.0))), "link.rtt.p95", "below the median"),
        (replace(GOOD, handover=Handover(interruption_p95_s=0.001)), "handover.interruption_p95", "below the median"),
        (replace(GOOD, handover=Handover(reselection_s=(3.0, 1.0))), "handover.reselection", "the shortest time first"),
        (scripted(), "script.steps", "is empty"),
        (scripted(ScriptStep(1.0)), "script.steps.0.at", "expected 0 s"),
        (scripted(ScriptStep(0.0), ScriptStep(5.0), ScriptStep(4.0)), "script.steps.2.at", "after the step before it"),
        (scripted(ScriptStep(0.0), ScriptStep(60.0)), "script.steps.1.at", "not before the end"),
        (scripted(ScriptStep(0.0, gateway="c")), "script.steps.0.gateway", "no gateway 'c'"),
    ],
)
def test_errors(config, key, part):
    errors = check_drive(config)
    assert key in [error.key for error in errors]
    assert part in next(error.text for error in errors if error.key == key)
    with pytest.raises(DriveError) as raised:
        build_timeline(config, 1, 0)
    assert (raised.value.key, raised.value.text) == (errors[0].key, errors[0].text)


def test_all_errors_at_once():
    towers = (Tower("A", (0.0, 0.0), "x"), Tower("A", (0.0, 0.0), "y"))
    config = replace(GOOD, towers=towers, link=LinkSettings(rtt=RTT(p95_s=0.01)))
    assert [error.key for error in check_drive(config)] == ["towers.0.gateway", "towers.1.gateway", "towers.1.id", "link.rtt.p95"]


@pytest.mark.parametrize(
    ("text", "columns", "settings", "key", "part"),
    [
        ("", {}, {}, "recorded.file", "no rows"),
        ("t_s,rtt\n", {}, {}, "recorded.file", "no rows"),
        ("t_s\n1\n", {}, {}, "recorded.file", "fewer than two rows"),
        ("t_s\n1\n2\n3\n", {}, {"from_s": 2.0}, "recorded.from", "fewer than two rows"),
        ("t_s\n1\n2\n3\n", {}, {"from_s": 2.0, "until_s": 1.0}, "recorded.until", "after recorded.from"),
        ("t_s,rtt_ms\n0,1\n1,2\n", {"rtt": "ping"}, {}, "recorded.columns.rtt", "it has: t_s, rtt_ms"),
        ("time,x\n0,1\n1,2\n", {}, {}, "recorded.columns.time", "no column 't_s'; it has: time, x"),
        ("t_s\n0\n\n2\n1\n", {}, {}, "recorded.columns.time", "line 5: time 1 is before 2"),
        ("t_s,rtt\n0,8\n1,fast\n", {"rtt": "rtt"}, {}, "recorded.columns.rtt", "line 3, column 'rtt': 'fast' is not a number"),
        ("t_s,rtt\n0,8\n1,-8\n", {"rtt": "rtt"}, {}, "recorded.columns.rtt", "'-8' is out of range"),
        ("t_s,a\n0,1\n1,maybe\n", {"attached": "a"}, {}, "recorded.columns.attached", "'maybe' is not 1 or 0"),
        ('t_s\n0\n""\n2\n', {}, {}, "recorded.columns.time", "line 3"),
        ("t_s\n1723189086537\n1723289086592\n", {}, {}, "recorded.columns.time", "has to hold seconds"),
        ("t_s\n0\ninf\n", {}, {}, "recorded.columns.time", "is out of range"),
    ],
)
def test_errors_of_a_log(tmp_path, text, columns, settings, key, part):
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    config = DriveConfig(recorded=Recorded("log.csv", RecordedColumns(**columns), **settings))
    errors = check_drive(config, tmp_path)
    assert [error.key for error in errors] == [key]
    assert part in errors[0].text


def test_a_log_that_is_not_there(tmp_path):
    config = DriveConfig(recorded=Recorded("missing.csv"))
    assert str(check_drive(config, tmp_path)[0]) == "recorded.file: no such file: missing.csv"
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert check_drive(replace(config, recorded=Recorded("binary.csv")), tmp_path)[0].key == "recorded.file"


def test_good_drives_have_no_errors():
    assert check_drive(GOOD) == []
    assert check_drive(scripted(ScriptStep(0.0))) == []
