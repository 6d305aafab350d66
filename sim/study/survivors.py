"""Worker processes of which one may be killed: its work is given to another, and the study goes on.

concurrent.futures ends its whole pool with the first process that dies, and cannot tell whose work killed it. Here each
process has one piece of work at a time, so that it is known: a piece that was lost `MOST_LOSSES` times is not tried again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

from sim.study.interrupts import undisturbed
from sim.study.one_thread import in_one_thread
from sim.study.workers import start_tracker

#: A piece of work whose process died so often is held to be the reason.
MOST_LOSSES = 3


class WorkLost(Exception):
    """A piece of work ended its process again and again; one line."""


@dataclass(slots=True)
class Losses:
    """Processes that died, for whoever reports them."""

    count: int = 0
    of: dict[int, int] = field(default_factory=dict)  # number of the piece -> how often


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Any
    number: int | None = None  # of the piece it works on


def each(
    function: Callable[..., Any],
    pieces: Sequence[tuple[Any, ...]],
    n: int,
    first: Callable[[Any], None],
    argument: Any,
    losses: Losses | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield (number, function(*pieces[number])) as they finish in `n` processes, each of which calls `first(argument)` first.

    An exception of the function is raised here, with the place where it happened in a note. Closing the iterator, or an
    exception in its consumer, kills the processes.

    Raises:
        WorkLost: a piece ended its process MOST_LOSSES times.
    """
    losses = Losses() if losses is None else losses
    context = multiprocessing.get_context("spawn")
    start_tracker()
    waiting = deque(range(len(pieces)))
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.number is not None for worker in workers):
            while len(workers) < min(n, len(waiting) + sum(worker.number is not None for worker in workers)):
                with undisturbed():  # nor does what is started hear of Ctrl-C, which a terminal sends to all: we decide
                    workers.append(_started(context, function, first, argument))
            for worker in tuple(workers):  # some may be removed on the way
                if worker.number is None and waiting and not _give(worker, waiting, pieces):
                    _died_idle(worker, workers, losses)
            for worker in _ready(workers):
                try:
                    number, result, error = pickle.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError):
                    workers.remove(worker)
                    _lost(worker, waiting, losses)
                    continue
                worker.number = None
                if error is not None:
                    raise error
                if waiting and not _give(worker, waiting, pieces):  # before the result is looked at: nobody waits for that
                    _died_idle(worker, workers, losses)
                yield number, result
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    by_pipe = {worker.pipe: worker for worker in workers if worker.number is not None}
    return [by_pipe[pipe] for pipe in multiprocessing.connection.wait(list(by_pipe))]


def _give(worker: _Worker, waiting: deque[int], pieces: Sequence[tuple[Any, ...]]) -> bool:
    number = waiting.popleft()
    try:
        worker.pipe.send_bytes(pickle.dumps((number, pieces[number])))
    except OSError:
        waiting.appendleft(number)
        return False
    worker.number = number
    return True


def _died_idle(worker: _Worker, workers: list[_Worker], losses: Losses) -> None:
    """It died between two pieces: no work is lost."""
    workers.remove(worker)
    worker.process.join()
    worker.pipe.close()
    losses.count += 1


def _lost(worker: _Worker, waiting: deque[int], losses: Losses) -> None:
    assert worker.number is not None, "only a process with work is waited for"
    worker.process.join()
    worker.pipe.close()
    losses.count += 1
    times = losses.of[worker.number] = losses.of.get(worker.number, 0) + 1
    if times >= MOST_LOSSES:
        why = _in_words(worker.process.exitcode)
        raise WorkLost(
            f"the same piece of work ended its process {times} times ({why}); with less memory in use it may pass: -j 1"
        )
    waiting.append(worker.number)


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _started(context: SpawnContext, function: Callable[..., Any], first: Callable[[Any], None], argument: Any) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function, first, argument), daemon=True)
    with in_one_thread():
        process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return _Worker(process, ours)


def _work(pipe: Any, function: Callable[..., Any], first: Callable[[Any], None], argument: Any) -> None:
    """In the worker. It ends when the other end of the pipe is gone, also where the main process was killed."""
    ready = False
    while True:
        try:
            received = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        number = -1
        answer: tuple[int, Any, BaseException | None]
        try:
            if not ready:
                first(argument)
                ready = True
            number, piece = pickle.loads(received)
            answer = (number, function(*piece), None)
        except (Exception, SystemExit) as error:
            answer = (number, None, _portable(error))
        with contextlib.suppress(OSError):
            pipe.send_bytes(pickle.dumps(answer))


def _portable(error: BaseException) -> BaseException:
    """The exception as it can be sent, with the traceback as a note."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
        sent = error
    except Exception:
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(text)
    return sent
