from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure

from sim.measure.episode_labels import LABELS
from sim.report import figures
from sim.report.canvas import inline_svg, png_bytes, svg_bytes
from sim.report.evidence import Evidence, read_evidence
from sim.report.palette import CSS_VARIABLES, FILLS, styles

from .conftest import MakeRun
from .figure_texts import assert_texts_stay_inside_and_apart, texts

FIGURES: dict[str, Callable[[Evidence], Figure]] = {
    "trade_off": lambda e: figures.trade_off(e.metrics, e.strategies),
    "drive_lanes": lambda e: figures.drive_lanes(e.run, e.episodes),
    "zoom": lambda e: figures.zoom(e.run, figures.zoom_events(e.run, e.episodes)[0], e.episodes),
    "recovery_bars": lambda e: figures.recovery_bars(e.metrics, e.strategies),
    "latency_distribution": lambda e: figures.latency_distribution(e.run.messages, e.strategies),
    "loss_ledger": lambda e: figures.loss_ledger(e.run.messages, e.strategies),
    "backoff_ladder": lambda e: figures.backoff_ladder(e.run.connections, e.strategies),
}


@pytest.fixture(scope="module")
def gap(make_run: MakeRun) -> Evidence:
    """A minute without coverage: failed attempts, backoff, losses, polls."""
    return read_evidence(make_run("coverage_gap"))


@pytest.fixture(scope="module")
def crowd(make_run: MakeRun) -> Evidence:
    """A dozen variants with long names, some of which behave alike."""
    names = [(keep, poll) for keep in (10, 60, 120) for poll in (5, 10, 30, 60)]
    variants = [
        {
            "use": "mqtt_persistent",
            "name": f"mqtt_persistent,keep_alive={keep}s,address_poll={poll}s",
            "keep_alive": f"{keep} s",
            "address_poll": f"{poll} s",
        }
        for keep, poll in names
    ]
    return read_evidence(make_run(strategies=["mqtt_persistent", "hybrid", "static_push", *variants]))


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_draws_a_small_run(name: str, evidence: Evidence) -> None:
    figure = FIGURES[name](evidence)
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert b"<svg" in svg_bytes(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_names_the_strategies_and_has_the_same_bytes_twice(name: str, gap: Evidence) -> None:
    first, second = FIGURES[name](gap), FIGURES[name](gap)
    shown = texts(first)
    for strategy in ("mqtt_persistent", "hybrid"):
        assert strategy in shown
    assert svg_bytes(first) == svg_bytes(second)
    assert png_bytes(first) == png_bytes(second)


@pytest.mark.parametrize("name", FIGURES)
def test_texts_stay_inside_the_figure_and_off_each_other(name: str, gap: Evidence, crowd: Evidence) -> None:
    for evidence in (gap, crowd):
        assert_texts_stay_inside_and_apart(FIGURES[name](evidence))


def test_frames_are_enough_for_a_notebook(evidence: Evidence) -> None:
    run = evidence.run
    for figure in (
        figures.drive_lanes(run),
        figures.zoom(run, run.disruptions.row(0, named=True)),
        figures.latency_distribution(run.messages),
        figures.loss_ledger(run.messages),
        figures.backoff_ladder(run.connections),
        figures.trade_off(evidence.metrics),
        figures.recovery_bars(evidence.metrics),
    ):
        assert isinstance(figure, Figure)


def test_drawing_leaves_the_callers_settings_alone(evidence: Evidence) -> None:
    before = dict(matplotlib.rcParams)
    svg_bytes(FIGURES["trade_off"](evidence))
    assert dict(matplotlib.rcParams) == before


def test_every_label_has_a_fill_and_every_colour_a_dark_one() -> None:
    assert set(FILLS) == set(LABELS)
    for fill in FILLS.values():
        assert fill.colour in CSS_VARIABLES
        assert fill.text in CSS_VARIABLES
    assert len({variable for variable, _ in CSS_VARIABLES.values()}) == len(CSS_VARIABLES)


def test_thirty_strategies_look_different() -> None:
    looks = styles([f"variant {number}" for number in range(30)])
    seen = {(look.colour, look.marker, str(look.dashes), look.hollow) for look in looks.values()}
    assert len(seen) >= 24


def test_inline_svg_is_themed_unique_and_points_nowhere(evidence: Evidence) -> None:
    svg = inline_svg(svg_bytes(FIGURES["drive_lanes"](evidence)), "lanes", 'a "title" & <more>')
    assert svg.startswith("<svg")
    assert "http" not in svg
    assert 'aria-label="a &quot;title&quot; &amp; &lt;more&gt;"' in svg
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r"(url\(#|href=\"#)[^)\"]+", "", svg)), "a colour without a dark value"
    defined = re.findall(r' id="([^"]+)"', svg)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg)) <= set(defined)
    assert all(name.startswith("lanes-") for name in defined)


def test_names_are_text_not_formulas(make_run: MakeRun, tmp_path: Path) -> None:
    name: Any = "$x_1$ & <b>"
    evidence = read_evidence(make_run(strategies=["hybrid", {"use": "mqtt_persistent", "name": name}]))
    for draw in FIGURES.values():
        svg_bytes(draw(evidence))
    assert name in texts(FIGURES["drive_lanes"](evidence))
