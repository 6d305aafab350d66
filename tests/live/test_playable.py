"""What a live run has no counterpart for is refused in one line, before anything is started."""

from __future__ import annotations

import dataclasses

import pytest

from sim.live.playable import unplayable
from sim.protocols.broker_presets import Broker
from sim.protocols.server import Server
from sim.server.config import Balancer, Fault, FaultKind, Nodes, Store

LONE = Server(broker=Broker("rabbitmq"))
CLUSTER = Server(broker=Broker("aedes_redis"), balancer=Balancer(), nodes=Nodes(names=("a", "b")))
CRASH = Fault("node_crash", at_s=1.0)


@pytest.mark.parametrize(
    ("server", "faults", "broker"),
    [
        (LONE, [CRASH], "rabbitmq"),
        (LONE, [Fault("tower_outage", at_s=1.0, tower="A"), Fault("nat_rebind", at_s=1.0)], "embedded"),
        (CLUSTER, [CRASH, Fault("store_crash", at_s=3.0, how="process")], "aedes"),
        (dataclasses.replace(LONE, balancer=Balancer()), [], "mosquitto"),
        (dataclasses.replace(LONE, nodes=Nodes(others=5)), [], "embedded"),
    ],
)
def test_these_are_played(server: Server, faults: list[Fault], broker: str) -> None:
    assert unplayable(faults, server, broker) is None


@pytest.mark.parametrize(
    "kind",
    ["rolling_upgrade", "store_failover", "balancer_change", "dns_outage", "dns_stale", "api_errors", "certificate_expiry"],
)
def test_faults_of_the_model_alone_are_named(kind: FaultKind) -> None:
    why = unplayable([CRASH, Fault(kind, at_s=1.0)], CLUSTER, "aedes")
    assert why == f"faults: {kind}: played by the model alone, not live; node_crash, store_crash are"


@pytest.mark.parametrize(
    ("server", "faults", "broker", "begins"),
    [
        (LONE, [Fault("node_crash", at_s=1.0, how="host")], "rabbitmq", "faults: node_crash: how: host is played by the model"),
        (LONE, [CRASH], "embedded", "--broker embedded: faults need a broker whose processes"),
        (LONE, [CRASH], "10.0.0.1:1883", "--broker 10.0.0.1:1883: faults need"),
        (CLUSTER, [], "embedded", "--broker embedded: several nodes need"),
        (CLUSTER, [], "rabbitmq", "server.nodes.names: live, --broker aedes alone runs several nodes, not rabbitmq"),
        (dataclasses.replace(CLUSTER, store=Store("memory")), [], "aedes", "server.store: nodes of aedes share"),
        (dataclasses.replace(CLUSTER, nodes=Nodes(("a", "b"), others=1)), [], "aedes", "server.nodes.others: "),
        (dataclasses.replace(CLUSTER, nodes=Nodes(("a", "b"), tickets_shared=False)), [], "aedes", "server.nodes.tickets_shared"),
        (LONE, [Fault("store_crash", at_s=1.0)], "mosquitto", "faults: store_crash: live, --broker aedes alone has a Redis"),
        (LONE, [Fault("node_crash", at_s=1.0, for_s=2.0)], "rabbitmq", "faults: node_crash: for: rabbitmq takes about 12 s"),
    ],
)
def test_each_reason_is_one_line(server: Server, faults: list[Fault], broker: str, begins: str) -> None:
    why = unplayable(faults, server, broker)
    assert why is not None
    assert why.startswith(begins)
    assert "\n" not in why
