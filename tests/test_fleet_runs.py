"""What the command line and notebooks make of the run of a fleet."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import sim
from sim.cli import main

SCENARIO = """
name: storm
route:
  - {at: [0 km, 0 km]}
  - {at: [6 km, 0 km], speed: 90 km/h}
towers:
  - {id: A, at: [1 km, 0.3 km], gateway: a}
  - {id: B, at: [5 km, -0.2 km], gateway: a}
network: {gateways: {a: {address: 10.1.1.100}}}
server: {balancer: {}, nodes: {names: [b1, b2]}, store: redis}
faults: [{kind: balancer_change, at: 100 s, for: 20 s}]
workload: {telemetry: {every: 10 s, size: 1 KiB}, diagnostics: null, ota: null, probes: null}
strategies:
  - mqtt_persistent
  - {use: mqtt_persistent, name: jitter, backoff: {policy: full_jitter, base: 1 s, cap: 60 s}}
drain: 30 s
fleet: {vehicles: 3000, simulated: 30, start_over: 30 s, drives: 3}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet") / "storm.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(file: Path) -> sim.Result:
    return sim.run(file, out=file.parent, report=False)


def test_the_summary_of_the_terminal_is_of_the_fleet(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "--out", str(tmp_path), "-j", "1"]) == 0
    shown = capsys.readouterr().out
    assert "a fleet of 3,000 vehicles, 30 simulated; counts are the fleet's" in shown
    assert "1 replication, results in" in shown
    assert "recov." not in shown
    assert "image" not in shown
    assert "warning: one replication: values without intervals" in " ".join(shown.split())
    found = sim.read(next(tmp_path.glob("storm/*"))).metrics["strategies"]["jitter"]["fleets"][0]
    line = next(line for line in shown.splitlines() if line.startswith("jitter"))
    assert f"{found['cut_off']:,.0f}" in line.split()
    assert f"{found['nodes']['connections_per_s']:,.0f}" in line.split()


def test_without_a_fault_the_terminal_has_no_empty_columns(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "faults=[]", "--set", "workload.ota={image: 128 KiB, chunk: 64 KiB, window: 2}"]
    assert main(["run", str(file), *sets, "--out", str(tmp_path), "-j", "1"]) == 0
    shown = capsys.readouterr().out
    assert "back" not in shown
    assert "diagn." not in shown
    assert "image" in shown
    numbers = sim.read(next(tmp_path.glob("storm/*"))).metrics["strategies"]["jitter"]
    words = next(line for line in shown.splitlines() if line.startswith("jitter")).split()
    assert "-" not in words
    assert f"{numbers['intervals']['reconnections']['mean'] * 100:,.0f}" in words


def test_a_sweep_of_a_fleet_shows_what_a_fleet_meets(file: Path, tmp_path: Path) -> None:
    sets = ["fleet.simulated=10"]
    found = sim.sweep(file, sets=sets, varies=["server.nodes.connect_rate=100,2500"], replications=1, out=tmp_path)
    assert "fleet.back_s.p95" in found.metrics
    assert found.cell(0, "jitter", "fleet.back_s.p95") is not None
    asked = sim.sweep(
        file, sets=sets, varies=["server.nodes.connect_rate=100,2500"], replications=1, out=tmp_path, metrics=["bytes.total"]
    )
    assert asked.metrics == ["bytes.total"]
    page = (asked.run_dir / "report.md").read_text(encoding="utf-8")
    assert "of the 10 simulated vehicles together" in page


def test_the_summary_of_a_notebook_is_of_the_fleet(result: sim.Result) -> None:
    found = result.summary().row(by_predicate=(pl.col("strategy") == "jitter"), named=True)
    fleet = result.metrics["strategies"]["jitter"]["fleets"][0]
    assert found["back_p95_s"] == fleet["back_s"]["p95"]
    assert found["bytes_a_vehicle"] == fleet["bytes_per_vehicle"]
    assert found["bytes_a_vehicle"] * 30 == result.metrics["strategies"]["jitter"]["bytes"]["total"]


def test_strategies_are_compared_by_what_a_fleet_meets(result: sim.Result) -> None:
    found = sim.compare(result)
    assert "fleet.back_s.p95" in found["metric"].to_list()
    assert set(found["verdict"]) == {"no evidence"}


def test_a_message_of_a_kept_vehicle_is_explained_with_the_fault(result: sim.Result) -> None:
    starts_s = float(result.vehicles.filter((pl.col("strategy") == "jitter") & (pl.col("vehicle") == 2))["starts_s"][0])
    messages = result.messages.filter((pl.col("strategy") == "jitter") & (pl.col("vehicle") == 2)).sort("created_s")
    hit = next(row for row in messages.iter_rows(named=True) if 100.5 < row["created_s"] + starts_s < 119.0)
    text = result.explain(hit["message"], "jitter", vehicle=2)
    assert "of vehicle 2" in text
    assert "balancer" in text
    assert text.count(f"instants are of the vehicle's own clock; it set out at {starts_s:.3f} s of the fleet's") == 1


def test_a_vehicle_that_was_not_kept_is_not_explained_in_one_line(result: sim.Result, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(result.run_dir), "telemetry:1", "--vehicle", "20"]) == 2
    assert "of a fleet those are explained whose timeline is kept, in replication 0: 0, 1, 2, 3, 4" in capsys.readouterr().err


def test_in_a_mix_a_message_is_explained_for_the_strategy_that_its_vehicle_has(file: Path, tmp_path: Path) -> None:
    mixed = sim.run(file, sets=["fleet.mix={mqtt_persistent: 50 %, jitter: 50 %}"], out=tmp_path, report=False)
    whose = dict(mixed.vehicles.filter(pl.col("vehicle") < 5).select("vehicle", "strategy").iter_rows())
    assert len(set(whose.values())) == 2
    assert mixed.explain("telemetry:1", vehicle=0).startswith(f"{whose[0]}: message")
    other = next(name for vehicle, name in sorted(whose.items()) if name != whose[0])
    assert mixed.explain("telemetry:1", other).startswith(f"{other}: message")


def test_two_runs_of_the_same_fleet_are_compared(file: Path, result: sim.Result, tmp_path: Path) -> None:
    faster = sim.run(file, sets=["server.nodes.connect_rate=5000"], out=tmp_path, report=False)
    found = sim.compare(faster, result)
    assert found.filter(found["metric"] == "fleet.back_s.p95")["difference"].max() <= 0.0
    assert main(["compare", str(result.run_dir), str(faster.run_dir), "--out", str(tmp_path)]) == 0


def test_runs_of_different_fleets_are_not_paired(
    file: Path, result: sim.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = sim.run(file, sets=["fleet.simulated=20"], out=tmp_path, report=False)
    with pytest.raises(ValueError, match="different fleets"):
        sim.compare(fewer, result)
    words = ["compare", str(result.run_dir), str(fewer.run_dir), "--gate", "fleet.back_s.p95:5%", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "their fleets differ, simulated is 30" in capsys.readouterr().err


def test_a_share_of_a_mix_may_come_out_empty(tmp_path: Path) -> None:
    """Shares are drawn: of ten vehicles a tenth may be none."""
    text = (
        "name: small_mix\n"
        "script: {duration: 1 min, steps: [{at: 0 s, link: up, cell: A, gateway: a}]}\n"
        "network: {gateways: {a: {address: 10.1.1.1}}}\n"
        "fleet: {vehicles: 10, start_over: 10 s, mix: {mqtt_persistent: 100 %, other: 0 %}}\n"
        "workload: {telemetry: {every: 10 s}, probes: null}\n"
        "strategies: [mqtt_persistent, {use: mqtt_persistent, name: other, backoff: full_jitter}]\n"
        "replications: 2\n"
    )
    (tmp_path / "small_mix.yaml").write_text(text)
    result = sim.run(tmp_path / "small_mix.yaml", out=tmp_path / "results")
    assert result.metrics["strategies"]["other"]["created"] == 0
    assert result.metrics["strategies"]["mqtt_persistent"]["created"] > 0
