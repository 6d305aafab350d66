"""docs/brokers.md shows what was recorded of real brokers, and the presets are what was recorded."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.live.brokers import BROKERS
from sim.protocols.broker_presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
RECORDED: dict[str, Any] = json.loads((ROOT / "docs" / "brokers.json").read_text(encoding="utf-8"))


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("broker_table", ROOT / "tools" / "broker_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["broker_table"] = module
    spec.loader.exec_module(module)
    return module


TOOL = _tool()


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "brokers.md").read_text(encoding="utf-8")
    assert TOOL.filled(page, RECORDED) == page, "docs/brokers.md is not current: python tools/broker_table.py"


def test_every_broker_that_the_lab_starts_was_recorded_with_version_and_date() -> None:
    assert list(RECORDED) == list(BROKERS)
    for row in RECORDED.values():
        assert any(char.isdigit() for char in row["version"])
        assert len(row["recorded"].split("-")) == 3


@pytest.mark.parametrize("name", list(RECORDED))
def test_the_preset_is_what_was_recorded(name: str) -> None:
    assert TOOL.from_json(RECORDED[name]).differences(PRESETS[BROKERS[name].preset][0]) == {}


@pytest.mark.parametrize("name", list(RECORDED))
def test_the_version_of_the_preset_is_the_one_recorded(name: str) -> None:
    """Product and number: mosquitto 2.0.11, RabbitMQ 3.10.8, aedes 1.2.0, amqtt 0.12.1."""
    product = " ".join(RECORDED[name]["version"].split()[:2])
    assert PRESETS[BROKERS[name].preset][0].version.startswith(product)


def test_a_difference_would_be_seen_in_the_table() -> None:
    row = json.loads(json.dumps(RECORDED["mosquitto"]))
    row["seen"]["inflight_limit"] = 7
    assert "| `inflight_limit` | 20 | 7 | **differs** |" in TOOL.page_part({"mosquitto": row})


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["probe", "127.0.0.1"], "'127.0.0.1' is not HOST:PORT, as 127.0.0.1:1883"),
        (["probe", "127.0.0.1:1"], "127.0.0.1:1: no connection: connection refused"),
        (
            ["validate", str(ROOT / "scenarios" / "one_handover.yaml"), "--broker", "rabitmq"],
            "no broker 'rabitmq': embedded, mosquitto, rabbitmq, aedes, aedes_memory, amqtt, or HOST:PORT of one that runs",
        ),
        (
            ["live", str(ROOT / "scenarios" / "one_handover.yaml"), "--broker", "nobody"],
            "no broker 'nobody': embedded, mosquitto, rabbitmq, aedes, aedes_memory, amqtt, or HOST:PORT of one that runs",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line_and_exit_code_2(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()[-1]) == ("", line)
