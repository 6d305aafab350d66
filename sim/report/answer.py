"""The answer of a run in two sentences, as far as the evidence carries it, what stands behind it, and what kind of case it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.measure.cost import has_parking
from sim.measure.metrics_catalog import metric
from sim.report.evidence import Evidence
from sim.report.numbers import NBSP, difference, listed, mean_in_words, percent, seconds, significant, valued, with_interval
from sim.report.verdicts import NEXT_TO_NOTHING

#: What strategies are told apart by, the first that does decides.
PRIMARY = ("all.delivered_within_60s", "all.delivered_within_10s", "all.latency_s.mean_capped")
COST = "mb_per_vehicle_month"
OVERHEAD = "overhead_mb_per_vehicle_month"
_MOST_LINES = 4

_NAMES = {
    "all.delivered_within_60s": f"delivery within 60{NBSP}s",
    "all.delivered_within_10s": f"delivery within 10{NBSP}s",
    "all.latency_s.mean_capped": "mean latency",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer is two sentences: `headline`, the finding, and `cost`, what it costs ("" where that says nothing).

    `support` are the others beside it, `case` what kind of case it was. All plain text.
    """

    headline: str
    cost: str
    support: tuple[str, ...]
    case: tuple[str, ...]


def answer(evidence: Evidence) -> Answer:
    """Which strategy, on which metric, by how much, at what cost; or that the evidence does not tell them apart."""
    contenders = [name for name in evidence.strategies if not evidence.is_baseline(name)] or list(evidence.strategies)
    headline, cost, support = _finding(evidence, contenders)
    baselines = [name for name in evidence.strategies if name not in contenders]
    if baselines:
        support.append(_baselines(evidence, baselines))
    support += [f"{line[0].upper()}{line[1:]}." for line in evidence.metrics.get("warnings", [])]
    support += [f"Warning: {line}." for line in evidence.manifest.get("scenario_warnings", [])]
    return Answer(headline, cost, tuple(line for line in support if line), tuple(_case(evidence)))


def drives_in_words(evidence: Evidence) -> str:
    n = evidence.drives
    return "one drive" if n == 1 else f"the same {n} drives"


#: The two sentences of the answer, and what stands behind them.
Finding = tuple[str, str, list[str]]


def _finding(evidence: Evidence, contenders: list[str]) -> Finding:
    usable = [name for name in PRIMARY if any(evidence.interval(one, name) for one in contenders)]
    if not usable:
        return _without_messages(evidence, contenders)
    if len(contenders) == 1:
        only = contenders[0]
        drives = "one drive" if evidence.drives == 1 else f"{evidence.drives} drives"
        headline = f"{only} on {drives}: {_numbers(evidence, only, usable[:1])}."
        return headline, _costs(evidence, only), [_mean_latency(evidence, only)]
    group, behind = list(contenders), []
    for name in usable:
        leading = evidence.leaders(name, group)
        if not leading:
            continue
        best = evidence.best(name, group)
        for one in group:
            if one not in leading:
                behind.append((one, name, best))
        if len(leading) == 1:
            return _winner(evidence, leading[0], name, [one for one in group if one != leading[0]], behind)
        group = leading
    return _tie(evidence, group, usable, behind)


def _winner(evidence: Evidence, best: str, name: str, rivals: list[str], behind: list[tuple[str, str, str]]) -> Finding:
    rival = _nearest(evidence, rivals, name)
    value = with_interval(name, evidence.interval(best, name))
    by = _by(evidence, name, best, rival)
    headline = f"{best} is best on {_NAMES[name]}: {value}, {by}, on {drives_in_words(evidence)}."
    support = []
    earlier = [(one, on, leader) for one, on, leader in behind if on != name]
    same = [one for one in rivals if one != rival]
    if same:
        values = _values(evidence, same, name)
        support.append(f"The others on {_NAMES[name]}: {values}.")
    support += _fallen_behind(evidence, earlier)
    return headline, _costs(evidence, best, rival), support


def _nearest(evidence: Evidence, rivals: Sequence[str], name: str) -> str:
    """The best of those that are behind."""
    sign = -1.0 if metric(name).better == "higher" else 1.0
    means = {one: (evidence.interval(one, name) or {}).get("mean") for one in rivals}
    known = [one for one in rivals if means[one] is not None]
    return min(known, key=lambda one: sign * float(means[one] or 0.0)) if known else rivals[0]


def _by(evidence: Evidence, name: str, best: str, rival: str) -> str:
    """By how much: "50 ms (40–62) less than mqtt_persistent"."""
    found = evidence.paired(name, best, rival).interval
    word = "less" if metric(name).better == "lower" else "more"
    return f"{difference(name, found.mean, found.low, found.high)} {word} than {rival}"


def _tie(evidence: Evidence, group: list[str], usable: Sequence[str], behind: list[tuple[str, str, str]]) -> Finding:
    drives, rival = drives_in_words(evidence), ""
    equal = _equal(evidence, group, usable)
    costs_equal = equal and _equal(evidence, group, (COST, OVERHEAD))
    if evidence.drives == 1:
        name = next((name for name in usable if _differ(evidence, group, name)), usable[0])
        values = _values(evidence, group, name)
        headline = f"One drive is no evidence for one strategy over another. On it, {_NAMES[name]} was: {values}."
    elif equal and len(group) > 1:
        if behind:
            _, name, _ = behind[-1]
            rival = _nearest(evidence, [one for one, on, _ in behind if on == name], name)
            said = (
                f"{_NAMES[name]} {with_interval(name, evidence.interval(group[0], name))}, {_by(evidence, name, group[0], rival)}"
            )
            ahead = " and are ahead of the others"
        else:
            said, ahead = _numbers(evidence, group[0], usable), ""
        headline = f"{listed(group)} delivered alike in each of {evidence.drives} drives{ahead}: {said}."
    else:
        name = behind[-1][1] if behind else usable[0]
        if len(group) > 2:
            values = f"{len(group)} of {len(evidence.strategies)} strategies, from {_range(evidence, group, name)}"
        else:
            values = _values(evidence, group, name)
        lead = (
            f"On {drives}, {_NAMES[name]} was best with" if behind else f"No strategy stands out on {drives}: {_NAMES[name]} of"
        )
        headline = f"{lead} {values}; the evidence does not tell them apart."
    details = [] if equal else [f"{one}: {_numbers(evidence, one, usable, cost=True)}." for one in group[:_MOST_LINES]]
    if evidence.drives == 1:
        cost = ""
    else:
        cost = _costs(evidence, group[0], rival, each=True) if costs_equal else _range_of_costs(evidence, group)
    return headline, cost, [*details, *_fallen_behind(evidence, behind)]


def _equal(evidence: Evidence, group: Sequence[str], usable: Sequence[str]) -> bool:
    """Whether all of a group have the same value in every drive, of each of these metrics."""
    return all(evidence.vectors[one][name] == evidence.vectors[group[0]][name] for one in group for name in usable)


def _range(evidence: Evidence, group: Sequence[str], name: str) -> str:
    """The lowest and the highest mean of a group, each with its interval."""
    found = [found for one in group if (found := evidence.interval(one, name)) and found["mean"] is not None]
    if not found:
        return "unknown"
    low, high = (with_interval(name, pick(found, key=lambda one: one["mean"])) for pick in (min, max))
    return f"{low} to {high}"


def _values(evidence: Evidence, group: Sequence[str], name: str) -> str:
    """Strategies with their value of a metric, the best first; of many the first three."""
    sign = -1.0 if metric(name).better == "higher" else 1.0
    known = [
        (sign * float(found["mean"]), place, one)
        for place, one in enumerate(group)
        if (found := evidence.interval(one, name)) and found["mean"] is not None
    ]
    words = [f"{one} {with_interval(name, evidence.interval(one, name))}" for _, _, one in sorted(known)]
    if len(words) > _MOST_LINES:
        words = [*words[:3], f"{len(words) - 3} more"]
    return listed(words)


def _numbers(evidence: Evidence, strategy: str, usable: Sequence[str], cost: bool = False) -> str:
    known = [name for name in usable if evidence.interval(strategy, name)]
    said = [f"{_NAMES[name]} {with_interval(name, evidence.interval(strategy, name))}" for name in known]
    spent = evidence.interval(strategy, COST)
    if cost and spent is not None and spent["mean"] is not None:
        said.append(f"{with_interval(COST, spent)} per vehicle and month, messages included")
    return ", ".join(said)


def _differ(evidence: Evidence, group: Sequence[str], name: str) -> bool:
    return len({(evidence.interval(one, name) or {}).get("mean") for one in group}) > 1


def _without_messages(evidence: Evidence, contenders: list[str]) -> Finding:
    reach = [one for one in contenders if (evidence.of(one)["reachability"] or {}).get("n")]
    if not reach:
        return "No message was created in this run, so there is nothing to compare.", "", []
    values = listed([f"{one} {with_interval('reachability', evidence.interval(one, 'reachability'))}" for one in reach])
    return f"No message but the lab's own probes was sent. Share of the probes answered in time: {values}.", "", []


def _mean_latency(evidence: Evidence, strategy: str) -> str:
    name = "all.latency_s.mean_capped"
    found = evidence.interval(strategy, name)
    return f"Its mean latency was {with_interval(name, found)}." if found else ""


_OVERHEAD = "of it is overhead: handshakes, keep alive, polls, messages sent again"


def _costs(evidence: Evidence, best: str, rival: str = "", *, each: bool = False) -> str:
    """What the strategy sends, beside its rival's data where the evidence tells them apart, and how much is not the messages."""
    cost, overhead = evidence.interval(best, COST), evidence.interval(best, OVERHEAD)
    if cost is None or cost["mean"] is None:
        return ""
    who = "Each of them" if each else "It"
    text = f"{who} sends {with_interval(COST, cost)} per vehicle and month, at {_driving(evidence)}"
    if rival:
        compared = evidence.paired(COST, best, rival)
        if compared.verdict == "no evidence" or compared.interval.mean is None:
            text += f", not told apart from {rival}"
        else:
            more = "less" if compared.interval.mean < 0 else "more"
            found = compared.interval
            if abs(compared.interval.mean) < NEXT_TO_NOTHING * float(cost["mean"]):
                text += f", to within {percent(NEXT_TO_NOTHING)} what {rival} sends"
            else:
                text += f", {difference(COST, found.mean, found.low, found.high)} {more} than {rival}"
    if overhead is None or overhead["mean"] is None:
        return f"{text}."
    return f"{text}; {with_interval(OVERHEAD, overhead)} {_OVERHEAD}."


def _range_of_costs(evidence: Evidence, group: Sequence[str]) -> str:
    """The least and the most that a group sends, and how much of it is not the messages."""
    spans = []
    for name in (COST, OVERHEAD):
        known = [found for one in group if (found := evidence.interval(one, name)) and found["mean"] is not None]
        if known:
            low, high = (mean_in_words(name, pick(known, key=lambda found: found["mean"])) for pick in (min, max))
            spans.append(low if low == high else f"{low} to {high}")
    if len(spans) < 2:
        return ""
    return f"They send {spans[0]} per vehicle and month, at {_driving(evidence)}; {spans[1]} {_OVERHEAD}."


def _driving(evidence: Evidence) -> str:
    if has_parking(evidence.run.vehicles):
        return "the pace of this drive, parking included"
    return f"{float(evidence.metrics['method']['hours_a_day']):g}{NBSP}h of driving a day"


def _fallen_behind(evidence: Evidence, behind: Sequence[tuple[str, str, str]]) -> list[str]:
    lines: list[str] = []
    rest: Sequence[tuple[str, str, str]] = ()
    if len(behind) > _MOST_LINES:
        behind, rest = behind[: _MOST_LINES - 1], behind[_MOST_LINES - 1 :]
    for one, name, leader in behind:
        compared = evidence.paired(name, one, leader).interval
        word = "less" if metric(name).better == "higher" else "more"
        by = difference(name, compared.mean, compared.low, compared.high)
        value = with_interval(name, evidence.interval(one, name))
        lines.append(f"{one} falls behind on {_NAMES[name]}: {value}, {by} {word} than {leader}.")
    if rest:
        lines.append(f"Behind as well, see the table: {listed([one for one, _, _ in rest])}.")
    return lines


def _baselines(evidence: Evidence, baselines: list[str]) -> str:
    name = PRIMARY[0]
    said = [f"{one} {with_interval(name, evidence.interval(one, name))}" for one in baselines if evidence.interval(one, name)]
    return f"Baselines, delivery within 60{NBSP}s: {listed(said)}." if said else ""


def _case(evidence: Evidence) -> list[str]:
    drive = evidence.metrics["drive"]
    n = int(drive["drives"])
    length = f" of {significant(drive['distance_km'])}{NBSP}km" if drive.get("distance_km") else ""
    happened = listed(
        [
            _counted(drive["handovers"], "handover"),
            _counted(drive["reassignments"], "address change"),
            f"{seconds(drive['lossy_s'])} in which the link lost every packet",
        ]
    )
    each = "with" if n == 1 else "each with on average"
    lines = [f"{n} drive{'s' if n != 1 else ''}{length} in {seconds(drive['duration_s'])}, {each} {happened}."]
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


def _counted(value: float, word: str) -> str:
    return f"{significant(value)} {word}{'' if value == 1.0 else 's'}"


_ACCESS = {
    "cgnat": "Access through carrier-grade NAT: the server cannot connect to the vehicle, and strategies that need it fail.",
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
