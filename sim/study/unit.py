"""A unit: one strategy on one drive, and what is kept of it. The smallest piece of a study that is run and stored.

Its id hashes all that the numbers depend on, and nothing else: the resolved scenario without strategies, replications,
objectives and texts; the settings of the strategy; seed and replication; the bytes of every file it reads; the sources of
the lab; the versions of numpy and SimPy. Not in it: the name of the scenario or of the variant, where the files lie, how
many processes ran, and on which machine.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sim.drive.timeline import LinkTimeline
from sim.measure.delivery import WORKLOAD_KINDS, check_ledger, with_horizon
from sim.measure.fleet import MIX
from sim.measure.run_episodes import run_episodes
from sim.measure.summary import StrategyRecords, fleet_of_drive
from sim.measure.waking import wakings
from sim.record.causes import KINDS
from sim.record.read import Run
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.scenario.strategy_files import strategy_files
from sim.scenario.user_strategy import is_user_strategy
from sim.server.build import NETWORK_FAULTS
from sim.study.fleet import fleet_replication
from sim.study.manifest import code_hash, fleet_in_manifest, plain
from sim.study.run import drive_of, simulate_replication

FORMAT = 1
#: Fields of a scenario that change no number of a unit.
_WITHOUT = ("strategies", "replications", "objectives", "name", "description", "validation", "source", "folder", "seed")
_NEVER_US = -1  # latency of a message that was not delivered


@lru_cache(maxsize=1)
def surroundings() -> str:
    """Hash of what surrounds every unit: the lab's sources, numpy, SimPy. Twelve characters, the name of a folder."""
    total = hashlib.sha256(code_hash().encode())
    for package in ("simpy", "numpy"):
        total.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    total.update(f"format {FORMAT}".encode())
    return total.hexdigest()[:12]


@dataclass(frozen=True)
class UnitKey:
    """What makes the ids of a scenario's units."""

    scenario: Scenario

    @cached_property
    def _shared(self) -> str:
        content: dict[str, Any] = {
            name: plain(getattr(self.scenario, name)) for name in self.scenario.__slots__ if name not in _WITHOUT
        }
        total = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        recorded = self.scenario.drive.recorded
        if recorded is not None:
            total.update((self.scenario.folder / recorded.file).read_bytes())
        return total.hexdigest()

    @cached_property
    def drive(self) -> str:
        """Hash of what the drive depends on: units with the same one and the same replication share a timeline."""
        total = hashlib.sha256(json.dumps(plain(self.scenario.drive), sort_keys=True).encode())
        faults = self.scenario.faults
        if any(fault.kind in NETWORK_FAULTS for fault in faults):  # all of them: their draws go by their place in the list
            total.update(json.dumps(plain(faults), sort_keys=True).encode())
        recorded = self.scenario.drive.recorded
        if recorded is not None:
            total.update((self.scenario.folder / recorded.file).read_bytes())
        total.update(str(self.scenario.seed).encode())
        return total.hexdigest()

    def of(self, choice: StrategyChoice, replication: int) -> str:
        """Id of the unit: 32 characters."""
        return hashlib.sha256(f"{self._of_strategy[choice.name]}/{self.scenario.seed}/{replication}".encode()).hexdigest()[:32]

    @cached_property
    def _of_strategy(self) -> Mapping[str, str]:
        found = {}
        for choice in self.scenario.strategies:
            total = hashlib.sha256(f"{surroundings()}/{self._shared}/{choice.use}\n".encode())
            if self.scenario.fleet is not None and self.scenario.fleet.mix_share:  # they meet at the same nodes
                total.update(json.dumps(plain(self.scenario.strategies), sort_keys=True).encode())
                for other in self.scenario.strategies:
                    total.update(_own_files(other, self.scenario.folder))
            total.update(json.dumps(plain(choice.config), sort_keys=True).encode())
            total.update(_own_files(choice, self.scenario.folder))
            found[choice.name] = total.hexdigest()
        return found


def _own_files(choice: StrategyChoice, folder: Path) -> bytes:
    """Names and contents of the files that make a strategy of the user's own; nothing for one of the lab's."""
    if not is_user_strategy(choice.use):
        return b""
    files = strategy_files(folder / choice.use.rpartition(":")[0])
    return b"\n".join(name.encode() + b"\n" + path.read_bytes() for name, path in sorted(files.items()))


def run_units(
    scenario: Scenario, replication: int, strategies: Sequence[str], timeline: LinkTimeline | None = None
) -> dict[str, bytes]:
    """Run these strategies on one drive; returns strategy -> the unit's content as it is stored.

    Raises:
        sim.model.simulate.ModelError, sim.measure.delivery.LedgerError: a defect of the lab.
    """
    chosen = replace(scenario, strategies=tuple(choice for choice in scenario.strategies if choice.name in strategies))
    if scenario.fleet is not None:
        # those of a mix meet at the same nodes: all of them run
        run_with = scenario if scenario.fleet.mix_share else chosen
        tables = fleet_replication(run_with, replication)
        return {choice.name: _content(scenario, choice, _of(tables, choice.name), replication) for choice in chosen.strategies}
    drive = drive_of(scenario, replication) if timeline is None else timeline
    drive_frames, found, _texts = simulate_replication(chosen, replication, fold=True, trace=False, timeline=drive)
    return {
        choice.name: _content(scenario, choice, {**drive_frames, **found[choice.name]}, replication)
        for choice in chosen.strategies
    }


def _of(tables: Mapping[str, pl.DataFrame], strategy: str) -> dict[str, pl.DataFrame]:
    """The rows of one strategy, and those that are of none or of the mix."""
    mine = pl.col("strategy").is_in([strategy, MIX])
    return {name: table.filter(mine) if "strategy" in table.columns else table for name, table in tables.items()}


def _content(scenario: Scenario, choice: StrategyChoice, tables: Mapping[str, pl.DataFrame], replication: int) -> bytes:
    entry = {"name": choice.name, "use": choice.use}
    fleet = fleet_in_manifest(scenario.fleet)
    settings = {"server": {"nodes": plain(scenario.server.nodes)}}
    said = {"strategies": [entry], "access": scenario.drive.network.access, "fleet": fleet, "settings": settings}
    run = Run(said, tables)
    check_ledger(run.messages)
    messages = with_horizon(run.messages, run.vehicles)
    episodes = run_episodes(run)[choice.name]
    probes = scenario.workload.probes
    records = StrategyRecords(messages, run.connections, run.traffic, run.vehicles, episodes, wakings(run)[choice.name])
    latencies = {kind: _latencies_us(messages.filter(pl.col("kind") == kind)) for kind in WORKLOAD_KINDS}
    ota = scenario.workload.ota
    within_s, image = probes.within_s if probes is not None else 10.0, ota.image_bytes if ota is not None else None
    numbers = records.numbers(KINDS, within_s, image)
    if fleet is not None:
        numbers["fleet"] = fleet_of_drive(run, records, choice.name, replication)
    content = {
        "format": FORMAT,
        "numbers": _safe(numbers),
        "latency_us": {kind: values for kind, values in latencies.items() if values},
        "recovery_us": [_NEVER_US if one.censored else round(one.length_s * 1e6) for one in episodes if not one.cut],
        "horizon_s": float(run.vehicles["horizon_s"].max()),  # type: ignore[arg-type]
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _latencies_us(messages: pl.DataFrame) -> list[int]:
    latency = (messages["delivered_s"] - messages["created_s"]).fill_null(-1.0).to_numpy()
    found: list[int] = np.where(latency < 0.0, _NEVER_US, np.round(latency * 1e6)).astype(np.int64).tolist()
    return found


def _safe(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _safe(inner) for key, inner in content.items()}
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    return content


@dataclass(frozen=True, slots=True)
class Unit:
    """A finished unit as it is read back.

    `numbers` are those of `StrategyRecords.numbers` (inf: beyond the horizon). `latency_s`: kind -> latencies of all created
    messages, inf where one was not delivered; `recovery_s`: lengths of the episodes, inf where one did not end.
    """

    numbers: dict[str, Any]
    latency_s: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    recovery_s: np.ndarray[Any, np.dtype[np.float64]]
    horizon_s: float


def read_unit(content: bytes) -> Unit:
    """Raises ValueError where the bytes are not a unit of this format, as those of a torn file."""
    try:
        found = json.loads(content)
        if found["format"] != FORMAT:
            raise ValueError("another format")
        return Unit(
            _restored(found["numbers"]),
            {kind: _seconds(values) for kind, values in found["latency_us"].items()},
            _seconds(found["recovery_us"]),
            float(found["horizon_s"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a unit: {error!r}") from error


def _seconds(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    us = np.asarray(values, dtype=np.float64)
    return np.where(us == _NEVER_US, np.inf, us / 1e6)


def _restored(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _restored(inner) for key, inner in content.items()}
    return math.inf if content == "inf" else content
