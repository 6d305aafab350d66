"""The report of a fleet: its page says the numbers of metrics.json, whatever the fleet shares and whatever happens to it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.record.read import read_run
from sim.report import figures
from sim.report.fleet_run import FleetRun
from sim.report.numbers import significant, with_bounds
from sim.report.page import write_report
from sim.scenario.load import load
from sim.study.run import run_scenario

from .figure_texts import assert_texts_stay_inside_and_apart, texts
from .test_page import outline

SCENARIO = """
name: storm
route:
  - {at: [0 km, 0 km]}
  - {at: [9 km, 0 km], speed: 90 km/h}
towers:
  - {id: A, at: [3 km, 0.3 km], gateway: a}
  - {id: B, at: [7 km, -0.2 km], gateway: b}
network: {gateways: {a: {address: 10.1.1.100}, b: {address: 10.2.5.200}}}
server:
  broker: mosquitto
  balancer: {}
  nodes: {names: [b1, b2]}
  store: redis
faults: [{kind: balancer_change, at: 100 s, for: 20 s}]
workload: {telemetry: {every: 30 s, size: 1 KiB}, diagnostics: null, ota: null, probes: null}
strategies:
  - mqtt_persistent
  - {use: mqtt_persistent, name: jitter, backoff: {policy: full_jitter, base: 1 s, cap: 60 s}}
drain: 60 s
fleet: {vehicles: 6000, simulated: 60, start_over: 40 s, drives: 4}
"""
FIGURES = ("fleet_connected", "fleet_back", "fleet_requests", "fleet_queue", "fleet_busy")

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Run the scenario with keys set, once; its folder with the report."""
    made: dict[tuple[str, ...], Path] = {}

    def run(*sets: str, **options: Any) -> Path:
        key = (*sets, repr(options))
        if key not in made:
            folder = tmp_path_factory.mktemp("fleet")
            path = folder / "storm.yaml"
            path.write_text(SCENARIO, encoding="utf-8")
            made[key] = run_scenario(load(path, sets=sets, **options), out=folder).run_dir
        return made[key]

    return run


def page_of(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8").replace("\u00a0", " ")


def fleets(folder: Path, strategy: str) -> list[dict[str, Any]]:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = metrics["strategies"][strategy]["fleets"]
    return found


def row(page: str, heading: str, name: str) -> str:
    table = page.split(f"### {heading}\n")[1].split("\n#")[0]
    return next(line for line in table.splitlines() if line.startswith(f"| {name} |"))


def test_the_page_says_the_numbers_of_metrics_json(make: Make) -> None:
    page = page_of(make())
    for name in ("mqtt_persistent", "jitter"):
        (found,) = fleets(make(), name)
        assert found["cut_off"] > 3000
        back = row(page, "Coming back", name)
        assert f"| {found['cut_off']:,.0f} |" in back
        assert f"| {significant(found['back_s']['p50'])} | {significant(found['back_s']['p95'])} |" in back
        nodes = row(page, "The nodes", name)
        for key in ("connections_per_s", "handshakes_per_s", "queue", "dropped_syns", "turned_away"):
            assert f"| {found['nodes'][key]:,.0f} |" in nodes, key
    assert f"within {significant(found['back_s']['p95'])} s" in page.split("**")[1]


def test_the_page_says_what_stands_for_what_and_that_one_replication_decides_nothing(make: Make) -> None:
    page = page_of(make())
    assert "60 simulated vehicles stand for a fleet of 6,000, each for 100." in page
    assert "One replication: values without intervals, and no verdict." in page
    assert "★" not in page


def test_few_simulated_vehicles_are_said_to_be_few(make: Make) -> None:
    assert "Few are simulated" not in page_of(make())
    assert "Few are simulated: a queue of 100 at a node is 1 simulated" in page_of(make("server.nodes.connect_queue=100"))


def test_figures_and_tables_are_written_and_the_page_needs_nothing_else(make: Make) -> None:
    folder = make()
    for name in FIGURES:
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 2000
        assert (folder / "figures" / f"{name}.png").stat().st_size > 2000
    found = outline((folder / "report.html").read_text(encoding="utf-8"))
    assert found.loads == []
    assert {link.removeprefix("#") for link in found.links if link.startswith("#")} <= set(found.ids)
    assert set(FIGURES) <= set(found.ids)
    with (folder / "tables" / "fleet_back.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len([one for one in rows if one["strategy"] == "jitter"]) == fleets(folder, "jitter")[0]["cut_off"] / 100
    with (folder / "tables" / "fleet_course.csv").open(encoding="utf-8") as file:
        most = max(float(one["jitter: connections per s"]) for one in csv.DictReader(file))
    assert most == fleets(folder, "jitter")[0]["nodes"]["connections_per_s"]


def test_the_same_files_give_the_same_page(make: Make, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(make(), tmp_path / "run", ignore=shutil.ignore_patterns("report.*", "figures", "tables")))
    write_report(copy)
    for file in ("report.html", "report.md", "figures/fleet_back.svg", "tables/fleet_course.csv"):
        assert (copy / file).read_bytes() == (make() / file).read_bytes()


def test_without_a_fault_nobody_comes_back(make: Make) -> None:
    folder = make("faults=[]")
    page = page_of(folder)
    assert "Nobody had to come back: no fault happens in this run." in page
    assert "Coming back" not in page
    assert not (folder / "figures" / "fleet_back.svg").exists()
    assert f"| {fleets(folder, 'jitter')[0]['nodes']['handshakes_per_s']:,.0f} |" in row(page, "The nodes", "jitter")


def test_a_fault_that_cuts_off_nobody_is_said_to(make: Make) -> None:
    assert "no fault of this run cut anybody off" in page_of(make("faults=[{kind: dns_outage, at: 60 s, for: 1 s}]"))


def test_in_a_mix_the_nodes_figures_are_of_all_together(make: Make) -> None:
    folder = make("fleet.mix={mqtt_persistent: 70 %, jitter: 30 %}")
    page = page_of(folder)
    (one,), (other,) = fleets(folder, "mqtt_persistent"), fleets(folder, "jitter")
    assert one["nodes"] == other["nodes"]
    assert one["vehicles"] + other["vehicles"] == 6000
    assert f"| {one['nodes']['connections_per_s']:,.0f} |" in row(page, "The nodes", "all together")
    assert page.split("### The nodes")[1].split("\n#")[0].count("\n| ") == 2  # heading, and one row
    assert f"| {other['cut_off']:,.0f} |" in row(page, "Coming back", "jitter")
    assert "all together" in texts(figures.fleet_requests(read_run(folder)))


def test_vehicles_that_share_nothing_have_no_queues(make: Make) -> None:
    folder = make("fleet.shared=[]")
    page = page_of(folder)
    assert not (folder / "load.parquet").exists()
    assert "The vehicles share nothing" in page
    assert "### The nodes" not in page
    assert not (folder / "figures" / "fleet_queue.svg").exists()
    assert f"| {fleets(folder, 'jitter')[0]['cut_off']:,.0f} |" in row(page, "Coming back", "jitter")


def test_several_replications_have_intervals_and_a_verdict(make: Make) -> None:
    folder = make("fleet.simulated=20", replications=6)
    page = page_of(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found = metrics["strategies"]["jitter"]["intervals"]["fleet.back_s.p95"]
    assert found["low"] < found["mean"] < found["high"]
    value, bounds = with_bounds("fleet.back_s.p95", found["mean"], found["low"], found["high"], 1.0)
    assert f"{value} ({bounds})" in row(page, "Coming back", "jitter")
    assert "jitter against mqtt_persistent, on the same vehicles" in page
    assert "6 replications: intervals of so few are too narrow" in page


@pytest.mark.parametrize("name", FIGURES)
def test_texts_stay_inside_the_figures_and_off_each_other(name: str, make: Make) -> None:
    assert_texts_stay_inside_and_apart(getattr(figures, name)(read_run(make())))


def test_the_figure_of_another_run_says_that_it_is_none(run_dir: Path) -> None:
    with pytest.raises(ValueError, match="the run is of one vehicle"):
        figures.fleet_back(read_run(run_dir))


def test_the_share_connected_falls_with_the_fault_and_comes_back(make: Make) -> None:
    fleet = FleetRun(read_run(make()))
    share = fleet.connected["jitter"]
    assert share[99] > 0.9
    assert share[105] < 0.1
    assert float(np.nanmax(share)) <= 1.0
    after_s = fleet.regained_s("jitter")
    assert after_s is not None
    assert after_s > 20.0
