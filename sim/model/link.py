"""One vehicle's link and the TCP transports on it, as pure functions of the timeline.

Each direction is one FIFO with the timeline's rate, shared by all transports of the vehicle. A transport delivers in
order; a packet counts when its last byte arrives. TCP is not run segment by segment: for each write the instant of
arrival follows from rate, RTT, blocked intervals, retransmission instants and the congestion window, or it is never.

Simplification: no loss other than the timeline's lost intervals; a single lost segment on a good link is part of the RTT's
tail. Simplification: half the RTT each way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sim.drive.timeline import LinkState, LinkTimeline
from sim.machine import NEVER
from sim.protocols.tcp import HEADER_BYTES, gives_up_after_s, retransmissions, rto_s, syn_instants
from sim.protocols.tcp_settings import TCP

_UP: Final = int(LinkState.UP)
_HELD: Final = int(LinkState.HELD)
_NAN: Final = float("nan")
_NEIGHBOURS: Final = 4  # rows that are looked at around the first guess, before the right one is searched for
_WATCHED_S: Final = 0.25  # a write that takes longer than this is remembered, in case its transport ends before it is out
_GIVES_UP_AT_LEAST_S: Final = 0.6  # no sender gives up earlier than one doubling of the smallest RTO: a short cut, not a rule
_WINDOW_MAX_BYTES: Final = 6 * 1024 * 1024  # Linux tcp_rmem[2]


def _from(taken: tuple[float, float, Flow]) -> float:
    return taken[0]


class Flow:
    """One direction of one transport."""

    __slots__ = (
        "blocked",
        "born_s",
        "dying",
        "last_arrival_s",
        "last_finish_s",
        "packet",
        "resent_until_s",
        "resumes_s",
        "round_bytes",
        "round_ends_s",
        "sender_gone_s",
        "stalls_s",
        "stuck_bytes",
        "unacked_since_s",
        "unfinished",
        "used_s",
        "watch",
        "window_bytes",
    )

    def __init__(self, window_bytes: int, born_s: float) -> None:
        self.born_s = born_s
        self.last_arrival_s = -NEVER
        self.last_finish_s = -NEVER
        self.window_bytes = window_bytes
        self.used_s = -NEVER
        self.unacked_since_s = _NAN  # first write whose acknowledgement cannot come
        self.sender_gone_s = NEVER  # when the sender's kernel gives up
        self.stuck_bytes = 0
        self.round_bytes = 0  # sent in this round trip, and when it ends
        self.round_ends_s = -NEVER
        self.packet: Any = None  # of the last write, None: of a handshake
        self.unfinished: list[tuple[float, float, int, Any]] = []  # writes that take long: (start, finish, bytes, packet)
        self.dying: tuple[float, float, int, Any] | None = None  # the same of the write under way when its path ends for good
        self.resent_until_s = -NEVER  # bytes are resent until then
        self.resumes_s = -NEVER  # from then on
        self.stalls_s = -NEVER  # what went out before the interruption went out until then
        self.blocked = False
        self.watch = False  # the sender may have to be told something: see Driver._check_sender

    def remember(self, now: float, start: float, finish: float, wire: int) -> None:
        """Note a write that takes long; those that are out are forgotten."""
        if self.unfinished and self.unfinished[0][1] <= now:
            self.unfinished = [write for write in self.unfinished if write[1] > now]
        self.unfinished.append((start, finish, wire, self.packet))


class Link:
    """The vehicle's link. Addresses are indices of the timeline.

    It stands in one row of the timeline at a time and keeps that row's values at hand: mostly it is asked about instants
    close to each other. Where it stands has no influence on what it answers.
    """

    __slots__ = (
        "_address",
        "_any_later",
        "_begin",
        "_carried_until",
        "_down_bps",
        "_down_free_s",
        "_down_tail_s",
        "_downlink",
        "_end",
        "_initial_window_bytes",
        "_last_row",
        "_later",
        "_queue_bytes",
        "_resent",
        "_resumed_s",
        "_row",
        "_rows_per_s",
        "_rtt",
        "_rtts",
        "_stalled_s",
        "_starts",
        "_state",
        "_stretch",
        "_stretch_address",
        "_stretch_starts",
        "_stretch_state",
        "_tcp",
        "_until",
        "_up_bps",
        "_up_free_s",
        "_up_tail_s",
        "_uplink",
        "unsent_bytes",
    )

    def __init__(self, timeline: LinkTimeline, tcp: TCP, *, queue_bytes: int) -> None:
        self._tcp = tcp
        self._queue_bytes = queue_bytes
        self._initial_window_bytes = tcp.initial_window * (tcp.mss_bytes + HEADER_BYTES)  # IP bytes, as all sizes here
        self._up_free_s = -NEVER
        self._down_free_s = -NEVER
        # when the last write of the queue would be out without those that have got ahead of it since
        self._up_tail_s = -NEVER
        self._down_tail_s = -NEVER
        # what is in the timeline is not copied
        rows = timeline.rows()
        self._starts: Sequence[float] = rows.starts
        self._rtts: Sequence[float] = rows.rtts
        self._downlink: Sequence[float] = rows.downlink
        self._uplink: Sequence[float] = rows.uplink
        self._last_row = len(rows.starts) - 1
        self._rows_per_s = rows.per_s
        self._stretch_starts: Sequence[float] = rows.stretch_starts
        self._stretch_state: Sequence[int] = rows.stretch_state
        self._stretch_address: Sequence[int] = rows.stretch_address
        self._carried_until: Sequence[float] = rows.carried_until
        self._row = 0
        self.unsent_bytes = 0  # of the last write that does not arrive
        self._resent = False  # whether the last write met an interruption
        self._stalled_s = 0.0  # when the last one began in which its bytes got lost
        self._resumed_s = 0.0  # when the write went on after it
        # down, up: (from, until, whose): taken by what a transport resends after an interruption that is not over yet
        self._later: tuple[list[tuple[float, float, Flow]], list[tuple[float, float, Flow]]] = ([], [])
        self._any_later = False
        self._begin = self._end = self._until = 0.0  # of the row, and of the stretch that it is in
        self._stretch = self._address = self._state = 0
        self._rtt = self._down_bps = self._up_bps = 0.0
        self._go_to(-NEVER)

    def address_changes(self) -> Iterator[tuple[float, int]]:
        """(instant, index of the address, -1: none) for each change; the first is what the vehicle has to begin with."""
        before = -2
        for start_s, address in zip(self._stretch_starts, self._stretch_address, strict=False):
            if address != before:
                yield start_s, address
            before = address

    def flow(self, now: float) -> Flow:
        """A direction of a transport that is opened at `now`."""
        return Flow(self._initial_window_bytes, now)

    def _go_to(self, at: float) -> None:
        """Stand in the row that holds at `at`. Rows come at a steady pace, mostly: the first guess is right, or next to it."""
        starts, last = self._starts, self._last_row
        row = self._row
        ahead = (at - max(self._begin, 0.0)) * self._rows_per_s
        row = last if ahead >= last - row else row + int(ahead) if ahead > -row else 0
        begin = starts[row] if row else -NEVER
        end = starts[row + 1] if row < last else NEVER
        steps = _NEIGHBOURS
        while at >= end and steps:
            steps -= 1
            row += 1
            begin = end
            end = starts[row + 1] if row < last else NEVER
        while at < begin and steps:
            steps -= 1
            row -= 1
            end = begin
            begin = starts[row] if row else -NEVER
        if not begin <= at < end:
            row = max(bisect_right(starts, at) - 1, 0)
            begin = starts[row] if row else -NEVER
            end = starts[row + 1] if row < last else NEVER
        self._row = row
        self._begin = begin
        self._end = end
        self._rtt = self._rtts[row]
        self._down_bps = self._downlink[row]
        self._up_bps = self._uplink[row]
        stretches, stretch = self._stretch_starts, self._stretch
        if not stretches[stretch] <= at < stretches[stretch + 1]:
            stretch = min(stretch + 1, len(stretches) - 2)  # the next one, mostly
            if not stretches[stretch] <= at < stretches[stretch + 1]:
                stretch = min(bisect_right(stretches, at), len(stretches) - 1) - 1
            self._stretch = stretch
        self._address = self._stretch_address[stretch]
        self._state = self._stretch_state[stretch]
        self._until = stretches[stretch + 1]

    def address_at(self, now: float) -> int:
        """Index of the vehicle's address, -1 where it has none."""
        if not self._begin <= now < self._end:
            self._go_to(now)
        return self._address

    def rtt_at(self, now: float) -> float:
        if not self._begin <= now < self._end:
            self._go_to(now)
        return self._rtt

    def rate_at(self, now: float, up: bool) -> float:
        """Rate of a direction in bit/s."""
        if not self._begin <= now < self._end:
            self._go_to(now)
        return self._up_bps if up else self._down_bps

    def clear_until(self, now: float, address: int) -> float:
        """Until when packets of a transport bound to `address` pass without a break; `now` where they do not."""
        return self._until if self._passes(address, now) else now

    def path_end(self, address: int, now: float) -> float:
        """When the vehicle's address ceases to be `address`; inf where it keeps it."""
        if self.address_at(now) != address:
            return max(self._begin, 0.0)
        stretch = self._stretch
        while stretch < len(self._stretch_address) and self._stretch_address[stretch] == address:
            stretch += 1
        return self._stretch_starts[stretch]

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
        if free_s > now or self._any_later:
            start = self._queued_start(flow, up, wire, now)
            free_s = self._up_free_s if up else self._down_free_s
        if not self._begin <= start < self._end:
            self._go_to(start)
        # the common case: small enough for the window, and nothing happens to the link until its acknowledgement is back
        sent = flow.round_bytes + wire if start < flow.round_ends_s else wire
        # (a window that has grown may have to shrink after a silence, whatever ends it)
        small = sent <= self._initial_window_bytes and (flow.window_bytes <= self._initial_window_bytes or sent != wire)
        if small and not self._any_later and self._address == address and self._state == _UP:
            finish = start + wire * 8.0 / (self._up_bps if up else self._down_bps)
            rtt = self._rtt
            if finish < self._end and finish + rtt < self._until and flow.sender_gone_s == NEVER:
                arrival = finish + 0.5 * rtt
                if arrival < flow.last_arrival_s:
                    arrival = flow.last_arrival_s
                flow.last_arrival_s = arrival
                if finish > flow.last_finish_s:
                    flow.last_finish_s = finish
                flow.used_s = finish
                flow.round_bytes = sent
                if sent == wire:
                    flow.round_ends_s = start + rtt
                if finish - now > _WATCHED_S:
                    flow.watch = True
                    flow.remember(now, start, finish, wire)
                if reserve:
                    # what goes out before the tail of the queue pushes the tail back
                    if finish <= free_s:
                        finish = free_s + (finish - start)
                    elif up:
                        self._up_tail_s = finish
                    else:
                        self._down_tail_s = finish
                    if up:
                        self._up_free_s = finish
                    else:
                        self._down_free_s = finish
                return arrival
        return self._carry_slowly(flow, address, up, wire, now, start, user_timeout_s, reserve=reserve)

    def queue_s(self, now: float) -> float:
        """How long the downlink's queue takes where it is full."""
        return self._queue_bytes * 8.0 / self.rate_at(now, False)

    def _queued_start(self, flow: Flow, up: bool, wire: int, now: float) -> float:
        """When a write begins to leave: after the transport's own bytes, and behind those of others.

        Simplification: a write of at most the initial window waits for others no longer than the link's bounded queue takes;
        a larger one waits for all that was written before it, instead of sharing the rate with it.
        """
        # not forgotten here, though over: a handshake that is laid out ahead asks about a time to come
        later = self._later[up] if self._any_later else None
        free_s = self._up_free_s if up else self._down_free_s
        start = max(now, flow.last_finish_s)
        if start >= free_s and not later:
            return start
        rate = self.rate_at(now, up)
        short = wire <= self._initial_window_bytes
        if free_s > start:
            start = max(start, min(free_s, now + self._queue_bytes * 8.0 / rate) if short else free_s)
        if later and not short:
            lasts_s = wire * 8.0 / rate
            for from_s, until_s, _whose in later:
                if start < until_s and start + lasts_s > from_s:
                    start = until_s
        return start

    def _take_later(self, flow: Flow, up: bool, from_s: float, until_s: float) -> None:
        """Take a time to come, for what is resent after an interruption or waits for that."""
        later = self._later[up]
        for number, (begin, end, whose) in enumerate(later):
            if whose is flow and end == from_s:
                later[number] = (begin, until_s, flow)
                return
        later.append((from_s, until_s, flow))
        later.sort(key=_from)
        self._any_later = True

    def _take(self, flow: Flow, up: bool, now: float, begun: float, finish: float, stalled_s: float) -> None:
        """A write has its place in the link's FIFO from `begun` to `finish`, with an interruption from `stalled_s` on, if any."""
        free_s = self._up_free_s if up else self._down_free_s
        later = self._later[up] if self._any_later else None
        if later and later[0][1] <= now:
            later[:] = [taken for taken in later if taken[1] > now]
            self._any_later = bool(self._later[0] or self._later[1])
        if self._resent:
            self._take_later(flow, up, max(begun, self._resumed_s), finish)
            if stalled_s > begun:
                self._take_until(up, stalled_s)
                flow.stalls_s = stalled_s
        elif later and begun >= later[0][0]:
            self._take_later(flow, up, begun, finish)
        else:
            # what goes out before the tail of the queue pushes the tail back
            if finish > free_s:
                self._take_until(up, finish)
            elif up:
                self._up_free_s = free_s + (finish - begun)
            else:
                self._down_free_s = free_s + (finish - begun)

    def _take_until(self, up: bool, at: float) -> None:
        """A write becomes the last of the queue."""
        if up and at > self._up_free_s:
            self._up_free_s = self._up_tail_s = at
        elif not up and at > self._down_free_s:
            self._down_free_s = self._down_tail_s = at

    def _carry_slowly(
        self, flow: Flow, address: int, up: bool, wire: int, now: float, start: float, user_timeout_s: float, *, reserve: bool
    ) -> float:
        flow.watch = True
        self.unsent_bytes = wire
        if flow.stuck_bytes or now >= flow.sender_gone_s:
            flow.stuck_bytes += wire  # in order: nothing overtakes what never gets through
            return NEVER
        # slow start: a flight larger than the window needs further round trips (RFC 5681 3.1)
        if start >= flow.round_ends_s:
            self._next_round(flow, start)
        rto = rto_s(self._tcp, self.rtt_at(start))
        if self._tcp.slow_start_after_idle:
            idle_s = start - flow.used_s
            silence_s = rto
            if start - flow.born_s < 8.0 * rto:
                # young: RTTVAR starts at half the RTT and decays by a quarter each round trip (RFC 6298 2.2, 2.3)
                silence_s *= 2.5
            while idle_s > silence_s and flow.window_bytes > self._initial_window_bytes:
                # halved for each RTO of silence (RFC 2861; Linux tcp_cwnd_restart)
                flow.window_bytes = max(flow.window_bytes // 2, self._initial_window_bytes)
                idle_s -= silence_s
        finish = start
        left = wire
        at = max(start, flow.last_finish_s)
        begun = at
        self._resent = flow.resent_until_s >= start > now  # behind bytes of its own that are still to be resent
        self._resumed_s = self._stalled_s = begun
        while left > 0:
            if at >= flow.round_ends_s:
                self._next_round(flow, at)
            burst = min(left, flow.window_bytes - flow.round_bytes)
            if burst <= 0:
                at = flow.round_ends_s  # the window is full; the acknowledgements of this round open it
                continue
            finish = self._transmit(address, up, burst, at)
            if finish == NEVER:
                self.unsent_bytes = left - burst + self.unsent_bytes
                break
            left -= burst
            flow.round_bytes += burst
            if finish - at > 2.0 * rto:
                flow.window_bytes = self._initial_window_bytes  # a retransmission timeout happened in it
                flow.round_bytes = 0
            at = finish
        stalled_s, resumed_s = self._stalled_s, self._resumed_s
        arrival, acked = self._land(address, up, finish)
        arrival = max(arrival, flow.last_arrival_s)
        acked = max(acked, arrival)
        if finish == NEVER or self._resent:
            again_s = NEVER if finish == NEVER else resumed_s + self.rtt_at(resumed_s)
            self._judge_sender(flow, stalled_s, again_s, user_timeout_s)
        if finish < NEVER:
            self._judge_sender(flow, finish, acked, user_timeout_s)
        if arrival > flow.sender_gone_s:
            flow.stuck_bytes += wire
            if finish == NEVER and reserve and stalled_s > begun:
                self._resent = False
                self._take(flow, up, now, begun, stalled_s, begun)  # what was on the air before the path died
                flow.dying = (begun, stalled_s, wire - self.unsent_bytes, flow.packet)
            return NEVER
        flow.last_arrival_s = arrival
        flow.last_finish_s = finish
        flow.used_s = finish
        if self._resent:
            flow.resent_until_s = finish
            self._resumed_s = resumed_s
            if resumed_s > begun:
                flow.resumes_s = resumed_s
        if NEVER > finish > now + _WATCHED_S:
            if resumed_s > stalled_s:
                went = int(wire * (1.0 - self._share(resumed_s, begun, finish, up, but=(stalled_s, resumed_s))))
                if went:
                    flow.remember(now, begun, stalled_s, went)
                flow.remember(now, resumed_s, finish, wire - went)
            else:
                flow.remember(now, begun, finish, wire)
        if reserve and finish < NEVER:
            self._take(flow, up, now, begun, finish, stalled_s)
        return arrival

    def _next_round(self, flow: Flow, at: float) -> None:
        """A round trip of the transport begins: what the one before sent is acknowledged.

        The window grows by that, where it was the limit (RFC 5681 3.1, RFC 7661; Linux tcp_is_cwnd_limited).
        """
        if 2 * flow.round_bytes > flow.window_bytes:
            flow.window_bytes = min(flow.window_bytes + flow.round_bytes, _WINDOW_MAX_BYTES)
        flow.round_bytes = 0
        flow.round_ends_s = at + self.rtt_at(at)

    def unanswered(self, flow: Flow, wire: int, now: float, user_timeout_s: float) -> None:
        """A write that something on the path swallows: its sender's kernel resends it until it gives up."""
        flow.stuck_bytes += wire
        flow.watch = True
        self._judge_sender(flow, max(now, flow.last_finish_s), NEVER, user_timeout_s)

    def _judge_sender(self, flow: Flow, sent: float, acked: float, user_timeout_s: float) -> None:
        """Whether the sender's kernel gives up on bytes that left at `sent` before `acked`, when their acknowledgement is back.

        While some are acknowledged it does not, however long the rest takes.
        """
        since = flow.unacked_since_s
        if since != since or since > sent:
            since = sent
        if acked - since < user_timeout_s or (not user_timeout_s and acked - since < _GIVES_UP_AT_LEAST_S):
            flow.unacked_since_s = _NAN
            return
        limit_s = gives_up_after_s(self._tcp, rto_s(self._tcp, self.rtt_at(sent)), user_timeout_s)
        if acked > since + limit_s:
            flow.unacked_since_s = since
            flow.sender_gone_s = min(flow.sender_gone_s, since + limit_s)
        elif acked == acked:
            flow.unacked_since_s = _NAN

    def _transmit(self, address: int, up: bool, wire: float, start: float) -> float:
        """When the last bit of `wire` bytes has left the sender's end of the radio, with retransmissions; inf where never."""
        bits = wire * 8.0
        at = start
        while at < NEVER:
            if not self._begin <= at < self._end:
                self._go_to(at)
            if self._address == address and self._state == _UP:
                rate = self._up_bps if up else self._down_bps
                if at + bits / rate <= self._end:
                    return at + bits / rate
                if rate < NEVER:
                    bits -= (self._end - at) * rate
                at = self._end
            elif self._address == address and self._state == _HELD:
                at = self._end  # packets wait and are forwarded
            else:
                if at != self._resumed_s:
                    self._stalled_s = at
                at = self._next_retransmission(address, at, self._rtts[self._row - 1 if self._row else 0])
                self._resent = True
                self._resumed_s = at
        self.unsent_bytes = int(bits / 8.0)
        return NEVER

    def _next_retransmission(self, address: int, lost_at: float, rtt_s: float) -> float:
        """First retransmission instant at which the link carries `address` again, for bytes lost at `lost_at`; inf: never."""
        until_s = self._carried_until[address] if address >= 0 else -NEVER
        if lost_at >= until_s:
            return NEVER
        for after in retransmissions(self._tcp, rto_s(self._tcp, rtt_s)):
            at = lost_at + after
            if at >= until_s:
                return NEVER
            stretch = bisect_right(self._stretch_starts, at) - 1
            if self._stretch_address[stretch] == address and self._stretch_state[stretch] in (_UP, _HELD):
                return at
        raise AssertionError("retransmissions() is endless")

    def _land(self, address: int, up: bool, finish: float) -> tuple[float, float]:
        """(arrival of the last byte at the receiver, return of its acknowledgement), for bytes that left the sender at `finish`.

        Uplink crosses the radio when it leaves, downlink when it arrives; what meets a break there is retransmitted.
        """
        if finish == NEVER:
            return NEVER, NEVER
        half = 0.5 * self.rtt_at(finish)
        if up:
            arrival = finish + half
            back = self._cross(address, arrival + half, finish)
        else:
            arrival = self._cross(address, finish + half, finish)
            back = arrival + half if self._passes(address, arrival + half) else self._cross(address, arrival + half, arrival)
        return arrival, back

    def _passes(self, address: int, at: float) -> bool:
        if at == NEVER:
            return False
        if not self._begin <= at < self._end:
            self._go_to(at)
        return self._address == address and self._state == _UP

    def _cross(self, address: int, at: float, sent: float) -> float:
        """When a packet sent at `sent` and due over the radio at `at` gets through, by forwarding or retransmission."""
        if at == NEVER:
            return at
        if self.address_at(at) == address:
            if self._state == _UP:
                return at
            if self._state == _HELD:
                return self._transmit(address, True, 0.0, self._end)
        again = self._next_retransmission(address, sent, self._rtt)
        return again + self.rtt_at(again) if again < NEVER else NEVER

    def release(self, flow: Flow, up: bool, now: float) -> list[tuple[Any, int]]:
        """A transport is over: what it had not sent no longer takes the link's time. Returns (packet, bytes) of that.

        Simplification: what waits in the network's queue goes with it, instead of delaying the next transport.
        """
        if self._any_later:
            later = self._later[up]
            later[:] = [taken for taken in later if taken[2] is not flow]
            self._any_later = bool(self._later[0] or self._later[1])
        free_s = self._up_free_s if up else self._down_free_s
        stalled = flow.resent_until_s > now
        writes, until_s = flow.unfinished, flow.stalls_s if stalled else flow.last_finish_s
        if flow.dying is not None:
            writes = [*writes, flow.dying]
            until_s = max(until_s, flow.dying[1])
            flow.dying = None
        tail_s = self._up_tail_s if up else self._down_tail_s
        if free_s > now and until_s >= tail_s:
            # what others had queued before it went out before it; those that have got ahead of it still have to go
            free_s = min(free_s, now + (free_s - tail_s))
            if up:
                self._up_free_s = self._up_tail_s = free_s
            else:
                self._down_free_s = self._down_tail_s = free_s
        flow.last_finish_s = min(flow.last_finish_s, now)
        unsent: list[tuple[Any, int]] = []
        kept: list[tuple[float, float, int, Any]] = []
        for start, finish, wire, packet in writes:
            left = int(wire * self._share(now, start, finish, up)) if finish > now and finish > start else 0
            if left:
                unsent.append((packet, left))
            if wire > left:
                kept.append((start, min(finish, now), wire - left, packet))
        flow.unfinished = kept
        return unsent

    def _share(self, at: float, start: float, finish: float, up: bool, but: tuple[float, float] = (0.0, 0.0)) -> float:
        """Of a write on the air from `start` to `finish`, except in `but`, the share that goes out after `at`.

        Simplification: it takes the link's rate, or as large a part of it, all the time.
        """
        whole = after = 0.0
        begin = start
        while begin < finish:
            if not self._begin <= begin < self._end:
                self._go_to(begin)
            end = min(self._end, finish)
            rate = min(self._up_bps if up else self._down_bps, 1e12)
            whole += rate * (end - begin - max(0.0, min(end, but[1]) - max(begin, but[0])))
            if end > at:
                late = max(begin, at)
                after += rate * (end - late - max(0.0, min(end, but[1]) - max(late, but[0])))
            begin = end
        return min(1.0, after / whole) if whole > 0.0 else 1.0

    def connect(self, address: int, now: float, *, up: bool = True, answers: Callable[[float], bool] | None = None) -> float:
        """When a TCP connection asked for at `now` stands at the opener (SYN, SYN-ACK), inf where never (RFC 9293 3.5).

        `answers(at)`: whether somebody answers a SYN that arrives at `at`; None: always.
        """
        for after in syn_instants(self._tcp):
            at = now + after
            if self.address_at(at) == address and self._state == _HELD:
                at = self._end
            rtt = self.rtt_at(at)
            crossed = at if up else at + 0.5 * rtt
            if self.clear_until(crossed, address) > at + rtt and (answers is None or answers(at + 0.5 * rtt)):
                return at + rtt
        return NEVER

    def syns(self, address: int, now: float) -> Iterator[tuple[float, float]]:
        """The SYNs of the vehicle's connect() at `now` that arrive, and whose answer would: (at the server, back here)."""
        for after in syn_instants(self._tcp):
            at = now + after
            if self.address_at(at) == address and self._state == _HELD:
                at = self._end
            rtt = self.rtt_at(at)
            if self.clear_until(at, address) > at + rtt:
                yield at + 0.5 * rtt, at + rtt

    def resent(self, address: int, sent: float, from_s: float) -> float:
        """When a packet that was sent at `sent`, and is resent while nobody answers, arrives first at `from_s` or later."""
        if from_s == NEVER:
            return NEVER
        half = 0.5 * self.rtt_at(sent)
        for after in retransmissions(self._tcp, rto_s(self._tcp, 2.0 * half)):
            at = sent + after
            if at > from_s + self._tcp.rto_max_s:
                return NEVER
            if at + half >= from_s and self._passes(address, at):
                return at + half
        raise AssertionError("retransmissions() is endless")

    def once(self, address: int, up: bool, now: float) -> float:
        """Arrival of a single packet that is not retransmitted (UDP, RST), inf where it is lost."""
        at = now
        if self.address_at(at) == address and self._state == _HELD:
            at = self._end
        half = 0.5 * self.rtt_at(at)
        crossed = at if up else at + half
        return at + half if self._passes(address, crossed) else NEVER
