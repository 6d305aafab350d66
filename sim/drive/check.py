"""What single values cannot show: settings of a drive that do not fit together, or a log that cannot be driven."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from sim.checking import Check, found
from sim.drive.config import DriveConfig, Gateway, Recorded, Script, ScriptStep, Tower, Waypoint
from sim.drive.errors import DriveError
from sim.drive.log import read_log

Errors: TypeAlias = "Check[DriveError]"


def check_drive(config: DriveConfig, folder: Path = Path(".")) -> list[DriveError]:
    """All such errors, without building anything; a log is read, relative to `folder`."""
    return [*_check_ways(config), *check_settings(config, folder)]


def _check_ways(config: DriveConfig) -> Iterator[DriveError]:
    given = [name for name in ("route", "script", "recorded") if getattr(config, name) is not None]
    if not given:
        yield DriveError("route", "give exactly one of route, script and recorded; found none of them")
    for name in given[1:]:
        yield DriveError(name, f"give exactly one of route, script and recorded; found {given[0]} and {name}")


def check_settings(config: DriveConfig, folder: Path) -> Iterator[DriveError]:
    """The errors of a drive of which one way is given or several. Settings may be WRONG (sim.checking)."""
    return found(_check_settings(config, folder))


def _check_settings(config: DriveConfig, folder: Path) -> Errors:
    yield _check_network(config)
    if config.route is not None:
        yield _check_route(config.route)
        yield _check_towers(config)
    else:
        yield _check_no_towers(config)
    if config.script is not None:
        yield _check_script(config.script)
        yield _check_step_gateways(config.script, config)
    if config.recorded is not None:
        yield _check_recorded(config.recorded, folder)
    yield _check_rtt(config)
    yield _check_interruption(config)
    yield _check_reselection(config)


def _check_network(config: DriveConfig) -> Errors:
    owner: dict[str, str] = {}
    for name, gateway in config.network.gateways.items():
        yield _check_gateway(name, gateway, owner)


def _check_gateway(name: str, gateway: Gateway, owner: dict[str, str]) -> Errors:
    given = gateway.address
    if given is None:
        return
    key = f"network.gateways.{name}.address"
    try:
        address = str(ip_address(given))
    except ValueError:
        yield DriveError(key, f"{given!r} is not an IP address, expected one such as 10.1.1.100")
        return
    if address in owner:
        yield DriveError(key, f"{address} is the address of gateway {owner[address]!r} already, expected another")
    owner.setdefault(address, name)


def _check_route(route: tuple[Waypoint, ...]) -> Errors:
    if not route:
        yield DriveError("route", "is empty, expected at least two waypoints such as {at: [0 km, 0 km], speed: 50 km/h}")
        return
    for i, point in enumerate(route):
        yield _check_ignition(i, point)
        yield _check_indoor_loss(i, point)
    yield _check_speeds(route)
    yield _check_moves(route)


def _check_ignition(i: int, point: Waypoint) -> Errors:
    if point.ignition == "off" and point.stop_s <= 0.0:
        yield DriveError(f"route.{i}.ignition", "off is for a vehicle that stands, expected `stop` beside it, such as stop: 8 h")


def _check_indoor_loss(i: int, point: Waypoint) -> Errors:
    if point.ignition == "on" and point.indoor_loss_db > 0.0:
        yield DriveError(f"route.{i}.indoor_loss", "is for a parked vehicle, expected `ignition: off` beside it")


def _check_speeds(route: tuple[Waypoint, ...]) -> Errors:
    if route[0].speed_mps is not None:
        return
    for i, (last, point) in enumerate(pairwise(route), start=1):
        if point.speed_mps is not None:
            return
        if point.at_m != last.at_m:
            text = "required on the way to the second place or before, expected a speed such as 50 km/h"
            yield DriveError(f"route.{i}.speed", text)
            return


def _check_moves(route: tuple[Waypoint, ...]) -> Errors:
    moves = any(point.stop_s > 0.0 for point in route) or any(last.at_m != point.at_m for last, point in pairwise(route))
    if not moves:
        yield DriveError("route", "takes no time, expected a second waypoint elsewhere, or a stop")


def _check_towers(config: DriveConfig) -> Errors:
    towers = config.towers
    if not towers:
        text = "required along a route, expected at least one such as {id: A, at: [5 km, 0.3 km], gateway: west}"
        yield DriveError("towers", text)
        return
    first: dict[str, int] = {}
    for i, tower in enumerate(towers):
        yield _check_named_gateway(f"towers.{i}.gateway", tower, config)
        yield _check_id(i, tower, first)


def _check_id(i: int, tower: Tower, first: dict[str, int]) -> Errors:
    if tower.id in first:
        yield DriveError(f"towers.{i}.id", f"{tower.id!r} is the id of towers.{first[tower.id]} already, expected another")
    first.setdefault(tower.id, i)


def _check_no_towers(config: DriveConfig) -> Errors:
    if config.towers and (config.script is not None or config.recorded is not None):
        way = "script" if config.script is not None else "recorded"
        yield DriveError("towers", f"is for a route, but the drive is given by {way}: take the towers out")


def _check_named_gateway(key: str, part: Tower | ScriptStep, config: DriveConfig) -> Errors:
    """Without any gateways, those that are referred to are the gateways."""
    gateways = config.network.gateways
    if gateways and part.gateway is not None and part.gateway not in gateways:
        yield DriveError(key, f"no gateway {part.gateway!r} in network.gateways, expected one of {', '.join(gateways)}")


def _check_script(script: Script) -> Errors:
    if not script.steps:
        yield DriveError("script.steps", "is empty, expected at least the step at 0 s, such as {at: 0 s, link: up}")
        return
    yield _check_first(script.steps[0])
    for i, (last, step) in enumerate(pairwise(script.steps), start=1):
        yield _check_order(f"script.steps.{i}.at", last, step)
    for i, step in enumerate(script.steps):
        yield _check_within(f"script.steps.{i}.at", step, script)


def _check_first(step: ScriptStep) -> Errors:
    if step.at_s != 0.0:
        yield DriveError("script.steps.0.at", f"{step.at_s:g} s is not where the drive begins, expected 0 s for the first step")


def _check_order(key: str, last: ScriptStep, step: ScriptStep) -> Errors:
    if step.at_s <= last.at_s:
        yield DriveError(key, f"{step.at_s:g} s is not after the step before it, expected more than {last.at_s:g} s")


def _check_within(key: str, step: ScriptStep, script: Script) -> Errors:
    if step.at_s >= script.duration_s:
        yield DriveError(key, f"{step.at_s:g} s is not before the end of the drive, expected less than {script.duration_s:g} s")


def _check_step_gateways(script: Script, config: DriveConfig) -> Errors:
    for i, step in enumerate(script.steps):
        yield _check_named_gateway(f"script.steps.{i}.gateway", step, config)


def _check_recorded(recorded: Recorded, folder: Path) -> Errors:
    yield _check_part(recorded)
    path = folder / recorded.file
    if not path.exists() and not path.is_symlink():  # said whatever else is wrong
        yield DriveError("recorded.file", f"no such file: {recorded.file}")
    elif recorded.until_s is None or recorded.until_s > recorded.from_s:
        yield from read_log(recorded, folder)[1]


def _check_part(recorded: Recorded) -> Errors:
    if recorded.until_s is not None and recorded.until_s <= recorded.from_s:
        text = f"{recorded.until_s:g} s is not after recorded.from, expected more than {recorded.from_s:g} s"
        yield DriveError("recorded.until", text)


def _check_rtt(config: DriveConfig) -> Errors:
    rtt = config.link.rtt
    if rtt.p95_s < rtt.median_s:
        yield DriveError("link.rtt.p95", f"{rtt.p95_s:g} s is below the median, expected at least {rtt.median_s:g} s")


def _check_interruption(config: DriveConfig) -> Errors:
    median_s, p95_s = config.handover.interruption_s, config.handover.interruption_p95_s
    if p95_s is not None and p95_s < median_s:
        yield DriveError("handover.interruption_p95", f"{p95_s:g} s is below the median, expected at least {median_s:g} s")


def _check_reselection(config: DriveConfig) -> Errors:
    shortest_s, longest_s = config.handover.reselection_s
    if shortest_s > longest_s:
        text = f"{shortest_s:g} s is above {longest_s:g} s, expected the shortest time first, then the longest"
        yield DriveError("handover.reselection", text)
