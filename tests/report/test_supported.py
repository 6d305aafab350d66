"""What the last section of the report says, from made-up values of each drive: nothing beyond what the intervals carry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
import yaml

from sim.measure.metrics_catalog import METRICS
from sim.measure.stats import mean_interval
from sim.record.read import Run, table_schema
from sim.report.configuration import by_hand, client_lines, departures, is_seeds_own, scenario_entry
from sim.report.evidence import Evidence
from sim.report.knobs import SEED_USES
from sim.report.page import write_report
from sim.report.seed_defaults import Defaults, seed_defaults
from sim.report.supported import Supported, supported
from sim.report.verdicts import COST, DELIVERY
from sim.scenario.load import load
from sim.strategies.catalog import STRATEGIES
from sim.streams import Stream
from sim.study.manifest import plain

from .conftest import MakeRun
from .test_page import outline

WITHIN_60S, WITHIN_10S, LATENCY, LOST, RECOVERY = DELIVERY
DATA, RADIO, ATTEMPTS = COST
DRIVES = 20
USUAL = {WITHIN_60S: 0.99, WITHIN_10S: 0.95, LATENCY: 1.0, LOST: 0.0, RECOVERY: 8.0, DATA: 1000.0, RADIO: 9000.0, ATTEMPTS: 3.0}


def noisy(mean: float, spread: float, number: int = 0, drives: int = DRIVES) -> list[float]:
    """Values around a mean, which they have exactly."""
    draws = [Stream(3, drive, 0, f"noise {number}").uniform(0) for drive in range(drives)]
    middle = math.fsum(draws) / drives
    return [mean + spread * (draw - middle) for draw in draws]


def entry(name: str, use: str = "mqtt_persistent", baseline: bool = False, **config: Any) -> dict[str, Any]:
    """A strategy as the manifest has it; `config` as the settings class takes it."""
    settings = STRATEGIES[use][0] if use in STRATEGIES else None
    return {"name": name, "use": use, "baseline": baseline, "config": plain(settings(**config)) if settings else {"speed": 3}}


def evidence_of(
    entries: Sequence[dict[str, Any]], values: Mapping[str, Mapping[str, Any]], drives: int = DRIVES, command: str = ""
) -> Evidence:
    """Evidence with the given values of each drive; a number stands for all drives, what is left out is as usual."""
    vectors: dict[str, dict[str, list[float | None]]] = {}
    for one in entries:
        given = {**USUAL, **values.get(one["name"], {})}
        mine = {name: value if isinstance(value, list) else [value] * drives for name, value in given.items()}
        vectors[one["name"]] = {name: mine.get(name, [None] * drives) for name in METRICS}
    intervals = {
        name: {
            key: {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "note": found.note}
            for key, column in columns.items()
            if (found := mean_interval(column, 1)).n
        }
        for name, columns in vectors.items()
    }
    strategies = {one["name"]: {"baseline": one["baseline"], "intervals": intervals[one["name"]]} for one in entries}
    metrics = {"strategies": strategies, "replications": drives, "seed": 1}
    vehicles = pl.DataFrame([{"vehicle": 0, "horizon_s": 600.0}], schema=table_schema("vehicles"))
    found = Evidence(Run({"strategies": list(entries), "command": command}, {"vehicles": vehicles}), metrics)
    found.__dict__["vectors"] = vectors  # instead of measuring them of records
    return found


def of(entries: Sequence[dict[str, Any]], values: Mapping[str, Mapping[str, Any]], drives: int = DRIVES) -> Supported:
    return supported(evidence_of(entries, values, drives))


SEEDS, TUNED = entry("mqtt_persistent"), entry("tuned", address_watch="link_event")


def test_what_leads_on_the_first_metric_that_tells_is_supported_with_its_price() -> None:
    found = of([SEEDS, TUNED], {"tuned": {LATENCY: noisy(0.5, 0.2), DATA: noisy(1010.0, 3.0)}})
    assert found.strategy == "tuned"
    assert found.verdict.replace("\u00a0", " ").startswith("Supported: tuned. Mean latency 500 ms (")
    assert "less than mqtt_persistent, the seed's defaults" in found.verdict
    rows = {row.metric: row for row in found.rows}
    assert (rows[LATENCY].shown, rows[DATA].shown, rows[WITHIN_60S].shown) == ("better", "worse", "no difference")
    assert rows[DATA].difference.startswith("+10")
    assert any("Taking less, and not supported over it: mqtt_persistent" in line for line in found.reasons)
    assert found.entry == "- {use: mqtt_persistent, name: tuned, address_watch: link_event}"


def test_delivery_goes_before_latency_and_both_before_cost() -> None:
    slow = {WITHIN_60S: noisy(0.999, 0.001), LATENCY: noisy(3.0, 0.5), DATA: noisy(2000.0, 5.0)}
    assert of([SEEDS, TUNED], {"tuned": slow}).strategy == "tuned"


def test_an_interval_that_holds_zero_supports_nothing_and_says_what_would() -> None:
    found = of([SEEDS, TUNED], {"tuned": {LATENCY: noisy(0.98, 0.4)}})
    assert found.strategy == ""
    assert found.verdict.startswith("The evidence does not tell apart mqtt_persistent and tuned")
    assert "gives no reason to leave the seed's defaults (mqtt_persistent)" in found.verdict
    assert not found.rows
    assert not found.entry
    drives = int(found.decide[0].split("--replications ")[1].rstrip("."))
    assert drives > DRIVES


def test_so_many_drives_as_it_names_do_tell() -> None:
    values = noisy(0.93, 0.4)
    found = of([SEEDS, TUNED], {"tuned": {LATENCY: values}})
    assert not found.strategy
    drives = int(found.decide[0].split("--replications ")[1].rstrip("."))
    more = noisy(0.93, 0.4, drives=2 * drives)  # twice: an estimate of few drives is a poor guide
    assert of([SEEDS, TUNED], {"tuned": {LATENCY: more}}, 2 * drives).strategy == "tuned"


def test_what_only_a_single_comparison_shows_is_not_claimed_among_many() -> None:
    """An interval that excludes zero by little: told among two, not among twenty."""
    values = noisy(0.88, 0.55)
    few = of([SEEDS, TUNED], {"tuned": {LATENCY: values}})
    others = [entry(f"variant_{n}", keep_alive_s=40.0 + n) for n in range(18)]
    many = of([SEEDS, TUNED, *others], {"tuned": {LATENCY: values}})
    assert few.strategy == "tuned"
    assert many.strategy == ""


def test_one_drive_supports_nothing_however_large_the_difference() -> None:
    found = of([SEEDS, TUNED], {"tuned": {WITHIN_60S: 1.0, "mqtt_persistent": {WITHIN_60S: 0.1}}}, drives=1)
    assert found.verdict.startswith("One drive cannot tell 2 configurations apart")
    assert "--replications 9" in found.decide[0]
    assert of([SEEDS, TUNED], {"tuned": {LATENCY: 0.1}}, drives=8).strategy == ""
    assert of([SEEDS, TUNED], {"tuned": {LATENCY: 0.1}}, drives=9).strategy == "tuned"


def test_one_strategy_alone_is_no_evidence_over_another() -> None:
    found = of([SEEDS], {})
    assert found.verdict.startswith("Only mqtt_persistent with the seed's defaults was run")
    assert "data a month" in found.reasons[0]
    assert "--vary" in found.decide[0]


def test_the_same_results_are_not_ranked() -> None:
    found = of([SEEDS, TUNED], {})
    assert found.strategy == ""
    assert "gave the same" in found.decide[0]


def test_of_several_that_gave_the_same_the_one_that_changes_least_is_supported() -> None:
    more = entry("more", address_watch="link_event", keep_alive_s=60.0)
    faster = {LATENCY: noisy(0.5, 0.2)}
    found = of([SEEDS, more, TUNED], {"tuned": faster, "more": faster})
    assert (found.strategy, found.reference) == ("tuned", "mqtt_persistent")
    assert "more gave the same in every drive" in found.verdict
    nearly = of([SEEDS, more, TUNED], {"tuned": faster, "more": {LATENCY: noisy(0.5, 0.2, 1)}})
    assert nearly.strategy == ""


def test_among_those_not_told_apart_the_cheaper_is_supported_as_that_alone() -> None:
    found = of([SEEDS, TUNED], {"tuned": {LATENCY: noisy(1.01, 0.4), DATA: noisy(900.0, 20.0)}})
    assert found.strategy == "tuned"
    assert found.verdict.startswith("Supported by what it takes alone: tuned.")
    bound = next(line for line in found.reasons if line.startswith("On what arrives it is not told apart"))
    assert "may be up to" in bound


def test_where_the_metrics_disagree_nothing_is_supported() -> None:
    """Better on recovery for certain, and worse on delivery by its own interval, though not after correction."""
    doubtful = noisy(0.99 - 0.0012, 0.0068)
    found = of([SEEDS, TUNED], {"tuned": {WITHIN_60S: doubtful, RECOVERY: noisy(6.0, 1.0)}})
    alone = evidence_of([SEEDS, TUNED], {"tuned": {WITHIN_60S: doubtful}}).paired(WITHIN_60S, "tuned", "mqtt_persistent")
    assert alone.verdict == "worse"
    assert found.strategy == ""
    assert "points both ways" in found.verdict


def test_baselines_are_left_aside_unless_there_is_nothing_else() -> None:
    best = entry("mqtt_clean_session", "mqtt_clean_session", baseline=True)
    found = of([SEEDS, TUNED, best], {"mqtt_clean_session": {LATENCY: 0.1}, "tuned": {LATENCY: 0.5}})
    assert found.strategy == "tuned"
    other = entry("static_push", "static_push", baseline=True)
    only = of([best, other], {"static_push": {WITHIN_60S: noisy(0.3, 0.1)}})
    assert only.strategy == "mqtt_clean_session"
    assert any("Only baselines were run" in line for line in only.reasons)


def test_a_users_own_strategy_can_be_supported_and_has_no_client_lines() -> None:
    mine = entry("mine", "mine.py:Mine")
    found = of([SEEDS, mine], {"mine": {LATENCY: noisy(0.5, 0.1)}})
    assert (found.strategy, found.client) == ("mine", ())
    assert yaml.safe_load(found.entry) == [{"use": "mine.py:Mine", "name": "mine"}]
    program = {**mine, "use": "client"}
    assert of([SEEDS, program], {"mine": {LATENCY: noisy(0.5, 0.1)}}).entry == ""


def test_nothing_but_probes_supports_nothing() -> None:
    none = {name: [None] * DRIVES for name in (WITHIN_60S, WITHIN_10S, LATENCY)}
    found = of([SEEDS, TUNED], {"mqtt_persistent": none, "tuned": none})
    assert "supports no configuration" in found.verdict


def test_chance_alone_hardly_ever_supports_anything() -> None:
    """Forty runs of three strategies that differ by chance: at most one in twenty is expected."""
    names = ("a", "b", "c")
    claims = 0
    for run in range(40):
        draws = Stream(run, 0, 0, "chance")
        values = {
            name: {
                key: [draws.uniform(1000 * at + 100 * n + d) for d in range(DRIVES)] for n, key in enumerate((*DELIVERY, *COST))
            }
            for at, name in enumerate(names)
        }
        claims += bool(of([entry(name) for name in names], values).strategy)
    assert claims <= 2


def defaults(entries: Sequence[dict[str, Any]], values: Mapping[str, Mapping[str, Any]], **more: Any) -> Defaults:
    return seed_defaults(evidence_of(entries, values, **more))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({LATENCY: noisy(0.5, 0.2)}, "not the best here"),
        ({WITHIN_60S: noisy(0.9, 0.02), LATENCY: noisy(2.0, 0.2)}, "the better one here"),
        ({LATENCY: noisy(0.99, 0.4)}, "no evidence"),
        ({}, "made no difference here"),
        ({RECOVERY: noisy(5.0, 0.5), WITHIN_60S: noisy(0.9, 0.02)}, "points both ways"),
        ({RECOVERY: noisy(5.0, 0.5), WITHIN_60S: noisy(0.99 - 0.0012, 0.0068)}, "points both ways"),
    ],
)
def test_a_default_is_judged_by_the_variant_that_departs_from_it(values: dict[str, Any], shown: str) -> None:
    found = defaults([SEEDS, TUNED], {"tuned": values})
    (one,) = found.found
    assert (one.settings, one.shown) == ("address_watch poll", shown)
    assert "tuned against mqtt_persistent" in one.text


def test_one_drive_judges_no_default() -> None:
    (one,) = defaults([SEEDS, TUNED], {"tuned": {LATENCY: 0.1}}, drives=1).found
    assert one.shown == "no evidence"


def test_settings_changed_together_are_judged_together_and_apart_where_a_pair_shows_it() -> None:
    both = entry("both", address_watch="link_event", keep_alive_s=10.0)
    faster = {LATENCY: noisy(0.5, 0.2)}
    (one,) = defaults([SEEDS, both], {"both": faster}).found
    assert "address_watch poll" in one.settings
    assert "keep_alive 30 s" in one.settings
    assert "How much of it is due to which" in one.text
    first, second = defaults([SEEDS, TUNED, both], {"tuned": faster, "both": {LATENCY: noisy(0.3, 0.2, 1)}}).found
    assert (first.settings, second.settings) == ("address_watch poll", "keep_alive 30 s")
    assert "both against tuned, both with address_watch link_event" in second.text


def test_what_was_not_tried_is_named_with_the_option_that_would() -> None:
    command = "python -m sim run scenarios/x.yaml"
    found = defaults([SEEDS, TUNED], {}, command=command)
    assert [one.settings for one in found.not_tried] == [
        "backoff without jitter", "keep alive of 30 s", "no TCP user timeout",
    ]  # fmt: skip
    assert found.not_tried[1].command == f"{command} --vary 'mqtt_persistent.keep_alive=10 s,30 s,60 s'"
    together = entry("both", address_watch="link_event", keep_alive_s=10.0)
    assert {one.why for one in defaults([SEEDS, together], {}).not_tried} == {
        "not tried here", "changed together with others only",
    }  # fmt: skip
    assert defaults([entry("ddns_heartbeat", "ddns_heartbeat")], {}).not_tried == ()


def test_the_options_that_would_try_it_are_ones_the_lab_takes(make_run: MakeRun) -> None:
    path = make_run().parents[1] / "one_handover.yaml"
    for one in defaults([SEEDS], {}).not_tried:
        vary = one.command.split("--vary ")[1].strip("'")
        assert len(load(path, varies=[vary]).strategies) == 2 + len(vary.split(","))


def test_the_uses_with_a_seed_are_the_strategies() -> None:
    assert set(SEED_USES) == set(STRATEGIES)
    assert all(is_seeds_own(entry(use, use)) for use in STRATEGIES)


@pytest.mark.parametrize(
    "one",
    [
        entry("5: a {name}, \"quoted\"", version="5", session_expiry_s=2592000.0, receive_maximum=20, user_timeout_s=20.0),
        entry("on", "hybrid", poll_s=30.0, notices=("address",), ping_timeout_s=5.0, fallback_after_s=0.5),
        entry("ddns_heartbeat", "ddns_heartbeat"),
        entry("open", clean_session=True, resubscribe="always"),
    ],
)  # fmt: skip
def test_the_entry_read_back_is_the_same_configuration(one: dict[str, Any], make_run: MakeRun) -> None:
    (written,) = yaml.safe_load(scenario_entry(one))
    scenario = yaml.safe_load((make_run().parents[1] / "one_handover.yaml").read_text(encoding="utf-8"))
    path = make_run().parents[1] / "read_back.yaml"
    path.write_text(yaml.safe_dump(scenario | {"strategies": [written]}), encoding="utf-8")
    (read,) = load(path).strategies
    assert (read.name, read.use, plain(read.config)) == (one["name"], one["use"], one["config"])


def test_client_lines() -> None:
    assert client_lines(SEEDS) == [
        "client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=..., clean_session=False)",
        "client.connect_timeout = 10",
        "client.reconnect_delay_set(min_delay=1, max_delay=60)",
        "client.max_queued_messages_set(1000)",
        "client.connect(host, 8883, keepalive=30)",
    ]
    five = client_lines(entry("five", version="5", session_expiry_s=60.0, user_timeout_s=20.0))
    assert five[-2] == "client.connect(host, 8883, keepalive=30, clean_start=False, properties=properties)"
    assert "TCP_USER_TIMEOUT, 20000" in five[-1]
    assert by_hand(TUNED) == ["address_watch: link_event"]
    assert (departures(SEEDS), by_hand(SEEDS)) == ({}, [])
    assert client_lines(entry("ddns_heartbeat", "ddns_heartbeat")) == []


def test_the_section_is_the_last_of_both_pages(make_run: MakeRun) -> None:
    tuned = {"use": "mqtt_persistent", "name": "tuned", "address_watch": "link_event"}
    folder = make_run(strategies=["mqtt_persistent", tuned], replications=10)
    page = write_report(folder).read_text(encoding="utf-8")
    outline(page)
    section = page[page.rindex("<section") :]
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    last = markdown[markdown.rindex("\n## ") :]
    assert 'id="supported"' in section
    assert last.startswith("\n## The configuration the evidence supports")
    for text in (section, last):
        assert "Supported: tuned." in text
        assert "address_watch poll: not the best here." in text
        assert "{use: mqtt_persistent, name: tuned, address_watch: link_event}" in text
        assert "user_timeout=0 s,10 s,20 s" in text.replace("&#39;", "'")
