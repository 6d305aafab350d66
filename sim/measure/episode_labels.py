"""What a recovery episode consists of: every instant of it carries exactly one label.

The labels are painted over the episode in rising precedence: the wait that the strategy's channel makes, then the phases
of its attempts, then the time without a usable link. The spans are cut at the edges of all of them, so they neither
overlap nor leave a gap, and their durations sum to the episode's length.
"""

from __future__ import annotations

import math

import numpy as np

from sim.measure.attempt_history import Attempt, Channel, History

#: label -> what the time is spent on, in the order in which a report shows them.
LABELS: dict[str, str] = {
    "no_address": "no address, or a link that loses every packet",
    "undetected": "the path is dead, or TCP waits for its next retransmission, and the vehicle has not noticed",
    "backoff": "the loss is noticed, and the next attempt is waited for",
    "failed_attempt": "attempts that failed",
    "dns": "name resolution",
    "tcp": "TCP handshake",
    "tls": "TLS handshake",
    "connect": "CONNECT to CONNACK",
    "subscribe": "CONNACK to the last SUBACK needed",
    "poll_wait": "MQTT is down, and the next poll or its answer is waited for",
    "heartbeat_wait": "a heartbeat from the new address, or after a failed push, or its answer is waited for",
    "stale_address": "the address the server has does not lead to the vehicle",
}

_BASE = {
    Channel.MQTT: "undetected",
    Channel.HYBRID: "undetected",
    Channel.POLL: "poll_wait",
    Channel.HEARTBEAT: "heartbeat_wait",
    Channel.STATIC: "stale_address",
}
#: Attempts that can end an episode. What else is on the air (POSTs of telemetry, the server's pushes) is not part of it.
_PURPOSES = {
    Channel.MQTT: ("mqtt",),
    Channel.HYBRID: ("poll", "mqtt"),
    Channel.POLL: ("poll",),
    Channel.HEARTBEAT: ("heartbeat",),
    Channel.STATIC: (),
}
_EXCHANGE = {"poll": "poll_wait", "heartbeat": "heartbeat_wait"}


Span = tuple[float, float, str]


def label_spans(history: History, start_s: float, end_s: float, ended_by: Attempt | None) -> list[Span]:
    """The labels of [start_s, end_s) as (start, end, label), adjacent and rising; neighbours differ in label.

    `ended_by` is the attempt that ended the episode, None where it survived or did not end.
    """
    layers = [*_waits(history, end_s), *_attempts(history, end_s, ended_by)]
    if history.channel is Channel.HEARTBEAT:
        layers += _pushes(history, start_s, end_s)
    layers += [(begin, end, "no_address") for begin, end in history.path.unusable_spans(start_s, end_s)]
    return paint(start_s, end_s, _BASE[history.channel], layers)


def durations(spans: list[Span]) -> dict[str, float]:
    """label -> seconds, 0 for a label that does not occur."""
    return {label: math.fsum(end - start for start, end, name in spans if name == label) for label in LABELS}


def paint(start_s: float, end_s: float, base: str, layers: list[Span]) -> list[Span]:
    """Paint the layers over each other, the later ones on top, and read off the spans."""
    clipped = [(max(begin, start_s), min(end, end_s), label) for begin, end, label in layers]
    clipped = [layer for layer in clipped if layer[0] < layer[1]]
    edges = np.unique(np.array([start_s, end_s, *(edge for begin, end, _ in clipped for edge in (begin, end))]))
    names = [base] * (len(edges) - 1)
    for begin, end, label in clipped:
        first, last = int(np.searchsorted(edges, begin)), int(np.searchsorted(edges, end))
        names[first:last] = [label] * (last - first)
    spans: list[Span] = []
    for begin, end, label in zip(edges[:-1].tolist(), edges[1:].tolist(), names, strict=True):
        if spans and spans[-1][2] == label:
            spans[-1] = (spans[-1][0], end, label)
        else:
            spans.append((begin, end, label))
    return spans


def _waits(history: History, end_s: float) -> list[Span]:
    """Backoff from a noticed loss or a failed attempt to the next attempt; poll wait from the first poll to the next CONNACK."""
    if history.channel not in (Channel.MQTT, Channel.HYBRID):
        return []
    attempts = history.of("mqtt")
    layers: list[Span] = []
    next_asked_s = [attempt.asked_s for attempt in attempts[1:]] + [end_s]
    for attempt, asked_s in zip(attempts, next_asked_s, strict=False):
        if attempt.noticed_s is not None:
            layers.append((attempt.noticed_s, asked_s, "backoff"))
    if history.channel is Channel.HYBRID:
        polls = [poll.asked_s for poll in history.of("poll")]
        for down_s, up_s in _down_spans(attempts, end_s):
            first_poll_s = next((asked_s for asked_s in polls if down_s <= asked_s < up_s), None)
            if first_poll_s is not None:
                layers.append((first_poll_s, up_s, "poll_wait"))
    return layers


def _down_spans(attempts: list[Attempt], end_s: float) -> list[tuple[float, float]]:
    """Spans in which the vehicle knows that MQTT is down: from a notice to the next ready connection."""
    spans = []
    down_s: float | None = -math.inf
    for attempt in attempts:
        if attempt.ready_s is None or attempt.failed:
            continue
        if down_s is not None:
            spans.append((down_s, attempt.ready_s))
        down_s = attempt.noticed_s
    if down_s is not None:
        spans.append((down_s, end_s))
    return spans


def _attempts(history: History, end_s: float, ended_by: Attempt | None) -> list[Span]:
    """Phases of the attempts: failed ones below, then the others, then the one that ended the episode."""
    failed: list[Span] = []
    others: list[Span] = []
    last: list[Span] = []
    for purpose in _PURPOSES[history.channel]:
        for attempt in history.of(purpose):
            if attempt.failed:
                failed.append((attempt.asked_s, attempt.noticed_s if attempt.noticed_s is not None else end_s, "failed_attempt"))
            else:
                (last if attempt is ended_by else others).extend(_phases(attempt, end_s))
    return failed + others + last


def _phases(attempt: Attempt, end_s: float) -> list[Span]:
    """The phases of an attempt that was ready or is still under way; one that has not ended runs to `end_s`."""
    edges: list[tuple[float | None, str]] = [(attempt.started_s, "dns"), (attempt.tcp_s, "tcp"), (attempt.opened_s, "tls")]
    if attempt.purpose == "mqtt":
        edges += [(attempt.connack_s, "connect"), (attempt.ready_s, "subscribe")]
    else:
        edges += [(attempt.ready_s, _EXCHANGE[attempt.purpose])]
    phases: list[Span] = []
    at = attempt.asked_s
    for number, (edge, label) in enumerate(edges):
        if edge is None and all(later is None for later, _ in edges[number:]):
            return [*phases, (at, attempt.noticed_s if attempt.noticed_s is not None else end_s, label)]
        if edge is not None:  # a phase without an edge was not needed, such as TLS on a plain transport
            phases.append((at, edge, label))
            at = edge
    return phases


def _pushes(history: History, start_s: float, end_s: float) -> list[Span]:
    """What the server tried once a heartbeat had told it the right address: pushes to the old one, pushes that failed."""
    if not history.inbound:
        return [(start_s, end_s, "stale_address")]
    beats = [beat.ready_s for beat in history.of("heartbeat") if beat.ready_s is not None and not beat.failed]
    told = [ready_s for ready_s in beats if start_s <= ready_s < end_s and _registers(history, ready_s)]
    layers: list[Span] = []
    for push in history.of("push") if told else ():
        if push.failed and push.asked_s <= end_s:
            label = "failed_attempt" if push.target_address == history.path.address_at(push.asked_s) else "stale_address"
            layers.append((max(push.asked_s, min(told)), push.noticed_s if push.noticed_s is not None else end_s, label))
    return layers


def _registers(history: History, ready_s: float) -> bool:
    return any(beat.ready_s == ready_s and beat.address == history.path.address_at(ready_s) for beat in history.of("heartbeat"))
