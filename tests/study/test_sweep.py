"""A sweep runs what is new and nothing else, survives what kills it, and says the same whatever ran it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from sim.measure.stats import mean_interval
from sim.measure.support import Precision
from sim.scenario.sweep import load_sweep
from sim.study.sweep import run_sweep

ROOT = Path(__file__).parents[2]
VARY = ["hybrid.poll=10 s,30 s"]


def sweep(path, tmp_path, varies=VARY, **options):
    load_options = {key: options.pop(key) for key in ("replications", "seed", "sets") if key in options}
    return run_sweep(load_sweep(path, varies=varies, **load_options), out=tmp_path / "results", report=False, **options)


def done(result):
    return result.work.run, result.work.from_store


def test_only_what_is_new_is_run(write, tmp_path):
    path = write()
    assert done(sweep(path, tmp_path)) == (3 * 3, 0)  # mqtt_persistent once, hybrid at two points, on three drives
    assert done(sweep(path, tmp_path)) == (0, 9)
    assert done(sweep(path, tmp_path, ["hybrid.poll=10 s,30 s,60 s"])) == (3, 9)  # a point more
    assert done(sweep(path, tmp_path, replications=4)) == (3, 9)  # a drive more
    assert done(sweep(path, tmp_path, seed=2)) == (9, 0)
    assert done(sweep(path, tmp_path, force=True)) == (9, 0)


def test_an_edited_strategy_file_is_run_again_and_nothing_else(write, tmp_path):
    (tmp_path / "own.py").write_text((ROOT / "docs" / "examples" / "eager_mqtt.py").read_text())
    text = write().read_text().replace("[mqtt_persistent, hybrid]", "[mqtt_persistent, {use: 'own.py:EagerMQTT', name: own}]")
    path = write("", "own.yaml", text)
    vary = ["own.silent=8 s,20 s"]
    assert done(sweep(path, tmp_path, vary)) == (9, 0)
    with open(tmp_path / "own.py", "a") as file:
        file.write("# edited\n")
    assert done(sweep(path, tmp_path, vary, jobs=2)) == (6, 3)  # in other processes, which import it by its path


def test_the_tables_hold_what_the_units_hold(write, tmp_path):
    result = sweep(write(), tmp_path)
    table = pl.read_parquet(result.run_dir / "sweep.parquet")
    drives = pl.read_parquet(result.run_dir / "drives.parquet")
    assert table.columns[:3] == ["point", "hybrid.poll", "strategy"]
    assert drives.height == 2 * 2 * 3
    assert sorted(table["hybrid.poll"].unique()) == [10.0, 30.0]
    mean = table.filter(strategy="hybrid", point=1, metric="all.latency_s.mean_capped", statistic="mean").row(0, named=True)
    vector = drives.filter(strategy="hybrid", point=1)["all.latency_s.mean_capped"].to_list()
    interval = mean_interval(vector, 1)
    assert (mean["value"], mean["low"], mean["high"], mean["n"]) == (interval.mean, interval.low, interval.high, 3)
    pooled = table.filter(strategy="hybrid", point=0, metric="ota.latency_s.p95", statistic="pooled").row(0, named=True)
    assert pooled["low"] <= pooled["value"] <= pooled["high"]
    assert not table["metric"].str.starts_with("diagnostics").any()  # this scenario has none
    assert pl.read_csv(result.run_dir / "sweep.csv").height == table.height


def test_a_strategy_that_is_not_concerned_is_no_comparison(write, tmp_path):
    differences = pl.read_parquet(sweep(write(), tmp_path).run_dir / "differences.parquet")
    assert set(differences["strategy"]) == {"hybrid"}
    assert set(differences["point"]) == {1}


@pytest.mark.slow
def test_the_digest_does_not_depend_on_processes_order_or_store(write, tmp_path):
    path = write()
    digests = {sweep(path, tmp_path / str(jobs), jobs=jobs).manifest["digest"] for jobs in (1, 2, 3)}
    half = tmp_path / "half"
    sweep(path, half, ["hybrid.poll=30 s"])
    digests.add(sweep(path, half).manifest["digest"])
    assert len(digests) == 1
    assert sweep(path, tmp_path / "other", seed=2).manifest["digest"] not in digests


def test_precision_goes_on_until_the_interval_is_narrow_and_says_so(write, tmp_path):
    name = "all.latency_s.mean_capped"
    said = []
    result = sweep(write(), tmp_path, precision=Precision(name, share=0.05, most=60), replications=4, say=said.append)
    table = pl.read_parquet(result.run_dir / "sweep.parquet").filter(metric=name, statistic="mean")
    assert said
    assert min(result.manifest["drives"]) > 4
    for row in table.iter_rows(named=True):
        assert row["n"] in result.manifest["drives"]
        assert row["n"] == 60 or (row["high"] - row["low"]) / 2 <= 0.05 * row["value"]
    assert result.work.run == result.work.wanted  # each unit was run once, though it was looked at in every round
    again = sweep(write(), tmp_path, precision=Precision(name, share=0.05, most=60), replications=4)
    assert again.work.run == 0
    assert again.manifest["drives"] == result.manifest["drives"]


def test_the_limit_of_precision_is_kept_and_the_miss_is_counted(write, tmp_path):
    result = sweep(write(), tmp_path, precision=Precision("all.latency_s.mean_capped", share=1e-6, most=5))
    assert result.manifest["drives"] == [5, 5]
    assert result.manifest["precision_missed"] == 2


def command(path, out, *more):
    return [sys.executable, "-m", "sim", "sweep", str(path), "--out", str(out), *more]


def wait_for_units(out, n, process):
    deadline = time.monotonic() + 60
    while len(list(out.rglob("*.json"))) < n:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_sweep_goes_on_where_it_stopped(write, tmp_path, number):
    path, out = write(), tmp_path / "results"
    words = command(path, out, "--vary", "hybrid.poll={from: 1 s, to: 40 s, step: 1 s}", "--replications", "12", "-j", "2")
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for_units(out, 30, process)
    os.kill(process.pid, number)
    _out, err = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "units are kept; the same command goes on from there" in err
        assert "Traceback" not in err
    kept = len(list(out.rglob("*.json")))
    assert 30 <= kept < 41 * 12
    again = subprocess.run([*words, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    found = json.loads(again.stdout)
    assert found["units"]["from_store"] == kept
    assert found["units"]["run"] == 41 * 12 - kept


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(write, tmp_path):
    path, out = write(), tmp_path / "results"
    words = command(
        path, out, "--vary", "hybrid.poll={from: 1 s, to: 40 s, step: 1 s}", "--replications", "12", "-j", "2", "--json"
    )
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_units(out, 20, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(int(workers[0]), signal.SIGKILL)
    text, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    found = json.loads(text)
    assert found["units"] == {"wanted": 41 * 12, "run": 41 * 12, "from_store": 0, "processes_lost": 1}


def test_an_unknown_metric_and_a_wrong_width_are_one_line(write, tmp_path):
    for more in (
        ["--metric", "all.lots"],
        ["--precision", "all.lots:5%"],
        ["--precision", "0%"],
        ["--precision", "recovery_s.mean:5"],
    ):
        words = command(write(), tmp_path, "--vary", "hybrid.poll=1 s,2 s", *more)
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 2
        assert len(found.stderr.strip().splitlines()) == 1
