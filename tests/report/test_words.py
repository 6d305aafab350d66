from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.report.knobs import SEED, SEED_OF, UNKNOWN, flat, mosquitto_lines, paste_line, seed_value
from sim.report.numbers import NBSP, difference, percent, seconds, significant, with_interval
from sim.report.rendering import _breakable, _markdown, _unbroken
from sim.report.settings_table import setting_text
from sim.report.spread import joined_names, shortened, spread
from sim.strategies.catalog import STRATEGIES
from sim.study.manifest import plain


def interval(mean: float | None, low: float | None, high: float | None, note: str = "") -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "n": 30, "note": note}


def test_digits_follow_the_interval() -> None:
    assert with_interval("recovery_s.mean", interval(8.3277, 7.5782, 9.0314)) == f"8.3{NBSP}s (7.6–9.0)"
    assert with_interval("all.latency_s.mean_capped", interval(0.2655, 0.2567, 0.2734)) == f"266{NBSP}ms (257–273)"
    assert with_interval("all.delivered_within_60s", interval(0.99849, 0.99778, 0.9992)) == f"99.85{NBSP}% (99.78–99.92)"
    assert with_interval("mb_per_vehicle_month", interval(9765.4, 9745.4, 9785.5)) == f"9,765{NBSP}MB (9,745–9,786)"
    assert with_interval("all.lost", interval(0.0, None, None, "nothing varied")) == "0"
    assert with_interval("all.latency_s.p99", interval(None, None, None, "beyond the horizon in 2 of 30 drives")).startswith(
        "beyond"
    )
    assert with_interval("all.lost", None) == "no data"


def test_differences() -> None:
    assert difference("all.delivered_within_60s", -0.0015, -0.0022, -0.0008) == f"0.15{NBSP}points (0.08–0.22)"
    assert difference("all.latency_s.mean_capped", -0.053, -0.067, -0.041, signed=True) == f"−53{NBSP}ms (−67 to −41)"
    assert difference("recovery_s.mean", 2.0, None, None) == f"2{NBSP}s"
    assert difference("recovery_s.mean", None, None, None) == "an unknown amount"


@given(st.floats(0.0, 1.0, allow_nan=False))
def test_only_all_is_a_hundred_per_cent(share: float) -> None:
    text = percent(share).removesuffix(f"{NBSP}%")
    assert (text == "100") == (share == 1.0)
    if share > 1e-9:
        assert float(text) > 0.0
        assert math.isclose(float(text), share * 100.0, rel_tol=0.06)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0 s"), (0.08, "80 ms"), (8.314, "8.31 s"), (75.0, "75 s"), (960.0, "16 min")])
def test_seconds(value: float, text: str) -> None:
    assert seconds(value).replace(NBSP, " ") == text


def test_significant() -> None:
    assert [significant(value) for value in (0.0, 0.00213, 13.566, 9765.4, 1e6)] == ["0", "0.00213", "13.6", "9,765", "1,000,000"]


@given(st.lists(st.floats(-5.0, 15.0, allow_nan=False), max_size=30))
def test_labels_are_apart_in_order_and_inside(wanted: list[float]) -> None:
    placed = spread(wanted, 0.5, 0.0, 10.0)
    assert all(-1e-9 <= at <= 10.0 + 1e-9 for at in placed)
    gap = min(0.5, 10.0 / (len(wanted) - 1)) if len(wanted) > 1 else 0.0
    ordered = [placed[item] for item in sorted(range(len(wanted)), key=lambda item: (wanted[item], item))]
    assert all(b - a >= gap - 1e-6 for a, b in itertools.pairwise(ordered))


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([8.0, 1.0, 4.0], 1.0, 0.0, 10.0) == [8.0, 1.0, 4.0]


def test_names_are_shortened_in_the_middle() -> None:
    assert shortened("mqtt_persistent,keep_alive=10s", 21) == "mqtt_persi…_alive=10s"
    assert shortened("hybrid", 6) == "hybrid"
    assert all(len(joined_names(names, 29)) <= 29 for names in (["a" * 50], ["a" * 50, "b" * 50], ["a" * 50, "b", "c"]))
    assert joined_names(["mqtt_persistent", "hybrid"], 29) == "mqtt_persistent = hybrid"


def test_the_seeds_values_are_the_defaults() -> None:
    known = set()
    for use, (config, _, _) in STRATEGIES.items():
        defaults = flat(plain(config()))
        known |= set(defaults)
        for knob, value in defaults.items():
            seed = seed_value(use, knob)
            assert seed is UNKNOWN or seed == value, f"{use}.{knob}"
    assert set(SEED) <= known
    assert {knob for _, knob in SEED_OF} <= known
    settable = {field.name for config, _, _ in STRATEGIES.values() for field in dataclasses.fields(config)}
    assert {knob.partition(".")[0] for knob in known} == settable
    assert {knob for knob in known if not any(seed_value(use, knob) is not UNKNOWN for use in STRATEGIES)} == set()


def test_lines_to_paste() -> None:
    config = {
        "version": "3.1.1",
        "backoff.policy": "exponential",
        "backoff.base_s": 1.0,
        "backoff.cap_s": 60.0,
        "backoff.multiplier": 2.0,
    }
    assert paste_line("keep_alive_s", 10.0, config) == "client.connect(host, 8883, keepalive=10)"
    assert paste_line("backoff.cap_s", 60.0, config) == "client.reconnect_delay_set(min_delay=1, max_delay=60)"
    assert paste_line("backoff.policy", "full_jitter", config | {"backoff.policy": "full_jitter"}) == ""
    assert paste_line("session_expiry_s", 60.0, config) == ""
    assert paste_line("session_expiry_s", 60.0, config | {"version": "5"}) == "properties.SessionExpiryInterval = 60"
    assert paste_line("poll_s", 10.0, config) == ""
    broker = {"preset": "mosquitto", "queue_limit": 100, "queue_qos0": True, "inflight_limit": None}
    assert mosquitto_lines(broker) == ["max_queued_messages 100", "queue_qos0_messages true"]
    assert mosquitto_lines({**broker, "preset": "rabbitmq"}) == []


def test_settings_are_written_as_in_the_scenario_file() -> None:
    assert setting_text("keep_alive_s", 30.0) == "30 s"
    assert setting_text("clean_session", False) == "false"
    assert setting_text("notices", ["address"]) == "[address]"
    assert setting_text("ping_timeout_s", None) == "null"


def test_markdown_and_names() -> None:
    assert _markdown("a | b *c* <d> mqtt_persistent _e_\nf") == "a \\| b \\*c\\* &lt;d&gt; mqtt_persistent \\_e\\_ f"
    assert str(_breakable("a_b<i>")) == "a_b&lt;i&gt;"
    assert str(_breakable("mqtt_persistent<i>,keep_alive=10s")) == "mqtt_<wbr>persistent&lt;i&gt;,<wbr>keep_<wbr>alive=<wbr>10s"
    assert _unbroken("(257–273) x–y").count("\u2060") == 2
