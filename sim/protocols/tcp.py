"""TCP as an application meets it, as pure functions: retransmission instants, when a sender gives up, slow start.

RFC 9293, RFC 6298, RFC 8985, RFC 5681, RFC 6928, RFC 5482. Figures of Linux were measured (docs/sources.md, "Linux TCP"); the
preset `rfc6298` has the standard's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from sim.protocols.tcp_settings import TCP

HEADER_BYTES: Final = 52  # IPv4 20 + TCP 20 + timestamps option 12, per segment
_GRAIN_S: Final = 0.004  # grain of Linux' timers: CONFIG_HZ 250, as Debian builds it


def rto_s(tcp: TCP, rtt_s: float) -> float:
    """Retransmission timeout on a path with a steady RTT.

    Linux: srtt + max(200 ms, 4 rttvar), rttvar decayed on a steady path, rounded up to the timer's grain.
    RFC 6298 2.4: at least 1 s.
    """
    if tcp.preset == "linux":
        return rtt_s + tcp.rto_min_s + _GRAIN_S
    return max(tcp.rto_min_s, 1.25 * rtt_s)


def retransmissions(tcp: TCP, rto: float) -> Iterator[float]:
    """Instants of retransmission, in s after the first send (endless), the interval capped.

    RFC 6298 5.5: rto, 3 rto, 7 rto, ... Linux sends a tail loss probe first (RFC 8985 7; one packet in flight: after an
    RTO), which starts the timer anew and does not double it: rto, 2 rto, 4 rto, 8 rto, ...
    """
    at = 0.0
    longest = tcp.rto_max_s
    if tcp.preset == "linux":
        at = min(rto, longest)
        yield at
    while True:
        at += min(rto, longest)
        yield at
        rto *= 2.0


def gives_up_after_s(tcp: TCP, rto: float, user_timeout_s: float = 0.0) -> float:
    """How long after the first unacknowledged send the kernel ends the connection with ETIMEDOUT.

    Linux counts from the first retransmission by timeout, which is the second after the tail loss probe. With
    TCP_USER_TIMEOUT (RFC 5482): until that time has passed, since the last interval is clamped to it (measured 10.2-10.6 s
    for 10 s, 5.4-5.6 s for 5 s). Else the first timer expiry at or after the time that `retries2` doublings of the minimum
    RTO would take (924.6 s for 15, measured 937.6-939.4; 12.6 s for 5, measured 13.1-13.4).
    """
    begun = 0.0
    if tcp.preset == "linux":
        rto = max(rto, tcp.rto_min_s + _GRAIN_S)
        begun = 2.0 * min(rto, tcp.rto_max_s)
    if user_timeout_s > 0.0:
        return begun + user_timeout_s
    doublings = int(math.log2(tcp.rto_max_s / tcp.rto_min_s))
    if tcp.retries2 <= doublings:
        limit = (2.0 ** (tcp.retries2 + 1) - 1.0) * tcp.rto_min_s
    else:
        limit = (2.0 ** (doublings + 1) - 1.0) * tcp.rto_min_s + (tcp.retries2 - doublings) * tcp.rto_max_s
    return _first_retransmission(tcp, rto, begun + limit)


def _first_retransmission(tcp: TCP, rto: float, since_s: float) -> float:
    """The first of `retransmissions` that is not before `since_s` > 0, without the cost of a generator."""
    longest = tcp.rto_max_s
    at = min(rto, longest) if tcp.preset == "linux" else 0.0
    while at < since_s:
        at += rto if rto < longest else longest
        rto *= 2.0
    return at


def syn_instants(tcp: TCP) -> tuple[float, ...]:
    """Instants at which SYN is sent, in s after connect().

    Linux with tcp_syn_linear_timeouts 4 and tcp_syn_retries 6: 0 1 2 3 4 5 7 11 19 35 67 s. RFC 6298: doubling from 1 s.
    """
    if tcp.preset == "linux":
        return (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0, 19.0, 35.0, 67.0)
    return (0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0)


def syn_gives_up_s(tcp: TCP) -> float:
    """When connect() fails with ETIMEDOUT if nothing answers: 131 s (Linux), 127 s (RFC 6298 doubling)."""
    return 131.0 if tcp.preset == "linux" else 127.0


def wire_bytes(tcp: TCP, size_bytes: int) -> int:
    """IP bytes that carry `size_bytes` of a transport in one direction: the bytes and a header for each segment."""
    return size_bytes + HEADER_BYTES * -(-size_bytes // tcp.mss_bytes)


def ack_bytes(tcp: TCP, size_bytes: int) -> int:
    """IP bytes of the pure acknowledgements for `size_bytes`: one for every second segment (RFC 5681 4.2)."""
    segments = -(-size_bytes // tcp.mss_bytes)
    return HEADER_BYTES * ((segments + 1) // 2)
