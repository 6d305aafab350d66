"""Processes that are killed: their work is run again, a piece that kills its process is not tried for ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sim.study.survivors import MOST_LOSSES, Losses, WorkLost, each


def prepare(argument):
    os.environ["HANDOVER_LAB_TEST"] = str(argument)


def prepared(number):
    return number * 10, os.environ["HANDOVER_LAB_TEST"], os.getpid()


def killed_once(number, folder):
    mark = Path(folder) / str(number)
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def always_killed(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def failing(number):
    raise KeyError(f"piece {number}")


def slow(number):
    time.sleep(30.0)


def test_every_piece_is_run_once_by_prepared_processes():
    found = dict(each(prepared, [(n,) for n in range(7)], 2, prepare, "ready"))
    assert sorted(found) == list(range(7))
    assert all(found[n][:2] == (n * 10, "ready") for n in found)
    pids = {pid for _value, _word, pid in found.values()}
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_the_work_of_a_killed_process_is_run_again(tmp_path):
    losses = Losses()
    found = dict(each(killed_once, [(n, str(tmp_path)) for n in range(5)], 2, prepare, "", losses))
    assert found == {n: n for n in range(5)}
    assert losses.count == 1
    assert losses.of == {2: 1}


def test_a_piece_that_kills_its_process_is_given_up_in_one_line():
    losses = Losses()
    with pytest.raises(WorkLost, match=r"3 times \(by SIGKILL\)") as found:
        list(each(always_killed, [(n,) for n in range(4)], 2, prepare, "", losses))
    assert "\n" not in str(found.value)
    assert losses.of == {1: MOST_LOSSES}


def test_an_exception_is_raised_here_with_its_traceback():
    with pytest.raises(KeyError, match="piece") as found:
        list(each(failing, [(n,) for n in range(3)], 2, prepare, ""))
    assert "in failing" in "".join(found.value.__notes__)


def test_the_processes_end_when_nobody_wants_more():
    import multiprocessing

    results = each(prepared, [(n,) for n in range(50)], 2, prepare, "")
    next(results)
    assert multiprocessing.active_children()
    results.close()
    assert multiprocessing.active_children() == []
