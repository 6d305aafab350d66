"""From faults and settings to what happens to the server side: instants, health checks, saves, draws."""

import math

import pytest

from sim.server.build import Key, build_server_timeline, instants, nat_rebinds, tower_outages
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.server.timeline import NOTHING, Change

FIXED = Key(1, 0, True)
THREE = Nodes(names=("a", "b", "c"))
BALANCER = Balancer(health_interval_s=10.0, unhealthy_after=3, healthy_after=2)


def built(*faults, nodes=THREE, balancer=BALANCER, store=None, end_s=1000.0, key=FIXED):
    return build_server_timeline(nodes, balancer, store or Store(), faults, end_s, key)


def test_nothing_happens_without_faults():
    assert built() == NOTHING


#: crash at, for -> avoided from, until: three bad checks, two good ones, each ten seconds, at whole tens
HEALTH = {
    (101.0, 100.0): (130.0, 220.0),
    (100.0, 100.0): (120.0, 210.0),  # a check at the very instant finds it
    (101.0, 20.0): (math.inf, math.inf),  # back before the third check
    (101.0, math.inf): (130.0, math.inf),
}


@pytest.mark.parametrize("crash", HEALTH)
def test_the_balancer_avoids_a_node_from_the_check_that_finds_it_down_to_the_one_that_finds_it_well(crash):
    at_s, for_s = crash
    (down,) = built(Fault("node_crash", at_s=at_s, for_s=for_s, node="b")).downs
    assert (down.node, down.start_s, down.end_s) == (1, at_s, at_s + for_s)
    assert (down.avoided_from_s, down.avoided_until_s) == HEALTH[crash]


def test_without_a_balancer_nobody_avoids_it():
    (down,) = built(Fault("node_crash", at_s=101.0, for_s=100.0), nodes=Nodes(), balancer=None).downs
    assert down.avoided_from_s == math.inf


def test_outages_of_a_node_that_overlap_are_one_and_those_of_others_are_not():
    made = built(
        Fault("node_crash", at_s=100.0, for_s=50.0, node="a"),
        Fault("node_crash", at_s=120.0, for_s=100.0, node="a", how="host"),
        Fault("node_crash", at_s=120.0, for_s=10.0, node="b"),
    )
    assert [(down.node, down.start_s, down.end_s, down.silent) for down in made.downs] == [
        (0, 100.0, 220.0, False), (1, 120.0, 130.0, False),
    ]  # fmt: skip
    assert [event.kind for event in made.events] == ["node_crash"] * 3


def test_a_node_that_fails_again_before_it_is_found_well_stays_avoided():
    made = built(Fault("node_crash", at_s=101.0, for_s=40.0, node="a"), Fault("node_crash", at_s=145.0, for_s=100.0, node="a"))
    assert all(made.avoided_at(0, at_s) for at_s in (130.0, 143.0, 150.0, 245.0))
    assert not made.avoided_at(0, 129.0)
    assert not made.avoided_at(0, 260.0)


def test_a_rolling_upgrade_takes_one_node_after_the_other():
    balancer = Balancer(health_interval_s=10.0, unhealthy_after=3, healthy_after=2, drain_s=60.0)
    made = built(Fault("rolling_upgrade", at_s=100.0, for_s=15.0), balancer=balancer)
    # drained from 100, down 160 to 175, well at 190; then drained from 190, down 250 to 265, well at 280; ...
    assert [(d.node, d.avoided_from_s, d.start_s, d.end_s, d.avoided_until_s) for d in made.downs] == [
        (0, 100.0, 160.0, 175.0, 190.0), (1, 190.0, 250.0, 265.0, 280.0), (2, 280.0, 340.0, 355.0, 370.0),
    ]  # fmt: skip
    assert [event.kind for event in made.events] == ["node_upgrade"] * 3


def test_a_disk_has_what_was_saved_last_before_the_crash():
    store = Store("disk", save_interval_s=30.0)
    changes = built(Fault("node_crash", at_s=100.0, for_s=50.0, node="c"), store=store).changes
    assert changes == ((90.0, Change.SAVED, 2), (100.0, Change.NODE_FAILED, 2), (150.0, Change.NODE_STARTED, 2))
    at_once = built(Fault("node_crash", at_s=100.0, node="c"), store=Store("disk", save_interval_s=0.0)).changes
    assert at_once[0] == (100.0, Change.SAVED, 2)
    # a crash again before the next save finds the disk as it was
    again = built(
        Fault("node_crash", at_s=100.0, for_s=5.0, node="c"), Fault("node_crash", at_s=110.0, for_s=5.0, node="c"), store=store
    ).changes
    assert [at for at, what, _ in again if what is Change.SAVED] == [90.0]


def test_a_failover_loses_what_was_written_within_the_lag():
    store = Store("redis", replication_lag_s=2.0, failover_s=20.0)
    assert built(Fault("store_failover", at_s=100.0), store=store).changes == (
        (98.0, Change.SAVED, -1), (100.0, Change.STORE_FAILED, -1), (120.0, Change.STORE_RECOVERED, -1),
    )  # fmt: skip


def test_random_faults_come_at_their_rate_and_are_the_same_for_everybody_in_a_replication():
    faults = [Fault("node_crash", per_hour=10.0, for_s=1.0)]
    drawn = [instants(faults, 0, 7200.0, Key(1, replication)) for replication in range(60)]
    assert sum(map(len, drawn)) / 60 == pytest.approx(20.0, rel=0.1)  # Poisson: 20 +- 0.6
    assert drawn[3] == instants(faults, 0, 7200.0, Key(1, 3))
    assert len({tuple(each) for each in drawn}) == 60
    nodes = [down.node for n in range(30) for down in built(*faults, end_s=7200.0, key=Key(1, n)).downs]
    assert all(nodes.count(node) > 100 for node in (0, 1, 2))


def test_a_fault_of_its_own_draws_does_not_move_those_of_another():
    first = Fault("node_crash", per_hour=10.0, for_s=1.0)
    alone = instants([first], 0, 7200.0, Key(1, 0))
    assert instants([first, Fault("dns_outage", per_hour=3.0)], 0, 7200.0, Key(1, 0)) == alone


def test_faults_of_the_network_are_given_to_the_drive():
    faults = [
        Fault("tower_outage", at_s=50.0, tower="A"), Fault("region_outage", at_s=10.0, for_s=5.0, gateway="g"),
        Fault("nat_rebind", at_s=7.0), Fault("nat_rebind", at_s=5000.0),
    ]  # fmt: skip
    assert tower_outages(faults, Store(), 1000.0, FIXED) == [(10.0, 15.0, "", "g"), (50.0, 170.0, "A", "")]
    assert nat_rebinds(faults, 1000.0, FIXED) == [7.0]
    assert built(*faults).events == ()
