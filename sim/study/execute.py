"""Units wanted -> units on disk: what the store has is taken from there, the rest is run, drive by drive."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.drive.timeline import LinkTimeline
from sim.scenario.scenario import Scenario
from sim.scenario.user_strategy import is_user_strategy, user_class
from sim.study.run import drive_of
from sim.study.survivors import Losses, each
from sim.study.unit import UnitKey, run_units
from sim.study.unit_store import UnitStore

Progress = Callable[[int, int], None]
LOCAL = "local"
#: Units in a piece of work. They share a drive; few enough that a lost piece, and the wait for the last one, cost little.
_MOST_IN_A_PIECE = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """A scenario's units: all strategies on the drives `replications`."""

    key: UnitKey
    replications: Sequence[int]


@dataclass(slots=True)
class Work:
    """What was done for a study: units by id. `lost` counts processes that died under way."""

    wanted: int = 0
    from_store: int = 0
    run: int = 0
    losses: Losses = field(default_factory=Losses)


#: (scenario, replication, strategies, ids)
_Order = tuple[Scenario, int, tuple[str, ...], tuple[str, ...]]


def execute(
    wanted: Sequence[Wanted],
    store: UnitStore,
    *,
    jobs: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    work: Work | None = None,
    done: set[str] | None = None,
    executor: str = LOCAL,
) -> Work:
    """Have every unit of `wanted` in the store. `done`: ids that `force` has run already; those run here are added.

    `executor`: LOCAL, "dask" for a cluster on this machine, or the address of a Dask scheduler.

    Each is stored as it finishes: what is interrupted goes on where it stopped.

    Raises:
        sim.study.survivors.WorkLost: a piece of work ended its process again and again.
        sim.study.on_dask.ClusterUnusable: what is wrong with the cluster.
        sim.study.run_folder.ResultsNotWritten: the store cannot be written.
    """
    work = Work() if work is None else work
    done = set() if done is None else done
    orders, n, present = _orders(wanted, store, done if force else None)
    work.wanted += n
    work.from_store += present
    finished = present
    show = progress or (lambda _done, _total: None)
    show(finished, n)
    for units in _results(orders, jobs, work.losses, executor):
        store.put(units)
        done.update(units)
        work.run += len(units)
        finished += len(units)
        show(finished, n)
    return work


def _orders(wanted: Iterable[Wanted], store: UnitStore, forced: set[str] | None) -> tuple[list[list[_Order]], int, int]:
    """Pieces of work, units on the same drive side by side; the number of different units, and of those that are there."""
    seen: dict[str, bool] = {}
    by_drive: dict[tuple[str, int], list[_Order]] = {}
    for one in wanted:
        scenario = one.key.scenario
        for replication in one.replications:
            names, ids = [], []
            for choice in scenario.strategies:
                unit_id = one.key.of(choice, replication)
                if unit_id in seen:
                    continue
                seen[unit_id] = unit_id in forced if forced is not None else store.has(unit_id)
                if not seen[unit_id]:
                    names.append(choice.name)
                    ids.append(unit_id)
            if ids:
                by_drive.setdefault((one.key.drive, replication), []).append((scenario, replication, tuple(names), tuple(ids)))
    pieces = [piece for orders in by_drive.values() for piece in _pieces(orders)]
    return pieces, len(seen), sum(seen.values())


def _pieces(orders: Sequence[_Order]) -> Iterator[list[_Order]]:
    piece: list[_Order] = []
    size = 0
    for order in orders:
        if piece and size + len(order[3]) > _MOST_IN_A_PIECE:
            yield piece
            piece, size = [], 0
        piece.append(order)
        size += len(order[3])
    if piece:
        yield piece


def _results(pieces: Sequence[list[_Order]], jobs: int, losses: Losses, executor: str) -> Iterator[dict[str, bytes]]:
    if executor != LOCAL and pieces:
        from sim.study import on_dask

        scenarios = [order[0] for piece in pieces for order in piece]
        files = on_dask.files_of(scenarios, users_files(scenarios))
        yield from on_dask.results([pickle.dumps(piece) for piece in pieces], files, executor, jobs)
        return
    if jobs <= 1 or len(pieces) <= 1:
        for piece in pieces:
            yield run_piece(piece)
        return
    uses = users_files(order[0] for piece in pieces for order in piece)
    packed = [(pickle.dumps(piece),) for piece in pieces]
    for _number, units in each(run_packed, packed, jobs, load_strategies, uses, losses):
        yield units


def users_files(scenarios: Iterable[Scenario]) -> list[tuple[str, Path]]:
    """The strategies of the user's own: (use, folder of the scenario)."""
    return list(
        dict.fromkeys(
            (choice.use, scenario.folder)
            for scenario in scenarios
            for choice in scenario.strategies
            if is_user_strategy(choice.use)
        )
    )


def load_strategies(uses: list[tuple[str, Path]]) -> None:
    """In a worker: a user's strategy must be known before its settings can be unpickled."""
    for use, folder in uses:
        user_class(use, folder)


def run_packed(packed: bytes) -> dict[str, bytes]:
    """In a worker: id -> content of the units in a piece."""
    return run_piece(pickle.loads(packed))


def run_piece(piece: Sequence[_Order]) -> dict[str, bytes]:
    """Run the units of a piece; its drive is computed once."""
    scenario, replication = piece[0][:2]
    timeline: LinkTimeline | None = drive_of(scenario, replication) if scenario.fleet is None else None
    units: dict[str, bytes] = {}
    for here, number, names, ids in piece:
        found: dict[str, Any] = run_units(here, number, names, timeline)
        units |= {unit_id: found[name] for name, unit_id in zip(names, ids, strict=True)}
    return units
