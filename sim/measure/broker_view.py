"""What the sessions inside a broker must have been, from the connections seen outside it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sim.measure.attempt_history import Attempt, attempts_of


@dataclass(frozen=True, slots=True)
class Attached:
    """A connection as the broker has it: from CONNECT until it notices that it is gone (inf: never). Times in s.

    `at_broker_s` is when CONNECT must have been there, `connack_s` when the vehicle had the answer.
    """

    at_broker_s: float
    connack_s: float
    path_end_s: float
    noticed_by_broker_s: float
    noticed_at_soonest_s: float = math.inf  # `noticed_by_broker_s` is an estimate; not before this
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


def sessions_of(
    connections: pl.DataFrame,
    messages: Sequence[Mapping[str, Any]],
    behaviour: Mapping[str, Any],
    settings: Mapping[str, Any],
    outages: Sequence[tuple[float, float]] = (),
    old_path: str = "black_hole",
    pings_s: Sequence[float] = (),
    forgets_s: Sequence[float] = (),
) -> list[Session]:
    """The sessions of one client in the order of time; a CONNACK without session present begins a new one.

    `outages` are the spans in s in which the link lost every packet, `old_path` what packets to an address that the vehicle
    has left meet (`network.reassignment`), `pings_s` when the vehicle sent PINGREQ, where that was seen, `forgets_s` the
    instants at which the broker was killed and forgot all sessions.
    """
    accepted = [attempt for attempt in attempts_of(connections) if attempt.purpose == "mqtt" and attempt.connack_s is not None]
    notices = _Notices(messages, behaviour, settings, outages, old_path, pings_s)
    sessions: list[Session] = []
    before: Attached | None = None
    for number, attempt in enumerate(accepted):
        connack_s = attempt.connack_s or 0.0
        at_broker_s = connack_s if attempt.opened_s is None else (attempt.opened_s + connack_s) / 2.0
        taken_over_s = _arrived(accepted[number + 1]) if number + 1 < len(accepted) else math.inf
        # the one before is told of the takeover, so that it had not been given up by then
        took_over = before is not None and before.noticed_by_broker_s >= at_broker_s
        deaf = bool(behaviour["takeover_deaf"]) and took_over
        soonest_s, noticed_s = notices.of(attempt, deaf)
        other_s = _never(attempt.noticed_s) if attempt.reason == "taken_over" else math.inf
        path_end_s = notices.dead_from(attempt)
        before = Attached(
            at_broker_s, connack_s, path_end_s, min(noticed_s, taken_over_s), min(soonest_s, taken_over_s), deaf, other_s
        )
        if not sessions or attempt.session_present != 1:
            if sessions:
                _end(sessions[-1], at_broker_s, behaviour, settings, forgets_s)
            subscribed_s = connack_s if attempt.ready_s is None else (connack_s + attempt.ready_s) / 2.0
            sessions.append(Session(subscribed_s))
        sessions[-1].attached.append(before)
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
    last = session.attached[-1]
    forgotten_s = next((at for at in forgets_s if last.at_broker_s <= at < successor_s), math.inf)
    gone_s = last.noticed_by_broker_s
    expiry_s = _expiry_s(behaviour, settings)
    if settings.get("clean_session") or expiry_s <= 0.0:
        session.ended_s, session.end_cause = min(gone_s, successor_s), "clean_session_discarded"
    elif behaviour["discards_after_disconnect"]:
        session.ended_s, session.end_cause = min(gone_s, successor_s), "session_expired"
    elif gone_s + expiry_s <= successor_s:
        session.ended_s, session.end_cause = gone_s + expiry_s, "session_expired"
    elif math.isfinite(successor_s) and math.isfinite(last.taken_over_s):
        session.ended_s, session.end_cause = last.taken_over_s, "clean_session_discarded"
    elif math.isfinite(successor_s) and last.noticed_at_soonest_s + expiry_s <= successor_s:
        # it was gone, so the broker had noticed sooner than the estimate says
        session.ended_s, session.end_cause = successor_s, "session_expired"
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
    asked_s = settings.get("session_expiry_s")
    if asked_s is None:  # seen of a program of the user's own: it asked for none (MQTT 5 3.1.2.11.2: 0)
        return 0.0
    return min(math.inf if asked_s >= 4294967295.0 else float(asked_s), float(behaviour["session_expiry_max_s"]))


class _Notices:
    """When the broker gives a connection up: at its end where the path lived, else by its keep alive rule, or told by RST.

    The last packet it had is estimated: the client's pings (seen, or every keep alive since CONNECT, paho's rule), its
    acknowledgements of what arrived, its own messages.
    """

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]],
        behaviour: Mapping[str, Any],
        settings: Mapping[str, Any],
        outages: Sequence[tuple[float, float]],
        old_path: str,
        pings_s: Sequence[float],
    ) -> None:
        self._behaviour = behaviour
        self._outages = outages
        self._resets = old_path == "reset"
        self._pings_s = sorted(pings_s)
        keep_alive_s = float(settings.get("keep_alive_s") or 0.0)
        most_s = float(behaviour.get("keep_alive_max_s", 0.0))
        if settings.get("version") == "5" and 0.0 < most_s < keep_alive_s:
            keep_alive_s = most_s  # Server Keep Alive
        self._keep_alive_s = keep_alive_s
        self._heard_s = sorted(at for row in messages if (at := _answer_s(row, behaviour)) is not None)
        self._created_s = sorted(row["created_s"] for row in messages if not row["uplink"])

    def of(self, attempt: Attempt, deaf: bool) -> tuple[float, float]:
        """(at soonest, estimated) in s, inf: never."""
        dead_s = self.dead_from(attempt)
        if math.isinf(dead_s):
            told_s = self._closed_by_broker(attempt)
            return told_s, told_s
        soonest_s, noticed_s = self._by_keep_alive(attempt, dead_s)
        if self._resets and attempt.path_end_s is not None and not deaf:
            # the next thing the broker sends is answered with RST, a round trip later
            sent_s = _next(self._created_s, dead_s)
            answered_s = sent_s + _rtt_s(attempt)
            soonest_s, noticed_s = min(soonest_s, answered_s), min(noticed_s, answered_s)
        return soonest_s, noticed_s

    def dead_from(self, attempt: Attempt) -> float:
        """When the last packet of this connection passed: its path died, or it was given up in an outage, and nobody was told."""
        if attempt.path_end_s is not None:
            return attempt.path_end_s
        given_up_s = _never(attempt.noticed_s)
        return next((start_s for start_s, end_s in self._outages if start_s <= given_up_s < end_s), math.inf)

    def _closed_by_broker(self, attempt: Attempt) -> float:
        """The end of a connection whose path lived: where an outage outlasted the broker's patience, it was in that."""
        noticed_s = _never(attempt.noticed_s)
        if attempt.reason in ("closed", "reset"):
            for start_s, end_s in self._outages:
                if _arrived(attempt) < start_s and end_s <= noticed_s:
                    given_up_s = self._by_keep_alive(attempt, start_s)[1]
                    if given_up_s < end_s:
                        return given_up_s
        return noticed_s

    def _by_keep_alive(self, attempt: Attempt, dead_s: float) -> tuple[float, float]:
        rule, tick_s = self._behaviour["keep_alive_rule"], float(self._behaviour["keep_alive_tick_s"])
        keep_alive_s = self._keep_alive_s
        if keep_alive_s <= 0.0 or rule == "never":
            return math.inf, math.inf
        begun_s = _arrived(attempt)
        last_s = self._last_heard(begun_s, dead_s)
        allowed_s = keep_alive_s * float(self._behaviour["keep_alive_factor"])
        # at soonest: its pings are at least that frequent
        soonest_s = max(begun_s, last_s - keep_alive_s) + allowed_s
        if rule == "tick_from_connect":
            checks = math.floor((last_s - begun_s) / allowed_s) + 1 + int(self._behaviour["keep_alive_checks"])
            return min(soonest_s, begun_s + checks * allowed_s), begun_s + checks * allowed_s
        # the phase of the ticks cannot be seen: half a tick on average
        return soonest_s, last_s + allowed_s + (tick_s / 2.0 if rule == "tick_after" else 0.0)

    def _last_heard(self, begun_s: float, dead_s: float) -> float:
        if self._pings_s:
            last_s = max(begun_s, _last(self._pings_s, dead_s))
        else:
            last_s = begun_s + max(math.floor((dead_s - begun_s) / self._keep_alive_s), 0) * self._keep_alive_s
        return max(last_s, _last(self._heard_s, dead_s))


def _answer_s(row: Mapping[str, Any], behaviour: Mapping[str, Any]) -> float | None:
    """When the vehicle sent something because of this message."""
    if row["uplink"]:
        at: float | None = row["first_sent_s"]
        return at
    answered = min(row["qos"], behaviour["qos_max"]) > 0 or behaviour["raises_qos"] or row["kind"] in ("diagnostics", "probe")
    if not answered or row["via"] not in ("", "mqtt"):
        return None
    handed: float | None = row["handed_s"]
    return handed


def _last(instants: Sequence[float], until_s: float) -> float:
    """The last of them up to `until_s`, -inf where there is none."""
    found = bisect.bisect_right(instants, until_s)
    return instants[found - 1] if found else -math.inf


def _next(instants: Sequence[float], from_s: float) -> float:
    found = bisect.bisect_left(instants, from_s)
    return instants[found] if found < len(instants) else math.inf


def _rtt_s(attempt: Attempt) -> float:
    """A round trip as this connection's TCP handshake had it."""
    return attempt.tcp_s - attempt.started_s if attempt.tcp_s is not None and attempt.started_s is not None else 0.0


def _arrived(attempt: Attempt) -> float:
    """When its CONNECT was at the broker: half way between the end of TLS and CONNACK."""
    if attempt.connack_s is None:
        return math.inf
    return attempt.connack_s if attempt.opened_s is None else (attempt.opened_s + attempt.connack_s) / 2.0


def _never(time_s: float | None) -> float:
    return math.inf if time_s is None else time_s
