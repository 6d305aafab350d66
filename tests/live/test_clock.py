"""The clock of a live run knows how late its calls are made, and the report says when that is too late to be evidence."""

from __future__ import annotations

import asyncio
import time

import pytest

from sim.live.clock import Clock
from sim.measure.lateness import OVERLOADED, late_in_words, overloaded
from sim.measure.tolerance import Tolerance


def test_a_busy_loop_makes_calls_late() -> None:
    async def main() -> tuple[float, float]:
        clock = Clock(asyncio.get_running_loop(), 0.0)
        made: list[float] = []
        clock.at(0.02, lambda: made.append(clock.now()))
        clock.at(0.03, time.sleep, 0.1)
        clock.at(0.05, lambda: made.append(clock.now()))
        clock.at(-1.0, lambda: None)  # has passed already: not late, but asked for late
        await asyncio.sleep(0.3)
        return made[1], clock.late.summary()["max_ms"]

    at_s, max_ms = asyncio.run(main())
    assert at_s >= 0.13
    assert max_ms == pytest.approx(1e3 * (at_s - 0.05), abs=5.0)


def test_what_is_later_than_the_tolerance_is_no_evidence() -> None:
    tolerance = Tolerance(0.05, 0.25)
    good = {"timers": {"n": 9, "p99_s": 0.002, "max_s": 0.031}}
    bad = {**good, "packets": {"n": 9, "p99_s": 0.0001, "max_s": 0.4}}
    assert not overloaded(good, tolerance)
    assert overloaded(bad, tolerance)
    assert late_in_words(good, tolerance) == ["Timers went off 31.0 ms late at most (2.0 ms in 99 %)."]
    assert late_in_words(bad, tolerance)[0].startswith(OVERLOADED)
    assert late_in_words({}, tolerance) == []
