"""The model's own record of each drop is the truth that attribution from outside is held against."""

import dataclasses
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from sim.measure.attribution import BROKER_CAUSES, attribute
from sim.measure.drive_path import DrivePath
from sim.scenario.load import load
from sim.study.run import run_tables

SCENARIO = Path(__file__).parents[2] / "scenarios" / "coverage_gap.yaml"
DRIVES = 3
ALL = ("mqtt_persistent", "keep_alive_10s", "mqtt_clean_session")

#: A broker that looks in ticks notices at an instant that can only be estimated: a message of that time may be on either side.
BEFORE = {"qos0_dead_transport", "clean_session_discarded", "session_expired"}
AFTER = {"qos0_offline", "no_subscription"}


def compare(sets: tuple[str, ...], strategies: tuple[str, ...]) -> Counter[tuple[str, str]]:
    """(recorded, attributed) -> messages, over drives through a gap of a minute."""
    scenario = load(SCENARIO, sets=sets, replications=DRIVES, strategies=strategies)
    tables, _measured, _notes = run_tables(scenario, trace=0)
    hidden = {"outcome": "", "cause": "", "gone_s": None}
    pairs: Counter[tuple[str, str]] = Counter()
    for choice in scenario.strategies:
        for number in range(DRIVES):
            drive = pl.col("replication") == number
            mine = drive & (pl.col("strategy") == choice.name)
            messages = tables["messages"].filter(mine)
            horizon_s = tables["vehicles"].filter(mine)["horizon_s"][0]
            guessed = attribute(
                messages.with_columns(pl.lit(value).alias(name) for name, value in hidden.items()),
                tables["connections"].filter(mine),
                dataclasses.asdict(scenario.server.broker.behaviour()),
                dataclasses.asdict(choice.config),
                dataclasses.asdict(scenario.workload),
                horizon_s,
                DrivePath(tables["timeline"].filter(drive)).unusable_spans(0.0, horizon_s),
            )
            both = messages.join(guessed, on="message", suffix="_guessed").filter(pl.col("cause").is_in([*BROKER_CAUSES, ""]))
            pairs.update(both.select("cause", "cause_guessed").iter_rows())
    return pairs


@pytest.mark.parametrize(
    ("sets", "strategies", "expected"),
    [
        (("server.broker=aedes",), ALL, "clean_session_discarded"),
        (("server.broker=aedes", "workload.ota.qos=0"), ALL, "qos0_offline"),
        (("server.broker=aedes", "server.broker.session_expiry_default=5 s"), ALL, "session_expired"),
        (("server.broker=rabbitmq",), ALL, "clean_session_discarded"),
        (("server.broker.queue_limit=3",), ALL[:1], "queue_full"),
        (("server.broker.queue_limit=3", "server.broker.queue_drop=oldest"), ALL[:1], "queue_full"),
        (("server.broker=spec", "workload.diagnostics.expire=true"), ALL[:2], "message_expired"),
    ],
)
def test_attribution_is_the_models_record(sets: tuple[str, ...], strategies: tuple[str, ...], expected: str) -> None:
    pairs = compare(sets, strategies)
    assert any(truth == expected for truth, _ in pairs), pairs
    assert {pair: count for pair, count in pairs.items() if pair[0] != pair[1]} == {}


def test_ticks_blur_the_instant_alone() -> None:
    pairs = compare(("server.broker=mosquitto", "workload.ota.qos=0"), ALL)
    different = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    assert all(
        {truth in BEFORE, guess in BEFORE} == {True, False} and {truth, guess} <= BEFORE | AFTER for truth, guess in different
    )
    assert sum(different.values()) <= 0.1 * pairs.total()
