"""What the sessions inside a broker must have been, from the connections seen outside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sim.measure.attempt_history import Attempt, attempts_of


@dataclass(frozen=True, slots=True)
class Attached:
    """A connection as the broker has it: from CONNACK until it notices that it is gone (inf: never). Times in s."""

    connack_s: float
    ready_s: float
    path_end_s: float
    noticed_by_broker_s: float
    deaf: bool = False  # it took over from another one, and this broker sends nothing on such a connection
    taken_over_s: float = math.inf  # somebody else came with its client id


@dataclass(slots=True)
class Session:
    """A broker's session: connections that resumed it, the instant from which messages are routed to it, and its end.

    `end_cause` is why it ended, "" while it is kept; `ended_s` is then inf.
    """

    subscribed_s: float
    attached: list[Attached] = field(default_factory=list)
    ended_s: float = math.inf
    end_cause: str = ""

    def _last(self, time_s: float) -> Attached:
        return next((each for each in reversed(self.attached) if each.connack_s <= time_s), self.attached[0])

    def offline_at(self, time_s: float) -> bool:
        """The broker knows that the client is not connected."""
        return time_s >= self._last(time_s).noticed_by_broker_s

    def deaf_at(self, time_s: float) -> bool:
        """The broker sends nothing on this connection."""
        return self._last(time_s).deaf

    def half_open_at(self, time_s: float) -> bool:
        """The path is dead, and the broker still takes the connection for alive."""
        last = self._last(time_s)
        return last.path_end_s <= time_s < last.noticed_by_broker_s

    def next_ready_after(self, time_s: float) -> float:
        """When the next connection resumed this session; inf: never."""
        return next((each.ready_s for each in self.attached if each.connack_s > time_s), math.inf)

    def may_hold(self, created_s: float, horizon_s: float) -> bool:
        """Whether a message of that instant can still be inside: it was never followed by a connection that lived on."""
        last = self.attached[-1]
        return last.connack_s <= created_s or last.path_end_s < horizon_s


def sessions_of(
    connections: pl.DataFrame,
    messages: Sequence[Mapping[str, Any]],
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    outages: Sequence[tuple[float, float]] = (),
    forgets_s: Sequence[float] = (),
) -> list[Session]:
    """The sessions of one client in the order of time; a CONNACK without session present begins a new one.

    `outages` are the spans in s in which the link lost every packet, `forgets_s` the instants at which the broker was killed
    and forgot all sessions.
    """
    accepted = [attempt for attempt in attempts_of(connections) if attempt.purpose == "mqtt" and attempt.connack_s is not None]
    sessions: list[Session] = []
    for number, attempt in enumerate(accepted):
        connack_s = attempt.connack_s or 0.0
        ready_s = attempt.ready_s if attempt.ready_s is not None else connack_s
        taken_over_s = _connack(accepted[number + 1]) if number + 1 < len(accepted) else math.inf
        noticed_s = min(_noticed_by_broker(attempt, messages, behaviour, settings, outages), taken_over_s)
        took_over = number > 0 and _noticed_by_broker(accepted[number - 1], messages, behaviour, settings, outages) > connack_s
        deaf = bool(behaviour["takeover_deaf"]) and took_over
        other_s = _never(attempt.noticed_s) if attempt.reason == "taken_over" else math.inf
        attached = Attached(connack_s, ready_s, _dead_from(attempt, outages), noticed_s, deaf, other_s)
        if not sessions or attempt.session_present != 1:
            if sessions:
                _end(sessions[-1], connack_s, behaviour, settings, forgets_s)
            sessions.append(Session(ready_s))
        sessions[-1].attached.append(attached)
    if sessions:
        _end(sessions[-1], math.inf, behaviour, settings, forgets_s)
    return sessions


def _end(
    session: Session,
    successor_s: float,
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    forgets_s: Sequence[float],
) -> None:
    """When and why a session ended that has a successor at `successor_s` (inf: none was seen)."""
    forgotten_s = next((at for at in forgets_s if session.attached[-1].connack_s <= at < successor_s), math.inf)
    gone_s = session.attached[-1].noticed_by_broker_s
    expiry_s = _expiry_s(behaviour, settings)
    if settings.get("clean_session") or expiry_s <= 0.0:
        session.ended_s, session.end_cause = min(gone_s, successor_s), "clean_session_discarded"
    elif behaviour["discards_after_disconnect"]:
        session.ended_s, session.end_cause = min(gone_s, successor_s), "session_expired"
    elif gone_s + expiry_s <= successor_s:
        session.ended_s, session.end_cause = gone_s + expiry_s, "session_expired"
    elif math.isfinite(successor_s) and math.isfinite(session.attached[-1].taken_over_s):
        session.ended_s, session.end_cause = session.attached[-1].taken_over_s, "clean_session_discarded"
    elif math.isfinite(successor_s):
        # neither clean nor expired, and yet the broker knew nothing of it
        session.ended_s, session.end_cause = successor_s, "broker_restart"
    if forgotten_s < session.ended_s:
        session.ended_s, session.end_cause = forgotten_s, "broker_restart"
    if math.isinf(session.ended_s):
        session.end_cause = ""


def _expiry_s(behaviour: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    if settings.get("version") != "5":
        return float(behaviour["session_expiry_default_s"])
    asked_s = float(settings.get("session_expiry_s", math.inf))
    return min(math.inf if asked_s >= 4294967295.0 else asked_s, float(behaviour["session_expiry_max_s"]))


def _noticed_by_broker(
    attempt: Attempt,
    messages: Sequence[Mapping[str, Any]],
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    outages: Sequence[tuple[float, float]],
) -> float:
    """When the broker gives the connection up: at its end where the path lived, else by its keep alive rule.

    The last packet it had is estimated: the client's pings (every keep alive since CONNECT, paho's rule), its acknowledgements
    of what arrived, its own messages.
    """
    dead_s = _dead_from(attempt, outages)
    if math.isinf(dead_s):
        return _never(attempt.noticed_s)
    keep_alive_s = float(settings.get("keep_alive_s", 0.0))
    rule, tick_s = behaviour["keep_alive_rule"], float(behaviour["keep_alive_tick_s"])
    if keep_alive_s <= 0.0 or rule == "never":
        return math.inf
    begun_s = _connack(attempt)
    last_s = begun_s + max(math.floor((dead_s - begun_s) / keep_alive_s), 0) * keep_alive_s
    for row in messages:
        answered = row["uplink"] or min(row["qos"], behaviour["qos_max"]) > 0 or row["kind"] in ("diagnostics", "probe")
        at = row["first_sent_s"] if row["uplink"] else row["handed_s"]
        if answered and at is not None and begun_s <= at <= dead_s:
            last_s = max(last_s, at)
    allowed_s = keep_alive_s * float(behaviour["keep_alive_factor"])
    if rule == "tick_from_connect":
        return begun_s + (math.floor((last_s - begun_s) / allowed_s) + 1 + int(behaviour["keep_alive_checks"])) * allowed_s
    # the phase of the ticks cannot be seen: half a tick on average
    return last_s + allowed_s + (tick_s / 2.0 if rule == "tick_after" else 0.0)


def _dead_from(attempt: Attempt, outages: Sequence[tuple[float, float]]) -> float:
    """When the last packet of this connection passed: its path died, or it was given up in an outage, and nobody was told."""
    if attempt.path_end_s is not None:
        return attempt.path_end_s
    given_up_s = _never(attempt.noticed_s)
    return next((start_s for start_s, end_s in outages if start_s <= given_up_s < end_s), math.inf)


def _connack(attempt: Attempt) -> float:
    return attempt.connack_s if attempt.connack_s is not None else math.inf


def _never(time_s: float | None) -> float:
    return math.inf if time_s is None else time_s
