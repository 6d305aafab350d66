"""Attribution held against the model's own record of each drop, over settings drawn at random.

What nobody outside can see moves the instant at which a broker notices by a little: a message of that moment may be on either
side. Everything else has to be the model's cause.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.measure.attribution import BROKER_CAUSES, attribute
from sim.measure.drive_path import DrivePath
from sim.protocols.broker_presets import PRESETS
from sim.record.causes import UNATTRIBUTED
from sim.scenario.load import load
from sim.study.live import pings_of
from sim.study.run import run_tables

DRIVE = """
name: drawn
script:
  steps:
    - {{at: 0 s, link: up, cell: A, gateway: a}}
    - {{at: 40 s, cell: B, gateway: b}}
    - {{at: 90 s, link: lost, cause: tunnel}}
    - {{at: {back} s, link: up, cell: C, cause: tunnel ends}}
    - {{at: 170 s, cell: D, gateway: a}}
  duration: 220 s
network:
  gateways: {{a: {{address: 10.1.1.100}}, b: {{address: 10.2.5.200}}}}
  reassignment: {{delay: {delay} s, old_path: {old_path}}}
  access: private_apn
link: {{rtt: {{median: 80 ms, p95: 80 ms}}, downlink: 20 Mbit/s, uplink: 5 Mbit/s}}
server: {{broker: {preset}, tls: none}}
workload:
  ota: {{image: 400 KiB, chunk: 4 KiB, every: 2 s, qos: {qos}}}
  diagnostics: {{every: 15 s, timeout: 10 s, expire: {expire}}}
  telemetry: {{every: 7 s, size: 200 B, qos: {uplink_qos}}}
strategies: [{{use: {use}, name: s, keep_alive: {keep_alive} s, version: "{version}"{expiry}}}]
replications: 1
drain: {drain} s
seed: {seed}
"""
#: Pairs that a few seconds of the broker's notice decide between.
NOTICE = {
    "qos0_dead_transport",
    "qos0_offline",
    "no_subscription",
    "clean_session_discarded",
    "session_expired",
    "queue_full",
    "",
}


@st.composite
def drawn(draw: st.DrawFn) -> tuple[str, tuple[str, ...]]:
    version = draw(st.sampled_from(["3.1.1", "5"]))
    use = draw(st.sampled_from(["mqtt_persistent", "mqtt_persistent", "mqtt_clean_session", "hybrid"]))
    expiry = draw(st.sampled_from([None, 0, 5, 20, 60])) if version == "5" and use != "mqtt_clean_session" else None
    text = DRIVE.format(
        back=draw(st.sampled_from([93, 120, 150])),
        delay=draw(st.sampled_from([0.5, 5])),
        old_path=draw(st.sampled_from(["black_hole", "reset", "icmp"])),
        preset=draw(st.sampled_from(sorted(PRESETS))),
        qos=draw(st.sampled_from([0, 1, 2])),
        uplink_qos=draw(st.sampled_from([0, 1])),
        expire=draw(st.sampled_from(["true", "false"])),
        use=use,
        keep_alive=draw(st.sampled_from([5, 10, 30])),
        version=version,
        expiry="" if expiry is None else f", session_expiry: {expiry} s",
        drain=draw(st.sampled_from([0, 5, 60])),
        seed=draw(st.integers(0, 999)),
    )
    limit = draw(st.sampled_from([None, None, 0, 2, 5, 20]))
    window = draw(st.sampled_from([None, None, 1, 3]))
    expires_s = draw(st.sampled_from([None, None, 5, 30]))
    sets = [
        *([f"server.broker.queue_limit={limit}"] if limit is not None else []),
        *([f"server.broker.inflight_limit={window}"] if window is not None else []),
        *([f"server.broker.session_expiry_default={expires_s} s"] if expires_s is not None else []),
    ]
    return text, tuple(sets)


def compare(text: str, sets: tuple[str, ...], folder: Path) -> tuple[Counter[tuple[str, str]], int]:
    """(recorded, attributed) -> messages, and all messages; of the connections only what a live run sees, too."""
    (folder / "drawn.yaml").write_text(text)
    scenario = load(folder / "drawn.yaml", sets=sets)
    tables, _measured, _notes = run_tables(scenario)
    choice = scenario.strategies[0]
    horizon_s = tables["vehicles"]["horizon_s"][0]
    unseen = [pl.lit("").alias("outcome"), pl.lit("").alias("cause"), pl.lit(None, pl.Float64).alias("gone_s")]
    found = attribute(
        tables["messages"].with_columns(unseen),
        tables["connections"].with_columns(pl.lit(None, pl.Float64).alias("peer_ended_s")),
        dataclasses.asdict(scenario.server.broker.behaviour()),
        dataclasses.asdict(choice.config),
        dataclasses.asdict(scenario.workload),
        horizon_s,
        DrivePath(tables["timeline"]).unusable_spans(0.0, horizon_s),
        scenario.drive.network.reassignment.old_path,
        pings_of(tables["trace"]),
    )
    both = tables["messages"].join(found, on="message", suffix="_found").filter(pl.col("cause").is_in([*BROKER_CAUSES, ""]))
    if choice.use == "hybrid":  # the pending list is ours, and records what it holds and what expired in it
        both = both.filter(~pl.col("cause").is_in(["", "message_expired"]))
    return Counter(both.select("cause", "cause_found").iter_rows()), tables["messages"].height


@given(case=drawn())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_cause_is_the_models_own(case: tuple[str, tuple[str, ...]], tmp_path: Path) -> None:
    pairs, messages = compare(*case, tmp_path)
    wrong = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    assert wrong.total() <= 3 + 0.03 * messages, wrong
    assert all(truth in NOTICE and found in NOTICE | {UNATTRIBUTED} for truth, found in wrong), wrong
    assert sum(count for (_, found), count in wrong.items() if found == UNATTRIBUTED) <= 2, wrong
