"""One vehicle's link and the TCP transports on it, as pure functions of the timeline.

Each direction is one FIFO with the timeline's rate, shared by all transports of the vehicle. A transport delivers in
order; a packet counts when its last byte arrives. TCP is not run segment by segment: for each write the instant of
arrival follows from rate, RTT, blocked intervals, retransmission instants and the congestion window, or it is never.

Simplification: no loss other than the timeline's lost intervals; a single lost segment on a good link is part of the RTT's
tail. Simplification: half the RTT each way.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right

import numpy as np

from sim.drive.timeline import LinkState, LinkTimeline
from sim.protocols.tcp import TCP, gives_up_after_s, retransmissions, rto_s, syn_instants

_UP = int(LinkState.UP)
_HELD = int(LinkState.HELD)
_GIVES_UP_AT_LEAST_S = 0.6  # no sender gives up earlier than one doubling of the smallest RTO: a short cut, not a rule
_NO_RUNS: tuple[list[float], list[float]] = ([], [])
_WINDOW_MAX_BYTES = 6 * 1024 * 1024  # Linux tcp_rmem[2]


class Flow:
    """One direction of one transport."""

    __slots__ = (
        "blocked",
        "last_arrival_s",
        "last_finish_s",
        "sender_gone_s",
        "stuck_bytes",
        "unacked_since_s",
        "used_s",
        "watch",
        "window_bytes",
    )

    def __init__(self, window_bytes: int) -> None:
        self.last_arrival_s = -math.inf
        self.last_finish_s = -math.inf
        self.window_bytes = window_bytes
        self.used_s = -math.inf
        self.unacked_since_s = math.nan  # first write whose acknowledgement cannot come
        self.sender_gone_s = math.inf  # when the sender's kernel gives up
        self.stuck_bytes = 0
        self.blocked = False
        self.watch = False  # the sender may have to be told something: see Driver._check_sender


class Link:
    """The vehicle's link. Addresses are indices of the timeline."""

    __slots__ = (
        "_address", "_clear_until", "_down", "_down_free_s", "_initial_window_bytes", "_queue_bytes",
        "_runs", "_rtt", "_starts", "_state", "_tcp",
        "_up", "_up_free_s", "row", "timeline",
    )  # fmt: skip

    def __init__(self, timeline: LinkTimeline, tcp: TCP, *, queue_bytes: int) -> None:
        self.timeline = timeline
        self._tcp = tcp
        self._queue_bytes = queue_bytes
        self._starts: list[float] = [-math.inf, *timeline.start_s.tolist()[1:], math.inf]
        self._state: list[int] = timeline.link.tolist()
        self._address: list[int] = timeline.address.tolist()
        self._rtt: list[float] = timeline.rtt_s.tolist()
        self._down: list[float] = timeline.downlink_bps.tolist()
        self._up: list[float] = timeline.uplink_bps.tolist()
        self._initial_window_bytes = tcp.initial_window * tcp.mss_bytes
        self.row = 0
        self._up_free_s = -math.inf
        self._down_free_s = -math.inf
        # stretches of rows between which neither state nor address changes
        state, address = timeline.link, timeline.address
        first = [0, *(np.flatnonzero((state[1:] != state[:-1]) | (address[1:] != address[:-1])) + 1).tolist(), len(state)]
        self._clear_until: list[float] = []  # until when the link stays up with the address of row i, unbroken
        # address -> (starts, ends) of the intervals in which packets of that address get through, now or after a wait
        self._runs: dict[int, tuple[list[float], list[float]]] = {}
        for begin, end in itertools.pairwise(first):
            opens_s, closes_s = self._starts[begin], self._starts[end]
            held = self._state[begin] == _HELD
            self._clear_until += [closes_s if self._state[begin] == _UP else opens_s] * (end - begin)
            if self._state[begin] == _UP or held:
                opens, closes = self._runs.setdefault(self._address[begin], ([], []))
                if closes and closes[-1] == opens_s:
                    closes[-1] = closes_s
                else:
                    opens.append(opens_s)
                    closes.append(closes_s)

    def flow(self) -> Flow:
        return Flow(self._initial_window_bytes)

    def row_at(self, now: float) -> int:
        """Index of the timeline row that holds at `now`."""
        row, starts = self.row, self._starts
        if starts[row] <= now < starts[row + 1]:
            return row
        if row + 1 < len(self._state) and starts[row + 1] <= now < starts[row + 2]:
            self.row = row + 1
            return row + 1
        self.row = row = bisect_right(starts, now) - 1
        return row

    def address_at(self, now: float) -> int:
        """Index of the vehicle's address, -1 where it has none."""
        return self._address[self.row_at(now)]

    def rtt_at(self, now: float) -> float:
        return self._rtt[self.row_at(now)]

    def rate_at(self, now: float, up: bool) -> float:
        """Rate of a direction in bit/s."""
        row = self.row_at(now)
        return self._up[row] if up else self._down[row]

    def clear_until(self, now: float, address: int) -> float:
        """Until when packets of a transport bound to `address` pass without a break; `now` where they do not."""
        row = self.row_at(now)
        return self._clear_until[row] if self._address[row] == address and self._state[row] == _UP else now

    # --- TCP -------------------------------------------------------------------------------------------------------------

    def carry(
        self, flow: Flow, address: int, up: bool, wire: int, now: float, user_timeout_s: float = 0.0, *, reserve: bool = True
    ) -> float:
        """Instant at which the last byte of a write of `wire` IP bytes arrives, inf where never.

        `address` is that to which the transport is bound. Sets `flow.sender_gone_s` where the sender's kernel gives up
        first. `reserve`: whether the write takes its place in the link's FIFO.
        """
        free_s = self._up_free_s if up else self._down_free_s
        start = now
        if free_s > now:
            start = self._queued_start(flow, up, free_s, now)
        row = self.row
        starts = self._starts
        if not starts[row] <= start < starts[row + 1]:
            row = self.row_at(start)
        # the common case: small enough for the window, and nothing happens to the link until its acknowledgement is back
        if wire <= self._initial_window_bytes and self._address[row] == address and self._state[row] == _UP:
            rate = self._up[row] if up else self._down[row]
            finish = start + wire * 8.0 / rate
            rtt = self._rtt[row]
            if finish < starts[row + 1] and finish + rtt < self._clear_until[row] and flow.sender_gone_s == math.inf:
                arrival = finish + 0.5 * rtt
                if arrival < flow.last_arrival_s:
                    arrival = flow.last_arrival_s
                flow.last_arrival_s = arrival
                flow.last_finish_s = finish
                flow.used_s = finish
                if finish - now > 1.0:
                    flow.watch = True
                if reserve:
                    if up:
                        self._up_free_s = finish
                    else:
                        self._down_free_s = finish
                return arrival
        return self._carry_slowly(flow, address, up, wire, now, start, user_timeout_s, reserve=reserve)

    def _queued_start(self, flow: Flow, up: bool, free_s: float, now: float) -> float:
        """A transport's own bytes wait for each other; those of others delay it by the link's bounded queue at most."""
        if flow.last_finish_s >= free_s:
            return free_s
        row = self.row_at(now)
        rate = self._up[row] if up else self._down[row]
        return max(now, flow.last_finish_s, min(free_s, now + self._queue_bytes * 8.0 / rate))

    def _carry_slowly(
        self, flow: Flow, address: int, up: bool, wire: int, now: float, start: float, user_timeout_s: float, *, reserve: bool
    ) -> float:
        flow.watch = True
        if now >= flow.sender_gone_s:
            return math.inf
        # slow start: a flight larger than the window needs further round trips (RFC 5681 3.1)
        rto = rto_s(self._tcp, self.rtt_at(start))
        if self._tcp.slow_start_after_idle and start - flow.used_s > rto:
            flow.window_bytes = self._initial_window_bytes
        finish = start
        left = wire
        at = max(start, flow.last_finish_s)
        while left > 0:
            burst = min(left, flow.window_bytes)
            begun = at
            finish = self._transmit(address, up, burst, begun)
            if finish == math.inf:
                break
            left -= burst
            if finish - begun > 2.0 * rto:
                flow.window_bytes = self._initial_window_bytes  # a retransmission timeout happened in it
            elif left or burst == flow.window_bytes:
                flow.window_bytes = min(2 * flow.window_bytes, _WINDOW_MAX_BYTES)
            if left:
                at = max(finish, begun + self.rtt_at(begun))
        arrival, acked = self._land(address, up, finish)
        arrival = max(arrival, flow.last_arrival_s)
        acked = max(acked, arrival)
        self._judge_sender(flow, address, up, now, acked, user_timeout_s)
        if arrival > flow.sender_gone_s:
            flow.stuck_bytes += wire
            return math.inf
        flow.last_arrival_s = arrival
        flow.last_finish_s = finish
        flow.used_s = finish
        if reserve and finish < math.inf:
            if up:
                self._up_free_s = max(self._up_free_s, finish)
            else:
                self._down_free_s = max(self._down_free_s, finish)
        return arrival

    def _judge_sender(self, flow: Flow, address: int, up: bool, now: float, acked: float, user_timeout_s: float) -> None:
        """Whether the sender's kernel gives up before `acked`, the instant at which the acknowledgement is back."""
        since = flow.unacked_since_s
        if since != since or since > now:
            since = now
        if acked - since < user_timeout_s or (not user_timeout_s and acked - since < _GIVES_UP_AT_LEAST_S):
            flow.unacked_since_s = math.nan
            return
        limit_s = gives_up_after_s(self._tcp, rto_s(self._tcp, self.rtt_at(now)), user_timeout_s)
        if acked > since + limit_s:
            flow.unacked_since_s = since
            flow.sender_gone_s = min(flow.sender_gone_s, since + limit_s)
        elif acked == acked:
            flow.unacked_since_s = math.nan

    def _transmit(self, address: int, up: bool, wire: float, start: float) -> float:
        """When the last bit of `wire` bytes has left the sender's end of the radio, with retransmissions; inf where never."""
        bits = wire * 8.0
        at = start
        row = self.row_at(at)
        n = len(self._state)
        while True:
            if self._address[row] == address and self._state[row] == _UP:
                rate = self._up[row] if up else self._down[row]
                end = self._starts[row + 1]
                if at + bits / rate <= end:
                    return at + bits / rate
                if rate < math.inf:
                    bits -= (end - at) * rate
                at = end
                row += 1
            elif self._address[row] == address and self._state[row] == _HELD:
                at = self._starts[row + 1]  # packets wait and are forwarded
                row += 1
            else:
                at = self._next_retransmission(address, at, self._rtt[row - 1 if row else 0])
                if at == math.inf:
                    return math.inf
                row = self.row_at(at)
            if row >= n:
                return math.inf

    def _next_retransmission(self, address: int, lost_at: float, rtt_s: float) -> float:
        """First retransmission instant at which the link carries `address` again, for bytes first lost at `lost_at`; inf where never."""
        opens, closes = self._runs.get(address, _NO_RUNS)
        run = bisect_right(closes, lost_at)
        if run >= len(opens):
            return math.inf
        for after in retransmissions(self._tcp, rto_s(self._tcp, rtt_s)):
            at = lost_at + after
            while closes[run] <= at:
                run += 1  # the retransmission falls behind this interval
                if run >= len(opens):
                    return math.inf
            if at >= opens[run]:
                return at
        raise AssertionError("retransmissions() is endless")

    def _land(self, address: int, up: bool, finish: float) -> tuple[float, float]:
        """(arrival of the last byte at the receiver, return of its acknowledgement), for bytes that left the sender at `finish`.

        Uplink crosses the radio when it leaves, downlink when it arrives; what meets a break there is retransmitted.
        """
        if finish == math.inf:
            return math.inf, math.inf
        half = 0.5 * self.rtt_at(finish)
        if up:
            arrival = finish + half
            back = self._cross(address, arrival + half, finish)
        else:
            arrival = self._cross(address, finish + half, finish)
            back = arrival + half if self._passes(address, arrival + half) else self._cross(address, arrival + half, arrival)
        return arrival, back

    def _passes(self, address: int, at: float) -> bool:
        if at == math.inf:
            return False
        row = self.row_at(at)
        return self._address[row] == address and self._state[row] == _UP

    def _cross(self, address: int, at: float, sent: float) -> float:
        """When a packet sent at `sent` and due over the radio at `at` gets through, by forwarding or retransmission."""
        if at == math.inf:
            return at
        row = self.row_at(at)
        if self._address[row] == address:
            if self._state[row] == _UP:
                return at
            if self._state[row] == _HELD:
                return self._transmit(address, True, 0.0, self._starts[row + 1])
        again = self._next_retransmission(address, sent, self._rtt[row])
        return again + self.rtt_at(again) if again < math.inf else math.inf

    def release(self, flow: Flow, up: bool, now: float) -> None:
        """A transport was closed: what it had not sent no longer takes the link's time."""
        free_s = self._up_free_s if up else self._down_free_s
        if flow.last_finish_s >= free_s > now:
            if up:
                self._up_free_s = now
            else:
                self._down_free_s = now

    def connect(self, address: int, now: float, *, up: bool = True) -> float:
        """When a TCP connection asked for at `now` is established at the opener (SYN, SYN-ACK), inf where never (RFC 9293 3.5)."""
        for after in syn_instants(self._tcp):
            at = now + after
            row = self.row_at(at)
            if self._address[row] == address and self._state[row] == _HELD:
                at = self._starts[row + 1]
            rtt = self.rtt_at(at)
            crossed = at if up else at + 0.5 * rtt
            if self.clear_until(crossed, address) > at + rtt:
                return at + rtt
        return math.inf

    def once(self, address: int, up: bool, now: float) -> float:
        """Arrival of a single packet that is not retransmitted (UDP, RST), inf where it is lost."""
        row = self.row_at(now)
        at = now
        if self._address[row] == address and self._state[row] == _HELD:
            at = self._starts[row + 1]
        half = 0.5 * self.rtt_at(at)
        crossed = at if up else at + half
        return at + half if self._passes(address, crossed) else math.inf
