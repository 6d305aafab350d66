"""The folder of a run while it is written: hidden beside its place, put there when it is complete, gone whatever goes wrong.

    results/city_a_to_b/.58c9c0df8a.x1y2z3ab/   hidden, with
        lock        held as long as its process lives
        new/        the folder that is written
        old/        what stood in its place before, for an instant
    results/city_a_to_b/58c9c0df8a/             new/, complete

Only SIGKILL or a power cut can leave a hidden folder. The next run of the scenario removes those whose lock nobody holds:
so it can take no folder of a run that goes on, and touches nothing that has no such lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl

from sim.record.read import RunFolderError
from sim.study.interrupts import undisturbed

try:
    import fcntl
except ImportError:  # Windows: what is left behind stays
    fcntl = None  # type: ignore[assignment]

_LOCK, _NEW, _OLD = "lock", "new", "old"
_HIDDEN = re.compile(r"\.(?P<name>[^.].*)\.[a-z0-9_]{8}")  # as tempfile.mkdtemp makes them
_USUAL_BYTES = 1024 * 1024
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # how polars tells one


_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


class ResultsNotWritten(Exception):
    """The results cannot be written: no space, no right, a name that is taken. One line."""


@contextlib.contextmanager
def new_run_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a folder to write to; when the block has ended it stands as `parent`/`name`, in the place of an older one.

    What a user added to the older one is kept. After an exception nothing is left, nor of `parent` what was not there.

    Raises:
        ResultsNotWritten: the folder cannot be made or put in its place.
    """
    made = _missing(parent)
    hidden: Path | None = None
    lock: IO[bytes] | None = None
    try:
        with results_writable(parent), undisturbed():
            parent.mkdir(parents=True, exist_ok=True)
            remove_left_behind(parent)
            hidden = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
            lock = _locked(hidden)
            (hidden / _NEW).mkdir()
        yield hidden / _NEW
        with results_writable(parent), undisturbed():
            _put_in_place(hidden, parent / name)
            made.clear()
    finally:
        with undisturbed():
            if hidden is not None:
                _discard(hidden, parent / name)
            if lock is not None:
                lock.close()
            for folder in made:
                with contextlib.suppress(OSError):  # somebody has put something there
                    folder.rmdir()


@contextlib.contextmanager
def results_writable(where: Path) -> Iterator[None]:
    """Say in one line that results cannot be written, whichever library met it.

    Raises:
        ResultsNotWritten: instead of OSError and what polars makes of one.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, RunFolderError) as error:
        why = _reason(error, where)
        if why is None:
            raise
        raise ResultsNotWritten(f"{where}: the results cannot be written: {why}") from error


@contextlib.contextmanager
def on_this_disk(where: Path) -> Iterator[None]:
    """Name the results where the disk is full or ends, which a system says without a path; other errors pass.

    Raises:
        ResultsNotWritten: instead of such an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_A_DISK or not (error.filename is None or _is_below(error.filename, where)):
            raise
        raise ResultsNotWritten(f"{where}: the results cannot be written: {error.strerror}") from error


def _is_below(path: object, folder: Path) -> bool:
    return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(folder)


def require_writable(results: Path) -> None:
    """Results can be written below this folder, which need not be there. To be asked before any work is done.

    Raises:
        ResultsNotWritten: they cannot, and why.
    """
    with results_writable(results):
        there = next(path for path in (results, *results.absolute().parents) if os.path.lexists(path))
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b" ")
            file.flush()


def _reason(error: BaseException, where: Path) -> str | None:
    """What the system said; None: it is not the system's doing."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, RunFolderError):
        return _reason(error.__cause__, where) if error.__cause__ is not None else None
    found = _SYSTEM_ERROR.search(str(error))
    return os.strerror(int(found[1])) if found else _asked(where)


def _asked(where: Path) -> str | None:
    """What the system says to a file of a usual size, since polars does not always pass on what it was told."""
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(bytes(_USUAL_BYTES))
    except OSError as error:
        return error.strerror
    return None


def remove_left_behind(parent: Path) -> None:
    """Remove the hidden folders of runs that were killed; what one had taken out of its place is put back."""
    if fcntl is None:
        return
    for hidden in sorted(parent.iterdir()):
        match = _HIDDEN.fullmatch(hidden.name)
        if match is None or not (hidden / _LOCK).is_file() or hidden.is_symlink():
            continue
        with contextlib.suppress(OSError), open(hidden / _LOCK, "rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its run goes on
            _discard(hidden, parent / match["name"])


def _discard(hidden: Path, final: Path) -> None:
    """Remove a hidden folder, but nothing that was in the place of the run before."""
    for old in sorted(hidden.glob(f"{_OLD}*")):
        _put_back(old, final)
    shutil.rmtree(hidden, ignore_errors=True)


def _missing(folder: Path) -> list[Path]:
    """The folders of the path that are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _locked(hidden: Path) -> IO[bytes]:
    """Make the lock of a hidden folder; whoever sees it finds it held."""
    unseen = hidden / f"{_LOCK}.new"
    lock = open(unseen, "xb")  # noqa: SIM115 - it is open as long as the folder is
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        unseen.rename(hidden / _LOCK)
    except BaseException:
        lock.close()
        raise
    return lock


def _put_in_place(hidden: Path, final: Path) -> None:
    """Put new/ in its place; an older one of the same id is then old1/."""
    serial = 0
    while True:
        try:
            (hidden / _NEW).rename(final)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        serial += 1
        with contextlib.suppress(FileNotFoundError):  # another run of the same id took it away at this instant
            final.rename(hidden / f"{_OLD}{serial}")


def _put_back(old: Path, final: Path) -> None:
    """Move what a user added to an older folder into the present one; the whole folder where there is none."""
    if not final.exists():
        old.rename(final)
        return
    from sim.report.names import made_by_a_report

    for path in sorted(old.rglob("*")):
        kept = final / path.relative_to(old)
        if path.exists() and not kept.exists() and kept.parent.is_dir() and not made_by_a_report(path):
            path.rename(kept)
