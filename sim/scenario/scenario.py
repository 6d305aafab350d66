"""Scenario: the file the user wrote, as plain frozen dataclasses in SI units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sim.drive.config import DriveConfig
from sim.fleet import Fleet
from sim.measure.tolerance import Tolerance
from sim.protocols.server import Server
from sim.server.config import Fault
from sim.settings import setting
from sim.strategies.workload import Workload


@dataclass(frozen=True, slots=True)
class StrategyChoice:
    """A strategy variant: `use` names one of the catalog or `file.py:Class`, `name` is its label, `config` its settings."""

    use: str
    name: str
    config: Any


@dataclass(frozen=True, slots=True)
class Objective:
    """A bound on a metric of one strategy, judged by the interval over the replications."""

    strategy: str
    metric: str  # e.g. ota.lost, ota.delivered_within_60s, reachability, recovery_s.p95
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything a run needs. `source` is the file it was read from ("" when made in Python)."""

    name: str = setting(doc="short name, also of the results folder")
    description: str = setting("", "what the scenario is about, one or two sentences")
    drive: DriveConfig = setting(factory=DriveConfig, doc="the drive")
    server: Server = setting(factory=Server, doc="what stands at the fixed address")
    faults: tuple[Fault, ...] = setting((), "what happens to the server side and the network, by time or at random")
    workload: Workload = setting(factory=Workload, doc="what is sent")
    fleet: Fleet | None = setting(None, "many vehicles on one clock that share the broker; null: one vehicle")
    strategies: tuple[StrategyChoice, ...] = setting((), "strategy variants, compared on the same drives")
    replications: int = setting(1, "number of drives", at_least=1, at_most=1_000_000)
    drain_s: float = setting(300.0, "the run goes on so long after the drive, with its last link", "design 5", at_least=0.0)
    seed: int = setting(1, "seed of all draws", at_least=0)
    phases: Literal["drawn", "fixed"] = setting(
        "drawn", "drawn: periodic activities start at a random phase; fixed: at 0", "design 5"
    )
    objectives: tuple[Objective, ...] = setting((), "bounds that a run is judged by")
    validation: Tolerance = setting(factory=Tolerance, doc="how far a live run may be from the model, for `validate`")
    source: str = ""
    folder: Path = Path()
