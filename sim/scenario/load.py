"""From a scenario file and the options of the command line to a Scenario, or to everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from sim.checking import WRONG
from sim.drive.config import DriveConfig
from sim.scenario.checks import conf_problem, name_problems, problems_of, warnings_of
from sim.scenario.choices import build_objectives, build_strategies, label_of
from sim.scenario.document import Document, Place, Problem, ScenarioErrors
from sim.scenario.models import build
from sim.scenario.mosquitto_conf import read_conf, with_conf
from sim.scenario.overrides import Selection, apply_options
from sim.scenario.scenario import Scenario, StrategyChoice
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
    refused = {problem.path for problem in document.problems}
    problems = [*document.problems, *(problem for problem in found if problem.path not in refused or problem.place is not None)]
    if scenario is None or problems:
        return None, [], problems
    warnings: list[Problem] = []
    if scenario.server.broker.config is not None:
        scenario, warnings = _with_conf(scenario, "store" in (document.value.get("server") or {}))
    return scenario, [*warnings_of(scenario, numbers), *warnings], []


def _with_conf(scenario: Scenario, store_given: bool) -> tuple[Scenario, list[Problem]]:
    """The scenario with what its broker's configuration file says, and what has no effect of it."""
    path = scenario.folder / str(scenario.server.broker.config)
    conf = read_conf(path)
    if isinstance(conf, str):
        raise ScenarioErrors([f"{path}: {conf}"])  # it could be read a moment ago
    ignored = [conf_problem(path, number, name, "is not modelled and has no effect here") for number, name in conf.ignored]
    return dataclasses.replace(scenario, server=with_conf(scenario.server, conf, store_given)), ignored


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
        if _is_named_pipe(path):
            raise ScenarioErrors([f"{path}: is a pipe, which nobody may fill, expected a file"])
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


def _is_named_pipe(path: str | FilePath) -> bool:
    """Whether reading may wait for ever. The pipe of `<(command)` or of stdin is not one: it has no name in any folder."""
    return FilePath(path).is_fifo() and os.path.lexists(os.path.realpath(path))


def _build(
    document: Document, selection: Selection, folder: FilePath
) -> tuple[Scenario | None, dict[str, list[int]], list[Problem]]:
    """Return the scenario, the numbers in the file of its strategies and objectives, and the problems."""
    raw: dict[str, Any] = document.value
    refused = [problem.path for problem in document.problems]
    top, problems = build(ScenarioFile, raw, (), refused)
    problems += name_problems(raw.get("name"))
    problems += read_block(document, raw.get("sweep")).problems
    choices, wrong = ([], []) if top.strategies is WRONG else build_strategies(raw.get("strategies"), folder, refused)
    problems += wrong
    objectives, wrong = build_objectives(raw.get("objectives"), _labels(raw, selection, choices), refused)
    problems += wrong
    told = {problem.path for problem in problems if not problem.at_key}
    across = problems_of(top, list(raw), choices, folder)
    problems += [problem for problem in across if problem.path not in told or problem.place is not None]
    if not problems and not refused and top.fleet is not None and top.fleet.mix_share and not all(selection.kept):
        problems.append(Problem((), "leaves out a strategy of `fleet.mix`", place=Place(option="--strategy")))
    if problems or refused:
        return None, {}, problems
    kept = [(at, choice) for at, choice in enumerate(choices) if selection.kept[at]]
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


def _labels(raw: dict[str, Any], selection: Selection, choices: Sequence[StrategyChoice]) -> dict[str, list[str]] | None:
    """Name of a strategy in the file or of an option -> the names of its variants; None where a name is wrong."""
    if not choices or any(choice.name is WRONG for choice in choices):
        return None
    labels: dict[str, list[str]] = {}
    for origin, item in zip(selection.origins, raw["strategies"], strict=False):
        name = label_of(item) or origin
        labels.setdefault(origin, []).append(name)
        labels.setdefault(name, [name])
    return labels
