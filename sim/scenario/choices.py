"""Strategies and objectives of the file: which settings are allowed depends on what is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sim.checking import WRONG, Check, found
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


def build_strategies(raw: Any, folder: FilePath, refused: Sequence[Path] = ()) -> tuple[list[StrategyChoice], list[Problem]]:
    """Return a choice for each item, WRONG in it what is wrong (sim.checking), and the problems. `refused` as in `build`."""
    at: Path = ("strategies",)
    if not isinstance(raw, list) or not raw:
        return [], [Problem(at, f"expected a list of strategies, such as [{', '.join(list(STRATEGIES)[:3])}]")]
    choices: list[StrategyChoice] = []
    problems: list[Problem] = []
    labels: dict[str, int] = {}
    for index, item in enumerate(raw):
        choice, wrong = _build_strategy(item, (*at, index), folder, refused)
        choices.append(choice)
        problems += wrong
        label = label_of(item)
        if label is not None:
            named = isinstance(item, dict) and "name" in item
            label_path: Path = (*at, index, "name") if named else (*at, index)
            if label in labels:
                hint = "expected another" if named else "give this one a name of its own: {use: " + label + ", name: ...}"
                text = f"the name {label!r} is taken by strategies.{labels[label]}, {hint}"
                # an unknown strategy twice is one mistake twice, and no name is taken
                problems += [Problem(label_path, text)] if choice.name is not WRONG else []
            known = choice.name is not WRONG
            problems += [Problem(label_path, text) for text in _wrong_label(label) if named or known]
            labels.setdefault(label, index)
    return choices, problems


def _build_strategy(raw: Any, at: Path, folder: FilePath, refused: Sequence[Path]) -> tuple[StrategyChoice, list[Problem]]:
    item = {"use": raw} if isinstance(raw, str) else raw
    wrong = StrategyChoice(WRONG, WRONG, WRONG)
    if not isinstance(item, dict):
        return wrong, [Problem(at, "expected the name of a strategy, or a mapping with `use`")]
    name = item.get("name", item.get("use"))
    name = name if isinstance(name, str) else WRONG
    problems = [] if isinstance(item.get("name", ""), str) else [Problem((*at, "name"), "expected text")]
    use = item.get("use")
    if not isinstance(use, str):
        if (*at, "<<") in refused and "use" not in item:  # it may be in what would have been merged
            return wrong, problems
        what = "required, " if "use" not in item else ""
        keyed = next((key for key in item if key in STRATEGIES or is_user_strategy(key)), None)
        if keyed is not None and len(item) == 1:  # `- hybrid: {poll: 5 s}`
            text = f"the name of a strategy is no key, expected {{use: {keyed}, ...}} with its settings beside it"
            return wrong, [*problems, Problem((*at, keyed), text, at_key=True)]
        meant = next((key for key in item if "use" not in item and nearest(key, ("use", "name")) == "use"), None)
        if meant is not None:
            return wrong, [*problems, Problem((*at, meant), "unknown key, did you mean use", at_key=True)]
        return wrong, [*problems, Problem((*at, "use"), f"{what}expected the name of a strategy or file.py:Class")]
    try:
        cls = settings_class(use, folder)
        config, found = build(cls, {key: value for key, value in item.items() if key not in ("use", "name")}, at, refused)
    except (UserStrategyError, TypeError) as error:
        name = name if "name" in item else WRONG
        return StrategyChoice(use, name, WRONG), [*problems, Problem((*at, "use") if isinstance(raw, dict) else at, str(error))]
    found = [_with_own_keys(problem, item) for problem in found]
    if "name" not in item and any(problem.at_key and problem.text.endswith(" did you mean name") for problem in found):
        name = WRONG
    return StrategyChoice(use, name, config), problems + found


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


def build_objectives(
    raw: Any, labels: Mapping[str, Sequence[str]] | None, refused: Sequence[Path] = ()
) -> tuple[list[tuple[int, Objective]], list[Problem]]:
    """Return the objectives, each with its number in the file, and the problems.

    `labels`: name of a strategy in the file -> its variants, each of which the objective is for; None where a name is wrong,
    so that nothing can be said about the names in objectives. `refused` as in `build`.
    """
    if raw is None or raw == ():
        return [], []
    if not isinstance(raw, list):
        return [], [Problem(("objectives",), "expected a list such as [{strategy: hybrid, metric: ota.lost, at_most: 0}]")]
    objectives: list[tuple[int, Objective]] = []
    problems: list[Problem] = []
    for index, item in enumerate(raw):
        at: Path = ("objectives", index)
        text, wrong = build(_ObjectiveText, item, at, refused)
        wrong += found(_check_objective(text, at, labels))
        if not wrong and labels is not None and not any(path[: len(at)] == at for path in refused):
            name, value = _given(text)[0]
            bound = {name: _bound(value, text.metric)}
            objectives += [(index, Objective(label, text.metric, **bound)) for label in labels[text.strategy]]
        problems += wrong
    return objectives, problems


def _check_objective(text: Any, at: Path, labels: Mapping[str, Sequence[str]] | None) -> Check[Problem]:
    yield _check_bounds(text, at)
    yield _check_metric(text, at)
    if labels is not None and text.strategy not in labels:
        yield Problem((*at, "strategy"), unknown("strategy", text.strategy, labels))


def _check_metric(text: Any, at: Path) -> Iterator[Problem]:
    if text.metric not in METRICS:
        near = nearest(text.metric, METRICS)
        hint = f"did you mean {near}" if near else "`python -m sim list metrics` shows them"
        yield Problem((*at, "metric"), f"unknown metric, {hint}")


def _given(text: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name in ("at_most", "at_least") if (value := getattr(text, name)) is not None]


def _check_bounds(text: Any, at: Path) -> Iterator[Problem]:
    given = _given(text)
    if len(given) != 1:
        yield Problem(at, f"expected exactly one of at_most and at_least, not {'both' if given else 'none'}")
        return
    (name, value) = given[0]
    if value is WRONG or text.metric not in METRICS:
        return
    try:
        _bound(value, text.metric)
    except ValueError as error:
        yield Problem((*at, name), str(error))


def _bound(value: Any, name: str) -> float:
    """Return a bound in the metric's unit; one on a time or a size may be written with its unit or without."""
    unit = METRICS[name].unit
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
