import time
from dataclasses import replace

import numpy as np
import pytest

from sim.drive.build import build_timeline
from sim.drive.config import DriveConfig, Gateway, LinkSettings, Network, Silences, Tower, Waypoint
from sim.drive.radio import measure_towers
from sim.drive.route import lay_route
from sim.drive.timeline import LinkState

from .drives import city_a_to_b


def same(a, b) -> bool:
    columns = ("start_s", "cell", "gateway", "address", "link", "rtt_s", "downlink_bps", "uplink_bps", "x_m", "y_m", "rsrp_dbm")
    return a.disruptions == b.disruptions and all(np.array_equal(getattr(a, c), getattr(b, c), equal_nan=True) for c in columns)


def test_route_with_stops_and_inherited_speed():
    route = lay_route(
        (
            Waypoint((0.0, 0.0), 10.0, stop_s=5.0),
            Waypoint((100.0, 0.0)),
            Waypoint((100.0, 50.0), 5.0, stop_s=2.0),
            Waypoint((0.0, 50.0)),
        )
    )
    assert route.time_s.tolist() == [0.0, 5.0, 15.0, 25.0, 27.0, 47.0]
    assert route.travelled_m.tolist() == [0.0, 0.0, 100.0, 150.0, 150.0, 250.0]


@pytest.mark.parametrize("realism", [False, True])
@pytest.mark.parametrize("replication", range(30))
def test_city_a_to_b_has_two_reassignments(realism, replication):
    t = build_timeline(city_a_to_b(realism), 1, replication)
    changes = [(d.before, d.after) for d in t.disruptions if d.kind == "reassignment"]
    assert changes == [("10.1.1.100", "10.2.5.200"), ("10.2.5.200", "10.3.9.150")]
    assert t.end_s == pytest.approx(1200.0)


def test_without_realism_nothing_is_drawn():
    first, second = build_timeline(city_a_to_b(False), 1, 0), build_timeline(city_a_to_b(False), 9, 4)
    assert same(first, second)
    assert set(first.rtt_s) == {0.080}
    assert set(first.downlink_bps) == {20e6}
    assert [d.kind for d in first.disruptions] == ["handover", "reassignment", "handover", "reassignment"]
    # the cell changes once the next tower is better by Off + Hys, somewhat behind the middle
    middle = [d.start_s * 25.0 for d in first.disruptions if d.kind == "handover"]
    assert 10e3 < middle[0] < 11e3
    assert 20e3 < middle[1] < 21e3


def test_same_arguments_same_drive_and_other_replication_other_drive():
    config = city_a_to_b()
    assert same(build_timeline(config, 1, 3), build_timeline(config, 1, 3))
    assert not same(build_timeline(config, 1, 3), build_timeline(config, 1, 4))
    assert not same(build_timeline(config, 1, 3), build_timeline(config, 1, 3, vehicle=1))


def test_settings_without_effect_on_the_radio_do_not_redraw_it():
    config = city_a_to_b()
    other = replace(
        config,
        link=replace(config.link, queue_bytes=1000, silences=Silences(over_2s_per_hour=20.0)),
        network=replace(config.network, access="public"),
    )
    first, second = build_timeline(config, 1, 0), build_timeline(other, 1, 0)
    assert [d for d in second.disruptions if d.kind != "silence"] == list(first.disruptions)
    assert any(d.kind == "silence" for d in second.disruptions)


def test_another_tower_does_not_redraw_the_shadowing_of_one():
    config = city_a_to_b()
    route = lay_route(config.route)
    alone = measure_towers(config.radio, config.towers[:1], route, (1, 0, 0), True)
    many = (*config.towers, *(Tower(f"far-{i}", (60e3 + 1e3 * i, 0.0), "city-b") for i in range(20)))
    among = measure_towers(config.radio, many, route, (1, 0, 0), True)
    heard = among.power_mw[0] > 0.0
    assert heard.sum() > 100
    assert among.power_mw[0][heard] == pytest.approx(alone.power_mw[0][heard], rel=1e-4)


def test_shadowing_along_the_road_has_its_sigma_and_decorrelation():
    config = city_a_to_b()
    radio = replace(config.radio, shadowing_db=8.0, decorrelation_m=100.0)
    route = lay_route((Waypoint((0.0, 0.0)), Waypoint((400e3, 0.0), 100.0)))  # a sample every 20 m
    towers = (Tower("A", (200e3, 5e3), "city-a"),)
    drawn, mean = (10 * np.log10(measure_towers(radio, towers, route, (1, 0, 0), random).power_mw[0]) for random in (True, False))
    shadowing = drawn - mean
    assert shadowing.std() == pytest.approx(8.0, rel=0.05)
    z = shadowing - shadowing.mean()
    for lag in (1, 5, 10):
        assert np.mean(z[lag:] * z[:-lag]) / z.var() == pytest.approx(np.exp(-lag * 20 / 100), abs=0.05)


def test_blocked_rows_are_exact():
    t = build_timeline(city_a_to_b(), 1, 0)
    for d in t.disruptions:
        state = {"handover": LinkState.HELD, "reassignment": LinkState.LOST}.get(d.kind, LinkState.LOST)
        assert d.start_s in t.start_s
        assert d.end_s in t.start_s
        inside = (t.start_s >= d.start_s) & (t.start_s < d.end_s)
        assert (t.link[inside] >= state).all()


def test_no_coverage_at_all_is_a_drive_without_address():
    config = replace(city_a_to_b(), towers=(Tower("far", (900e3, 0.0), "city-a"),))
    t = build_timeline(config, 1, 0)
    assert t.addresses == ()
    assert (t.link == LinkState.LOST).all()
    assert t.notes


def test_rows_are_merged_where_nothing_differs():
    parked = DriveConfig(
        route=(Waypoint((0.0, 0.0), stop_s=3600.0),),
        towers=(Tower("A", (500.0, 0.0), "g"),),
        network=Network(gateways={"g": Gateway()}),
        link=LinkSettings(realism=False),
    )
    assert len(build_timeline(parked, 1, 0).start_s) == 1


def test_building_is_fast():
    config = city_a_to_b()
    build_timeline(config, 1, 0)
    began = time.perf_counter()
    for replication in range(5):
        build_timeline(config, 1, replication)
    assert (time.perf_counter() - began) / 5 < 0.05
