"""Quantities of the scenario file: '30 s', '256 KiB', '20 Mbit/s' <-> numbers in SI units.

A number without a unit is an error, except 0, so that nobody has to guess whether `every: 5` meant seconds. Conversion
is done in fractions and rounded once: 90 km/h is 25 m/s and not its neighbour.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple

_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_COMMA = re.compile(r",[0-9]")
_QUANTITY = re.compile(rf"({_NUMBER})\s*(\S.*)?", re.DOTALL)
_LONGEST_TEXT = 60  # a number with a million digits would take minutes to convert


class QuantityError(ValueError):
    """The text is no quantity of the kind; the message says what is allowed."""


class Kind(NamedTuple):
    """A kind of quantity: an example for the error texts, its units (the SI one first), and the largest sensible value."""

    noun: str
    example: str
    units: dict[str, Fraction]
    limit: float


def _units(**factors: int | Fraction) -> dict[str, Fraction]:
    return {name: Fraction(factor) for name, factor in factors.items()}


KINDS: dict[str, Kind] = {
    "duration": Kind("a duration", "30 s", _units(s=1, ms=Fraction(1, 1000), min=60, h=3600, d=86400), 1e10),
    "distance": Kind("a distance", "2 km", _units(m=1, km=1000), 1e9),
    "speed": Kind("a speed", "90 km/h", {"m/s": Fraction(1), "km/h": Fraction(1000, 3600)}, 1e5),
    "rate": Kind(
        "a rate",
        "5 Mbit/s",
        {"bit/s": Fraction(1), "kbit/s": Fraction(10**3), "Mbit/s": Fraction(10**6), "Gbit/s": Fraction(10**9)},
        1e13,
    ),
    "size": Kind("a size", "256 KiB", _units(B=1, kB=10**3, MB=10**6, GB=10**9, KiB=2**10, MiB=2**20, GiB=2**30), float(2**53)),
    "power": Kind("a power", "46 dBm", _units(dBm=1), 1000.0),
    "ratio": Kind("a ratio", "3 dB", _units(dB=1), 1000.0),
    "frequency": Kind("a frequency", "800 MHz", _units(Hz=1, kHz=10**3, MHz=10**6, GHz=10**9), 1e13),
    "share": Kind("a share", "95 %", {"%": Fraction(1, 100)}, 1.0),
}

#: What people write for a unit, where spelling alone does not lead to it.
_HABITS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "millis": "ms", "milliseconds": "ms",
    "minute": "min", "minutes": "min", "mins": "min", "hour": "h", "hours": "h", "hr": "h", "day": "d", "days": "d",
    "kmh": "km/h", "kph": "km/h", "mps": "m/s", "bps": "bit/s", "kbps": "kbit/s", "mbps": "Mbit/s", "gbps": "Gbit/s",
    "mbit": "Mbit/s", "kbit": "kbit/s", "mb/s": "Mbit/s", "meter": "m", "meters": "m", "metre": "m", "byte": "B", "bytes": "B",
    "percent": "%", "kb": "kB", "kib": "KiB",
}  # fmt: skip


def expected(kind: str) -> str:
    """Return what is allowed: 'a duration such as 30 s (ms, s, min, h, d)'."""
    of = KINDS[kind]
    if kind == "share":
        return f"{of.noun} such as {of.example}, or a number from 0 to 1"
    names = sorted(of.units, key=lambda unit: of.units[unit])
    return f"{of.noun} such as {of.example}" + (f" ({', '.join(names)})" if len(names) > 1 else "")


def parse_quantity(value: Any, kind: str) -> float:
    """Return the quantity in SI units (shares from 0 to 1). `value` is what YAML gave: text or a number.

    Raises QuantityError, whose message says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise QuantityError(f"expected {expected(kind)}")
    if isinstance(value, int | float):
        if kind == "share" or value == 0:
            return _bounded(float(value), kind, str(value))
        raise QuantityError(f"{_short(value)} has no unit, expected {expected(kind)}")
    match = _QUANTITY.fullmatch(value.strip()) if len(value) <= _LONGEST_TEXT else None
    if match is None:
        raise QuantityError(f"{_short(value)} is not understood, expected {expected(kind)}")
    number, unit = match.group(1), (match.group(2) or "").strip()
    if not unit:
        if kind == "share" or float(number) == 0:
            return _bounded(float(number), kind, number)
        raise QuantityError(f"{number} has no unit, expected {expected(kind)}")
    factor = KINDS[kind].units.get(unit)
    if factor is None and _COMMA.match(unit):
        raise QuantityError(f"{_short(value)} has a comma, write a point: {value.strip().replace(',', '.', 1)[:40]}")
    if factor is None:
        near = _nearest_unit(unit, kind)
        hint = f", did you mean {number} {near}" if near else ""
        raise QuantityError(f"unknown unit {unit!r}{hint}, expected {expected(kind)}")
    return _bounded(float(Fraction(number) * factor) if abs(float(number)) < 1e40 else math.inf, kind, value)


def format_quantity(value: float, kind: str) -> str:
    """Return a short text that parses to exactly `value`: 0.32 -> '320 ms', 262144 -> '256 KiB'."""
    units = KINDS[kind].units
    texts: list[tuple[bool, int, str]] = []  # a number of 1 and more reads better than a fraction, then the shortest
    for unit, factor in units.items():
        number = format_number(float(Fraction(value) / factor)) if math.isfinite(value) else str(value)
        text = f"{number} {unit}"
        try:
            same = parse_quantity(text, kind) == value
        except QuantityError:
            same = False
        if same:
            texts.append((abs(float(number)) < 1, len(text), text))
    if texts:
        return min(texts, key=lambda found: found[:2])[2]
    return format_number(value) if kind == "share" else f"{format_number(value)} {next(iter(units))}"


def format_number(value: float) -> str:
    """Return a number without a needless '.0'."""
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)


def pattern(kind: str) -> str:
    """Return a regular expression (JSON Schema's dialect) for the texts of a kind."""
    units = "|".join(re.escape(unit) for unit in sorted(KINDS[kind].units, key=len, reverse=True))
    return rf"^\s*{_NUMBER}\s*({units})\s*$"


def _bounded(value: float, kind: str, text: str) -> float:
    limit = KINDS[kind].limit
    if not abs(value) <= limit:
        if kind == "share":
            raise QuantityError(f"{_short(text)} is more than 100 %, expected {expected(kind)}")
        raise QuantityError(f"{_short(text)} is out of range, at most {format_quantity(limit, kind)} is allowed")
    return value


def _nearest_unit(unit: str, kind: str) -> str | None:
    units = KINDS[kind].units
    habit = _HABITS.get(unit.lower())
    if habit in units:
        return habit
    # a unit that is only like another one may be of another size (mi and m, kB/s and kbit/s): no guess, but its other spelling
    return {name.lower(): name for name in units}.get(unit.lower())


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...") if isinstance(value, str) else text[:40]
