"""Small real runs that the tests of the report share, each simulated once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.report.evidence import Evidence, read_evidence
from sim.scenario.load import load
from sim.study.run import run_scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"

MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Run a shipped scenario with keys replaced (None: removed) and return its folder, without a report."""
    made: dict[str, Path] = {}

    def make(scenario: str = "one_handover", **changes: Any) -> Path:
        key = f"{scenario} {sorted(changes.items())!r}"
        if key not in made:
            content = yaml.safe_load((SCENARIOS / f"{scenario}.yaml").read_text(encoding="utf-8"))
            content |= {"replications": 2, **changes}
            folder = tmp_path_factory.mktemp("run")
            path = folder / f"{Path(scenario).name}.yaml"
            path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
            made[key] = run_scenario(load(path), out=folder, report=False).run_dir
        return made[key]

    return make


@pytest.fixture(scope="session")
def run_dir(make_run: MakeRun) -> Path:
    """The teaching case on two drives."""
    return make_run()


@pytest.fixture(scope="session")
def evidence(run_dir: Path) -> Evidence:
    return read_evidence(run_dir)


@pytest.fixture
def fresh(tmp_path: Path, run_dir: Path) -> Path:
    """A copy of a run's folder that a test may damage, without what an earlier test may have reported."""
    return Path(shutil.copytree(run_dir, tmp_path / "run", ignore=shutil.ignore_patterns("report.*", "figures", "tables")))
