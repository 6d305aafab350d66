"""What a fleet's report says in sentences: the answer, what stands for what, and what to see in each figure."""

from __future__ import annotations

import math

import numpy as np

from sim.measure.fleet import SATURATED_SHARE
from sim.measure.stats import rank_quantile
from sim.measure.support import least_drives
from sim.report.captions import names
from sim.report.evidence import Evidence
from sim.report.fleet_run import FleetRun
from sim.report.numbers import NBSP, count, difference, instant, listed, percent, seconds, significant, with_interval

BACK = "fleet.back_s.p95"
_LEAST_IN_A_QUEUE = 10  # simulated vehicles: with fewer one vehicle more or less is what fills it


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
        why = "no fault happens in this run" if not _any_faults(fleet) else "no fault of this run cut anybody off"
        return f"Nobody had to come back: {why}. {_delivery(evidence, fleet)}"
    ordered = sorted(with_storm, key=lambda name: _mean(evidence, name, BACK))
    first, *others = ordered
    text = f"After the {cut_off_by(fleet)} {_back(evidence, first, subject=True)} with {first}"
    if others:
        shown = others if len(others) <= 2 else [others[-1]]
        text += "; " + "; ".join(f"with {name} {_back(evidence, name)}" for name in shown)
        text += f" (slowest of {len(ordered)})" if len(others) > 2 else ""
    return text + "."


def everybody(evidence: Evidence, fleet: FleetRun) -> list[str]:
    """When all are back, and how many are not."""
    said = []
    for name in [name for name in fleet.strategies if fleet.storms[name]][:4]:
        last, missing = evidence.interval(name, "fleet.back_s.max"), evidence.interval(name, "fleet.not_back")
        if last is not None and last["mean"] is not None:
            said.append(f"with {name} all are back within {with_interval('fleet.back_s.max', last)}")
        elif missing is not None and missing["mean"] is not None:
            cut = _mean(evidence, name, "fleet.cut_off")
            of = f" of {whole(cut)}" if math.isfinite(cut) else ""
            said.append(f"with {name} {whole(float(missing['mean']))}{of} are not back by the end of the run")
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
    shares = {name: evidence.interval(name, "all.delivered_within_60s") for name in fleet.strategies}
    known = {name: one for name, one in shares.items() if one is not None and one["mean"] is not None}
    if not known:
        return "No message was created."
    said = [f"{percent(float(one['mean']))} with {name}" for name, one in list(known.items())[:4]]
    return f"Of the messages {listed(said)} are delivered within 60{NBSP}s."


def peaks(evidence: Evidence, fleet: FleetRun) -> list[str]:
    """What the nodes met at most, and what they can do."""
    can = fleet.capacity
    if can is None:
        return [
            "The vehicles share nothing (shared: []): each has the nodes to itself, so that there are no queues and no peaks."
        ]
    labels = [fleet.strategies[0]] if fleet.mixed else fleet.strategies
    asked = _each(evidence, fleet, labels, "fleet.connections_per_s", "/s")
    shaken = _each(evidence, fleet, labels, "fleet.handshakes_per_s", "/s")
    lines = [f"Peak of connections asked for, at all nodes: {asked}; they accept {whole(can.connections_per_s)}/s."]
    if can.handshakes_per_s is not None:
        cores = f"{can.cores} core{'s' if can.cores > 1 else ''} each"
        lines.append(
            f"Peak of TLS handshakes: {shaken}; {len(fleet.nodes['names'])} nodes with {cores} can compute"
            f" {whole(can.handshakes_per_s)}/s and admit {whole(can.connects_per_s)} CONNECTs/s."
        )
    return lines


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


def cautions(fleet: FleetRun) -> list[str]:
    """What the evidence does not carry."""
    return _few_replications(fleet) + _few_simulated(fleet)


def _few_simulated(fleet: FleetRun) -> list[str]:
    """Where a queue of the nodes is so short of simulated vehicles that chance fills it."""
    can = fleet.capacity
    if can is None or fleet.scale == 1.0:
        return []
    shortest = min(can.backlog, can.connect_queue or math.inf)
    if round(shortest * fleet.scale, 6) >= _LEAST_IN_A_QUEUE:
        return []
    wanted = min(fleet.vehicles, math.ceil(_LEAST_IN_A_QUEUE / shortest * fleet.vehicles))
    return [
        f"Few are simulated: a queue of {whole(shortest)} at a node is {significant(shortest * fleet.scale, 2)} simulated"
        f" vehicles long, so that chance fills it; refusals and peaks are coarse. From {count(wanted)} simulated on it holds"
        f" {_LEAST_IN_A_QUEUE}."
    ]


def _few_replications(fleet: FleetRun) -> list[str]:
    n, least = fleet.replications, least_drives()
    if n == 1:
        return [
            f"One replication: values without intervals, and no verdict. What differs here may be chance; {least} replications"
            " are the least that can tell strategies apart."
        ]
    if n < least:
        return [f"{n} replications: intervals are narrow for lack of evidence, and no verdict; {least} are the least."]
    return []


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
        said = [f"{seconds(after)} with {name}" for name, after in list(ups.items())[:4] if after is not None]
        never = [name for name, after in ups.items() if after is None]
        text = f"From the start of the fault it takes {listed(said)} until 95{NBSP}% of those on the road are connected again."
        text += f" With {names(never)} that is not reached." if never else ""
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
    cpu = max((float(one.busy["cpu"].max()) for one in fleet.courses.values() if "cpu" in one.busy), default=0.0)
    admission = max((float(one.busy["connect"].max()) for one in fleet.courses.values() if "connect" in one.busy), default=0.0)
    tight = ""
    if admission >= SATURATED_SHARE > cpu:
        tight = " It is the admission of CONNECTs that holds the fleet up, not the handshakes."
    elif cpu >= SATURATED_SHARE > admission:
        tight = " It is the handshakes that hold the fleet up, not the admission of CONNECTs."
    return f"{what}.{tight}{clock_words(fleet)}"


def back_caption(fleet: FleetRun) -> str:
    curves = {name: back for name in fleet.strategies if len(back := fleet.back_s(name))}
    halves = {name: rank_quantile(back, 50) or math.inf for name, back in curves.items()}
    ordered = sorted(halves, key=lambda name: halves[name])
    first, last = ordered[0], ordered[-1]

    def said(name: str) -> str:
        return "half are not back in the run" if math.isinf(halves[name]) else f"half are back after {seconds(halves[name])}"

    text = f"With {first} {said(first)}"
    text += f", with {last} {said(last)}." if last != first else "."
    never = {name: float(np.isinf(back).mean()) for name, back in curves.items() if np.isinf(back).any()}
    if never:
        parts = [f"{percent(round(share, 5))} of {name}" for name, share in list(never.items())[:4]]
        text += f" The gap to 100{NBSP}% are vehicles that did not come back in the run: {listed(parts)}."
    steps = [name for name in ordered if _in_steps(curves[name])]
    if steps:
        text += f" The curve of {names(steps)} rises in steps: vehicles that were cut off together try again together."
    pooled = "" if fleet.replications == 1 else f" A line is all {fleet.replications} replications together."
    return text + " Back is who has a connection that is ready; vehicles that arrive before are left out." + pooled


def _in_steps(back_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the return stands still for a while and goes on, more than once: no vehicle for a tenth of the time."""
    there = back_s[np.isfinite(back_s)]
    if len(there) < 200:
        return False
    middle = there[len(there) // 50 : -max(len(there) // 50, 1)]
    gaps = np.diff(middle)
    return int((gaps > 0.05 * (middle[-1] - middle[0])).sum()) >= 2
