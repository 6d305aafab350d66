"""Two sides of a comparison, BASE and HEAD, paired drive by drive; or one line that says why they cannot be.

A side is the folder of a run, or a folder of several runs of one scenario (live runs, which have one drive each): their drives
then count one after another, by name. Drives are paired by number and have to be the same: the same seed, the same timeline,
to the last bit. Strategies are paired by name, or as `--pair` says. Nothing else has to be equal: the two sides may differ in
a strategy's file, a client's build, the broker's configuration, or the version of the lab.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from sim.record.read import RunFolderError
from sim.report.evidence import Evidence, read_evidence


class NotPaired(ValueError):
    """The sides cannot be paired; one line."""


@dataclass(frozen=True)
class Side:
    """One side: its runs in order; drive k is that of the k-th row when their drives stand one after another."""

    name: str
    folder: Path
    runs: Sequence[Evidence]

    @property
    def manifest(self) -> Mapping[str, object]:
        return self.runs[0].manifest

    @property
    def strategies(self) -> list[str]:
        """Those that every run has."""
        return [name for name in self.runs[0].strategies if all(name in run.strategies for run in self.runs)]

    @cached_property
    def drives(self) -> int:
        return sum(run.drives for run in self.runs)

    @cached_property
    def horizon_s(self) -> float:
        return max(run.horizon_s for run in self.runs)

    def vector(self, strategy: str, metric: str, horizon_s: float) -> list[float | None]:
        """The metric drive by drive; what lies beyond the horizon counts as the horizon."""
        values = [value for run in self.runs for value in run.vectors[strategy][metric]]
        return [horizon_s if value is not None and math.isinf(value) else value for value in values]

    def timeline(self, drive: int) -> pl.DataFrame:
        for run in self.runs:
            if drive < run.drives:
                return run.run.timeline.filter(pl.col("replication") == drive).drop("replication")
            drive -= run.drives
        raise IndexError(drive)


@dataclass(frozen=True, slots=True)
class Paired:
    """What is compared: (label, strategy of BASE, strategy of HEAD), on so many drives; and what is left out, in words."""

    base: Side
    head: Side
    pairs: tuple[tuple[str, str, str], ...]
    drives: int
    left_out: tuple[str, ...]


def read_side(name: str, folder: Path) -> Side:
    """Raises RunFolderError, one line, where the folder holds no run."""
    if (folder / "manifest.json").is_file():
        return Side(name, folder, [read_evidence(folder)])
    inner = sorted(path.parent for path in folder.glob("*/manifest.json")) if folder.is_dir() else []
    if not inner:
        raise RunFolderError(f"{folder}: neither the folder of a run nor one of several runs")
    return Side(name, folder, [read_evidence(path) for path in inner])


def pair(base: Side, head: Side, renamed: Mapping[str, str] | None = None) -> Paired:
    """Pair two sides. `renamed`: strategy of BASE -> strategy of HEAD, for those with different names.

    Raises:
        NotPaired: with what stands in the way.
    """
    for word, key in (("world", "world"), ("seed", "seed"), ("phases", "phases")):
        one, other = base.manifest.get(key), head.manifest.get(key)
        if one != other:
            hint = "; `validate` compares the model with reality" if key == "world" else ""
            raise NotPaired(
                f"BASE and HEAD cannot be paired: {word} is {one} in {base.folder} and {other} in {head.folder}{hint}"
            )
    unlike = _unlike_fleets(base, head)
    if unlike:
        raise NotPaired(f"BASE and HEAD cannot be paired: {unlike}")
    drives = min(base.drives, head.drives)
    left_out = []
    if base.drives != head.drives:
        left_out.append(f"BASE has {base.drives} drives and HEAD {head.drives}: the first {drives} are compared")
    for drive in range(drives):
        why = _parting(base.timeline(drive), head.timeline(drive))
        if why:
            raise NotPaired(f"BASE and HEAD cannot be paired: they are not on the same drives, {why} in drive {drive}")
    pairs = _strategies(base, head, renamed or {})
    for side, at in ((base, 1), (head, 2)):
        missing = [name for name in side.strategies if name not in [one[at] for one in pairs]]
        if missing:
            left_out.append(f"only in {side.name}: {', '.join(missing)}")
    return Paired(base, head, tuple(pairs), drives, tuple(left_out))


#: What decides which vehicles are simulated and how they drive; of what they share the two sides may differ.
_OF_VEHICLES = ("vehicles", "simulated", "start_over_s", "drives", "trip_m", "mix_share")


def _unlike_fleets(base: Side, head: Side) -> str:
    """In what the fleets of two sides differ; "" where they are the same vehicles, or there are no fleets."""
    one, other = base.manifest.get("fleet"), head.manifest.get("fleet")
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return "" if one == other else "one is of a fleet and the other of one vehicle"
    key = next((key for key in _OF_VEHICLES if one.get(key) != other.get(key)), None)
    return (
        ""
        if key is None
        else f"their fleets differ, {key} is {one.get(key)} in {base.folder} and {other.get(key)} in {head.folder}"
    )


def _parting(one: pl.DataFrame, other: pl.DataFrame) -> str:
    """Where two timelines part; "" where they do not."""
    if one.height != other.height:
        return f"the timeline has {one.height} rows and {other.height}"
    if one.equals(other):
        return ""
    column = next(name for name in one.columns if not one[name].equals(other[name]))
    different = (one[column].ne_missing(other[column])).arg_true()
    at_s = one["start_s"][int(different[0])] if len(different) else 0.0
    return f"{column} differs at {at_s:.3f} s"


def _strategies(base: Side, head: Side, renamed: Mapping[str, str]) -> list[tuple[str, str, str]]:
    for name, side, known in [
        *((one, base, base.strategies) for one in renamed),
        *((one, head, head.strategies) for one in renamed.values()),
    ]:
        if name not in known:
            raise NotPaired(f"--pair: {side.name} has no strategy {name}, it has: {', '.join(known)}")
    pairs = [(f"{one} → {other}", one, other) for one, other in renamed.items()]
    taken = set(renamed.values())
    pairs += [
        (name, name, name) for name in base.strategies if name in head.strategies and name not in renamed and name not in taken
    ]
    if not pairs:
        here, there = ", ".join(base.strategies), ", ".join(head.strategies)
        raise NotPaired(
            f"no strategy has the same name in BASE ({here}) and HEAD ({there}); --pair A=B says which belong together"
        )
    return pairs
