"""Every shipped scenario loads, runs and meets its objectives; the facts each one exists for hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from sim.measure.summary import metrics
from sim.record.read import read_run
from sim.scenario.load import load
from sim.study.run import drive_of, run_scenario, run_tables

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
FEW = 300  # vehicles of a fleet that are simulated here
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_runs_and_misses_no_objective(name, tmp_path):
    scenario = load(SCENARIOS / f"{name}.yaml")
    if scenario.fleet is not None and scenario.fleet.simulated_vehicles > FEW:
        scenario = dataclasses.replace(scenario, fleet=dataclasses.replace(scenario.fleet, simulated=FEW))
    result = run_scenario(dataclasses.replace(scenario, replications=min(scenario.replications, 3)), out=tmp_path)
    assert [objective for objective in result.metrics["objectives"] if objective["verdict"] == "missed"] == []
    for strategy, numbers in result.metrics["strategies"].items():
        assert numbers["created"] > 0, strategy
        assert numbers["created"] == numbers["delivered"] + numbers["lost"] + numbers["pending"], strategy
    for file in ("manifest.json", "metrics.json", "messages.parquet", "connections.parquet", "report.html", "report.md"):
        assert (result.run_dir / file).stat().st_size > 0


def test_city_a_to_b_has_exactly_two_reassignments_in_every_replication():
    scenario = load(SCENARIOS / "city_a_to_b.yaml")
    for replication in range(scenario.replications):
        timeline = drive_of(scenario, replication)
        addresses = [timeline.addresses[a] for a in timeline.address.tolist() if a >= 0]
        seen = [a for i, a in enumerate(addresses) if i == 0 or addresses[i - 1] != a]
        assert seen == ["10.1.1.100", "10.2.5.200", "10.3.9.150"], replication


def test_the_update_of_city_a_to_b_ends_within_the_drive():
    scenario = dataclasses.replace(load(SCENARIOS / "city_a_to_b.yaml", strategies=["mqtt_persistent"]), replications=3)
    tables, _measured, _notes = run_tables(scenario)
    chunks = tables["messages"].filter(pl.col("kind") == "ota")
    assert chunks.group_by("replication").len()["len"].to_list() == [192] * 3  # 48 MiB in chunks of 256 KiB
    assert chunks["delivered_s"].null_count() == 0
    assert chunks["delivered_s"].max() < tables["vehicles"]["end_s"].min()


def test_same_anchor_handover_loses_nothing_and_costs_latency_only(tmp_path):
    scenario = load(SCENARIOS / "same_anchor_handover.yaml")
    result = run_scenario(scenario, out=tmp_path, report=False)
    run = read_run(result.run_dir)
    assert run.disruptions.filter(pl.col("kind") == "reassignment").is_empty()
    assert not run.disruptions.filter(pl.col("kind") == "handover").is_empty()
    for name, numbers in metrics(run)["strategies"].items():
        assert (numbers["lost"], numbers["pending"]) == (0, 0), name
    mqtt = run.connections.filter(pl.col("purpose") == "mqtt")
    assert mqtt.group_by(["strategy", "replication"]).len()["len"].max() == 1  # the connection survives


def test_one_handover_is_a_teaching_case():
    text = (SCENARIOS / "one_handover.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= 20
    assert drive_of(load(SCENARIOS / "one_handover.yaml"), 0).end_s < 90.0


def test_production_crashes_in_the_middle_of_a_redelivery_and_loses_nothing_but_with_clean_sessions(tmp_path):
    scenario = dataclasses.replace(load(SCENARIOS / "production.yaml"), replications=3)
    result = run_scenario(scenario, out=tmp_path)
    run = read_run(result.run_dir)
    ended = run.connections.filter((pl.col("purpose") == "mqtt") & (pl.col("peer_ended_s") == 186.0))
    assert ended.select("strategy", "replication").n_unique() == 4 * 3  # the new address leads to that node, in every drive
    chunks = run.messages.filter((pl.col("kind") == "ota") & (pl.col("strategy") == "mqtt_persistent"))
    again = chunks.filter((pl.col("created_s") < 180.0) & (pl.col("sends") > 1))
    before, after = again.filter(pl.col("handed_s") < 186.0), again.filter(pl.col("handed_s") > 186.0)
    assert before.height > 10
    assert after.height > 10
    lost = {name: numbers["lost"] for name, numbers in result.metrics["strategies"].items()}
    assert [lost[name] for name in ("mqtt_persistent", "hybrid", "hybrid_k10")] == [0, 0, 0]
    assert lost["mqtt_clean_session"] > 0
    kinds = set(run.disruptions["kind"])
    assert {"node_crash", "store_failover", "reassignment", "coverage_gap"} <= kinds
    page = (result.run_dir / "report.md").read_text()
    assert (
        "Server side: 3 broker nodes behind a balancer (source), sessions in redis; faults: node crash, store failover." in page
    )
    assert "It ends no connection of this vehicle." in page


def test_owner_week_tells_keep_alives_apart_by_the_nats_timeout():
    scenario = dataclasses.replace(load(SCENARIOS / "owner_week.yaml"), replications=2)
    tables, _measured, _notes = run_tables(scenario)
    timeline = tables["timeline"].filter(pl.col("replication") == 0)
    assert timeline.filter("parked").height < 40  # 11 parkings, 6.9 days
    mqtt = tables["connections"].filter((pl.col("purpose") == "mqtt") & (pl.col("replication") == 0))
    made = dict(mqtt.group_by("strategy").len().iter_rows())
    assert made["mqtt_persistent"] == made["keep_alive_240s"] <= 15
    assert made["keep_alive_330s"] > 500  # the NAT has forgotten it at 300 s
    assert made["keep_alive_600s"] > 500
    apn = dataclasses.replace(scenario.drive, network=dataclasses.replace(scenario.drive.network, access="private_apn"))
    balanced, _measured, _notes = run_tables(dataclasses.replace(scenario, drive=apn, replications=1))
    kept = balanced["connections"].filter(pl.col("purpose") == "mqtt").group_by("strategy").len()
    held = dict(kept.iter_rows())
    assert held["keep_alive_330s"] <= 15  # and what is left then is the balancer, at 350 s
    assert held["keep_alive_600s"] > 500
    requests = tables["messages"].filter(pl.col("kind") == "diagnostics")
    wait_s = requests.group_by("strategy").agg((pl.col("delivered_s") - pl.col("created_s")).quantile(0.9).alias("wait"))
    waits = dict(wait_s.iter_rows())
    assert waits["keep_alive_240s"] < 1.0 < 60.0 < waits["keep_alive_600s"] < 300.0 < waits["asleep"] < 3700.0
    lost = requests.filter(pl.col("outcome") == "lost").group_by("strategy", "cause").len().rows()
    assert {(name, cause) for name, cause, _ in lost} == {("expires_1h", "session_expired"), ("expires_1h", "no_subscription")}


def test_owner_holiday_fills_the_queue_and_outlasts_a_session():
    scenario = dataclasses.replace(load(SCENARIOS / "owner_holiday.yaml"), replications=1)
    tables, _measured, _notes = run_tables(scenario)
    lost = tables["messages"].filter((pl.col("kind") == "diagnostics") & (pl.col("outcome") == "lost"))
    causes = {(name, cause): n for name, cause, n in lost.group_by("strategy", "cause").len().iter_rows()}
    assert causes["disconnected", "queue_full"] == causes["asleep", "queue_full"]
    assert 1000 < causes["disconnected", "queue_full"] < 1030  # of 2016, the first 1000 are kept
    assert causes["expires_7d", "session_expired"] == 672  # a week of them
    failed = tables["connections"].filter(pl.col("outcome") == "failed").group_by("strategy").len()
    attempts = dict(failed.iter_rows())
    assert attempts["mqtt_persistent"] > 21 * 24 * 60 * 0.95  # one a minute
    assert attempts["asleep"] < 600
