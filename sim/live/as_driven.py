"""The drive as it was: the timeline that was played, with what somebody's hand did to the vehicle's interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.drive.timeline import Disruption, LinkState, LinkTimeline
from sim.live.packet.outages import Outage, rows_with

CAUSE = "interface taken down by hand"
_COLUMNS = ("cell", "gateway", "link", "rtt_s", "downlink_bps", "uplink_bps", "x_m", "y_m", "rsrp_dbm")


def as_driven(timeline: LinkTimeline, outages: Sequence[Outage]) -> LinkTimeline:
    """The timeline with the outages as further disruptions: a reassignment where the address changed, else a detach."""
    if not outages:
        return timeline
    held = [timeline.addresses[index] if index >= 0 else "" for index in timeline.address.tolist()]
    # what was before the drive's beginning is not part of it
    by_start = {max(row.start_s, 0.0): row for row in rows_with(timeline.start_s.tolist(), held, outages)}
    rows = list(by_start.values())
    addresses = tuple(dict.fromkeys((*timeline.addresses, *(row.address for row in rows if row.address))))
    of = np.array([row.of for row in rows])
    columns: dict[str, Any] = {name: getattr(timeline, name)[of].copy() for name in _COLUMNS}
    columns["link"][[row.cut for row in rows]] = LinkState.LOST

    def at(instant_s: float) -> str:
        return next((row.address for start, row in reversed(by_start.items()) if start <= instant_s), "")

    starts = [*by_start]
    found: list[Disruption] = []
    renamed: dict[str, str] = {}
    for outage in outages:
        down_s, attached_s = max(outage.down_s, 0.0), min(max(outage.attached_s, 0.0), timeline.end_s)
        before = next((row.address for start, row in reversed(by_start.items()) if start < down_s), "")
        after = at(outage.attached_s) if outage.attached_s < np.inf else ""
        kind = "detach" if before == after else "reassignment"
        if down_s < attached_s:
            texts = (before, after) if kind == "reassignment" else ("", "")
            found.append(Disruption(kind, down_s, attached_s, *texts, CAUSE))
        if outage.address and before:
            renamed[next((old for old, new in renamed.items() if new == before), before)] = outage.address
    changed = tuple(
        dataclasses.replace(one, before=renamed[one.before])
        if one.kind == "reassignment" and one.before in renamed and one.start_s > outages[0].down_s
        else one
        for one in timeline.disruptions
    )
    return dataclasses.replace(
        timeline,
        start_s=np.array(starts),
        address=np.array([addresses.index(row.address) if row.address else -1 for row in rows], np.int32),
        addresses=addresses,
        disruptions=tuple(sorted((*changed, *found), key=lambda one: one.start_s)),
        **columns,
    )


def in_words(outages: Sequence[Outage]) -> list[str]:
    """A sentence for each outage, for the report."""
    found = []
    for outage in outages:
        text = f"At {outage.down_s:.3f} s the vehicle's interface was taken down by hand"
        if outage.up_s < np.inf:
            text += f", at {outage.up_s:.3f} s it was up again"
        if outage.attached_s < np.inf:
            text += f", at {outage.attached_s:.3f} s it had an address"
            text += f", {outage.address}" if outage.address else ""
        found.append(text + ".")
    return found
