"""Units: what their ids depend on, what is kept of them, and that the store loses none and believes no torn one."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from sim.measure.metrics_catalog import METRICS, lookup
from sim.notebook import read
from sim.report.evidence import Evidence
from sim.scenario.load import load
from sim.server.config import Fault
from sim.study import unit as home
from sim.study.run import run_scenario
from sim.study.unit import UnitKey, read_unit, run_units
from sim.study.unit_store import UnitStore

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def ids(scenario, replication=0):
    key = UnitKey(scenario)
    return {choice.name: key.of(choice, replication) for choice in scenario.strategies}


def test_an_id_does_not_know_names_texts_objectives_or_the_number_of_drives(write):
    plain = ids(load(write()))
    more = "description: another text\nobjectives: [{strategy: hybrid, metric: ota.lost, at_most: 0}]\n"
    text = write().read_text().replace("name: short", "name: other").replace("replications: 3", "replications: 9")
    assert ids(load(write(more, "other.yaml", text))) == plain


def test_an_id_knows_the_settings_of_its_own_strategy_alone(write):
    plain = ids(load(write()))
    varied = ids(load(write(), sets=["hybrid.poll=10 s"]))
    assert varied["mqtt_persistent"] == plain["mqtt_persistent"]
    assert varied["hybrid"] != plain["hybrid"]


@pytest.mark.parametrize("change", ["seed=2", "drain=200 s", "server.tls=pqc", "link.rtt.median=50 ms", "workload.ota.every=4 s"])
def test_an_id_knows_everything_else_that_is_read(write, change):
    plain, changed = ids(load(write())), ids(load(write(), sets=[change]))
    assert all(plain[name] != changed[name] for name in plain)
    assert ids(load(write()), 1) != plain


def test_an_edited_strategy_file_changes_the_ids_of_its_strategy_alone(write, tmp_path):
    (tmp_path / "own.py").write_text((EXAMPLES / "eager_mqtt.py").read_text())
    text = write().read_text().replace("[mqtt_persistent, hybrid]", "[mqtt_persistent, {use: 'own.py:EagerMQTT', name: own}]")
    path = write("", "own.yaml", text)
    before = ids(load(path))
    with open(tmp_path / "own.py", "a") as file:
        file.write("# edited\n")
    after = ids(load(path))
    assert after["mqtt_persistent"] == before["mqtt_persistent"]
    assert after["own"] != before["own"]


def test_an_edited_drive_log_changes_every_id(tmp_path):
    shipped = Path(__file__).parents[2] / "scenarios"
    (tmp_path / "drives").mkdir()
    for path in (shipped / "drives").iterdir():
        (tmp_path / "drives" / path.name).write_bytes(path.read_bytes())
    scenario = tmp_path / "recorded_drive.yaml"
    scenario.write_bytes((shipped / "recorded_drive.yaml").read_bytes())
    before = ids(load(scenario))
    log = tmp_path / load(scenario).drive.recorded.file
    log.write_bytes(log.read_bytes() + b"\n")
    after = ids(load(scenario))
    assert all(before[name] != after[name] for name in before)


def test_an_id_knows_the_sources_and_the_versions(write, monkeypatch):
    plain = ids(load(write()))
    monkeypatch.setattr(home, "surroundings", lambda: "another lab")
    assert all(plain[name] != other for name, other in ids(load(write())).items())


def test_every_field_of_a_scenario_is_either_in_the_id_or_left_out_on_purpose():
    """A field that is added later is in the id, unless somebody decides otherwise here."""
    from sim.scenario.scenario import Scenario

    known = {field.name for field in dataclasses.fields(Scenario)}
    assert set(home._WITHOUT) <= known
    assert known - set(home._WITHOUT) == {"drive", "server", "faults", "workload", "fleet", "drain_s", "phases"}


def test_a_unit_has_the_numbers_of_a_run(write, tmp_path):
    """Each metric of each drive is what the run of the same scenario says, to the last bit; latencies to the microsecond."""
    scenario = load(write())
    result = run_scenario(scenario, out=tmp_path / "results", report=False)
    run = read(result.run_dir)
    vectors = Evidence(run, run.metrics, run.episodes).vectors
    for replication in range(scenario.replications):
        for name, content in run_units(scenario, replication, [c.name for c in scenario.strategies]).items():
            unit = read_unit(content)
            here = {metric: lookup(unit.numbers, metric) for metric in METRICS if not metric.startswith("diagnostics")}
            assert here == {metric: vectors[name][metric][replication] for metric in here}
            mine = run.messages.filter(strategy=name, replication=replication, kind="ota")
            expected = (mine["delivered_s"] - mine["created_s"]).fill_null(math.inf).to_numpy()
            np.testing.assert_allclose(unit.latency_s["ota"], expected, atol=1e-6)


def test_a_unit_is_the_same_bytes_whoever_else_ran_and_in_whatever_order(write):
    scenario = load(write())
    together = run_units(scenario, 1, ["mqtt_persistent", "hybrid"])
    assert run_units(scenario, 1, ["hybrid"])["hybrid"] == together["hybrid"]
    assert run_units(scenario, 1, ["mqtt_persistent"])["mqtt_persistent"] == together["mqtt_persistent"]


def test_the_store_gives_back_what_was_put(tmp_path):
    store = UnitStore(tmp_path)
    assert store.get("ab" * 16) is None
    store.put({"ab" * 16: b"one", "cd" * 16: b"two"})
    assert (store.get("ab" * 16), store.get("cd" * 16)) == (b"one", b"two")
    assert store.size().units == 2
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]  # nothing unfinished


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[:20] + b"x" + raw[21:], lambda raw: raw + b" "]
)
def test_a_torn_unit_counts_as_none(tmp_path, damage):
    store = UnitStore(tmp_path)
    store.put({"ab" * 16: b'{"a unit": "with some content"}'})
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("ab" * 16) is None


def test_another_version_of_the_lab_finds_nothing_and_can_be_cleared(tmp_path, monkeypatch):
    store = UnitStore(tmp_path)
    store.put({"ab" * 16: b"old"})
    from sim.study import unit_store

    monkeypatch.setattr(unit_store, "surroundings", lambda: "newer")
    newer = UnitStore(tmp_path)
    assert newer.get("ab" * 16) is None
    newer.put({"ef" * 16: b"new"})
    assert (newer.size().units, newer.size().stale) == (1, 1)
    assert newer.clear(stale_only=True).stale == 1
    assert newer.get("ef" * 16) == b"new"
    newer.clear()
    assert not (tmp_path / ".units").exists()


def test_bytes_that_are_no_unit_are_refused():
    for content in (b"{}", b"[]", b"nothing", b'{"format": 99}'):
        with pytest.raises(ValueError, match=r"unit|format|Expecting"):
            read_unit(content)


def test_faults_of_the_network_make_another_drive_and_those_of_the_server_do_not(write):
    def with_faults(*faults):
        return dataclasses.replace(load(write()), faults=faults)

    plain, crash = with_faults(), with_faults(Fault("node_crash", at_s=5.0))
    rebind = with_faults(Fault("nat_rebind", at_s=5.0))
    assert UnitKey(plain).drive == UnitKey(crash).drive != UnitKey(rebind).drive
    assert len({ids(each)["hybrid"] for each in (plain, crash, rebind)}) == 3
