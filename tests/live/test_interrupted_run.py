"""Ctrl-C in the middle of a live run: what was recorded is kept, what would have come later is not part of it."""

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

from tests.live.test_validate_brokers import SCENARIO


def interrupted(command: str, tmp_path: Path, at_s: float) -> Path:
    """The folder of a run of the short scenario that got SIGINT at about this instant of its drive."""
    (tmp_path / "short.yaml").write_text(SCENARIO)
    process = subprocess.Popen(
        [sys.executable, "-m", "sim", command, "short.yaml", "--out", "results"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30.0
    begun = None
    while begun is None and time.monotonic() < deadline:
        logs = list((tmp_path / "results").rglob("live.log")) if (tmp_path / "results").is_dir() else []
        begun = next((float(line.split()[1]) for log in logs for line in log.read_text().splitlines()[:1]), None)
        time.sleep(0.05)
    assert begun is not None
    time.sleep(max(0.0, at_s - begun))
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    return next(path.parent for path in (tmp_path / "results").glob("*/live-*/manifest.json"))


@pytest.mark.slow
def test_what_would_have_come_later_is_not_lost(tmp_path: Path) -> None:
    folder = interrupted("live", tmp_path, 4.0)
    manifest = json.loads((folder / "manifest.json").read_text())
    ended_s = manifest["ended_s"]
    assert manifest["interrupted"]
    assert 3.0 < ended_s < 8.0
    messages = pl.read_parquet(folder / "messages.parquet")
    assert messages["created_s"].max() <= ended_s
    assert messages.filter(pl.col("outcome") == "delivered").height >= 3
    assert messages.filter(pl.col("outcome") == "lost").height == 0
    (vehicle,) = pl.read_parquet(folder / "vehicles.parquet").to_dicts()
    assert (vehicle["end_s"], vehicle["horizon_s"]) == (ended_s, ended_s)
    assert pl.read_parquet(folder / "timeline.parquet")["start_s"].max() < ended_s
    assert "This run is partial: it was interrupted at" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_a_validation_compares_what_was_reached(tmp_path: Path) -> None:
    folder = interrupted("validate", tmp_path, 4.0)
    ended_s = json.loads((folder / "manifest.json").read_text())["ended_s"]
    rows = pl.read_csv(folder / "validation.csv", infer_schema_length=None)
    assert rows.height > 10
    assert rows.filter(~pl.col("agrees") & (pl.col("at_s") < ended_s - 0.5)).height == 0
