"""The seed's message flow second by second, and what the seed's own code does on the same drive.

Source: docs/sources.md, Seed F ("message flow example") and Seed D (connectionLoop, 10 s address poll).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sim.scenario.load import load
from sim.study.run import run_tables

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "seed_message_flow.yaml"


@pytest.fixture(scope="module")
def tables():
    return run_tables(load(SCENARIO))[0]


def trace(tables, strategy):
    return tables["trace"].filter(pl.col("strategy") == strategy)


def first(rows, *, source, kind, detail="", message=None, after=-1.0):
    """Instant of the first such row."""
    found = rows.filter(
        (pl.col("source") == source)
        & (pl.col("kind") == kind)
        & pl.col("detail").str.contains(detail, literal=True)
        & (pl.col("time_s") >= after)
    )
    if message is not None:
        found = found.filter(pl.col("message") == message)
    return found["time_s"][0]


def test_the_seeds_timeline_within_a_second(tables):
    rows = trace(tables, "mqtt_persistent")
    seen = {
        "chunk 1 arrives": first(rows, source="vehicle", kind="deliver", message=1),
        "chunk 2 arrives": first(rows, source="vehicle", kind="deliver", message=2),
        "the old address ends": first(rows, source="vehicle", kind="address_changed", after=1.0),
        "chunk 3 is sent on the dead transport": first(rows, source="server", kind="send_packet", detail="PUBLISH", message=3),
        "the new address comes, the vehicle reconnects": first(
            rows, source="vehicle", kind="address_changed", detail="10.2.5.200"
        ),
        "CONNECT": first(rows, source="vehicle", kind="send_packet", detail="CONNECT", after=15.0),
        "the session is restored": first(rows, source="server", kind="send_packet", detail="CONNACK session present"),
        "chunk 3 is redelivered": first(rows, source="vehicle", kind="deliver", message=3),
        "chunk 4 arrives": first(rows, source="vehicle", kind="deliver", message=4),
    }
    seed = {
        "chunk 1 arrives": 5.0,
        "chunk 2 arrives": 10.0,
        "the old address ends": 15.0,
        "chunk 3 is sent on the dead transport": 16.0,
        "the new address comes, the vehicle reconnects": 17.0,
        "CONNECT": 18.0,
        "the session is restored": 19.0,
        "chunk 3 is redelivered": 20.0,
        "chunk 4 arrives": 25.0,
    }
    assert list(seen) == [name for name, _ in sorted(seen.items(), key=lambda item: item[1])]  # the order
    assert seen == {name: pytest.approx(at, abs=1.0) for name, at in seed.items()}
    assert (
        first(rows, source="server", kind="send_packet", detail="dup", message=3)
        > seed["the new address comes, the vehicle reconnects"]
    )


def test_the_seeds_own_code_sees_the_change_at_its_ten_second_poll(tables):
    rows = trace(tables, "seed_code")
    noticed = tables["connections"].filter((pl.col("strategy") == "seed_code") & (pl.col("reason") == "address"))["noticed_s"][0]
    assert noticed == pytest.approx(20.0, abs=1.0)
    assert first(rows, source="vehicle", kind="deliver", message=3) == pytest.approx(noticed + 2.5 * 0.85 + 0.43, abs=1.0)


def test_the_flow_in_full_is_the_golden_trace(tables):
    """One line per record, readable; a difference is reviewed like code and needs a line in CHANGELOG.md."""
    rows = trace(tables, "mqtt_persistent").filter(pl.col("time_s") < 30.0)
    lines = [
        f"{row['time_s']:8.3f} {row['source']:<8}{row['kind']:<20}{row['transport'] if row['transport'] >= 0 else '-':>8} "
        f"{row['message'] if row['message'] >= 0 else '-':>3}  {row['detail']}".rstrip()
        for row in rows.iter_rows(named=True)
    ]
    golden = Path(__file__).with_name("seed_message_flow.txt")
    assert "\n".join(lines) + "\n" == golden.read_text()
