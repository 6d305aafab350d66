# ruff: noqa: E501 - a table of lines reads best with a line a row
"""Whatever the file or the options hold, loading gives a scenario or ScenarioErrors with clean lines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load

FOLDER = Path(__file__).parents[2] / "scenarios"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))]
PIECES = [
    "null", "[]", "{}", "-1", "1e3", "1e400", ".nan", "true", "''", "*a", "&a", "<<: *a", "!!set", "- ", ": ", "? ", "{", "]", "|",
    ">", "%", "\t", "\n", "  ", "30", "30 s", "9" * 400, "x: y", "use: hybrid", "name: hybrid", "at: [1, 2]", "\x00", "\u2028", "ä",
    "strategies:", "script:", "- - - -", "'", '"', "#", "0 s", "-5 s", "1e-320 s", "!<x>", "a.py:B", "---", "...", "@", "`",
]  # fmt: skip
KEYS = [
    "server.tls", "server.tls.profile", "hybrid.poll", "hybrid", "strategies", "strategies.0", "strategies.0.use", "towers.0.at.0",
    "script.steps", "workload.ota", "objectives", "objectives.0.strategy", "network.gateways", "name", "link.rtt.median", "", ".",
    "a.b.c", "route", "recorded.file", "recorded", "drain.x", "0", "seed",
]  # fmt: skip


def _load(path: Path, **options: list[str]) -> None:
    try:
        load(path, **options)  # type: ignore[arg-type]
        return
    except ScenarioErrors as errors:
        lines = errors.lines
    assert lines
    for line in lines:
        assert line.isprintable()
        assert "Traceback" not in line


def _mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        way = chance.randrange(6)
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(at, chance.choice(lines))
        elif way == 2:
            cut = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + chance.choice(PIECES) + lines[at][cut:]
        elif way == 3:
            key, colon, _value = lines[at].partition(":")
            lines[at] = f"{key}{colon} {chance.choice(PIECES)}"
        elif way == 4:
            lines[at] = "  " * chance.randrange(3) + lines[at].lstrip()
        else:
            start = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:start] + lines[at][start + chance.randrange(1, 6) :]
        text = "\n".join(lines) or "x"
    return text


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    (folder / "drives").symlink_to(FOLDER / "drives")
    return folder / "t.yaml"


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(0, 2**32))
def test_changed_scenarios(file: Path, text: str, seed: int) -> None:
    file.write_text(_mutated(text, random.Random(seed)), encoding="utf-8")
    _load(file)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_bytes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    _load(file)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_pieces_of_yaml(file: Path, pieces: list[str]) -> None:
    file.write_text("".join(pieces), encoding="utf-8")
    _load(file)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(FOLDER.glob("*.yaml"))),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(PIECES)), max_size=4),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(PIECES)), max_size=2),
    st.lists(st.sampled_from(["hybrid", "zzz", "static_push", ""]), max_size=2),
)
def test_any_options(shipped: Path, sets: list[tuple[str, str]], varies: list[tuple[str, str]], strategies: list[str]) -> None:
    as_text = [f"{key}={value}" for key, value in sets]
    _load(shipped, sets=as_text, varies=[f"{key}={value}" for key, value in varies], strategies=strategies)
