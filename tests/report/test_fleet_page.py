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


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def fleets(folder: Path, strategy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = metrics_of(folder)["strategies"][strategy]["fleets"]
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
    assert "Warning: One replication: values without intervals, and no verdict;" in page
    assert "★" not in page


def test_few_simulated_vehicles_are_said_to_be_few(make: Make) -> None:
    assert "Few are simulated" not in page_of(make())
    few = make("server.nodes.connect_queue=100")
    assert "Few are simulated: a queue of 100 at a node is 1 simulated" in page_of(few)
    one, other = metrics_of(few)["warnings"]
    assert one.startswith("one replication: ")
    assert other.startswith("few are simulated: ")


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
    anew = metrics_of(folder)["strategies"]["jitter"]["connection_stats"]["reconnections"]
    assert anew > 0
    assert "No fault happens in this run; connections given up or lost, and made anew: " in page
    assert f"{anew * 100:,} with jitter" in page.split("**")[1]
    assert "Nobody had to come back" not in page
    assert "Cut off are" not in page
    assert "Coming back" not in page
    assert not (folder / "figures" / "fleet_back.svg").exists()
    assert f"| {fleets(folder, 'jitter')[0]['nodes']['handshakes_per_s']:,.0f} |" in row(page, "The nodes", "jitter")


def test_a_fault_that_cuts_off_nobody_is_said_to(make: Make) -> None:
    assert "No fault of this run cut anybody off" in page_of(make("faults=[{kind: dns_outage, at: 60 s, for: 1 s}]"))


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


CELLS = (
    "fleet={vehicles: 20, start_over: 20 s, drives: 2, shared: [broker, cells], cell_downlink: 4 Mbit/s, cell_uplink: 1 Mbit/s}",
    "faults=[]",
    "workload={telemetry: null, diagnostics: {every: 30 s, timeout: 10 s}, probes: null,"
    " ota: {image: 1 MiB, chunk: 64 KiB, window: 4}}",
)


def test_of_cells_that_are_shared_the_page_says_how_full_they_are_and_what_becomes_of_the_update(make: Make) -> None:
    folder = make(*CELLS)
    page = page_of(folder)
    fleet = FleetRun(read_run(folder))
    most = max(float(share.max()) for share in fleet.air["downlink"].values())
    assert most > 0.9
    assert max(float(share.max()) for share in fleet.air["uplink"].values()) < most
    assert_texts_stay_inside_and_apart(figures.fleet_cells(read_run(folder)))
    assert (folder / "figures" / "fleet_cells.svg").exists()
    took = metrics_of(folder)["strategies"]["jitter"]["intervals"]["ota.complete_s"]["mean"]
    assert f"| {significant(took)} | 100 |" in row(page, "The update", "jitter")
    assert f"{significant(took)} s with jitter" in page.split("**")[1]
    assert "Of the diagnostics " in page.split("**")[1]
    with (folder / "tables" / "fleet_course.csv").open(encoding="utf-8") as file:
        assert max(float(one["jitter: busy share, downlink"]) for one in csv.DictReader(file)) == most


def test_nodes_that_have_nothing_to_do_have_a_sentence_and_no_figures(make: Make) -> None:
    folder = make(*CELLS)
    assert "nobody waits there, and none is busy for more than" in page_of(folder)
    assert "### The nodes" not in page_of(folder)
    assert not (folder / "figures" / "fleet_queue.svg").exists()
    assert (make() / "figures" / "fleet_queue.svg").exists()


def test_cells_without_the_nodes_are_reported(make: Make) -> None:
    folder = make(*CELLS, "fleet.shared=[cells]")
    assert (folder / "figures" / "fleet_cells.svg").exists()
    assert not (folder / "figures" / "fleet_busy.svg").exists()
    assert "The vehicles share no nodes" in page_of(folder)
    with pytest.raises(ValueError, match="of nodes that vehicles share"):
        figures.fleet_busy(read_run(folder))
    with pytest.raises(ValueError, match="of cells that vehicles share"):
        figures.fleet_cells(read_run(make()))


def test_who_is_not_back_is_counted_against_all_that_were_cut_off(make: Make) -> None:
    folder = make("drain=5 s", "fleet.start_over=200 s", "faults=[{kind: balancer_change, at: 300 s, for: 150 s}]")
    page = page_of(folder)
    (found,) = fleets(folder, "jitter")
    assert 0 < found["not_back"] <= found["cut_off"]
    assert (
        f"with jitter {found['not_back']:,.0f} of {found['cut_off']:,.0f} are not back by the end of their run"
        in page.replace("With", "with")
    )
    share = np.isinf(FleetRun(read_run(folder)).back_s("jitter")).mean()
    assert share == found["not_back"] / found["cut_off"]
    assert "left out" not in page


def test_what_holds_the_fleet_up_is_what_is_full_for_most_of_the_time(make: Make) -> None:
    roomy = make("server.nodes.connect_rate=100000", "server.nodes.accept_rate=100000", "server.nodes.cores=64")
    assert FleetRun(read_run(roomy)).held_up_by("jitter") == {}
    assert "what holds the fleet up is the waits of its backoff" in page_of(roomy)
    admission = make("server.nodes.connect_rate=200")
    full = FleetRun(read_run(admission)).held_up_by("jitter")
    assert full is not None
    assert list(full) == ["connect"]
    assert "it is this that is full for most of the time" in page_of(admission)
    nobody = FleetRun(read_run(make("server.nodes.connect_rate=20")))
    assert np.isinf(nobody.back_s("jitter")).all()
    assert list(nobody.held_up_by("jitter") or ()) == ["connect"]
    accept = make("server.nodes.accept_rate=20", "server.nodes.backlog=100")
    full = FleetRun(read_run(accept)).held_up_by("jitter")
    assert full is not None
    assert list(full) == ["accept"]
    assert FleetRun(read_run(make("faults=[]"))).held_up_by("jitter") is None


def test_the_method_speaks_of_scaling_and_faults_where_there_are_any(make: Make) -> None:
    assert "is scaled with the vehicles that are simulated" in page_of(make())
    assert "Cut off are" in page_of(make())
    assert "is scaled with the vehicles that are simulated" not in page_of(make(*CELLS))
    assert "\\`" not in page_of(make()).split("## Method")[1]


def test_metrics_json_says_which_counts_are_of_the_simulated_vehicles(make: Make) -> None:
    note = metrics_of(make())["fleet"]["note"]
    assert "of the 60 simulated vehicles, each of which stands for 100" in note
