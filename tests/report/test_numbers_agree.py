"""A number that stands on the page more than once is the same everywhere: one definition, one rounding."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from sim.measure.metrics_catalog import metric
from sim.report.answer import answer
from sim.report.captions import drive_caption, grey, recovery_caption, trade_off_caption
from sim.report.comparison_table import comparison_tables
from sim.report.evidence import Evidence, read_evidence
from sim.report.figures_trade_off import dominated, trade_off_points
from sim.report.numbers import NBSP, mean_in_words, told, with_interval
from sim.report.page import write_report
from sim.report.supported import supported

from .conftest import MakeRun

TUNED = {"use": "mqtt_persistent", "name": "tuned", "address_watch": "link_event", "backoff": {"policy": "full_jitter"}}


@pytest.fixture(scope="module")
def folder(make_run: MakeRun) -> Path:
    strategies = ["mqtt_persistent", "hybrid", TUNED, "mqtt_clean_session", "static_push"]
    return make_run("city_a_to_b", strategies=strategies, replications=12, objectives=None)


@pytest.fixture(scope="module")
def seen(folder: Path) -> Evidence:
    return read_evidence(folder)


def cells(seen: Evidence, name: str) -> dict[str, Any]:
    """strategy -> cell of a metric in the tables."""
    for table in comparison_tables(seen):
        for column, (one, _, _) in enumerate(table.columns):
            if one == name:
                return {strategy: row[column] for strategy, row in table.rows.items()}
    raise AssertionError(f"{name} is in no table")


NAMES = ["all.delivered_within_60s", "all.latency_s.mean_capped", "all.latency_s.p99", "recovery_s.mean", "reachability"]
NAMES += ["mb_per_vehicle_month", "overhead_mb_per_vehicle_month", "radio_active_s_per_vehicle_month", "ota.complete_s"]


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_sentences_write_a_mean_alike(name: str, seen: Evidence) -> None:
    for strategy, cell in cells(seen, name).items():
        found = seen.interval(strategy, name)
        if cell.value == "beyond run":
            continue
        unit = {"share": f"{NBSP}%", "MB": f"{NBSP}MB"}.get(metric(name).unit, "")
        assert with_interval(name, found) == f"{cell.value}{unit}" + (f" ({cell.interval})" if cell.interval else "")
        assert mean_in_words(name, found) == f"{cell.value}{unit}"


def test_a_recovery_has_the_same_mean_in_table_figure_and_caption(seen: Evidence, folder: Path) -> None:
    write_report(folder)
    drawn = html.unescape((folder / "figures" / "recovery_bars.svg").read_text(encoding="utf-8"))
    caption = recovery_caption(seen)
    mentioned = 0
    for strategy, cell in cells(seen, "recovery_s.mean").items():
        assert re.search(rf">(→ )?{re.escape(cell.value)}<", drawn), strategy
        mentioned += cell.value in caption
        numbers = seen.of(strategy)["recovery_s"]
        assert numbers["mean"] == pytest.approx(seen.interval(strategy, "recovery_s.mean")["mean"])  # type: ignore[index]
        assert sum(numbers["phases"].values()) == pytest.approx(numbers["mean"])
    assert mentioned >= 2


def test_how_long_a_strategy_was_unreachable_is_said_alike_in_the_lanes_and_below_them(seen: Evidence, folder: Path) -> None:
    write_report(folder)
    drawn = html.unescape((folder / "figures" / "drive_lanes.svg").read_text(encoding="utf-8"))
    said = re.findall(rf"for ([\d.,]+{NBSP}(?:ms|s|min))", drive_caption(seen, 0))
    assert len(said) == 2
    assert all(f"unreachable for {length}<" in drawn for length in said)


def test_reachability_stands_with_its_count_and_is_the_share_of_it(seen: Evidence) -> None:
    for strategy, cell in cells(seen, "reachability").items():
        answered, n = (int(part.replace(",", "")) for part in cell.counts.split(" of "))
        assert answered / n == pytest.approx(seen.of(strategy)["reachability"]["share"])
        assert answered / n * 100.0 == pytest.approx(float(cell.value), abs=0.6 * 10.0 ** -len(cell.value.partition(".")[2]))


def test_the_recovery_quantile_of_all_drives_is_that_of_the_summary(seen: Evidence) -> None:
    (row,) = [row for row in supported(seen).rows if row.metric == "recovery_s.p95"]
    assert row.value == with_interval("recovery_s.p95", seen.pooled("tuned", "recovery_s.p95"))
    found = seen.pooled("tuned", "recovery_s.p95")
    assert found is not None
    assert found["mean"] == seen.of("tuned")["recovery_s"]["p95"]


def test_what_the_headline_calls_best_is_not_grey(seen: Evidence) -> None:
    axis, points = trade_off_points(seen.metrics, seen.strategies)
    beaten = grey(seen, axis, points)
    assert answer(seen).headline.startswith("tuned is best on mean latency")
    assert "tuned" not in beaten
    assert "static_push" not in beaten  # it sends the least
    assert "Grey" not in trade_off_caption(seen, axis, points, set())


@pytest.mark.parametrize(
    ("shown", "grey_ones"),
    [
        ({}, set()),  # nothing is told apart, whatever the means
        ({("mb_per_vehicle_month", "a", "b"): "worse"}, {"a"}),
        ({("all.delivered_within_60s", "a", "b"): "worse"}, {"a"}),
        ({("mb_per_vehicle_month", "a", "b"): "worse", ("all.delivered_within_60s", "a", "b"): "better"}, set()),
        ({("mb_per_vehicle_month", "a", "b"): "worse", ("all.latency_s.mean_capped", "a", "b"): "better"}, set()),
        ({("all.delivered_within_10s", "a", "b"): "worse"}, set()),  # not an axis of the figure
    ],
)
def test_only_evidence_makes_a_strategy_grey(shown: dict[tuple[str, str, str], str], grey_ones: set[str]) -> None:
    found = dominated(["a", "b"], "all.delivered_within_60s", lambda *asked: shown.get(asked, "no evidence"))
    assert found == grey_ones


def test_alike_is_said_only_of_what_is_equal_in_every_drive(make_run: MakeRun) -> None:
    """Two keep alives deliver alike and do not cost the same: the sentence on data names both ends."""
    slow = {"use": "mqtt_persistent", "name": "slow_pings", "keep_alive": "45 s", "address_watch": "link_event"}
    quick = {**slow, "name": "quick_pings", "keep_alive": "15 s"}
    found = answer(read_evidence(make_run("same_anchor_handover", strategies=[slow, quick], replications=6, objectives=None)))
    assert "delivered alike in each of 6 drives" in found.headline
    assert found.cost.startswith("They send ")


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [(1.0, 0.9984, 1.0, "100 (at least 99.84)"), (0.0, 0.0, 0.03, "0 (at most 3)"), (0.97, 0.96, 0.98, "97.0 (96.0–98.0)")],
)
def test_a_share_of_all_or_none_has_a_one_sided_bound(mean: float, low: float, high: float, text: str) -> None:
    value, interval, _ = told("reachability", {"mean": mean, "low": low, "high": high, "note": ""})
    assert f"{value} ({interval})" == text
