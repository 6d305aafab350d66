"""The radio as a packet meets it: the drive's rows, and one FIFO for each direction with the rows' rate and a bounded queue.

Pure: time is an argument. The instant at which a packet has crossed follows from the rows when it joins the queue, so a
forwarder that is late by a millisecond does not add that millisecond to all packets behind.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from ipaddress import IPv4Address

from sim.live.packet.plan import HELD, LOST, UP, Plan

# While packets are held none is lost, so they are not bounded by the queue but by this, against a sender without end.
HELD_AT_MOST_BYTES = 16 * 1024 * 1024


class Rows:
    """The drive by instant. The first row also holds before the start, the last one after the end."""

    __slots__ = ("_row", "address", "count", "half_rtt_s", "start_s", "state")

    def __init__(self, plan: Plan) -> None:
        self.start_s = [-math.inf, *plan.start_s[1:], math.inf]
        self.address = [IPv4Address(text).packed if text else b"" for text in plan.address]
        self.state = plan.state
        self.half_rtt_s = [0.5 * rtt_s for rtt_s in plan.rtt_s]
        self.count = len(plan.state)
        self._row = 0

    def at(self, now: float) -> int:
        row = self._row
        if not self.start_s[row] <= now < self.start_s[row + 1]:
            self._row = row = min(bisect_right(self.start_s, now) - 1, self.count - 1)
        return row

    def opens(self, now: float) -> float:
        """`now`, or the end of the hold that it falls into; inf where that never ends."""
        row = self.at(now)
        if self.state[row] != HELD:
            return now
        while row < self.count and self.state[row] == HELD:
            row += 1
        return self.start_s[row]


class Fifo:
    """One direction over the radio. Packets join in the order of time and cross in that order."""

    __slots__ = ("_free_s", "_queue_bytes", "_rate_bps", "_rows", "_waiting", "_waiting_bytes")

    def __init__(self, rows: Rows, rate_bps: list[float], queue_bytes: int) -> None:
        self._rows = rows
        self._rate_bps = rate_bps
        self._queue_bytes = queue_bytes
        self._free_s = -math.inf
        self._waiting: deque[tuple[float, int]] = deque()  # (instant of the last bit, bytes)
        self._waiting_bytes = 0

    def follow(self, rows: Rows, rate_bps: list[float]) -> None:
        """Go on with other rows; what has crossed has crossed."""
        self._rows = rows
        self._rate_bps = rate_bps

    def cross(self, now: float, size: int) -> tuple[float, str]:
        """(instant at which the last bit has crossed, "") for a packet that joins now, or (inf, why it never does)."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self._waiting_bytes -= waiting.popleft()[1]
        held = self._rows.state[self._rows.at(now)] == HELD
        if waiting and self._waiting_bytes + size > (HELD_AT_MOST_BYTES if held else self._queue_bytes):
            return math.inf, "queue_full"
        crossed, lost = self._serve(max(now, self._free_s), size * 8.0)
        if crossed == math.inf:
            return math.inf, "link_held"
        # a packet cut by a loss has used the radio until then
        self._free_s = crossed
        if lost:
            return math.inf, "link_lost"
        waiting.append((crossed, size))
        self._waiting_bytes += size
        return crossed, ""

    def _serve(self, start: float, bits: float) -> tuple[float, bool]:
        """(when the last bit has crossed, or the packet was cut; whether it was cut). Nothing is sent while held."""
        rows = self._rows
        row = rows.at(start)
        at = start
        while row < rows.count:
            end = rows.start_s[row + 1]
            if rows.state[row] == LOST:
                return at, True
            if rows.state[row] == UP and self._rate_bps[row] > 0.0:
                done = at + bits / self._rate_bps[row]
                if done < end:
                    return done, False
                bits -= (end - at) * self._rate_bps[row]
            at = end
            row += 1
        return math.inf, False
