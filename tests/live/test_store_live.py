"""Live runs with a user's own Redis: what is in it meanwhile and afterwards, and what happens when it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sim.live.brokers.processes import free_ports
from sim.live.store.redis_server import missing_redis
from tests.live.served_api import wait_for

pytest.importorskip("redis")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing_redis() is not None, reason=str(missing_redis()))]

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
SETTINGS = {
    "drain": "3 s",
    "ddns_heartbeat.heartbeat": "2 s",
    "ddns_heartbeat.locate": "dns",
    "ddns_heartbeat.dns_ttl": "1 s",
    "server.dns.propagation": "0 s",
    "server.dns.negative_ttl": "1 s",
}


class Redis:
    """A server that is not the lab's."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/1"
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--save", ""]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def cli(self, *words: str) -> list[str]:
        command = ["redis-cli", "-p", str(self.port), "-n", "1", *words]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WITHIN_S).stdout
        return [line for line in said.split("\n") if line]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(WITHIN_S)


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    try:
        yield redis
    finally:
        redis.stop()


def live(out: Path, url: str, *strategies: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "sim", "live", "scenarios/one_handover.yaml", "--until", "6 s", "--json"]
    words += ["--store", url, "--out", str(out)]
    for strategy in strategies:
        words += ["--strategy", strategy]
    for key, value in SETTINGS.items():
        if "." not in key or key.split(".")[0] in (*strategies, "server"):
            words += ["--set", f"{key}={value}"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def test_a_run_uses_its_own_keys_and_removes_them(theirs: Redis, tmp_path: Path):
    theirs.cli("SET", "theirs", "1")
    run = live(tmp_path, theirs.url, "ddns_heartbeat", "hybrid")
    try:
        ends = time.monotonic() + WITHIN_S
        seen: list[str] = []
        while not any(":hybrid:payload:" in key for key in seen) and time.monotonic() < ends:
            time.sleep(0.2)
            seen = theirs.cli("KEYS", "*")
        assert any(key.endswith(":ddns_heartbeat:vehicle:VIN123") for key in seen)
        assert {key.split(":")[0] for key in seen} == {"theirs", "handover-lab"}
        said, errors = run.communicate(timeout=WITHIN_S)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    found = json.loads(said)
    assert theirs.cli("KEYS", "*") == ["theirs"]
    folder = ROOT / found["results_dir"] if not Path(found["results_dir"]).is_absolute() else Path(found["results_dir"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["store"][0].startswith("redis 7.")
    for strategy in found["strategies"].values():
        assert strategy["lost"] == 0
        assert strategy["delivered"] > 0


def test_a_store_that_is_killed_in_the_middle(theirs: Redis, tmp_path: Path):
    run = live(tmp_path, theirs.url, "ddns_heartbeat")
    try:
        ends = time.monotonic() + WITHIN_S
        while not theirs.cli("KEYS", "*:vehicle:*") and time.monotonic() < ends:
            time.sleep(0.1)
        theirs.stop()
        said, errors = run.communicate(timeout=WITHIN_S)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    assert "Traceback" not in errors
    folder = Path(json.loads(said)["results_dir"])
    folder = folder if folder.is_absolute() else ROOT / folder
    attempts = pl.read_parquet(folder / "connections.parquet").filter(pl.col("purpose") == "heartbeat")
    states = pl.read_parquet(folder / "states.parquet")
    (lost_s,) = states.filter(pl.col("state") == "store_lost")["time_s"].to_list()
    before, after = attempts.filter(pl.col("asked_s") < lost_s - 1.0), attempts.filter(pl.col("asked_s") > lost_s)
    assert set(before["outcome"]) == {"ready"}
    assert len(after) >= 2
    # 503 to the vehicle, which asks again at its next heartbeat
    assert set(after["reason"]) == {"refused"}
