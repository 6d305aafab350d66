"""A Dask cluster gives the same digest as this process, survives its workers, and needs nothing but the network."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.scenario.sweep import load_sweep
from sim.study import on_dask
from sim.study.on_dask import ClusterUnusable, files_of, run_here
from sim.study.sweep import run_sweep
from sim.study.unit import UnitKey, run_units, surroundings

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
VARY = ["hybrid.poll={from: 1 s, to: 20 s, step: 1 s}"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, started as docs/studies.md does; the processes are (scheduler, worker, worker)."""
    address = f"tcp://127.0.0.1:{free_port()}"
    host, port = address.removeprefix("tcp://").split(":")
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    worker += ["--local-directory", str(tmp_path)]
    started = [subprocess.Popen(scheduler, cwd=ROOT, stderr=subprocess.DEVNULL)]
    started += [subprocess.Popen(worker, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(2)]
    yield address, started
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_gives_the_digest_of_this_process_and_survives_a_killed_worker(write, tmp_path, cluster):
    address, processes = cluster
    path = write()
    here = run_sweep(load_sweep(path, varies=VARY, replications=8), out=tmp_path / "here", report=False)
    out = tmp_path / "there"
    words = [sys.executable, "-m", "sim", "sweep", str(path), "--vary", VARY[0], "--replications", "8", "--out", str(out)]
    command = subprocess.Popen(
        [*words, "--executor", address, "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(list(out.rglob("*.json"))) < 12:
        assert command.poll() is None, command.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(processes[2].pid, signal.SIGKILL)
    text, err = command.communicate(timeout=120)
    assert command.returncode == 0, err
    found = json.loads(text)
    assert found["digest"] == here.manifest["digest"]
    assert found["units"]["run"] == 21 * 8


@pytest.mark.slow
def test_a_cluster_on_this_machine_gives_the_same_digest(write, tmp_path):
    path = write()
    vary = ["hybrid.poll=5 s,10 s"]
    here = run_sweep(load_sweep(path, varies=vary), out=tmp_path / "here", report=False)
    words = [sys.executable, "-m", "sim", "sweep", str(path), "--vary", vary[0], "--out", str(tmp_path / "there")]
    done = subprocess.run(
        [*words, "--executor", "dask", "-j", "2", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == here.manifest["digest"]


def test_a_worker_needs_no_file_but_those_that_come_with_the_work(write, tmp_path, monkeypatch):
    """As on another machine: the scenario's folder is gone when the work arrives."""
    monkeypatch.setattr(on_dask.tempfile, "gettempdir", lambda: str(tmp_path / "worker"))
    home = tmp_path / "home"
    home.mkdir()
    (home / "own.py").write_text("from eager import EagerMQTT\n")  # its settings are pickled by the name of the module beside it
    (home / "eager.py").write_text((ROOT / "docs" / "examples" / "eager_mqtt.py").read_text())
    text = write().read_text().replace("[mqtt_persistent, hybrid]", "[{use: 'own.py:EagerMQTT', name: own}]")
    (home / "own.yaml").write_text(text)
    scenario = load_sweep(home / "own.yaml", varies=["own.silent=8 s"]).points[0].scenario
    expected = run_units(scenario, 0, ["own"])["own"]
    unit_id = UnitKey(scenario).of(scenario.strategies[0], 0)
    files = files_of([scenario], [("own.py:EagerMQTT", home)])
    packed = pickle.dumps([(scenario, 0, ("own",), (unit_id,))])
    script = (
        "import pickle, sys; from sim.study import on_dask; on_dask.tempfile.gettempdir = lambda: sys.argv[1]\n"
        "packed, files = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(pickle.dumps(on_dask.run_here(packed, files)))"
    )
    (home / "own.py").unlink()
    (home / "eager.py").unlink()  # the lab of the worker finds nothing here
    command = [sys.executable, "-c", script, str(tmp_path / "worker")]
    done = subprocess.run(command, cwd=ROOT, input=pickle.dumps((packed, files)), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert pickle.loads(done.stdout) == {unit_id: expected}


def test_files_that_are_the_same_here_are_used_where_they_are(write):
    scenario = load_sweep(write(), varies=["hybrid.poll=5 s"]).points[0].scenario
    files = files_of([scenario], [])
    unit_id = UnitKey(scenario).of(scenario.strategies[0], 0)
    packed = pickle.dumps([(scenario, 0, ("mqtt_persistent",), (unit_id,))])
    assert run_here(packed, files) == {unit_id: run_units(scenario, 0, ["mqtt_persistent"])["mqtt_persistent"]}


def test_a_scheduler_that_does_not_answer_is_one_line(write, tmp_path, monkeypatch):
    monkeypatch.setattr(on_dask, "PATIENCE_S", 1.0)
    plan = load_sweep(write(), varies=["hybrid.poll=5 s"])
    with pytest.raises(ClusterUnusable, match="no scheduler answers there") as found:
        run_sweep(plan, out=tmp_path, report=False, executor=f"tcp://127.0.0.1:{free_port()}")
    assert "\n" not in str(found.value)


class Workers:
    """What a Dask client says of its workers."""

    def __init__(self, answers):
        self.answers = answers

    def run(self, _function):
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


def test_workers_of_another_version_or_without_the_lab_are_refused():
    on_dask._same_lab(Workers({"tcp://a:1": surroundings()}))
    with pytest.raises(ClusterUnusable, match="worker tcp://b:1 has another version of the lab"):
        on_dask._same_lab(Workers({"tcp://a:1": surroundings(), "tcp://b:1": "another"}))
    with pytest.raises(ClusterUnusable, match="a worker cannot run the lab: ModuleNotFoundError: No module named 'sim'"):
        on_dask._same_lab(Workers(ModuleNotFoundError("No module named 'sim'")))


def test_an_executor_that_is_none_is_one_line(write, tmp_path):
    words = [sys.executable, "-m", "sim", "sweep", str(write()), "--vary", "hybrid.poll=1 s,2 s", "--executor", "slurm"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("expected local, dask, or the address of a scheduler such as tcp://10.0.0.5:8786")
