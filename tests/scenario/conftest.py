from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load
from sim.scenario.scenario import Scenario

#: The least that a scenario needs; tests put their own lines after or into it.
MINIMAL = """\
name: t
script: {steps: [{at: 0 s, link: up, gateway: a}], duration: 60 s}
strategies: [mqtt_persistent, hybrid]
"""


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_text(text: str) -> Path:
        path = tmp_path / "t.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def read(write: Callable[[str], Path]) -> Callable[..., Scenario]:
    """Load a text with options."""
    return lambda text=MINIMAL, **options: load(write(text), **options)


@pytest.fixture
def errors(write: Callable[[str], Path]) -> Callable[..., list[str]]:
    """The error lines of a text, the folder of the file taken off."""

    def of(text: str = MINIMAL, **options: object) -> list[str]:
        path = write(text)
        with pytest.raises(ScenarioErrors) as raised:
            load(path, **options)  # type: ignore[arg-type]
        return [line.replace(f"{path.parent}/", "") for line in raised.value.lines]

    return of
