"""A node of the broker crashes and comes back: who is told, when, and what each kind of store keeps (docs/faults.md)."""

from dataclasses import replace

import pytest

from sim.drive.timeline import LinkState
from sim.model.server_side import ServerSide
from sim.server.build import Key, build_server_timeline
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.strategies.config import Hybrid, MQTTPersistent
from tests.model.runs import PLAIN, Row, attempts, chunks, delivered, drive, lost, run, telemetry
from tests.model.server_faults import RTT_S, THREE, run_with, steady

#: the fastest balancer: a check each second, one is enough
QUICK = Balancer(health_interval_s=1.0, unhealthy_after=1, healthy_after=1)
CONNACK_S = 0.0003


def crash(how="process", at_s=100.0, **other):
    return Fault("node_crash", at_s=at_s, for_s=30.0, how=how, **other)


def test_a_process_that_crashes_is_told_by_fin_and_new_connections_are_refused_until_it_is_back():
    """FIN after half an RTT; attempts, each refused after an RTT, with waits of 1, 2, 4, 8, 16 s between them."""
    seen = run_with([crash()])
    first, *failed, last = attempts(seen)
    assert (first.reason, first.peer_ended_s) == ("closed", 100.0)
    assert first.noticed_s == pytest.approx(100.0 + RTT_S / 2)
    asked_s, instants = first.noticed_s, []
    for wait_s in (1.0, 2.0, 4.0, 8.0, 16.0):
        instants.append(asked_s)
        asked_s += RTT_S + wait_s
    assert [row.asked_s for row in failed] == pytest.approx(instants)
    assert {row.reason for row in failed} == {"refused"}
    assert last.asked_s == pytest.approx(asked_s) == pytest.approx(131.44)


def test_a_host_that_crashes_says_nothing_and_answers_with_rst_when_it_is_back():
    """The ping of 120.2 s is resent after 0.284 s, 0.284 s more, then doubled: the first time after 130 s at 136.382 s."""
    seen = run_with([crash("host")])
    first, last = attempts(seen)
    assert (first.reason, first.peer_ended_s) == ("reset", 100.0)
    pinged_s, rto_s = 90.0 + 2 * RTT_S + CONNACK_S, RTT_S + 0.2 + 0.004
    pinged_s += 30.0
    resent_s = pinged_s + next(rto_s * 2**n for n in range(20) if pinged_s + rto_s * 2**n + RTT_S / 2 > 130.0)
    assert first.noticed_s == pytest.approx(resent_s + RTT_S, abs=0.01)
    assert last.asked_s == first.noticed_s


def test_where_the_host_stays_away_keep_alive_notices():
    """Between K and 2 K after the crash (paho's ping rule), then SYN without answer until the connect timeout of 10 s."""
    seen = run_with([Fault("node_crash", at_s=100.0, for_s=1e6, how="host")])
    first, second, *_ = attempts(seen)
    assert first.reason == "keep_alive"
    assert 130.0 <= first.noticed_s <= 160.0
    assert (second.reason, second.noticed_s - second.asked_s) == ("connect_timeout", pytest.approx(10.0))


#: store -> of chunks at 50, 99.99, 105, 140 s: outcome, arrivals. That of 99.99 s is not acknowledged when the node crashes.
KEPT = {
    "memory": (Store("memory"), ["delivered", "delivered", "no_subscription", "delivered"], [1, 1, 0, 1]),
    "disk, saved at 80 s": (Store("disk", save_interval_s=40.0), ["delivered"] * 4, [1, 1, 1, 1]),
    "disk, saved at each change": (Store("disk", save_interval_s=0.0), ["delivered"] * 4, [1, 2, 1, 1]),
    "disk, never saved": (
        Store("disk", save_interval_s=1800.0), ["delivered", "delivered", "no_subscription", "delivered"], [1, 1, 0, 1],
    ),
    "redis": (Store("redis"), ["delivered"] * 4, [1, 2, 1, 1]),
    "replicated": (Store("replicated"), ["delivered"] * 4, [1, 2, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_each_store_keeps_over_a_crash_of_the_only_node(name):
    """Published while no node runs: the publisher keeps it. Published after the restart and before SUBSCRIBE: nobody wants it."""
    store, outcomes, arrivals = KEPT[name]
    seen = run_with([crash()], workload=chunks(50.0, 99.99, 105.0, 140.0), store=store)
    assert [cause or outcome for outcome, cause in seen.outcomes] == outcomes
    assert seen.record.arrivals == arrivals
    present = int("no_subscription" not in outcomes)
    assert attempts(seen)[-1].session_present == present


def test_a_queue_in_memory_is_lost_with_its_node_as_broker_restart():
    """The vehicle is out of coverage from 50 s on, so that chunks of 60 and 70 s wait in the session."""

    away = drive(Row(0.0, rtt_s=RTT_S), Row(50.0, 0, LinkState.LOST, rtt_s=RTT_S), Row(200.0, rtt_s=RTT_S), end_s=400.0)
    config = MQTTPersistent(keep_alive_s=5.0)
    seen = run_with([crash()], config, chunks(60.0, 70.0), timeline=away, store=Store("memory"))
    assert lost(seen) == {"broker_restart": 2}
    seen = run_with([crash()], config, chunks(60.0, 70.0), timeline=away, store=Store("disk", save_interval_s=65.0))
    assert lost(seen) == {"broker_restart": 1}  # saved at 65 s
    seen = run_with([crash()], config, chunks(60.0, 70.0), timeline=away, store=Store("redis"))
    assert lost(seen) == {}


def test_what_was_acknowledged_after_the_last_save_comes_again():
    seen = run_with([crash()], workload=chunks(79.95), store=Store("disk", save_interval_s=80.0))
    assert seen.record.arrivals == [2]
    assert attempts(seen)[-1].session_present == 1


def test_a_publisher_with_a_limit_gives_up_the_oldest():
    seen = run_with([crash()], workload=chunks(101.0, 102.0, 103.0), store=Store("replicated", publisher_limit=2))
    assert lost(seen) == {"publisher_gave_up": 1}
    assert delivered(seen)[0] != delivered(seen)[0]


def test_with_three_nodes_and_a_balancer_the_vehicle_is_on_another_node_at_once():
    """Unless it is sent to the node that is gone before the balancer has noticed."""
    found = set()
    for seed in range(12):
        seen = run_with(
            [crash(node="a", at_s=100.5), crash(node="b", at_s=100.5)],
            workload=chunks(100.49, 105.0), nodes=THREE, balancer=QUICK, store=Store("redis"), seed=seed,
        )  # fmt: skip
        rows = attempts(seen)
        assert [outcome for outcome, _cause in seen.outcomes] == ["delivered"] * 2
        found.add(len(rows))
        if len(rows) > 1:
            assert rows[0].noticed_s == pytest.approx(100.5 + RTT_S / 2)
            assert rows[-1].session_present == 1
            assert rows[-1].ready_s < 105.0
    assert found >= {1, 2, 3}  # not cut, at once on the third node, refused once


def test_a_node_found_unhealthy_is_answered_for_by_the_balancer():
    """Health checks at 101 and 102 s; a packet that the vehicle sends then meets RST. Silence without one."""
    silent = Balancer(health_interval_s=1.0, unhealthy_after=2, healthy_after=1, after_idle="drop")
    for balancer, reason in (
        (Balancer(health_interval_s=1.0, unhealthy_after=2, healthy_after=1), "reset"),
        (silent, "keep_alive"),
    ):
        seen = run_with(
            [Fault("node_crash", at_s=100.5, for_s=1e6, how="host", node="broker-1")], balancer=balancer, workload=telemetry(10.0)
        )
        first = attempts(seen)[0]
        assert first.reason == reason
        if reason == "reset":
            assert first.noticed_s == pytest.approx(110.0 + RTT_S)


def test_least_connections_goes_to_the_node_that_came_back_last():
    balancer = Balancer(algorithm="least_connections", health_interval_s=1.0, unhealthy_after=1, healthy_after=1)
    faults = [
        crash(node="a"),
        Fault("node_crash", at_s=150.0, for_s=5.0, node="b"),
        Fault("node_crash", at_s=150.0, for_s=1.0, node="c"),
    ]
    for seed in range(5):
        seen = run_with(faults, nodes=THREE, balancer=balancer, store=Store("memory", hand_over_s=None), seed=seed)
        assert attempts(seen)[-1].outcome == "ready"

    timeline = build_server_timeline(THREE, balancer, Store(), faults[:1], 300.0, Key(1, 0, True))
    side = ServerSide(replace(PLAIN, nodes=THREE, balancer=balancer), timeline, lambda i: 0.99, lambda i: 0.5)
    assert [side.node_at(0, "10.1.1.100", at) for at in (99.0, 110.0, 140.0)] == [2, 2, 0]
    hashed = ServerSide(
        replace(PLAIN, nodes=THREE, balancer=Balancer(algorithm="source")), timeline, lambda i: 0.99, lambda i: 0.5
    )
    assert len({hashed.node_at(i, "10.1.1.100", 50.0) for i in range(9)}) == 1
    assert len({hashed.node_at(0, f"10.1.1.{i}", 50.0) for i in range(30)}) == 3


def test_a_session_left_behind_on_a_node_waits_there_where_nodes_know_nothing_of_each_other():
    """The chunk of 60 s waits on node a while the vehicle is away; with hand-over it follows the vehicle, else it stays."""

    away = drive(Row(0.0, rtt_s=RTT_S), Row(50.0, 0, LinkState.LOST, rtt_s=RTT_S), Row(100.0, rtt_s=RTT_S), end_s=200.0)
    apart = together = 0
    for seed in range(8):
        runs = [
            run_with(
                [], MQTTPersistent(keep_alive_s=5.0), chunks(60.0), timeline=away, nodes=THREE, balancer=QUICK, seed=seed,
                store=Store("memory", hand_over_s=hand_over_s),
            )
            for hand_over_s in (None, 0.5)
        ]  # fmt: skip
        apart += runs[0].outcomes[0][0] == "pending"
        together += runs[1].outcomes[0][0] == "delivered"
        last = attempts(runs[1])[-1]
        assert last.connack_s - last.opened_s in (pytest.approx(RTT_S + CONNACK_S), pytest.approx(RTT_S + CONNACK_S + 0.5))
    assert together == 8
    assert 0 < apart < 8


def test_the_others_that_connect_anew_are_waited_for():
    """500 clients of a node that is gone come to one node that admits 100 in a second: 5 s, less what has passed."""
    nodes = Nodes(names=("a", "b"), others=500, connect_rate=100.0)
    waits = []
    for seed in range(10):
        seen = run_with([crash(node="a")], nodes=nodes, balancer=QUICK, store=Store("redis"), seed=seed)
        rows = attempts(seen)
        if len(rows) == 2:
            waits.append(rows[1].connack_s - rows[1].opened_s)
    assert waits
    assert waits == pytest.approx([5.0 - 2 * RTT_S + RTT_S + CONNACK_S] * len(waits), abs=0.1)


def test_the_hybrid_polls_meanwhile():
    seen = run_with([crash()], Hybrid(poll_s=5.0), chunks(105.0), use="hybrid", store=Store("memory"))
    assert seen.outcomes == [("delivered", "")]
    assert seen.record.via == ["poll"]


@pytest.mark.parametrize("use", ["mqtt_persistent", "hybrid"])
def test_nothing_changes_where_nothing_fails(use):

    config = Hybrid() if use == "hybrid" else MQTTPersistent()
    plain = run(steady(), config, chunks(50.0, 60.0), use=use)
    with_store = run_with([], config, chunks(50.0, 60.0), use=use, store=Store("redis"))
    assert plain.record.trace == with_store.record.trace


def test_the_memory_of_a_node_is_shared_by_its_clients():
    """4 MB for 1 + 3 clients: four chunks of 200 kB fit the vehicle's part, the fifth does not."""
    away = drive(Row(0.0, rtt_s=RTT_S), Row(50.0, 0, LinkState.LOST, rtt_s=RTT_S), Row(200.0, rtt_s=RTT_S), end_s=400.0)
    nodes = Nodes(others=3, memory_bytes=4_000_000)
    at_s = (100.0, 101.0, 102.0, 103.0, 104.0)
    seen = run_with([], MQTTPersistent(keep_alive_s=5.0), chunks(*at_s, size=200_000), timeline=away, nodes=nodes)
    assert [cause for _, cause in seen.outcomes] == ["", "", "", "", "queue_full"]
    seen = run_with([crash(at_s=300.0)], MQTTPersistent(keep_alive_s=5.0), chunks(*at_s), timeline=away, nodes=nodes)
    assert lost(seen) == {}
