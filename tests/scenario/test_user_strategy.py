# ruff: noqa: E501 - a table of lines reads best with a line a row
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.scenario.scenario import Scenario
from sim.scenario.user_strategy import place_in_user_file, user_class

GOOD = '''
"""A strategy of one's own."""
from __future__ import annotations
from dataclasses import dataclass
from sim.settings import setting
from sim.strategies.config import MQTTConnection

@dataclass(frozen=True)
class Settings(MQTTConnection):
    nap_s: float = setting(2.0, "a nap", above=0.0)
    copy: int = 3

class Mine:
    Config = Settings

    @staticmethod
    def vehicle(config, context):
        raise RuntimeError("no such road")

    @staticmethod
    def server(config, context):
        return None

class Bare:
    pass

class Half:
    Config = Settings
    vehicle = staticmethod(print)
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(GOOD, encoding="utf-8")
    return path


def _text(minimal: str, item: str) -> str:
    return minimal.replace("[mqtt_persistent, hybrid]", f"[{item}]")


def test_its_settings_are_read_as_any_others(read: Callable[..., Scenario], minimal: str, mine: Path) -> None:
    item = "{use: 'mine.py:Mine', name: mine, nap: 500 ms, copy: 4, keep_alive: 5 s, backoff: none}"
    (choice,) = read(_text(minimal, item)).strategies
    assert (choice.use, choice.name) == ("mine.py:Mine", "mine")
    assert dataclasses.is_dataclass(choice.config)
    config = choice.config
    assert (config.nap_s, config.copy, config.keep_alive_s, config.backoff.policy) == (0.5, 4, 5.0, "none")
    assert not list(mine.parent.glob("**/__pycache__"))


def test_its_name_is_what_is_used_where_none_is_given(read: Callable[..., Scenario], minimal: str, mine: Path) -> None:
    scenario = read(_text(minimal, "'mine.py:Mine'"), sets=["mine.py:Mine.nap=3 s"])
    assert scenario.strategies[0].name == "mine.py:Mine"
    assert scenario.strategies[0].config.nap_s == 3.0


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("{use: 'mine.py:Mine', nap: 5}", "t.yaml:3:41: strategies.0.nap: 5 has no unit, expected a duration such as 30 s "
         "(ms, s, min, h, d)"),
        ("{use: 'mine.py:Mine', nappy: 5 s}", "t.yaml:3:36: strategies.0.nappy: unknown key, did you mean nap"),
        ("'mine.py:Mien'", "t.yaml:3:14: strategies.0: mine.py has no class Mien, it has: Settings, Mine, Bare, Half"),
        ("'mine.py:Bare'", "t.yaml:3:14: strategies.0: class Bare of mine.py needs a dataclass `Config` with its settings"),
        ("'mine.py:Half'", "t.yaml:3:14: strategies.0: class Half of mine.py needs `server(config, context)`"),
    ],
)  # fmt: skip
def test_mistakes(errors: Callable[..., list[str]], minimal: str, mine: Path, item: str, line: str) -> None:
    assert errors(_text(minimal, item)) == [line]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import nosuchmodule\n", "t.yaml:3:14: strategies.0: mine.py:1: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("def f(:\n", "t.yaml:3:14: strategies.0: mine.py:1: SyntaxError: invalid syntax"),
        ("x = 1\nraise SystemExit(3)\n", "t.yaml:3:14: strategies.0: mine.py:2: SystemExit: 3"),
        ("x = 1\ny = x / 0\n", "t.yaml:3:14: strategies.0: mine.py:2: ZeroDivisionError: division by zero"),
        (GOOD.replace("copy: int", "name: int"), "t.yaml:3:14: strategies.0: setting 'name' of mine.py:Mine has the name of a key of "
         "the scenario file, choose another"),
        (GOOD.replace("copy: int", "copy: set[int]"), "t.yaml:3:14: strategies.0: setting 'copy' has a type that a scenario file "
         "cannot give: set[int]"),
        (GOOD.replace("copy: int", "copy: Nowhere"), "t.yaml:3:14: strategies.0: the types of mine.py:Mine cannot be read: name 'Nowhere' is not defined"),
    ],
)  # fmt: skip
def test_files_that_do_not_load(errors: Callable[..., list[str]], minimal: str, mine: Path, source: str, line: str) -> None:
    mine.write_text(source, encoding="utf-8")
    assert errors(_text(minimal, "'mine.py:Mine'")) == [line]


def test_where_a_later_error_came_from(mine: Path) -> None:
    cls = user_class("mine.py:Mine", mine.parent)
    with pytest.raises(RuntimeError) as raised:
        cls.vehicle(None, None)
    assert place_in_user_file(raised.value) == f"{mine}:18"
    assert place_in_user_file(ValueError("elsewhere")) is None
