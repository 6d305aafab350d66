"""What a program's bytes were spent on, as far as packets tell. Pure.

A segment counts for the MQTT packet in which its payload begins; TLS and TCP handshakes, their ends and name lookups are
`handshake`; an acknowledgement of TCP counts for what it acknowledges. What TCP sent again counts as `repeated` where it was
payload. What never reached the broker's side is encrypted, and so is what goes elsewhere: `unknown`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from sim.live.observed.attempts import Attempt
from sim.live.observed.flows import Segment, Traffic
from sim.live.observed.visits import Seen, Visit
from sim.live.packet.headers import FIN, RST, SYN
from sim.protocols.mqtt_packets import Publish
from sim.record.causes import UNKNOWN_PURPOSE
from sim.record.recorder import Recorder

_HANDSHAKE = "handshake"


def book(record: Recorder, traffic: Traffic, attempts: Sequence[Attempt], end_s: float) -> None:
    """Enter all bytes of the vehicle's interface, by direction and purpose, and the MQTT packets among them."""
    for one in attempts:
        visit, passed = one.visit, _passed(one.visit)
        for up, packets in passed.items():
            for seen in packets:
                if seen.at_s <= end_s:
                    record.bytes(_direction(up), _purpose(seen.packet), 1, 0)
        spent = {True: _HANDSHAKE, False: _HANDSHAKE}  # of the latest payload, by direction
        ends = {up: [seen.end for seen in packets] for up, packets in passed.items()}
        for segment in one.flow.segments:
            if segment.flags & (SYN | FIN | RST) and segment.first == segment.last:
                purpose = _HANDSHAKE
            elif segment.first == segment.last:
                purpose = spent[not segment.up]
            else:
                purpose = spent[segment.up] = _of_payload(segment, visit, ends[segment.up])
            record.bytes(_direction(segment.up), purpose, 0, segment.size)
    mine = {one.flow for one in attempts}
    for up in (True, False):
        elsewhere = sum(one.size for flow in traffic.flows if flow not in mine for one in flow.segments if one.up == up)
        _enter(record, up, _HANDSHAKE, traffic.lookup_bytes[up])
        _enter(record, up, UNKNOWN_PURPOSE, traffic.other_bytes[up] + elsewhere)


def _passed(visit: Visit | None) -> dict[bool, list[Seen]]:
    """The MQTT packets of both directions, True: from the vehicle."""
    return {True: visit.came if visit else [], False: visit.went if visit else []}


def _of_payload(segment: Segment, visit: Visit | None, ends: Sequence[int]) -> str:
    if visit is None:
        return UNKNOWN_PURPOSE if segment.up else _HANDSHAKE
    if segment.first < (visit.handshake_in if segment.up else visit.handshake_out):
        return _HANDSHAKE
    number = bisect_right(ends, segment.first)
    if number == len(ends):
        # behind the last packet: an alert or tickets of TLS; of the vehicle perhaps anything that never arrived
        return UNKNOWN_PURPOSE if segment.up and segment.first >= visit.bytes_in else _HANDSHAKE
    purpose = _purpose(_passed(visit)[segment.up][number].packet)
    return "repeated" if segment.again and purpose == "payload" else purpose


def _purpose(packet: Any) -> str:
    if isinstance(packet, Publish) and packet.dup:
        return "repeated"
    return str(packet.purpose)


def _enter(record: Recorder, up: bool, purpose: str, n_bytes: int) -> None:
    if n_bytes:
        record.bytes(_direction(up), purpose, 0, n_bytes)


def _direction(up: bool) -> str:
    return "up" if up else "down"
