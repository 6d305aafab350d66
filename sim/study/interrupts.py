"""How a command is ended from outside: Ctrl-C, SIGTERM, SIGHUP.

Each raises KeyboardInterrupt. One such exception is not enough: raised inside a destructor or an extension module it is
swallowed, inside a class body it becomes a RuntimeError. So it is raised again until somebody takes note. While a module is
being imported it waits a little: some libraries are left broken by it, or end the process with words of their own. What
clears up is `undisturbed`, however often a user presses Ctrl-C.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

AGAIN_S = 0.3
IMPORT_S = 3.0  # longer than any library takes; a user's module that never ends its import is interrupted all the same
_ENDING = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
_came = False
_active = False  # within ended_by_signals
_depth = 0  # of blocks that are not to be disturbed
_waits_left = round(IMPORT_S / AGAIN_S)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """For the whole life of a process: react to the signals, but to those that its caller ignores (nohup, `&`).

    Afterwards they are ignored: the interpreter ends, and nobody wants to see how it is disturbed.
    """
    global _active
    _active = True
    for number in _ENDING:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _first)
    sys.unraisablehook = _unraisable
    try:
        yield
    finally:
        take_note()


def take_note() -> None:
    """A signal that has come is seen to, and the process is about to end: no other one is heard from now on."""
    if not _active:
        return
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def came() -> bool:
    """Whether a signal has come."""
    return _came


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No signal interrupts the block, one that comes is heard after it. Processes started in it never hear any."""
    global _depth
    _depth += 1
    try:
        with _blocked():
            yield
    finally:
        _depth -= 1
    if _came and not _depth:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _blocked() -> Iterator[None]:
    """For processes that are started: here it would not do, another thread of a library may take the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_ENDING, signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first(number: int, frame: Any) -> None:
    global _came
    _came = True
    # a second one would hit what clears up after the first; it is raised again all the same while nobody has taken note
    for ending in _ENDING:
        if signal.getsignal(ending) is _first:
            signal.signal(ending, _ignored)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
    _again(number, frame)


def _again(_number: int, frame: Any) -> None:
    global _waits_left
    if _depth:
        return
    if _waits_left and hasattr(signal, "setitimer") and _importing(frame):
        _waits_left -= 1
        return
    raise KeyboardInterrupt


def _importing(frame: Any) -> bool:
    """Whether an import is under way, from Python or from an extension module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _ignored(_number: int, _frame: Any) -> None:
    """Further signals: the first one is being seen to. Unlike SIG_IGN this is not handed on to processes started later."""


def _unraisable(found: Any) -> None:
    """An interrupt that was swallowed comes again; there is nothing to say about it."""
    if not issubclass(found.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(found)
