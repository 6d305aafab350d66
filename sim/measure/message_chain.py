"""The causal chain of one message: what happened to it and around it, as (instant, words) in the order of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.attempt_history import Attempt
from sim.measure.drive_path import Event
from sim.measure.episode_words import event_in_words, notice_in_words, seconds
from sim.measure.session_chain import SessionSpan
from sim.record.causes import CAUSES

Step = tuple[float, str]

#: Marks among the states that are shown; the states themselves are told by the connections.
_MARKS = {
    "address_noticed": "the vehicle sees the change of its address",
    "heartbeat_accepted": "the server accepts a heartbeat",
    "store_lost": "the server's store is out of reach",
    "store_regained": "the server's store is back",
}
_VIA = {"mqtt": "over MQTT", "poll": "in the answer to a poll", "push": "on a transport the server opened", "post": "in a POST"}
_RECEIVER = {"ota": "the vehicle's application", "diagnostics": "the vehicle's application", "probe": "the vehicle's application"}
_TRACE = {
    "send_packet": "sends",
    "packet_received": "receives",
    "deliver": "hands it over",
    "drop": "drops a copy",
}

#: Of a longer row of failed attempts only the first and the last ones are shown.
SHOWN_FAILURES = 3


def chain(
    message: Mapping[str, Any],
    attempts: Sequence[Attempt],
    events: Sequence[Event],
    states: pl.DataFrame,
    trace: pl.DataFrame | None,
    spans: Sequence[SessionSpan],
    horizon_s: float,
) -> list[Step]:
    """Steps of one message (a row of messages) from its creation, or the death of the path it was sent on, to its end.

    `attempts`, `events`, `states`, `trace` and `spans` are those of its vehicle in its drive under its strategy.
    """
    born_s = float(message["created_s"])
    ends = [message[key] for key in ("handed_s", "delivered_s", "gone_s") if message[key] is not None]
    done_s = max(ends) if ends and message["outcome"] != "pending" else horizon_s
    carrier = carrier_at(attempts, message["first_sent_s"], states)
    from_s = born_s
    if carrier is not None and carrier.path_end_s is not None and carrier.path_end_s <= float(message["first_sent_s"]):
        from_s = min(born_s, carrier.path_end_s)
    steps = [
        *(() if message["uplink"] else _of_session(spans, from_s, done_s)),
        *_of_message(message, carrier, trace, horizon_s),
        *_of_link(events, from_s, done_s),
        *_of_states(states, from_s, done_s),
        *_of_attempts(_relevant(attempts, message), carrier, from_s, done_s),
        *(_of_trace(trace, message) if trace is not None else ()),
    ]
    return sorted(steps, key=lambda step: step[0])


def carrier_at(attempts: Sequence[Attempt], sent_s: float | None, states: pl.DataFrame | None = None) -> Attempt | None:
    """The connection on which the sender wrote at `sent_s`. None: there was none.

    It is the latest ready one, or the one that is just being made: a broker sends what it kept as soon as it has accepted
    CONNECT, which the vehicle learns later. When that was is in the broker's `states`; where they are not known, halfway
    between CONNECT and CONNACK.
    """
    if sent_s is None:
        return None
    mqtt = [attempt for attempt in attempts if attempt.purpose == "mqtt" and attempt.ready_s is not None and not attempt.failed]
    return max((one for one in mqtt if _accepted_s(one, states) <= sent_s), key=lambda one: one.asked_s, default=None)


def _accepted_s(attempt: Attempt, states: pl.DataFrame | None) -> float:
    """When the broker accepted a connection."""
    opened_s, connack_s = attempt.opened_s, attempt.connack_s
    if opened_s is None or connack_s is None:
        return attempt.ready_s or math.inf
    if states is not None:
        accepted = states.filter((pl.col("state") == "session_accepting") & pl.col("time_s").is_between(opened_s, connack_s))
        if accepted.height:
            return float(accepted["time_s"][0])
    return (opened_s + connack_s) / 2.0


def _of_message(message: Mapping[str, Any], carrier: Attempt | None, trace: pl.DataFrame | None, horizon_s: float) -> list[Step]:
    born_s, sent_s = float(message["created_s"]), message["first_sent_s"]
    who = "vehicle" if message["uplink"] else "server"
    steps: list[Step] = [(born_s, f"created at the {who}")]
    if sent_s is not None:
        where = ""
        if carrier is not None and carrier.path_end_s is not None and carrier.path_end_s <= sent_s:
            where = f" on a dead transport (its path ended at {carrier.path_end_s:.3f} s)"
        elif carrier is not None and carrier.noticed_s is not None and carrier.noticed_s <= sent_s:
            where = " while the vehicle had given up its connection"
        steps.append((float(sent_s), f"sent{where}"))
    if message["handed_s"] is not None:
        again = "redelivered" if _sent_again(message, carrier, trace) else "delivered"
        receiver = _RECEIVER.get(message["kind"], "the backend")
        steps.append((float(message["handed_s"]), f"{again} to {receiver} {_VIA.get(message['via'], '')}".rstrip()))
        if message["delivered_s"] is not None and message["delivered_s"] > message["handed_s"]:
            steps.append((float(message["delivered_s"]), "the response is at the server" + (", late" if message["late"] else "")))
    if message["outcome"] == "lost":
        unseen = "" if message["gone_s"] is not None else " (when is not known)"
        gone_s = message["gone_s"] if message["gone_s"] is not None else horizon_s
        cause = CAUSES.get(message["cause"], "the cause is not known")
        steps.append((float(gone_s), f"lost, {message['cause']}: {cause}{unseen}"))
    elif message["outcome"] == "pending":
        steps.append((horizon_s, "still pending at the end of the run" + ("" if sent_s is not None else ", never sent")))
    return steps


def _sent_again(message: Mapping[str, Any], carrier: Attempt | None, trace: pl.DataFrame | None) -> bool:
    """Whether what was handed over first had been sent before: a later copy, on the way or of a lost PUBACK, says nothing."""
    handed_s = float(message["handed_s"])
    if message["sends"] < 2:
        return False
    if trace is not None and trace.height:
        sent = trace.filter(
            (pl.col("message") == message["message"]) & (pl.col("kind") == "send_packet") & (pl.col("time_s") < handed_s)
        )
        if sent.height:
            return sent.height > 1
    if carrier is None:
        return True
    # a transport delivers what was written to it while its path lives and it is not given up
    lived = carrier.path_end_s is None or carrier.path_end_s > float(message["first_sent_s"])
    return not (lived and (carrier.noticed_s is None or handed_s <= carrier.noticed_s))


def _of_session(spans: Sequence[SessionSpan], from_s: float, done_s: float) -> list[Step]:
    """What the session did meanwhile, and what it had done before and still held."""
    return [(span.start_s, span.text) for span in spans if span.start_s <= done_s and span.end_s > from_s]


def _of_link(events: Sequence[Event], from_s: float, done_s: float) -> list[Step]:
    steps: list[Step] = []
    for event in events:
        if not (from_s <= event.start_s <= done_s or event.start_s < from_s < event.end_s):
            continue
        if event.kind == "handover":
            steps.append((event.start_s, f"handover from {event.before or 'no cell'} to {event.after or 'no cell'}"))
        elif event.kind == "reassignment":
            steps.append((event.start_s, f"the address {event.before or '(none)'} ends"))
            if event.after and event.end_s <= done_s:
                steps.append((event.end_s, f"the vehicle has the address {event.after}"))
        else:
            lasts = f", for {seconds(event.end_s - event.start_s)}" if event.end_s > event.start_s else ""
            steps.append((event.start_s, event_in_words(event) + lasts))
    return steps


def _relevant(attempts: Sequence[Attempt], message: Mapping[str, Any]) -> list[Attempt]:
    """Attempts that could move this message: POSTs carry uplink only, heartbeats and pushes matter to downlink."""
    skipped = ("poll", "push", "heartbeat") if message["uplink"] else ("post",)
    return [attempt for attempt in attempts if attempt.purpose not in skipped]


def _of_attempts(attempts: Sequence[Attempt], carrier: Attempt | None, from_s: float, done_s: float) -> list[Step]:
    steps: list[Step] = []
    if carrier is not None and carrier.noticed_s is not None and from_s <= carrier.noticed_s <= done_s:
        steps.append((carrier.noticed_s, f"the vehicle gives the connection up {notice_in_words(carrier)}"))
    inside = [one for one in attempts if one.asked_s <= done_s and (one.asked_s >= from_s or _under_way(one, from_s))]
    failed = [attempt for attempt in inside if attempt.failed]
    hidden = failed[SHOWN_FAILURES : max(len(failed) - 1, SHOWN_FAILURES)]
    for attempt in inside:
        if any(attempt is other for other in hidden):
            continue
        steps += [step for step in _of_attempt(attempt) if step[0] <= done_s]
    if hidden:
        last_s = hidden[-1].noticed_s if hidden[-1].noticed_s is not None else hidden[-1].asked_s
        steps.append((hidden[0].asked_s, f"{len(hidden)} more attempts fail, until {last_s:.3f} s"))
    return steps


def _under_way(attempt: Attempt, at_s: float) -> bool:
    """Whether an attempt had begun and was neither ready nor given up."""
    over_s = attempt.noticed_s if attempt.failed else attempt.ready_s
    return attempt.asked_s < at_s and (over_s is None or over_s > at_s)


def _of_attempt(attempt: Attempt) -> Iterable[Step]:
    begins = {
        "mqtt": f"the vehicle connects from {attempt.address or 'no address'}",
        "poll": f"the vehicle polls from {attempt.address or 'no address'}",
        "heartbeat": f"the vehicle sends a heartbeat from {attempt.address or 'no address'}",
        "push": f"the server connects to {attempt.target or 'no address'}",
        "post": f"the vehicle posts from {attempt.address or 'no address'}",
    }
    yield attempt.asked_s, begins.get(attempt.purpose, attempt.purpose) + (f" ({attempt.trigger})" if attempt.trigger else "")
    if attempt.failed:
        if attempt.noticed_s is not None:
            yield attempt.noticed_s, f"that fails: {attempt.reason.replace('_', ' ') or 'reason not recorded'}"
        return
    if attempt.purpose != "mqtt":
        if attempt.ready_s is not None:
            yield attempt.ready_s, "that is answered"
        return
    if attempt.opened_s is not None:
        yield attempt.opened_s, "CONNECT" + (", TLS resumed" if attempt.resumed else "")
    if attempt.connack_s is not None:
        present = {0: ", no session present", 1: ", session present"}.get(attempt.session_present, "")
        yield attempt.connack_s, f"CONNACK{present}"
    if attempt.ready_s is not None and attempt.ready_s != attempt.connack_s:
        yield attempt.ready_s, "subscribed"


def _of_states(states: pl.DataFrame, from_s: float, done_s: float) -> list[Step]:
    marks = states.filter(pl.col("state").is_in(list(_MARKS)) & pl.col("time_s").is_between(from_s, done_s))
    return [
        (float(time_s), _MARKS[state] + (f" ({detail})" if detail else ""))
        for time_s, state, detail in marks.select("time_s", "state", "detail").iter_rows()
    ]


def _of_trace(trace: pl.DataFrame, message: Mapping[str, Any]) -> list[Step]:
    """What the trace adds: every packet of the message and every copy dropped, but what its row has already told."""
    told = {
        ("send_packet", message["first_sent_s"]),
        ("packet_received", message["handed_s"]),
        ("deliver", message["handed_s"]),
        ("drop", message["gone_s"]),
    }
    rows = trace.filter((pl.col("message") == message["message"]) & pl.col("kind").is_in(list(_TRACE))).sort("time_s", "serial")
    steps: list[Step] = []
    for time_s, source, kind, transport, detail in rows.select("time_s", "source", "kind", "transport", "detail").iter_rows():
        if not any(kind == other and at is not None and math.isclose(at, time_s, abs_tol=1e-9) for other, at in told):
            on = f" on transport {transport}" if transport >= 0 else ""
            steps.append((float(time_s), f"the {source} {_TRACE[kind]}{on}" + (f": {detail}" if detail else "")))
    return steps
