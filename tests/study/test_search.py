"""Sensitivity finds what matters, tuning finds what is good; both go on where they stopped."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sim.measure.metrics_catalog import METRICS
from sim.measure.summary import COMPARED_FLEET
from sim.report.search_pages import write_sensitivity_report
from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load
from sim.scenario.space import Range, parse_ranges
from sim.scenario.sweep import open_scenario
from sim.study.search import NothingMeasured, Searched, with_data
from sim.study.search_runs import run_sensitivity
from sim.study.sensitivity import analyse
from sim.study.tune import JOURNAL, OBJECTIVES, OBJECTIVES_FLEET, _front, as_yaml, objectives_of, table, tune
from sim.study.tune import Trial as Done

pytest.importorskip("SALib")
pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]


def searched(path, tmp_path, **options):
    options.setdefault("strategies", ["mqtt_persistent"])
    return Searched(open_scenario(path, replications=2, **options), tmp_path / "results")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b=10 s..60 s", Range("a.b", 10.0, 60.0, "s")),
        ("a=0.5..2", Range("a", 0.5, 2.0)),
        ("a=1..8", Range("a", 1.0, 8.0, whole=True)),
        ("a=1 s..100 s log", Range("a", 1.0, 100.0, "s", log=True)),
        ("a=x,3 s", Range("a", choices=("x", "3 s"))),
    ],
)
def test_ranges_are_read(text, found):
    assert parse_ranges([text]) == [found]


@pytest.mark.parametrize("text", ["a", "a=5 s", "a=9 s..3 s", "a=1 s..2 min", "a=0 s..3 s log", "a=x..y", "=1..2"])
def test_wrong_ranges_are_one_line(text):
    with pytest.raises(ScenarioErrors) as found:
        parse_ranges([text])
    assert len(found.value.lines) == 1
    assert found.value.lines[0].startswith("--over ")


def test_values_are_written_to_three_digits_and_stay_in_their_range():
    assert Range("a", 1.0, 60.0, "s").written(12.3456) == "12.3 s"
    assert Range("a", 1.234567, 60.0, "s").written(1.234567) == "1.234567 s"
    assert Range("a", 1.0, 9.0, whole=True).written(4.6) == 5


def test_a_range_that_the_scenario_does_not_allow_is_refused_before_anything_runs(write, tmp_path):
    here = searched(write(), tmp_path)
    for over in ("mqtt_persistent.keep_alive=-5 s..3 s", "mqtt_persistent.keep_alive=1..3", "nobody.poll=1 s..2 s"):
        with pytest.raises(ScenarioErrors) as found:
            here.check(parse_ranges([over]))
        assert all(line.startswith("--over") for line in found.value.lines)
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sobol", "morris"])
def test_the_key_that_matters_is_found(write, tmp_path, method):
    """The delay of the reassignment lengthens the recovery; the lifetime of a name nobody looks up does nothing."""
    here = searched(write(), tmp_path)
    ranges = parse_ranges(["network.reassignment.delay=0.5 s..8 s", "hybrid.poll=10 s..90 s"])
    rows = analyse(here, ranges, ["recovery_s.mean", "ota.lost"], method, samples=8)
    size = "ST" if method == "sobol" else "mu_star"
    found = {row["key"]: row[size] for row in rows.filter(metric="recovery_s.mean").iter_rows(named=True)}
    assert found["hybrid.poll"] == pytest.approx(0.0, abs=1e-9)
    assert found["network.reassignment.delay"] > 0.5
    assert rows.filter(metric="ota.lost")[size].is_null().all()  # nothing moves it
    assert analyse(here, ranges, ["recovery_s.mean", "ota.lost"], method, samples=8).equals(rows)


def test_choices_have_no_distance(write, tmp_path):
    with pytest.raises(ScenarioErrors, match="not choices"):
        analyse(searched(write(), tmp_path), parse_ranges(["server.tls=classical,pqc"]), ["recovery_s.mean"])


def test_a_metric_without_data_is_one_line(write, tmp_path):
    with pytest.raises(NothingMeasured, match=r"diagnostics\.lost has no data for mqtt_persistent"):
        searched(write(), tmp_path).means([{}], ["diagnostics.lost"])


OVER = ["mqtt_persistent.keep_alive=5 s..90 s", "mqtt_persistent.address_watch=poll,link_event,off"]
GOALS = ("all.latency_s.mean_capped", "bytes.total")


def test_a_fleet_is_tuned_for_what_a_fleet_is_about():
    fleet = load(ROOT / "scenarios" / "rush_hour_outage.yaml")
    assert objectives_of(fleet)[0] == "fleet.back_s.p95"
    assert not any(name.startswith("fleet.back_s") for name in objectives_of(replace(fleet, faults=())))
    assert objectives_of(replace(fleet, fleet=None)) == OBJECTIVES
    assert set(OBJECTIVES_FLEET) <= set(METRICS)


def test_sensitivity_of_a_fleet_without_faults_asks_for_what_has_data(tmp_path):
    """By its defaults: nobody comes back where nobody was cut off."""
    text = (ROOT / "scenarios" / "rush_hour_outage.yaml").read_text()
    text = text.replace("simulated: 20000, start_over: 15 min", "simulated: 10, start_over: 1 min")
    text = text.replace("faults:\n  - {kind: balancer_change, at: 16 min, for: 2 min}\n", "")
    (tmp_path / "fleet.yaml").write_text(text)
    over = "mqtt_persistent.keep_alive=15 s..120 s"
    source = open_scenario(tmp_path / "fleet.yaml", strategies=["mqtt_persistent"], replications=1)
    folder, rows = run_sensitivity(Searched(source, tmp_path), parse_ranges([over]), (), "morris", 2, "", lambda *_: None)
    assert set(rows["metric"]) == set(with_data(COMPARED_FLEET, source.base))
    assert "fleet.handshakes_per_s" in set(rows["metric"])
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize(
    ("sizes", "halves", "clear"),
    [
        ([1.0, 0.1], [0.2, 0.1], True),
        ([0.1, 1.0], [0.1, 0.2], True),
        ([1.49, 0.78], [1.30, 1.49], False),  # they may be the other way round
        ([0.4, 0.0], [0.5, 0.0], False),  # its own interval holds 0
        ([1.0, 0.8], [0.2, 0.2], False),
        ([1.0], [0.2], True),
        ([1.0, None], [0.2, None], False),
    ],
)
def test_a_key_is_named_where_the_samples_carry_it(tmp_path, sizes, halves, clear):
    of = {"strategy": "hybrid", "metric": "bytes.total"}
    numbers = [{"S1": size, "S1_conf": half, "ST": size, "ST_conf": half} for size, half in zip(sizes, halves, strict=True)]
    rows = pl.DataFrame([{**of, "key": f"hybrid.k{at}", **one} for at, one in enumerate(numbers)])
    text = write_sensitivity_report(tmp_path, "x", rows, [], "").with_suffix(".md").read_text()
    assert ("is driven most by" in text) == clear
    assert ("too few to say which key drives" in text) == ("take more --samples" in text) == (not clear)


def test_the_front_is_what_nothing_beats():
    trials = [Done(n, {}, {GOALS[0]: a, GOALS[1]: b}) for n, (a, b) in enumerate([(1, 9), (2, 5), (3, 6), (9, 1), (2, 5)])]
    assert [trial.number for trial in _front(trials, GOALS)] == [0, 1, 3]


@pytest.mark.slow
def test_tuning_finds_the_link_event_and_its_yaml_runs(write, tmp_path):
    here = searched(write(), tmp_path)
    tuned = tune(here, parse_ranges(OVER), "mqtt_persistent", objectives=GOALS, trials=14)
    assert len(tuned.trials) == 14
    assert tuned.best.values["mqtt_persistent.address_watch"] == "link_event"
    best = min(trial.metrics[GOALS[0]] for trial in tuned.trials)
    assert tuned.best.metrics[GOALS[0]] == best
    assert table(tuned).height == 14
    (tmp_path / "tuned.yaml").write_text(as_yaml(here, tuned, tuned.best))
    again = load(tmp_path / "tuned.yaml", strategies=["mqtt_persistent"])
    assert again.strategies[0].config.address_watch == "link_event"
    measured = Searched(open_scenario(tmp_path / "tuned.yaml", strategies=["mqtt_persistent"]), tmp_path / "fresh").means(
        [{}], GOALS
    )
    assert measured[0]["mqtt_persistent"] == tuned.best.metrics


@pytest.mark.slow
def test_an_interrupted_tuning_suggests_what_an_uninterrupted_one_does(write, tmp_path):
    path, ranges = write(), parse_ranges(OVER)
    whole = tune(searched(path, tmp_path / "whole"), ranges, "mqtt_persistent", objectives=GOALS, trials=13)
    half = tune(searched(path, tmp_path / "half"), ranges, "mqtt_persistent", objectives=GOALS, trials=6)
    assert (half.run_dir / JOURNAL).is_file()
    on = tune(searched(path, tmp_path / "half"), ranges, "mqtt_persistent", objectives=GOALS, trials=13)
    assert on.run_dir == half.run_dir
    assert on.trials[:6] == half.trials
    assert on.trials == whole.trials


@pytest.mark.slow
def test_a_trial_that_was_cut_off_leaves_no_gap(write, tmp_path, monkeypatch):
    path, ranges = write(), parse_ranges(OVER)
    whole = tune(searched(path, tmp_path / "whole"), ranges, "mqtt_persistent", objectives=GOALS, trials=5)
    means, calls = Searched.means, []

    def cut_off(*words):
        calls.append(words)
        if len(calls) in (3, 4):
            raise KeyboardInterrupt
        return means(*words)

    monkeypatch.setattr(Searched, "means", cut_off)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(searched(path, tmp_path / "cut"), ranges, "mqtt_persistent", objectives=GOALS, trials=5)
    on = tune(searched(path, tmp_path / "cut"), ranges, "mqtt_persistent", objectives=GOALS, trials=5)
    assert on.trials == whole.trials


@pytest.mark.slow
def test_the_commands(write, tmp_path):
    path, out = str(write()), ["--out", str(tmp_path / "results"), "--replications", "2"]

    def sim(*words):
        command = [sys.executable, "-m", "sim", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    found = sim("tune", path, "--strategy", "hybrid", "--over", "hybrid.poll=5 s..60 s", "--trials", "3", *out)
    assert found.returncode == 0, found.stderr
    (tmp_path / "tuned.yaml").write_text(found.stdout)
    assert load(tmp_path / "tuned.yaml").strategies[1].config.poll_s != 60.0
    found = sim("sensitivity", path, "--over", "hybrid.poll=5 s..60 s", "--samples", "2", "--metric", "recovery_s.mean", *out)
    assert found.returncode == 0, found.stderr
    pages = sorted((tmp_path / "results" / "short").glob("*/report.html"))
    assert [page.parent.name.split("-")[0] for page in pages] == ["sensitivity", "tune"]
    for wrong in (
        ["tune", path, "--over", "hybrid.poll=5 s..60 s"],  # of several strategies
        ["tune", path, "--strategy", "hybrid"],
        ["tune", path, "--strategy", "hybrid", "--over", "mqtt_persistent.keep_alive=5 s..60 s"],  # of another strategy
        ["tune", path, "--strategy", "hybrid", "--over", "hybrid.poll=5 s..60 s", *("--objective", "bytes.total") * 2],
        ["tune", path, "--strategy", "hybrid", "--over", "hybrid.pol=5 s..60 s"],
        ["tune", path, "--strategy", "hybrid", "--over", "hybrid.poll=5 s..60 s", "--objective", "all.lots"],
        ["sensitivity", path, "--over", "hybrid.poll=5 s..60 s", "--samples", "3"],
    ):
        found = sim(*wrong, *out)
        assert found.returncode == 2
        assert len(found.stderr.strip().splitlines()) == 1, found.stderr
