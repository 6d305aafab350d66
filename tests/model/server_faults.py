"""Runs of the model with faults of the server side."""

from dataclasses import replace
from typing import Any

from sim.drive.config import Network
from sim.drive.timeline import LinkTimeline
from sim.model.simulate import Setting, VehicleRun, simulate
from sim.server.build import Key, build_server_timeline
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.strategies.config import MQTTPersistent
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, drive

RTT_S = 0.08
THREE = Nodes(names=("a", "b", "c"))


def steady(end_s: float = 300.0, **row: Any) -> LinkTimeline:
    """A link that does nothing."""
    return drive(Row(0.0, rtt_s=RTT_S, **row), end_s=end_s)


def run_with(
    faults: list[Fault],
    config: Any = None,
    workload: Any = NOTHING_TO_SEND,
    *,
    timeline: LinkTimeline | None = None,
    nodes: Nodes | None = None,
    balancer: Balancer | None = None,
    store: Store | None = None,
    use: str = "mqtt_persistent",
    server: Any = PLAIN,
    network: Network | None = None,
    seed: int = 1,
    fixed: bool = True,
    fold: bool = True,
    trace: bool = True,
    drain_s: float = 0.0,
) -> VehicleRun:
    """As tests.model.runs.run, with what happens to the server side."""
    timeline = timeline if timeline is not None else steady()
    server = replace(server, nodes=nodes or Nodes(), balancer=balancer, store=store or Store())
    key = Key(seed, 0, fixed)
    happens = build_server_timeline(server.nodes, server.balancer, server.session_store(), faults, timeline.end_s, key)
    setting = Setting(server, network or Network(access="public"), workload, 262_144, drain_s, seed, phases_fixed=fixed)
    return simulate(setting, timeline, use, config or MQTTPersistent(), fold=fold, trace=trace, happens=happens)
