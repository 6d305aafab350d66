"""The `sweep:` block and `--vary`: which points of a study there are, each a scenario of its own.

    sweep:
      product:                                    # every combination
        hybrid.poll: [10 s, 30 s, 60 s]
        link.rtt.median: {from: 40 ms, to: 200 ms, step: 40 ms}
      zip:                                        # values that go together, the first with the first
        server.tls: [classical, pqc]
        server.dns_ttl: [60 s, 10 s]
      where: [hybrid.poll < server.dns_ttl]       # points that do not meet it are left out

A key is what `--set` takes. A value is judged as if it stood in its own place in the file, and a mistake in it points to where it
stands in the block.
"""

from __future__ import annotations

import copy
import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path as FilePath
from typing import Any

from sim.scenario.document import Document, Place, Problem, ScenarioErrors, nearest, unknown
from sim.scenario.load import build_scenario, read_text
from sim.scenario.overrides import Selection, apply_options, put_at_key
from sim.scenario.quantities import KINDS
from sim.scenario.scenario import Scenario
from sim.scenario.sweep_block import MOST_POINTS, NUMBER, Block, Value, read_block, shown, vary
from sim.scenario.yaml_text import read_yaml

#: So many mistakes are shown; a wrong value meets many points.
_MOST_LINES = 20
#: So many points are tried where there are mistakes already.
_MOST_TRIED = 200
#: unit -> (SI unit, factor). A unit belongs to one kind of quantity alone.
_UNITS: dict[str, tuple[str, Fraction]] = {
    unit: (next(iter(kind.units)) if name != "share" else "", factor)
    for name, kind in KINDS.items()
    for unit, factor in kind.units.items()
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_CONDITION = re.compile(r"\s*(?P<left>.+?)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<right>.+?)\s*")


@dataclass(frozen=True, slots=True)
class Axis:
    """A key that is varied. `texts` as written; `numbers` in the SI unit `unit` where all values are numbers, else None."""

    key: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...] | None
    unit: str

    def column(self, text: str) -> float | str:
        """A value as it stands in the tables of results."""
        return text if self.numbers is None else self.numbers[self.texts.index(text)]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a sweep: key -> value as written, and the scenario that follows."""

    values: Mapping[str, str]
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep runs; `base` is the scenario without the block."""

    base: Scenario
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    left_out: int
    warnings: tuple[str, ...]


def load_sweep(
    path: str | FilePath,
    *,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> SweepPlan:
    """Return the points of the sweep in a file, with the options of the command line.

    `varies`: 'key=a,b,c' or 'key={from: 1 s, to: 9 s, count: 5}' each, an axis of the product; one of the same key in the
    block is replaced. The other options are those of `sim.scenario.load.load`.
    Raises ScenarioErrors with a line for each mistake.
    """
    document = read_yaml(read_text(path), str(path))
    raw = document.value.get("sweep")
    block = read_block(document, raw)
    for text in varies:
        vary(block, text)
    selection, problems = apply_options(document, sets, (), strategies, replications, seed)
    return _plan(document, block, selection, problems, FilePath(path).parent)


def _plan(
    document: Document, block: Block, selection: Selection, problems: list[Problem], folder: FilePath, most: int | None = None
) -> SweepPlan:
    """The points, no more than `most` of them; `problems`: what is known to be wrong. Raises ScenarioErrors."""
    base, warnings, wrong = build_scenario(document, selection, folder)
    problems = [*problems, *wrong, *block.problems]
    if not block.steps and not block.problems:
        how = "a block `sweep: {product: {KEY: [VALUES]}}` or --vary KEY=A,B"
        problems.append(Problem((), f"nothing to sweep, expected {how}"))
    axes = tuple(_axis(key, [step for steps in block.steps for step in steps]) for key in block.varied())
    chosen, left_out, wrong = _chosen(block, axes)
    problems += wrong
    points, more, lines = _points(document, selection, folder, chosen[:most], problems)
    if base is None or lines:
        raise ScenarioErrors(document.in_order(lines))
    return SweepPlan(base, axes, points, left_out, tuple(dict.fromkeys([*document.lines(warnings), *more])))


def warnings_in(path: str | FilePath) -> list[str]:
    """Judge a file, its `sweep:` block too, by the first of its points; return the warnings. Raises ScenarioErrors."""
    document = read_yaml(read_text(path), str(path))
    folder = FilePath(path).parent
    selection, _problems = apply_options(document)
    if document.value.get("sweep") is not None:
        return list(_plan(document, read_block(document, document.value["sweep"]), selection, [], folder, _MOST_TRIED).warnings)
    scenario, warnings, problems = build_scenario(document, selection, folder)
    if scenario is None:
        raise ScenarioErrors(document.lines(problems))
    return document.lines(warnings)


@dataclass(frozen=True, slots=True)
class OpenScenario:
    """A scenario file of which any point can be made: `at` gives the scenario with some keys at other values."""

    base: Scenario
    document: Document
    selection: Selection
    folder: FilePath

    def at(self, values: Mapping[str, Any], option: str = "") -> Scenario:
        """The scenario with these values, as YAML would give them. Raises ScenarioErrors, which name `option` and the key."""
        here = self.document_at(values, option)
        scenario, _warnings, problems = build_scenario(here, self.selection, self.folder)
        if scenario is None or problems:
            raise ScenarioErrors(here.lines(problems))
        return scenario

    def document_at(self, values: Mapping[str, Any], option: str = "") -> Document:
        """The file's plain data with these values. Raises ScenarioErrors for a key that is none."""
        here = copy.deepcopy(self.document)
        for key, value in values.items():
            place = Place(option=f"{option} {key}".strip())
            try:
                put_at_key(here, key, copy.deepcopy(value), place)
            except ValueError as error:
                raise ScenarioErrors(here.lines([Problem((), str(error), place=place)])) from None
        return here


def open_scenario(
    path: str | FilePath,
    *,
    sets: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> OpenScenario:
    """Read a scenario of which points are to be made. Raises ScenarioErrors with a line for each mistake."""
    document = read_yaml(read_text(path), str(path))
    selection, problems = apply_options(document, sets, (), strategies, replications, seed)
    folder = FilePath(path).parent
    base, _warnings, wrong = build_scenario(document, selection, folder)
    if base is None or problems or wrong:
        raise ScenarioErrors(document.lines([*problems, *wrong]))
    return OpenScenario(base, document, selection, folder)


def _points(
    document: Document,
    selection: Selection,
    folder: FilePath,
    chosen: Sequence[Sequence[Value]],
    problems: Sequence[Problem],
) -> tuple[tuple[Point, ...], list[str], set[tuple[int, int, str]]]:
    """The points, the lines of warnings, and what `Document.line_of` says about `problems` and those of the points."""
    points: list[Point] = []
    warnings: list[str] = []
    found = {document.line_of(problem) for problem in problems}
    said = {problem.path for problem in problems if problem.path}
    for values in chosen[:_MOST_TRIED] if problems else chosen:
        here = copy.deepcopy(document)
        wrong: list[Problem] = []
        for one in values:
            try:
                put_at_key(here, one.key, copy.deepcopy(one.value), one.place)
            except ValueError as error:
                wrong.append(Problem((), f"{one.key}: {error}", place=one.place))
        scenario, hardly_meant, more = build_scenario(here, selection, folder)
        # what is wrong in the file is so at every point
        wrong += [problem for problem in more if problem.path and problem.path not in said]
        found |= {here.line_of(problem) for problem in wrong}
        if len(found) >= _MOST_LINES:
            break
        if scenario is not None and not wrong:
            warnings += here.lines(hardly_meant)
            points.append(Point({one.key: shown(one.value) for one in values}, scenario))
    return tuple(points), warnings, found


def _chosen(block: Block, axes: Sequence[Axis]) -> tuple[list[list[Value]], int, list[Problem]]:
    """The combinations that meet `where`, how many do not, and what is wrong with the block as a whole."""
    total = math.prod(len(steps) for steps in block.steps)
    if total > MOST_POINTS:
        return [], 0, [Problem(("sweep",), f"{total} points, at most {MOST_POINTS} are allowed")]
    by_key = {axis.key: axis for axis in axes}
    conditions, problems = [], []
    for text, place in block.where if block.steps and not block.problems else ():
        try:
            conditions.append(_condition(text, by_key))
        except ValueError as error:
            problems.append(Problem((), f"sweep.where: {error}", place=place))
    chosen = []
    for combination in itertools.product(*block.steps) if block.steps else ():
        values = [value for step in combination for value in step]
        at = {value.key: by_key[value.key].column(shown(value.value)) for value in values}
        if all(condition(at) for condition in conditions):
            chosen.append(values)
    if block.steps and not chosen:
        problems.append(Problem(("sweep", "where"), f"no point of {total} meets it, expected one at least"))
    return chosen, total - len(chosen), problems


def _condition(text: str, axes: Mapping[str, Axis]) -> Callable[[Mapping[str, float | str]], bool]:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not understood, expected KEY < VALUE or KEY < KEY (also <=, >, >=, ==, !=)")
    left, sign, right = match["left"], match["sign"], match["right"]
    if left not in axes:
        raise ValueError(unknown("key of this sweep", left, axes))
    compare = _COMPARISONS[sign]
    if right in axes:
        one, other = axes[left], axes[right]
        if (one.numbers is None) != (other.numbers is None) or one.unit != other.unit:
            raise ValueError(f"{left} and {right} cannot be compared: {one.unit or 'no unit'} and {other.unit or 'no unit'}")
        if one.numbers is None and sign not in ("==", "!="):
            raise ValueError(f"{left} is text, expected == or !=")
        return lambda at: compare(at[left], at[right])
    axis = axes[left]
    if axis.numbers is None:
        if sign not in ("==", "!="):
            raise ValueError(f"{left} is text, expected == or !=")
        return lambda at: compare(at[left], right)
    quantity = _quantity(right)
    if quantity is None or (quantity[1] != axis.unit and quantity[0] != 0.0):
        near = nearest(right, axes)
        raise ValueError(
            f"{right!r} cannot be compared with {left}, expected {f'a value in {axis.unit}' if axis.unit else 'a number'}"
            + (f" or {near}" if near else "")
        )
    bound = quantity[0]
    return lambda at: compare(at[left], bound)


def _axis(key: str, steps: Sequence[Sequence[Value]]) -> Axis:
    values = [value.value for step in steps for value in step if value.key == key]
    texts = tuple(dict.fromkeys(shown(value) for value in values))
    found = [_quantity(text) for text in texts]
    quantities = [one for one in found if one is not None]
    units = {unit for number, unit in quantities if number != 0.0}
    if len(quantities) < len(texts) or len(units) > 1:
        return Axis(key, texts, None, "")
    return Axis(key, texts, tuple(number for number, _unit in quantities), next(iter(units), ""))


def _quantity(text: str) -> tuple[float, str] | None:
    """(number in SI, SI unit) of '10 s'; None where it is no number."""
    match = NUMBER.fullmatch(text)
    if match is None or len(text) > 60:
        return None
    if not match[2]:
        return float(match[1]), ""
    if match[2] not in _UNITS:
        return None
    unit, factor = _UNITS[match[2]]
    return float(Fraction(match[1]) * factor), unit
