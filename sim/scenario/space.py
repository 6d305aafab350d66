"""`--over KEY=LOW..HIGH`: the ranges in which sensitivity and tuning look for values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.scenario.document import ScenarioErrors
from sim.scenario.overrides import split_values
from sim.scenario.sweep_block import NUMBER
from sim.scenario.yaml_text import parse_value

#: Keys that take whole seconds only: MQTT's.
_WHOLE_SECONDS = ("keep_alive",)


@dataclass(frozen=True, slots=True)
class Range:
    """A key and where its value may lie: numbers from `low` to `high` in `unit`, or `choices`."""

    key: str
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    def written(self, number: float) -> Any:
        """A number as it stands in a scenario file, to three significant digits."""
        if self.whole:
            return round(number)
        if self.unit == "s" and self.key.rpartition(".")[2] in _WHOLE_SECONDS:
            return f"{min(max(round(number), math.ceil(self.low)), math.floor(self.high))} s"
        size = math.floor(math.log10(abs(number))) if number else 0
        rounded = min(max(round(number, 2 - size), self.low), self.high)
        return f"{rounded:.10g} {self.unit}" if self.unit else rounded


def parse_ranges(texts: Sequence[str]) -> list[Range]:
    """Read `key=10 s..60 s`, `key=1 s..60 s log`, `key=1..8`, `key=a,b,c`. Raises ScenarioErrors with a line for each mistake."""
    found: list[Range] = []
    lines = []
    for text in texts:
        try:
            one = _parsed(text)
            if one.key in [other.key for other in found]:
                raise ValueError("the key is given twice")
            found.append(one)
        except ValueError as error:
            lines.append(f"--over {text.partition('=')[0].strip() or text}: {error}")
    if not texts:
        lines.append("--over is missing, expected at least one, such as --over hybrid.poll='10 s..120 s'")
    if lines:
        raise ScenarioErrors(lines)
    return found


def _parsed(text: str) -> Range:
    key, equals, values = text.partition("=")
    key, values = key.strip(), values.strip()
    if not equals or not key or not values:
        raise ValueError("expected key=low..high, such as hybrid.poll='10 s..120 s', or key=a,b,c")
    if ".." not in values:
        choices = tuple(parse_value(one) for one in split_values(values))
        if len(choices) < 2:
            raise ValueError("expected a range such as 10 s..120 s, or at least two values with commas between them")
        return Range(key, choices=choices)
    log = values.endswith(" log")
    first, _, last = values.removesuffix(" log").partition("..")
    ends = [NUMBER.fullmatch(end.strip()) for end in (first, last)]
    if ends[0] is None or ends[1] is None:
        raise ValueError(f"{values!r} is not understood, expected low..high, such as 10 s..120 s")
    low, high = float(ends[0][1]), float(ends[1][1])
    unit = ends[1][2]
    if ends[0][2] not in (unit, ""):
        raise ValueError("both ends need the same unit, such as 10 s..120 s")
    if low >= high:
        raise ValueError("the lower end has to be below the upper one")
    if log and low <= 0.0:
        raise ValueError("a log range needs a lower end above 0")
    whole = not unit and all("." not in end[1] and "e" not in end[1].lower() for end in ends if end is not None)
    return Range(key, low, high, unit, log, whole)
