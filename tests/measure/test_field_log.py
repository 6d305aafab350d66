"""The model against a field log: parsing, naming of messages, tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.measure.agreement import first_parting
from sim.measure.field_log import FieldLogError, compare_field_log, read_field_log
from sim.measure.tolerance import Tolerance
from sim.scenario.load import load
from sim.study.live import plan
from sim.study.model_record import model_tables

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "seed_message_flow.yaml"


@pytest.fixture(scope="module")
def model():
    return model_tables(plan(load(SCENARIO, strategies=["mqtt_persistent"])))


def log_of(tmp_path, *lines):
    path = tmp_path / "events.csv"
    path.write_text("time_s,event,message\n" + "\n".join(lines) + "\n")
    return read_field_log(path)


def test_a_log_that_fits_agrees_and_one_that_does_not_parts(tmp_path, model):
    fits = [
        "0.4,connected,",
        "17.0,disconnected,",
        "19.6,connected,",
        "5.1,delivered,ota:1",
        "10.1,delivered,2",
        "19.5,delivered,3",
    ]
    rows = compare_field_log("mqtt_persistent", model, log_of(tmp_path, *fits), Tolerance())
    assert [row for row in rows if not row.agrees] == []
    late = [*fits[:-1], "22.5,delivered,3"]
    rows = compare_field_log("mqtt_persistent", model, log_of(tmp_path, *late), Tolerance())
    parting = first_parting(rows)
    assert (parting.where, parting.live) == ("message 3", 22.5)
    assert parting.difference == pytest.approx(22.5 - 19.565, abs=0.01)


def test_a_delivery_that_the_log_does_not_have_parts(tmp_path, model):
    lines = ["0.4,connected,", "17.0,disconnected,", "19.6,connected,", "5.1,delivered,ota:1", "19.5,delivered,3"]
    rows = compare_field_log("mqtt_persistent", model, log_of(tmp_path, *lines), Tolerance())
    assert [(row.where, row.live) for row in rows if not row.agrees] == [("message ota 2", None)]


def test_a_missing_connection_and_an_unknown_message_part(tmp_path, model):
    rows = compare_field_log("mqtt_persistent", model, log_of(tmp_path, "0.4,connected,", "6.0,delivered,ota:99"), Tolerance())
    parted = {row.where: row.model for row in rows if not row.agrees}
    assert parted["message ota:99"] == "no such message"
    assert any(row.what == "connected: number" and (row.model, row.live) == (2, 1) for row in rows)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("when,event\n1,connected\n", ":1: no column time_s, columns: when, event"),
        ("time_s,event\n1,gone\n", ":2: event: 'gone' is not one of connected, disconnected, delivered"),
        ("time_s,event\nsoon,connected\n", ":2: time_s: 'soon' is not a number"),
        ("", ":1: no column event and time_s, columns: none"),
    ],
)
def test_a_mistake_in_the_log_is_one_line_with_its_place(tmp_path, text, error):
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(FieldLogError) as caught:
        read_field_log(path)
    assert str(caught.value) == f"{path}{error}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["nan,connected,"], ":2: time_s: 'nan' is out of range"),
        (["5,connected,", "1e400,delivered,"], ":3: time_s: '1e400' is out of range"),
        ([], ": has no events below its header"),
    ],
)
def test_times_that_are_none_and_a_log_of_nothing(tmp_path, lines, said):
    with pytest.raises(FieldLogError, match=said):
        log_of(tmp_path, *lines)
