"""Vehicles that share the broker's nodes: nothing changes for those who do not meet, and a herd waits for its turn."""

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.config import Network
from sim.model.fleet import Rider, simulate_fleet, simulate_independent
from sim.model.load import ACCEPT
from sim.model.shared_cells import SharedCells
from sim.model.simulate import Setting
from sim.protocols.tls import TLS
from sim.record.tables import frames
from sim.server.build import Key, build_server_timeline
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.strategies.backoff import Backoff
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTPersistent
from sim.strategies.workload import OTA, Diagnostics, Telemetry, Workload
from sim.study.run import run_columns
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, attempts, drive, reassigned

LARGE = Nodes(names=("a", "b"), accept_rate=1e9, connect_rate=1e9, cores=10_000)
SERVER = replace(PLAIN, tls=TLS(profile="hybrid"), balancer=Balancer(), nodes=LARGE, store=Store(kind="redis"))
WORK = Workload(
    ota=OTA(chunk_bytes=20_000, image_bytes=400_000, every_s=3.0),
    diagnostics=Diagnostics(every_s=9.0),
    telemetry=Telemetry(every_s=4.0),
    probes=None,
)
STRATEGIES = [
    ("mqtt_persistent", MQTTPersistent(keep_alive_s=6.0)),
    ("mqtt_persistent", MQTTPersistent(address_watch="link_event", backoff=Backoff(policy="full_jitter"))),
    ("hybrid", Hybrid(poll_s=5.0)),
    ("ddns_heartbeat", DDNSHeartbeat(heartbeat_s=5.0)),
]


def setting_of(nodes=LARGE, workload=WORK, drain_s=20.0, **more):
    server = replace(SERVER, nodes=nodes, **more)
    return Setting(server, Network(access="public"), workload, 262_144, drain_s, 7, phases_fixed=False)


def happens_to(faults, nodes, end_s):
    return build_server_timeline(nodes, Balancer(), Store(kind="redis"), faults, end_s, Key(7, 0))


def tables(runs, riders):
    return [frames(run_columns(run, {}, "s", 0, vehicle=rider.vehicle)) for rider, run in zip(riders, runs, strict=True)]


def riders_of(n, end_s=40.0, starts_s=lambda vehicle: 1.7 * vehicle):
    return [
        Rider(
            vehicle, reassigned(11.0 + vehicle, end_s, without_s=1.5, rtt_s=0.05 + 0.001 * vehicle), starts_s(vehicle),
            *STRATEGIES[vehicle % len(STRATEGIES)],
        )
        for vehicle in range(n)
    ]  # fmt: skip


def test_vehicles_that_never_wait_have_the_records_of_vehicles_alone():
    """With nodes that have time for everything the shared one gives to the microsecond what the pure function gives."""
    riders = riders_of(8)
    happens = happens_to([Fault("balancer_change", at_s=20.0, for_s=5.0), Fault("node_crash", at_s=33.0)], LARGE, 60.0)
    together, [load] = simulate_fleet(setting_of(), riders, happens, 1.0)
    alone = simulate_independent(setting_of(), riders, happens)
    for one, other in zip(tables(together, riders), tables(alone, riders), strict=True):
        assert one.keys() == other.keys()
        for name, table in one.items():
            assert table.equals(other[name]), name
    assert load.came_s


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 7),
    st.sampled_from([0.0, 0.3, 4.0]),
    st.sampled_from([1.0, 4.0, 50.0]),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.02]),
    st.lists(
        st.sampled_from(
            [
                Fault("balancer_change", at_s=15.0, for_s=6.0),
                Fault("balancer_change", at_s=14.0, how="host"),
                Fault("node_crash", at_s=18.0, for_s=4.0),
                Fault("node_crash", at_s=22.0, how="host", for_s=9.0),
                Fault("store_failover", at_s=12.0, for_s=10.0),
            ]
        ),
        max_size=3,
        unique=True,
    ),
    st.sampled_from(["hybrid", "none"]),
    st.sampled_from([0.0, 2.5, 20.0]),
)
def test_run_ahead_changes_nothing(n, apart_s, rate, queue, message_cpu_s, faults, profile, drain_s):
    """Also where many come at the same instant, and are turned away, and where some are done while others go on."""
    nodes = Nodes(
        names=("a", "b"), accept_rate=2 * rate, connect_rate=rate, backlog=queue, connect_queue=queue, message_cpu_s=message_cpu_s
    )
    setting = setting_of(nodes, drain_s=drain_s, tls=TLS(profile=profile))
    riders = riders_of(n, starts_s=lambda vehicle: apart_s * vehicle)
    happens = happens_to(faults, nodes, 60.0)
    folded, [load] = simulate_fleet(setting, riders, happens, 1.0)
    plain, [load_too] = simulate_fleet(setting, riders, happens, 1.0, fold=False)
    for one, other in zip(tables(folded, riders), tables(plain, riders), strict=True):
        for name, table in one.items():
            assert table.equals(other[name]), name
    assert (load.came_s, load.turn_s) == (load_too.came_s, load_too.turn_s)


STEADY = drive(Row(0.0, rtt_s=0.05), end_s=200.0)
SHORT = drive(Row(0.0, rtt_s=0.05), end_s=80.0)


def herd(n, config, nodes, at_s=50.0, for_s=10.0, workload=NOTHING_TO_SEND, scale=1.0, timeline=STEADY):
    """A herd on a steady link is cut off at `at_s`, all at the same instant, and may come back after `for_s`."""
    riders = [Rider(vehicle, timeline, 0.0, "mqtt_persistent", config) for vehicle in range(n)]
    happens = happens_to([Fault("balancer_change", at_s=at_s, for_s=for_s)], nodes, 200.0)
    runs, [load] = simulate_fleet(setting_of(nodes, workload), riders, happens, scale)
    return list(runs), load


def back(runs, after_s=50.0):
    """When each of those that are back was so for the first time."""
    ready = ([row.ready_s for row in attempts(run) if row.ready_s > after_s] for run in runs)
    return sorted(min(found) for found in ready if found)


def test_a_herd_is_admitted_at_the_rate_of_the_node():
    """20 CONNECTs in a second and room for all: 100 vehicles are back one every 50 ms, in 5 s."""
    nodes = Nodes(names=("a",), accept_rate=1e6, connect_rate=20.0, connect_queue=1000)
    found = back(herd(100, MQTTPersistent(address_watch="off", connect_timeout_s=30.0), nodes)[0])
    assert found[-1] - found[0] == pytest.approx(99 / 20.0, abs=0.5)
    assert max(sum(at <= other < at + 1.0 for other in found) for at in found) <= 21


def test_a_full_backlog_makes_vehicles_send_syn_again():
    """Room for two: the others' SYNs are dropped, and sent again after 1, 2, 3, 4 s (Linux: tcp_syn_linear_timeouts)."""
    nodes = Nodes(names=("a",), accept_rate=2.0, connect_rate=1e6, backlog=2)
    runs, load = herd(12, MQTTPersistent(address_watch="off", connect_timeout_s=30.0), nodes)
    dropped = [came for came, turn in zip(load.came_s, load.turn_s, strict=True) if turn == math.inf]
    assert dropped
    assert len(back(runs)) == 12
    assert all(attempts(run)[-1].outcome == "ready" for run in runs)


def test_who_is_turned_away_backs_off_and_comes_again():
    nodes = Nodes(names=("a",), accept_rate=1e6, connect_rate=5.0, connect_queue=2)
    config = MQTTPersistent(address_watch="off", backoff=Backoff(policy="full_jitter"))
    runs, _load = herd(20, config, nodes)
    reasons = {row.reason for run in runs for row in attempts(run) if row.outcome == "failed"}
    assert "closed" in reasons
    assert all(attempts(run)[-1].outcome == "ready" for run in runs)


def test_jitter_spreads_a_herd():
    """Without it all knock at the same instants; with it the busiest second has fewer than half as many SYNs."""

    def busiest(backoff):
        nodes = Nodes(names=("a",), accept_rate=60.0, connect_rate=60.0, backlog=60, connect_queue=60)
        config = MQTTPersistent(address_watch="off", backoff=backoff)
        _runs, load = herd(300, config, nodes, for_s=40.0)
        syns = np.array(load.came_s)[np.array(load.station) == ACCEPT]
        return np.histogram(syns, np.arange(90.0, 200.0))[0].max()

    assert busiest(Backoff(policy="full_jitter")) < 0.5 * busiest(Backoff())


def test_packets_wait_for_the_cpu_of_the_node():
    """20 ms of one core for each packet: of 60 vehicles that send at the same instant the last is heard a good second later."""
    nodes = Nodes(names=("a",), accept_rate=1e6, connect_rate=1e6, cores=1, message_cpu_s=0.02)
    work = replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=100.0))
    setting = replace(setting_of(nodes, work), phases_fixed=True)
    riders = [Rider(vehicle, STEADY, 0.0, "mqtt_persistent", MQTTPersistent()) for vehicle in range(60)]
    runs, _loads = simulate_fleet(setting, riders, happens_to([], nodes, 200.0), 1.0)
    delivered = sorted(run.record.delivered[0] for run in runs)
    assert delivered[-1] - delivered[0] == pytest.approx(59 * 0.02, abs=0.05)


@pytest.mark.slow
def test_the_peak_and_the_time_back_do_not_depend_on_how_many_stand_for_the_fleet():
    """One of a hundred thousand, 5,000 or 20,000 of them simulated: within 10 %."""

    def storm(n):
        nodes = Nodes(names=("a",), accept_rate=8000.0, connect_rate=4000.0, backlog=8192, connect_queue=8000, cores=64)
        config = MQTTPersistent(address_watch="off", backoff=Backoff(policy="full_jitter"))
        runs, load = herd(n, config, nodes, at_s=20.0, for_s=8.0, scale=n / 100_000, timeline=SHORT)
        came = np.array(load.came_s)
        peak = np.histogram(came[came > 28.0], np.arange(28.0, 90.0))[0].max() * 100_000 / n
        found = back(runs, 20.0)
        return peak, found[int(0.5 * n)], found[int(0.95 * n)]

    assert storm(5_000) == pytest.approx(storm(20_000), rel=0.1)


def test_a_cell_carries_no_more_than_its_capacity():
    """20 vehicles ask for 1 MB at once in a cell of 8 Mbit/s: 20 s instead of the second in which each alone has it."""
    work = replace(NOTHING_TO_SEND, ota=OTA(chunk_bytes=100_000, image_bytes=1_000_000, at_s=(30.0,) * 10))
    riders = [Rider(vehicle, STEADY, 0.0, "mqtt_persistent", MQTTPersistent()) for vehicle in range(20)]
    happens = happens_to([], LARGE, 200.0)
    last = {}
    for name, cells in (("alone", None), ("shared", SharedCells(8e6, 8e6, 1.0))):
        runs, _loads = simulate_fleet(setting_of(LARGE, work), riders, happens, 1.0, cells=cells)
        last[name] = max(max(run.record.delivered) for run in runs)
    assert last["alone"] == pytest.approx(30.0, abs=1.0)
    assert last["shared"] == pytest.approx(30.0 + 20 * 1.0, rel=0.05)


def test_vehicles_in_a_cell_that_is_never_full_have_the_records_of_vehicles_alone():
    riders = riders_of(6)
    happens = happens_to([Fault("balancer_change", at_s=20.0, for_s=5.0)], LARGE, 60.0)
    together, _loads = simulate_fleet(setting_of(), riders, happens, 1.0, cells=SharedCells(1e15, 1e15, 1.0), nodes=False)
    alone = simulate_independent(setting_of(), riders, happens)
    for one, other in zip(tables(together, riders), tables(alone, riders), strict=True):
        for column in ("message", "outcome", "arrivals", "via", "sends"):
            assert one["messages"][column].to_list() == other["messages"][column].to_list()
        for column in ("created_s", "delivered_s"):
            assert one["messages"][column].to_list() == pytest.approx(other["messages"][column].to_list(), abs=1e-6, nan_ok=True)


def test_nothing_happens_to_a_vehicle_after_its_run():
    """The other one is on the road for much longer; a chunk that takes long is not delivered meanwhile."""
    work = replace(NOTHING_TO_SEND, ota=OTA(chunk_bytes=1_000_000, at_s=(9.0,)))
    short = drive(Row(0.0, rtt_s=0.05, down_bps=1e6), end_s=10.0)
    riders = [
        Rider(0, short, 0.0, "mqtt_persistent", MQTTPersistent()),
        Rider(1, STEADY, 0.0, "mqtt_persistent", MQTTPersistent()),
    ]
    for cells, fold in ((None, True), (None, False), (SharedCells(1e9, 1e9, 1.0), True)):
        runs, _loads = simulate_fleet(
            setting_of(LARGE, work, 3.0), riders, happens_to([], LARGE, 200.0), 1.0, fold=fold, cells=cells
        )
        first, second = runs
        assert [outcome for outcome, _cause in first.outcomes] == ["pending"]
        assert [outcome for outcome, _cause in second.outcomes] == ["delivered"]


def test_what_a_vehicle_sent_before_it_left_is_read_before_its_end():
    """20 ms of CPU for each packet, and all of them disconnect right after their message: none is lost."""
    nodes = Nodes(names=("a",), accept_rate=1e6, connect_rate=1e6, cores=1, message_cpu_s=0.02)
    work = replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=30.0, qos=0))
    parks = replace(STEADY, parked=((30.1, math.inf),))
    setting = replace(setting_of(nodes, work), phases_fixed=True)
    config = MQTTPersistent(when_parked="disconnect")
    riders = [Rider(vehicle, parks, 0.0, "mqtt_persistent", config) for vehicle in range(60)]
    runs, _loads = simulate_fleet(setting, riders, happens_to([], nodes, 200.0), 1.0)
    assert {outcome for run in runs for outcome, _cause in run.outcomes} == {"delivered"}


def test_what_is_on_the_way_at_a_handover_arrives_in_order():
    """From a full cell into an empty one, where it goes on: the second chunk does not overtake the first."""
    two = replace(
        drive(Row(0.0, rtt_s=0.05), Row(21.0, rtt_s=0.05), end_s=100.0), cell=np.array([0, 1], np.int32), cells=("full", "empty")
    )
    work = replace(NOTHING_TO_SEND, ota=OTA(chunk_bytes=1_000_000, at_s=(20.0, 22.0)))
    crowd = replace(STEADY, cells=("full",))
    riders = [Rider(vehicle, two if vehicle == 0 else crowd, 0.0, "mqtt_persistent", MQTTPersistent()) for vehicle in range(9)]
    runs, _loads = simulate_fleet(
        setting_of(LARGE, work), riders, happens_to([], LARGE, 200.0), 1.0, cells=SharedCells(4e6, 4e6, 1.0)
    )
    first, second = next(iter(runs)).record.delivered
    assert 22.0 < first < 26.0  # alone it would be there at 22.3 s, in the full cell at 38 s
    assert first <= second


@pytest.mark.parametrize(("use", "config"), STRATEGIES)
@pytest.mark.parametrize("via", ["mqtt", "https_range"])
def test_vehicles_that_are_done_leave_nothing_to_the_collector(use, config, via):
    """It rests while a fleet runs, so a cycle in each vehicle (7 KB with the broker's) would stay until the last is done."""
    work = replace(WORK, ota=replace(WORK.ota, via=via))
    setting = Setting(SERVER, Network(access="public"), work, 65_536, 5.0, 11, phases_fixed=False)
    fault = Fault(kind="api_errors", at_s=3.0, for_s=4.0, error_share=0.5)
    happens = build_server_timeline(SERVER.nodes, Balancer(), Store(kind="redis"), (fault,), 60.0, Key(7, 0))

    def unreachable(vehicles):
        riders = [Rider(number, reassigned(15.0, 30.0), 2.0 * number, use, config) for number in range(vehicles)]
        gc.collect()
        gc.disable()
        try:
            runs, loads = simulate_fleet(setting, riders, happens, 1.0)
            assert len(list(runs)) == vehicles
            del runs, loads, riders
            return gc.collect()
        finally:
            gc.enable()

    unreachable(1)
    assert unreachable(6) == unreachable(2)  # the environment that they share
