"""From a scenario file and the options of the command line to a Scenario, or to everything that is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from sim.drive.config import DriveConfig
from sim.scenario.checks import (
    WAYS,
    drive_length_s,
    drive_problems,
    fault_problems,
    fleet_problems,
    load_problems,
    name_problems,
    server_problems,
    strategy_problems,
    warnings_of,
    ways_problems,
    workload_problems,
)
from sim.scenario.choices import build_objectives, build_strategies, label_of
from sim.scenario.document import Document, Place, Problem, ScenarioErrors
from sim.scenario.models import build
from sim.scenario.mosquitto_conf import read_conf, with_conf
from sim.scenario.overrides import Selection, apply_options
from sim.scenario.scenario import Scenario
from sim.scenario.shape import DRIVE_KEYS, ScenarioFile
from sim.scenario.sweep_block import read_block
from sim.scenario.yaml_text import MAX_BYTES, read_yaml


def load(
    path: str | FilePath,
    *,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> Scenario:
    """Return the scenario in a file, changed by the options.

    `sets`: 'key=value' each. `varies`: 'strategy.key=a,b,c' each, one variant of the strategy for each value.
    `strategies`: names of those to keep; one of the catalog that the file does not list is added.
    Raises ScenarioErrors with a line for each mistake; no other exception, whatever the file holds.
    """
    scenario, _warnings = load_with_warnings(
        path, sets=sets, varies=varies, strategies=strategies, replications=replications, seed=seed
    )
    return scenario


def load_with_warnings(
    path: str | FilePath,
    *,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> tuple[Scenario, list[str]]:
    """As `load`, with a line for each thing that can be run but is hardly meant."""
    document = read_yaml(read_text(path), str(path))
    selection, problems = apply_options(document, sets, varies, strategies, replications, seed)
    folder = FilePath(path).parent
    scenario, warnings, found = build_scenario(document, selection, folder)
    problems += found
    if scenario is None or problems:
        raise ScenarioErrors(document.lines(problems))
    return scenario, document.lines([*_objectives_left_out(document, selection, scenario), *warnings])


def build_scenario(
    document: Document, selection: Selection, folder: FilePath
) -> tuple[Scenario | None, list[Problem], list[Problem]]:
    """Return the scenario in a document (None where there are problems), the warnings, and the problems."""
    scenario, numbers, found = _build(document, selection, folder)
    warnings: list[Problem] = []
    if scenario is not None and scenario.server.broker.config is not None:
        store_given = "store" in (document.value.get("server") or {})
        scenario, warnings, wrong = _with_conf(scenario, store_given)
        found += wrong
    refused = {problem.path for problem in document.problems}
    problems = [*document.problems, *(problem for problem in found if problem.path not in refused or problem.place is not None)]
    if scenario is None or problems:
        return None, [], problems
    return scenario, [*warnings_of(scenario, numbers), *warnings], []


def _with_conf(scenario: Scenario, store_given: bool) -> tuple[Scenario, list[Problem], list[Problem]]:
    """The scenario with what its broker's configuration file says; what has no effect of it, and what is wrong with it."""
    broker, at = scenario.server.broker, ("server", "broker", "config")
    assert broker.config is not None
    if broker.preset != "mosquitto":
        text = f"is a mosquitto.conf, for preset mosquitto and not {broker.preset}"
        return scenario, [], [Problem(at, text, at_key=True)]
    path = scenario.folder / broker.config
    conf = read_conf(path)
    if isinstance(conf, str):
        return scenario, [], [Problem(at, f"{broker.config} {conf}")]

    def there(number: int, name: str, text: str) -> Problem:
        return Problem(at, text, place=Place(option=f"{path}:{number}: {name}", path=at))

    ignored = [there(number, name, "is not modelled and has no effect here") for number, name in conf.ignored]
    server = with_conf(scenario.server, conf, store_given)
    return dataclasses.replace(scenario, server=server), ignored, [there(*error) for error in conf.errors]


def _objectives_left_out(document: Document, selection: Selection, scenario: Scenario) -> list[Problem]:
    """Say which objectives --strategy leaves unjudged."""
    raw = document.value.get("objectives")
    if all(selection.kept) or not isinstance(raw, list):
        return []
    kept = {choice.name for choice in scenario.strategies} | {
        origin for origin, keep in zip(selection.origins, selection.kept, strict=True) if keep
    }
    gone = [str(one["strategy"]) for one in raw if one["strategy"] not in kept]
    if not gone:
        return []
    what = "the objective" if len(gone) == 1 else f"{len(gone)} objectives"
    return [Problem((), f"leaves out {what} of {', '.join(dict.fromkeys(gone))}", place=Place(option="--strategy"))]


def read_text(path: str | FilePath) -> str:
    """Return the text of a UTF-8 file. Raises ScenarioErrors with one line."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ScenarioErrors([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    if len(data) > MAX_BYTES:
        raise ScenarioErrors([f"{path}: is larger than {MAX_BYTES // 2**20} MiB, no scenario file is"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        text = f"byte 0x{data[error.start]:02X} is not UTF-8, save the file as UTF-8"
        raise ScenarioErrors([f"{path}:{line}:{column}: {text}"]) from None


def _build(
    document: Document, selection: Selection, folder: FilePath
) -> tuple[Scenario | None, dict[str, list[int]], list[Problem]]:
    """Return the scenario, the numbers in the file of its strategies and objectives, and the problems."""
    raw: dict[str, Any] = document.value
    top, problems = build(ScenarioFile, raw, ())
    problems += name_problems(raw.get("name"))
    problems += ways_problems(raw)
    problems += read_block(document, raw.get("sweep")).problems
    choices, wrong = build_strategies(raw.get("strategies"), folder)
    problems += wrong + strategy_problems(choices)
    labels: dict[str, list[str]] = {}
    for origin, item in zip(selection.origins, raw["strategies"] if choices else [], strict=False):
        name = label_of(item) or origin
        labels.setdefault(origin, []).append(name)
        labels.setdefault(name, [name])
    objectives, wrong = build_objectives(raw.get("objectives"), labels)
    problems += wrong
    # a problem of the file as a whole (no path) is that no drive is given
    wrong_keys = {problem.path[0] if problem.path else None for problem in [*document.problems, *problems]}
    problems += _section_problems(raw, wrong_keys, folder)
    if top is not None and top.fleet is not None and not problems:
        drive = DriveConfig(**{key: getattr(top, key) for key in DRIVE_KEYS})
        listed = [choice.name for at, choice in enumerate(choices) if selection.kept[at] and choice is not None]
        problems += fleet_problems(top.fleet, top.server, drive, listed)
    if top is None or problems:
        return None, {}, problems
    kept = [(at, choice) for at, choice in enumerate(choices) if selection.kept[at] and choice is not None]
    names = {choice.name for _at, choice in kept}
    judged = [(at, objective) for at, objective in objectives if objective.strategy in names]
    scenario = Scenario(
        name=top.name,
        description=top.description,
        drive=DriveConfig(**{key: getattr(top, key) for key in DRIVE_KEYS}),
        server=top.server,
        faults=top.faults,
        workload=top.workload,
        fleet=top.fleet,
        strategies=tuple(choice for _at, choice in kept),
        replications=top.replications,
        drain_s=top.drain_s,
        seed=top.seed,
        phases=top.phases,
        validation=top.validation,
        objectives=tuple(objective for _at, objective in judged),
        source=document.file,
        folder=folder,
    )
    return scenario, {"strategies": [at for at, _choice in kept], "objectives": [at for at, _objective in judged]}, []


def _section_problems(raw: dict[str, Any], wrong: set[str | int | None], folder: FilePath) -> list[Problem]:
    """Checks across keys, of the sections that are right in themselves: one mistake does not hide another."""
    sound = {key: value for key, value in raw.items() if key not in wrong}
    top, _problems = build(ScenarioFile, {**sound, "name": "any"}, ())
    if top is None:
        return []
    problems: list[Problem] = []
    if "server" not in wrong:
        problems += server_problems(top.server)
    if "workload" not in wrong:
        problems += workload_problems(top.workload)
    if any(sound.get(way) is not None for way in WAYS):
        drive = DriveConfig(**{key: getattr(top, key) for key in DRIVE_KEYS})
        # a section that is wrong has its defaults here, so that what is said about it means nothing
        found = [problem for problem in drive_problems(drive, folder) if problem.path[0] not in wrong]
        problems += found
        if not found and "workload" not in wrong:
            problems += load_problems(top.workload, drive_length_s(drive))
        if not found and not wrong & {"faults", "server", *DRIVE_KEYS}:
            problems += fault_problems(top.faults, top.server, drive, folder)
    return problems
