"""What a run was made of: resolved settings, inputs with their hashes, versions; and the id that follows from them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from sim import compiled
from sim.fleet import Fleet
from sim.protocols.broker_presets import PRESETS
from sim.scenario.mosquitto_conf import MosquittoConf, read_conf
from sim.scenario.scenario import Scenario
from sim.scenario.strategy_files import strategy_files
from sim.strategies.catalog import STRATEGIES

_PACKAGES = ("simpy", "numpy", "polars", "pydantic", "matplotlib")


def plain(value: Any) -> Any:
    """Settings as JSON types; infinity as the text `inf`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Path):
        return value.name
    return value


def input_files(scenario: Scenario) -> list[Path]:
    """Every file the run reads: the scenario, drive logs, user strategies and what these import beside them."""
    files = []
    if scenario.source:
        files.append(Path(scenario.source))
    if scenario.drive.recorded is not None:
        files.append(scenario.folder / scenario.drive.recorded.file)
    if scenario.server.broker.config is not None:
        files.append(scenario.folder / scenario.server.broker.config)
    for choice in scenario.strategies:
        if ".py:" in choice.use:
            files += strategy_files(scenario.folder / choice.use.rpartition(":")[0]).values()
    return list(dict.fromkeys(files))


def _resolved(scenario: Scenario) -> dict[str, Any]:
    content: dict[str, Any] = plain(scenario)
    for key in ("source", "folder"):
        content.pop(key)
    return content


def code_hash() -> str:
    """Hash of the package's own sources that a result can depend on."""
    root = Path(__file__).resolve().parent.parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).parts[0]
        if room in ("report", "live") or room.startswith("cli"):
            continue
        total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def run_id(scenario: Scenario) -> str:
    """Ten characters that change with anything the result depends on: settings, inputs, code, numpy and simpy."""
    total = hashlib.sha256(json.dumps(_resolved(scenario), sort_keys=True).encode())
    for path in input_files(scenario)[1 if scenario.source else 0 :]:
        total.update(path.read_bytes())
    total.update(code_hash().encode())
    for package in ("simpy", "numpy"):
        total.update(importlib.metadata.version(package).encode())
    return total.hexdigest()[:10]


def file_hashes(scenario: Scenario) -> list[dict[str, str]]:
    """Name and SHA-256 of every file the run reads."""
    return [{"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in input_files(scenario)]


def versions() -> dict[str, str]:
    """Python and the packages behind the numbers."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PACKAGES}}


def fleet_in_manifest(fleet: Fleet | None) -> dict[str, Any] | None:
    """The settings of a fleet, with how many vehicles are simulated and how many each of them stands for."""
    return None if fleet is None else {**plain(fleet), "simulated": fleet.simulated_vehicles, "scale": fleet.scale}


def manifest(
    scenario: Scenario, *, measured: list[str], notes: list[str], command: str, keep_inputs: bool, folder: Path
) -> dict[str, Any]:
    """The content of manifest.json; copies the inputs to <folder>/inputs where they are to be kept."""
    inputs = file_hashes(scenario)
    if keep_inputs:
        for path in input_files(scenario):
            inside = path.is_relative_to(scenario.folder) and ".." not in path.relative_to(scenario.folder).parts
            kept = folder / "inputs" / (path.relative_to(scenario.folder) if inside else path.name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
    preset = PRESETS[scenario.server.broker.preset][0]
    broker = plain(scenario.server.broker)
    overridden = [key for key, value in broker.items() if key not in ("preset", "config") and value is not None]
    conf = read_conf(scenario.folder / broker["config"]) if broker["config"] else None
    return {
        "run_id": run_id(scenario),
        "scenario": scenario.name,
        "description": scenario.description,
        "world": "model",
        "seed": scenario.seed,
        "replications": scenario.replications,
        "drain_s": scenario.drain_s,
        "phases": scenario.phases,
        "access": scenario.drive.network.access,
        "workload": plain(scenario.workload),
        "settings": _resolved(scenario),
        "fleet": fleet_in_manifest(scenario.fleet),
        "strategies": [
            {
                "name": choice.name,
                "use": choice.use,
                "baseline": choice.use in STRATEGIES and STRATEGIES[choice.use][2],
                "config": plain(choice.config),
            }
            for choice in scenario.strategies
        ],
        "objectives": plain(scenario.objectives),
        "presets": [
            {
                "preset": scenario.server.broker.preset,
                "version": preset.version,
                "status": preset.status,
                "overridden": overridden,
                "behaviour": plain(scenario.server.broker.behaviour()),
            }
        ],
        "broker_config": {
            "file": broker["config"],
            "ignored": sorted({name for _line, name in conf.ignored}) if isinstance(conf, MosquittoConf) else [],
        },
        "measured": measured,
        "drive_notes": notes,
        "inputs": inputs,
        "command": command,
        "versions": versions(),
        "environment": {"platform": sys.platform, "machine": platform.machine(), "compiled": compiled.in_use()},
        "digest": "",
    }
