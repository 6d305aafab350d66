"""The carrier's NAT as both ends meet it: who may send to the vehicle, and mappings that end when idle (RFC 4787, RFC 5382).

Simplification: addresses are not rewritten, so the server sees the vehicle's own. What matters to a strategy is kept:
nobody can connect inward, and an idle connection is cut without a word. Simplification: one idle time for all states of a
mapping and for UDP, too; RST ends a mapping, FIN does not.
"""

from __future__ import annotations

from bisect import bisect_right

from sim.live.packet.headers import RST, SYN, flow, near_end, tcp_flags

_AT_MOST = 65_536  # mappings kept


class Mappings:
    """Flows that the vehicle opened, each with the instant of its last packet. At each of `rebinds_s` all are forgotten."""

    def __init__(self, idle_timeout_s: float, rebinds_s: list[float]) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._rebinds_s = rebinds_s
        self._used_s: dict[bytes, float] = {}
        self._ended_s: dict[bytes, float] = {}  # of those that were idle for too long, as far as a packet found out

    def outward(self, now: float, packet: bytes) -> bool:
        """Whether a packet of the vehicle passes: it opens a mapping, or has one."""
        key = flow(packet, from_vehicle=True)
        flags = tcp_flags(packet)
        opens = flags < 0 or flags & SYN
        if not opens and not self._stands(now, key):
            self._forget(key)
            return False
        if flags >= 0 and flags & RST:
            self._used_s.pop(key, None)
            return True
        if len(self._used_s) >= _AT_MOST and key not in self._used_s:
            del self._used_s[next(iter(self._used_s))]
        self._used_s[key] = now
        return True

    def inward(self, now: float, packet: bytes) -> bool:
        """Whether a packet to the vehicle passes: only on a mapping that stands."""
        key = flow(packet, from_vehicle=False)
        if not self._stands(now, key):
            self._forget(key)
            return False
        if tcp_flags(packet) & RST and tcp_flags(packet) >= 0:
            del self._used_s[key]
        else:
            self._used_s[key] = now
        return True

    def _stands(self, now: float, key: bytes) -> bool:
        used_s = self._used_s.get(key)
        if used_s is None or now - used_s > self._idle_timeout_s:
            return False
        return bisect_right(self._rebinds_s, used_s) == bisect_right(self._rebinds_s, now)

    def _forget(self, key: bytes) -> None:
        used_s = self._used_s.pop(key, None)
        if used_s is not None and len(self._ended_s) < _AT_MOST:
            self._ended_s[key] = used_s + self._idle_timeout_s

    def idle_ends(self, now: float) -> list[tuple[str, int, float]]:
        """(address, port, instant) of each TCP connection of the vehicle that was forgotten by `now`, as nothing was sent.

        Also of those that had ended; where the NAT had forgotten it sooner for another reason, a later instant.
        """
        silent = {key: used_s + self._idle_timeout_s for key, used_s in self._used_s.items()}
        ends = ((near_end(key), at_s) for key, at_s in (self._ended_s | silent).items())
        return [(*end, at_s) for end, at_s in ends if end is not None and at_s < now]
