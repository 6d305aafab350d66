"""The update as a whole, whatever way it went."""

import math

import pytest

from sim.measure.metrics_catalog import lookup
from sim.measure.update import image_bytes, update

from .records import manifest, message, table


def chunk(number: int, delivered_s: float | None, **more):
    return message(number, 10.0 + number, delivered_s, size_bytes=100, **more)


def test_a_complete_image_took_from_the_first_creation_to_the_last_delivery() -> None:
    rows = table("messages", chunk(0, 15.0), chunk(1, 40.0, resent_bytes=100), chunk(2, 30.0, resent_bytes=50))
    assert update(rows, 300) == {"complete_s": 30.0, "completed_share": 1.0, "resent_bytes": 150}


def test_chunks_that_were_never_made_are_missing_too() -> None:
    rows = table("messages", chunk(0, 15.0), chunk(1, 40.0))
    assert update(rows, 400) == {"complete_s": math.inf, "completed_share": 0.5, "resent_bytes": 0}
    assert update(rows, None)["completed_share"] == 1.0


def test_drives_are_averaged_and_one_that_does_not_end_lies_beyond_the_run() -> None:
    other = [chunk(0, 20.0, replication=1), chunk(1, 21.0, replication=1)]
    both = table("messages", chunk(0, 15.0), chunk(1, 40.0), *other)
    assert update(both, 200)["complete_s"] == pytest.approx((30.0 + 11.0) / 2)
    late = table("messages", chunk(0, 15.0), chunk(1, None), *other)
    assert update(late, 200) == {"complete_s": math.inf, "completed_share": 0.75, "resent_bytes": 0}


def test_without_an_update_there_is_nothing_to_say() -> None:
    none = update(table("messages", message(0, 1.0, 2.0, kind="telemetry")), None)
    assert none == {"complete_s": None, "completed_share": None, "resent_bytes": None}
    assert lookup({"update": none}, "ota.complete_s") is None
    assert lookup({"update": {"resent_bytes": 5}}, "ota.resent_bytes") == 5.0


def test_the_manifest_says_how_large_the_image_is() -> None:
    assert image_bytes(manifest()) is None
    assert image_bytes(manifest(workload={"ota": None})) is None
    assert image_bytes(manifest(workload={"ota": {"image_bytes": 200}})) == 200
