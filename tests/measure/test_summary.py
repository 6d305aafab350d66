import json
import math
from pathlib import Path

import polars as pl
import pytest

from sim.measure.delivery import LedgerError
from sim.measure.metrics_catalog import METRICS, UnknownMetricError, lookup, metric, value
from sim.measure.run_episodes import episodes_frame, run_episodes
from sim.measure.summary import json_safe, metrics
from sim.record.read import read_run

from .records import message, run_of, table, vehicle
from .synthetic import STRATEGIES, synthetic_run, write_run


@pytest.fixture(scope="module")
def content() -> dict:
    objectives = [
        {"strategy": "hybrid", "metric": "ota.lost", "at_most": 0, "at_least": None},
        {"strategy": "static_push", "metric": "ota.delivered_within_60s", "at_most": None, "at_least": 0.95},
    ]
    return metrics(synthetic_run(objectives=objectives))


def test_every_strategy_and_workload_is_there(content: dict) -> None:
    assert list(content["strategies"]) == [use for use, _ in STRATEGIES]
    for numbers in content["strategies"].values():
        assert list(numbers["workloads"]) == ["ota", "diagnostics", "telemetry", "probe"]
        counted = [numbers["workloads"][kind]["created"] for kind in ("ota", "diagnostics", "telemetry")]
        assert numbers["created"] == sum(counted) == numbers["delivered"] + numbers["lost"] + numbers["pending"]
        assert sum(numbers["lost_by_cause"].values()) == numbers["lost"]


def test_phases_are_parts_of_the_mean_recovery(content: dict) -> None:
    for numbers in content["strategies"].values():
        assert math.isclose(sum(numbers["recovery_s"]["phases"].values()), numbers["recovery_s"]["mean"])


def test_objectives_are_judged(content: dict) -> None:
    met, missed = content["objectives"]
    assert (met["bound"], met["value"], met["verdict"]) == ("at_most 0", 0.0, "met")
    assert (missed["bound"], missed["verdict"]) == ("at_least 0.95", "missed")


def test_comparisons_are_against_the_first_that_is_no_baseline(content: dict) -> None:
    assert {row["b"] for row in content["comparisons"]} == {"mqtt_persistent"}
    assert content["comparison_count"] == len(content["comparisons"]) == 4 * 6
    found = {(row["a"], row["metric"]): row for row in content["comparisons"]}
    assert found["static_push", "all.delivered_within_60s"]["high"] < 0.0
    assert found["hybrid", "recovery_s.mean"]["verdict"] == "better"  # nothing varied: its sign decides
    assert {row["verdict"] for row in found.values() if row["low"] is not None} == {"no evidence"}  # five drives carry none


def test_the_drive_has_the_same_facts_for_every_strategy(content: dict) -> None:
    drive = content["drive"]
    assert (drive["drives"], drive["duration_s"], drive["reassignments"], drive["handovers"]) == (5, 700.0, 2.0, 2.0)
    assert drive["reassignments_per_100km"] == pytest.approx(2 / drive["distance_km"] * 100)


def test_same_records_same_bytes(content: dict, tmp_path: Path) -> None:
    folder = write_run(synthetic_run(objectives=[]), tmp_path / "run")
    first = json.dumps(metrics(read_run(folder)), sort_keys=True, allow_nan=False)
    assert first == json.dumps(metrics(read_run(folder)), sort_keys=True, allow_nan=False)
    del content["objectives"]
    del (again := json.loads(first))["objectives"]
    assert again == json.loads(json.dumps(content))


def test_every_metric_of_the_catalog_leads_to_a_value_or_to_no_data(content: dict) -> None:
    numbers = content["strategies"]["hybrid"]
    other = ("fleet.", "waking_s.")  # it is one vehicle, which is never parked
    without = [name for name in METRICS if lookup(numbers, name) is None and not name.startswith(other)]
    assert without == []
    assert value(content, "hybrid", "bytes.payload") == 5 * 160_000
    assert value(content, "hybrid", "ota.created") == numbers["workloads"]["ota"]["created"]
    assert numbers["intervals"]["ota.created"] == {"mean": 140.0, "low": None, "high": None, "n": 5, "note": "nothing varied"}
    with pytest.raises(UnknownMetricError):
        metric("ota.losst")
    with pytest.raises(UnknownMetricError):
        value(content, "nobody", "ota.lost")


def test_a_run_without_messages_or_movement_has_numbers_too() -> None:
    still = table("timeline", {"start_s": 0.0, "address": "A", "link": "up"})
    numbers = metrics(run_of({"vehicles": table("vehicles", vehicle()), "timeline": still}))["strategies"]["s"]
    assert numbers["created"] == 0
    assert numbers["latency_s"]["p50"] is None
    assert numbers["recovery_s"] == {
        "n": 0,
        "cut": 0,
        "censored": 0,
        "p50": None,
        "p95": None,
        "max": None,
        "mean": None,
        "phases": {},
        "catch_up_s": {"p50": None, "p95": None, "max": None},
    }


def test_a_violated_ledger_stops_the_summary() -> None:
    tables = {
        "vehicles": table("vehicles", vehicle()),
        "timeline": table("timeline", {"start_s": 0.0, "address": "A", "link": "up"}),
        "messages": table("messages", message(0, 1.0, None, "unattributed")),
    }
    with pytest.raises(LedgerError, match=r"message 0 \(ota\) of vehicle 0 in drive 0 under s"):
        metrics(run_of(tables))
    assert metrics(run_of(tables, world="live"))["strategies"]["s"]["lost_by_cause"] == {"unattributed": 1}


def test_json_safe_drops_what_json_does_not_know() -> None:
    assert json_safe({1: (math.inf, math.nan, 1.5, True, None)}) == {"1": [None, None, 1.5, True, None]}


def test_spans_as_a_frame() -> None:
    episodes = run_episodes(synthetic_run(1))
    frame = episodes_frame(episodes)
    total = frame.group_by("strategy").agg((pl.col("end_s") - pl.col("start_s")).sum().alias("total"))
    for strategy, total_s in total.iter_rows():
        assert total_s == pytest.approx(sum(episode.length_s for episode in episodes[strategy]))
