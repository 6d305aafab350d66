"""What a program's bytes were spent on, as far as packets tell. Pure.

A segment counts for the MQTT packet in which its payload begins; TLS and TCP handshakes, their ends and name lookups are
`handshake`; an acknowledgement of TCP counts for what it acknowledges. Payload is `repeated` where the vehicle's interface had
seen it before: what TCP sent again, and what MQTT sent again on another connection, as far as the copy before had come. What
never reached the broker's side is encrypted, and so is what goes elsewhere: `unknown`.
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
    before = _Before()
    for one in attempts:
        visit, passed = one.visit, _passed(one.visit)
        known = {up: before.of(one, up, packets) for up, packets in passed.items()}
        for up, packets in passed.items():
            for seen in packets:
                if seen.at_s <= end_s:
                    record.bytes(_direction(up), str(seen.packet.purpose), 1, 0)
        spent = {True: _HANDSHAKE, False: _HANDSHAKE}  # of the latest payload, by direction
        ends = {up: [seen.end for seen in packets] for up, packets in passed.items()}
        for segment in one.flow.segments:
            if segment.flags & (SYN | FIN | RST) and segment.first == segment.last:
                purpose = _HANDSHAKE
            elif segment.first == segment.last:
                purpose = spent[not segment.up]
            else:
                purpose = spent[segment.up] = _of_payload(segment, visit, ends[segment.up], known[segment.up])
            record.bytes(_direction(segment.up), purpose, 0, segment.size)
    mine = {one.flow for one in attempts}
    for up in (True, False):
        elsewhere = sum(one.size for flow in traffic.flows if flow not in mine for one in flow.segments if one.up == up)
        _enter(record, up, _HANDSHAKE, traffic.lookup_bytes[up])
        _enter(record, up, UNKNOWN_PURPOSE, traffic.other_bytes[up] + elsewhere)


def _passed(visit: Visit | None) -> dict[bool, list[Seen]]:
    """The MQTT packets of both directions, True: from the vehicle."""
    return {True: visit.came if visit else [], False: visit.went if visit else []}


class _Before:
    """How much of each message the vehicle's interface has seen, by direction, on the connections before."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Any, ...], int] = {}

    def of(self, one: Attempt, up: bool, packets: Sequence[Seen]) -> list[int]:
        """For each packet of a connection up to which place of its stream it is a repetition; the connection is noted too."""
        reached = (one.flow.sent if up else one.flow.got).reached
        places, begins = [], 0
        for seen in packets:
            packet = seen.packet
            place = -1
            if isinstance(packet, Publish) and packet.qos:
                message = packet.message
                # the workload's own are known by their ids; of others only DUP tells a repetition from a message that is alike
                own = message.kind != "other"
                key = (one.client_id, up, message.kind, message.topic, message.id, message.body, 0 if own else packet.packet_id)
                if own or packet.dup:
                    place = begins + self._seen.get(key, 0)
                self._seen[key] = max(self._seen.get(key, 0), min(reached, seen.end) - begins)
            places.append(place)
            begins = seen.end
        return places


def _of_payload(segment: Segment, visit: Visit | None, ends: Sequence[int], known: Sequence[int]) -> str:
    if visit is None:
        return UNKNOWN_PURPOSE if segment.up else _HANDSHAKE
    if segment.first < (visit.handshake_in if segment.up else visit.handshake_out):
        return _HANDSHAKE
    number = bisect_right(ends, segment.first)
    if number == len(ends):
        # behind the last packet: an alert or tickets of TLS; of the vehicle perhaps anything that never arrived
        return UNKNOWN_PURPOSE if segment.up and segment.first >= visit.bytes_in else _HANDSHAKE
    purpose = str(_passed(visit)[segment.up][number].packet.purpose)
    return "repeated" if purpose == "payload" and (segment.again or segment.first < known[number]) else purpose


def _enter(record: Recorder, up: bool, purpose: str, n_bytes: int) -> None:
    if n_bytes:
        record.bytes(_direction(up), purpose, 0, n_bytes)


def _direction(up: bool) -> str:
    return "up" if up else "down"
