"""Course: what happened on the road and on the radio, before addresses, RTT and rates are laid over it.

A route, a script and a log each make a course; from there on they share one way to the timeline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.drive.timeline import Disruption, Floats, LinkState
from sim.parking import Parked, driven_s, driving

#: (seed, replication, vehicle): the address of a drive's draws.
Key = tuple[int, int, int]


def instant(at_s: float) -> float:
    """Time rounded to 1 ns, so that sums in a different order meet in the same row."""
    return round(float(at_s), 9)


@dataclass(frozen=True, slots=True)
class Steps:
    """A step function: value[i] holds from at_s[i] on, value[0] also before. `at_s` is rising, both have shape (n,)."""

    at_s: Floats
    value: npt.NDArray[Any]

    def at(self, times_s: Floats) -> npt.NDArray[Any]:
        """Values at the given times, of the same shape."""
        return self.value[np.maximum(np.searchsorted(self.at_s, times_s, side="right") - 1, 0)]


def steps(changes: Iterable[tuple[float, Any]], dtype: npt.DTypeLike) -> Steps:
    """Step function from (time in s, value) in the order of time; of several at one instant the last one holds."""
    held: dict[float, Any] = {}
    for at_s, value in changes:
        held[instant(at_s)] = value
    return Steps(np.array(list(held), dtype=np.float64), np.array(list(held.values()), dtype=dtype))


@dataclass(frozen=True, slots=True)
class Blocked:
    """A disruption with what it does to packets. `listed` is False for holds too short to be worth a row of their own."""

    what: Disruption
    state: LinkState
    out_of_service: bool = False  # counts towards `reattach_after`: the network does not reach the vehicle
    listed: bool = True
    forever: bool = False  # goes on in the drain, after the end of the drive

    @property
    def until_s(self) -> float:
        return np.inf if self.forever else self.what.end_s


@dataclass(frozen=True, slots=True)
class Course:
    """Times in s since start, lengths in m. None: not given by the source, to be modelled."""

    end_s: float
    slot_s: Floats  # instants of the regular rows, about one a second, from 0
    cells: tuple[str, ...]
    serving: Steps  # index into `cells`, -1: none
    gateways: tuple[str, ...]
    prefers: Steps  # index into `gateways`: the gateway of the serving tower, step or operator; -1: none
    blocked: tuple[Blocked, ...]
    track: tuple[Floats, Floats, Floats] | None = None  # time, east, north; straight lines in between
    rsrp_dbm: Steps | None = None
    capacity_bps: Steps | None = None  # what SINR allows, before the limits
    rtt_s: Steps | None = None
    downlink_bps: Steps | None = None
    uplink_bps: Steps | None = None
    logged_address: Steps | None = None  # text, "" for none
    parked: Parked = ()  # spans with the ignition off
    held_gateways: bool = False  # a route: a gateway is left only after `gateway_hold`
    exact: bool = False  # a script: nothing is drawn, nothing is added
    measured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def driven_s(self, at_s: Floats) -> Floats:
        """What the driving clock shows at these instants, shape as they: it stands still while the vehicle is parked."""
        if not self.parked:
            return at_s
        edges = np.array([0.0, *(edge for span in self.parked for edge in span if edge < np.inf), np.inf])
        clock = np.array([driven_s(self.parked, edge) for edge in edges[:-1].tolist()])
        begun = np.searchsorted(edges, at_s, side="right") - 1
        moving = ~self.is_parked(edges[:-1])
        driven: Floats = clock[begun] + np.where(moving[begun], at_s - edges[begun], 0.0)
        return driven

    def is_parked(self, at_s: Floats) -> npt.NDArray[np.bool_]:
        """Whether the ignition is off, shape as `at_s`."""
        off = np.zeros(len(at_s), dtype=bool)
        for off_s, on_s in self.parked:
            off |= (at_s >= off_s) & (at_s < on_s)
        return off

    def seconds(self) -> Floats:
        """The full seconds with the ignition on, from 0 to the end, and the instants at which that changes."""
        spans = driving(self.parked, self.end_s)
        edges = [edge for span in self.parked for edge in span if edge <= self.end_s]
        return np.concatenate([np.arange(np.ceil(a), int(b) + 1, dtype=np.float64) for a, b in spans] + [np.array(edges)])

    def cell_changes_s(self) -> Floats:
        """Instants at which another cell than the last one serves, shape (n,). A return to the same cell is no change."""
        changes: list[float] = []
        last = -1
        for at_s, cell in zip(self.serving.at_s.tolist(), self.serving.value.tolist(), strict=True):
            if cell >= 0:
                if last not in (-1, cell):
                    changes.append(at_s)
                last = cell
        return np.array(changes, dtype=np.float64)

    def outages(self) -> list[tuple[float, float]]:
        """Merged intervals (start, end) out of service, in s; an end of infinity where service never returns."""
        merged: list[tuple[float, float]] = []
        for start_s, end_s in sorted((b.what.start_s, b.until_s) for b in self.blocked if b.out_of_service):
            if merged and start_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
            else:
                merged.append((start_s, end_s))
        return merged
