from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenario.quantities import KINDS, QuantityError, format_quantity, parse_quantity

KNOWN = [
    ("30 s", "duration", 30.0),
    ("320ms", "duration", 0.32),
    ("1.5 min", "duration", 90.0),
    ("2 h", "duration", 7200.0),
    ("1 d", "duration", 86400.0),
    ("1e3 s", "duration", 1000.0),
    (".5 s", "duration", 0.5),
    (0, "duration", 0.0),
    ("0", "duration", 0.0),
    ("-0.2 km", "distance", -200.0),
    ("90 km/h", "speed", 25.0),
    ("10 m/s", "speed", 10.0),
    ("20 Mbit/s", "rate", 20e6),
    ("64 kbit/s", "rate", 64e3),
    ("256 KiB", "size", 262144.0),
    ("48 MiB", "size", 50331648.0),
    ("4 kB", "size", 4000.0),
    ("128 B", "size", 128.0),
    ("46 dBm", "power", 46.0),
    ("-3.5 dB", "ratio", -3.5),
    ("800 MHz", "frequency", 8e8),
    ("3.5 GHz", "frequency", 3.5e9),
    ("95 %", "share", 0.95),
    ("0.1%", "share", 0.001),
    (0.25, "share", 0.25),
    ("0.25", "share", 0.25),
]


@pytest.mark.parametrize(("text", "kind", "value"), KNOWN)
def test_known_values(text: object, kind: str, value: float) -> None:
    assert parse_quantity(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (30, "duration", "30 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("30", "duration", "30 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("5 sec", "duration", "unknown unit 'sec', did you mean 5 s, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("5 MS", "duration", "unknown unit 'MS', did you mean 5 ms, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("5 apples", "distance", "unknown unit 'apples', expected a distance such as 2 km (m, km)"),
        (
            "20 Mbps",
            "rate",
            "unknown unit 'Mbps', did you mean 20 Mbit/s, expected a rate such as 5 Mbit/s (bit/s, kbit/s, Mbit/s, Gbit/s)",
        ),
        ("4 KB", "size", "unknown unit 'KB', did you mean 4 kB, expected a size such as 256 KiB (B, kB, KiB, MB, MiB, GB, GiB)"),
        ("fast", "speed", "'fast' is not understood, expected a speed such as 90 km/h (km/h, m/s)"),
        ("1_000 s", "duration", "unknown unit '_000 s', expected a duration such as 30 s (ms, s, min, h, d)"),
        ("101 %", "share", "'101 %' is more than 100 %, expected a share such as 95 %, or a number from 0 to 1"),
        ("1e300 s", "duration", "'1e300 s' is out of range, at most 10000000000 s is allowed"),
        (True, "duration", "expected a duration such as 30 s (ms, s, min, h, d)"),
        ([30], "duration", "expected a duration such as 30 s (ms, s, min, h, d)"),
        ("3 dBm", "ratio", "unknown unit 'dBm', expected a ratio such as 3 dB"),
    ],
)
def test_errors_say_what_is_allowed(text: object, kind: str, message: str) -> None:
    with pytest.raises(QuantityError) as raised:
        parse_quantity(text, kind)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.32, "duration", "320 ms"),
        (60.0, "duration", "60 s"),
        (3.5, "duration", "3.5 s"),
        (86400.0, "duration", "1 d"),
        (4294967295.0, "duration", "4294967295 s"),
        (262144, "size", "256 KiB"),
        (1000, "size", "1 kB"),
        (20e6, "rate", "20 Mbit/s"),
        (0.95, "share", "95 %"),
        (0.0, "duration", "0 s"),
    ],
)
def test_written_as_a_person_would(value: float, kind: str, text: str) -> None:
    assert format_quantity(value, kind) == text


@given(st.sampled_from(sorted(KINDS)), st.floats(0.0, 1.0), st.integers(0, 12))
def test_what_is_written_reads_back(kind: str, fraction: float, digits: int) -> None:
    value = round(fraction * min(KINDS[kind].limit, 1e6), digits)
    assert parse_quantity(format_quantity(value, kind), kind) == value


@given(st.one_of(st.text(max_size=80), st.floats(), st.integers(), st.none()), st.sampled_from(sorted(KINDS)))
def test_anything_else_is_a_quantity_error(value: object, kind: str) -> None:
    try:
        parsed = parse_quantity(value, kind)
    except QuantityError:
        return
    assert math.isfinite(parsed)
