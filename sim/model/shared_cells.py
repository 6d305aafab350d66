"""A cell's capacity as the vehicles of a fleet share it: flows (directions of transports) that are active get equal parts.

Processor sharing (Kleinrock, Queueing Systems II, 4.4) by virtual time: V grows by capacity / flows that are active, and what
a flow has asked for is through when V has reached its tag. Asked in the order of time, as the nodes are; when a write
will be through depends on who comes meanwhile, so that it is asked again when it would be there.

Simplification: the vehicle's TCP takes a write for sent when its own link has carried it, and the whole write asks for its part
from the instant it is written, also while the vehicle is out of coverage or its own link is slower. Simplification: handshakes
of TCP and TLS take nothing of a cell. Simplification: after a handover what a flow has still on the way asks for its part in the
new cell, from its next write on, or from when it is next looked after (LOOKS_S).
"""

from __future__ import annotations

from bisect import bisect_right, insort

from sim.machine import NEVER
from sim.model.link import Flow
from sim.model.load import DOWNLINK, UPLINK, Load

_ROUNDING_BYTES = 1e-6
#: A write that is on the way is looked after so often at least: its vehicle may be in another cell.
LOOKS_S = 1.0


class Carrier:
    """One direction of a cell."""

    __slots__ = ("_busy_since_s", "_bytes_per_s", "_tag_of", "_tags", "_then_s", "_v", "busy")

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._v = 0.0
        self._then_s = -NEVER
        self._tags: list[float] = []  # of the active flows, rising
        self._tag_of: dict[object, float] = {}  # flow -> its last tag
        self._busy_since_s = 0.0
        self.busy: list[tuple[float, float]] = []  # (begin, end) of the times in which it was taken, rising

    def enter(self, flow: object, at: float, n_bytes: float) -> None:
        """A flow asks for `n_bytes` more."""
        self._advance(at)
        before = self._tag_of.get(flow, 0.0)
        if before > self._v:
            del self._tags[bisect_right(self._tags, before) - 1]
        else:
            before = self._v
        if not self._tags:
            self._busy_since_s = at
        tag = before + n_bytes
        self._tag_of[flow] = tag
        insort(self._tags, tag)

    def leave(self, flow: object, at: float) -> float:
        """A flow asks for nothing any more; the bytes that it had still on the way."""
        self._advance(at)
        tag = self._tag_of.pop(flow, 0.0)
        if tag <= self._v:
            return 0.0
        del self._tags[bisect_right(self._tags, tag) - 1]
        if not self._tags:
            self.busy.append((self._busy_since_s, self._then_s))
        return tag - self._v

    def through_s(self, flow: object, behind_bytes: float, at: float) -> float:
        """When all that a flow has asked for but its last `behind_bytes` is through if nobody comes or goes; `at` where it is."""
        self._advance(at)
        tag = self._tag_of.get(flow, 0.0) - behind_bytes
        if tag <= self._v + _ROUNDING_BYTES:
            return at
        found, v, n = at, self._v, len(self._tags)
        for other in self._tags:
            until = min(other, tag)
            found += (until - v) * n / self._bytes_per_s
            v = until
            if other >= tag:
                break
            n -= 1
        return found

    def finish(self, at: float) -> None:
        """The run ends at `at`."""
        self._advance(at)
        if self._tags:
            self.busy.append((self._busy_since_s, at))

    def _advance(self, at: float) -> None:
        """Let the time go on to `at`; it never goes back, as when records are closed after the run."""
        if at <= self._then_s:
            return
        gone = 0
        n = len(self._tags)
        while gone < n:
            needs_s = (self._tags[gone] - self._v) * (n - gone) / self._bytes_per_s
            if self._then_s + needs_s > at:
                # not beyond the next tag: what is above V stands in the list, whatever rounding does
                v = self._v + (at - self._then_s) * self._bytes_per_s / (n - gone)
                self._v = min(v, self._tags[gone])
                break
            self._then_s += needs_s
            self._v = self._tags[gone]
            gone += 1
            if gone == n:
                self.busy.append((self._busy_since_s, self._then_s))
        if gone:
            del self._tags[:gone]
        self._then_s = at


class SharedCells:
    """All cells of the network, by name."""

    __slots__ = ("_asked", "_bytes_per_s", "_carriers", "_cell", "load")

    def __init__(self, downlink_bps: float, uplink_bps: float, scale: float) -> None:
        """Capacity of each cell in bit/s. `scale`: simulated vehicles for each real one."""
        self._bytes_per_s = (uplink_bps * scale / 8.0, downlink_bps * scale / 8.0)
        self._carriers: dict[str, tuple[int, Carrier, Carrier]] = {}
        self._cell: dict[object, str] = {}  # flow -> where what it has on the way is
        self._asked: dict[object, int] = {}  # flow -> all that it has asked for so far, bytes
        self.load = Load()

    def enter(self, cell: str, up: bool, flow: Flow, at: float, n_bytes: int) -> int:
        """A write of a flow in the cell; what it has asked for with it, by which `through_s` knows it."""
        self._in_cell(cell, up, flow, at).enter(flow, at, n_bytes)
        asked = self._asked[flow] = self._asked.get(flow, 0) + n_bytes
        return asked

    def through_s(self, cell: str, up: bool, flow: Flow, asked: int, at: float) -> float:
        """When a write is through if nobody comes or goes meanwhile; `at` where it is, or its flow is over. `cell`: "": none."""
        if flow not in self._cell:
            return at
        return self._in_cell(cell or self._cell[flow], up, flow, at).through_s(flow, self._asked[flow] - asked, at)

    def _in_cell(self, cell: str, up: bool, flow: Flow, at: float) -> Carrier:
        """The cell's direction; what the flow has on the way in another one goes on here."""
        if cell not in self._carriers:
            uplink, downlink = (Carrier(rate) for rate in self._bytes_per_s)
            self._carriers[cell] = (len(self._carriers), uplink, downlink)
            self.load.places.append(cell)
        carrier = self._carrier(cell, up)
        before = self._cell.get(flow)
        if before != cell:
            left = self._carrier(before, up).leave(flow, at) if before is not None else 0.0
            self._cell[flow] = cell
            if left:
                carrier.enter(flow, at, left)
        return carrier

    def leave(self, flow: Flow, up: bool, at: float) -> None:
        """A flow is over."""
        cell = self._cell.pop(flow, None)
        if cell is not None:
            del self._asked[flow]
            self._carrier(cell, up).leave(flow, at)

    def _carrier(self, cell: str, up: bool) -> Carrier:
        _number, uplink, downlink = self._carriers[cell]
        return uplink if up else downlink

    def finish(self, at: float) -> None:
        """The run is over."""
        for number, uplink, downlink in self._carriers.values():
            for station, carrier in ((UPLINK, uplink), (DOWNLINK, downlink)):
                carrier.finish(at)
                for begin_s, end_s in carrier.busy:
                    self.load.row(number, station, begin_s, begin_s, end_s - begin_s)
