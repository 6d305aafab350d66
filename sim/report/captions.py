"""What to see in each figure, said from the data it shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from sim.measure.episode_labels import LABELS
from sim.measure.idle_ends import IDLE_KINDS, idle_kind
from sim.measure.recovery import CUTTING_KINDS
from sim.report.evidence import Evidence
from sim.report.figures_backoff import Attempts, hardest_attempts
from sim.report.figures_drive import unreachable_s
from sim.report.figures_latency import Survival
from sim.report.figures_trade_off import COST, DELIVERY, Point, dominated
from sim.report.figures_zoom import PROLONGING, episode_of
from sim.report.numbers import NBSP, listed, mean_in_words, percent, seconds
from sim.report.palette import FILLS

_MOST_NAMES = 4


def names(found: Sequence[str]) -> str:
    """Names in a sentence; of many the first few and how many more."""
    if len(found) <= _MOST_NAMES + 1:
        return listed(list(found))
    return f"{', '.join(found[:_MOST_NAMES])} and {len(found) - _MOST_NAMES} more"


def _is(found: Sequence[str]) -> str:
    return "is" if len(found) == 1 else "are"


def _least(values: Mapping[str, float], sign: float = 1.0) -> list[str]:
    """The names with the least value (the most with sign -1), equal ones together."""
    least = min(sign * value for value in values.values())
    return [name for name, value in values.items() if math.isclose(sign * value, least, rel_tol=1e-9, abs_tol=1e-12)]


def grey(evidence: Evidence, axis: str, points: Sequence[Point]) -> set[str]:
    """The strategies of the trade-off that the evidence shows to be dominated."""
    return dominated([one.strategy for one in points], axis, lambda name, a, b: evidence.paired(name, a, b).verdict)


def trade_off_caption(evidence: Evidence, axis: str, points: Sequence[Point], beaten: Collection[str]) -> str:
    """Who leads on each axis as far as the evidence goes, and why who is grey."""
    if len(points) < 2:
        return ""
    shown = [one.strategy for one in points]
    good, cheap = evidence.leaders(axis, shown), evidence.leaders(COST, shown)
    what = "Delivery" if axis == DELIVERY else "Latency"
    both = [name for name in good if name in cheap]

    def said(found: Sequence[str]) -> str:
        """The numbers of strategies, where they are the same in all words."""
        words = []
        for one in (one for one in points if one.strategy in found):
            late = percent(one.shortfall[0]) if one.shortfall[0] > 0.0 else "nothing"
            missed = f"{late} late or missing" if axis == DELIVERY else f"mean latency {_mean(evidence, one.strategy, axis)}"
            words.append(f"{_mean(evidence, one.strategy, COST)}, {missed}")
        return f" ({words[0]})" if len(set(words)) == 1 else ""

    if evidence.drives == 1:
        text = "One drive tells nobody from another."
    elif len(good) == len(cheap) == len(points):
        text = "The evidence tells nobody from another on either axis."
    elif both:
        ahead = "ahead" if good == cheap == both else "ahead or level"
        text = f"{names(both)} {_is(both)} {ahead} on both axes{said(both)}."
    else:
        text = f"{what} is best with {names(good)}{said(good)}; the least data is sent by {names(cheap)}{said(cheap)}."
    if beaten:
        who = [name for name in shown if name in beaten]
        text += (
            f" Grey: {names(who)}, on the same drives shown to be worse than another on an axis and better than it in nothing"
            " (data, delivery, latency)."
        )
    bars = any(low != high for one in points for _, low, high in (one.cost, one.shortfall))
    return text + (" Dots are means over the drives, lines their 95 % intervals." if bars else "")


def _mean(evidence: Evidence, strategy: str, name: str) -> str:
    return mean_in_words(name, evidence.interval(strategy, name))


def drive_caption(evidence: Evidence, replication: int) -> str:
    here = evidence.run.disruptions.filter((pl.col("replication") == replication) & (pl.col("vehicle") == 0))
    ends = evidence.run.vehicles.filter(pl.col("replication") == replication)["end_s"]
    here = here.filter(pl.col("start_s") <= (float(ends[0]) if ends.len() else 0.0))
    counted = dict(here.group_by("kind").len().sort("kind").iter_rows())
    words = [f"{n} {_plural(kind, n)}" for kind, n in counted.items()]
    text = f"Drive {replication}: {listed(words)}." if words else f"Drive {replication}: nothing disturbed the link."
    text += _forgotten_in(evidence, replication)
    end_s = float(ends[0]) if ends.len() else 0.0
    totals = {
        name: unreachable_s([one for one in own if one.replication == replication and one.vehicle == 0], end_s)
        for name, own in evidence.episodes.items()
    }
    if any(totals.values()) and len(totals) > 1:
        least, most = _least(totals), _least(totals, -1.0)
        if totals[most[0]] > totals[least[0]]:
            was = "was" if len(least) == 1 else "were"
            parked = bool(evidence.run.timeline["parked"].any())
            when = " in the recovery episodes while driving" if parked else ""
            least_said = f"unreachable for {seconds(totals[least[0]])}{when}" if totals[least[0]] else "reachable throughout"
            most_said = "" if totals[least[0]] else "unreachable "
            text += f" {names(least)} {was} {least_said}, {names(most)} {most_said}for {seconds(totals[most[0]])}."
    if len(evidence.strategies) == 1:
        return text + " Where its line is thin it can be reached, where it is a block it cannot."
    return text + " A thin line is a strategy that can be reached, a block is one that cannot."


_EVENTS = {
    "reassignment": ("address change", "address changes"),
    "rebind": ("NAT rebind", "NAT rebinds"),
    "node_crash": ("crash of a node", "crashes of nodes"),
    "node_upgrade": ("upgrade of a node", "upgrades of nodes"),
    "store_crash": ("crash of the store", "crashes of the store"),
    "dns_outage": ("DNS outage", "DNS outages"),
    "dns_stale": ("stale DNS answer", "stale DNS answers"),
    "api_errors": ("span of API errors", "spans of API errors"),
    "certificate_expiry": ("expired certificate", "expired certificates"),
    "log_gap": ("gap in the log", "gaps in the log"),
    "detach": ("detachment", "detachments"),
    "held": ("time of packets held back", "times of packets held back"),
}


def _plural(kind: str, n: int) -> str:
    one, many = _EVENTS.get(kind, (kind.replace("_", " "), f"{kind.replace('_', ' ')}s"))
    return one if n == 1 else many


def zoom_caption(evidence: Evidence, disruption: Mapping[str, Any]) -> str:
    back: list[tuple[float, str]] = []
    never, survived = [], []
    for name in evidence.strategies:
        one = episode_of(disruption, evidence.episodes[name])
        if one is None:
            survived.append(name)
        elif one.censored:
            never.append(name)
        else:
            back.append((one.end_s - float(disruption["start_s"]), name))
    parts = []
    if back:
        back.sort()
        first, last = back[0][0], back[-1][0]
        alike = [name for length, name in back if length - first < 0.0005]
        order = " first" if len(alike) < len(back) else ""
        parts.append(f"{names(alike)} {_is(alike)} back{order and ' first,'} after {seconds(first)}")
        if order:
            parts.append(f"{back[-1][1]} is back last, after {seconds(last)}")
    if never:
        parts.append(f"{names(never)} {_is(never)} not back before the run ends")
    if survived and not back and not never:
        text = "No path dies for longer than TCP hides, and nothing has to recover."
        if disruption["kind"] in (*CUTTING_KINDS, *PROLONGING):
            text = "It ends no connection of this vehicle."
        return f"{text} {_messages_around(evidence, disruption)}".strip()
    return f"{'; '.join(parts)}. {_messages_around(evidence, disruption)}".strip()


def _messages_around(evidence: Evidence, disruption: Mapping[str, Any]) -> str:
    """The slowest message and the losses among those created from a second before the disruption to a minute after."""
    start = float(disruption["start_s"])
    near = evidence.run.messages.filter(
        (pl.col("replication") == disruption["replication"])
        & (pl.col("vehicle") == disruption["vehicle"])
        & (pl.col("kind") != "probe")
        & pl.col("created_s").is_between(start - 1.0, start + 60.0)
    ).with_columns((pl.col("delivered_s") - pl.col("created_s")).alias("latency_s"))
    lost = near.filter(pl.col("outcome") == "lost").group_by("strategy", maintain_order=True).len().rows()
    text = ""
    slowest = near.filter(pl.col("latency_s").is_not_null()).sort("latency_s", descending=True, maintain_order=True).head(1)
    if slowest.height:
        took = f"took {seconds(float(slowest['latency_s'][0]))}"
        took += f" ({slowest['strategy'][0]})" if len(evidence.strategies) > 1 else ""
        text = f"The slowest message created from then to a minute later {took}"
        text += f"; lost of them: {listed([f'{n} by {name}' for name, n in lost])}." if lost else "; none of them was lost."
    return text


def _who_forgets(evidence: Evidence) -> str:
    return "The carrier's NAT" if idle_kind(evidence.manifest) == "nat_idle" else "The balancer"


def _times(n: int) -> str:
    return f"{n:,} time{'s' if n != 1 else ''}"


def _forgotten_in(evidence: Evidence, replication: int) -> str:
    """Whose silent connection was forgotten in one drive, where that began a recovery: it is no disruption of the drive."""
    said = []
    for name, own in evidence.episodes.items():
        here = [one for one in own if one.replication == replication and one.vehicle == 0]
        n = sum(event.kind in IDLE_KINDS for one in here for event in one.events)
        said += [f"of {name} {_times(n)}"] if n else []
    return f" {_who_forgets(evidence)} forgot a silent connection {listed(said)}." if said else ""


def forgotten_in_words(evidence: Evidence) -> str:
    """How often who forgot the silent connections of which strategy; "" where that did not happen."""
    if not evidence.forgotten:
        return ""
    said = []
    for name, (n, parked) in evidence.forgotten.items():
        when = "" if not parked else " while parked" if parked == n else f" ({parked:,} while parked)"
        said.append(f"{name} {_times(n)}{when}")
    silent = " While parked none counts as a recovery." if any(parked for _, parked in evidence.forgotten.values()) else ""
    return f"{_who_forgets(evidence)} forgot a silent connection, in all drives: {listed(said)}.{silent}"


def recovery_caption(evidence: Evidence) -> str:
    parts = []
    rows = [(name, evidence.of(name)["recovery_s"]) for name in evidence.strategies]
    rows = [(name, numbers) for name, numbers in rows if numbers["n"]]
    means = {name: float(numbers["mean"]) for name, numbers in rows}
    fast, slow = _least(means), _least(means, -1.0)
    took = {name: _mean(evidence, name, "recovery_s.mean") for name in means}
    if fast == slow:
        parts.append(f"{names(fast)} need{'s' if len(fast) == 1 else ''} {took[fast[0]]} on average")
    elif len(evidence.leaders("recovery_s.mean", list(means))) == len(means):
        parts.append(f"Nobody is shown to recover faster than another: {took[fast[0]]} on average with {names(fast)}")
        parts.append(f"{took[slow[0]]} with {names(slow)}")
    else:
        slowest, fastest = (dict(rows)[found[0]]["phases"] for found in (slow, fast))
        label = max(LABELS, key=lambda key: slowest.get(key, 0.0) - fastest.get(key, 0.0))
        less = seconds(fastest[label]) if fastest[label] > 0.0 else "none"
        share = slowest[label] / means[slow[0]]
        spent = (
            f"{'nearly all' if share > 0.985 else percent(round(share, 2))} of that “{FILLS[label].words}”, {less} for {fast[0]}"
        )
        parts.append(f"{names(fast)} recover{'s' if len(fast) == 1 else ''} fastest on average, in {took[fast[0]]}")
        parts.append(f"{names(slow)} slowest, in {took[slow[0]]}: {spent}")
    text = ", ".join(parts) + "."
    censored = [name for name, numbers in rows if numbers["censored"]]
    if censored:
        text += f" For {names(censored)} some episodes did not end in the run; they count up to its end: a lower bound."
    return text


def latency_caption(curves: Sequence[Survival]) -> str:
    late = {}
    for curve in curves:
        within = float((curve.latency_s <= 10.0).sum()) / curve.created
        late[curve.strategy] = 1.0 - within
    never = [curve for curve in curves if curve.never > 1e-12]
    best, worst = _least(late), _least(late, -1.0)[0]
    few = percent(max(late[best[0]], 0.0)) if late[best[0]] > 1e-12 else "none"
    if late[worst] - late[best[0]] < 1e-12:
        whose = "of each strategy " if len(curves) > 1 else ""
        text = f"After 10{NBSP}s {few} of the messages {whose}are still under way or lost."
    else:
        text = f"After 10{NBSP}s {few} of the messages of {names(best)} are still under way or lost"
        text += f", {percent(late[worst])} of those of {worst}."
    if never:
        shares = listed([f"{percent(one.never)} of {one.strategy}" for one in never[:5]])
        text += f" The level ends are messages that never arrived: {shares}."
    lines = "one line is all drives together" if len(curves) > 1 else "all drives together"
    return text + f" Lower is better; {lines}, probes left out."


def ledger_caption(evidence: Evidence, rows: pl.DataFrame) -> str:
    lost = rows.filter(pl.col("fate") == "lost")
    clean = [name for name in evidence.strategies if name not in lost["strategy"].to_list()]
    text = "Every strategy lost messages. " if len(evidence.strategies) > 1 else ""
    if clean:
        text = f"{names(clean)} lost nothing. " if lost.height else "No message was lost. "
    if lost.height:
        causes = lost.group_by("strategy", "cause", maintain_order=True).agg(pl.col("messages").sum())
        top = causes.sort("messages", descending=True, maintain_order=True)
        name, cause, n = top.row(0)
        text += f"The most were lost by {name}: {n:,} to {cause}. "
    doubled = rows.filter(pl.col("fate") == "duplicate").group_by("strategy", maintain_order=True).agg(pl.col("messages").sum())
    if doubled.height:
        text += f"Handed over more than once: {listed([f'{n:,} by {name}' for name, n in doubled.iter_rows()])}. "
    whose = "the strategy's" if len(evidence.strategies) > 1 else "all"
    return text + f"Shares are of {whose} messages, probes left out."


def waits_shown(connections: pl.DataFrame, strategies: Sequence[str]) -> list[Attempts]:
    """The runs of attempts that a ladder can be drawn of: those with a wait in them."""
    return [one for one in hardest_attempts(connections, strategies) if any(row[2] > 0.0 for row in one.rows)]


def backoff_caption(shown: Sequence[Attempts]) -> str:
    most = max(shown, key=lambda one: (one.failed, one.rows[-1][0] - one.rows[0][0]))
    waited = max(row[2] for row in most.rows)
    length = most.rows[-1][1] - most.rows[0][0]
    failed = f"{most.failed} failed attempt{'s' if most.failed != 1 else ''}"
    if len(shown) == 1:
        return (
            f"The hardest series of attempts in any drive was that of {most.strategy} in drive {most.replication}: {failed} over"
            f" {seconds(length)}, the longest wait {seconds(waited)}. A bar is a wait, × a failed attempt with its"
            " duration dotted, the dot the one that got through."
        )
    return (
        f"The longest ladder is that of {most.strategy} in drive {most.replication}: {failed} over {seconds(length)},"
        f" the longest wait {seconds(waited)}. Each panel is the strategy's hardest series of attempts in any drive; a bar is a"
        " wait, × a failed attempt with its duration dotted, the dot the one that got through."
    )


def failures_in_words(evidence: Evidence) -> str:
    """Failed attempts by strategy and purpose."""
    parts = []
    for name in evidence.strategies:
        by_purpose = evidence.of(name)["attempts"]["by_purpose"]
        counts = [(numbers["failed"], numbers["total"], purpose) for purpose, numbers in by_purpose.items()]
        failed = [f"{n:,} of {total:,} {purpose}" for n, total, purpose in counts if n]
        if failed:
            parts.append(f"{name} ({', '.join(failed)})")
    if not parts:
        return "No connection attempt failed, so no wait was ever ordered."
    return f"Failed attempts in all drives: {'; '.join(parts)}."
