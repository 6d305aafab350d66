"""The scenarios that come with the lab, their schema and the starter file."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import jsonschema
import pytest

from sim.drive.build import build_timeline
from sim.scenario.checks import drive_length_s
from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load_with_warnings
from sim.scenario.schema import scenario_schema
from sim.scenario.starter import starter_text, write_starter
from sim.scenario.yaml_text import read_yaml

FOLDER = Path(__file__).parents[2] / "scenarios"
SHIPPED = sorted(FOLDER.glob("*.yaml"))
NAMES = {
    "city_a_to_b",
    "city_a_to_b_realistic",
    "coverage_gap",
    "one_handover",
    "production",
    "recorded_drive",
    "same_anchor_handover",
    "seed_message_flow",
}


def _valid(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(scenario_schema())
    return validator.is_valid(read_yaml(text, "f").value)


def test_they_are_all_there() -> None:
    assert {path.stem for path in SHIPPED} >= NAMES


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_loads_without_a_warning(path: Path) -> None:
    scenario, warnings = load_with_warnings(path)
    assert warnings == []
    assert scenario.name == path.stem
    assert scenario.description


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_has_the_editor_line_and_the_schema_accepts_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    validator = jsonschema.Draft202012Validator(scenario_schema())
    assert [error.message for error in validator.iter_errors(read_yaml(text, str(path)).value)] == []


def test_the_committed_schema_is_current() -> None:
    # `python -m sim schema > scenarios/schema.json` makes it so
    assert json.loads((FOLDER / "schema.json").read_text(encoding="utf-8")) == scenario_schema()


def test_the_schema_refuses_what_the_loader_refuses(minimal: str) -> None:
    jsonschema.Draft202012Validator.check_schema(scenario_schema())
    assert _valid(minimal)
    for wrong in (
        "drain: 30",
        "drian: 30 s",
        "link: {downlink: 5 Mbps}",
        "server: {tls: pqq}",
        "workload: {ota: {qos: 3}}",
        "handover: {reselection: [1 s]}",
        "route: [{at: [0, 0]}]",
        "objectives: [{strategy: hybrid, metric: x}]",
    ):
        assert not _valid(f"{minimal}{wrong}\n"), wrong
    assert not _valid(minimal.replace("hybrid]", "{use: hybrid, keepalive: 3 s}]"))
    assert _valid(minimal.replace("hybrid]", "{use: 'mine.py:Mine', nap: 3 s}]"))


def test_every_default_in_the_schema_is_valid_itself() -> None:
    schema = scenario_schema()
    checked = 0
    for part in [schema, *schema["$defs"].values(), *(half for d in schema["$defs"].values() for half in d.get("anyOf", []))]:
        for key, rule in part.get("properties", {}).items():
            if "default" in rule and "$ref" not in json.dumps(rule):
                jsonschema.validate(rule["default"], rule)
                checked += 1
                assert rule["description"], key
    assert checked > 100


def test_the_facts_the_seed_states() -> None:
    scenario, _warnings = load_with_warnings(FOLDER / "city_a_to_b.yaml")
    assert [g.address for g in scenario.drive.network.gateways.values()] == ["10.1.1.100", "10.2.5.200", "10.3.9.150"]
    ota = scenario.workload.ota
    assert ota is not None
    assert ota.image_bytes is not None
    assert ota.every_s is not None
    assert ota.image_bytes / ota.chunk_bytes * ota.every_s == 960.0
    assert drive_length_s(scenario.drive) == 1200.0

    flow, _warnings = load_with_warnings(FOLDER / "seed_message_flow.yaml")
    assert flow.workload.ota is not None
    assert flow.workload.ota.at_s == (5.0, 10.0, 16.0, 25.0)
    assert flow.workload.ota.chunk_bytes == 4096
    assert (flow.server.dns.cached, flow.server.dns.ttl_s, flow.phases, flow.workload.probes) == (True, 60.0, "fixed", None)
    assert flow.drive.network.reassignment.delay_s == 2.0
    by_name = {choice.name: choice.config for choice in flow.strategies}
    assert by_name["mqtt_persistent"].address_watch == "link_event"
    assert (by_name["seed_code"].notices, by_name["seed_code"].address_poll_s) == (("address",), 10.0)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("city_a_to_b", ["10.1.1.100", "10.2.5.200", "10.3.9.150"]),
        ("city_a_to_b_realistic", ["10.1.1.100", "10.3.9.150"]),
        ("same_anchor_handover", ["10.1.1.100"]),
        ("coverage_gap", ["10.1.1.100"]),
    ],
)
def test_the_addresses_of_every_drive(name: str, addresses: list[str]) -> None:
    scenario, _warnings = load_with_warnings(FOLDER / f"{name}.yaml")
    for replication in range(scenario.replications):
        timeline = build_timeline(scenario.drive, scenario.seed, replication, 0, scenario.folder)
        held = [timeline.addresses[index] for index in timeline.address.tolist() if index >= 0]
        assert [address for address, _same in groupby(held)] == addresses, f"drive {replication}"


def test_the_teaching_case_is_short() -> None:
    path = FOLDER / "one_handover.yaml"
    scenario, _warnings = load_with_warnings(path)
    assert (drive_length_s(scenario.drive) or 1e9) < 90.0
    code = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 20


def test_the_starter_file_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_starter("my_drive")
    scenario, warnings = load_with_warnings(path)
    assert (scenario.name, warnings) == ("my_drive", [])
    assert _valid(starter_text("my_drive"))
    with pytest.raises(ScenarioErrors, match=r"my_drive.yaml: exists already, it is not overwritten"):
        write_starter("my_drive")
    with pytest.raises(ScenarioErrors, match="name of a folder"):
        write_starter("my drive")
    with pytest.raises(ScenarioErrors, match="there is no folder"):
        write_starter("no/such/folder/x")
