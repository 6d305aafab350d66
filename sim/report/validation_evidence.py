"""What a validation's folder holds, read once for its report: records of both sides, rows by their names, drive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import polars as pl

from sim.measure.agreement import Row, first_parting
from sim.measure.drive_path import DrivePath, Event
from sim.measure.recovery import Episode, starts_episode
from sim.measure.run_episodes import run_episodes
from sim.measure.validation import Comparison, Validation
from sim.record.read import Run
from sim.report.palette import Style, styles

Key = tuple[str, str, str]  # strategy, where, what


class ValidationEvidence:
    """A validation and what its report asks of it more than once."""

    def __init__(self, found: Validation) -> None:
        self.found = found
        self.model = found.model
        self.manifest = found.comparisons[-1].run.manifest
        #: names of the lanes and columns beside the model's
        self.sides: tuple[str, ...] = self._sides()

    def _sides(self) -> tuple[str, ...]:
        n = len(self.found.comparisons)
        if self.found.against_log:
            return ("log",)
        return ("live",) if n == 1 else tuple(f"live {number + 1}" for number in range(n))

    @cached_property
    def strategies(self) -> list[str]:
        return [str(entry["name"]) for entry in self.model.manifest["strategies"]]

    @cached_property
    def styles(self) -> dict[str, Style]:
        return styles(self.strategies)

    @cached_property
    def rows(self) -> list[Row]:
        """Of each quantity the row of the live run that is furthest from the model."""
        return self.found.rows

    @cached_property
    def by_key(self) -> list[dict[Key, Row]]:
        """For each live run its rows by (strategy, where, what)."""
        return [{(row.strategy, row.where, row.what): row for row in one.rows} for one in self.found.comparisons]

    def of(self, strategy: str) -> list[Row]:
        return [row for row in self.rows if row.strategy == strategy]

    @cached_property
    def timings(self) -> list[Row]:
        """Rows that compare two instants which both sides have."""
        return [row for row in self.rows if row.allowed_s is not None and row.difference is not None and row.comparable]

    @cached_property
    def largest(self) -> Row | None:
        """The timing with the largest difference."""
        return max(self.timings, key=lambda row: abs(row.difference or 0.0), default=None)

    @cached_property
    def parted(self) -> list[Row]:
        """What does not agree, in the order of time."""
        return sorted((row for row in self.rows if not row.agrees), key=lambda row: row.at_s)

    @cached_property
    def first_parting(self) -> Row | None:
        return first_parting(self.rows)

    def member(self, strategy: str) -> int:
        """The replication of the model that is drawn for this strategy: of an ensemble the one nearest to the live runs."""
        return self.found.nearest.get(strategy, 0)

    @cached_property
    def members(self) -> int:
        return int(self.model.manifest["replications"])

    # The drive is the same on both sides: the model's records of it are used for both.

    @cached_property
    def timeline(self) -> pl.DataFrame:
        return self.model.timeline.filter(pl.col("replication") == 0).sort("start_s")

    @cached_property
    def disruptions(self) -> list[dict[str, Any]]:
        """The disruptions that a strategy has to recover from, in the order of time, as rows of the table."""
        rows = self.model.disruptions.filter((pl.col("replication") == 0) & (pl.col("vehicle") == 0)).sort("start_s").to_dicts()
        return [row for row in rows if starts_episode(Event(row["kind"], row["start_s"], row["end_s"]))]

    @cached_property
    def end_s(self) -> float:
        """End of the drive."""
        return float(self.model.vehicles["end_s"].max() or 0.0)  # type: ignore[arg-type]

    def outages(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """Spans in which no packet gets through."""
        return DrivePath(self.timeline).unusable_spans(start_s, end_s) if self.timeline.height else []

    @cached_property
    def model_episodes(self) -> Mapping[str, Sequence[Episode]]:
        return run_episodes(self.model)

    @cached_property
    def live_episodes(self) -> list[Mapping[str, Sequence[Episode]]]:
        """For each live run its recovery episodes; none of a field log."""
        return [] if self.found.against_log else [run_episodes(one.run) for one in self.found.comparisons]

    @property
    def lives(self) -> list[tuple[str, Comparison]]:
        return list(zip(self.sides, self.found.comparisons, strict=True))


def drive_of(run: Run, replication: int, table: str, strategy: str) -> pl.DataFrame:
    """Rows of one strategy in one drive."""
    return run.table(table).filter((pl.col("replication") == replication) & (pl.col("strategy") == strategy))


def instants(row: Row) -> list[float]:
    """The instants of a timing that are numbers: of the model, its interval's end, live."""
    return [value for value in (row.model, row.model_to, row.live) if isinstance(value, float) and math.isfinite(value)]
