"""What the broker's session did around one message, for `explain`: it took the vehicle for gone, expired, or was deaf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sim.measure.broker_view import Session, sessions_of
from sim.measure.drive_path import DrivePath

_ACCEPTS = "session_accepting"


@dataclass(frozen=True, slots=True)
class SessionSpan:
    """From `start_s` to `end_s` (inf: the end of the run) `text` holds."""

    start_s: float
    end_s: float
    text: str


def session_spans(
    states: pl.DataFrame,
    connections: pl.DataFrame,
    messages: pl.DataFrame,
    timeline: pl.DataFrame,
    presets: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    old_path: str = "black_hole",
) -> list[SessionSpan]:
    """Spans in which the session kept downlink messages from the vehicle, of one vehicle in one drive under one strategy.

    From the broker's own states where it is ours; of a real one from the connections, as sim.measure.broker_view infers it.
    `presets` are the manifest's, `settings` the strategy's, `old_path` the network's; without
    the broker's behaviour among them nothing is known.
    """
    behaviour: Mapping[str, Any] = presets[0].get("behaviour", {}) if presets else {}
    if not behaviour or "keep_alive_s" not in settings:
        return []
    name = f"{presets[0].get('preset', 'this broker')}"
    entered = states.filter((pl.col("machine") == "server") & pl.col("state").str.starts_with("session_")).sort("time_s")
    if entered.height:
        return _from_states(list(entered.select("time_s", "state").iter_rows()), behaviour, settings, name)
    outages = DrivePath(timeline).unusable_spans(0.0, math.inf) if timeline.height else []
    sessions = sessions_of(connections, messages.sort("created_s").to_dicts(), behaviour, settings, outages, old_path)
    return [span for session in sessions for span in _from_session(session, name)]


def _from_states(
    entered: Sequence[tuple[float, str]], behaviour: Mapping[str, Any], settings: Mapping[str, Any], name: str
) -> list[SessionSpan]:
    texts = {
        "session_offline": "the broker takes the vehicle for gone",
        "session_ended": "the broker discards the session"
        if settings.get("clean_session")
        else "the session expires in the broker",
    }
    if behaviour.get("takeover_deaf"):
        texts["session_taken_over"] = _deaf(name)
    spans = []
    for at, (start_s, state) in enumerate(entered):
        if state in texts:
            # a takeover is followed at once by the acceptance of the connection that takes over
            later = [time_s for time_s, after in entered[at + 1 :] if after == _ACCEPTS and time_s > start_s]
            spans.append(SessionSpan(start_s, later[0] if later else math.inf, texts[state]))
    return spans


def _from_session(session: Session, name: str) -> list[SessionSpan]:
    spans = [SessionSpan(each.connack_s, each.noticed_by_broker_s, _deaf(name)) for each in session.attached if each.deaf]
    if math.isfinite(session.ended_s):
        how = {
            "clean_session_discarded": "the broker discards the session",
            "session_expired": "the session expires in the broker",
        }
        spans.append(
            SessionSpan(session.ended_s, math.inf, f"{how.get(session.end_cause, 'the session ends in the broker')} (inferred)")
        )
    return spans


def _deaf(name: str) -> str:
    return f"the new connection takes over; {name} sends nothing on it until the next one"
