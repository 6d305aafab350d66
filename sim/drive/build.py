"""From the settings of a drive and an address of draws to the vehicle's LinkTimeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim.drive.addressing import assign_addresses, gateway_names
from sim.drive.check import check_drive
from sim.drive.config import DriveConfig, Waypoint
from sim.drive.course import Blocked, Course, Key, Steps
from sim.drive.handover import serve
from sim.drive.nat import nat_rebinds
from sim.drive.outages import NetworkFaults, Outage, nothing, silent_spans, without_service
from sim.drive.radio import measure_towers
from sim.drive.recorded import recorded_course
from sim.drive.route import lay_route
from sim.drive.rows import lay_rows
from sim.drive.rtt import rates_over_time, rtt_over_time
from sim.drive.script import script_course
from sim.drive.silences import draw_silences
from sim.drive.timeline import LinkTimeline


def build_timeline(
    config: DriveConfig, seed: int, replication: int, vehicle: int = 0, folder: Path = Path("."), faults: NetworkFaults = nothing
) -> LinkTimeline:
    """The vehicle's drive as seen by its link: the same for the same arguments, whatever is sent over it.

    `faults` happen to the network in it.
    `folder` is where a relative path of a log is looked for. Raises DriveError, the first that `check_drive` finds.
    """
    errors = check_drive(config, folder)
    if errors:
        raise errors[0]
    key = (seed, replication, vehicle)
    if config.script is not None:
        course = script_course(config, config.script)
        outages, rebinds_s = faults(course.end_s)
        course = without_service(course, outages) if outages else course
    elif config.recorded is not None:
        course = recorded_course(config, config.recorded, folder, key)
        outages, rebinds_s = faults(course.end_s)
        course = without_service(course, outages) if outages else course
    else:
        assert config.route is not None
        outages, rebinds_s = faults(lay_route(config.route).end_s)
        course = route_course(config, config.route, key, outages)
    silences: list[Blocked] = []
    if config.link.realism and course.rtt_s is None:  # a script is exact; in a log with RTT the silences are measured
        silences = draw_silences(config.link.silences, course.end_s, key)
    return lay_rows(
        course,
        assign_addresses(course, config.network, vehicle),
        rtt_over_time(course, config.link.rtt, config.link.realism, key),
        *rates_over_time(course, config.link, key),
        silences,
        tuple(sorted({*nat_rebinds(config.network, course.end_s, key), *rebinds_s})),
        [out.listed() for out in outages],
    )


def route_course(config: DriveConfig, waypoints: tuple[Waypoint, ...], key: Key, outages: Sequence[Outage] = ()) -> Course:
    """Course of a route past towers, some of which may be out of service for a while."""
    route, towers, random = lay_route(waypoints), config.towers, config.link.realism
    signals = measure_towers(config.radio, towers, route, key, random, silent_spans(towers, outages))
    names = tuple(tower.id for tower in towers)
    service = serve(signals, config.handover, config.radio.out_of_sync_db, names, route.end_s, key if random else None)
    gateways = gateway_names(config.network, [tower.gateway for tower in towers])
    of_tower = np.array([*(gateways.index(tower.gateway) for tower in towers), -1], dtype=np.int32)  # -1: no cell
    at_s = np.unique(np.concatenate((np.arange(signals.samples) * signals.period_s, service.serving.at_s)))
    cell, sample = service.serving.at(at_s).astype(np.int64), signals.sample_of(at_s)
    shannon = np.log2(1.0 + 10.0 ** (signals.sinr_db(cell, sample) / 10.0))
    shannon[cell < 0] = np.inf  # without a cell there is no SINR and nothing to limit
    lost_s = sum(b.what.end_s - b.what.start_s for b in service.blocked if b.what.kind == "coverage_gap")
    return Course(
        end_s=route.end_s,
        slot_s=np.arange(np.ceil(route.end_s), dtype=np.float64),
        cells=names,
        serving=service.serving,
        gateways=gateways,
        prefers=Steps(service.serving.at_s, of_tower[service.serving.value]),
        blocked=service.blocked,
        track=(route.time_s, route.x_m, route.y_m),
        rsrp_dbm=Steps(at_s, signals.rsrp_dbm[cell, sample]),
        capacity_bps=Steps(at_s, config.radio.efficiency * config.radio.bandwidth_hz * shannon),
        held_gateways=True,
        notes=(f"No cell is in sync for {lost_s:.0f} s of {route.end_s:.0f} s.",) if lost_s else (),
    )
