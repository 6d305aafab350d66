"""Where finished units are kept: a file each under its id, complete or not there at all.

    results/.units/<surroundings>/ab/abcdef....json

One store for all scenarios below a results folder, since an id does not know the scenario's name: two files, or two sweeps,
that share units share their work. The folder of the surroundings (sources of the lab, numpy, SimPy) keeps apart what another
version of the lab made; `clear(stale_only=True)` removes that.

A file is written under another name, brought to the disk and renamed. After a kill or a power cut there is a whole unit or
none; a damaged one is found by its checksum and counts as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.study.run_folder import results_writable
from sim.study.unit import surroundings

FOLDER = ".units"
_CHECKSUM = 16  # characters, before the content


@dataclass(frozen=True, slots=True)
class StoreSize:
    """What a store holds: units of this version of the lab, of others, and bytes of both."""

    units: int
    stale: int
    n_bytes: int


class UnitStore:
    """The units below a results folder."""

    def __init__(self, results: Path) -> None:
        self.root = results / FOLDER
        self._present = self.root / surroundings()

    def get(self, unit_id: str) -> bytes | None:
        """The content of a finished unit; None where there is none, or a damaged one."""
        try:
            raw = self._path(unit_id).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        checksum, _, content = raw.partition(b"\n")
        return content if checksum.decode("ascii", "replace") == _checksum(content) else None

    def has(self, unit_id: str) -> bool:
        return self.get(unit_id) is not None

    def put(self, units: Mapping[str, bytes]) -> None:
        """Keep finished units. When this returns they survive the end of the process and of the machine.

        Raises:
            sim.study.run_folder.ResultsNotWritten: the folder cannot be written.
        """
        with results_writable(self.root):
            self._put(units)

    def _put(self, units: Mapping[str, bytes]) -> None:
        touched = set()
        for unit_id, content in units.items():
            path = self._path(unit_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                with open(unfinished, "wb") as file:
                    file.write(_checksum(content).encode() + b"\n" + content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            touched.add(path.parent)
        for folder in touched:
            _sync_folder(folder)

    def size(self) -> StoreSize:
        present = stale = n_bytes = 0
        for path in self.root.glob("*/*/*.json"):
            with contextlib.suppress(FileNotFoundError):
                n_bytes += path.stat().st_size
            if path.is_relative_to(self._present):
                present += 1
            else:
                stale += 1
        return StoreSize(present, stale, n_bytes)

    def clear(self, stale_only: bool = False) -> StoreSize:
        """Remove the units, or only those of other versions of the lab; returns what was removed."""
        before = self.size()
        for folder in list(self.root.iterdir()) if self.root.is_dir() else []:
            if not (stale_only and folder == self._present):
                shutil.rmtree(folder, ignore_errors=True)
        if not stale_only:
            with contextlib.suppress(OSError):
                self.root.rmdir()
        after = self.size()
        return StoreSize(before.units - after.units, before.stale - after.stale, before.n_bytes - after.n_bytes)

    def _path(self, unit_id: str) -> Path:
        return self._present / unit_id[:2] / f"{unit_id}.json"


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_CHECKSUM // 2).hexdigest()


def _sync_folder(folder: Path) -> None:
    """The names in a folder, on systems where a folder can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
