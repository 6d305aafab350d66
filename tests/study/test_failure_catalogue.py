"""The failure catalogue: every scenario runs and meets its objectives, the failure shows, and the page tells it as it is."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest

from sim.cli import main
from sim.measure.objectives import judge
from sim.record.causes import CAUSES
from sim.record.read import read_run
from sim.scenario.load import load, load_with_warnings
from sim.scenario.schema import scenario_schema
from sim.scenario.yaml_text import read_yaml
from sim.study.run import run_scenario

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scenarios" / "failures"
SCENARIOS = sorted(FOLDER.glob("*.yaml"))


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("failures_tool", ROOT / "tools" / "failures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["failures_tool"] = module
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
by_number = pytest.mark.parametrize("failure", TOOL.CATALOGUE, ids=lambda failure: f"F{failure.number}")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_is_a_scenario_like_any_shipped_one(path: Path) -> None:
    scenario, warnings = load_with_warnings(path)
    assert scenario.name == path.stem
    expected = ["ddns_heartbeat will deliver nothing"] if path.stem == "f22_cgnat" else []  # which is the failure itself
    assert len(warnings) == len(expected)
    assert all(text in line for text, line in zip(expected, warnings, strict=True))
    assert 1 <= scenario.replications <= 10
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schema.json\n# F")
    validator = jsonschema.Draft202012Validator(scenario_schema())
    assert [error.message for error in validator.iter_errors(read_yaml(text, str(path)).value)] == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_meets_every_objective(path: Path) -> None:
    objectives = TOOL.ran(path.stem).metrics["objectives"]
    assert objectives
    assert [objective for objective in objectives if objective["verdict"] != "met"] == []


def test_every_row_and_every_scenario_is_in_the_catalogue() -> None:
    assert [failure.number for failure in TOOL.CATALOGUE] == list(range(1, 24))
    sides = [(failure, name) for failure in TOOL.CATALOGUE for name in (*failure.before, *failure.after)]
    assert {TOOL.variant(failure, name)[0] for failure, name in sides} == {path.stem for path in SCENARIOS}
    for failure, name in sides:
        scenario, strategy = TOOL.variant(failure, name)
        assert strategy in {choice.name for choice in load(FOLDER / f"{scenario}.yaml").strategies}
    for failure in TOOL.CATALOGUE:
        assert failure.scenario.startswith(f"f{failure.number:02}_")


@by_number
def test_before_and_after_are_both_under_an_objective(failure: Any) -> None:
    """Neither the failure nor its cure could vanish unnoticed."""
    for side in (failure.before, failure.after):
        scenario, strategy = TOOL.variant(failure, side[0])
        assert strategy in {objective.strategy for objective in load(FOLDER / f"{scenario}.yaml").objectives}


@by_number
def test_the_losses_have_the_cause_and_recoveries_the_label_of_the_failure(failure: Any) -> None:
    before, after = failure.before[0], failure.after[0]
    if failure.cause:
        found = TOOL.causes(failure, before)
        assert failure.cause in CAUSES
        assert max(found, key=lambda cause: found[cause]) == failure.cause
        assert sum(TOOL.causes(failure, after).values()) < sum(found.values()) / 2
    else:
        assert TOOL.causes(failure, before) == {} or failure.number == 5  # F5 loses one chunk beside what stays pending
    if failure.label:
        assert TOOL.longest_phase(failure, before)[0] == failure.label


@by_number
def test_the_cure_is_better_in_the_figure_that_leads(failure: Any) -> None:
    what = failure.shows[0]
    before, after = (TOOL.measured(failure, side[0], what) for side in (failure.before, failure.after))
    assert before is not None
    assert after is not None
    assert before < after / 1.5 if what == "ota.delivered" else after < before / 1.3


def _failure(number: int) -> Any:
    return TOOL.CATALOGUE[number - 1]


def test_f1_the_broker_takes_the_vehicle_for_connected_for_one_and_a_half_keep_alives() -> None:
    blind_s = [TOOL.measured(_failure(1), name, "blind_s") for name in ("keep_alive_30s", "keep_alive_5s")]
    assert 30.0 < blind_s[0] <= 45.1
    assert 5.0 < blind_s[1] <= 7.6


def test_f4_the_connections_are_taken_over_and_no_attempt_fails() -> None:
    run = TOOL.ran("f04_takeover_loop")
    made = run.records.connections.filter((pl.col("strategy") == "same_id") & (pl.col("purpose") == "mqtt"))
    assert made.filter(pl.col("outcome") == "failed").is_empty()
    assert made.filter(pl.col("session_present") == 1).height > made.height * 0.9


def test_f6_loses_the_last_of_the_gap_and_f7_the_first() -> None:
    for number, newest in ((6, True), (7, False)):
        failure = _failure(number)
        messages = TOOL.ran(failure.scenario).records.messages.filter(pl.col("replication") == 0)
        waited = messages.filter(((pl.col("handed_s") - pl.col("created_s")) > 5.0) | (pl.col("outcome") == "lost"))
        lost, kept = waited.filter(pl.col("outcome") == "lost"), waited.filter(pl.col("outcome") == "delivered")
        assert (lost["created_s"].median() > kept["created_s"].median()) is newest


def test_f8_the_session_grows_with_the_gap_and_not_with_a_window() -> None:
    before, after = (TOOL.measured(_failure(8), name, "waiting_bytes") for name in ("mqtt_persistent", "cured:mqtt_persistent"))
    assert before > 180.0 / 0.4 * 65536  # at least what is published in three minutes
    assert after == 10 * 65536


def test_f12_duplicates_bear_dup_at_a_broker_that_sets_it(tmp_path: Path) -> None:
    assert TOOL.measured(_failure(12), "mqtt_persistent", "marked_dup") == 0.0
    scenario = load(FOLDER / "f12_duplicates.yaml", sets=["server.broker=mosquitto", "replications=1"])
    result = run_scenario(scenario, out=tmp_path, report=False)
    assert TOOL.marked_dup(TOOL.Ran(result.metrics, read_run(result.run_dir)), "mqtt_persistent") > 0.0


def test_f13_ten_messages_of_the_queue_come_before_those_in_flight() -> None:
    chunks = TOOL.ran("f13_out_of_order").records.messages.filter(pl.col("replication") == 0).sort("handed_s")
    order = chunks["message"].to_list()
    assert order != sorted(order)
    assert TOOL.measured(_failure(13), "mqtt_persistent", "out_of_order") == 10.0


def test_f19_the_ban_lasts_five_minutes() -> None:
    run = TOOL.ran("f19_rate_limiter")
    refused = run.records.connections.filter((pl.col("strategy") == "eager") & (pl.col("reason") == "refused"))
    spans = refused.group_by("replication").agg((pl.col("noticed_s").max() - pl.col("noticed_s").min()).alias("span"))
    assert spans.height == 5
    assert spans["span"].max() < 300.0


def test_f21_the_vehicle_connects_to_the_address_that_is_nobodys() -> None:
    run = TOOL.ran("f21_stale_dns")
    wrong = run.records.connections.filter(pl.col("target").str.starts_with("192.0.2.7"))
    assert wrong.height > 100
    assert set(wrong["outcome"]) == {"failed"}


@pytest.mark.parametrize("name", ["f04_takeover_loop", "f15_retained_command"])
def test_its_own_machines_give_the_same_records_folded_or_not(name: str, tmp_path: Path) -> None:
    scenario = load(FOLDER / f"{name}.yaml", sets=["replications=1"])
    runs = [run_scenario(scenario, out=tmp_path / str(fold), report=False, fold=fold) for fold in (True, False)]
    digests = [json.loads((run.run_dir / "manifest.json").read_text())["digest"] for run in runs]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_one_of_them_by_the_command_line_ends_with_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(FOLDER / "f20_balancer_idle.yaml"), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("met ") >= 2
    assert main(["run", str(FOLDER / "f20_balancer_idle.yaml"), "--out", str(tmp_path), "--set", "server.balancer=null"]) == 1


def test_the_list_has_them_after_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "scenarios"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    listed = [re.search(r"failures/(\w+)\.yaml", line) for line in lines]
    assert [match[1] for match in listed if match] == [path.stem for path in SCENARIOS]
    assert all(match is not None for match in listed[-len(SCENARIOS) :])


def test_the_page_is_current() -> None:
    text = TOOL.PAGE.read_text(encoding="utf-8")
    assert text == TOOL.page(text), "docs/failures.md is not current: python tools/failures.py"


def test_an_objective_that_is_a_failure_can_be_missed() -> None:
    assert judge([0.0, 0.0], 1, "ota.lost", at_least=20.0)["verdict"] == "missed"
