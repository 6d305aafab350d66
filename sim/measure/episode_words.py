"""A recovery episode in words."""

from __future__ import annotations

from sim.measure.attempt_history import Attempt
from sim.measure.drive_path import Event
from sim.measure.recovery import Episode

_WHAT = {
    "radio_link_failure": "the radio link failed",
    "silence": "the link fell silent",
    "coverage_gap": "coverage ended",
    "log_gap": "the drive log has a gap",
    "rebind": "the carrier's NAT forgot its mappings",
    "nat_idle": "the carrier's NAT forgot the connection, which had been silent for too long",
    "balancer_idle": "the balancer forgot the connection, which had been silent for too long",
    "detach": "the vehicle was detached from the network",
    "tower_outage": "a tower went out of service",
    "region_outage": "all towers of a gateway went out of service",
    "node_crash": "a node of the broker crashed",
    "node_upgrade": "a node of the broker was restarted for an upgrade",
    "store_failover": "the store of sessions failed over",
    "store_crash": "the store of sessions crashed",
    "balancer_change": "the balancer was changed",
    "dns_outage": "name resolution failed",
    "dns_stale": "name resolution gave an old address",
    "api_errors": "requests to the API failed",
    "certificate_expiry": "the server's certificate expired",
}
_NOTICED = {
    "address": "by its watch on the address",
    "keep_alive": "by the MQTT keep alive",
    "timed_out": "by TCP's timeout",
    "reset": "by a reset of the transport",
    "closed": "when the peer closed the transport",
    "transport": "when the transport was gone",
    "taken_over": "when another client had connected with its client id",
    "not_observed": "(how, was not observed)",
}
_SPENT = {
    "no_address": "{s} without an address or a usable link",
    "undetected": "{s} before the vehicle noticed",
    "backoff": "{s} of backoff",
    "failed_attempt": "{s} in attempts that failed",
    "dns": "{s} of name resolution",
    "tcp": "{s} of TCP handshake",
    "tls": "{s} of TLS handshake",
    "connect": "{s} from CONNECT to CONNACK",
    "subscribe": "{s} of SUBSCRIBE",
    "poll_wait": "{s} of waiting for a poll",
    "heartbeat_wait": "{s} of waiting for a heartbeat",
    "stale_address": "{s} in which the server's address did not lead to the vehicle",
}
_BY = {
    "mqtt": "an MQTT connection",
    "poll": "a poll",
    "heartbeat": "a heartbeat",
}


def event_in_words(event: Event) -> str:
    """What happened, as a clause: "the address changed from 10.1.1.100 to 10.2.5.200"."""
    if event.kind in ("node_crash", "node_upgrade") and event.before:
        return _WHAT[event.kind].replace("a node of the broker", f"node {event.before} of the broker")
    if event.kind != "reassignment":
        return _WHAT.get(event.kind, event.kind.replace("_", " "))
    if not event.after:
        return f"the address {event.before} ended and no other followed"
    return f"the address changed from {event.before or 'none'} to {event.after}"


def notice_in_words(attempt: Attempt) -> str:
    """How the vehicle noticed that a connection was dead: "by the MQTT keep alive"."""
    return _NOTICED.get(attempt.reason, f"({attempt.reason.replace('_', ' ') or 'reason not recorded'})")


def seconds(value: float) -> str:
    """A duration with as many digits as matter: 0.080 s, 8.3 s, 937 s."""
    return f"{value:.3f} s" if value < 1.0 else f"{value:.1f} s" if value < 100.0 else f"{value:.0f} s"


def episode_in_words(episode: Episode) -> str:
    """One sentence or two: what happened and when, how it was noticed, what the time went into, what ended it."""
    first, *more = episode.events
    text = f"Drive {episode.replication}: at {first.start_s:.1f} s {event_in_words(first)}"
    for event in more:
        text += f", at {event.start_s:.1f} s {event_in_words(event)}"
    lost = episode.lost
    if lost is not None and lost.noticed_s is not None and lost.noticed_s <= episode.end_s:
        text += f"; the vehicle noticed after {seconds(lost.noticed_s - episode.start_s)} {notice_in_words(lost)}"
    if episode.censored:
        text += f"; until the end of the run, {seconds(episode.length_s)} later, no message could flow both ways"
    elif episode.ended_by is None:
        text += f"; messages flowed again after {seconds(episode.length_s)}, and nothing had to be set up anew"
    else:
        by = _BY.get(episode.ended_by.purpose, "an attempt")
        text += f"; {by} let messages flow again after {seconds(episode.length_s)}"
    return f"{text}. The time went into {spent_in_words(episode.phases)}."


def spent_in_words(phases: dict[str, float]) -> str:
    """The labels of an episode by size, those under a millisecond left out."""
    parts = [(round(value, 3), label) for label, value in phases.items() if value >= 1e-3]
    parts.sort(key=lambda part: -part[0])  # rounded, and equal ones in the labels' order: rounding errors move no word
    words = [_SPENT[label].format(s=seconds(value)) for value, label in parts]
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0] if words else "less than a millisecond"
