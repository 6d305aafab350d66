"""Strategies and objectives of the file: which settings are allowed depends on what is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sim.measure.metrics_catalog import METRICS
from sim.scenario.document import Path, Problem, nearest, unknown
from sim.scenario.models import build, keys_of
from sim.scenario.quantities import parse_quantity
from sim.scenario.scenario import Objective, StrategyChoice
from sim.scenario.shape import ScenarioFile
from sim.scenario.user_strategy import UserStrategyError, is_user_strategy, user_class
from sim.strategies.catalog import STRATEGIES

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class _ObjectiveText:
    """An objective as it is written; the bounds are read apart, since their unit is the metric's."""

    strategy: str
    metric: str
    at_most: Any = None
    at_least: Any = None


def label_of(raw: Any) -> str | None:
    """Return the label of a strategy as written, None where it has none."""
    if isinstance(raw, dict):
        raw = raw.get("name", raw.get("use"))
    return raw if isinstance(raw, str) else None


def use_of(raw: Any) -> str | None:
    """Return which strategy is used, None where none is named."""
    use = raw.get("use") if isinstance(raw, dict) else raw
    return use if isinstance(use, str) else None


def settings_class(use: str, folder: FilePath) -> type[Any]:
    """Return the settings dataclass of a strategy. Raises UserStrategyError, whose message names what is allowed."""
    if use in STRATEGIES:
        return STRATEGIES[use][0]
    if is_user_strategy(use):
        config: type[Any] = user_class(use, folder).Config
        return config
    raise UserStrategyError(unknown("strategy", use, STRATEGIES))


def build_strategies(raw: Any, folder: FilePath) -> tuple[list[StrategyChoice | None], list[Problem]]:
    """Return a choice for each item (None where it is wrong) and the problems."""
    at: Path = ("strategies",)
    if not isinstance(raw, list) or not raw:
        return [], [Problem(at, f"expected a list of strategies, such as [{', '.join(list(STRATEGIES)[:3])}]")]
    choices: list[StrategyChoice | None] = []
    problems: list[Problem] = []
    labels: dict[str, int] = {}
    for index, item in enumerate(raw):
        choice, wrong = _build_strategy(item, (*at, index), folder)
        label = label_of(item)
        if label is not None:
            named = isinstance(item, dict) and "name" in item
            label_path: Path = (*at, index, "name") if named else (*at, index)
            if label in labels:
                hint = "expected another" if named else "give this one a name of its own: {use: " + label + ", name: ...}"
                wrong.append(Problem(label_path, f"the name {label!r} is taken by strategies.{labels[label]}, {hint}"))
            wrong += [Problem(label_path, text) for text in _wrong_label(label)]
            labels.setdefault(label, index)
        choices.append(None if wrong else choice)
        problems += wrong
    return choices, problems


def _build_strategy(raw: Any, at: Path, folder: FilePath) -> tuple[StrategyChoice | None, list[Problem]]:
    item = {"use": raw} if isinstance(raw, str) else raw
    if not isinstance(item, dict):
        return None, [Problem(at, "expected the name of a strategy, or a mapping with `use`")]
    use = item.get("use")
    if not isinstance(use, str):
        what = "required, " if "use" not in item else ""
        return None, [Problem((*at, "use"), f"{what}expected the name of a strategy or file.py:Class")]
    wrong = [] if isinstance(item.get("name", ""), str) else [Problem((*at, "name"), "expected text")]
    try:
        cls = settings_class(use, folder)
        config, found = build(cls, {key: value for key, value in item.items() if key not in ("use", "name")}, at)
    except (UserStrategyError, TypeError) as error:
        return None, [*wrong, Problem((*at, "use") if isinstance(raw, dict) else at, str(error))]
    found = [_with_own_keys(problem, item) for problem in found]
    return StrategyChoice(use, label_of(item) or use, config), wrong + found


def _with_own_keys(problem: Problem, item: Mapping[str, Any]) -> Problem:
    """Let `nane` find `name`: the keys `use` and `name` are not settings of the strategy."""
    key = str(problem.path[-1])
    near = nearest(key, ("use", "name")) if problem.at_key and "did you mean" not in problem.text and key in item else None
    return Problem(problem.path, f"unknown key, did you mean {near}", at_key=True) if near else problem


def _wrong_label(label: str) -> list[str]:
    if not label.strip() or label != label.strip() or not label.isprintable() or len(label) > _LONGEST_NAME:
        return [f"expected a name of 1 to {_LONGEST_NAME} printable characters, without space at its ends"]
    if label in keys_of(ScenarioFile):
        return [f"{label!r} is a key of the scenario, a strategy needs another name (--set could not tell them apart)"]
    return []


def build_objectives(raw: Any, labels: Mapping[str, Sequence[str]]) -> tuple[list[tuple[int, Objective]], list[Problem]]:
    """Return the objectives, each with its number in the file, and the problems.

    `labels`: name of a strategy in the file -> its variants, each of which the objective is for.
    """
    if raw is None or raw == ():
        return [], []
    if not isinstance(raw, list):
        return [], [Problem(("objectives",), "expected a list such as [{strategy: hybrid, metric: ota.lost, at_most: 0}]")]
    objectives: list[tuple[int, Objective]] = []
    problems: list[Problem] = []
    for index, item in enumerate(raw):
        at: Path = ("objectives", index)
        text, wrong = build(_ObjectiveText, item, at)
        if text is not None:
            bounds, found = _bounds(text, item, at)
            wrong += found
            if text.strategy not in labels:
                wrong.append(Problem((*at, "strategy"), unknown("strategy", text.strategy, labels)))
            if text.metric not in METRICS:
                near = nearest(text.metric, METRICS)
                hint = f"did you mean {near}" if near else "`python -m sim list metrics` shows them"
                wrong.append(Problem((*at, "metric"), f"unknown metric, {hint}"))
            if not wrong:
                objectives += [(index, Objective(label, text.metric, **bounds)) for label in labels[text.strategy]]
        problems += wrong
    return objectives, problems


def _bounds(text: _ObjectiveText, item: Mapping[str, Any], at: Path) -> tuple[dict[str, float], list[Problem]]:
    given = [name for name in ("at_most", "at_least") if item.get(name) is not None]
    if len(given) != 1:
        return {}, [Problem(at, f"expected exactly one of at_most and at_least, not {'both' if given else 'none'}")]
    try:
        return {given[0]: _bound(item[given[0]], text.metric)}, []
    except ValueError as error:
        return {}, [Problem((*at, given[0]), str(error))]


def _bound(value: Any, name: str) -> float:
    """Return a bound in the metric's unit; one on a time or a size may be written with its unit or without."""
    unit = METRICS[name].unit if name in METRICS else "count"
    if unit == "share":
        return parse_quantity(value, "share")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > 1e15:
            raise ValueError("the number is out of range")
        return float(value)
    if unit == "s":
        return parse_quantity(value, "duration")
    if unit in ("bytes", "MB"):
        return parse_quantity(value, "size") / (1e6 if unit == "MB" else 1.0)
    raise ValueError(f"expected a number, {name} is a count")
