"""Ctrl-C, SIGTERM and SIGKILL, with real processes: how a run ends and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONG = [str(ROOT / "scenarios/city_a_to_b.yaml"), "--replications", "5000"]

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX's")


def _start(out: Path, *words: str) -> subprocess.Popen[str]:
    """A run as a terminal starts it: a process group of its own, which Ctrl-C reaches as a whole."""
    command = [sys.executable, "-m", "sim", "run", *LONG, "--out", str(out), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def _running(out: Path) -> None:
    """Wait until the run has made its hidden folder."""
    until_s = time.monotonic() + 30.0
    while not list(out.glob("*/.*/new")):
        assert time.monotonic() < until_s
        time.sleep(0.02)


def _send(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        os.killpg(process.pid, number)


def _ends(process: subprocess.Popen[str], within_s: float = 10.0) -> tuple[str, str]:
    started_s = time.monotonic()
    out, err = process.communicate(timeout=60.0)
    assert time.monotonic() - started_s < within_s
    while _alive(process.pid):  # its workers
        assert time.monotonic() - started_s < within_s
        time.sleep(0.02)
    return out, err


def _alive(group: int) -> list[str]:
    """Processes of a group that have not ended; where there is no /proc nobody knows."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    ("number", "jobs", "after_s"),
    [("SIGINT", "1", 0.0), ("SIGINT", "2", 1.5), ("SIGTERM", "2", 0.0), ("SIGTERM", "1", 1.0), ("SIGHUP", "2", 1.5)],
)
def test_one_signal_ends_it_with_one_line_and_nothing_left(tmp_path: Path, number: str, jobs: str, after_s: float) -> None:
    out = tmp_path / "results"
    process = _start(out, "-j", jobs)
    _running(out)
    time.sleep(after_s)
    _send(process, getattr(signal, number))
    assert _ends(process) == ("", "interrupted\n")
    assert process.returncode == 130
    assert not out.exists()


@pytest.mark.parametrize(("jobs", "gap_s"), [("1", 0.05), ("2", 0.005), ("2", 0.2)])
def test_more_of_them_change_nothing(tmp_path: Path, jobs: str, gap_s: float) -> None:
    out = tmp_path / "results"
    process = _start(out, "-j", jobs)
    _running(out)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        _send(process, number)
        time.sleep(gap_s)
    assert _ends(process) == ("", "interrupted\n")
    assert process.returncode == 130
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_at_whatever_instant_it_comes(tmp_path: Path, jobs: str) -> None:
    """Libraries are being imported, classes made, processes started: each swallows or changes an exception in its own way."""
    out = tmp_path / "results"
    start_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "sim", "--help"], check=True, capture_output=True)
    slower = max(1.0, (time.perf_counter() - start_s) / 0.25)  # a busy machine: 0.2 s are not enough for Python itself
    for after_s in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0):
        process = _start(out, "-j", jobs)
        time.sleep(after_s * slower)
        _send(process, signal.SIGINT)
        assert _ends(process) == ("", "interrupted\n"), after_s
        assert process.returncode == 130
        assert not out.exists()


def test_a_sweep_in_its_first_seconds(tmp_path: Path) -> None:
    """Its processes are being started: none of them says anything of its own."""
    words = ["sweep", LONG[0], "--vary", "hybrid.poll=5 s,10 s,20 s", "--replications", "400", "-j", "2", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "sim", *words]
    for after_s in (0.0, 0.15, 0.4):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        until_s = time.monotonic() + 30.0
        while len(_alive(process.pid)) < 2:  # the first of its processes is there
            assert time.monotonic() < until_s
            time.sleep(0.005)
        time.sleep(after_s)
        _send(process, signal.SIGINT)
        out, err = _ends(process)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert err.splitlines()[-1] == "interrupted"
        assert out == ""


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "results"
    killed = _start(out, "-j", "2")
    _running(out)
    killed.kill()
    _ends(killed)  # its workers find out by themselves
    (left,) = (out / "city_a_to_b").iterdir()
    goes_on = _start(out, "-j", "1", "--seed", "2")
    until_s = time.monotonic() + 30.0
    while left.exists():  # the second run has cleared up after the first
        assert time.monotonic() < until_s
        time.sleep(0.02)
    _running(out)
    mine = out / "city_a_to_b" / ".58c9c0df8a.notes123"
    mine.mkdir()
    (mine / "thoughts.txt").write_text("not a run's", encoding="utf-8")
    before = sorted((out / "city_a_to_b").iterdir())
    words = ["run", LONG[0], "--replications", "1", "--strategy", "hybrid", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "sim", *words], cwd=ROOT, check=True, capture_output=True, timeout=60)
    after = sorted((out / "city_a_to_b").iterdir())
    assert set(before) < set(after)  # the folder of the run that goes on and the user's own are there still
    assert (mine / "thoughts.txt").is_file()
    _send(goes_on, signal.SIGINT)
    _ends(goes_on)
    assert set(after) - set((out / "city_a_to_b").iterdir()) == set(before) - {mine}


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    """`nohup`: the run goes on when the terminal is gone."""
    words = f"trap '' HUP; exec {sys.executable} -m sim run scenarios/one_handover.yaml --out {tmp_path / 'results'}"
    process = subprocess.Popen(["sh", "-c", words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _running(tmp_path / "results")
    process.send_signal(signal.SIGHUP)
    _out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
