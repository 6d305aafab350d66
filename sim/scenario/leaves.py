"""Single values of the scenario file: what a field of a settings dataclass accepts, how it is checked, its JSON Schema.

One place decides all three, so that the error text, the schema and the check cannot drift apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from sim.scenario.document import nearest
from sim.scenario.quantities import QuantityError, expected, format_number, format_quantity, parse_quantity, pattern

_DIGITS = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
_LARGEST_INT = 2**53  # what survives JSON and a float
_LARGEST_FLOAT = 1e15
#: Kinds that cannot be negative where a field says nothing else; a position or a ratio can.
_NOT_NEGATIVE = {"duration", "speed", "rate", "size", "frequency", "share"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """`check` returns the value in SI units or raises ValueError; `expected` completes 'expected ...'."""

    check: Callable[[Any], Any]
    expected: str
    schema: dict[str, Any]


def leaf_of(hint: Any, kind: str | None, bounds: Mapping[str, Any]) -> Leaf | None:
    """Return the leaf for a type and a kind of quantity, None where the type is not one of a single value.

    `bounds` may have at_least, above, at_most, in SI units.
    """
    if get_origin(hint) is Literal:
        return _choice(tuple(str(option) for option in get_args(hint)))
    if hint is Any:
        return Leaf(lambda value: value, "a value", {})
    if hint is bool:
        return Leaf(_boolean, "true or false", {"type": "boolean"})
    if hint is str:
        return Leaf(_text, "text", {"type": "string"})
    if hint is int or hint is float:
        return _quantity(hint is int, kind, bounds) if kind else _number(hint is int, bounds)
    return None


def _choice(options: tuple[str, ...]) -> Leaf:
    allowed = f"one of {', '.join(options)}" if len(options) > 1 else options[0]

    def check(value: Any) -> str:
        # `version: 5` is a number in YAML, and what was meant is clear
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if text in options:
            return str(text)
        if not isinstance(text, str):
            raise ValueError(f"expected {allowed}")
        near = nearest(text, options)
        raise ValueError(f"{_shown(text)} is unknown" + (f", did you mean {near}" if near else "") + f", expected {allowed}")

    numbers = [int(option) for option in options if option.isdecimal()]
    return Leaf(check, allowed, {"enum": [*options, *numbers]})


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    meant = {"on": "true", "yes": "true", "off": "false", "no": "false"}.get(str(value).lower())
    raise ValueError("expected true or false" + (f", did you mean {meant}" if meant else ""))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        shown = str(value).lower() if isinstance(value, bool) else format_number(value)
        raise ValueError(f'expected text, write "{shown[:40]}" in quotes')
    raise ValueError("expected text")


def _number(whole: bool, bounds: Mapping[str, Any]) -> Leaf:
    what = "a whole number" if whole else "a number"
    phrase = _range_phrase(bounds, None)

    def check(value: Any) -> float:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            raise ValueError(f"{_shown(value)} is text, write it without quotes, expected {what}{phrase}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected {what}{phrase}")
        if not math.isfinite(value) or abs(value) > (_LARGEST_INT if whole else _LARGEST_FLOAT):
            raise ValueError(f"the number is out of range, expected {what}{phrase or f' up to {_LARGEST_FLOAT:g}'}")
        if whole and value != int(value):
            raise ValueError(f"{value} is not a whole number, expected {what}{phrase}")
        _check_bounds(value, bounds, None)
        return int(value) if whole else float(value)

    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    for name, keyword in (("at_least", "minimum"), ("above", "exclusiveMinimum"), ("at_most", "maximum")):
        if bounds.get(name) is not None:
            schema[keyword] = bounds[name]
    return Leaf(check, what + phrase, schema)


def _quantity(whole: bool, kind: str, bounds: Mapping[str, Any]) -> Leaf:
    if kind in _NOT_NEGATIVE and bounds.get("at_least") is None and bounds.get("above") is None:
        bounds = {**bounds, "at_least": 0.0}

    def check(value: Any) -> float:
        try:
            parsed = parse_quantity(value, kind)
        except QuantityError as error:
            raise ValueError(str(error)) from None
        if whole and parsed != int(parsed):
            raise ValueError(f"{_shown(value)} is not a whole number of {'bytes' if kind == 'size' else 'units'}")
        if bounds.get("whole") and parsed != int(parsed):
            near = format_quantity(float(max(round(parsed), 1)), kind)
            noun = _SI_NOUNS.get(kind, "units")
            raise ValueError(f"{_shown(value)} is not a whole number of {noun}, expected whole {noun}, such as {near}")
        _check_bounds(parsed, bounds, kind)
        return int(parsed) if whole else parsed

    bare: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1} if kind == "share" else {"const": 0}
    return Leaf(check, expected(kind), {"anyOf": [{"type": "string", "pattern": pattern(kind)}, bare]})


_SI_NOUNS = {"duration": "seconds", "size": "bytes", "distance": "metres"}


def _check_bounds(value: float, bounds: Mapping[str, Any], kind: str | None) -> None:
    at_least, above, at_most = bounds.get("at_least"), bounds.get("above"), bounds.get("at_most")
    wrong = (at_least is not None and value < at_least) or (above is not None and value <= above)
    if wrong or (at_most is not None and value > at_most):
        raise ValueError(f"{_written(value, kind)} is out of range, expected{_range_phrase(bounds, kind)}")


def _range_phrase(bounds: Mapping[str, Any], kind: str | None) -> str:
    words = (("at_least", "at least"), ("above", "more than"), ("at_most", "at most"))
    said = [f"{word} {_written(bounds[name], kind)}" for name, word in words if bounds.get(name) is not None]
    return " " + " and ".join(said) if said else ""


def _written(value: float, kind: str | None) -> str:
    return format_quantity(value, kind) if kind else format_number(value)


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")
