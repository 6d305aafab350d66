"""A scenario with a fleet, from the file to metrics.json and units."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import sim.study.fleet
from sim.fleet import Fleet, members
from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load
from sim.study.fleet import fleet_replication
from sim.study.live import ModelOnly, plan
from sim.study.run import run_scenario, run_tables
from sim.study.unit import UnitKey, read_unit, run_units

TEXT = """
name: fleet
route:
  - {at: [0 km, 0 km]}
  - {at: [6 km, 0 km], speed: 90 km/h}
towers:
  - {id: A, at: [1 km, 0.3 km], gateway: a}
  - {id: B, at: [5 km, -0.2 km], gateway: b}
network:
  gateways: {a: {address: 10.1.1.100}, b: {address: 10.2.5.200}}
server:
  broker: mosquitto
  balancer: {}
  nodes: {names: [b1, b2], connect_rate: 200}
  store: redis
faults:
  - {kind: balancer_change, at: 90 s, for: 20 s}
fleet: {vehicles: 6000, simulated: 60, start_over: 60 s, drives: 5, trip: [3 km, 6 km]}
workload: {telemetry: {every: 30 s, size: 1 KiB}, probes: null}
strategies:
  - mqtt_persistent
  - {use: mqtt_persistent, name: jittered, backoff: {policy: full_jitter}}
drain: 60 s
"""


@pytest.fixture
def scenario(tmp_path: Path):
    def write(text: str = TEXT, *sets: str):
        path = tmp_path / "fleet.yaml"
        path.write_text(text)
        return load(path, sets=sets)

    return write


def test_the_population_is_drawn_once_and_a_smaller_one_is_part_of_it():
    fleet = Fleet(vehicles=10_000, simulated=400, drives=20, start_over_s=100.0, mix_share={"a": 0.7, "b": 0.3})
    drawn = members(fleet, 3, 0)
    assert drawn == members(fleet, 3, 0)
    assert drawn[:100] == members(replace(fleet, simulated=100), 3, 0)
    assert drawn != members(fleet, 3, 1)
    assert {member.drive for member in drawn} == set(range(20))
    assert all(0.0 <= member.starts_s <= 100.0 for member in drawn)
    assert sum(member.strategy == 0 for member in drawn) / 400 == pytest.approx(0.7, abs=0.07)
    assert fleet.scale == 0.04


def test_results_do_not_depend_on_processes_or_run_ahead(scenario, tmp_path):
    found = [
        run_scenario(scenario(), jobs=jobs, fold=fold, out=tmp_path / str(number), report=False)
        for number, (jobs, fold) in enumerate([(1, True), (2, True), (1, False)])
    ]
    digests = {json.loads((one.run_dir / "manifest.json").read_text())["digest"] for one in found}
    assert len(digests) == 1
    numbers = found[0].metrics["strategies"]["jittered"]["fleets"][0]
    assert numbers["cut_off"] > 3000  # of 6,000 vehicles those that were on the road
    assert 20.0 < numbers["back_s"]["p50"] <= numbers["back_s"]["p95"] < 120.0
    assert 0.0 < numbers["nodes"]["handshakes_per_s"] <= numbers["nodes"]["connections_per_s"]


def test_vehicles_that_share_nothing_are_cut_into_pieces_of_any_size(scenario, monkeypatch):
    alone = scenario(TEXT, "fleet.shared=[]")
    whole, _measured, _notes = run_tables(alone)
    monkeypatch.setattr(sim.study.fleet, "_SHARD", 7)
    pieces, _measured, _notes = run_tables(alone)
    assert "load" not in whole
    assert all(whole[name].equals(pieces[name]) for name in whole)


def test_tables_bear_the_clock_of_the_fleet(scenario):
    tables = fleet_replication(scenario(), 0)
    drawn = members(scenario().fleet, 1, 0)
    vehicles = tables["vehicles"].filter(pl.col("strategy") == "jittered")
    assert vehicles["starts_s"].to_list() == [member.starts_s for member in drawn]
    everybody = tables["disruptions"].filter(pl.col("vehicle") == -1)
    assert everybody.select("kind", "start_s", "end_s").rows() == [("balancer_change", 90.0, 110.0)]
    assert set(tables["timeline"]["vehicle"].unique()) == set(range(5))
    assert set(tables["states"]["vehicle"].unique()) == set(range(5))


def test_a_mix_meets_at_one_broker_and_each_strategy_has_its_vehicles(scenario):
    mixed = scenario(TEXT.replace("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 25 %, jittered: 75 %}"))
    tables = fleet_replication(mixed, 0)
    assert tables["load"]["strategy"].unique().to_list() == ["mix"]
    n = dict(tables["vehicles"].group_by("strategy").len().iter_rows())
    assert sum(n.values()) == 60
    assert n["mqtt_persistent"] == sum(member.strategy == 0 for member in members(mixed.fleet, 1, 0))


def test_units_of_a_fleet_carry_its_numbers(scenario):
    one = scenario()
    unit = read_unit(run_units(one, 0, ["jittered"])["jittered"])
    assert unit.numbers["fleet"]["back_s"]["p95"] > 20.0
    mixed = scenario(TEXT.replace("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 25 %, jittered: 75 %}"))
    other = scenario(
        TEXT.replace("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 25 %, jittered: 75 %}"), "mqtt_persistent.keep_alive=20 s"
    )
    ids = [UnitKey(each).of(each.strategies[1], 0) for each in (mixed, other)]
    assert ids[0] != ids[1], "a vehicle meets those of the other strategy"
    ids = [UnitKey(each).of(each.strategies[1], 0) for each in (one, scenario(TEXT, "mqtt_persistent.keep_alive=20 s"))]
    assert ids[0] == ids[1], "each strategy has a fleet of its own"


def test_an_outage_of_a_tower_meets_each_vehicle_at_its_own_instant(scenario):
    text = TEXT.replace("{kind: balancer_change, at: 90 s, for: 20 s}", "{kind: tower_outage, tower: A, at: 60 s, for: 30 s}")
    tables = fleet_replication(scenario(text.replace("trip: [3 km, 6 km]", "")), 0)
    starts = dict(tables["vehicles"].filter(pl.col("strategy") == "jittered").select("vehicle", "starts_s").iter_rows())
    outages = tables["disruptions"].filter((pl.col("kind") == "tower_outage") & (pl.col("vehicle") >= 0))
    assert outages.height
    for vehicle, start_s in outages.select("vehicle", "start_s").iter_rows():
        assert start_s == pytest.approx(max(0.0, 60.0 - starts[vehicle]))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("simulated: 60", "simulated: 7000", "fleet.simulated: more than the fleet has, at most 6000"),
        ("simulated: 60,", "", None),
        ("vehicles: 6000, simulated: 60", "vehicles: 3000000", "give `simulated`"),
        ("vehicles: 6000", "vehicles: 0", "fleet.vehicles"),
        ("trip: [3 km, 6 km]", "trip: [6 km, 3 km]", "fleet.trip: expected two rising lengths above 0"),
        ("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 50 %, jitter: 50 %}", "did you mean jittered"),
        ("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 50 %, jittered: 30 %}", "are 80 % together, expected 100 %"),
        ("trip: [3 km, 6 km]", "mix: {mqtt_persistent: 100 %}", "has no share for jittered"),
        ("trip: [3 km, 6 km]", "trip: [3 km, 60 km]", "fleet.trip: is longer than the route, at most 6 km is allowed"),
        ("at: 90 s", "at: 299 s", None),  # the last vehicle sets out at 60 s and drives for 240 s
        ("at: 90 s", "at: 301 s", "faults.0.at: is after the end of the drive"),
        ("trip: [3 km, 6 km]", "shared: [store]", "fleet.shared"),
        ("connect_rate: 200", "connect_rate: 200, others: 5", "server.nodes.others: the fleet is the others"),
    ],
)
def test_what_does_not_fit_together_is_said_in_one_line(scenario, before, after, says):
    assert before in TEXT
    if says is None:
        assert scenario(TEXT.replace(before, after)).fleet is not None
        return
    with pytest.raises(ScenarioErrors) as refused:
        scenario(TEXT.replace(before, after))
    assert len(refused.value.lines) == 1
    assert says in refused.value.lines[0]


def test_a_fleet_in_shared_cells_keeps_its_ledger_and_its_bytes(scenario):
    """Also of vehicles whose address changes, with something on the way when their run ends."""
    text = TEXT.replace("trip: [3 km, 6 km]", "shared: [broker, cells], cell_downlink: 200 Mbit/s").replace(
        "drain: 60 s", "drain: 0 s"
    )
    text = text.replace("workload: {", "workload: {ota: {image: 4 MiB, chunk: 256 KiB, window: 4}, ")
    messages = fleet_replication(scenario(text), 0)["messages"]
    assert set(messages["outcome"].unique()) == {"delivered", "pending"}
    assert messages.filter(pl.col("outcome") == "lost").is_empty()


def test_a_fleet_is_not_run_live(scenario):
    with pytest.raises(ModelOnly, match="fleet"):
        plan(scenario())
