"""How many drives a wanted precision needs: found by running units, which are kept like those of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sim.measure.support import Precision, next_drives
from sim.scenario.scenario import Scenario
from sim.study.execute import Progress, Wanted, execute
from sim.study.point_units import judged_intervals, read_point
from sim.study.unit import UnitKey
from sim.study.unit_store import UnitStore


def drives_for(
    scenario: Scenario,
    precision: Precision,
    *,
    jobs: int = 1,
    out: Path = Path("results"),
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[int, bool]:
    """Return the number of drives, from the scenario's own upwards, and whether the precision is reached with it.

    A run of so many drives is then the same as one that was asked for so many.
    """
    store, key, n = UnitStore(out), UnitKey(scenario), scenario.replications
    while True:
        execute([Wanted(key, range(n))], store, jobs=jobs, progress=progress)
        intervals = judged_intervals(scenario, read_point(key, n, store), precision)
        more = next_drives(intervals, precision, n)
        if more == n:
            return n, all(precision.reached(interval) for interval in intervals)
        if say is not None:
            say(f"precision: {n} drives are not enough, going on to {more}")
        n = more
