"""What an exception means to who called: an exit code, and lines that say what is wrong."""

from __future__ import annotations

import errno

OK, MISSED, BAD_USAGE, DEFECT, INTERRUPTED = 0, 1, 2, 3, 130


class BadUsage(Exception):
    """The command cannot be carried out as given; the text is one line."""


def verdict(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code for an exception and what to say about it."""
    from sim.scenario.document import ScenarioErrors, one_line
    from sim.terminal import NotPrinted

    if isinstance(error, ScenarioErrors):
        return BAD_USAGE, error.lines
    if isinstance(error, BadUsage | NotPrinted):
        return BAD_USAGE, [str(error)]
    # imported only now: a mistake in the command should not wait for them
    from sim.scenario.user_machine import StrategyBroken
    from sim.scenario.user_strategy import place_in_user_file
    from sim.study.run_folder import ResultsNotWritten
    from sim.study.workers import WorkerLost

    if isinstance(error, StrategyBroken | ResultsNotWritten | WorkerLost):
        return BAD_USAGE, [str(error)]
    what = f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
    theirs = place_in_user_file(error)
    if theirs is not None:
        return BAD_USAGE, [f"{theirs}: {what} (--debug shows the traceback)"]
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_THE_MACHINE):
        return BAD_USAGE, [f"{error.filename or 'the machine'}: {error.strerror or one_line(error)}"]
    if isinstance(error, MemoryError):
        return BAD_USAGE, ["out of memory: -j 1, fewer --replications or a shorter drive need less"]
    how = "add --debug for the traceback, and report it with the scenario file and the command"
    return DEFECT, [f"defect: {what} ({how})"]


#: What a system says when it lacks something, whoever asked: space, quota, a right, files, processes, memory.
_OF_THE_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.EAGAIN, errno.ENOMEM,
}  # fmt: skip
