"""The headline of a page about many runs says nothing that its tables deny."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sim.report.answer import answer
from sim.report.comparison_page import Change, Verdict, _gate_headline
from sim.report.evidence import read_evidence
from sim.report.numbers import difference
from sim.report.search_pages import write_tuning_report
from sim.report.sweep_page import write_sweep_report
from sim.scenario.sweep import load_sweep
from sim.study.sweep import run_sweep

from .conftest import SCENARIOS, MakeRun

LATENCY, DATA = "all.latency_s.mean_capped", "mb_per_vehicle_month"


def change(verdict: str) -> Change:
    return Change("hybrid", DATA, 10.0, 11.0, 1.0, 0.5, 1.5, verdict, 0.01)


def test_a_gate_that_passes_says_what_is_worse_all_the_same() -> None:
    passed = [Verdict("pass", "x")] * 2
    assert _gate_headline(passed, [change("no evidence")]) == "HEAD is not worse than BASE: all 2 checks pass."
    assert _gate_headline(passed, [change("worse")]) == (
        "All 2 checks pass; worse, within what they allow or asked for by none: hybrid on data a month."
    )
    assert _gate_headline([Verdict("worse", "x")], []) == "HEAD is worse than BASE: 1 of 1 checks failed."


def test_an_interval_that_holds_0_keeps_its_sign() -> None:
    assert difference(LATENCY, 0.077, -0.319, 0.504) == "77\u00a0ms (−319 to 504)"
    assert difference(LATENCY, -0.077, -0.504, 0.319) == "77\u00a0ms (−319 to 504)"
    assert difference(LATENCY, -0.05, -0.062, -0.04) == "50\u00a0ms (40–62)"


def test_who_falls_behind_is_behind_the_one_that_the_evidence_puts_ahead(make_run: MakeRun) -> None:
    """Several lead together, and only beside the best of them is a strategy shown to be behind."""
    found = answer(read_evidence(make_run("coverage_gap", replications=10, objectives=None)))
    behind = [line for line in found.support if "falls behind" in line]
    assert behind
    assert not any("−" in line for line in behind), "no interval of what is said to be behind holds 0"


@pytest.mark.parametrize("moves", [False, True])
def test_a_tuning_is_best_on_an_objective_that_something_moved(moves: bool, tmp_path: Path) -> None:
    trials = pl.DataFrame(
        {"trial": [0, 1], "k": ["1 s", "2 s"], LATENCY: [0.5, 0.5], "bytes.total": [2e6, 1e6 if moves else 2e6],
         "front": [False, True]}
    )  # fmt: skip
    best = {LATENCY: 0.5, "bytes.total": float(trials["bytes.total"][1])}
    page = write_tuning_report(tmp_path, "t", trials, ["k"], [LATENCY, "bytes.total"], best, 1, [], "", "k: 2 s")
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    if moves:
        assert "**Trial 1 is best on data: " in text
        assert "Nothing that was tried moves mean latency" in text
    else:
        assert "**Nothing that was tried moves an objective" in text
        assert "is best on" not in text


def test_a_sweep_whose_differences_may_be_chance_says_so_first(tmp_path: Path) -> None:
    """Two drives carry no verdict; a key that does nothing to a strategy is not named beside its best point."""
    varied = ["mqtt_persistent.keep_alive=10 s,60 s", "hybrid.poll=10 s,60 s"]
    plan = load_sweep(SCENARIOS / "coverage_gap.yaml", varies=varied, replications=2)
    folder = run_sweep(plan, out=tmp_path, report=False, metrics=[LATENCY]).run_dir
    text = write_sweep_report(folder).with_name("report.md").read_text(encoding="utf-8")
    headline = next(line for line in text.splitlines() if line.startswith("**"))
    assert "mqtt_persistent goes from" in headline
    assert "may be chance: no difference to the first point holds" in headline
    assert "## What does not hold" in text
    (caption,) = [line for line in text.splitlines() if line.startswith("mqtt_persistent has its best mean at")]
    assert "hybrid.poll" not in caption.partition("Bars are")[0]
