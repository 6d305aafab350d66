"""Model and real broker side by side on a short drive with a new address: the model takes the broker's preset, and they agree."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sim.live.brokers import preset_of
from sim.scenario.load import load
from sim.study.live import plan, with_preset_of
from sim.study.validation import validate
from tests.live.real_brokers import every_broker, skip_without

#: A keep alive so short that the vehicle notices and mosquitto, RabbitMQ and aedes do not yet: takeover, redelivery
SCENARIO = """
name: short
script:
  steps:
    - {at: 0 s, link: up, cell: A, gateway: a}
    - {at: 6 s, link: up, cell: B, gateway: b, cause: new anchor}
  duration: 14 s
network:
  gateways: {a: {address: 10.1.1.100}, b: {address: 10.2.5.200}}
  access: private_apn
link: {rtt: {median: 60 ms, p95: 60 ms}, downlink: 20 Mbit/s, uplink: 5 Mbit/s}
server: {tls: none}
workload:
  ota: {image: 40 KiB, chunk: 4 KiB, every: 1 s}
  telemetry: {every: 2 s, size: 200 B}
strategies: [{use: mqtt_persistent, keep_alive: 2 s}]
replications: 1
drain: 4 s
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "short.yaml"
    path.write_text(SCENARIO)
    return str(path)


@pytest.mark.parametrize("name", [one for one in every_broker() if one.values[0] != "amqtt"])  # which loses what is in flight
def test_model_and_broker_agree(name: str, file: str, tmp_path: Path) -> None:
    skip_without(name)
    found = validate(plan(load(file)), name, "loopback", out=tmp_path / "results")
    assert [row for row in found.rows if not row.agrees] == []
    assert found.run_dir is not None
    manifest = json.loads((found.run_dir / "manifest.json").read_text())
    assert manifest["presets"][0]["preset"] == preset_of(name)
    assert any(char.isdigit() for char in manifest["broker"][0])


@pytest.mark.parametrize(
    ("broker", "preset"), [("embedded", "mosquitto"), ("mosquitto", "mosquitto"), ("127.0.0.1:1", "mosquitto")]
)
def test_the_preset_is_that_of_the_scenario_where_the_broker_says_nothing(broker: str, preset: str, file: str) -> None:
    if broker == "mosquitto":
        skip_without(broker)
    assert with_preset_of(plan(load(file)), broker).setting.server.broker.preset == preset


def test_the_preset_is_that_of_the_broker_and_single_values_stay(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.study.live.check_broker", lambda _name, _server: None)
    planned = with_preset_of(plan(load(file, sets=["server.broker.inflight_limit=3"])), "rabbitmq")
    for server in (planned.setting.server, planned.scenario.server):
        assert server.broker.preset == "rabbitmq"
        assert server.broker.behaviour().inflight_limit == 3
        assert server.broker.behaviour().qos_max == 1


@pytest.mark.parametrize("said", ["server.broker=spec", "server.broker.preset=spec"])
def test_a_preset_that_was_set_by_hand_is_meant(said: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.study.live.check_broker", lambda _name, _server: None)
    planned = with_preset_of(plan(load(file, sets=[said]), sets=[said]), "rabbitmq")
    assert planned.setting.server.broker.preset == "spec"
    assert dataclasses.replace(planned, keeps_preset=False) != planned
