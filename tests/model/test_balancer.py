"""The balancer with the fixed address: idle timeout, change; upgrade of its nodes; tickets (docs/faults.md)."""

from dataclasses import replace

import pytest

from sim.drive.config import CGNAT, Network
from sim.protocols.tls import TLS
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import Diagnostics
from tests.model.runs import NOTHING_TO_SEND, PLAIN, attempts, chunks, delivered, lost, telemetry
from tests.model.server_faults import RTT_S, THREE, run_with, steady

QUICK = Balancer(health_interval_s=1.0, unhealthy_after=1, healthy_after=1)
#: Connected at 0.16 s, subscribed at 0.24 s; the first ping is due 600 s after CONNACK.
RARE = MQTTPersistent(keep_alive_s=600.0, address_watch="off")
PING_S = 600.0 + 2 * RTT_S + 0.0003


@pytest.mark.parametrize(
    ("after_idle", "reason", "noticed_s"), [("reset", "reset", PING_S + RTT_S), ("drop", "keep_alive", 1200.2)]
)
def test_a_connection_that_idles_longer_than_the_balancer_remembers_is_gone(after_idle, reason, noticed_s):
    """350 s without a packet; the next one is the ping, answered by RST or not at all (AWS NLB)."""
    seen = run_with([], RARE, timeline=steady(1500.0), balancer=Balancer(after_idle=after_idle))
    first = attempts(seen)[0]
    assert (first.reason, first.noticed_s) == (reason, pytest.approx(noticed_s, abs=0.1))


@pytest.mark.parametrize(("keep_alive_s", "stands"), [(30.0, True), (340.0, True), (360.0, False)])
def test_a_keep_alive_below_the_idle_timeout_keeps_the_flow(keep_alive_s, stands):
    config = MQTTPersistent(keep_alive_s=keep_alive_s, address_watch="off")
    seen = run_with([], config, timeline=steady(2000.0), balancer=Balancer())
    assert (len(attempts(seen)) == 1) == stands


def test_the_broker_meets_rst_too_and_keeps_the_message_for_the_next_connection():
    """A chunk published at 400 s: the balancer answers the node, which ends its side; the vehicle finds out at its ping."""
    seen = run_with([], RARE, chunks(400.0), timeline=steady(900.0), balancer=Balancer())
    first, second = attempts(seen)
    assert first.peer_ended_s == 400.0
    assert first.noticed_s == pytest.approx(PING_S + RTT_S)
    assert delivered(seen) == [pytest.approx(second.ready_s)]


def test_the_nat_is_nearer_than_the_balancer():
    """Both have forgotten the flow at 600 s: it is the NAT that does not answer."""
    network = Network(access="cgnat", cgnat=CGNAT(after_expiry="drop"))
    seen = run_with([], RARE, timeline=steady(1500.0), balancer=Balancer(), network=network)
    assert attempts(seen)[0].reason == "keep_alive"
    network = Network(access="cgnat", cgnat=CGNAT(idle_timeout_s=7440.0, after_expiry="drop"))
    seen = run_with([], RARE, timeline=steady(1500.0), balancer=Balancer(), network=network)
    assert attempts(seen)[0].reason == "reset"


def test_a_changed_balancer_closes_its_connections_and_is_away_for_a_while():
    """FIN at 100 s on both sides; SYNs of 100.04 to 105.04 s unanswered, the next one, at 107.04 s, gets through."""
    seen = run_with([Fault("balancer_change", at_s=100.0, for_s=6.0)], balancer=QUICK, workload=chunks(99.99, 103.0))
    first, second = attempts(seen)
    assert (first.reason, first.peer_ended_s) == ("closed", 100.0)
    assert first.noticed_s == pytest.approx(100.0 + RTT_S / 2)
    assert second.tcp_s == pytest.approx(100.0 + RTT_S / 2 + 7.0 + RTT_S)
    assert second.session_present == 1
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 2


@pytest.mark.parametrize("after_idle", ["reset", "drop"])
def test_a_balancer_that_forgets_its_flows_is_noticed_at_the_next_packet(after_idle):
    balancer = replace(QUICK, after_idle=after_idle)
    seen = run_with([Fault("balancer_change", at_s=102.0, how="host")], balancer=balancer, workload=telemetry(10.0))
    first = attempts(seen)[0]
    assert first.path_end_s == 102.0
    assert first.reason == ("reset" if after_idle == "reset" else "keep_alive")
    if after_idle == "reset":
        assert first.noticed_s == pytest.approx(110.0 + RTT_S)


def test_a_rolling_upgrade_closes_each_connection_when_its_node_has_drained():
    """Three nodes: drained for 20 s, away for 5 s, healthy at the next second: a at 120, b at 145 s, c at 170 s."""
    balancer = Balancer(health_interval_s=1.0, unhealthy_after=1, healthy_after=1, drain_s=20.0)
    cut = set()
    for seed in range(10):
        seen = run_with(
            [Fault("rolling_upgrade", at_s=100.0, for_s=5.0)], nodes=THREE, balancer=balancer, store=Store("redis"), seed=seed,
            workload=chunks(110.0, 130.0, 160.0, 190.0),
        )  # fmt: skip
        rows = attempts(seen)
        cut |= {row.peer_ended_s for row in rows if row.reason == "closed"}
        assert all(row.session_present == 1 for row in rows[1:])
        assert {row.reason for row in rows[:-1]} == {"closed"}  # none is refused: who drains gets no connections
        assert lost(seen) == {}
        assert seen.outcomes == [("delivered", "")] * 4
    assert cut == {120.0, 145.0, 170.0}


def test_without_a_balancer_an_upgrade_is_a_restart_that_saves():
    seen = run_with([Fault("rolling_upgrade", at_s=100.0, for_s=5.0)], workload=chunks(102.0), store=Store("disk"))
    first, refused, *_ = attempts(seen)
    assert (first.reason, refused.reason) == ("closed", "refused")
    assert seen.outcomes == [("delivered", "")]


@pytest.mark.parametrize("shared", [True, False])
def test_a_ticket_resumes_only_where_its_key_is(shared):
    """The vehicle comes from another node, or back to its own, which has restarted; with a shared key both resume."""
    server = replace(PLAIN, tls=TLS(resumption="stateful", resume_after_death=True))
    nodes = Nodes(names=("a", "b", "c"), tickets_shared=shared)
    for seed in range(6):
        faults = [Fault("node_crash", at_s=at_s, for_s=5.0, node=name) for at_s, name in ((50.0, "a"), (50.0, "b"), (50.0, "c"))]
        seen = run_with(faults, nodes=nodes, balancer=QUICK, server=server, seed=seed)
        assert {row.resumed for row in attempts(seen)[1:] if row.outcome == "ready"} == {shared}
    # the same node, that has not restarted, takes its own ticket in either case
    seen = run_with([Fault("balancer_change", at_s=50.0)], nodes=Nodes(tickets_shared=shared), balancer=QUICK, server=server)
    assert attempts(seen)[-1].resumed


def test_diagnostics_answer_through_a_cluster_as_through_one_node():
    workload = replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=20.0))
    alone = run_with([], workload=workload)
    three = run_with([], workload=workload, nodes=THREE, balancer=Balancer(), store=Store("redis"))
    assert delivered(alone) == delivered(three)
