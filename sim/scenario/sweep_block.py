"""The form of the `sweep:` block: product, zip and where, lists and ranges of values. What the values mean is not judged here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sim.scenario.document import Document, Path, Place, Problem, unknown
from sim.scenario.overrides import split_values
from sim.scenario.quantities import format_number
from sim.scenario.yaml_text import parse_value

MOST_POINTS = 10_000
_BLOCK: Path = ("sweep",)
_KEYS = ("product", "zip", "where")
_RANGE_KEYS = ("from", "to", "step", "count", "scale")
#: A number and its unit.
NUMBER = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)\s*(\S*)")


@dataclass(frozen=True, slots=True)
class Value:
    key: str
    value: Any
    place: Place


@dataclass(slots=True)
class Block:
    """Compound axes: each a list of steps, each step the values of one key or of several that go together."""

    steps: list[list[tuple[Value, ...]]] = field(default_factory=list)
    where: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def varied(self) -> list[str]:
        return [value.key for steps in self.steps if steps for value in steps[0]]


def read_block(document: Document, raw: Any) -> Block:
    block = Block()
    if raw is None:
        return block
    if not isinstance(raw, dict):
        block.problems.append(Problem(_BLOCK, "expected a mapping with product, zip and where"))
        return block
    for key in raw:
        if key not in _KEYS:
            block.problems.append(Problem((*_BLOCK, key), unknown("key", key, _KEYS), at_key=True))
    product = raw.get("product")
    if product is not None:
        for key, steps in _columns(document, block, product, (*_BLOCK, "product")).items():
            _add(block, [key], [(value,) for value in steps], Problem((*_BLOCK, "product", key), "", at_key=True))
    zipped = raw.get("zip")
    for at, part in _groups(zipped):
        columns = _columns(document, block, part, (*_BLOCK, "zip", *at))
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{key} has {n}" for key, n in lengths.items())
            block.problems.append(Problem((*_BLOCK, "zip", *at), f"expected equally many values for each key: {counts}"))
        elif columns:
            together = [tuple(step) for step in zip(*columns.values(), strict=True)]
            _add(block, list(columns), together, Problem((*_BLOCK, "zip", *at), ""))
    where = raw.get("where")
    for at, text in _groups(where):
        path = (*_BLOCK, "where", *at)
        if isinstance(text, str):
            block.where.append((text, document.values.get(path, Place())))
        else:
            block.problems.append(Problem(path, "expected a comparison such as hybrid.poll < 60 s"))
    return block


def _groups(raw: Any) -> list[tuple[Path, Any]]:
    """A list is several, anything else one."""
    if raw is None:
        return []
    return [((at,), part) for at, part in enumerate(raw)] if isinstance(raw, list) else [((), raw)]


def _add(block: Block, keys: list[str], steps: list[tuple[Value, ...]], problem: Problem) -> None:
    for key in keys:
        if key in block.varied():
            block.problems.append(Problem(problem.path, f"{key} is varied twice", at_key=problem.at_key))
            return
    if steps:
        block.steps.append(steps)


def _columns(document: Document, block: Block, raw: Any, path: Path) -> dict[str, list[Value]]:
    if not isinstance(raw, dict):
        block.problems.append(Problem(path, "expected keys with their values, such as hybrid.poll: [10 s, 30 s]"))
        return {}
    found: dict[str, list[Value]] = {}
    for key, values in raw.items():
        at = (*path, key)
        place = document.values.get(at, Place())
        if isinstance(values, dict) and "from" in values:
            try:
                found[key] = [Value(key, value, place) for value in range_values(values)]
            except ValueError as error:
                block.problems.append(Problem(at, str(error)))
        elif isinstance(values, list) and values:
            found[key] = [Value(key, value, document.values.get((*at, n), place)) for n, value in enumerate(values)]
            texts = [shown(value) for value in values]
            for n, text in enumerate(texts):
                if text in texts[:n]:
                    block.problems.append(Problem((*at, n), f"{text} is there twice"))
        else:
            block.problems.append(Problem(at, "expected a list of values, or a range such as {from: 10 s, to: 60 s, step: 10 s}"))
    return found


def range_values(raw: Mapping[str, Any]) -> list[Any]:
    """The values of {from, to, step} or {from, to, count, scale: linear | log}, as they would be written. Raises ValueError."""
    for key in raw:
        if key not in _RANGE_KEYS:
            raise ValueError(f"{key}: {unknown('key', key, _RANGE_KEYS)}")
    if "to" not in raw or ("step" in raw) == ("count" in raw):
        raise ValueError("a range needs `from`, `to` and one of `step` and `count`")
    parts = {}
    for key in ("from", "to", "step"):
        if key in raw:
            match = NUMBER.fullmatch(shown(raw[key]))
            if match is None:
                raise ValueError(f"{key}: expected a number, with its unit where it has one")
            parts[key] = (Fraction(match[1]), match[2])
    if len({unit for _number, unit in parts.values()}) > 1:
        raise ValueError("from, to and step need the same unit, such as {from: 10 s, to: 60 s, step: 10 s}")
    unit = parts["from"][1]
    first, last = parts["from"][0], parts["to"][0]
    scale = raw.get("scale", "linear")
    if scale not in ("linear", "log"):
        raise ValueError(f"scale: {unknown('scale', scale, ('linear', 'log'))}")
    if "step" in parts:
        numbers = _stepped(first, last, parts["step"][0], scale)
    else:
        numbers = _counted(first, last, raw["count"], scale)
    return [f"{_decimal(number)} {unit}" if unit else _plain_number(number) for number in numbers]


def _stepped(first: Fraction, last: Fraction, step: Fraction, scale: str) -> list[Fraction]:
    if scale == "log":
        raise ValueError("scale: log goes with `count`")
    if step <= 0 or last < first:
        raise ValueError("expected a step above 0, and `to` not below `from`")
    n = int((last - first) / step) + 1
    if n > MOST_POINTS:
        raise ValueError(f"{n} values, at most {MOST_POINTS} are allowed")
    return [first + step * at for at in range(n)]


def _counted(first: Fraction, last: Fraction, count: Any, scale: str) -> list[Fraction]:
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= MOST_POINTS:
        raise ValueError(f"count: expected a whole number from 2 to {MOST_POINTS}")
    if scale == "linear":
        return [first + (last - first) * at / (count - 1) for at in range(count)]
    if first <= 0 or last <= 0:
        raise ValueError("scale: log needs `from` and `to` above 0")
    ratio = math.log(last / first)
    inner = [Fraction(f"{float(first) * math.exp(ratio * at / (count - 1)):.4g}") for at in range(1, count - 1)]
    return [first, *inner, last]


def _decimal(number: Fraction) -> str:
    return f"{float(number):.10g}"


def _plain_number(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def vary(block: Block, text: str) -> None:
    key, equals, values_text = text.partition("=")
    key = key.strip()
    place = Place(option=f"--vary {key or text}")
    if not equals or not key:
        block.problems.append(Problem((), "expected key=a,b,c, such as hybrid.poll='10 s,30 s'", place=place))
        return
    try:
        values: list[Any] = [parse_value(one) for one in split_values(values_text)]
        if len(values) == 1 and isinstance(values[0], dict) and "from" in values[0]:
            values = range_values(values[0])
    except ValueError as error:
        block.problems.append(Problem((), str(error), place=place))
        return
    together = [steps for steps in block.steps if len(steps[0]) > 1 and key in [value.key for value in steps[0]]]
    if together:
        block.problems.append(Problem((), "is one of the keys that go together in sweep.zip", place=place))
        return
    block.steps = [steps for steps in block.steps if steps[0][0].key != key]
    block.steps.append([(Value(key, value, place),) for value in values])


def shown(value: Any) -> str:
    """A value as it would be written on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format_number(value)
    if isinstance(value, list):
        return f"[{', '.join(shown(part) for part in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in value.items()) + "}"
    return str(value)
