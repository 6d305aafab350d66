"""What a run says of the seed's defaults: better or worse than the values that were tried, no evidence, or not tried at all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.report.configuration import key_in_file
from sim.report.evidence import Evidence
from sim.report.knobs import SEED_USES, UNKNOWN, flat, seed_value
from sim.report.numbers import NBSP, listed, percent
from sim.report.settings_table import setting_text
from sim.report.verdicts import COST, DELIVERY, NEXT_TO_NOTHING, Compared, compared_by_holm

_MOST = 12


@dataclass(frozen=True, slots=True)
class Default:
    """A default of the seed, or several that were changed together; `shown` in a word or two, `text` with the numbers."""

    settings: str
    shown: str
    text: str


@dataclass(frozen=True, slots=True)
class NotTried:
    """A default of the seed that no variant of the run departs from alone, and the options that would try it."""

    settings: str
    why: str
    command: str


@dataclass(frozen=True, slots=True)
class Defaults:
    """`note` says how the verdicts are corrected, `more` how many were left out."""

    found: tuple[Default, ...]
    not_tried: tuple[NotTried, ...]
    note: str
    more: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two strategies of one kind, `seeds` with the seed's values where they differ, `other` with what was tried."""

    other: str
    seeds: str
    use: str
    tried: dict[str, Any]  # path of the setting -> value of `other`
    both: dict[str, Any]  # what departs from the seed in both


#: Defaults that a client is often advised to change, with the values that would try them.
_ADVISED: tuple[tuple[frozenset[str], str, str, str], ...] = (
    (frozenset({"backoff.policy"}), "backoff without jitter", "backoff", "exponential,full_jitter"),
    (frozenset({"address_watch", "address_poll_s"}), "address poll every 10 s", "address_watch", "poll,link_event"),
    (frozenset({"keep_alive_s"}), "keep alive of 30 s", "keep_alive", "10 s,30 s,60 s"),
    (frozenset({"user_timeout_s"}), "no TCP user timeout", "user_timeout", "0 s,10 s,20 s"),
)
_PLAIN_NAMES = {"backoff.policy": "no jitter", "user_timeout_s": "no TCP user timeout"}
_ON = ("mqtt_persistent", "hybrid")
_JITTER = "What jitter is for, many vehicles that come back at once, drives of single vehicles cannot show."


def seed_defaults(evidence: Evidence) -> Defaults:
    """What the run says of each default that a variant departs from, and which of the advised ones it leaves open."""
    pairs = _pairs(evidence)
    compared = compared_by_holm(evidence, [(one.other, one.seeds) for one in pairs], (*DELIVERY, COST[0]))
    found = [_default(evidence, pair, rows) for pair, rows in zip(pairs, compared, strict=True)]
    family = sum(len(rows) for rows in compared)
    note = (
        f"Paired differences of what was tried minus the seed's default, each with its own 95{NBSP}% interval; a verdict holds"
        f" after Holm's correction for all {family} of this list."
        if evidence.drives > 1 and family
        else ""
    )
    return Defaults(tuple(found[:_MOST]), tuple(_not_tried(evidence, pairs)), note, max(len(found) - _MOST, 0))


def _pairs(evidence: Evidence) -> list[_Pair]:
    """For each variant the nearest strategy of its kind that has the seed's values wherever the two differ."""
    known = [
        (str(one["name"]), str(one["use"]), flat(one.get("config") or {}))
        for one in evidence.manifest["strategies"]
        if one["name"] in evidence.strategies and one["use"] in SEED_USES
    ]
    found: list[_Pair] = []
    for name, use, config in known:
        candidates = []
        for base, base_use, before in known:
            changed = [key for key in config if config[key] != before.get(key)] if base_use == use and base != name else []
            if changed and all(before.get(key) == seed_value(use, key) for key in changed):
                candidates.append((len(changed), base, changed))
        if candidates:
            _, base, changed = min(candidates, key=lambda one: one[0])
            both = {
                key: value for key, value in config.items() if key not in changed and seed_value(use, key) not in (value, UNKNOWN)
            }
            found.append(_Pair(name, base, use, {key: config[key] for key in changed}, both))
    return found


def _default(evidence: Evidence, pair: _Pair, rows: Sequence[Compared]) -> Default:
    tried = listed([f"{key_in_file(key)} {setting_text(key, value)}" for key, value in pair.tried.items()])
    seeds = listed([_seeds(pair.use, key) for key in pair.tried])
    delivery = [one for one in rows if one.name in DELIVERY]
    cost = next((one for one in rows if one.name == COST[0]), None)
    better, worse = ([one for one in delivery if one.shown == side] for side in ("better", "worse"))
    # what an interval shows by itself does not make a verdict, but keeps one from being made against it
    lean_better, lean_worse = ([one for one in delivery if one.leaning == side] for side in ("better", "worse"))
    against = f"{tried} in its place ({pair.other} against {pair.seeds})"
    also = listed([f"{key_in_file(key)} {setting_text(key, value)}" for key, value in pair.both.items()])
    against = f"{against[:-1]}, both with {also})" if also else against
    if len(pair.tried) > 1:
        against = against.replace("in its place", "in their place, changed together")
    if evidence.drives == 1:
        shown, said = "no evidence", "one drive tells nothing apart"
    elif (better and lean_worse) or (worse and lean_better):
        shown, said = "points both ways", f"better: {_list(lean_better)}; worse: {_list(lean_worse)}"
    elif better:
        shown, said = "not the best here", _list(better)
    elif worse:
        shown, said = "the better one here", _list(worse)
    elif delivery and all(one.shown == "no difference" for one in delivery):
        shown, said = "made no difference here", "what arrives and the recovery are the same in every drive"
    else:
        shown, said = "no evidence", _open(delivery)
    text = f"With {against}: {said}.{_price(evidence, cost)}"
    if len(pair.tried) > 1 and (better or worse):
        text += " How much of it is due to which, these runs do not show."
    return Default(
        seeds, shown, text + (f" {_JITTER}" if _is_jitter(pair) and evidence.run.vehicles["vehicle"].n_unique() == 1 else "")
    )


def _seeds(use: str, key: str) -> str:
    """A default by name and value, and in words where the value alone says little: "backoff.policy exponential (no jitter)"."""
    text = f"{key_in_file(key)} {setting_text(key, seed_value(use, key))}"
    return f"{text} ({_PLAIN_NAMES[key]})" if key in _PLAIN_NAMES else text


def _is_jitter(pair: _Pair) -> bool:
    return "jitter" in str(pair.tried.get("backoff.policy", ""))


def _list(rows: Sequence[Compared]) -> str:
    return ", ".join(str(one) for one in rows)


def _open(rows: Sequence[Compared]) -> str:
    """The first of the differences that may be chance."""
    some = [one for one in rows if one.shown == "no evidence"]
    if not some:
        return "nothing to compare"
    return f"not told apart, {_list(some[:2])}"


def _price(evidence: Evidence, cost: Compared | None) -> str:
    if cost is None or cost.shown in ("no difference", "no evidence"):
        return "" if cost is None else " No difference in data is shown."
    mean, whole = cost.found.interval.mean, (evidence.interval(cost.b, cost.name) or {}).get("mean")
    if mean is not None and whole and abs(mean) < NEXT_TO_NOTHING * float(whole):
        return f" In data they differ by less than {percent(NEXT_TO_NOTHING)}."
    return f" It takes {'less' if cost.shown == 'better' else 'more'}: {cost}."


def _not_tried(evidence: Evidence, pairs: Sequence[_Pair]) -> list[NotTried]:
    """The advised changes that no pair shows alone. Empty without an MQTT connection of the seed's kind to try them on."""
    names = [
        str(one["name"]).partition(" ")[0]  # a variant made by --vary bears its values after the name
        for one in evidence.manifest["strategies"]
        if one["name"] in evidence.strategies and one["use"] in _ON
    ]
    if not names:
        return []
    command = str(evidence.manifest.get("command") or "")
    command = command if command.startswith("python -m sim run ") else "python -m sim run FILE"
    found = []
    for keys, words, option, values in _ADVISED:
        if any(set(pair.tried) <= keys for pair in pairs):
            continue
        together = any(keys & set(pair.tried) for pair in pairs)
        why = "changed together with others only" if together else "not tried here"
        found.append(NotTried(words, why, f"{command} --vary {shlex.quote(f'{names[0]}.{option}={values}')}"))
    return found
