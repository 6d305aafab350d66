"""TCP connections and name lookups as the vehicle's interface sees them: from captured packets. Pure.

RFC 9293 3.1 (header), RFC 1035 4.1 (DNS). Nothing is decrypted: places in the byte stream are what the broker's side knows.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple

from sim.live.packet import names
from sim.live.packet.capture import Captured
from sim.live.packet.headers import ACK, FIN, RST, SYN, TCP, UDP, is_ipv4

End = tuple[str, int]


class Segment(NamedTuple):
    """A TCP segment: `first` and `last` are the places of its payload in its direction's stream (equal: it has none)."""

    at_s: float
    up: bool
    size: int  # of the IP packet
    flags: int
    first: int
    last: int
    again: bool  # its payload had passed before


class Progress:
    """How far one direction of a stream had come, by instant. Places count from 0 at the byte after SYN."""

    __slots__ = ("_ahead", "_at_s", "_reached", "reached")

    def __init__(self) -> None:
        self.reached = 0
        self._reached: list[int] = []
        self._at_s: list[float] = []
        self._ahead: dict[int, int] = {}  # first -> last of pieces beyond a gap

    def add(self, at_s: float, first: int, last: int) -> bool:
        """Bytes [first, last) pass; True where nothing of them is new."""
        if last <= self.reached or self._ahead.get(first, -1) >= last:
            return True
        self._ahead[first] = max(last, self._ahead.get(first, -1))
        reached = self.reached
        while (start := next((start for start in self._ahead if start <= reached), None)) is not None:
            reached = max(reached, self._ahead.pop(start))
        if reached > self.reached:
            self.reached = reached
            self._reached.append(reached)
            self._at_s.append(at_s)
        return False

    def at(self, place: int) -> float:
        """When all bytes before `place` had passed for the first time; NaN: never."""
        number = bisect_left(self._reached, place)
        return self._at_s[number] if number < len(self._at_s) else math.nan


@dataclass(eq=False)
class Flow:
    """One TCP connection that the vehicle opened. Instants in s, NaN: never."""

    near: End
    far: End
    syn_s: float
    _near_start: int
    _far_start: int = -1
    tcp_s: float = math.nan  # SYN-ACK received
    sent: Progress = field(default_factory=Progress)
    got: Progress = field(default_factory=Progress)
    vehicle_ended_s: float = math.nan  # FIN or RST sent
    closed_s: float = math.nan  # FIN received
    reset_s: float = math.nan  # RST received
    segments: list[Segment] = field(default_factory=list)

    @property
    def told_s(self) -> float:
        """When the vehicle was told that it is over; NaN: never."""
        return min((at for at in (self.closed_s, self.reset_s) if at == at), default=math.nan)

    def add(self, packet: Captured) -> None:
        head = (packet.data[0] & 0x0F) * 4
        sequence, offset, flags = struct.unpack_from("!I4xBB", packet.data, head + 4)
        payload = packet.size - head - (offset >> 4) * 4
        start = self._near_start if packet.up else self._far_start
        if flags & SYN and not packet.up and flags & ACK:
            self._far_start = start = sequence
            self.tcp_s = _first(self.tcp_s, packet.at_s)
        elif start < 0 and not packet.up:
            start = (sequence - 1) & 0xFFFFFFFF  # an answer without SYN: RST
        progress = self.sent if packet.up else self.got
        # numbers wrap around after 4 GiB (RFC 9293 3.4): the place is the one nearest to what has been reached
        ahead = (sequence - start - (0 if flags & SYN else 1) - progress.reached) & 0xFFFFFFFF
        first = max(0, progress.reached + (ahead if ahead < 1 << 31 else ahead - (1 << 32)))
        last = first + payload
        again = bool(payload) and progress.add(packet.at_s, first, last)
        if packet.up and flags & (FIN | RST):
            self.vehicle_ended_s = _first(self.vehicle_ended_s, packet.at_s)
        elif flags & RST:
            self.reset_s = _first(self.reset_s, packet.at_s)
        elif flags & FIN:
            self.closed_s = _first(self.closed_s, packet.at_s)
        self.segments.append(Segment(packet.at_s, packet.up, packet.size, flags, first, last, again))


@dataclass(eq=False)
class Lookup:
    """A name lookup: the queries (for an IPv4 and an IPv6 address) from one socket until all are answered; NaN: never."""

    near: End
    asked_s: float
    answered_s: float = math.nan
    _open: set[bytes] = field(default_factory=set)  # numbers of the queries without an answer

    def add(self, packet: Captured, number: bytes) -> None:
        if packet.up:
            self._open.add(number)
        elif number in self._open:
            self._open.discard(number)
            if not self._open:
                self.answered_s = packet.at_s


@dataclass
class Traffic:
    """All that the interface saw: connections and lookups in the order in which they began, and the rest by direction."""

    flows: list[Flow] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    lookup_bytes: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    other_bytes: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})


def traffic_of(packets: Iterable[Captured], server_names: Collection[str], until_s: float = math.inf) -> Traffic:
    """Sort packets by what they belong to; those after `until_s` are left out. Lookups are those of `server_names`."""
    found = Traffic()
    flows: dict[tuple[End, End], Flow] = {}
    lookups: dict[End, Lookup] = {}
    for packet in packets:
        if packet.at_s > until_s:
            break
        ends = _ends(packet)
        if ends is not None and packet.data[9] == TCP:
            flow = _flow(packet, ends, flows, found)
            if flow is not None:
                flow.add(packet)
                continue
        elif ends is not None and ends[1][1] == names.PORT:
            head = (packet.data[0] & 0x0F) * 4 + 8
            if names.name_in(packet.data[head:]) in server_names:
                _look_up(packet, packet.data[head : head + 2], ends[0], lookups, found)
            found.lookup_bytes[packet.up] += packet.size
            continue
        found.other_bytes[packet.up] += packet.size
    return found


def _ends(packet: Captured) -> tuple[End, End] | None:
    """(near, far): address and port of the vehicle's end and of the other; None where the packet has no ports."""
    data = packet.data
    if not is_ipv4(data) or data[9] not in (TCP, UDP) or data[6] & 0x1F or data[7]:
        return None
    head = (data[0] & 0x0F) * 4
    if len(data) < head + (20 if data[9] == TCP else 8):
        return None
    source_port, destination_port = struct.unpack_from("!HH", data, head)
    source = (str(IPv4Address(data[12:16])), source_port)
    destination = (str(IPv4Address(data[16:20])), destination_port)
    return (source, destination) if packet.up else (destination, source)


def _flow(packet: Captured, ends: tuple[End, End], flows: dict[tuple[End, End], Flow], found: Traffic) -> Flow | None:
    """The connection of a segment; a SYN with another number begins a new one between the same ports."""
    head = (packet.data[0] & 0x0F) * 4
    sequence, flags = struct.unpack_from("!I5xB", packet.data, head + 4)
    known = flows.get(ends)
    if packet.up and flags & SYN and not flags & ACK and (known is None or known._near_start != sequence):
        known = flows[ends] = Flow(*ends, packet.at_s, sequence)
        found.flows.append(known)
    return known


def _look_up(packet: Captured, number: bytes, near: End, lookups: dict[End, Lookup], found: Traffic) -> None:
    known = lookups.get(near)
    if packet.up and (known is None or known.answered_s == known.answered_s):
        known = lookups[near] = Lookup(near, packet.at_s)
        found.lookups.append(known)
    if known is not None:
        known.add(packet, number)


def _first(before: float, at_s: float) -> float:
    return at_s if math.isnan(before) else before
