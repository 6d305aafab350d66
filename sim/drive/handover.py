"""Which cell serves when: event A3, handover interruption and failure, radio link failure, reselection, coverage gaps.

Simplification: measurement report, preparation and command take no time; the handover starts when the time to trigger ends.
Simplification: N310 = N311 = 1, and a dip below Qout that is shorter than T310 costs rate only, no packets.
Simplification: a handover fails by chance (`failure_share`), whatever the signal is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, inf

import numpy as np
import numpy.typing as npt

from sim.drive.config import Handover
from sim.drive.correlation import lognormal
from sim.drive.course import Blocked, Key, Steps, instant, steps
from sim.drive.radio import UNHEARD_DBM, Signals
from sim.drive.timeline import Disruption, LinkState
from sim.streams import Stream

#: Qin lies this far above Qout: block error rates of 2 % and 10 % of a hypothetical PDCCH (TS 36.133 7.6; dB from memory).
IN_SYNC_MARGIN_DB = 2.0
#: p95 of the interruption over its median where no p95 is given (LTE: 46 / 19 ms).
P95_RATIO = 2.4
_CHUNK = 128

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Service:
    serving: Steps  # tower index, -1: none
    blocked: tuple[Blocked, ...]


def interruption_s(handover: Handover, draws: Stream | None, number: int) -> float:
    """Interruption of handover `number`: lognormal by median and p95; the median without draws."""
    median_s = handover.interruption_s
    if draws is None or median_s == 0.0:
        return median_s
    p95_s = P95_RATIO * median_s if handover.interruption_p95_s is None else handover.interruption_p95_s
    return lognormal(median_s, p95_s, draws.normal(2 * number))


def serve(
    signals: Signals,
    handover: Handover,
    out_of_sync_db: float,
    towers: tuple[str, ...],
    end_s: float,
    key: Key | None,
    *,
    leg: int = 0,
) -> Service:
    """Serving tower and blocked link over a drive, or over one leg of it.

    Without a key nothing is drawn: medians, and no handover fails. `leg` numbers the legs, each with draws of its own.
    """
    return _Vehicle(signals, handover, out_of_sync_db, towers, end_s, key, leg).drive()


def first_run(holds: Callable[[int, int], Mask], start: int, stop: int, samples: int, need: int) -> tuple[int, int] | None:
    """(sample, row) at which the first run of `need` samples begins, at or after `start` and before `stop`; None: none.

    `holds(low, high)` gives the condition, shape (rows, high - low). A run has to be complete within `samples`.
    """
    low, size = start, _CHUNK
    while low < stop:
        high = min(low + size, stop)
        condition = holds(low, min(high + need - 1, samples))
        if condition.any():
            counted = np.zeros((condition.shape[0], condition.shape[1] + 1), dtype=np.int32)
            np.cumsum(condition, axis=1, out=counted[:, 1:])
            full = counted[:, need:] - counted[:, :-need] == need
            begins = full.any(axis=0)
            if begins.any():
                sample = int(begins.argmax())
                return low + sample, int(full[:, sample].argmax())
        low, size = high, min(2 * size, 4096)
    return None


class _Vehicle:
    """Walks from event to event; between two events everything is an array operation."""

    def __init__(
        self,
        signals: Signals,
        handover: Handover,
        out_of_sync_db: float,
        towers: tuple[str, ...],
        end_s: float,
        key: Key | None,
        leg: int,
    ) -> None:
        self._signals = signals
        self._handover = handover
        self._out_db = out_of_sync_db
        self._towers = towers
        self._end_s = end_s
        of_leg = f"/{leg}" if leg else ""
        self._draws = Stream(*key, "drive/handover" + of_leg) if key else None
        self._reselections = Stream(*key, "drive/reselection" + of_leg) if key else None
        self._best = signals.rsrp_dbm.argmax(axis=0)
        best_sinr_db = signals.sinr_db(self._best, np.arange(signals.samples))
        self._in_sync = np.flatnonzero(best_sinr_db >= out_of_sync_db + IN_SYNC_MARGIN_DB)
        self._changes: list[tuple[float, int]] = []
        self._blocked: list[Blocked] = []
        self._handovers = self._failures = 0

    def drive(self) -> Service:
        now, cell = self._select(0.0, "", 0.0)
        while cell >= 0 and now < self._end_s:
            now, cell = self._leave(now, cell)
        return Service(steps(self._changes, np.int32), tuple(self._blocked))

    def _sample_from(self, at_s: float) -> int:
        return ceil(at_s / self._signals.period_s - 1e-9)

    def _leave(self, now: float, cell: int) -> tuple[float, int]:
        """Follow the serving cell until it is left: (instant from which the next one is followed, that cell or -1)."""
        period_s, n = self._signals.period_s, self._signals.samples
        start = self._sample_from(now)
        h = self._handover
        loss = first_run(self._out_of_sync(cell), start, n, n, floor(h.t310_s / period_s + 1e-9) + 1)
        fails_s = loss[0] * period_s + h.t310_s if loss else inf
        rows = np.arange(len(self._towers))
        stop = n if loss is None else min(n, self._sample_from(fails_s) + 1)
        better = first_run(self._better(cell), start, stop, n, floor(h.time_to_trigger_s / period_s + 1e-9) + 1)
        triggers_s = better[0] * period_s + h.time_to_trigger_s if better else inf
        if min(fails_s, triggers_s) >= self._end_s:
            return self._end_s, cell
        # whatever comes of it, the next cell is judged by the next sample, so that an event follows another by one sample
        later_s = (floor(min(fails_s, triggers_s) / period_s + 1e-9) + 1) * period_s
        if loss is not None and fails_s < triggers_s:
            now, cell = self._fail(instant(loss[0] * period_s), instant(fails_s), cell, "out of sync")
            return max(now, later_s), cell
        assert better is not None
        first, _ = better
        last = first + floor(h.time_to_trigger_s / period_s + 1e-9)
        # the strongest of those that fulfilled the event for all of the time to trigger
        fulfilled = self._better(cell)(first, last + 1).all(axis=1)
        target = int(rows[fulfilled][self._signals.rsrp_dbm[fulfilled, last].argmax()])
        now, cell = self._hand_over(instant(triggers_s), cell, target)
        return max(now, later_s), cell

    def _better(self, cell: int) -> Callable[[int, int], Mask]:
        """Entering condition of event A3, Mn - Hys > Mp + Off (TS 38.331 5.5.4.4), for all towers."""
        off_air = self._signals.off_air
        rsrp, margin_db = self._signals.rsrp_dbm, self._handover.hysteresis_db + self._handover.a3_offset_db

        def holds(low: int, high: int) -> Mask:
            block = rsrp[:, low:high]
            # the own row never fulfils it, also with a negative offset; towers out of reach are no neighbours
            entered: Mask = (block > block[cell] + margin_db) & (block > UNHEARD_DBM)
            entered[cell] = False
            if off_air is not None:  # a tower that is out of service commands no handover
                entered &= ~off_air[cell, low:high]
            return entered

        return holds

    def _out_of_sync(self, cell: int) -> Callable[[int, int], Mask]:
        def holds(low: int, high: int) -> Mask:
            below: Mask = self._signals.sinr_db(cell, slice(low, high)) < self._out_db
            return below[np.newaxis]

        return holds

    def _hand_over(self, at_s: float, cell: int, target: int) -> tuple[float, int]:
        number, self._handovers = self._handovers, self._handovers + 1
        if self._draws is not None and self._draws.uniform(2 * number + 1) < self._handover.failure_share:
            return self._fail(at_s, instant(at_s + self._handover.t310_s), cell, "handover failed")
        until_s = instant(at_s + interruption_s(self._handover, self._draws, number))
        self._changes.append((at_s, target))
        what = Disruption("handover", at_s, until_s, self._towers[cell], self._towers[target], "event A3")
        self._blocked.append(Blocked(what, LinkState.HELD))
        return until_s, target

    def _fail(self, lost_s: float, failed_s: float, cell: int, cause: str) -> tuple[float, int]:
        """Radio link failure: packets are lost from `lost_s` until a cell is found and entered."""
        shortest_s, longest_s = self._handover.reselection_s
        share = 0.5 if self._reselections is None else self._reselections.uniform(self._failures)
        self._failures += 1
        found_s = instant(failed_s + shortest_s + share * (longest_s - shortest_s))
        self._changes.append((lost_s, -1))
        return self._select(found_s, self._towers[cell], lost_s, cause)

    def _select(self, at_s: float, before: str, lost_s: float, cause: str = "") -> tuple[float, int]:
        """Enter the strongest cell that is in sync at `at_s`, else the first one to be."""
        sample = min(self._signals.samples - 1, floor(at_s / self._signals.period_s + 1e-9))
        later = int(np.searchsorted(self._in_sync, sample))
        never = later == len(self._in_sync)
        sample = self._signals.samples - 1 if never else max(sample, int(self._in_sync[later]))
        cell = -1 if never else int(self._best[sample])
        enters_s = self._end_s if never else max(at_s, instant(sample * self._signals.period_s))
        name = "" if never else self._towers[cell]
        gap = never or enters_s > at_s
        if cause:
            ends_s = min(at_s, self._end_s) if never else at_s
            what = Disruption("radio_link_failure", lost_s, ends_s, before, "" if gap else name, cause)
            self._blocked.append(Blocked(what, LinkState.LOST, out_of_service=True))
        if gap:
            what = Disruption("coverage_gap", min(at_s, self._end_s), enters_s, before, name, "no cell in sync")
            self._blocked.append(Blocked(what, LinkState.LOST, out_of_service=True, forever=never))
        self._changes.append((enters_s if cell >= 0 else min(at_s, self._end_s), cell))
        return enters_s, cell
