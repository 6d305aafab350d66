"""Read a run's folder into frames. The only reader: reports, notebooks and `explain` know no file names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from sim.record.schema import TABLES

#: Kind of a column -> its type.
POLARS_TYPES: dict[str, pl.DataType] = {
    "f8": pl.Float64(),
    "i4": pl.Int32(),
    "i8": pl.Int64(),
    "b": pl.Boolean(),
    "s": pl.String(),
}

MANIFEST = "manifest.json"
_MOST_BYTES = 256 * 2**20  # of a JSON file


class RunFolderError(Exception):
    """The folder is not that of a run, or a file in it is missing or foreign. The text is one line."""


def table_schema(name: str) -> dict[str, pl.DataType]:
    """Column name -> polars type of a table of `sim.record.schema`."""
    return {column.name: POLARS_TYPES[column.kind] for column in TABLES[name]}


class Manifest(dict[str, Any]):
    """A manifest that says in one line, as RunFolderError, that an entry which is needed is not there."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise RunFolderError(f"{self._path}: has no {key}, the run was recorded by another version or the file was changed")


class Run:
    """A run's manifest and its tables; each table is read when it is first asked for.

    Tables have the columns of `sim.record.schema`, in that order and with those types; "never" is null. Times in s since
    the start of the drive. Made by `read_run`, or from frames in memory with `Run(manifest, frames)`.
    """

    def __init__(
        self, manifest: Mapping[str, Any], frames: Mapping[str, pl.DataFrame] | None = None, folder: Path | None = None
    ) -> None:
        self.manifest: dict[str, Any] = manifest if isinstance(manifest, Manifest) else dict(manifest)
        self.folder = folder
        self._frames = {name: _conform(name, frame, name) for name, frame in (frames or {}).items()}

    def has(self, name: str) -> bool:
        """Whether the run recorded this table; the trace is optional."""
        return name in self._frames or (self.folder is not None and (self.folder / f"{name}.parquet").is_file())

    def table(self, name: str) -> pl.DataFrame:
        """A table by name; RunFolderError where it is missing or does not bear the columns of the schema."""
        if name not in self._frames:
            if self.folder is None:
                raise RunFolderError(f"this run has no table {name}")
            self._frames[name] = _read_table(self.folder / f"{name}.parquet", name)
        return self._frames[name]

    @property
    def messages(self) -> pl.DataFrame:
        return self.table("messages")

    @property
    def connections(self) -> pl.DataFrame:
        return self.table("connections")

    @property
    def disruptions(self) -> pl.DataFrame:
        return self.table("disruptions")

    @property
    def timeline(self) -> pl.DataFrame:
        return self.table("timeline")

    @property
    def states(self) -> pl.DataFrame:
        return self.table("states")

    @property
    def traffic(self) -> pl.DataFrame:
        return self.table("traffic")

    @property
    def vehicles(self) -> pl.DataFrame:
        return self.table("vehicles")

    @property
    def trace(self) -> pl.DataFrame | None:
        """Full detail, or None where it was not recorded (sweeps, fleets)."""
        return self.table("trace") if self.has("trace") else None


def read_run(run_dir: str | Path) -> Run:
    """Open the folder of a run. Raises RunFolderError (one line) where it is missing or not a run's."""
    folder = Path(run_dir)
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: there is no such folder")
    path = folder / MANIFEST
    if not path.is_file():
        raise RunFolderError(f"{folder}: not the folder of a run, it has no {MANIFEST}")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or "run_id" not in manifest:
        raise RunFolderError(f"{path}: not the manifest of a run, it has no run_id")
    entries = manifest.get("strategies", [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in entries):
        raise RunFolderError(f"{path}: strategies: expected a list of mappings with a name, the file was changed")
    return Run(Manifest(manifest, path), folder=folder)


def read_json(path: Path) -> Any:
    """What a JSON file of a run's folder says. Raises RunFolderError (one line), also for what is no such file."""
    if not path.is_file():
        raise RunFolderError(f"{path}: the file is missing, the run did not end or was recorded by another version")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RunFolderError(f"{path}: is larger than {_MOST_BYTES // 2**20} MiB, no such file of a run is")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: cannot be read as JSON: {_one_line(error)}") from error


def _read_table(path: Path, name: str) -> pl.DataFrame:
    if not path.is_file():
        raise RunFolderError(f"{path}: the file is missing, the run did not end or was recorded by another version")
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{path}: cannot be read as Parquet: {_one_line(error)}") from error
    return _conform(name, frame, str(path))


def _conform(name: str, frame: pl.DataFrame, where: str) -> pl.DataFrame:
    schema = table_schema(name)
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise RunFolderError(f"{where}: column {missing[0]} is missing, the run was recorded by another version")
    try:
        # a writer's nan is a null: "never", or unknown
        cast = [pl.col(column).cast(kind) for column, kind in schema.items()]
        return frame.select(cast).with_columns(cs.float().fill_nan(None))
    except pl.exceptions.PolarsError as error:
        raise RunFolderError(f"{where}: a column has another type than the schema's: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
