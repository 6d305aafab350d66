"""Rows of connections from what the vehicle's interface and the broker's side saw of a program's connections. Pure.

What cannot be seen this way is not filled in: why the program tried (`trigger`) and why it ended a connection (`reason`) are
NOT_OBSERVED, the wait that it ordered (`waited_s`) and the instant at which it gave up an attempt that nobody had answered
(`noticed_s`) are null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.live.observed.flows import End, Flow, Lookup, Traffic
from sim.live.observed.visits import Visit
from sim.protocols.mqtt_packets import ACCEPTED, SUBSCRIPTION_FAILED, ConnAck, Disconnect, SubAck, Subscribe
from sim.record.recorder import Connection

NOT_OBSERVED = "not_observed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A connection of the program: its TCP connection, and the same as the broker's side has it (None: it never got there)."""

    flow: Flow
    visit: Visit | None

    @property
    def client_id(self) -> str | None:
        """As in CONNECT; None where none came."""
        return self.visit.connect.client_id if self.visit is not None and self.visit.connect is not None else None


def attempts_of(traffic: Traffic, visits: Sequence[Visit], broker: End) -> list[Attempt]:
    """The program's connections to the broker, in the order in which they began."""
    found: dict[Flow, Visit] = {}
    mine = [flow for flow in traffic.flows if flow.far == broker]
    for visit in visits:
        same = [flow for flow in mine if flow.near == visit.near and flow.syn_s <= visit.accepted_s]
        if same:
            found[same[-1]] = visit
    return [Attempt(flow, found.get(flow)) for flow in mine]


def rows_of(attempts: Sequence[Attempt], lookups: Sequence[Lookup], end_s: float) -> list[Connection]:
    """A row for each connection, and one for each lookup of the server's name that was never answered; by their beginnings."""
    subscribes = any(isinstance(seen.packet, Subscribe) for one in attempts if one.visit for seen in one.visit.came)
    rows: list[Connection] = []
    before = [-math.inf, *(one.flow.syn_s for one in attempts)]
    asked = [_looked_up(one.flow, lookups, after_s) for one, after_s in zip(attempts, before, strict=False)]
    for number, one in enumerate(attempts):
        row = Connection(0, "mqtt", "vehicle", NOT_OBSERVED, one.flow.near[0], math.nan, asked[number])
        row.started_s, row.tcp_s = one.flow.syn_s, one.flow.tcp_s
        row.target = f"{one.flow.far[0]}:{one.flow.far[1]}"
        for segment in one.flow.segments:
            if segment.up:
                row.bytes_up += segment.size
            else:
                row.bytes_down += segment.size
        if one.visit is not None:
            _steps(row, one.flow, one.visit, subscribes, end_s)
        _end(row, one, list(zip(attempts[number + 1 :], asked[number + 1 :], strict=True)))
        rows.append(row)
    for lookup in lookups:
        if math.isnan(lookup.answered_s):
            rows.append(row := Connection(0, "mqtt", "vehicle", NOT_OBSERVED, lookup.near[0], math.nan, lookup.asked_s))
            row.outcome, row.reason = "failed", "name_failed"
    rows.sort(key=lambda row: row.asked_s)
    for number, row in enumerate(rows):
        row.attempt = number
    if rows and rows[-1].outcome == "failed" and math.isnan(rows[-1].noticed_s):
        rows[-1].outcome, rows[-1].reason = "open", ""  # under way for all that is known
    return rows


def _looked_up(flow: Flow, lookups: Sequence[Lookup], after_s: float) -> float:
    """When the attempt began: with the lookup before its SYN, where one was answered since the attempt before."""
    asked = [lookup.asked_s for lookup in lookups if after_s < lookup.asked_s and lookup.answered_s <= flow.syn_s]
    return asked[-1] if asked else flow.syn_s


def _steps(row: Connection, flow: Flow, visit: Visit, subscribes: bool, end_s: float) -> None:
    row.resumed = visit.resumed
    if not visit.tls:
        row.opened_s = row.tcp_s
    elif not math.isnan(visit.shaken_s):
        row.opened_s = flow.sent.at(visit.handshake_in)
    if visit.ended_s <= end_s:
        row.peer_ended_s = visit.ended_s
    for seen in visit.went:
        packet = seen.packet
        if isinstance(packet, ConnAck) and packet.code == ACCEPTED and math.isnan(row.connack_s):
            row.connack_s = flow.got.at(seen.end)
            row.session_present = int(packet.session_present) if row.connack_s == row.connack_s else -1
            if packet.session_present or not subscribes:
                row.ready_s = row.connack_s
        elif isinstance(packet, SubAck) and math.isnan(row.ready_s) and any(code < SUBSCRIPTION_FAILED for code in packet.codes):
            row.ready_s = flow.got.at(seen.end)
    if row.ready_s == row.ready_s:
        row.outcome = "ready"


def _end(row: Connection, one: Attempt, later: Sequence[tuple[Attempt, float]]) -> None:
    """When and, as far as that shows, why it ended for the program. `later`: what it tried then, and when it began."""
    flow, visit = one.flow, one.visit
    over_s, told_s = flow.vehicle_ended_s, flow.told_s
    replaced_s = next((asked_s for other, asked_s in later if one.client_id and other.client_id == one.client_id), math.inf)
    if told_s == told_s and not over_s < told_s:
        over_s = told_s
        reason = "closed" if told_s == flow.closed_s else "refused" if math.isnan(flow.tcp_s) else "reset"
    elif replaced_s < math.inf and not over_s <= replaced_s:
        # given up by then: the FIN may wait behind what was lost, or for an address
        over_s, reason = replaced_s, NOT_OBSERVED
    elif math.isnan(over_s):
        if row.outcome == "open" and later:
            row.outcome, row.reason = "failed", NOT_OBSERVED
        return
    else:
        said = visit is not None and any(isinstance(seen.packet, Disconnect) for seen in visit.came)
        reason = "disconnected" if said else NOT_OBSERVED
    if visit is not None and visit.failed:
        reason = visit.failed
    elif visit is not None and any(isinstance(seen.packet, ConnAck) and seen.packet.code != ACCEPTED for seen in visit.went):
        reason = "refused"
    elif reason in ("closed", "reset") and _taken_over(one, [other for other, _ in later]):
        reason = "taken_over"
    row.end(over_s, reason)


def _taken_over(one: Attempt, later: Sequence[Attempt]) -> bool:
    """Whether the broker ended it because somebody came with the same client id."""
    visit = one.visit
    return (
        visit is not None
        and visit.ended_by_broker
        and any(
            other.visit is not None and other.client_id == one.client_id and other.visit.came[0].at_s <= visit.ended_s
            for other in later
        )
    )
