"""What the report of a validation says in sentences: the verdict, what was held against what, what cannot be compared."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

from sim.measure.agreement import Row
from sim.measure.lateness import OVERLOADED, late_in_words, lateness_of
from sim.measure.validation import Validation
from sim.report.numbers import NBSP, listed, percent, seconds, significant
from sim.report.validation_evidence import ValidationEvidence

_LINKS = {
    "packet": "the packet link: the kernel's TCP on both ends, in two network namespaces",
    "loopback": "the loopback link: a relay on 127.0.0.0/8 that plays the drive",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`headline` is one or two sentences, `support` further ones, `case` what was held against what."""

    headline: str
    support: tuple[str, ...]
    case: tuple[str, ...]


def verdict(evidence: ValidationEvidence) -> Verdict:
    parted, compared = evidence.parted, evidence.found.compared
    total, other = f"{compared:,}", against(evidence)
    first = evidence.first_parting
    if not compared:
        headline = f"Nothing was compared: {nothing_compared(evidence.found)}."
    elif first is None:
        headline = f"All {total} compared values agree: model against {other}."
        if evidence.largest is not None:
            headline += f" No timing is off by more than {seconds(abs(evidence.largest.difference or 0.0))}."
    else:
        part = f"{len(parted):,} part{'s' if len(parted) == 1 else ''}"
        headline = f"{compared - len(parted):,} of {total} compared values agree, {part}: model against {other}."
    if evidence.found.overloaded:
        headline = f"{OVERLOADED}. {headline}"
    return Verdict(headline, tuple(_support(evidence)), tuple(_case(evidence)))


def nothing_compared(found: Validation) -> str:
    """Why no value was compared."""
    if found.rows:
        return "every value rests on a timer of TCP, which the loopback link does not have; --link packet has it"
    side = "the log" if found.against_log else "the live run"
    return f"neither the model nor {side} has a message or an attempt"


def in_words(row: Row) -> str:
    """What a row compares: attempt 1, ready; the first redelivery after the reassignment at 15.0 s."""
    if row.where == "all":
        return row.what
    kind, _, rest = row.where.partition(" ")
    if rest.startswith("at "):
        what = "the vehicle's notice of" if row.what == "detection" else f"“{row.what}” after"
        return f"{what} the {kind} {rest}"
    return row.where if row.what == "time" else f"{row.where}, {row.what}"


def against(evidence: ValidationEvidence) -> str:
    """What the model was held against: mosquitto 2.0.11; our own broker machine; the log drive.csv."""
    manifest = evidence.manifest
    if evidence.found.against_log:
        return f"the log {manifest.get('log', '')}"
    return listed(brokers(evidence)) or "our own broker machine, embedded"


def brokers(evidence: ValidationEvidence) -> list[str]:
    """Real brokers of the live runs with their versions. Strategies without one are served by the lab."""
    names = (str(name) for one in evidence.found.comparisons for name in one.run.manifest.get("broker", []))
    return list(dict.fromkeys(name for name in names if not name.startswith("embedded")))


def side_word(evidence: ValidationEvidence) -> str:
    return "log" if evidence.found.against_log else "live"


def shown(value: Any, unit: str = "") -> str:
    """A compared value: seconds with milliseconds, an outcome as it is, "never"."""
    if value is None:
        return "never"
    if value == "-":  # no flag: nothing arrived
        return "–"
    return f"{value:,.3f}{unit}".replace("-", "−") if isinstance(value, float) else str(value)


def model_value(row: Row, unit: str = "") -> str:
    return shown(row.model, unit) if row.model_to is None else f"{shown(row.model)} to {shown(row.model_to, unit)}"


def signed(value: float) -> str:
    """A difference in words: +12 ms, −1.3 s."""
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{seconds(abs(value))}"


def _support(evidence: ValidationEvidence) -> list[str]:
    lines = []
    largest, first = evidence.largest, evidence.first_parting
    if first is not None:
        unit = f"{NBSP}s" if first.allowed_s is not None else ""
        when = f" at {first.at_s:,.3f}{NBSP}s" if math.isfinite(first.at_s) else ""
        lines.append(
            f"The two part first{when}: {first.strategy}, {in_words(first)}:"
            f" model {model_value(first, unit)}, {side_word(evidence)} {shown(first.live, unit)}."
        )
    if largest is not None:
        middle = statistics.median(abs(row.difference or 0.0) for row in evidence.timings)
        lines.append(
            f"The largest difference of a timing is {signed(largest.difference or 0.0)}, {side_word(evidence)} minus model"
            f" ({largest.strategy}, {in_words(largest)}); {seconds(largest.allowed_s or 0.0)} are allowed there."
            f" The median of {len(evidence.timings):,} timings is {seconds(middle)}."
        )
    n = len(evidence.found.comparisons)
    if n > 1:
        agreeing = sum(one.agrees for one in evidence.found.comparisons)
        alike = "all agree" if agreeing == n else f"{agreeing or 'none'} of them agree{'s' if agreeing <= 1 else ''}"
        lines.append(f"{n} live runs, {alike} in every value; counted is the worst run of each value.")
    if evidence.members > 1:
        ranged = sum(row.model_to is not None or " or " in str(row.model) for row in evidence.rows)
        lines.append(f"The model was run {evidence.members} times, {_members(evidence)}: {_depend(ranged)}.")
    for one in evidence.found.comparisons:
        said = late_in_words(lateness_of(one.run.manifest), evidence.found.tolerance)
        lines += said if n == 1 else [f"{one.run.manifest['run_id']}: {line}" for line in said]
    if evidence.found.missing:
        lines.append(f"No longer there, and left out: {listed(list(evidence.found.missing))}.")
    if any(one.run.manifest.get("interrupted") for one in evidence.found.comparisons):
        lines.append("A live run was interrupted: it is compared with the model up to that instant.")
    return lines


def _members(evidence: ValidationEvidence) -> str:
    """In what the model's runs differ."""
    manifest = evidence.model.manifest
    phases = len(manifest.get("tick_phases") or ())
    said = [f"with {phases} phases of the broker's tick, which nobody can set from outside"] if phases else []
    for what, name in (("changes of the link", "edges_earlier_s"), ("faults", "faults_earlier_s")):
        by_s = max(manifest.get(name) or (0.0,))
        if by_s > 0.0:
            said.append(f"with the {what} as they are and {seconds(by_s)} earlier")
    return " and ".join(said) or "each with another phase"


def _depend(ranged: int) -> str:
    if not ranged:
        return "no compared value depends on it"
    return (
        f"{ranged:,} value{'s are' if ranged > 1 else ' is'} an interval or a set of outcomes, and the live one has to lie in it"
    )


def _case(evidence: ValidationEvidence) -> list[str]:
    manifest, model = evidence.manifest, evidence.model.manifest
    settings = model.get("settings", {})
    preset = (model.get("presets") or [{}])[0]
    tls = settings.get("server", {}).get("tls", {})
    lines = []
    status = "measured in this lab" if preset.get("status") == "measured" else "read from documents, not measured"
    own = preset.get("overridden") or []
    but = f", except what the scenario sets: {', '.join(own)}" if own else ""
    lines.append(f"Model: broker preset {preset.get('preset')} ({preset.get('version')}, {status}{but}).")
    if evidence.found.against_log:
        events = len(evidence.found.comparisons[0].events)
        lines.append(f"Log: {manifest.get('log')}, {events:,} events, a copy of it beside this page.")
    else:
        link = _LINKS.get(str(manifest.get("link")), str(manifest.get("link")))
        lines.append(f"Live: {against(evidence)}, on {link}.")
        lines += _preset_notes(evidence, preset)
    if tls.get("profile"):
        both = "in the model" if evidence.found.against_log else "on both sides"
        kind = ", client certificates" if tls.get("mutual") and tls["profile"] != "none" else ""
        lines.append(f"TLS profile {tls['profile']} {both}{kind}.")
    drain = float(model.get("drain_s") or 0.0)
    lines.append(
        f"Drive 0 of the scenario, seed {model.get('seed')}: {significant(evidence.end_s, 4)}{NBSP}s"
        f" and {significant(drain)}{NBSP}s of drain."
    )
    lines.append(f"Tolerance: {tolerance_words(evidence)}.")
    return lines


def _preset_notes(evidence: ValidationEvidence, preset: dict[str, Any]) -> list[str]:
    real = brokers(evidence)
    if not real:
        return [
            "The embedded broker is the machine that the model uses, behind real sockets:"
            " what agrees says something of links, clocks and clients, nothing of other brokers."
        ]
    first = str(preset.get("version", "")).partition(" ")[0].lower()
    if all(first not in name.lower() for name in real) and not any("not known" in name for name in real):
        return [f"The preset is not that of {listed(real)}: it was set by hand."]
    return []


def tolerance_words(evidence: ValidationEvidence) -> str:
    allowed = evidence.found.tolerance
    return (
        f"outcomes identical; a timing within {percent(allowed.relative_share)} of its duration"
        f" or {significant(allowed.absolute_s)}{NBSP}s, whichever is larger"
    )


def not_comparable(evidence: ValidationEvidence, marked: int) -> list[str]:
    """What this comparison cannot show. `marked`: values that rest on a timer which the link does not have."""
    if evidence.found.against_log:
        return [
            "A log tells of connections and deliveries alone: failed attempts, causes of loss, DUP flags and the order of what"
            " it does not name are not compared.",
            "Where a delivery names no message, the n-th of the log meets the n-th of the model.",
        ]
    lines = []
    if evidence.manifest.get("link") == "loopback":
        lines.append(
            "TCP's own timers: the relay of the loopback link acknowledges to each side what the other never got."
            " Retransmissions, the retries of a SYN and the time after which TCP gives a connection up are not real there; the"
            " timers of MQTT and HTTP are. --link packet has the kernel's TCP."
        )
        if marked:
            rest = "value rests" if marked == 1 else "values rest"
            lines.append(f"{marked:,} {rest} on such a timer in the model, marked † in the tables, and count neither way.")
    else:
        lines.append(
            "The broker's send buffer: the relay into the server's namespace acknowledges to the broker at once what is still on"
            " its way to the vehicle."
        )
    lines.append(
        "Not compared: bytes and radio time, which a live run does not count as the model does, and when the broker gave a"
        " half-open connection up, which nobody outside sees."
    )
    return lines


def rules(evidence: ValidationEvidence) -> list[str]:
    """How the comparison was made."""
    if evidence.found.against_log:
        lines = ["Each event of the log meets the model's event of the same kind and number, or the message that it names."]
    else:
        lines = [
            "Attempts are compared in their order: how many, when each was asked for and ready, how it ended; on the channel of"
            " the strategy (MQTT, else heartbeats) also why it was made and whether the session was present. Polls, pushes,"
            " heartbeats, POSTs and downloads beside it are counted each for itself.",
            "For each end of an address and each rebind of the NAT: when the vehicle noticed, when the first message that it"
            " delayed arrived, and when the last of them did.",
            "For each message: delivered, lost and its cause, or pending; when it was delivered, how often it arrived, its DUP"
            " flags; and for each direction the order of arrival.",
        ]
    lines.append(
        f"Tolerance: {tolerance_words(evidence)}. The duration is that from the disruption, the last event of the kind or the"
        " creation to the instant compared. The scenario sets both in validation: {relative: 5 %, absolute: 250 ms}."
    )
    lines.append(
        "Where a value depends on a phase that cannot be set, such as the tick of mosquitto's keep alive check, the model is run"
        " with eight phases; and each time once more with every change of the link a tenth of the absolute tolerance earlier, as"
        " a few milliseconds decide on which side of it something happens. The live value has to lie in the interval, or among"
        " the outcomes, that they give; and all values between two disruptions in those of one run, or of two with adjacent"
        " phases. The lane of the model is then the run nearest to the live ones."
    )
    return lines
