"""LinkTimeline: the drive as immutable columns, replayed for every strategy, in the model and live.

Row i holds over [start_s[i], start_s[i + 1]); the last row holds from its start on, also after `end_s` (the drain).
The timeline is exogenous: it depends on the drive's settings and the seed alone, never on what is sent. What depends on
traffic (cell sharing, NAT idle expiry, RRC inactivity) lives in `sim.model`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from sim.parking import Parked

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class LinkState(IntEnum):
    """What happens to a packet on the link."""

    UP = 0
    HELD = 1  # packets wait and are forwarded later: handover with forwarding (TS 36.300 10.1.2), queueing in a log
    LOST = 2  # packets are lost: radio link failure, no coverage, no attachment


@dataclass(frozen=True, slots=True)
class Disruption:
    """Something that happened to the link: the exogenous part of a row of disruptions.parquet.

    kind: handover | radio_link_failure | silence | coverage_gap | log_gap | reassignment | detach | held | rebind |
    tower_outage | region_outage, and those of the server side (record.schema).
    `start_s`..`end_s` is the time in which packets wait or are lost (for a reassignment: from the end of the old address
    to the first instant of the new one; `end_s` is the end of the drive where it never ends). A rebind takes no time.
    `before` and `after` are cells, or addresses for a reassignment; "" where none.
    """

    kind: str
    start_s: float
    end_s: float
    before: str = ""
    after: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A timeline's rows as plain sequences, without copies, and its stretches of rows with one state and address.

    Stretch i holds over [stretch_starts[i], stretch_starts[i + 1]); the first begins at -inf, the last ends at inf.
    """

    starts: Sequence[float]
    rtts: Sequence[float]
    downlink: Sequence[float]
    uplink: Sequence[float]
    per_s: float  # pace at which they come
    stretch_starts: Sequence[float]
    stretch_state: Sequence[int]
    stretch_address: Sequence[int]
    carried_until: Sequence[float]  # by address: when the last stretch ends in which its packets get through, now or after a wait


class _Made(list[Rows]):
    """The rows once they are made. They are views, which cannot be copied: a copy of the timeline makes its own."""

    def __reduce__(self) -> tuple[type[_Made], tuple[()]]:
        return _Made, ()


@dataclass(frozen=True, slots=True)
class LinkTimeline:
    """A vehicle's drive as seen by its link. Times in s since start, lengths in m, rates in bit/s (inf: no limit)."""

    start_s: Floats  # rising, start_s[0] == 0
    cell: Ints  # index into `cells`, -1: none
    gateway: Ints  # index into `gateways`, -1: none
    address: Ints  # index into `addresses`, -1: none. In every row in which the vehicle has no address, link is LOST
    link: npt.NDArray[np.int8]  # LinkState
    rtt_s: Floats
    downlink_bps: Floats
    uplink_bps: Floats
    x_m: Floats  # position; nan where unknown
    y_m: Floats
    rsrp_dbm: Floats  # of the serving cell, L3-filtered; nan where unknown
    cells: tuple[str, ...]
    gateways: tuple[str, ...]
    addresses: tuple[str, ...]
    disruptions: tuple[Disruption, ...]  # by start_s
    end_s: float
    rebinds_s: tuple[float, ...] = ()  # when the NAT in front of the server forgets all mappings, rising
    parked: Parked = ()  # spans with the ignition off
    measured: tuple[str, ...] = ()  # columns that came from a log, for the report; the others are modelled
    notes: tuple[str, ...] = ()  # what the reader of a report has to know about this drive
    _rows: _Made = field(default_factory=_Made, init=False, repr=False, compare=False)

    def rows(self) -> Rows:
        """The rows for who reads them one by one; the same object at each call, whoever asks."""
        if not self._rows:
            self._rows.append(self._make_rows())
        return self._rows[0]

    def _make_rows(self) -> Rows:
        state, address, starts = self.link, self.address, self.start_s
        first = np.flatnonzero((state[1:] != state[:-1]) | (address[1:] != address[:-1])) + 1
        begins = np.concatenate([[-np.inf], starts[first], [np.inf]])
        states, addresses = state[np.append(0, first)], address[np.append(0, first)]
        carried_until = np.full(len(self.addresses), -np.inf)
        carries = np.flatnonzero((states != LinkState.LOST) & (addresses >= 0))
        carried_until[addresses[carries]] = begins[carries + 1]  # of equal addresses the last one counts
        pace = (len(starts) - 1) / max(float(starts[-1]), 1.0)
        rates = self.downlink_bps.data, self.uplink_bps.data
        return Rows(starts.data, self.rtt_s.data, *rates, pace, begins.data, states.data, addresses.data, carried_until.data)

    def cell_at(self, at_s: float) -> str:
        """Name of the serving cell at an instant, "" where there is none."""
        row = max(0, int(np.searchsorted(self.start_s, at_s, "right")) - 1)
        number = int(self.cell[row])
        return self.cells[number] if number >= 0 else ""

    def left_at(self, address: int, now: float) -> float:
        """When address number `address` was last given up before `now`; inf where it was never held."""
        left = math.inf
        had = False
        for start_s, held in zip(self.start_s.tolist(), self.address.tolist(), strict=True):
            if start_s > now:
                break
            if held == address:
                had = True
            elif had:
                left, had = start_s, False
        return left

    def __post_init__(self) -> None:
        n = len(self.start_s)
        columns = (self.cell, self.gateway, self.address, self.link, self.rtt_s, self.downlink_bps, self.uplink_bps)
        if n == 0 or self.start_s[0] != 0.0 or bool(np.any(np.diff(self.start_s) <= 0.0)):
            raise ValueError("start_s must rise from 0")
        for column in (*columns, self.x_m, self.y_m, self.rsrp_dbm):
            if len(column) != n:
                raise ValueError("columns differ in length")
            column.setflags(write=False)
        self.start_s.setflags(write=False)
        if bool(np.any((self.address < 0) & (self.link != LinkState.LOST))):
            raise ValueError("a link without an address cannot carry packets")
