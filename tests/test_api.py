"""`import sim`: what it offers, what it costs, and that it says the same as the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import sim
from sim.scenario.document import ScenarioErrors

ROOT = Path(__file__).resolve().parents[1]
ONE_HANDOVER = ROOT / "scenarios" / "one_handover.yaml"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> sim.Result:
    return sim.run(ONE_HANDOVER, replications=3, out=tmp_path_factory.mktemp("results"), report=False)


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def test_importing_it_loads_nothing_of_the_lab_nor_of_others() -> None:
    heavy = ("numpy", "polars", "simpy", "matplotlib", "yaml", "pydantic")
    code = f"import sys, sim; print([m for m in sys.modules if m.startswith('sim.') or m in {heavy}])"
    assert _python(code) in ("[]", "['sim.compiled']")  # the finder of the optional compiled build


def test_each_name_is_found_where_it_lives_when_it_is_used() -> None:
    assert _python("import sim; print(*[name for name in sim.__all__ if getattr(sim, name) is not None])").split() == sim.__all__
    assert set(sim.__all__) <= set(dir(sim))


def test_a_name_that_does_not_exist_says_what_does() -> None:
    with pytest.raises(AttributeError, match=r"'sim' has no attribute 'plot', it offers: Result, compare, figures"):
        sim.plot  # noqa: B018 - the access is the test


def test_loading_alone_needs_no_figures() -> None:
    assert _python(f"import sys, sim; sim.load({str(ONE_HANDOVER)!r}); print('matplotlib' in sys.modules)") == "False"


def test_a_run_writes_its_folder_and_gives_it_back(result: sim.Result) -> None:
    assert result.run_dir.parent.name == "one_handover"
    assert (result.run_dir / "manifest.json").is_file()
    assert not (result.run_dir / "report.html").exists()
    assert result.strategies == ["mqtt_persistent", "ddns_heartbeat", "hybrid"]
    assert result.drives == 3
    assert "one_handover" in repr(result)
    again = sim.read(result.run_dir)
    assert again.messages.equals(result.messages)
    assert again.metrics == result.metrics


def test_records_are_frames(result: sim.Result) -> None:
    tables = ("messages", "connections", "disruptions", "timeline", "states", "traffic", "vehicles", "trace")
    for frame in (getattr(result, name) for name in tables):
        assert isinstance(frame, pl.DataFrame)
        assert frame.height


def test_the_metrics_keep_the_order_of_the_scenario(result: sim.Result) -> None:
    assert list(result.metrics["strategies"]) == result.strategies


def test_a_report_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    written = sim.run(ONE_HANDOVER, strategies=["hybrid"], replications=1, out=tmp_path)
    assert (written.run_dir / "report.html").is_file()


def test_a_summary_has_a_row_for_each_strategy(result: sim.Result) -> None:
    summary = result.summary()
    assert summary["strategy"].to_list() == result.strategies
    first = summary.row(0, named=True)
    assert first["delivered"] == 1.0
    assert first["lost"] == 0.0
    assert 0.0 < first["mb_a_drive"] < 10.0


def test_a_scenario_in_memory_runs_like_its_file(result: sim.Result, tmp_path: Path) -> None:
    scenario = sim.load(ONE_HANDOVER)
    again = sim.run(scenario, replications=3, out=tmp_path, report=False)
    assert again.manifest["digest"] == result.manifest["digest"]
    other = sim.run(scenario, replications=3, seed=7, out=tmp_path, report=False)
    assert other.manifest["digest"] != result.manifest["digest"]


def test_options_that_change_a_file_are_refused_for_a_scenario() -> None:
    with pytest.raises(ValueError, match="give the path, or load the scenario with them"):
        sim.run(sim.load(ONE_HANDOVER), sets=["seed=2"])


def test_mistakes_of_a_file_come_as_lines() -> None:
    with pytest.raises(ScenarioErrors) as raised:
        sim.run(ONE_HANDOVER, sets=["hybrid.pol=3 s"])
    assert len(raised.value.lines) == 1
    assert "did you mean poll" in raised.value.lines[0]


def test_strategies_are_compared_with_the_first_that_is_no_baseline(result: sim.Result) -> None:
    found = sim.compare(result)
    assert found["b"].unique().to_list() == ["mqtt_persistent"]
    assert set(found["a"]) == {"ddns_heartbeat", "hybrid"}
    by_heartbeat = sim.compare(result, reference="ddns_heartbeat", metrics=["recovery_s.mean"])
    assert by_heartbeat["a"].to_list() == ["mqtt_persistent", "hybrid"]
    assert by_heartbeat["difference"].to_list() == pytest.approx([-found_mean(found), -found_mean(found)])


def found_mean(found: pl.DataFrame) -> float:
    row = found.filter((pl.col("metric") == "recovery_s.mean") & (pl.col("a") == "ddns_heartbeat"))
    return float(row["difference"][0])


def test_the_differences_are_those_of_metrics_json(result: sim.Result) -> None:
    known = {(row["metric"], row["a"]): row for row in result.metrics["comparisons"]}
    for row in sim.compare(result).to_dicts():
        expected = known[row["metric"], row["a"]]
        assert row["difference"] == pytest.approx(expected["difference"])
        assert row["verdict"] == expected["verdict"]


def test_two_runs_are_compared_on_the_same_drives(result: sim.Result, tmp_path: Path) -> None:
    pqc = sim.run(ONE_HANDOVER, sets=["server.tls=pqc"], replications=3, out=tmp_path, report=False)
    found = sim.compare(pqc, result.run_dir, metrics=["bytes.handshake"])
    assert found["a"].to_list() == found["b"].to_list() == result.strategies
    varied = found["low"].is_not_null()
    assert set(found.filter(varied)["verdict"]) <= {"no evidence"}  # three drives carry no verdict
    assert set(found.filter(~varied)["verdict"]) <= {"worse"}  # nothing varied: the sign decides
    assert (found["difference"] > 10_000).all()


def test_runs_with_other_drives_are_not_compared(result: sim.Result, tmp_path: Path) -> None:
    other = sim.run(ONE_HANDOVER, seed=2, replications=3, out=tmp_path, report=False)
    with pytest.raises(ValueError, match="different drives or seeds"):
        sim.compare(result, other)


def test_a_strategy_that_is_not_there_is_named(result: sim.Result) -> None:
    with pytest.raises(ValueError, match="no strategy tuned; it has mqtt_persistent"):
        sim.compare(result, reference="tuned")
    with pytest.raises(ValueError, match="a reference is for one run"):
        sim.compare(result, result, reference="hybrid")


def test_a_drive_can_be_looked_at_without_running_anything() -> None:
    drive = sim.timeline(ONE_HANDOVER, replication=1)
    assert drive["address"].unique().to_list() != []
    assert {"10.1.1.100", "10.2.5.200"} <= set(drive["address"])
    assert drive["start_s"][0] == 0.0
    with pytest.raises(ValueError, match="count from 0"):
        sim.timeline(ONE_HANDOVER, replication=-1)


def test_the_timeline_of_a_run_is_that_drive(result: sim.Result) -> None:
    assert result.timeline.filter(pl.col("replication") == 1).equals(sim.timeline(ONE_HANDOVER, 1))


def test_every_figure_takes_a_result(result: sim.Result) -> None:
    figures = sim.figures
    drawn = [
        figures.drive_lanes(result, result.episodes),
        *(figures.zoom(result, event, result.episodes) for event in figures.zoom_events(result, result.episodes)),
        figures.trade_off(result.metrics, result.strategies),
        figures.recovery_bars(result.metrics),
        figures.latency_distribution(result.messages, result.strategies),
        figures.loss_ledger(result.messages, result.strategies),
        figures.backoff_ladder(result.connections, result.strategies),
    ]
    assert len(drawn) > 6
    assert all(figure.axes for figure in drawn)


def test_a_message_is_explained(result: sim.Result) -> None:
    assert "delivered" in result.explain("ota:1", "hybrid")
