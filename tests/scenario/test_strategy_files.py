"""A strategy may be more than one file: what lies beside it and is imported is found, loaded anew when edited, and hashed."""

import pickle
import sys
from pathlib import Path

import pytest

from sim.cli import main
from sim.scenario.load import load
from sim.scenario.strategy_files import strategy_files
from sim.scenario.user_strategy import UserStrategyError, user_class
from sim.study.manifest import input_files, run_id
from sim.study.unit import UnitKey

MAIN = """
from waits import Base, FIRST_S
from parts import timing
import json

class Mine(Base):
    first_s = FIRST_S + timing.MORE_S
"""
WAITS = """
from __future__ import annotations
import dataclasses
from sim.strategies.config import MQTTPersistent
from sim.strategies.mqtt_vehicle import MQTTVehicle
from sim.strategies.backend import MQTTBackend

FIRST_S = 3.0

@dataclasses.dataclass(frozen=True)
class Config(MQTTPersistent):
    again: float = 2.0

class Base:
    Config = Config

    @staticmethod
    def vehicle(config, context):
        return MQTTVehicle(config, context)

    @staticmethod
    def server(config, context):
        return MQTTBackend(context)
"""


def a_strategy(folder: Path, first_s: str = "3.0") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MAIN)
    (folder / "waits.py").write_text(WAITS.replace("3.0", first_s))
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "__init__.py").write_text("from . import timing\nfrom .other import *\n")
    (folder / "parts" / "timing.py").write_text("MORE_S = 0.25\n")
    (folder / "parts" / "other.py").write_text("X = 1\n")
    (folder / "json.py").write_text("raise RuntimeError('Python has one')\n")
    (folder / "unused.py").write_text("")
    return folder / "mine.py"


def test_what_it_imports_beside_it_is_found(tmp_path: Path) -> None:
    path = a_strategy(tmp_path)
    found = strategy_files(path)
    assert sorted(found) == ["", "parts", "parts.other", "parts.timing", "waits"]
    assert found["parts.timing"] == tmp_path / "parts" / "timing.py"


@pytest.mark.parametrize(
    "text", ["import mine", "from mine import x", "import waits.", "\0", "from .. import a\nfrom . import b"]
)
def test_no_file_is_too_odd(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert strategy_files(tmp_path / "mine.py") == {"": tmp_path / "mine.py"}


def test_each_folder_has_its_own_and_an_edit_is_seen(tmp_path: Path) -> None:
    for name, first_s in (("a", "3.0"), ("b", "7.0"), ("a", "3.0"), ("a", "5.0")):
        a_strategy(tmp_path / name, first_s)
        found = user_class("mine.py:Mine", tmp_path / name)
        assert found.first_s == float(first_s) + 0.25
    assert not list(tmp_path.rglob("__pycache__"))
    (tmp_path / "a" / "waits.py").write_text("import nothing_like_it\n")
    with pytest.raises(UserStrategyError, match=r"^waits\.py:1: ModuleNotFoundError: No module named 'nothing_like_it'$"):
        user_class("mine.py:Mine", tmp_path / "a")


SCENARIO = """\
name: s
script:
  steps: [{at: 0 s, link: up, cell: Tower-A, gateway: city-a}]
  duration: 60 s
network:
  gateways: {city-a: {address: 10.1.1.100}}
workload:
  diagnostics: {every: 10 s}
strategies: [{use: "mine.py:Mine", name: mine}, mqtt_persistent]
replications: 2
"""


def test_an_edit_beside_it_runs_what_depends_on_it_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_strategy(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO)
    words = ["sweep", str(file), "--vary", "mine.again=1,2", "--out", str(tmp_path / "results"), "-j", "2"]
    keys = {}
    for first_s in ("3.0", "5.0"):
        a_strategy(tmp_path, first_s)
        scenario = load(file)
        key = UnitKey(scenario)
        keys[first_s] = run_id(scenario), *(key.of(choice, 0) for choice in scenario.strategies)
        assert {path.name for path in input_files(scenario)} == {
            "s.yaml", "mine.py", "waits.py", "__init__.py", "timing.py", "other.py",
        }  # fmt: skip
    assert [one == other for one, other in zip(*keys.values(), strict=True)] == [False, False, True]
    assert main(words) == 0  # workers load them too
    assert len(list((tmp_path / "results").rglob("*.parquet"))) > 0


def test_a_run_keeps_them_as_they_lie(tmp_path: Path) -> None:
    a_strategy(tmp_path)
    (tmp_path / "s.yaml").write_text(SCENARIO)
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "results"), "-j", "1"]) == 0
    (inputs,) = (tmp_path / "results" / "s").glob("*/inputs")
    assert (inputs / "parts" / "timing.py").is_file()
    assert main(["check", str(inputs / "s.yaml")]) == 0


LATE = """
from waits import Base

class Mine(Base):
    @staticmethod
    def vehicle(config, context):
        import waits, parts.timing as timing
        from parts import timing as same
        assert same is timing
        return waits.FIRST_S + timing.MORE_S
"""


def test_late_imports_are_of_the_strategy_that_makes_them(tmp_path: Path) -> None:
    for name, first_s in (("a", "3.0"), ("b", "7.0")):
        a_strategy(tmp_path / name, first_s).write_text(LATE)
    found = {name: user_class("mine.py:Mine", tmp_path / name) for name in "ab"}
    assert {name: one.vehicle(None, None) for name, one in found.items()} == {"a": 3.25, "b": 7.25}
    assert "waits" not in sys.modules
    for one in found.values():
        assert pickle.loads(pickle.dumps(one.Config(again=4.0))) == one.Config(again=4.0)


def test_a_folder_without_init_and_imports_of_each_other(tmp_path: Path) -> None:
    path = a_strategy(tmp_path)
    (tmp_path / "parts" / "__init__.py").unlink()
    (tmp_path / "parts" / "timing.py").write_text("from . import other\nMORE_S = 0.25 * other.X\n")
    path.write_text(MAIN.replace("from waits", "from .waits").replace("import json", "from . import more"))
    (tmp_path / "more.py").write_text("import waits, parts.other\nassert waits.Base and parts.other.X\n")
    assert user_class("mine.py:Mine", tmp_path).first_s == 3.25
    assert sorted(strategy_files(path)) == ["", "more", "parts.other", "parts.timing", "waits"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("X = 1\nX ==== 2\n", "waits.py:2: SyntaxError: invalid syntax"),
        ("X = 1\n\n1 / 0\n", "waits.py:3: ZeroDivisionError: division by zero"),
        ("import parts.nowhere\n", "waits.py:1: ModuleNotFoundError: No module named 'parts.nowhere'"),
    ],
)
def test_a_mistake_beside_it_is_shown_where_it_is(tmp_path: Path, text: str, says: str) -> None:
    a_strategy(tmp_path)
    (tmp_path / "waits.py").write_text(text)
    with pytest.raises(UserStrategyError) as raised:
        user_class("mine.py:Mine", tmp_path)
    assert str(raised.value) == says


def test_two_versions_of_a_strategy_beside_each_other(tmp_path: Path) -> None:
    for name, first_s in (("v1", "3.0"), ("v2", "7.0")):
        a_strategy(tmp_path / name, first_s)
    both = '{use: "v1/mine.py:Mine", name: v1}, {use: "v2/mine.py:Mine", name: v2}'
    (tmp_path / "s.yaml").write_text(SCENARIO.replace('{use: "mine.py:Mine", name: mine}', both))
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "results"), "-j", "2"]) == 0
