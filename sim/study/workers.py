"""Processes that work side by side. They end with what they were started for: at once when it is interrupted or fails.

Each has a pipe of its own and nothing is shared: one can be killed at any instant, in the middle of a result too. (With the
pools of the standard library a process that is killed while it sends leaves the others waiting for the rest.)
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from sim.study.interrupts import undisturbed
from sim.study.one_thread import in_one_thread

_GOODBYE_S = 5.0  # for a process that has nothing to do any more


class WorkerLost(Exception):
    """A process was ended from outside; one line."""


class _InWorker(Exception):
    """The traceback of an exception in a worker, shown as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def in_processes(
    n: int,
    function: Callable[..., Any],
    arguments: Mapping[int, tuple[Any, ...]],
    prepare: Callable[[], None],
    told: Callable[[int, Any], None] = lambda number, news: None,
) -> Generator[tuple[int, Any], None, None]:
    """Yield (number, function(*arguments[number])) as they finish, computed by `n` processes.

    `prepare` is called in each of them first. `told(number, news)` is called with what the function says by `tell`.
    Close the generator where it is not read to its end.

    Raises:
        WorkerLost: a process ended before its work did.
        Exception: that of the function; its cause shows the traceback in the worker.
    """
    waiting = iter(arguments.items())
    workers: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, int] = {}
    complete = False
    try:
        start_tracker()
        with undisturbed():  # nor does what is started hear of Ctrl-C, which a terminal sends to all: it is ended from here
            _start(n, prepare, workers)
        for worker in workers:
            _give(worker, function, waiting, busy)
        while busy:
            answered = wait(list(busy))
            for worker in [one for one in busy if one in answered]:
                number = busy[worker]
                try:
                    succeeded, result = worker.recv()
                    if succeeded is None:
                        told(number, result)
                        continue
                    del busy[worker]
                    if succeeded:
                        _give(worker, function, waiting, busy)
                except (EOFError, ConnectionError) as error:
                    text = "a process of the run was ended from outside, perhaps for lack of memory; -j 1 needs less"
                    raise WorkerLost(text) from error
                if not succeeded:
                    failure, trace = result
                    raise failure from _InWorker(trace)
                yield number, result
        complete = True
    finally:
        with undisturbed():
            _end(workers, at_once=not complete)


def _end(workers: dict[Connection, BaseProcess], *, at_once: bool) -> None:
    for worker, process in workers.items():
        if at_once:
            process.kill()  # it writes nothing, so that nothing is left half done
        worker.close()  # tells it that there is nothing to do any more
    for process in workers.values():
        process.join(_GOODBYE_S)
        if process.is_alive():
            process.kill()
            process.join()


def start_tracker() -> None:
    """The library's own helper process; when it starts it unblocks the signals, for the process that is started next too."""
    with contextlib.suppress(ImportError):  # Windows has none
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


def _start(n: int, prepare: Callable[[], None], workers: dict[Connection, BaseProcess]) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(n):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, prepare), daemon=True)
        with in_one_thread():
            process.start()
        theirs.close()
        workers[ours] = process


def _give(
    worker: Connection, function: Callable[..., Any], waiting: Iterator[tuple[int, Any]], busy: dict[Connection, int]
) -> None:
    """Give a worker what is next, if anything is."""
    for number, arguments in waiting:
        worker.send((function, arguments))
        busy[worker] = number
        return


_starter: Connection | None = None  # in a worker


def tell(news: Any) -> None:
    """In a worker: tell the starter how far its work is."""
    if _starter is not None:
        _starter.send((None, news))


def _work(starter: Connection, prepare: Callable[[], None]) -> None:
    """In a worker: do what is sent, until the starter is gone."""
    global _starter
    _starter = starter
    failure: BaseException | None = None
    try:
        prepare()
    except BaseException as error:
        failure = error
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            sent = starter.recv_bytes()
            try:
                if failure is not None:
                    raise failure
                function, arguments = pickle.loads(sent)
                reply = (True, function(*arguments))
            except BaseException as error:
                reply = (False, (_portable(error), "".join(traceback.format_exception(error))))
            starter.send(reply)


def _portable(error: BaseException) -> BaseException:
    """The exception, or one that says the same where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
