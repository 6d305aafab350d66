"""Whatever fails: every message has its outcome and its cause, no machine raises, and run-ahead changes nothing."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.config import Network
from sim.protocols.broker_presets import Broker
from sim.protocols.tls import TLS
from sim.record.causes import CAUSES
from sim.server.config import Balancer, Fault, Nodes, Store
from tests.model.runs import PLAIN
from tests.model.server_faults import run_with
from tests.model.test_folding import DRIVES, VARIANTS, WORKLOADS, tables, timeline_of

NAMES = ("a", "b", "c")
HOW = st.sampled_from([None, "process", "host"])
AT_S = st.one_of(st.floats(0.0, 60.0), st.sampled_from([0.0, 5.0, 10.0, 20.0]))
FOR_S = st.one_of(st.floats(0.0, 40.0), st.sampled_from([0.0, 5.0, 10.0]))


def fault(kind, **other):
    return st.builds(Fault, st.just(kind), at_s=AT_S, for_s=FOR_S, **other)


FAULTS = st.lists(
    st.one_of(
        fault("node_crash", how=HOW, node=st.sampled_from([*NAMES, None])),
        fault("node_crash", how=HOW, node=st.sampled_from([*NAMES, None])),
        fault("rolling_upgrade"),
        fault("store_failover"),
        fault("store_crash", how=HOW),
        fault("balancer_change", how=HOW),
        fault("dns_outage"),
        fault("dns_stale", how=HOW, address=st.just("198.51.100.7")),
        fault("api_errors", how=HOW, error_share=st.sampled_from([None, 0.5])),
        fault("certificate_expiry"),
        st.builds(Fault, st.just("node_crash"), per_hour=st.just(200.0), for_s=FOR_S, how=HOW),
    ),
    max_size=6,
)
STORES = st.builds(
    Store,
    st.sampled_from(["memory", "disk", "redis", "replicated"]),
    save_interval_s=st.sampled_from([0.0, 7.0, 1800.0]),
    hand_over_s=st.sampled_from([None, 0.005, 0.5]),
    replication_lag_s=st.sampled_from([0.0, 0.1, 5.0]),
    failover_s=st.sampled_from([1.0, 15.0]),
    aof=st.sampled_from(["always", "everysec", "no"]),
    publisher_limit=st.sampled_from([None, 3]),
)
BALANCERS = st.builds(
    Balancer,
    st.sampled_from(["round_robin", "least_connections", "source"]),
    health_interval_s=st.sampled_from([1.0, 6.0]),
    unhealthy_after=st.integers(1, 2),
    healthy_after=st.integers(1, 3),
    idle_timeout_s=st.sampled_from([2.0, 12.0, 350.0]),
    after_idle=st.sampled_from(["reset", "drop"]),
    drain_s=st.sampled_from([0.0, 10.0]),
)


@pytest.mark.parametrize("name", VARIANTS)
@given(
    faults=FAULTS,
    store=STORES,
    balancer=BALANCERS,
    nodes=st.integers(1, 3),
    others=st.sampled_from([0, 2000]),
    tickets_shared=st.booleans(),
    memory_bytes=st.sampled_from([None, 200_000]),
    rows=DRIVES,
    workload=st.sampled_from(WORKLOADS),
    preset=st.sampled_from(["mosquitto", "rabbitmq", "aedes_redis", "amqtt"]),
    profile=st.sampled_from(["none", "hybrid"]),
    access=st.sampled_from(["private_apn", "cgnat"]),
    seed=st.integers(0, 99),
    fixed=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_whatever_fails_every_message_is_accounted_for(
    name,
    faults,
    store,
    balancer,
    nodes,
    others,
    tickets_shared,
    memory_bytes,
    rows,
    workload,
    preset,
    profile,
    access,
    seed,
    fixed,
):  # fmt: skip
    server = dataclasses.replace(PLAIN, broker=Broker(preset=preset), tls=TLS(profile=profile, resumption="stateful"))
    here = NAMES[:nodes]
    cluster = Nodes(here, others=others, tickets_shared=tickets_shared, memory_bytes=memory_bytes)
    faults = [dataclasses.replace(each, node=each.node if each.node in here else None) for each in faults]
    folded, unfolded = (
        run_with(
            faults, VARIANTS[name], workload, use=name.partition(",")[0], timeline=timeline_of(rows),
            nodes=cluster, balancer=balancer, store=store, server=server,
            network=Network(access=access), seed=seed, fixed=fixed, drain_s=20.0, fold=fold, trace=False,
        )
        for fold in (True, False)
    )  # fmt: skip
    ours, oracle = tables(folded), tables(unfolded)
    for table in ours:
        assert ours[table].equals(oracle[table], null_equal=True), table
    assert folded.outcomes == unfolded.outcomes
    for outcome, cause in folded.outcomes:
        assert outcome in ("delivered", "lost", "pending")
        assert (cause in CAUSES) == (outcome == "lost")
    for message, sends, arrivals in zip(folded.record.messages, folded.record.sends, folded.record.arrivals, strict=True):
        assert arrivals <= sends, message
