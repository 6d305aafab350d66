"""The configuration that the evidence supports among those run, with numbers and cost beside the seed's defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from sim.measure.metrics_catalog import metric
from sim.measure.stats import CONFIDENCE
from sim.measure.support import drives_to_decide, least_drives
from sim.report.configuration import by_hand, client_lines, departures, is_seeds_own, key_in_file, scenario_entry
from sim.report.evidence import Evidence
from sim.report.numbers import NBSP, difference, listed, with_interval
from sim.report.settings_table import setting_text
from sim.report.verdicts import COST, DELIVERY, WORDS, Compared, compared, has_data

_PROTECTED = "all.latency_s.mean_capped"
_ROWS = (*DELIVERY, "recovery_s.p95", *COST)
_SHORT = (DELIVERY[0], _PROTECTED, "recovery_s.mean", *COST)
_POOLED = "recovery_s.p95"  # of all drives together: the difference of two such is not one of drives
_MOST_DRIVES = 1000  # more would hardly be run; the limit of --precision too
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A metric of the supported configuration and of what it is set against, and their paired difference."""

    metric: str
    heading: str
    value: str
    reference: str
    difference: str
    shown: str


@dataclass(frozen=True, slots=True)
class Supported:
    """`verdict` is one sentence, `reasons` stand behind it, `decide` says what would settle what is open.

    `strategy` is empty where the evidence supports none. `rows` set it, or the best of those that are not told apart, against
    `reference`, the seed's defaults where they were run. `entry`, `client` and `by_hand` are the configuration to paste.
    """

    verdict: str
    strategy: str = ""
    reference: str = ""
    reasons: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    decide: tuple[str, ...] = ()
    entry: str = ""
    client: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is left after the metrics were asked in turn; `name` is the last that left somebody behind.

    `behind`: who fell behind, and by what. `both_ways`: who would have, but does better on a metric asked before (that one, and
    the later one). `open_`: what told nobody apart, of those that are left.
    """

    group: list[str]
    name: str
    behind: dict[str, Compared]
    both_ways: dict[str, tuple[Compared, Compared]]
    open_: list[Compared]


def supported(evidence: Evidence) -> Supported:
    """The configuration the evidence supports; where it supports none, that, and what would decide.

    A configuration is supported where it leads on the first metric that tells the candidates apart: what arrives, then how soon
    the vehicle is back, and only among those not told apart in that, what it takes. Each is compared with the best in turn, as
    in Hsu's multiple comparisons with the best (Annals of Statistics 12, 1984): the best is then dropped by chance in one run
    of twenty at most.
    """
    contenders = [name for name in evidence.strategies if not evidence.is_baseline(name)]
    only_baselines = not contenders
    contenders = contenders or list(evidence.strategies)
    delivery, cost = ([name for name in names if has_data(evidence, name, contenders)] for names in (DELIVERY, COST))
    if not any(name.startswith("all.") and name != "all.lost" for name in delivery):
        return Supported("No message but the lab's own probes was sent: the evidence supports no configuration over another.")
    if len(contenders) == 1:
        return _alone(evidence, contenders[0])
    aside = "Only baselines were run. " if only_baselines else ""
    family = (len(contenders) - 1) * (len(delivery) + len(cost))
    if evidence.drives < least_drives(family):
        return _too_few(evidence, contenders, family, aside)
    chosen = _choose(evidence, contenders, delivery, family)
    by_cost = len(chosen.group) > 1 and not chosen.both_ways
    final = _choose(evidence, chosen.group, cost, family, delivery) if by_cost else chosen
    correction = (
        f"{aside}Each candidate is compared with the best; what is said to differ does so at 95{NBSP}% after correction for all"
        f" {family} comparisons (Bonferroni). What is not told apart is not shown to be equal."
    )
    last = final if final.behind else chosen
    same = not final.both_ways and _gave_the_same(evidence, final.group, (*delivery, *cost), family)
    if len(final.group) > 1 and not (same and last.behind):
        return _none(evidence, final, chosen, correction, family)
    best = min(final.group, key=lambda one: len(departures(_entry(evidence, one))))
    twins = [one for one in final.group if one != best]
    reference = _reference(evidence, best, [one for one in contenders if one not in twins], last.name)
    reasons = [_dropped(chosen)] if chosen.behind else []
    if last is not chosen:
        reasons.append(_not_told_apart(evidence, best, [one for one in chosen.group if one not in final.group], delivery))
    reasons += [*_dearer_for(evidence, best, contenders, cost, family), correction]
    return Supported(
        _verdict(evidence, best, twins, last, last is not chosen, reference),
        best,
        reference,
        tuple(reasons),
        _rows(evidence, best, reference, family),
        (),
        *_to_paste(evidence, best),
    )


def _gave_the_same(evidence: Evidence, group: Sequence[str], names: Sequence[str], family: int) -> bool:
    """Whether a group has the same values in every drive, of everything that was asked."""
    found = [compared(evidence, name, one, group[0], family) for one in group[1:] for name in names]
    return all(one is not None and one.shown == "no difference" for one in found)


def _entry(evidence: Evidence, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(one for one in evidence.manifest["strategies"] if one["name"] == name)
    return found


def _to_paste(evidence: Evidence, name: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    entry = _entry(evidence, name)
    if str(entry["use"]) == "client":  # a program's settings are its own
        return "", (), ()
    return scenario_entry(entry), tuple(client_lines(entry)), tuple(by_hand(entry))


def _choose(
    evidence: Evidence, contenders: Sequence[str], names: Sequence[str], family: int, asked: Sequence[str] = ()
) -> _Choice:
    """Ask the metrics in turn, each of those that the ones before did not tell from the best; `asked` were asked already.

    What is behind on one metric stays where its own interval, uncorrected, has it ahead of the same rival on an earlier one: then
    the evidence points both ways, and a correction that is meant to prevent claims must not make one.
    """
    group, decided, behind, both_ways, open_ = list(contenders), "", {}, {}, []
    for place, name in enumerate(names):
        best = _best(evidence, group, name)
        left = []
        for one in group:
            found = None if one == best else compared(evidence, name, one, best, family)
            if found is not None and found.shown == "worse":
                before = [compared(evidence, earlier, one, best, family) for earlier in (*asked, *names[:place])]
                ahead = next((early for early in before if early is not None and early.leaning == "better"), None)
                if ahead is None:
                    behind[one], decided = found, name
                    continue
                both_ways[one] = (ahead, found)
            elif found is not None and found.shown == "no evidence":
                open_.append(found)
            left.append(one)
        group = left
        if len(group) == 1:
            break
    pairs = {one: found for one, found in both_ways.items() if one in group and len(group) > 1}
    return _Choice(group, decided, behind, pairs, [one for one in open_ if one.a in group and one.b in group])


def _best(evidence: Evidence, group: Sequence[str], name: str) -> str:
    """The best mean over the drives; the first of those that have it."""
    sign = -1.0 if metric(name).better == "higher" else 1.0

    def mean(one: str) -> float:
        values = [min(value, evidence.horizon_s) if metric(name).unit == "s" else value for value in _known(evidence, one, name)]
        return sign * math.fsum(values) / len(values)

    return min(group, key=mean)


def _known(evidence: Evidence, strategy: str, name: str) -> list[float]:
    return [value for value in evidence.vectors[strategy][name] if value is not None]


def _reference(evidence: Evidence, best: str, contenders: Sequence[str], name: str) -> str:
    """What to set it against: the seed's defaults of its kind, those of another kind, or what departs least from them.

    The seed's defaults themselves stand against the best of the others in the metric `name`.
    """
    others = [one for one in evidence.strategies if one in contenders and one != best]
    entries = [_entry(evidence, one) for one in others]
    if is_seeds_own(_entry(evidence, best)) and not any(map(is_seeds_own, entries)):
        return _best(evidence, others, name)
    use = _entry(evidence, best)["use"]
    order = sorted(
        range(len(entries)),
        key=lambda at: (not is_seeds_own(entries[at]), entries[at]["use"] != use, len(departures(entries[at])), at),
    )
    return str(entries[order[0]]["name"]) if order else ""


def _kind_of_reference(evidence: Evidence, best: str, name: str) -> str:
    """How the reference is called: with the seed's defaults, or in what it departs from them."""
    entry = _entry(evidence, name)
    if is_seeds_own(_entry(evidence, best)):
        return name
    if is_seeds_own(entry):
        return f"{name}, the seed's defaults"
    mine = departures(entry)
    if not mine:
        return name
    said = [f"{key_in_file(key)} {setting_text(key, value)}" for key, value in mine.items()]
    return f"{name} (the seed's defaults were not run; it has {listed(said[:3] if len(said) <= 3 else [*said[:2], 'more'])})"


def _numbers(evidence: Evidence, strategy: str, names: Sequence[str]) -> str:
    values = ((name, (evidence.pooled if name == _POOLED else evidence.interval)(strategy, name)) for name in names)
    return "; ".join(f"{WORDS[name]} {with_interval(name, found)}" for name, found in values if found is not None)


def _alone(evidence: Evidence, only: str) -> Supported:
    seeds = " with the seed's defaults" if is_seeds_own(_entry(evidence, only)) else ""
    return Supported(
        f"Only {only}{seeds} was run, beside no other candidate: the evidence supports no configuration over another.",
        reasons=(f"Its numbers: {_numbers(evidence, only, _ROWS)}.",),
        decide=("A second candidate on the same drives would: another strategy, or a setting varied with --vary.",),
    )


def _too_few(evidence: Evidence, contenders: Sequence[str], family: int, aside: str) -> Supported:
    drives = "One drive" if evidence.drives == 1 else f"{evidence.drives} drives"
    need = least_drives(family)
    return Supported(
        f"{aside}{drives} cannot tell {len(contenders)} configurations apart: the evidence supports none of them over another.",
        decide=(
            f"{family} comparisons at once need {need} drives or more, with fewer equal signs may be chance:"
            f" --replications {need}.",
        ),
    )


def _none(evidence: Evidence, final: _Choice, chosen: _Choice, correction: str, family: int) -> Supported:
    """Several are left: none of them is supported over the others, though all may be over those that fell behind."""
    group = final.group
    seeds = [one for one in group if is_seeds_own(_entry(evidence, one))]
    names = listed(group) if len(group) <= _MOST_NAMED else f"{len(group)} configurations, among them {listed(group[:3])},"
    apart = "points both ways between" if final.both_ways else "does not tell apart"
    verdict = f"The evidence {apart} {names}: it supports none of them over the others"
    leave = f", and gives no reason to leave the seed's defaults ({listed(seeds)})." if seeds and not final.both_ways else "."
    reasons = [_dropped(chosen)] if chosen.behind else []
    for ahead, found in list(final.both_ways.values())[:_MOST_NAMED]:
        reasons.append(f"{found.a} is behind {found.b} in {found}, and ahead of it in {ahead}, by that interval alone.")
    if final is not chosen and final.behind:
        reasons.append(f"Not told from them in what arrives, but taking more: {_said(final.behind, group)}.")
    reasons += [f"{one}: {_numbers(evidence, one, _SHORT)}." for one in group[:_MOST_NAMED]]
    return Supported(
        f"{verdict}{leave}",
        reasons=(*reasons, correction),
        decide=tuple(_would_decide(evidence, [one for one in chosen.open_ if {one.a, one.b} <= set(group)], group, family)),
    )


def _would_decide(evidence: Evidence, open_: Sequence[Compared], group: Sequence[str], family: int) -> list[str]:
    """How many drives would tell the nearest open difference from none, all comparisons at once."""
    normal = NormalDist()
    tail = (1.0 - CONFIDENCE) / 2.0
    wider = (normal.inv_cdf(tail / family) / normal.inv_cdf(tail)) ** 2  # so many times the drives, for all at once
    needed = [(drives * wider, one) for one in open_ if (drives := drives_to_decide(one.found.interval)) is not None]
    if not needed:
        both = "both" if len(group) == 2 else "all"
        return [f"They {both} gave the same on these drives in what arrives: more of them would hardly tell them apart."]
    estimate, one = min(needed, key=lambda pair: pair[0])
    drives = max(math.ceil(estimate), math.ceil(1.25 * evidence.drives))
    nearest = f"nearest difference, {one} ({one.a} against {one.b})"
    if drives > _MOST_DRIVES:
        return [f"Even the {nearest}, would take more than {_MOST_DRIVES:,} drives to tell from none."]
    return [f"The {nearest}, if it stays so, would be told from none by about {drives:,} drives: --replications {drives}."]


def _verdict(evidence: Evidence, best: str, twins: list[str], final: _Choice, by_cost: bool, reference: str) -> str:
    name = final.name
    value = f"{WORDS[name]} {with_interval(name, evidence.interval(best, name))}"
    rival = reference if reference in final.behind and final.behind[reference].name == name else ""
    rival = rival or _best(evidence, [one for one, found in final.behind.items() if found.name == name], name)
    by = final.behind[rival].found.interval
    amount = difference(name, by.mean, by.low, by.high)
    word = "less" if (by.mean or 0.0) > 0.0 else "more"
    than = _kind_of_reference(evidence, best, rival) if rival == reference else rival
    own = " It is the seed's own configuration." if is_seeds_own(_entry(evidence, best)) else ""
    lead = "Supported by what it takes alone" if by_cost else "Supported"
    who = f"{best}; {listed(twins)} gave the same in every drive" if twins else best
    return f"{lead}: {who}. {value[0].upper()}{value[1:]}, {amount} {word} than {than}.{own}"


def _dropped(chosen: _Choice) -> str:
    """Who fell behind the best, on the metric on which it did."""
    return f"Behind {'it' if len(chosen.group) == 1 else 'them'}: {_said(chosen.behind, chosen.group)}."


def _said(behind: Mapping[str, Compared], ahead: Sequence[str]) -> str:
    """Differences to the one that is `ahead`; where there are several, or it is another, to whom."""
    named = {one: f"{found} against {found.b}" if [found.b] != list(ahead) else str(found) for one, found in behind.items()}
    lines = [f"{one} ({text})" for one, text in named.items()]
    return "; ".join(lines if len(lines) <= _MOST_NAMED else [*lines[:3], f"{len(lines) - 3} more"])


def _not_told_apart(evidence: Evidence, best: str, others: list[str], delivery: Sequence[str]) -> str:
    """How much worse it may be than those it was only cheaper than: the bound that its intervals leave."""
    said = listed(others) if len(others) <= _MOST_NAMED else f"{len(others)} others"
    highs = [evidence.paired(_PROTECTED, best, one).interval.high for one in others] if _PROTECTED in delivery else []
    worst = max((high for high in highs if high is not None), default=0.0)
    bound = f"; its mean latency may be up to {difference(_PROTECTED, worst, None, None)} longer" if worst > 0.0 else ""
    return f"On what arrives it is not told apart from {said}{bound}."


def _dearer_for(evidence: Evidence, best: str, contenders: Sequence[str], cost: Sequence[str], family: int) -> list[str]:
    """Who takes less: the points of the trade-off that the supported one does not dominate."""
    if not cost:
        return []
    cheaper = {}
    for one in contenders:
        found = compared(evidence, cost[0], one, best, family) if one != best else None
        if found is not None and found.shown == "better":
            cheaper[one] = found
    return [f"Taking less, and not supported over it: {_said(cheaper, [best])}."] if cheaper else []


def _rows(evidence: Evidence, best: str, reference: str, family: int) -> tuple[Row, ...]:
    rows = []
    for name in _ROWS:
        of_all = evidence.pooled if name == _POOLED else evidence.interval  # the quantile of all drives together
        mine = of_all(best, name)
        if mine is None:
            continue
        found = compared(evidence, name, best, reference, family) if reference and name != _POOLED else None
        amount, shown = "", ""
        if found is not None:
            interval = found.found.interval
            zero = found.shown == "no difference"
            amount = "" if zero else difference(name, interval.mean, interval.low, interval.high, signed=True)
            shown = found.shown
        theirs = with_interval(name, of_all(reference, name)) if reference else ""
        rows.append(Row(name, WORDS[name], with_interval(name, mine), theirs, amount, shown))
    return tuple(rows)
