"""Who a fault cut off and when each was back, from records of a few vehicles."""

import math

import polars as pl
import pytest

from sim.measure.fleet import Fault, busy_share, connected_over_time, fleet_numbers, standing, storm, waiting, worst_storm
from tests.measure.records import table

CRASH = Fault("node_crash", 100.0, 110.0, "broker-1")


def connections(*rows):
    """(vehicle, ready_s, path_end_s, noticed_s, peer_ended_s), each an MQTT connection that stood."""
    names = ("vehicle", "ready_s", "path_end_s", "noticed_s", "peer_ended_s")
    return table("connections", *(dict(zip(names, row, strict=True), purpose="mqtt", outcome="ready") for row in rows))


def vehicles(*rows):
    """(vehicle, starts_s, end_s); the run goes on for 60 s after the drive."""
    return table(
        "vehicles", *({"vehicle": n, "starts_s": start, "end_s": end, "horizon_s": end + 60.0} for n, start, end in rows)
    )


def test_times_are_of_the_fleets_clock():
    stood = standing(connections((0, 5.0, None, 50.0, None)), vehicles((0, 80.0, 200.0)))
    assert stood.select("from_s", "until_s", "arrives_s").rows() == [(85.0, 130.0, 280.0)]


def test_back_is_the_next_connection_counted_from_the_fault():
    rows = [
        (0, 1.0, None, 100.5, 100.0),
        (0, 120.0, None, None, None),
        (1, 1.0, None, 101.0, 100.0),
        (1, 165.0, None, None, None),
    ]
    stood = standing(connections(*rows), vehicles((0, 0.0, 300.0), (1, 0.0, 300.0)))
    found = storm(stood, CRASH)
    assert (found.connected, found.cut_off) == (2, 2)
    assert sorted(found.back_s) == [20.0, 65.0]


def test_who_is_never_back_is_counted_however_soon_it_arrives():
    stood = standing(
        connections((0, 1.0, None, 100.5, 100.0), (1, 1.0, None, None, 100.0)), vehicles((0, 0.0, 130.0), (1, 0.0, 300.0))
    )
    found = storm(stood, CRASH)
    assert found.cut_off == 2
    assert all(math.isinf(back) for back in found.back_s)
    assert worst_storm(stood, [CRASH]) is not None


@pytest.mark.parametrize(
    ("row", "drive_s", "connected", "cut_off"),
    [
        ((0, 1.0, None, None, None), 300.0, 1, 0),  # stands through it
        ((0, 1.0, None, 104.0, None), 300.0, 1, 0),  # lost to something else
        ((0, 1.0, 100.0, 140.0, None), 300.0, 1, 1),  # forgotten without a word
        ((0, 105.0, None, None, None), 300.0, 0, 0),  # was not there yet
        ((0, 1.0, None, 100.0, 100.0), 90.0, 0, 0),  # has arrived, its run goes on
    ],
)
def test_who_counts(row, drive_s, connected, cut_off):
    found = storm(standing(connections(row), vehicles((0, 0.0, drive_s))), CRASH)
    assert (found.connected, found.cut_off) == (connected, cut_off)


def test_a_fault_that_ends_no_connection_makes_no_storm():
    stood = standing(connections((0, 1.0, None, 100.5, 100.0)), vehicles((0, 0.0, 300.0)))
    assert storm(stood, Fault("dns_outage", 100.0, 160.0, "")).cut_off == 0
    assert worst_storm(stood, [Fault("dns_outage", 100.0, 160.0, "")]) is None


def test_an_outage_of_a_region_cuts_off_until_it_ends():
    stood = standing(connections((0, 1.0, 130.0, 150.0, None)), vehicles((0, 0.0, 300.0)))
    assert storm(stood, Fault("region_outage", 100.0, 160.0, "a")).cut_off == 1


def test_numbers_are_the_fleets():
    rows = connections(
        *((n, 1.0, None, 100.5, 100.0) for n in range(4)), (0, 120.0, None, None, None), (1, 130.0, None, None, None)
    )
    found = fleet_numbers(rows, vehicles(*((n, 0.0, 300.0) for n in range(4))), [CRASH], table("load"), {}, 0.01)
    assert (found["connected"], found["cut_off"], found["not_back"]) == (400.0, 400.0, 200.0)
    assert found["back_s"] == {"p50": 30.0, "p95": math.inf, "p99": math.inf, "p100": math.inf}


def test_how_many_stand_at_an_instant():
    stood = standing(
        connections((0, 10.0, None, 20.0, None), (1, 15.0, None, 30.0, None)), vehicles((0, 0.0, 50.0), (1, 0.0, 50.0))
    )
    assert connected_over_time(stood, pl.Series([5.0, 12.0, 16.0, 25.0, 40.0]).to_numpy()).tolist() == [0, 1, 2, 1, 0]


def test_a_station_is_taken_for_its_work_and_others_wait():
    load = table(
        "load", *({"station": "cpu", "place": "b", "came_s": 0.2, "turn_s": turn, "work_s": 0.5} for turn in (0.2, 0.7, 1.2))
    )
    edges = pl.Series([0.0, 1.0, 2.0, 3.0]).to_numpy()
    assert busy_share(load, edges) == pytest.approx([0.8, 0.7, 0.0])
    assert waiting(load, pl.Series([0.5, 1.0, 1.5]).to_numpy()).tolist() == [2, 1, 0]
