"""How much faster a sweep is with several processes: `bench --jobs N`.

The pieces of work are those of a sweep (sim/study/execute.py) on city_a_to_b, every strategy on one drive: the drive, the
simulations, their tables and numbers, sent back and put on the disk. The processes are warm: each one's first piece, with its
imports, does not count. One process and N take turns.

Each process keeps to a core of its own, where the system can do that. Left alone, the threads of a lone one hand their work to
and fro over a core that sleeps; on a virtual machine that took 1.6 times the CPU time, and two processes came out three times
as fast as one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.scenario.scenario import Scenario
from sim.study.execute import run_packed
from sim.study.survivors import each
from sim.study.unit import UnitKey
from sim.study.unit_store import UnitStore

PIECES = 12  # of each process, beside the first
ROUNDS = 3
#: Load average, beside what is measured, above which another program takes a part of the cores that shows in the ratio.
QUIET_LOAD = 0.3
_SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "city_a_to_b.yaml"


def timed(packed: bytes) -> tuple[int, float, dict[str, bytes]]:
    """In a worker: who did it, when it was done, and the units. The clock is the same in all processes of a machine."""
    units = run_packed(packed)
    return os.getpid(), time.monotonic(), units


def on_own_core(folder: str) -> None:
    """In a worker: keep to the first core that no other one has taken in `folder`."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for core in sorted(os.sched_getaffinity(0)):
        with contextlib.suppress(FileExistsError):
            (Path(folder) / f"core-{core}").touch(exist_ok=False)
            os.sched_setaffinity(0, {core})
            return


def units_per_s(scenario: Scenario, jobs: int, pieces: int, store: UnitStore) -> float:
    """Units per second of `jobs` warm processes."""
    key = UnitKey(scenario)
    names = tuple(choice.name for choice in scenario.strategies)
    orders: list[tuple[Any, ...]] = []
    for replication in range(jobs * (pieces + 1)):
        ids = tuple(key.of(choice, replication) for choice in scenario.strategies)
        orders.append((pickle.dumps([(scenario, replication, names, ids)]),))
    done: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="cores-") as cores:
        for _number, (process, at, units) in each(timed, orders, jobs, on_own_core, cores):
            store.put(units)
            done.setdefault(process, []).append(at)
    return sum(rate(instants) for instants in done.values()) * len(names)


def rate(instants: Sequence[float]) -> float:
    """Pieces per second of one process, the first one not counted."""
    return (len(instants) - 1) / (instants[-1] - instants[0]) if len(instants) > 1 else 0.0


def scaling(jobs: int, *, pieces: int = PIECES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Units per second with one process and with `jobs`, and their ratio: medians of `rounds` turns.

    `caveat`: where something else wants the cores.
    """
    from sim import compiled
    from sim.scenario.load import load

    scenario = load(_SCENARIO)
    load_before = os.getloadavg()[0]
    alone: list[float] = []
    together: list[float] = []
    for _ in range(rounds):
        for n, rates in ((1, alone), (jobs, together)):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:  # what a store has already costs nothing to put there
                rates.append(units_per_s(scenario, n, pieces, UnitStore(Path(folder))))
    found: dict[str, Any] = {
        "jobs": jobs,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "compiled": compiled.in_use(),
        "units_per_s_one": statistics.median(alone),
        "units_per_s_jobs": statistics.median(together),
        "ratio": statistics.median(several / one for one, several in zip(alone, together, strict=True)),
        "load_average_before": load_before,
    }
    if load_before > QUIET_LOAD:
        found["caveat"] = f"the machine is busy (load average {load_before:.1f}): the ratio says little"
    return found
