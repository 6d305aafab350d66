"""A scripted drive: the steps as they are given, nothing drawn, nothing added."""

from __future__ import annotations

import numpy as np

from sim.drive.addressing import gateway_names
from sim.drive.config import DriveConfig, Script
from sim.drive.course import Blocked, Course, instant, steps
from sim.drive.timeline import Disruption, LinkState
from sim.parking import spans_of

_STATES = {"up": LinkState.UP, "held": LinkState.HELD, "lost": LinkState.LOST}


def script_course(config: DriveConfig, script: Script) -> Course:
    """Course of a script. What the first step leaves open comes from `link` and the first gateway."""
    gateways = gateway_names(config.network, [step.gateway for step in script.steps if step.gateway])
    cells = tuple(dict.fromkeys(step.cell for step in script.steps if step.cell))
    at_s = [instant(step.at_s) for step in script.steps]
    cell, gateway = "", script.steps[0].gateway or gateways[0]
    rtt_s, down_bps, up_bps = config.link.rtt.median_s, config.link.downlink_bps, config.link.uplink_bps
    state = LinkState.UP
    rows = []
    for step in script.steps:
        state = _STATES[step.link] if step.link else state
        cell, gateway = step.cell or cell, step.gateway or gateway
        rtt_s = rtt_s if step.rtt_s is None else step.rtt_s
        down_bps, up_bps = step.downlink_bps or down_bps, step.uplink_bps or up_bps
        rows.append((state, cell, gateway, rtt_s, down_bps, up_bps, step.cause))
    columns = list(zip(*rows, strict=True))
    return Course(
        end_s=script.duration_s,
        slot_s=np.zeros(1),
        cells=cells,
        serving=steps(zip(at_s, (cells.index(c) if c else -1 for c in columns[1]), strict=True), np.int32),
        gateways=gateways,
        prefers=steps(zip(at_s, (gateways.index(g) for g in columns[2]), strict=True), np.int32),
        blocked=tuple(_blocked(at_s, rows, script.duration_s)),
        rtt_s=steps(zip(at_s, columns[3], strict=True), np.float64),
        downlink_bps=steps(zip(at_s, columns[4], strict=True), np.float64),
        uplink_bps=steps(zip(at_s, columns[5], strict=True), np.float64),
        parked=spans_of([(at, step.ignition == "on") for at, step in zip(at_s, script.steps, strict=True) if step.ignition]),
        exact=True,
    )


def _blocked(at_s: list[float], rows: list[tuple[LinkState, str, str, float, float, float, str]], end_s: float) -> list[Blocked]:
    """Handovers at changes of the cell, with the hold that begins there; other holds and losses of the link."""
    found: list[Blocked] = []
    i, cell = 0, rows[0][1]
    while i < len(rows):
        state, now, _, _, _, _, cause = rows[i]
        last = i
        # a block lasts until the state changes or, while held, the next cell change
        while last + 1 < len(rows) and rows[last + 1][0] == state != LinkState.UP and rows[last + 1][1] == now:
            last += 1
        forever = state != LinkState.UP and last + 1 == len(rows)
        until_s = end_s if forever else at_s[min(last + 1, len(rows) - 1)]
        changed = bool(cell) and now != cell
        if changed:
            ends_s = until_s if state == LinkState.HELD else at_s[i]
            held = state == LinkState.HELD
            what = Disruption("handover", at_s[i], ends_s, cell, now, cause)
            found.append(Blocked(what, LinkState.HELD if held else LinkState.UP, forever=forever and held))
        if state == LinkState.LOST:
            what = Disruption("coverage_gap", at_s[i], until_s, cell, now, cause)
            found.append(Blocked(what, state, out_of_service=True, forever=forever))
        elif state == LinkState.HELD and not changed:
            found.append(Blocked(Disruption("held", at_s[i], until_s, cell, now, cause), state, forever=forever))
        cell = now or cell
        i = last + 1
    return found
