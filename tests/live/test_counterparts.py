"""Faults of the server side played for real: nodes, Redis and brokers are killed, and the model's twin of it agrees."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from sim.live.brokers import BROKERS, start_broker
from sim.live.brokers.haproxy import missing as haproxy_missing
from sim.live.brokers.running import RunningBroker
from sim.live.probe.client import Peer, ProbeClient
from sim.live.probe.script import new_run
from sim.protocols.server import Server
from sim.record.read import read_run
from sim.scenario.load import load
from sim.server.config import Balancer, Nodes, Store
from sim.study.live import plan
from sim.study.validation import validate
from tests.live.real_brokers import peer_of, skip_without
from tests.live.test_brokers import descendants, gone_within

#: aedes acknowledges before Redis has what it acknowledges (docs/brokers.md)
STORED_S = 0.3
ROOT = Path(__file__).resolve().parents[2]
LONE = """
name: restarted
script:
  steps: [{at: 0 s, link: up, cell: A, gateway: a}]
  duration: 12 s
network: {gateways: {a: {address: 10.1.1.100}}, access: private_apn}
link: {rtt: {median: 60 ms, p95: 60 ms}, realism: false}
server: {tls: none}
faults: [{kind: node_crash, at: 4.5 s, for: 2 s}]
workload:
  ota: {image: 40 KiB, chunk: 4 KiB, every: 1 s}
  telemetry: null
  diagnostics: null
  probes: null
strategies: [{use: mqtt_persistent}]
phases: fixed
replications: 1
drain: 2 s
"""
CLUSTER = LONE.replace("server: {tls: none}", """server:
  tls: none
  balancer: {algorithm: source, health_interval: 100 ms, unhealthy_after: 2, healthy_after: 2}
  nodes: {names: [one, two]}""").replace("at: 4.5 s, for: 2 s", "at: 4.5 s, for: 2 s, node: one")  # fmt: skip


def written(folder: Path, text: str) -> str:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return str(path)


def skip_without_cluster() -> None:
    skip_without("aedes")
    why = haproxy_missing()
    if why:
        pytest.skip(why)


@pytest.mark.broker
def test_a_killed_mosquitto_refuses_loses_its_sessions_and_the_model_agrees(tmp_path: Path) -> None:
    skip_without("mosquitto")
    found = validate(plan(load(written(tmp_path, LONE))), "mosquitto", "loopback", out=tmp_path / "results")
    assert [row for row in found.rows if not row.agrees] == []
    run = read_run(found.run_dir)
    crash = run.disruptions.filter(pl.col("kind") == "node_crash").to_dicts()
    assert [(row["start_s"], row["end_s"], row["before"]) for row in crash] == [(4.5, 6.5, "broker-1")]
    mqtt = run.connections.filter(pl.col("purpose") == "mqtt").sort("asked_s").to_dicts()
    assert mqtt[0]["reason"] in ("closed", "reset")
    assert {row["reason"] for row in mqtt[1:-1]} == {"refused"}
    assert mqtt[-1]["session_present"] == 0
    log = (found.run_dir / "live.log").read_text()
    assert "Fault: node broker-1 is killed" in log
    assert "Fault over: node broker-1 serves again" in log


@pytest.mark.broker
@pytest.mark.slow
def test_a_vehicle_goes_on_at_the_other_node_and_the_model_agrees(tmp_path: Path) -> None:
    skip_without_cluster()
    found = validate(plan(load(written(tmp_path, CLUSTER))), "aedes", "loopback", out=tmp_path / "results")
    run = read_run(found.run_dir)
    mqtt = run.connections.filter(pl.col("purpose") == "mqtt").sort("asked_s").to_dicts()
    assert mqtt[-1]["session_present"] == 1
    assert run.messages["outcome"].to_list() == ["delivered"] * 10
    assert "behind haproxy" in run.manifest["broker"][0]
    compared = [row for row in found.rows if row.what in ("outcome", "detection") or row.where == "all"]
    assert [
        row for row in compared if not row.agrees and not row.where.startswith("attempt") and "attempts" not in row.what
    ] == []


async def cluster(folder: Path, store: Store | None = None) -> RunningBroker:
    balancer = Balancer(algorithm="source", health_interval_s=0.1, unhealthy_after=2, healthy_after=2)
    server = Server(balancer=balancer, nodes=Nodes(("one", "two")), store=store or Store("redis"))
    return await start_broker("aedes", folder, server)


def at_node(broker: RunningBroker, number: int, run: str) -> Peer:
    return Peer(broker.host, broker.nodes[number].port, run)


async def until(true, within_s: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    ends_s = time.monotonic() + within_s
    while not await true():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.05)


@pytest.mark.broker
@pytest.mark.slow
def test_a_session_is_at_the_other_node_once_its_own_is_killed_and_the_killed_one_comes_back(tmp_path: Path) -> None:
    skip_without_cluster()

    async def serve() -> None:
        broker, run = await cluster(tmp_path / "broker"), new_run()
        try:
            first = ProbeClient(at_node(broker, 0, run), "car")
            await first.connect(clean=False)
            await first.subscribe("updates", 1)
            await asyncio.sleep(STORED_S)
            await broker.nodes[0].process.kill()
            writer = ProbeClient(at_node(broker, 1, run), "server")
            await writer.connect()
            writer.publish("updates", b"kept", 1)
            await writer.settled()
            await asyncio.sleep(STORED_S)  # a client that comes at once gets it twice
            second = ProbeClient(at_node(broker, 1, run), "car")
            assert (await second.connect(clean=False)).session_present
            assert [packet.message.body for packet in await second.quiet()] == [b"kept"]
            # and haproxy has found out
            await until(lambda: broker.answers(broker.port))
            await broker.nodes[0].process.again()
            await until(lambda: broker.answers(broker.nodes[0].port))
        finally:
            await broker.stop()

    asyncio.run(serve())


@pytest.mark.broker
@pytest.mark.slow
def test_a_redis_that_is_killed_comes_back_with_its_sessions_and_the_nodes_outlive_it(tmp_path: Path) -> None:
    skip_without_cluster()

    async def serve() -> None:
        broker, run = await cluster(tmp_path / "broker"), new_run()
        assert broker.store is not None
        try:
            first = ProbeClient(at_node(broker, 0, run), "car")
            await first.connect(clean=False)
            await first.subscribe("updates", 1)
            await first.disconnect()
            await asyncio.sleep(STORED_S)
            await broker.store.process.kill()
            await asyncio.sleep(1.0)
            await broker.store.process.again()
            await until(broker.store.answers)
            assert [node.process.returncode for node in broker.nodes] == [None, None]
            await until(lambda: broker.answers(broker.nodes[1].port))
            second = ProbeClient(at_node(broker, 1, run), "car")
            assert (await second.connect(clean=False)).session_present
        finally:
            await broker.stop()

    asyncio.run(serve())


@pytest.mark.broker
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("mosquitto", None),
        pytest.param("rabbitmq", [(b"one", True), (b"three", True)], marks=pytest.mark.slow),
        pytest.param("aedes", [(b"one", False), (b"three", False)], marks=pytest.mark.slow),
    ],
)
def test_what_a_killed_broker_has_when_it_is_back(name: str, kept: list[tuple[bytes, bool]] | None, tmp_path: Path) -> None:
    """QoS 1, 0, 1 for a session that is away; None: it knows nothing of the session."""
    skip_without(name)

    async def serve() -> None:
        broker = await start_broker(name, tmp_path / "broker")
        try:
            peer = peer_of(broker)
            first = ProbeClient(peer, "car")
            await first.connect(clean=False)
            await first.subscribe("updates", 1)
            await first.disconnect()
            await asyncio.sleep(STORED_S)
            writer = ProbeClient(peer, "server")
            await writer.connect()
            for body, qos in ((b"one", 1), (b"two", 0), (b"three", 1)):
                writer.publish("updates", body, qos)
            await writer.settled()
            await asyncio.sleep(STORED_S)
            await broker.nodes[0].process.kill()
            began_s = time.monotonic()
            await broker.nodes[0].process.again()
            await until(lambda: broker.answers(broker.port), 60.0)
            assert time.monotonic() - began_s < 3 * max(1.0, BROKERS[name].starts_in_s)
            second = ProbeClient(peer, "car")
            assert (await second.connect(clean=False)).session_present == (kept is not None)
            if kept is not None:
                assert [(packet.message.body, packet.dup) for packet in await second.quiet()] == kept
        finally:
            await broker.stop()

    asyncio.run(serve())


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_ends_in_the_middle_of_a_fault(number: signal.Signals, tmp_path: Path) -> None:
    skip_without("mosquitto")
    file = written(
        tmp_path, LONE.replace("duration: 12 s", "duration: 60 s").replace("at: 4.5 s, for: 2 s", "at: 0.5 s, for: 1 s")
    )
    words = [sys.executable, "-m", "sim", "live", file, "--broker", "mosquitto", "--out", str(tmp_path / "results")]
    lab = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        ends_s = time.monotonic() + 30.0
        while not any("Fault over" in log.read_text() for log in (tmp_path / "results").rglob("live.log")):
            assert time.monotonic() < ends_s
            time.sleep(0.05)
        pids = descendants(lab.pid)[1:]
        assert pids  # the broker that was started again
        lab.send_signal(number)
        lab.wait(30)
        assert gone_within(pids, 10.0) == []
    finally:
        lab.kill()
        lab.wait(10)
