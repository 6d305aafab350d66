"""docs/validation.md shows what was recorded of the matrix, as it came out."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("agreement", ROOT / "tools" / "agreement.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agreement"] = module
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
CELL = "packet one_handover rabbitmq 10s"


def row(where: str, difference: float | None, *, agrees: bool = True, comparable: bool = True, **more: Any) -> dict[str, Any]:
    said = {"strategy": "hybrid", "where": where, "what": "delivered", "model": 31.0, "model_to": None, "live": 31.5}
    return {
        **said, "difference": difference, "agrees": agrees, "comparable": comparable, "at_s": 30.0, "allowed_s": 0.25, **more
    }  # fmt: skip


def recorded(*rows: dict[str, Any], overloaded: bool = False) -> dict[str, Any]:
    agrees = all(one["agrees"] for one in rows)
    seen = TOOL.summary({"agrees": agrees, "overloaded": overloaded, "rows": list(rows)})
    about = {"state": "0", "commit": "abc1234", "recorded": "2026-11-25", "broker": ["RabbitMQ 3.10.8"]}
    return {CELL: {**about, **seen, "lateness": {"timers": {"n": 9, "p99_s": 0.001, "max_s": 0.004}}}}


def test_the_page_is_current() -> None:
    seen = json.loads((ROOT / "docs" / "agreement.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert TOOL.filled(page, seen) == page, "docs/validation.md is not current: python tools/agreement.py"


def test_a_row_counts_what_was_compared() -> None:
    part = TOOL.page_part(recorded(row("message ota 1", 0.01), row("message ota 2", 0.03), row("push 1", 9.0, comparable=False)))
    assert "| `one_handover` | 10 s | RabbitMQ 3.10.8 | 2 | 2 | 1 | 20 ms | 30 ms | 4 ms | nothing |" in part
    assert "Not recorded: 17 of 18." in part


def test_what_parts_is_shown_with_its_first_record() -> None:
    rows = (row("message ota 2", 0.5, agrees=False, at_s=40.0), row("push 1", None, agrees=False), row("message ota 1", 0.01))
    part = TOOL.page_part(recorded(*rows))
    assert "| 3 | 1 | 0 |" in part
    assert "| **2**, first hybrid, push 1, delivered: model 31.000, live 31.500 |" in part
    assert "the machine was overloaded" in TOOL.page_part(recorded(*rows, overloaded=True))


def test_what_could_not_be_run_is_shown_too() -> None:
    seen = {CELL: {"state": "0", "commit": "abc1234", "recorded": "2026-11-25", "agrees": False, "failed": "no node"}}
    assert "| **not run**: no node |" in TOOL.page_part(seen)


def test_it_goes_on_where_it_stopped_and_measures_changed_code_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = recorded(row("message ota 1", 0.5, agrees=False))
    monkeypatch.setattr(TOOL, "state", lambda: "0")
    assert len(TOOL.wanting(seen, (), again=False)) == len(TOOL.cells()) - 1 == 35
    assert [cell.name for cell in TOOL.wanting(seen, ("packet", "one_handover", "rabbitmq"), again=True)] == [
        "packet one_handover rabbitmq 30s", CELL
    ]  # fmt: skip
    monkeypatch.setattr(TOOL, "state", lambda: "1")
    assert len(TOOL.wanting(seen, (), again=False)) == 36


def test_every_strategy_with_a_keep_alive_gets_that_of_the_row() -> None:
    cell = TOOL.Cell("packet", "coverage_gap", "mosquitto", 10)
    named = ("mqtt_persistent", "keep_alive_10s", "jitter", "hybrid", "mqtt_clean_session")
    assert sorted(cell.sets()) == sorted(f"{name}.keep_alive=10 s" for name in named)
    assert cell.takes_s() == pytest.approx(350.0)
