"""From the settings of a drive and an address of draws to the vehicle's LinkTimeline."""

from __future__ import annotations

from pathlib import Path

from sim.drive.addressing import assign_addresses
from sim.drive.check import check_drive
from sim.drive.config import DriveConfig
from sim.drive.course import Blocked
from sim.drive.legs import route_course
from sim.drive.nat import nat_rebinds
from sim.drive.outages import NetworkFaults, nothing, without_service
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
        silences = draw_silences(config.link.silences, course.end_s, key, course.parked)
    return lay_rows(
        course,
        assign_addresses(course, config.network, vehicle),
        rtt_over_time(course, config.link.rtt, config.link.realism, key),
        *rates_over_time(course, config.link, key),
        silences,
        tuple(sorted({*nat_rebinds(config.network, course.end_s, key), *rebinds_s})),
        [out.listed() for out in outages],
    )
