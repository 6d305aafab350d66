"""The connection attempts of one vehicle under one strategy, and the instant from which they let messages flow again."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import polars as pl

from sim.measure.arrivals import Arrivals
from sim.measure.drive_path import DrivePath
from sim.parking import Parked


class Channel(Enum):
    """How the server reaches the vehicle: what ends a recovery episode and which waits there are."""

    MQTT = "mqtt"
    HYBRID = "hybrid"  # MQTT, and polls while it is down
    POLL = "poll"
    HEARTBEAT = "heartbeat"  # the vehicle registers its address, the server connects in
    STATIC = "static"  # the server connects to the first address for ever


_BY_USE = {
    "mqtt_persistent": Channel.MQTT,
    "mqtt_clean_session": Channel.MQTT,
    "hybrid": Channel.HYBRID,
    "ddns_heartbeat": Channel.HEARTBEAT,
    "static_push": Channel.STATIC,
    "client": Channel.MQTT,  # a program of the user's own (live)
}


def channel_of(use: str, purposes: Collection[str]) -> Channel:
    """The channel of a strategy: by its name in the catalog, for a user's own by the attempts it made."""
    if use in _BY_USE:
        return _BY_USE[use]
    if "mqtt" in purposes:
        return Channel.HYBRID if "poll" in purposes else Channel.MQTT
    if "heartbeat" in purposes:
        return Channel.HEARTBEAT
    return Channel.POLL if "poll" in purposes else Channel.STATIC


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of connections; times in s, None is never. `asked_s` is when it began."""

    purpose: str
    trigger: str
    address: str
    target: str
    asked_s: float
    started_s: float | None
    tcp_s: float | None
    opened_s: float | None
    resumed: bool
    connack_s: float | None
    session_present: int
    ready_s: float | None
    path_end_s: float | None
    noticed_s: float | None
    peer_ended_s: float | None
    outcome: str
    reason: str

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    @property
    def target_address(self) -> str:
        """The target without its port."""
        host, _, port = self.target.rpartition(":")
        return host if host and port.isdigit() else self.target

    def alive(self, at_s: float, address: str, rebinds_s: tuple[float, ...] = (), address_then: str = "") -> bool:
        """Whether this connection, once ready, still carries messages at `at_s`, when the vehicle has `address`.

        What a NAT forgot at one of `rebinds_s`, or the other end has given up, carries none, whatever TCP still delivers.
        """
        # `address_then`: the vehicle's when the path ended; where it kept it, a NAT, a balancer or a node forgot the connection
        if self.peer_ended_s is not None and self.peer_ended_s <= at_s:
            return False
        if any((self.started_s or self.asked_s) < rebind_s <= at_s for rebind_s in rebinds_s):
            return False
        # an address that was left and is the vehicle's again (sticky) carries the old connection on
        back = self.address not in ("", address_then) and self.address == address
        path_alive = self.path_end_s is None or self.path_end_s > at_s or back
        return path_alive and (self.noticed_s is None or self.noticed_s > at_s) and self.address in ("", address)


_COLUMNS = tuple(Attempt.__dataclass_fields__)


def attempts_of(connections: pl.DataFrame) -> tuple[Attempt, ...]:
    """The rows of one vehicle as attempts, in the order in which they began; those that never began are left out."""
    begun = connections.with_columns(pl.coalesce("asked_s", "started_s").alias("asked_s")).filter(pl.col("asked_s").is_not_null())
    return tuple(Attempt(*row) for row in begun.sort("asked_s", "attempt").select(_COLUMNS).iter_rows())


@dataclass(frozen=True, slots=True)
class History:
    """One vehicle in one drive under one strategy. `inbound`: whether the access lets the server connect to the vehicle."""

    channel: Channel
    attempts: tuple[Attempt, ...]
    path: DrivePath
    horizon_s: float
    inbound: bool = True
    arrivals: Arrivals | None = None  # None: TCP is taken to go on at once
    rebinds_s: tuple[float, ...] = ()  # when the NAT, or the balancer, forgot its mappings
    parked: Parked = ()

    def of(self, purpose: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.purpose == purpose]

    def flows_from(self, start_s: float, clear_s: float) -> tuple[float, Attempt | None]:
        """First instant from `clear_s` on at which a message can flow both ways; inf: not before the end of the run.

        `start_s` is the death of the path, `clear_s` the first instant at which the link carries packets again. The attempt
        that made it possible comes with it, None where what was there before survived.
        """
        if math.isinf(clear_s):
            return math.inf, None
        if self.channel is Channel.MQTT:
            return self._mqtt(start_s, clear_s)
        if self.channel is Channel.POLL:
            return self._poll(start_s, clear_s)
        if self.channel is Channel.HYBRID:
            return min(self._mqtt(start_s, clear_s), self._poll(start_s, clear_s), key=lambda end: end[0])
        if not self.inbound:
            return math.inf, None
        return self._heartbeat(clear_s) if self.channel is Channel.HEARTBEAT else self._static(clear_s)

    def _mqtt(self, start_s: float, clear_s: float) -> tuple[float, Attempt | None]:
        """A connection that outlives the disruption, or the first later one whose own path lives when it is ready.

        The old one counts from when TCP has got something through again, and not at all where it is given up before.
        """
        best: tuple[float, Attempt | None] = (math.inf, None)
        for attempt in self.of("mqtt"):
            if attempt.ready_s is None or attempt.failed:
                continue
            at = max(attempt.ready_s, clear_s)
            if attempt.ready_s <= start_s and self.arrivals is not None:
                at = self.arrivals.flow_from(clear_s)
            then = self.path.address_at(attempt.path_end_s) if attempt.path_end_s is not None else ""
            if at < best[0] and attempt.alive(at, self.path.address_at(at), self.rebinds_s, then):
                best = (at, attempt if attempt.ready_s > start_s else None)
        return best

    def _poll(self, start_s: float, clear_s: float) -> tuple[float, Attempt | None]:
        """The first poll answered once the link is clear: an answer shows that both directions work."""
        for attempt in sorted(self.of("poll"), key=lambda poll: poll.ready_s or math.inf):
            if attempt.ready_s is not None and not attempt.failed and attempt.ready_s >= clear_s and attempt.ready_s > start_s:
                return attempt.ready_s, attempt
        return math.inf, None

    def _heartbeat(self, clear_s: float) -> tuple[float, Attempt | None]:
        """From when the registered address is the vehicle's and the server is not held back by a push that failed.

        A failed push holds the server back until the next heartbeat is accepted. Where it looks names up it may go on
        connecting to the old address until the name expires, and such a push fails too.
        """
        beats = [(beat.ready_s, beat) for beat in self.of("heartbeat") if beat.ready_s is not None and not beat.failed]
        beats.sort(key=lambda pair: pair[0])
        pushes = self.of("push")
        instants = {clear_s, *(ready_s for ready_s, _ in beats), *self.path.changes(clear_s)}
        for at in sorted(instant for instant in instants if instant >= clear_s):
            known = [pair for pair in beats if pair[0] <= at]
            if not known or known[-1][1].address != self.path.address_at(at) or self.path.usable_from(at) != at:
                continue
            ready_s, beat = known[-1]
            last_push = next((push for push in reversed(pushes) if push.asked_s <= at), None)
            if last_push is None or not last_push.failed or (last_push.noticed_s or math.inf) < ready_s:
                if last_push is not None and last_push.asked_s < clear_s and last_push.ready_s is not None:
                    at = max(at, last_push.ready_s)  # the server is busy with a push that came through the disruption
                return at, beat if ready_s >= clear_s else None
        return math.inf, None

    def _static(self, clear_s: float) -> tuple[float, Attempt | None]:
        """Only while the vehicle has the address it started with."""
        first = self.path.address_at(0.0)
        for at in (clear_s, *self.path.changes(clear_s)):
            if self.path.address_at(at) == first and self.path.usable_from(at) == at:
                return at, None
        return math.inf, None
