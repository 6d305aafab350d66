"""What a fleet's report says in sentences: the answer, what stands for what, and what to see in each figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.measure.fleet import CUTTING, SATURATED_SHARE
from sim.measure.stats import rank_quantile
from sim.measure.support import least_drives
from sim.report.captions import names
from sim.report.evidence import Evidence
from sim.report.fleet_run import FleetRun
from sim.report.numbers import NBSP, count, difference, instant, listed, percent, seconds, significant, with_interval

BACK = "fleet.back_s.p95"


def whole(value: float) -> str:
    """A number of vehicles, connections or messages."""
    return count(round(value)) if value >= 100.0 else significant(value)


def cut_off_by(fleet: FleetRun) -> str:
    """The kind of the fault that cut off most; "" where none cut off anybody."""
    kinds = [storm.fault.kind.replace("_", " ") for ones in fleet.storms.values() for storm in ones]
    return max(sorted(set(kinds)), key=kinds.count) if kinds else ""


def headline(evidence: Evidence, fleet: FleetRun) -> str:
    """Who brings the fleet back how fast; where nobody was cut off, what the nodes had to do."""
    with_storm = [name for name in fleet.strategies if fleet.storms[name]]
    if not with_storm:
        return _without_a_storm(evidence, fleet)
    ordered = sorted(with_storm, key=lambda name: _mean(evidence, name, BACK))
    first, *others = ordered
    text = f"After the {cut_off_by(fleet)} {_back(evidence, first, subject=True)} with {first}"
    if others:
        shown = others if len(others) <= 2 else [others[-1]]
        text += "; " + "; ".join(f"with {name} {_back(evidence, name)}" for name in shown)
        text += f" (slowest of {len(ordered)})" if len(others) > 2 else ""
    return text + "."


def _without_a_storm(evidence: Evidence, fleet: FleetRun) -> str:
    """What the strategies differ in where no fault cut anybody off: the update, else connections lost; and delivery."""
    return f"{_update(evidence, fleet) or _nobody_cut_off(evidence, fleet)} {_delivery(evidence, fleet)}"


def _nobody_cut_off(evidence: Evidence, fleet: FleetRun) -> str:
    """That no fault cut anybody off, and the connections that were lost all the same."""
    why = "no fault of this run cut anybody off" if _any_faults(fleet) else "no fault happens in this run"
    lost = {name: _mean(evidence, name, "reconnections") / fleet.scale for name in fleet.strategies}
    if not any(lost.values()):
        return f"Nobody had to come back: {why}."
    said = [f"{whole(n)} with {name}" for name, n in list(lost.items())[:4]]
    return f"{why[0].upper()}{why[1:]}; connections given up or lost, and made anew: {listed(said)}."


def _update(evidence: Evidence, fleet: FleetRun) -> str:
    """How long the update takes; "" where there is none."""
    times, missed = [], []
    for name in fleet.strategies[:4]:
        took, arrived = evidence.interval(name, "ota.complete_s"), evidence.interval(name, "ota.completed_share")
        if took is not None and took["mean"] is not None:
            times.append(f"{with_interval('ota.complete_s', took)} with {name}")
        elif arrived is not None and arrived["mean"] is not None:
            missed.append(f"with {name} it is not complete everywhere by the end, {_share(arrived)} of it arrive")
    said = [f"the update takes {listed(times)}, the mean of the vehicles"] if times else []
    text = "; ".join([*said, *missed])
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _share(interval: Mapping[str, Any]) -> str:
    return percent(round(float(interval["mean"]), 6))


def everybody(evidence: Evidence, fleet: FleetRun) -> list[str]:
    """When all are back, and how many are not; where no fault cut anybody off, what the answer does not say of that."""
    if not any(fleet.storms.values()):
        return [_nobody_cut_off(evidence, fleet)] if _update(evidence, fleet) else []
    said = []
    for name in [name for name in fleet.strategies if fleet.storms[name]][:4]:
        last, missing = evidence.interval(name, "fleet.back_s.max"), evidence.interval(name, "fleet.not_back")
        if last is not None and last["mean"] is not None:
            said.append(f"with {name} all are back within {with_interval('fleet.back_s.max', last)}")
        elif missing is not None and missing["mean"] is not None:
            cut = _mean(evidence, name, "fleet.cut_off")
            of = f" of {whole(cut)}" if math.isfinite(cut) else ""
            said.append(f"with {name} {whole(float(missing['mean']))}{of} are not back by the end of their run")
    text = "; ".join(said)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def verdicts(evidence: Evidence, fleet: FleetRun) -> list[str]:
    """What the paired differences say of the time until 95 % are back, where there are replications enough to say anything."""
    if fleet.replications < least_drives():
        return []
    lines = []
    for one in [one for one in evidence.metrics["comparisons"] if one["metric"] == BACK][:4]:
        if one["difference"] is None:
            continue
        by = difference(BACK, one["difference"], one["low"], one["high"], signed=True)
        said = "no evidence of a difference"
        if one["verdict"] != "no evidence":
            alone = "also among all comparisons of this run" if one["holds"] else "but not among all comparisons of this run"
            said = f"{one['verdict']}, {alone} (Holm)"
        lines.append(f"{one['a']} against {one['b']}, on the same vehicles, 95{NBSP}% back: {by}; {said}.")
    return lines


def _any_faults(fleet: FleetRun) -> bool:
    return bool((fleet.run.disruptions["vehicle"] == -1).any())


def _mean(evidence: Evidence, name: str, metric: str) -> float:
    found = evidence.interval(name, metric)
    return math.inf if found is None or found["mean"] is None else float(found["mean"])


def _back(evidence: Evidence, name: str, subject: bool = False) -> str:
    """ "half of the fleet is back within 122 s and 95 % within 186 s"; with its intervals where there are any."""
    half, most = (evidence.interval(name, f"fleet.back_s.{which}") for which in ("p50", "p95"))
    of = " of the vehicles cut off are back" if subject else ""
    if half is None or half["mean"] is None:
        return f"not even half{of or ' are back'} by the end of the run"
    text = f"half{of} within {with_interval('fleet.back_s.p50', half)}"
    if most is None or most["mean"] is None:
        return f"{text}, and 95{NBSP}% not by the end of the run"
    return f"{text} and 95{NBSP}% within {with_interval(BACK, most)}"


def _delivery(evidence: Evidence, fleet: FleetRun) -> str:
    for metric, what, within in (
        ("diagnostics.delivered_within_10s", "diagnostics", 10),
        ("all.delivered_within_60s", "messages", 60),
    ):
        shares = {name: evidence.interval(name, metric) for name in fleet.strategies}
        said = [f"{_share(one)} with {name}" for name, one in shares.items() if one is not None and one["mean"] is not None]
        if said:
            return f"Of the {what} {listed(said[:4])} are delivered within {within}{NBSP}s."
    return "No message was created."


def peaks(evidence: Evidence, fleet: FleetRun) -> list[str]:
    """What the nodes met at most, and what they can do."""
    can = fleet.capacity
    if can is None and fleet.shares_cells:
        return ["The vehicles share cells and no nodes: each has the nodes to itself, so that nobody waits there."]
    if can is None:
        return [
            "The vehicles share nothing (shared: []): each has the nodes to itself, so that there are no queues and no peaks."
        ]
    if fleet.idle:
        return [idle_nodes(fleet)]
    labels = [fleet.strategies[0]] if fleet.mixed else fleet.strategies
    asked = _each(evidence, fleet, labels, "fleet.connections_per_s", "/s")
    shaken = _each(evidence, fleet, labels, "fleet.handshakes_per_s", "/s")
    lines = [f"Peak of connections asked for, at all nodes: {asked}; they accept {whole(can.connections_per_s)}/s."]
    if can.handshakes_per_s is not None:
        cores = f"{can.cores} core{'s' if can.cores > 1 else ''} each"
        lines.append(
            f"Peak of TLS handshakes: {shaken}; {nodes(fleet)} with {cores} can compute"
            f" {whole(can.handshakes_per_s)}/s and admit {whole(can.connects_per_s)} CONNECTs/s."
        )
    return lines


def nodes(fleet: FleetRun) -> str:
    """ "1 node", "8 nodes"."""
    n = len(fleet.nodes["names"])
    return f"{n} node{'s' if n > 1 else ''}"


def idle_nodes(fleet: FleetRun) -> str:
    """One sentence in the place of figures of nodes that have next to nothing to do."""
    most = max((float(share.max()) for one in fleet.courses.values() for share in one.busy.values()), default=0.0)
    busy = percent(round(most, 3))
    return f"The nodes are not what it hangs on: nobody waits there, and none is busy for more than {busy} of a second."


def who_is_cut_off(fleet: FleetRun) -> list[str]:
    """Who counts as cut off and as back; nothing where no fault cut anybody off."""
    if not any(fleet.storms.values()):
        return []
    kinds = {storm.fault.kind for ones in fleet.storms.values() for storm in ones}
    within = listed(sorted({"before it was over" if CUTTING.get(kind) is None else "within 1 s of its start" for kind in kinds}))
    several = " Of several faults it is the one that cut off most." if len(fleet.faults) > 1 else ""
    return [
        f"Cut off are vehicles that drove and were connected when the fault began and lost that connection {within}; one may lose"
        f" it to the road and not to the fault.{several} All times back are of all that were cut off: who has no connection until"
        " the end of its run (its drive and the drain) is not back, also where it arrived meanwhile."
    ]


def _each(evidence: Evidence, fleet: FleetRun, labels: list[str], metric: str, unit: str) -> str:
    said = []
    for name in labels[:4]:
        found = evidence.interval(name, metric)
        value, _, bounds = with_interval(metric, found).partition(" (")
        value += unit if found is not None and found["mean"] is not None else ""
        value += f" ({bounds}" if bounds else ""
        said.append(value if fleet.mixed or len(labels) == 1 else f"{value} with {name}")
    return listed(said)


def what_stands_for_what(fleet: FleetRun) -> list[str]:
    """What is simulated and what the numbers are of."""
    n, simulated = fleet.vehicles, fleet.simulated
    if simulated == n:
        return [f"All {count(n)} vehicles are simulated: every number is counted, none is scaled."]
    ratio = n / simulated
    if not fleet.courses:
        return [
            f"{count(simulated)} vehicles are simulated of a fleet of {count(n)}; numbers of vehicles and messages on this page"
            f" are the fleet's: what was counted, times {significant(ratio, 4)}."
        ]
    return [
        f"{count(simulated)} simulated vehicles stand for a fleet of {count(n)}, each for {significant(ratio, 4)}. What a node"
        f" can do in a second, and how many may wait there, is divided by {significant(ratio, 4)} too, so that they meet the same"
        " queues as the whole fleet would.",
        "Numbers of vehicles, connections and messages on this page are the fleet's: what was counted, times"
        f" {significant(ratio, 4)}. They move in steps of {significant(ratio, 4)}, and a peak in a single second is only as"
        " fine as that.",
    ]


# --- captions -------------------------------------------------------------------------------------------------------------


def clock_words(fleet: FleetRun) -> str:
    return "" if fleet.replications == 1 else f" Shown is the first of {fleet.replications} replications."


def connected_caption(fleet: FleetRun) -> str:
    lowest = {}
    for name, share in fleet.connected.items():
        known = np.where(np.isnan(share), np.inf, share)
        at = int(known.argmin())
        lowest[name] = (float(known[at]), float(fleet.edges_s[at]))
    ups = {name: fleet.regained_s(name) for name in fleet.strategies}
    if fleet.faults and any(ups.values()):
        said = [f"after {seconds(after)} with {name}" for name, after in list(ups.items())[:4] if after is not None]
        never = [name for name, after in ups.items() if after is None]
        text = f"The share connected is 95{NBSP}% again {listed(said)}, counted from the start of the fault."
        text += f" With {names(never)} it is not." if never else ""
        text += " It is of all on the road then, those too who set out after the fault; times back are of those cut off."
    else:
        name = min(lowest, key=lambda one: lowest[one][0])
        fewest, at_s = lowest[name]
        text = f"The fewest are connected with {name} at {instant(at_s)}: {percent(round(fewest, 4))} of those on the road."
    return text + " The end of the line is where few are on the road any more." + clock_words(fleet)


def requests_caption(fleet: FleetRun) -> str:
    can, courses = fleet.capacity, fleet.courses
    assert can is not None
    most = max(courses, key=lambda name: float(courses[name].asked.max()))
    asked = courses[most].asked
    at_s = float(fleet.edges_s[int(asked.argmax())])
    times = float(asked.max()) / can.connections_per_s
    how = f"{significant(times, 2)} times what they accept" if times >= 1.0 else f"{percent(round(times, 3))} of what they accept"
    with_whom = "" if fleet.mixed or len(courses) == 1 else f" with {most}"
    text = f"The most are asked for{with_whom} at {instant(at_s)}: {whole(float(asked.max()))} in a second, {how}."
    over = {name: int((one.asked > can.connections_per_s).sum()) for name, one in courses.items()}
    if any(over.values()):
        said = [
            f"{n:,}{NBSP}s{'' if fleet.mixed or len(courses) == 1 else f' with {name}'}" for name, n in list(over.items())[:4]
        ]
        text += f" More come than the nodes accept for {listed(said)}."
    if can.handshakes_per_s is not None:
        peak = max(float(one.handshakes.max()) for one in courses.values())
        text += f" Handshakes reach {percent(round(peak / can.handshakes_per_s, 3))} of what the CPUs can compute."
    return text + " A SYN that is repeated is counted again." + clock_words(fleet)


_STATION_WORDS = {"accept": "to be accepted", "cpu": "for the CPU", "connect": "to be admitted"}


def queue_caption(fleet: FleetRun) -> str:
    can, courses = fleet.capacity, fleet.courses
    assert can is not None
    bounds = {"accept": can.backlog, "connect": can.connect_queue, "cpu": None}
    parts = []
    for station, words in _STATION_WORDS.items():
        values = {name: float(one.waiting[station].max()) for name, one in courses.items() if station in one.waiting}
        if not values:
            continue
        most = max(values, key=lambda name: values[name])
        bound = bounds[station]
        may = "" if bound is None else f" ({whole(bound)} may)"
        parts.append(f"{whole(values[most])} {words}{may}")
    text = f"At the fullest node at most {listed(parts)} wait."
    dropped = {"SYNs are dropped": "accept", "CONNECTs turned away": "connect"}
    said = []
    for words, station in dropped.items():
        n = fleet.load.filter((fleet.load["station"] == station) & fleet.load["turn_s"].is_null()).height
        if n:
            said.append(f"{whole(n / fleet.scale)} {words}")
    if said:
        every = "" if fleet.mixed or len(courses) == 1 else " with all strategies"
        text += f" What finds a queue full is refused: {listed(said)}{every}."
    return text + clock_words(fleet)


def busy_caption(fleet: FleetRun) -> str:
    parts = []
    for station, words in (("cpu", "CPU"), ("connect", "admission")):
        full = {name: one.full_s[station] for name, one in fleet.courses.items() if station in one.full_s}
        if not full:
            continue
        if not any(full.values()):
            most = max(float(one.busy[station].max()) for one in fleet.courses.values() if station in one.busy)
            parts.append(f"The {words} is never full, {percent(round(most, 3))} at most")
            continue
        said = [f"{n:,}{NBSP}s{'' if fleet.mixed or len(full) == 1 else f' with {name}'}" for name, n in list(full.items())[:4]]
        parts.append(f"The {words} of a node is full for up to {listed(said)}")
    what = ". ".join(parts)
    return f"{what}.{held_up(fleet)}{clock_words(fleet)}"


_HOLDS = {"accept": "accepting connections", "cpu": "the CPU", "connect": "the admission of CONNECTs"}


def held_up(fleet: FleetRun) -> str:
    """What holds the fleet up: what is full for most of the time until 95 % are back, or else the waits of the backoff."""
    whom: dict[str, list[str]] = {}
    for name in fleet.strategies:
        full = fleet.held_up_by(name)
        if full is None:
            continue
        parts = [f"{words} ({percent(round(full[station], 2))} of it)" for station, words in _HOLDS.items() if station in full]
        whom.setdefault(listed(parts), []).append(name)
    said = []
    until = f"for most of the time until 95{NBSP}% are back (or the last one that comes back)"
    for what, strategies in whom.items():
        if what:
            said.append(f" With {names(strategies)} it is this that is full {until}: {what}.")
        else:
            said.append(
                f" With {names(strategies)} nothing at the nodes is full {until}: what holds the fleet up is the waits of its"
                " backoff."
            )
    return "".join(said)


def cells_caption(fleet: FleetRun) -> str:
    """How full the busiest cell is in each direction."""
    parts = []
    for direction, shares in fleet.air.items():
        full = {name: int((share >= SATURATED_SHARE).sum()) for name, share in shares.items()}
        if any(full.values()):
            said = [f"{n:,}{NBSP}s{'' if len(full) == 1 else f' with {name}'}" for name, n in list(full.items())[:4]]
            parts.append(f"The {direction} of the busiest cell is full for {listed(said)}.")
        else:
            most = max(float(share.max(initial=0.0)) for share in shares.values())
            parts.append(f"The {direction} is never full, {percent(round(most, 3))} of a second at most.")
    down, up = (float(fleet.settings[f"cell_{direction}_bps"]) / 1e6 for direction in ("downlink", "uplink"))
    carries = f" A cell carries {significant(down)}{NBSP}Mbit/s down and {significant(up)}{NBSP}Mbit/s up."
    return " ".join(parts) + carries + clock_words(fleet)


def back_caption(fleet: FleetRun) -> str:
    curves = {name: back for name in fleet.strategies if len(back := fleet.back_s(name))}
    halves = {name: rank_quantile(back, 50) or math.inf for name, back in curves.items()}
    ordered = sorted(halves, key=lambda name: halves[name])
    first, last = ordered[0], ordered[-1]

    def said(name: str) -> str:
        return (
            "half are not back by the end of their run"
            if math.isinf(halves[name])
            else f"half are back after {seconds(halves[name])}"
        )

    text = f"With {first} {said(first)}"
    text += f", with {last} {said(last)}." if last != first else "."
    never = {name: float(np.isinf(back).mean()) for name, back in curves.items() if np.isinf(back).any()}
    if never:
        parts = [f"{percent(round(share, 5))} of {name}" for name, share in list(never.items())[:4]]
        text += f" The gap to 100{NBSP}% are vehicles that had no connection until the end of their run: {listed(parts)}."
    steps = [name for name in ordered if _in_steps(curves[name])]
    if steps:
        text += f" The curve of {names(steps)} rises in steps: vehicles that were cut off together try again together."
    pooled = "" if fleet.replications == 1 else f" A line is all {fleet.replications} replications together."
    return text + " Back is who has a connection that is ready; the share is of all that were cut off." + pooled


def _in_steps(back_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the return stands still for a while and goes on, more than once: no vehicle for a tenth of the time."""
    there = back_s[np.isfinite(back_s)]
    if len(there) < 200:
        return False
    middle = there[len(there) // 50 : -max(len(there) // 50, 1)]
    gaps = np.diff(middle)
    return int((gaps > 0.05 * (middle[-1] - middle[0])).sum()) >= 2
