"""Shipped scenarios with random mistakes in them: each loads, or says in lines what is wrong."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load

ROOT = Path(__file__).resolve().parents[2] / "scenarios"
ODD = [
    None, 0, -1, 1e18, -1e18, float("inf"), float("nan"), 10**30, True, "", "x", "\0", "5 s", "5 parsecs", "1e400 s", "-3 s",
    "never", "150 %", "-1 B", "999.1.1.1", "a" * 5000, [], {}, [[]], [None], {"a": 1}, {"use": "hybrid"}, ["hybrid", "hybrid"],
    [{"at": "0 s"}],
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def mistaken(scenario: Any, draw: random.Random) -> None:
    """One mistake: another value, a key that is missing or misspelt, an entry twice."""
    path = draw.choice(list(places(scenario)))
    holder = scenario
    for key in path[:-1]:
        holder = holder[key]
    match draw.randrange(6):
        case 0:
            del holder[path[-1]]
        case 1 if isinstance(holder, dict):
            holder[f"{path[-1]}x"] = holder.pop(path[-1])
        case 2 if isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(holder[path[-1]]))
        case _:
            holder[path[-1]] = draw.choice(ODD)


@pytest.mark.parametrize("seed", range(4))
def test_it_loads_or_says_what_is_wrong(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    files = sorted(ROOT.rglob("*.yaml"))
    loaded = refused = 0
    lines: list[str] = []
    for _ in range(400):
        scenario = yaml.safe_load(draw.choice(files).read_text(encoding="utf-8"))
        for _ in range(draw.choice((1, 1, 2))):
            if next(places(scenario), None) is not None:
                mistaken(scenario, draw)
        path = tmp_path / "mutated.yaml"
        path.write_text(yaml.safe_dump(scenario, allow_unicode=True, sort_keys=False), encoding="utf-8")
        try:
            load(path)
            loaded += 1
        except ScenarioErrors as error:
            lines += str(error).splitlines()
            refused += 1
    assert [line for line in lines if not line.startswith(f"{path}:")] == []
    assert loaded > 10
    assert refused > 200
