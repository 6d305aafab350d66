"""Runs at the edges: what they lack, the report leaves out or says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.report.evidence import read_evidence
from sim.report.page import write_report
from sim.report.settings_table import variants

from .conftest import SCENARIOS, MakeRun
from .test_page import outline

QUIET: dict[str, Any] = {"steps": [{"at": "0 s", "link": "up", "cell": "A", "gateway": "city-a"}], "duration": "60 s"}
OTA: dict[str, Any] = {"image": "1 MiB", "chunk": "256 KiB", "every": "5 s"}


def written(folder: Path) -> tuple[str, set[str]]:
    """The page's text and the names of the figures; the page is well formed."""
    page = write_report(folder).read_text(encoding="utf-8")
    outline(page)
    return page, {path.stem for path in (folder / "figures").glob("*.svg")}


def headline(folder: Path) -> str:
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    return next(line for line in markdown.splitlines() if line.startswith("**"))


def test_one_drive_draws_no_interval_and_calls_nothing_best(make_run: MakeRun) -> None:
    folder = make_run(replications=1)
    page, _ = written(folder)
    assert "One drive is no evidence" in headline(folder)
    assert "nothing can be called best" in page
    assert 'class="best"' not in page


def test_one_strategy_has_no_comparison(make_run: MakeRun) -> None:
    folder = make_run(strategies=["hybrid"])
    page, names = written(folder)
    assert headline(folder).startswith("**hybrid on 2 drives: delivery within")
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    method = markdown.partition("**hybrid")[2].partition("## The configuration")[0]
    for word in ("strategies", "each strategy", "every strategy", "best", "behind it", "falls", "compared"):
        assert word not in method, word
    assert "trade_off" not in names
    assert "In numbers" in page
    assert "Strategies compared" not in page
    assert 'class="best"' not in page


def test_no_probes(make_run: MakeRun) -> None:
    page, _ = written(make_run(workload={"ota": OTA, "probes": None}))
    assert "reachable" not in page.split('id="compared"')[1].split("</thead>")[0]
    assert "probe requests answered" not in page


def test_nothing_but_probes(make_run: MakeRun) -> None:
    folder = make_run(workload={})
    page, names = written(folder)
    assert "own probes" in headline(folder)
    assert not names & {"latency_distribution", "loss_ledger", "trade_off"}
    assert "No message was created but the lab" in page


def test_a_drive_without_disruptions_has_no_recovery_and_no_zoom(make_run: MakeRun) -> None:
    page, names = written(make_run(script=QUIET))
    assert not [name for name in names if name.startswith("zoom")]
    assert "recovery_bars" not in names
    assert "nothing had to recover" in page
    assert "nothing disturbed the link" in page
    assert "Nothing was lost, late, pending or handed over twice" in page


def test_baselines_alone_are_compared_with_each_other(make_run: MakeRun) -> None:
    folder = make_run(strategies=["mqtt_clean_session", "static_push"], replications=4)
    _, names = written(folder)
    assert "mqtt_clean_session" in headline(folder)
    assert "loss_ledger" in names


def test_strategies_that_behave_alike_are_not_ranked(make_run: MakeRun) -> None:
    folder = make_run(strategies=["mqtt_persistent", {"use": "mqtt_persistent", "name": "twin"}])
    page, _ = written(folder)
    assert "delivered alike in each of 2 drives" in headline(folder)
    assert 'class="best"' not in page
    assert 'class="joint"' not in page


def test_many_variants_with_long_names(make_run: MakeRun) -> None:
    variants = [
        {"use": "mqtt_persistent", "name": f"mqtt_persistent,keep_alive={keep}s,address_poll={poll}s", "keep_alive": f"{keep} s",
         "address_poll": f"{poll} s"}
        for keep in (10, 20, 60, 120) for poll in (5, 30, 60)
    ]  # fmt: skip
    folder = make_run(strategies=["mqtt_persistent", "ddns_heartbeat", *variants])
    page, _ = written(folder)
    assert "keepalive=120" in page
    assert len(headline(folder)) < 400
    assert len(page) < 3_000_000
    settings = (folder / "tables" / "settings.csv").read_text(encoding="utf-8").splitlines()
    assert len(settings) == 1 + 2 * len(variants)


def test_a_variant_is_set_against_its_base(make_run: MakeRun) -> None:
    tuned = {"use": "mqtt_persistent", "name": "tuned", "address_watch": "link_event", "backoff": {"policy": "full_jitter"}}
    folder = make_run(strategies=["mqtt_persistent", tuned], replications=6)
    page, _ = written(folder)
    rows = (folder / "tables" / "settings.csv").read_text(encoding="utf-8")
    assert "tuned,mqtt_persistent,address_watch,poll,poll,link_event" in rows
    assert "tuned,mqtt_persistent,backoff.policy,exponential,exponential,full_jitter" in rows
    assert "base: mqtt_persistent" in page


def test_every_setting_in_which_a_users_own_strategy_differs_is_in_the_table(make_run: MakeRun) -> None:
    """`eager` starts from the settings of strategy 1, changes some and has two of its own; `sync` has only its own."""
    folder = SCENARIOS.parent / "docs" / "examples"
    own = [
        "mqtt_persistent",
        {"use": f"{folder}/eager_mqtt.py:EagerMQTT", "name": "eager"},
        {"use": f"{folder}/sync_only.py:SyncOnly", "name": "sync"},
    ]
    evidence = read_evidence(make_run(strategies=own))
    eager, sync = variants(evidence)
    assert eager.base == "mqtt_persistent"
    assert {knob.name: (knob.seed, knob.value) for knob in eager.knobs} == {
        "address_watch": ("poll", "link_event"),
        "answer": ("", "4 s"),
        "backoff.cap": ("60 s", "20 s"),
        "backoff.policy": ("exponential", "full_jitter"),
        "silent": ("", "8 s"),
    }
    assert eager.effects
    assert sync.base == ""
    assert {"every", "timeout"} <= {knob.name for knob in sync.knobs}


def test_a_first_strategy_that_departs_from_the_seed_has_nothing_to_be_compared_with(make_run: MakeRun) -> None:
    page, _ = written(make_run(strategies=[{"use": "mqtt_persistent", "name": "fast", "keep_alive": "5 s"}]))
    assert "no base to compare with" in page
    assert "client.connect(host, 8883, keepalive=5)" in page


@pytest.mark.parametrize("scenario", ["seed_message_flow", "same_anchor_handover", "coverage_gap", "recorded_drive"])
def test_other_shipped_scenarios(scenario: str, make_run: MakeRun) -> None:
    if scenario == "recorded_drive":
        log = Path(__file__).resolve().parents[2] / "scenarios" / "drives" / "cicv5g_south_n8_v10_01.csv"
        import yaml

        content = yaml.safe_load((log.parents[1] / "recorded_drive.yaml").read_text(encoding="utf-8"))
        folder = make_run(scenario, recorded={**content["recorded"], "file": str(log)})
    else:
        folder = make_run(scenario)
    page, names = written(folder)
    assert "drive_lanes" in names
    if scenario == "recorded_drive":
        assert "Measured in the drive log" in page
    if scenario == "coverage_gap":
        assert {"backoff_ladder", "zoom_coverage_gap"} <= names
    if scenario == "same_anchor_handover":
        assert "zoom_handover" in names
        assert "nothing had to recover" in page


def test_a_users_own_strategy(make_run: MakeRun, fresh: Path) -> None:
    """The report knows a strategy only by what it recorded: a name and a `use` that no catalog has."""
    path = fresh / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"use": "hybrid"', '"use": "mine.py:Mine"'), encoding="utf-8")
    written(fresh)
