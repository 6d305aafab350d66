"""What single values cannot show: settings of a drive that do not fit together, or a log that cannot be driven."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from sim.drive.config import DriveConfig, Network, Script, Tower, Waypoint
from sim.drive.errors import DriveError
from sim.drive.log import read_log


def check_drive(config: DriveConfig, folder: Path = Path(".")) -> list[DriveError]:
    """All such errors, without building anything; a log is read, relative to `folder`."""
    given = [name for name in ("route", "script", "recorded") if getattr(config, name) is not None]
    errors: list[DriveError] = []
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        text = f"give exactly one of route, script and recorded; found {found}"
        errors.append(DriveError(given[1] if given else "route", text))
    errors += _check_network(config.network)
    if config.route is not None:
        errors += _check_route(config.route) + _check_towers(config.towers, config.network)
    elif config.towers and given:
        errors.append(DriveError("towers", f"towers need a route; the drive is given by {given[0]}"))
    if config.script is not None:
        errors += _check_script(config.script, config.network)
    if config.recorded is not None:
        until_s = config.recorded.until_s
        if until_s is not None and until_s <= config.recorded.from_s:
            errors.append(DriveError("recorded.until", f"has to be after recorded.from ({config.recorded.from_s:g} s)"))
        else:
            errors += read_log(config.recorded, folder)[1]
    return errors + _check_spreads(config)


def _check_network(network: Network) -> list[DriveError]:
    errors: list[DriveError] = []
    owner: dict[str, str] = {}
    for name, gateway in network.gateways.items():
        if gateway.address is None:
            continue
        key = f"network.gateways.{name}.address"
        try:
            address = str(ip_address(gateway.address))
        except ValueError:
            errors.append(DriveError(key, f"{gateway.address!r} is not an IP address"))
            continue
        if address in owner:
            errors.append(DriveError(key, f"{address} is the address of gateway {owner[address]} already"))
        owner[address] = name
    return errors


def _unknown_gateway(key: str, name: str, network: Network) -> list[DriveError]:
    """Without any gateways, those that are referred to are the gateways."""
    if not network.gateways or name in network.gateways:
        return []
    return [DriveError(key, f"no gateway {name!r}; network.gateways has: {', '.join(network.gateways)}")]


def _check_route(route: tuple[Waypoint, ...]) -> list[DriveError]:
    errors: list[DriveError] = []
    if not route:
        return [DriveError("route", "a route needs waypoints")]
    speed_mps, moves = route[0].speed_mps, route[0].stop_s > 0.0
    for i, point in enumerate(route):
        if point.ignition == "off" and point.stop_s <= 0.0:
            errors.append(DriveError(f"route.{i}.ignition", "is off for as long as the vehicle stands here: give `stop`"))
        if point.indoor_loss_db > 0.0 and point.ignition == "on":
            errors.append(DriveError(f"route.{i}.indoor_loss", "is for a parked vehicle: give `ignition: off`"))
    for i, (last, point) in enumerate(pairwise(route), start=1):
        speed_mps = point.speed_mps or speed_mps
        away = point.at_m != last.at_m
        if away and speed_mps is None:
            errors.append(DriveError(f"route.{i}.speed", "give the speed here or at a waypoint before"))
        moves = moves or away or point.stop_s > 0.0
    if not moves:
        errors.append(DriveError("route", "takes no time: give a second waypoint elsewhere, or a stop"))
    return errors


def _check_towers(towers: tuple[Tower, ...], network: Network) -> list[DriveError]:
    if not towers:
        return [DriveError("towers", "a route needs towers along it")]
    errors: list[DriveError] = []
    seen: set[str] = set()
    for i, tower in enumerate(towers):
        errors += _unknown_gateway(f"towers.{i}.gateway", tower.gateway, network)
        if tower.id in seen:
            errors.append(DriveError(f"towers.{i}.id", f"there is another tower {tower.id!r} before"))
        seen.add(tower.id)
    return errors


def _check_script(script: Script, network: Network) -> list[DriveError]:
    if not script.steps:
        return [DriveError("script.steps", "a script needs steps, the first one at 0 s")]
    errors: list[DriveError] = []
    if script.steps[0].at_s != 0.0:
        errors.append(DriveError("script.steps.0.at", f"the first step has to be at 0 s, not {script.steps[0].at_s:g} s"))
    last_s = script.steps[0].at_s
    for i, step in enumerate(script.steps):
        key = f"script.steps.{i}"
        if i > 0 and step.at_s <= last_s:
            errors.append(DriveError(f"{key}.at", f"{step.at_s:g} s has to be after the step before it, at {last_s:g} s"))
        if step.at_s >= script.duration_s:
            errors.append(DriveError(f"{key}.at", f"{step.at_s:g} s is not before the end, {script.duration_s:g} s"))
        if step.gateway is not None:
            errors += _unknown_gateway(f"{key}.gateway", step.gateway, network)
        last_s = max(last_s, step.at_s)
    return errors


def _check_spreads(config: DriveConfig) -> list[DriveError]:
    errors: list[DriveError] = []
    rtt, handover = config.link.rtt, config.handover
    if rtt.p95_s < rtt.median_s:
        errors.append(DriveError("link.rtt.p95", f"is below the median, {rtt.median_s:g} s"))
    if handover.interruption_p95_s is not None and handover.interruption_p95_s < handover.interruption_s:
        errors.append(DriveError("handover.interruption_p95", f"is below the median, {handover.interruption_s:g} s"))
    shortest_s, longest_s = handover.reselection_s
    if not 0.0 <= shortest_s <= longest_s:
        errors.append(DriveError("handover.reselection", "has to be two times of which the second is not the shorter one"))
    return errors
