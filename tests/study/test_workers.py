from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from sim.study.workers import WorkerLost, in_processes


def _nothing() -> None:
    pass


def _note(path: Path) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write("prepared\n")


def _square(n: int) -> int:
    return n * n


def _fail(n: int) -> int:
    raise ValueError(f"no {n}")


class Odd(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("odd")


def _fail_oddly(n: int) -> int:
    raise Odd(n, n)


def _die(n: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(n: int) -> None:
    raise SystemExit(5)


def _refuse() -> None:
    raise LookupError("not today")


def _large(n: int) -> bytes:
    return b"x" * 50_000_000


def _sleep(n: int) -> None:
    time.sleep(60)


def test_every_result_comes_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = dict(in_processes(3, _square, {n: (n,) for n in range(20)}, functools.partial(_note, log)))
    assert found == {n: n * n for n in range(20)}
    assert log.read_text(encoding="utf-8") == "prepared\n" * 3
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("function", "kind", "text"),
    [(_fail, ValueError, "no 1"), (_fail_oddly, RuntimeError, "Odd: odd"), (_exit, SystemExit, "5"), (_die, WorkerLost, "ended")],
)  # fmt: skip
def test_a_failure_ends_them_all(function: object, kind: type[BaseException], text: str) -> None:
    with pytest.raises(kind, match=text):
        dict(in_processes(2, function, {1: (1,)}, _nothing))  # type: ignore[arg-type]
    assert multiprocessing.active_children() == []


def test_the_cause_shows_where_it_was() -> None:
    with pytest.raises(ValueError, match="no 1") as raised:
        dict(in_processes(1, _fail, {1: (1,)}, _nothing))
    assert "in _fail" in str(raised.value.__cause__)


def test_a_worker_that_cannot_prepare() -> None:
    with pytest.raises(LookupError, match="not today"):
        dict(in_processes(1, _square, {1: (1,)}, _refuse))


@pytest.mark.parametrize("function", [_sleep, _large])
def test_closing_ends_them_at_once(function: object) -> None:
    """In the middle of their work, and in the middle of sending what is larger than a pipe."""
    finished = in_processes(2, function, {n: (n,) for n in range(9)}, _nothing)  # type: ignore[arg-type]
    if function is _large:
        next(finished)
    else:
        watch = multiprocessing.get_context("spawn").Process(target=_nothing)  # so that theirs are not the only ones
        watch.start()
        watch.join()
    started_s = time.monotonic()
    finished.close()
    assert time.monotonic() - started_s < 5.0
    assert multiprocessing.active_children() == []
