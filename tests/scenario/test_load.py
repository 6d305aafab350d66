# ruff: noqa: E501 - a table of lines reads best with a line a row
"""What is right in a scenario file, in SI units."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.protocols.server import Server
from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load_with_warnings
from sim.scenario.scenario import Objective, Scenario
from sim.strategies.config import Hybrid, MQTTPersistent
from sim.strategies.workload import OTA, Probes, Workload

Read = Callable[..., Scenario]


def test_the_least_file_has_the_defaults(read: Read) -> None:
    scenario = read()
    assert scenario.server == Server()
    assert scenario.workload == Workload()
    assert [choice.config for choice in scenario.strategies] == [MQTTPersistent(), Hybrid()]
    assert (scenario.replications, scenario.drain_s, scenario.seed, scenario.phases) == (1, 300.0, 1, "drawn")
    assert scenario.folder.is_dir()
    assert scenario.source.endswith("t.yaml")


def test_units_become_si(read: Read, minimal: str) -> None:
    text = f"""{minimal}
drain: 5 min
server: {{broker: emqx, tls: pqc, dns_ttl: 2 min}}
link: {{rtt: {{median: 80 ms}}, downlink: 20 Mbit/s}}
radio: {{frequency: 1.8 GHz}}
handover: {{reselection: [0.3 s, 3000 ms], failure: 2 %, a3_offset: -2 dB}}
workload:
  ota: {{image: 48 MiB, chunk: 4 kB, every: 1e3 ms}}
  probes: null
"""
    scenario = read(text)
    assert scenario.drain_s == 300.0
    assert (scenario.server.broker.preset, scenario.server.tls.profile, scenario.server.dns.ttl_s) == ("emqx", "pqc", 120.0)
    assert (scenario.drive.link.rtt.median_s, scenario.drive.link.downlink_bps) == (0.08, 20e6)
    assert scenario.drive.radio.frequency_hz == 1.8e9
    handover = scenario.drive.handover
    assert (handover.reselection_s, handover.failure_share, handover.a3_offset_db) == ((0.3, 3.0), 0.02, -2.0)
    assert scenario.workload.ota == OTA(image_bytes=48 * 2**20, chunk_bytes=4000, every_s=1.0)
    assert scenario.workload.probes is None
    assert type(scenario.workload.ota.chunk_bytes) is int


def test_a_workload_that_is_not_named_stays_off_but_the_probes(read: Read, minimal: str) -> None:
    workload = read(f"{minimal}workload: {{ota: null, telemetry: {{}}}}\n").workload
    assert (workload.ota, workload.diagnostics, workload.probes) == (None, None, Probes())
    assert workload.telemetry is not None


def test_short_and_long_forms_are_the_same(read: Read, minimal: str) -> None:
    short = read(f"{minimal}server: {{broker: aedes, tls: pqc, dns_ttl: 5 s, dns: {{cached: true}}}}\n")
    long = read(f"{minimal}server: {{broker: {{preset: aedes}}, tls: {{profile: pqc}}, dns: {{ttl: 5 s, cached: true}}}}\n")
    assert short.server == long.server


def test_names_that_are_numbers_in_yaml(read: Read, minimal: str) -> None:
    text = minimal.replace("hybrid]", "{use: hybrid, version: 5, backoff: none, address_watch: off}]")
    config = read(text).strategies[1].config
    assert (config.version, config.backoff.policy, config.address_watch) == ("5", "none", "off")


def test_objectives_in_the_unit_of_their_metric(read: Read, minimal: str) -> None:
    text = f"""{minimal}objectives:
  - {{strategy: hybrid, metric: ota.lost, at_most: 0}}
  - {{strategy: hybrid, metric: ota.delivered_within_60s, at_least: 95 %}}
  - {{strategy: mqtt_persistent, metric: recovery_s.p95, at_most: 1 min}}
  - {{strategy: mqtt_persistent, metric: recovery_s.p95, at_most: 60}}
  - {{strategy: mqtt_persistent, metric: bytes.total, at_most: 5 MB}}
  - {{strategy: mqtt_persistent, metric: mb_per_vehicle_month, at_most: 500 MB}}
"""
    assert read(text).objectives == (
        Objective("hybrid", "ota.lost", at_most=0.0),
        Objective("hybrid", "ota.delivered_within_60s", at_least=0.95),
        Objective("mqtt_persistent", "recovery_s.p95", at_most=60.0),
        Objective("mqtt_persistent", "recovery_s.p95", at_most=60.0),
        Objective("mqtt_persistent", "bytes.total", at_most=5e6),
        Objective("mqtt_persistent", "mb_per_vehicle_month", at_most=500.0),
    )


#: lines after the minimal scenario -> warnings
WARNINGS = [
    ("workload: {ota: {image: 1 MiB, chunk: 64 KiB, every: 10 s}}",
     "t.yaml:4:54: workload.ota.every: the update needs at least 160 s for 16 chunks, the drive ends after 60 s"),
    ("workload: {ota: {image: 1 GiB, window: 4}}",
     "t.yaml:4:25: workload.ota.image: the update needs at least 430 s for 4096 chunks, the drive ends after 60 s"),
    ("workload: {ota: {at: [5 s, 70 s]}}",
     "t.yaml:4:28: workload.ota.at.1: is after the end of the drive (60 s), the chunk is never created"),
    ("server: {broker: aws_iot}\nworkload: {ota: {image: 1 MiB, chunk: 256 KiB, every: 1 s}}",
     "t.yaml:5:39: workload.ota.chunk: exceeds the packet limit of the broker (aws_iot: 128 KiB), MQTT strategies will deliver none"),
    ("server: {broker: rabbitmq}\nworkload: {telemetry: {qos: 2}}",
     "t.yaml:5:29: workload.telemetry.qos: the broker (rabbitmq) grants QoS 1 at most"),
    ("objectives: [{strategy: hybrid, metric: ota.lost, at_most: 0}]",
     "t.yaml:4:41: objectives.0.metric: workload.ota is off, the objective has nothing to judge"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_warnings(write: Callable, minimal: str, text: str, warning: str) -> None:
    path = write(f"{minimal}{text}\n")
    _scenario, warnings = load_with_warnings(path)
    assert [line.replace(f"{path.parent}/", "") for line in warnings] == [warning]


def test_an_image_smaller_than_a_chunk_has_no_chunk_that_large(write: Callable, minimal: str) -> None:
    path = write(f"{minimal}server: {{broker: aws_iot}}\nworkload: {{ota: {{image: 64 KiB, chunk: 256 KiB, every: 1 s}}}}\n")
    assert load_with_warnings(path)[1] == []


def test_strategy_says_which_objectives_it_leaves_out(write: Callable, minimal: str) -> None:
    bounds = [f"{{strategy: {name}, metric: all.lost, at_most: 0}}" for name in ("hybrid", "mqtt_persistent", "hybrid")]
    path = write(f"{minimal}objectives: [{', '.join(bounds)}]\n")
    assert load_with_warnings(path)[1] == []
    assert load_with_warnings(path, strategies=["mqtt_persistent", "hybrid"])[1] == []
    scenario, warnings = load_with_warnings(path, strategies=["mqtt_persistent"])
    assert warnings == ["--strategy: leaves out 2 objectives of hybrid"]
    assert [objective.strategy for objective in scenario.objectives] == ["mqtt_persistent"]
    assert load_with_warnings(path, strategies=["hybrid"])[1] == ["--strategy: leaves out the objective of mqtt_persistent"]


@pytest.mark.parametrize("option", ["sets", "varies"])
def test_an_option_for_a_strategy_that_is_left_out_is_refused(write: Callable, minimal: str, option: str) -> None:
    given = {option: ["hybrid.poll=10 s"]}
    with pytest.raises(ScenarioErrors) as raised:
        load_with_warnings(write(minimal), strategies=["mqtt_persistent"], **given)
    name = {"sets": "--set", "varies": "--vary"}[option]
    assert raised.value.lines == [f"{name} hybrid.poll: hybrid is left out by --strategy, the option changes nothing"]
    assert load_with_warnings(write(minimal), strategies=["hybrid"], **given)[1] == []


def test_warnings_of_strategies(write: Callable, minimal: str) -> None:
    text = minimal.replace("[mqtt_persistent, hybrid]", "[ddns_heartbeat, static_push, {use: hybrid, version: '5'}]")
    path = write(f"{text}server: {{broker: aedes}}\n")
    _scenario, warnings = load_with_warnings(path)
    closed = "network.access is cgnat, so that the server cannot connect to the vehicle"
    assert [line.replace(f"{path.parent}/", "") for line in warnings] == [
        f"t.yaml:3:14: strategies.0: {closed}: ddns_heartbeat will deliver nothing to it",
        f"t.yaml:3:30: strategies.1: {closed}: static_push will deliver nothing to it",
        "t.yaml:3:66: strategies.2.version: the broker (aedes, aedes 1.2.0 on node 20) does not speak MQTT 5, hybrid will never connect",
    ]
