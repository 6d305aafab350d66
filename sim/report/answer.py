"""The answer of a run in a sentence or two, as far as the evidence carries it, and what kind of case it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.measure.metrics_catalog import metric
from sim.report.evidence import Evidence
from sim.report.numbers import NBSP, difference, listed, percent, significant, valued, with_interval

#: What strategies are told apart by, the first that does decides.
PRIMARY = ("all.delivered_within_60s", "all.delivered_within_10s", "all.latency_s.mean_capped")
COST = "mb_per_vehicle_month"

_NAMES = {
    "all.delivered_within_60s": f"delivery within 60{NBSP}s",
    "all.delivered_within_10s": f"delivery within 10{NBSP}s",
    "all.latency_s.mean_capped": "mean latency",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`headline` is the finding, `support` the sentences under it, `case` what kind of case it was; all plain text."""

    headline: str
    support: tuple[str, ...]
    case: tuple[str, ...]


def answer(evidence: Evidence) -> Answer:
    """Which strategy, on which metric, by how much, at what cost; or that the evidence does not tell them apart."""
    contenders = [name for name in evidence.strategies if not evidence.is_baseline(name)] or list(evidence.strategies)
    headline, support = _finding(evidence, contenders)
    baselines = [name for name in evidence.strategies if name not in contenders]
    if baselines:
        support.append(_baselines(evidence, baselines))
    return Answer(headline, tuple(line for line in support if line), tuple(_case(evidence)))


def drives_in_words(evidence: Evidence) -> str:
    n = evidence.drives
    return "one drive" if n == 1 else f"the same {n} drives"


def _finding(evidence: Evidence, contenders: list[str]) -> tuple[str, list[str]]:
    usable = [name for name in PRIMARY if any(evidence.interval(one, name) for one in contenders)]
    if not usable:
        return _without_messages(evidence, contenders)
    if len(contenders) == 1:
        only = contenders[0]
        value = with_interval(usable[0], evidence.interval(only, usable[0]))
        drives = "one drive" if evidence.drives == 1 else f"{evidence.drives} drives"
        headline = f"{only} delivered {value} of its messages within 60{NBSP}s, on {drives}."
        return headline, [_mean_latency(evidence, only), _costs(evidence, only)]
    group, behind = list(contenders), []
    for name in usable:
        leading = evidence.leaders(name, group)
        if not leading:
            continue
        for one in group:
            if one not in leading:
                behind.append((one, name, leading[0]))
        if len(leading) == 1:
            return _winner(evidence, leading[0], name, [one for one in group if one != leading[0]], behind)
        group = leading
    return _tie(evidence, group, usable, behind)


def _winner(
    evidence: Evidence, best: str, name: str, rivals: list[str], behind: list[tuple[str, str, str]]
) -> tuple[str, list[str]]:
    means = {one: (evidence.interval(one, name) or {}).get("mean") for one in rivals}
    known = [one for one in rivals if means[one] is not None]
    sign = -1.0 if metric(name).better == "higher" else 1.0
    rival = min(known, key=lambda one: sign * float(means[one] or 0.0)) if known else rivals[0]
    comparison = evidence.paired(name, best, rival)
    by = difference(name, comparison.interval.mean, comparison.interval.low, comparison.interval.high)
    word = "less" if metric(name).better == "lower" else "more"
    value = with_interval(name, evidence.interval(best, name))
    headline = f"{best} is best on {_NAMES[name]}: {value}, {by} {word} than {rival}, on {drives_in_words(evidence)}."
    support = [_costs(evidence, best, rival)]
    earlier = [(one, on, leader) for one, on, leader in behind if on != name]
    same = [one for one in rivals if one != rival]
    if same:
        values = listed([f"{one} {with_interval(name, evidence.interval(one, name))}" for one in same])
        support.append(f"The others on {_NAMES[name]}: {values}.")
    support += _fallen_behind(evidence, earlier)
    return headline, support


def _tie(
    evidence: Evidence, group: list[str], usable: Sequence[str], behind: list[tuple[str, str, str]]
) -> tuple[str, list[str]]:
    if evidence.drives == 1:
        values = listed([f"{one} {with_interval(usable[0], evidence.interval(one, usable[0]))}" for one in group])
        headline = f"One drive does not separate strategies. On it, {_NAMES[usable[0]]} was: {values}."
    else:
        names = listed([_NAMES[name] for name in usable])
        headline = (
            f"The evidence does not separate {listed(group)}: on {drives_in_words(evidence)} none is shown to be better than"
            f" the others on {names}."
        )
    details = []
    for one in group:
        said = [f"{_NAMES[name]} {with_interval(name, evidence.interval(one, name))}" for name in usable if evidence.interval(one, name)]
        cost = evidence.interval(one, COST)
        if cost is not None and cost["mean"] is not None:
            said.append(f"{with_interval(COST, cost)} per vehicle and month")
        details.append(f"{one}: {', '.join(said)}.")
    return headline, [*details, *_fallen_behind(evidence, behind)]


def _without_messages(evidence: Evidence, contenders: list[str]) -> tuple[str, list[str]]:
    reach = [one for one in contenders if (evidence.of(one)["reachability"] or {}).get("n")]
    if not reach:
        return "No message was created in this run, so there is nothing to compare.", []
    values = listed([f"{one} {with_interval('reachability', evidence.interval(one, 'reachability'))}" for one in reach])
    return f"No message but the lab's own probes was sent. Share of the probes answered in time: {values}.", []


def _mean_latency(evidence: Evidence, strategy: str) -> str:
    name = "all.latency_s.mean_capped"
    found = evidence.interval(strategy, name)
    return f"Its mean latency was {with_interval(name, found)}." if found else ""


def _costs(evidence: Evidence, best: str, rival: str | None = None) -> str:
    """What the strategy costs, beside its rival's cost where the evidence tells them apart."""
    cost = evidence.interval(best, COST)
    if cost is None or cost["mean"] is None:
        return ""
    text = f"It costs {with_interval(COST, cost)} per vehicle and month"
    if rival is not None:
        compared = evidence.paired(COST, best, rival)
        if compared.verdict == "no evidence" or compared.interval.mean is None:
            text += f", not told apart from {rival}"
        else:
            more = "less" if compared.interval.mean < 0 else "more"
            text += f", {difference(COST, compared.interval.mean, compared.interval.low, compared.interval.high)} {more} than {rival}"
    hours = float(evidence.metrics["method"]["hours_a_day"])
    return f"{text}, at {hours:g}{NBSP}h of driving a day."


def _fallen_behind(evidence: Evidence, behind: Sequence[tuple[str, str, str]]) -> list[str]:
    lines = []
    for one, name, leader in behind:
        compared = evidence.paired(name, one, leader).interval
        word = "less" if metric(name).better == "higher" else "more"
        by = difference(name, compared.mean, compared.low, compared.high)
        value = with_interval(name, evidence.interval(one, name))
        lines.append(f"{one} falls behind on {_NAMES[name]}: {value}, {by} {word} than {leader}.")
    return lines


def _baselines(evidence: Evidence, baselines: list[str]) -> str:
    name = PRIMARY[0]
    said = [f"{one} {with_interval(name, evidence.interval(one, name))}" for one in baselines if evidence.interval(one, name)]
    return f"Baselines, delivery within 60{NBSP}s: {listed(said)}." if said else ""


def _case(evidence: Evidence) -> list[str]:
    drive = evidence.metrics["drive"]
    n = int(drive["drives"])
    length = f" of {significant(drive['distance_km'])}{NBSP}km" if drive.get("distance_km") else ""
    lines = [
        f"{n} drive{'s' if n != 1 else ''}{length} in {significant(drive['duration_s'] / 60.0)}{NBSP}min, each with on average"
        f" {significant(drive['handovers'])} handovers, {significant(drive['reassignments'])} address changes and"
        f" {significant(drive['lossy_s'])}{NBSP}s in which the link lost every packet."
    ]
    low, high = drive["measured_reassignments_per_100km"]
    rate = drive.get("reassignments_per_100km")
    if rate is None:
        lines.append("Positions are unknown, so the address changes cannot be set against the measured range per 100 km.")
    else:
        text = f"{significant(rate)} address changes per 100{NBSP}km, measured range {low:g} to {high:g}"
        where = "above it: a stress case." if rate > high else "below it: a calm case." if rate < low else "inside it."
        lines.append(f"{text}: {where}")
    access = str(drive.get("access") or "")
    if access:
        lines.append(_ACCESS.get(access, f"Access: {access}."))
    return lines


_ACCESS = {
    "cgnat": "Access through carrier-grade NAT: the server cannot connect to the vehicle, strategies that need it deliver nothing.",
    "private_apn": "Access through a private APN: the server can connect to the vehicle's address.",
    "public": "Public addresses: the server can connect to the vehicle.",
}


def objective_rows(evidence: Evidence) -> list[dict[str, str]]:
    """The objectives with their verdicts, for the page."""
    rows = []
    for one in evidence.metrics["objectives"]:
        name = str(one["metric"])
        words = []
        for part in str(one["bound"]).split(", "):
            side, _, number = part.partition(" ")
            if number:
                value = percent(float(number)) if metric(name).unit == "share" else valued(name, float(number))
                words.append(f"{side.replace('_', ' ')} {value}")
        found = {"mean": one["value"], "low": one["low"], "high": one["high"], "note": one.get("note", "")}
        rows.append(
            {
                "strategy": str(one["strategy"]),
                "metric": name,
                "doc": metric(name).doc,
                "bound": " and ".join(words),
                "value": with_interval(name, found),
                "verdict": str(one["verdict"]),
            }
        )
    return rows
