"""A sweep's folder, read for its report: the manifest and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sim.measure.metrics_catalog import metric
from sim.record.read import Manifest, RunFolderError, read_json
from sim.report.palette import Style, styles

TABLES = ("sweep", "differences", "drives")


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep as its folder tells it. A row of `table` is a value with its interval: point, axes, strategy, metric, statistic."""

    manifest: dict[str, Any]
    table: pl.DataFrame
    differences: pl.DataFrame
    drives: pl.DataFrame
    run_dir: Path

    def __repr__(self) -> str:
        keys = ", ".join(axis["key"] for axis in self.axes)
        return f"<Sweep {self.manifest['scenario']} {self.manifest['sweep_id']}: {len(self.points)} points over {keys}>"

    @property
    def axes(self) -> list[dict[str, Any]]:
        """`key`, `values` as written, `numbers` in the SI unit `unit`, or None."""
        return list(self.manifest["axes"])

    @cached_property
    def strategies(self) -> list[str]:
        return [str(entry["name"]) for entry in self.manifest["strategies"]]

    @cached_property
    def looks(self) -> dict[str, Style]:
        return styles(self.strategies)

    @property
    def points(self) -> list[dict[str, str]]:
        return list(self.manifest["points"])

    @property
    def metrics(self) -> list[str]:
        return list(self.manifest["metrics"])

    @cached_property
    def _cells(self) -> dict[tuple[int, str, str], dict[str, Any]]:
        rows = self.table.filter(pl.col("statistic") == "mean").iter_rows(named=True)
        return {(row["point"], row["strategy"], row["metric"]): row for row in rows}

    def cell(self, point: int, strategy: str, name: str) -> dict[str, Any] | None:
        """The mean of a metric with its interval; None: no data."""
        return self._cells.get((point, strategy, name))

    @cached_property
    def moved(self) -> dict[str, list[str]]:
        """Strategy -> keys of the axes that its units depend on: those along which its ids change."""
        ids = {
            (row[0], row[1]): row[2]
            for row in self.drives.filter(pl.col("replication") == 0).select("point", "strategy", "unit_id").iter_rows()
        }
        found: dict[str, list[str]] = {}
        for strategy in self.strategies:
            found[strategy] = [axis["key"] for axis in self.axes if self._moves(strategy, axis["key"], ids)]
        return found

    def _moves(self, strategy: str, key: str, ids: dict[tuple[int, str], str]) -> bool:
        by_others: dict[tuple[str, ...], set[str]] = {}
        for number, values in enumerate(self.points):
            others = tuple(value for axis, value in values.items() if axis != key)
            by_others.setdefault(others, set()).add(ids[number, strategy])
        return any(len(same) > 1 for same in by_others.values())

    def affected(self) -> list[str]:
        """Strategies that something varied concerns; all where none is."""
        return [name for name in self.strategies if self.moved[name]] or self.strategies

    def subject(self) -> list[str]:
        """Those of them that are no baselines; all of them where only baselines are concerned."""
        affected = self.affected()
        return [name for name in affected if name in self.manifest["judged"]] or affected

    def slice(self, keys: Sequence[str]) -> list[int]:
        """Points at which every other axis has its first value, in the order of the plan."""
        fixed = {axis["key"]: self.points[0][axis["key"]] for axis in self.axes if axis["key"] not in keys}
        return [number for number, values in enumerate(self.points) if all(values[key] == at for key, at in fixed.items())]


def read_sweep(folder: Path) -> Sweep:
    """Raises RunFolderError (one line) where the folder is not that of a sweep or is damaged."""
    path = folder / "manifest.json"
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("kind") != "sweep":
            raise RunFolderError(f"{folder}: not the folder of a sweep")
        manifest = Manifest(content, path)
        frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    except (OSError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{folder}: cannot be read as a sweep: {str(error).splitlines()[0]}") from error
    for name in manifest["metrics"]:
        metric(name)
    return Sweep(manifest, frames["sweep"], frames["differences"], frames["drives"], folder)
