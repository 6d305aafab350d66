"""The course of a route past towers: its legs and, between them, the places where the vehicle is parked.

Radio and handover are computed leg by leg. A parked vehicle is looked at once: it stays in one cell, or in none, for as
long as it stands, so that a night costs a row and not 150,000 measurements.
Simplification: where a leg ends, what is under way on the radio ends too; the next one begins with a cell selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sim.drive.addressing import gateway_names
from sim.drive.config import DriveConfig, Waypoint
from sim.drive.course import Blocked, Course, Key, Steps, instant
from sim.drive.handover import IN_SYNC_MARGIN_DB, serve
from sim.drive.outages import Outage, silent_spans
from sim.drive.radio import Signals, measure_towers
from sim.drive.route import Route, lay_route
from sim.drive.timeline import Disruption, Floats, LinkState

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A leg or a place; times in s from its own start."""

    start_s: float
    end_s: float
    serving: Steps
    blocked: tuple[Blocked, ...]
    rsrp_dbm: Steps
    capacity_bps: Steps


def route_course(config: DriveConfig, waypoints: tuple[Waypoint, ...], key: Key, outages: Sequence[Outage] = ()) -> Course:
    """Course of a route past towers, some of which may be out of service for a while."""
    route, random = lay_route(waypoints), config.link.realism
    gateways = gateway_names(config.network, [tower.gateway for tower in config.towers])
    of_tower = np.array([*(gateways.index(tower.gateway) for tower in config.towers), -1], dtype=np.int32)  # -1: no cell
    pieces: list[_Piece] = []
    legs = 0
    silent = silent_spans(config.towers, outages)
    for start_s, end_s, loss_db in _stretches(route, outages):
        part = route.part(start_s, end_s)
        off_air = [[(max(a - start_s, 0.0), b - start_s) for a, b in spans if a < end_s and b > start_s] for spans in silent]
        if loss_db is not None:
            signals = measure_towers(config.radio, config.towers, part.start(), key, random, off_air)
            pieces.append(_parked(config, signals, start_s, end_s, loss_db))
        else:
            signals = measure_towers(config.radio, config.towers, part, key, random, off_air)
            pieces.append(_leg(config, signals, start_s, end_s, key if random else None, legs))
            legs += 1
    last = len(pieces) - 1
    blocked = [_cut(one, piece, number == last) for number, piece in enumerate(pieces) for one in piece.blocked]
    listed = [one for one in blocked if one is not None]
    serving = _joined([(piece, piece.serving) for piece in pieces])
    lost_s = sum(b.what.end_s - b.what.start_s for b in listed if b.what.kind == "coverage_gap")
    seconds = np.arange(np.ceil(route.end_s), dtype=np.float64) if not route.parked else np.zeros(1)
    return Course(
        end_s=route.end_s,
        slot_s=seconds,
        cells=tuple(tower.id for tower in config.towers),
        serving=serving,
        gateways=gateways,
        prefers=Steps(serving.at_s, of_tower[serving.value]),
        blocked=tuple(listed),
        track=(route.time_s, route.x_m, route.y_m),
        rsrp_dbm=_joined([(piece, piece.rsrp_dbm) for piece in pieces]),
        capacity_bps=_joined([(piece, piece.capacity_bps) for piece in pieces]),
        parked=route.parked,
        held_gateways=True,
        notes=(f"No cell is in sync for {lost_s:.0f} s of {route.end_s:.0f} s.",) if lost_s else (),
    )


def _stretches(route: Route, outages: Sequence[Outage]) -> list[tuple[float, float, float | None]]:
    """Those of the route; a vehicle that is parked is looked at anew when a tower falls silent or is back."""
    edges = sorted({edge for out in outages for edge in (out.start_s, out.end_s)})
    found: list[tuple[float, float, float | None]] = []
    for start_s, end_s, loss_db in route.stretches():
        cuts = [start_s, *(edge for edge in edges if loss_db is not None and start_s < edge < end_s), end_s]
        found += [(a, b, loss_db) for a, b in pairwise(cuts)]
    return found


def _leg(config: DriveConfig, signals: Signals, start_s: float, end_s: float, key: Key | None, number: int) -> _Piece:
    names = tuple(tower.id for tower in config.towers)
    service = serve(signals, config.handover, config.radio.out_of_sync_db, names, end_s - start_s, key, leg=number)
    at_s = np.unique(np.concatenate((np.arange(signals.samples) * signals.period_s, service.serving.at_s)))
    cell, sample = service.serving.at(at_s).astype(np.int64), signals.sample_of(at_s)
    rsrp_dbm = Steps(at_s, signals.rsrp_dbm[cell, sample])
    return _Piece(start_s, end_s, service.serving, service.blocked, rsrp_dbm, _capacity(config, signals, at_s, cell, sample))


def _capacity(config: DriveConfig, signals: Signals, at_s: Floats, cell: Indices, sample: Indices) -> Steps:
    """What SINR allows in bit/s."""
    shannon = np.log2(1.0 + 10.0 ** (signals.sinr_db(cell, sample) / 10.0))
    shannon[cell < 0] = np.inf  # without a cell there is no SINR and nothing to limit
    return Steps(at_s, config.radio.efficiency * config.radio.bandwidth_hz * shannon)


def _parked(config: DriveConfig, outside: Signals, start_s: float, end_s: float, loss_db: float) -> _Piece:
    """The strongest cell there, less what walls take, if it is in sync; else none for all of the time.

    Simplification: walls weaken all towers alike, and what goes on around a parked vehicle changes nothing.
    """
    taken = 10.0 ** (-loss_db / 10.0)
    signals = replace(
        outside,
        rsrp_dbm=outside.rsrp_dbm - loss_db,
        power_mw=outside.power_mw * taken,
        carrier_mw=outside.carrier_mw * taken,
    )
    best = signals.rsrp_dbm[:, :1].argmax(axis=0)
    at_s, first = np.zeros(1), np.zeros(1, dtype=np.int64)
    in_sync = float(signals.sinr_db(best, first)[0]) >= config.radio.out_of_sync_db + IN_SYNC_MARGIN_DB
    cell = best.astype(np.int64) if in_sync else np.full(1, -1, dtype=np.int64)
    blocked: tuple[Blocked, ...] = ()
    if not in_sync:
        what = Disruption("coverage_gap", 0.0, end_s - start_s, cause="parked where no cell is in sync")
        blocked = (Blocked(what, LinkState.LOST, out_of_service=True, forever=True),)
    return _Piece(
        start_s,
        end_s,
        Steps(at_s, cell.astype(np.int32)),
        blocked,
        Steps(at_s, signals.rsrp_dbm[cell, first]),
        _capacity(config, signals, at_s, cell, first),
    )


def _cut(one: Blocked, piece: _Piece, last: bool) -> Blocked | None:
    """A disruption of a piece in the time of the drive; what would outlast the piece ends with it."""
    if piece.start_s == 0.0 and last:
        return one
    start_s, end_s = instant(piece.start_s + one.what.start_s), instant(piece.start_s + one.what.end_s)
    if last:
        return replace(one, what=replace(one.what, start_s=start_s, end_s=end_s))
    if start_s >= piece.end_s:
        return None
    until_s = piece.end_s if one.forever else min(end_s, piece.end_s)
    return replace(one, what=replace(one.what, start_s=start_s, end_s=until_s), forever=False)


def _joined(parts: list[tuple[_Piece, Steps]]) -> Steps:
    """The step functions of the pieces one after the other, each up to where the next piece begins."""
    if len(parts) == 1:
        return parts[0][1]
    at_s, values = [], []
    for number, (piece, found) in enumerate(parts):
        shifted = np.round(piece.start_s + found.at_s, 9)
        kept = shifted < piece.end_s if number < len(parts) - 1 else np.ones(len(shifted), dtype=bool)
        at_s.append(shifted[kept])
        values.append(found.value[kept])
    return Steps(np.concatenate(at_s), np.concatenate(values))
