"""A recorded drive: what the log holds is replayed, what it does not hold is left open to be modelled."""

from __future__ import annotations

from collections import deque
from math import cos, radians
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.drive.addressing import gateway_names
from sim.drive.config import DriveConfig, Network, Recorded, Silences
from sim.drive.course import Blocked, Course, Key, Steps, instant
from sim.drive.handover import interruption_s
from sim.drive.log import Log, read_log
from sim.drive.rtt import LEAST_BPS
from sim.drive.timeline import Disruption, Floats, LinkState
from sim.parking import Parked, is_parked
from sim.streams import Stream

#: RTT above its floor by no more than this is jitter, not a queue.
JITTER_S = 0.001
#: Holds from this length on are listed as disruptions: shorter ones stay below the least RTO of Linux TCP.
LISTED_S = 0.2
EARTH_M = 6_371_008.8

Intervals = list[tuple[float, float]]


def recorded_course(config: DriveConfig, recorded: Recorded, folder: Path, key: Key) -> Course:
    """Course of a log; `key` is (seed, replication, vehicle). The log has been checked."""
    log, errors = read_log(recorded, folder)
    if log is None:
        raise errors[0]
    time_s, end_s = log.time_s, float(log.time_s[-1])
    # the first row of every second that has one: at most one row a second, whatever the log's rate
    slots = np.unique(np.floor(time_s), return_index=True)[1]
    parked = _parked(log)
    holes = [(float(time_s[i]), float(time_s[i + 1])) for i in np.flatnonzero(np.diff(time_s) > recorded.gap_s).tolist()]
    # a logger that stops with the ignition leaves no gap
    gaps = [(a, b) for a, b in holes if not is_parked(parked, a)]
    detached = _spans(log, "attached")
    cells, serving = _serving(log, gaps, detached)
    rtt = log.numbers.get("rtt")
    rtt_steps: Steps | None = None
    holds: Intervals = []
    if rtt is not None and not np.isnan(rtt).all():
        rtt_steps, holds = floor_and_holds(time_s, rtt, recorded.rtt_floor_window_s)
    draws = Stream(*key, "drive/handover") if config.link.realism else None
    blocked: list[Blocked] = []
    for a, b in gaps:
        what = Disruption("log_gap", a, b, cause="no row in the log")
        blocked.append(Blocked(what, LinkState.LOST, out_of_service=True))
    for a, b in detached:
        what = Disruption("detach", a, min(b, end_s), cause="logged as not attached")
        blocked.append(Blocked(what, LinkState.LOST, out_of_service=True, forever=b > end_s))
    for a, b in holds:
        what = Disruption("held", a, b, cause="RTT above its floor")
        blocked.append(Blocked(what, LinkState.HELD, listed=b - a >= LISTED_S))
    for number, (at_s, before, after, cause) in enumerate(_handovers(log, gaps, detached)):
        # a measured RTT shows the interruption already
        until_s = at_s if rtt_steps is not None else instant(at_s + interruption_s(config.handover, draws, number))
        blocked.append(Blocked(Disruption("handover", at_s, until_s, before, after, cause), LinkState.HELD))
    gateways, prefers = _gateways(log, config.network)
    rsrp = log.numbers.get("rsrp")
    return Course(
        end_s=end_s,
        slot_s=time_s[slots],
        cells=cells,
        serving=serving,
        gateways=gateways,
        prefers=prefers,
        blocked=tuple(blocked),
        track=_track(log),
        rsrp_dbm=None if rsrp is None else Steps(time_s, rsrp),
        rtt_s=rtt_steps,
        downlink_bps=_rate(log, "downlink", config.link.downlink_bps, slots),
        uplink_bps=_rate(log, "uplink", config.link.uplink_bps, slots),
        parked=parked,
        logged_address=_text_steps(time_s, _addresses(log)) if "address" in log.texts else None,
        measured=_measured(log),
        notes=_notes(log, recorded, config, gaps),
    )


def floor_and_holds(time_s: Floats, rtt_s: Floats, window_s: float) -> tuple[Steps, Intervals]:
    """(floor of the RTT over time, merged holds) from rows of RTT, nan where blank.

    The floor f of a row is the least RTT of the `window_s` before it and itself; a row with RTT r blocks the link from its
    time t to t + r - f. A packet sent at t then arrives after r in all, and one that is sent while the queue drains does
    not queue a second time.
    """
    floors = np.empty(len(time_s))
    recent: deque[tuple[float, float]] = deque()  # (time, RTT), RTT rising: the floor is the first one
    floor_s = float(rtt_s[~np.isnan(rtt_s)][0])
    holds: Intervals = []
    for i, (at_s, value) in enumerate(zip(time_s.tolist(), rtt_s.tolist(), strict=True)):
        if value == value:  # not nan
            while recent and recent[-1][1] >= value:
                recent.pop()
            recent.append((at_s, value))
        while len(recent) > 1 and recent[0][0] < at_s - window_s:
            recent.popleft()
        floor_s = recent[0][1] if recent else floor_s
        floors[i] = floor_s
        if value - floor_s > JITTER_S + 1e-9:  # 41 ms less 40 ms is 1 ms, not a bit more
            until_s = instant(at_s + value - floor_s)
            if holds and at_s <= holds[-1][1]:
                holds[-1] = (holds[-1][0], max(holds[-1][1], until_s))
            else:
                holds.append((at_s, until_s))
    return _changes(time_s, floors), holds


def _changes(time_s: Floats, values: npt.NDArray[np.generic]) -> Steps:
    """Step function of the rows in which the value differs from the row before."""
    changed = np.append(True, values[1:] != values[:-1])
    return Steps(time_s[changed], values[changed])


def _text_steps(time_s: Floats, texts: list[str]) -> Steps:
    return _changes(time_s, np.array(texts, dtype=object))


def _filled(texts: list[str]) -> list[str]:
    """Blank cells as in the row before: a logger that leaves a cell blank did not ask again."""
    filled, last = [], ""
    for text in texts:
        last = text or last
        filled.append(last)
    return filled


def _addresses(log: Log) -> list[str]:
    """Addresses row by row. A blank one means that the vehicle has none, unless most are blank: then it was not asked again."""
    texts = log.texts["address"]
    return _filled(texts) if texts.count("") > 0.5 * len(texts) else texts


def _parked(log: Log) -> Parked:
    return tuple(_spans(log, "ignition"))


def _spans(log: Log, switch: str) -> Intervals:
    """Intervals in which a switch of the log is off; the last one has an end of infinity where the log ends in it."""
    switched = log.numbers.get(switch)
    if switched is None:
        return []
    found: Intervals = []
    since_s: float | None = None
    for at_s, flag in zip(log.time_s.tolist(), switched.tolist(), strict=True):
        if flag == 0.0 and since_s is None:
            since_s = at_s
        elif flag == 1.0 and since_s is not None:
            found.append((since_s, at_s))
            since_s = None
    if since_s is not None:
        found.append((since_s, np.inf))
    return found


def _serving(log: Log, gaps: Intervals, detached: Intervals) -> tuple[tuple[str, ...], Steps]:
    """(cells, serving cell over time): none in gaps of the log and while detached."""
    if "cell" not in log.texts:
        return (), Steps(np.zeros(1), np.full(1, -1, dtype=np.int32))
    texts = _filled(log.texts["cell"])
    cells = tuple(dict.fromkeys(text for text in texts if text))
    index = {"": -1} | {text: i for i, text in enumerate(cells)}
    code = np.array([index[text] for text in texts], dtype=np.int32)
    for start_s, end_s in detached:
        code[(log.time_s >= start_s) & (log.time_s < end_s)] = -1
    for start_s, _ in gaps:
        code[np.searchsorted(log.time_s, start_s)] = -1
    return cells, _changes(log.time_s, code)


def _handovers(log: Log, gaps: Intervals, detached: Intervals) -> list[tuple[float, str, str, str]]:
    """(time, cell before, cell after, cause) of the cell changes that the log saw: not those across a gap or a detach."""
    if "cell" not in log.texts:
        return []
    texts = _filled(log.texts["cell"])
    rats = _filled(log.texts["rat"]) if "rat" in log.texts else [""] * len(texts)
    unseen = [*gaps, *detached]
    found = []
    for i, at_s in enumerate(log.time_s.tolist()):
        if i == 0 or not texts[i - 1] or texts[i] == texts[i - 1] or any(a < at_s <= b for a, b in unseen):
            continue
        cause = f"logged, {rats[i - 1]} to {rats[i]}" if rats[i] != rats[i - 1] else "logged"
        found.append((at_s, texts[i - 1], texts[i], cause))
    return found


def _gateways(log: Log, network: Network) -> tuple[tuple[str, ...], Steps]:
    """(gateways, gateway over time): one for each operator, the first operator at the first gateway; one without operators.

    Simplification: an operator has one gateway, and changing the operator changes gateway and address at once.
    """
    configured = gateway_names(network, [])
    operators = _filled(log.texts.get("operator", []))
    first = next((text for text in operators if text), None)
    if first is None:
        return configured[:1], Steps(np.zeros(1), np.zeros(1, dtype=np.int32))
    name = {text: text for text in operators} | {"": configured[0]}
    if first not in network.gateways:
        name |= {first: configured[0]}
    gateways = tuple(dict.fromkeys(name[text] for text in operators))
    return gateways, _changes(log.time_s, np.array([gateways.index(name[text]) for text in operators], dtype=np.int32))


def _rate(log: Log, role: str, limit_bps: float, slots: npt.NDArray[np.intp]) -> Steps | None:
    """Measured rate in bit/s, the limit where blank."""
    rate = log.numbers.get(role)
    if rate is None or np.isnan(rate).all():
        return None
    values = np.where(np.isnan(rate[slots]), limit_bps, np.maximum(rate[slots], LEAST_BPS))
    return Steps(log.time_s[slots], values)


def _track(log: Log) -> tuple[Floats, Floats, Floats] | None:
    """Metres east and north of the first fix (equirectangular projection; below 0.1 % of error within 50 km)."""
    if "latitude" not in log.numbers or "longitude" not in log.numbers:
        return None
    latitude, longitude = log.numbers["latitude"], log.numbers["longitude"]
    fixed = ~(np.isnan(latitude) | np.isnan(longitude))
    if not fixed.any():
        return None
    north, east = np.radians(latitude[fixed]), np.radians(longitude[fixed])
    east_m = (east - east[0]) * EARTH_M * cos(radians(float(latitude[fixed][0])))
    return log.time_s[fixed], east_m, (north - north[0]) * EARTH_M


def _measured(log: Log) -> tuple[str, ...]:
    found = [role for role, column in log.numbers.items() if not np.isnan(column).all()]
    found += [role for role, column in log.texts.items() if any(column)]
    if {"latitude", "longitude"} <= set(found):
        found = ["position", *(role for role in found if role not in ("latitude", "longitude"))]
    return tuple(sorted(found))


def _notes(log: Log, recorded: Recorded, config: DriveConfig, gaps: Intervals) -> tuple[str, ...]:
    measured, notes = _measured(log), []
    if "rtt" in measured:
        window_s = recorded.rtt_floor_window_s
        notes.append(f"RTT is the least of the last {window_s:g} s; what the log shows above it holds packets back.")
        if config.link.silences != Silences():
            notes.append("Silences are not drawn: the measured RTT shows them.")
    else:
        notes.append("The log holds no RTT; it is modelled.")
    if "downlink" in measured or "uplink" in measured:
        notes.append("Measured rates are what was sent while the log was made, which can be less than the link could carry.")
    if gaps:
        notes.append(f"{len(gaps)} gaps of the log, {sum(b - a for a, b in gaps):.0f} s in all, are driven as no coverage.")
    if "address" in log.texts and log.texts["address"].count("") > 0.5 * len(log.texts["address"]):
        notes.append("Most rows of the log hold no address; there it is taken to be the last one seen.")
    if "address" not in log.texts:
        notes.append("The log holds no addresses; a change of the cell is not taken for a change of the address.")
        if config.network.reassignment.mode == "every_handover" and "cell" in measured:
            notes[-1] = "Stress case: the log holds no addresses; each change of the cell is taken for one of the address."
    return tuple(notes)
