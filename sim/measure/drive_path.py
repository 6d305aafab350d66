"""A vehicle's drive as step functions of time: its address, and whether its link carries packets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True)
class Event:
    """A row of disruptions. Times in s; `before` and `after` are addresses for a reassignment, else cells."""

    kind: str
    start_s: float
    end_s: float
    before: str = ""
    after: str = ""


class DrivePath:
    """Address and link of one vehicle. A row of the timeline holds to the next one, the last one to the end of the run."""

    def __init__(self, timeline: pl.DataFrame) -> None:
        """`timeline`: the rows of one vehicle in one drive, by start_s, at least one."""
        if timeline.height == 0:
            raise ValueError("a drive has at least one row of timeline")
        address = timeline["address"].fill_null("").to_numpy()
        usable = ((timeline["link"] != "lost") & (timeline["address"].fill_null("") != "")).to_numpy()
        changes = np.ones(len(address), dtype=bool)
        changes[1:] = (address[1:] != address[:-1]) | (usable[1:] != usable[:-1])
        self.start_s = timeline["start_s"].to_numpy()[changes]
        self.address: list[str] = [str(text) for text in address[changes]]
        self.usable: list[bool] = [bool(state) for state in usable[changes]]

    def _row(self, time_s: float) -> int:
        return max(int(np.searchsorted(self.start_s, time_s, side="right")) - 1, 0)

    def address_at(self, time_s: float) -> str:
        """Address at this instant, "" where there is none."""
        return self.address[self._row(time_s)]

    def usable_from(self, time_s: float) -> float:
        """First instant from `time_s` on with an address and a link that does not lose packets; inf: never again."""
        row = self._row(time_s)
        if self.usable[row]:
            return time_s
        for later in range(row + 1, len(self.usable)):
            if self.usable[later]:
                return float(self.start_s[later])
        return math.inf

    def changes(self, after_s: float) -> list[float]:
        """Instants after `after_s` at which the address or the link changes."""
        return [float(start) for start in self.start_s[self._row(after_s) + 1 :]]

    def unusable_spans(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """Spans within [start_s, end_s) in which no packet gets through."""
        spans = []
        for row in range(self._row(start_s), len(self.usable)):
            begin = float(self.start_s[row])
            if begin >= end_s:
                break
            end = float(self.start_s[row + 1]) if row + 1 < len(self.usable) else math.inf
            if not self.usable[row]:
                spans.append((max(begin, start_s), min(end, end_s)))
        return spans
