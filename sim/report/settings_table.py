"""Variants of a strategy: what each one changes, what that did to delivery and cost, and how to set it in a real client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.report.configuration import key_in_file
from sim.report.evidence import Evidence
from sim.report.knobs import SEED_USES, UNKNOWN, flat, mosquitto_lines, paste_line, seed_value
from sim.report.numbers import difference, percent
from sim.report.verdicts import NEXT_TO_NOTHING

#: metric -> what is said of it, in the order in which effects are listed.
EFFECTS = {
    "all.delivered_within_60s": "within 60 s",
    "all.delivered_within_10s": "within 10 s",
    "all.latency_s.mean_capped": "mean latency",
    "recovery_s.mean": "recovery",
    "reachability": "reachable",
}
COST = "mb_per_vehicle_month"


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting by its name in the scenario file: the seed's value, the base's and the variant's, and the line to paste."""

    name: str
    seed: str
    base: str
    value: str
    paste: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A strategy that differs from `base`, the first of the run of its kind; `base` is empty where there is none."""

    name: str
    base: str
    knobs: tuple[Knob, ...]
    effects: tuple[str, ...]
    cost: str


def variants(evidence: Evidence) -> list[Variant]:
    """The variants of the run, in its order. Effects are paired differences on the same drives."""
    found: list[Variant] = []
    before: list[Mapping[str, Any]] = []  # the entries so far that another can be a variant of
    for entry in evidence.manifest["strategies"]:
        name, use = str(entry["name"]), str(entry["use"])
        if name not in evidence.strategies or use == "client":  # a program's settings are its own
            continue
        config = flat(entry.get("config") or {})
        base = _base(use, config, before)
        before.append(entry)
        if base is None:
            # the first of its kind is a variant too where it departs from the seed, and nothing is there to compare it with
            changed = {key: seed_value(use, key) for key, value in config.items() if seed_value(use, key) != value}
            changed = {key: value for key, value in changed.items() if use not in SEED_USES or value is not UNKNOWN}
            if changed:
                found.append(Variant(name, "", _knobs(use, config, changed), (), ""))
            continue
        settings, base_name = flat(base.get("config") or {}), str(base["name"])
        changed = {key: settings.get(key, UNKNOWN) for key, value in config.items() if settings.get(key, UNKNOWN) != value}
        effects = tuple(text for key, words in EFFECTS.items() if (text := _effect(evidence, key, name, base_name, words)))
        knobs = _knobs(str(base["use"]), config, changed)
        found.append(Variant(name, base_name, knobs, effects, _effect(evidence, COST, name, base_name, "", True)))
    return found


def _base(use: str, config: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What a strategy is a variant of: the first of its kind; of a user's own also the first whose settings it has all of."""
    same = next((one for one in before if str(one["use"]) == use), None)
    if same is not None or use in SEED_USES:
        return same
    return next((one for one in before if one.get("config") and set(flat(one["config"])) <= set(config)), None)


def _knobs(use: str, config: Mapping[str, Any], changed: Mapping[str, Any]) -> tuple[Knob, ...]:
    rows, pasted = [], set()
    for key, base in changed.items():
        line = paste_line(key, config[key], config)
        seed = seed_value(use, key)
        rows.append(
            Knob(
                key_in_file(key),
                "" if seed is UNKNOWN else setting_text(key, seed),
                "" if base is UNKNOWN else setting_text(key, base),
                setting_text(key, config[key]),
                "" if line in pasted else line,
            )
        )
        pasted.add(line)
    return tuple(rows)


def setting_text(path: str, value: Any) -> str:
    """A value as the scenario file writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(part) for part in value)}]"
    if path.endswith("_s") and isinstance(value, int | float):
        return f"{value:g} s" if value < 1e6 else f"{value:,.0f} s"
    return str(value)


def _effect(evidence: Evidence, name: str, variant: str, base: str, words: str, cost: bool = False) -> str:
    """A paired difference with its interval and what it shows: "mean latency: −53 ms (−67 to −41), better"."""
    compared = evidence.paired(name, variant, base)
    interval = compared.interval
    if interval.mean is None:
        return ""
    if interval.mean == 0.0 and interval.low is None:
        return "no difference" if cost else f"{words}: no difference"
    text = difference(name, interval.mean, interval.low, interval.high, signed=True)
    verdict = {"better": "better", "worse": "worse"}.get(compared.verdict, "one drive" if evidence.drives == 1 else "no evidence")
    if not cost:
        return f"{words}: {text}, {verdict}"
    whole = (evidence.interval(base, name) or {}).get("mean")
    little = verdict in ("better", "worse") and whole and abs(interval.mean) < NEXT_TO_NOTHING * float(whole)
    less = f" by less than {percent(NEXT_TO_NOTHING)}" if little else ""
    return f"{text}, {verdict.replace('better', 'cheaper').replace('worse', 'dearer')}{less}"


def paste_block(found: list[Variant]) -> str:
    """Lines for a paho-mqtt 2 client, under a comment that names the variants they belong to; empty where there are none."""
    blocks: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        lines = tuple(knob.paste for knob in one.knobs if knob.paste)
        if lines:
            blocks.setdefault(lines, []).append(one.name)
    return "\n".join("\n".join((f"# {'; '.join(names)}", *lines)) for lines, names in blocks.items())


def broker_lines(evidence: Evidence) -> list[str]:
    """What the scenario changed of the broker, as lines of mosquitto.conf."""
    return mosquitto_lines(evidence.manifest.get("settings", {}).get("server", {}).get("broker", {}))
