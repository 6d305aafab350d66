"""The Parquet files are read by others as they stand: polars, pandas and DuckDB agree on every cell."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from sim.measure.metrics_catalog import METRICS
from sim.record.read import POLARS_TYPES
from sim.record.schema import TABLES
from sim.record.study_schema import STUDY_TABLES
from sim.scenario.load import load
from sim.scenario.sweep import load_sweep
from sim.study.run import run_scenario
from sim.study.sweep import run_sweep

pandas = pytest.importorskip("pandas")
duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "one_handover.yaml"
AXES = ("hybrid.poll", "server.tls")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    run = run_scenario(load(SCENARIO, replications=2), out=out, report=False).run_dir
    plan = load_sweep(SCENARIO, varies=["hybrid.poll=10 s,30 s", "server.tls=classical,pqc"], replications=2)
    fleet = run_scenario(load(SCENARIO, sets=["fleet.vehicles=3"]), out=out, report=False).run_dir
    return {"run": run, "fleet": fleet, "sweep": run_sweep(plan, out=out, report=False).run_dir}


OF_FLEETS = ("load",)
RUN = [("fleet" if name in OF_FLEETS else "run", name) for name in TABLES]
FILES = [*RUN, *(("sweep", name) for name in STUDY_TABLES)]
NULLABLE = {pl.Float64(), pl.Int32(), pl.Int64()}


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_three_readers_see_the_same_cells(folders, kind, name):
    path = folders[kind] / f"{name}.parquet"
    ours = pl.read_parquet(path)
    theirs = pandas.read_parquet(path)
    relation = duckdb.connect().execute(f"select * from '{path}'")
    names = [column[0] for column in relation.description]
    rows = relation.fetchall()
    assert list(theirs.columns) == names == ours.columns
    assert len(theirs) == len(rows) == ours.height > 0
    for column, cells in zip(ours.columns, zip(*rows, strict=True), strict=True):
        expected = ours[column].to_list()
        assert list(cells) == expected, column
        assert [None if pandas.isna(value) else value for value in theirs[column].tolist()] == expected, column


@pytest.mark.parametrize(("kind", "name"), RUN)
def test_the_columns_of_a_run_are_the_documented_ones(folders, kind, name):
    schema = pl.read_parquet_schema(folders[kind] / f"{name}.parquet")
    assert dict(schema) == {column.name: POLARS_TYPES[column.kind] for column in TABLES[name]}


@pytest.mark.parametrize("name", STUDY_TABLES)
def test_the_columns_of_a_sweep_are_the_documented_ones(folders, name):
    schema = dict(pl.read_parquet_schema(folders["sweep"] / f"{name}.parquet"))
    assert [schema.pop(axis) for axis in AXES] == [pl.Float64(), pl.String()]
    more = {metric: pl.Float64() for metric in METRICS} if name == "drives" else {}
    assert schema == {column.name: POLARS_TYPES[column.kind] for column in STUDY_TABLES[name]} | more


def test_no_number_is_nan(folders):
    for kind, name in FILES:
        frame = pl.read_parquet(folders[kind] / f"{name}.parquet")
        for column in frame.select(pl.col(pl.Float64)).iter_columns():
            assert not any(value is not None and math.isnan(value) for value in column), (name, column.name)


def test_a_question_in_sql_has_the_answer_of_the_metrics(folders):
    path = folders["run"] / "messages.parquet"
    counted = duckdb.sql(
        f"select strategy, count(*) from '{path}' where kind = 'ota' and outcome = 'delivered' group by all"
    ).fetchall()
    import json

    metrics = json.loads((folders["run"] / "metrics.json").read_text())
    for strategy, n in counted:
        assert metrics["strategies"][strategy]["workloads"]["ota"]["delivered"] == n
    assert len(counted) == 3
