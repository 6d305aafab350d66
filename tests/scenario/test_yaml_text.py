# ruff: noqa: E501 - a table of lines reads best with a line a row
from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sim.scenario.document import Place, ScenarioErrors
from sim.scenario.yaml_text import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        (".5", 0.5),
        ("3.", 3.0),
        ("0o14", 12),
        ("014", 14),
        ("0x1F", 31),
        ("+7", 7),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("12:30", "12:30"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("3.1.1", "3.1.1"),
        ("=", "="),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = read_yaml(f"a: {text}\n", "f").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_places_of_keys_and_values() -> None:
    document = read_yaml("a: 1\nb:\n  - x\n  - {c: d}\n", "f")
    assert document.keys["b",] == Place(2, 1)
    assert document.values["b", 0] == Place(3, 5)
    assert document.keys["b", 1, "c"] == Place(4, 6)
    assert document.values["b", 1, "c"] == Place(4, 9)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["f:1:1: the file is empty, expected keys such as name, route, strategies"]),
        ("# nothing\n", ["f:1:1: the file is empty, expected keys such as name, route, strategies"]),
        ("- a\n", ["f:1:1: the file is not a mapping, expected keys such as name, route, strategies"]),
        ("---\na: 1\n---\nb: 2\n", ["f:3:1: a second document begins here, a scenario file has one"]),
        ("a: [1, 2\n", ["f:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"]),
        ("a:\n\tb: 1\n", ["f:2:1: not valid YAML: a tab, expected spaces: YAML knows no tabs as indentation"]),
        ("a: b: c\n", ["f:1:5: not valid YAML: a `key: value` where a value is expected: quote a text with a colon, or indent less"]),
        ("a: \x01\n", ["f:1:4: character U+0001 is not allowed in YAML"]),
        ("a: " + "[" * 5000, ["f:1:44: nested deeper than 40 levels"]),
        ("a: 1\nb: 2\na: 3\n", ["f:3:1: a: duplicate key, first written in line 1"]),
        ("a: &x {b: 1}\nc: {<<: *x}\n", ["f:2:5: c.<<: merge keys are not part of YAML 1.2, write the keys out"]),
        ("a: *x\n", ["f:1:4: a: unknown alias *x, no anchor &x before it"]),
        ("a: &x [*x]\n", ["f:1:8: a.0: alias *x refers to what it is part of"]),
        ("1: a\n", ["f:1:1: key 1 must be text, write it in quotes"]),
        ("[1]: a\n", ["f:1:1: a key must be text, not a list or a mapping"]),
        ("a: .nan\nb: -.INF\n", [
            "f:1:4: a: .nan is not allowed, expected a finite number",
            "f:2:4: b: -.INF is not allowed, expected a finite number",
        ]),
        ("a: 1e999\n", ["f:1:4: a: 1e999 is too large for a number"]),
        (f"a: {'9' * 5000}\n", ["f:1:4: a: the number is too long"]),
        ("a: !!python/object:os.system x\n", ["f:1:4: a: tag !!python/object:os.system is not allowed"]),
        ("a: !!int x\n", ["f:1:4: a: x is not of the type its tag !!int says"]),
        ('a: "\\0"\n', ["f:1:4: a: text with NUL or half a surrogate pair is not allowed"]),
        ('a: "\\U00110000"\n', ["f:1:1: not valid YAML: chr() arg not in range(0x110000)"]),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, lines: list[str]) -> None:
    try:
        document = read_yaml(text, "f")
        found = document.lines(document.problems)
    except ScenarioErrors as raised:
        found = raised.lines
    assert found == lines


def test_aliases_are_expanded_apart() -> None:
    value = read_yaml("a: &x {b: [1]}\nc: *x\n", "f").value
    assert value["c"] == {"b": [1]}
    assert value["c"] is not value["a"]


def test_billion_laughs_is_refused_at_once() -> None:
    names = "abcdefghij"
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for before, name in pairwise(names):
        text += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    with pytest.raises(ScenarioErrors, match="more than 100000 values"):
        read_yaml(text, "f")


def test_deep_nesting_by_aliases_is_refused() -> None:
    text = "a: &a0 1\n" + "".join(f"k{n}: &a{n + 1} {'[' * 30}*a{n}{']' * 30}\n" for n in range(100))
    with pytest.raises(ScenarioErrors, match="deeper than 80"):
        read_yaml(text, "f")
