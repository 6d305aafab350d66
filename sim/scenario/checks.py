"""What has to fit together across keys (errors), and what will hardly be what was meant (warnings)."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

from sim.checking import WRONG, Check, NeedsWrong, found
from sim.drive.config import DriveConfig, Recorded, Waypoint
from sim.fleet import Fleet
from sim.protocols.server import Server
from sim.scenario.document import Path, Place, Problem, no_file
from sim.scenario.fleet_checks import check_fleet
from sim.scenario.mosquitto_conf import read_conf
from sim.scenario.quantities import format_quantity
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.server.check import Surroundings, check_faults, check_server
from sim.server.config import Fault
from sim.strategies.sources import chunk_bytes
from sim.strategies.workload import OTA, Workload

_MOST_MESSAGES = 1_000_000  # of one kind in one drive
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
#: The keys of which a drive is given by exactly one.
WAYS = ("route", "script", "recorded")
CONF_PATH: Path = ("server", "broker", "config")


def name_problems(name: Any) -> list[Problem]:
    """The name is that of a folder too."""
    if isinstance(name, str) and (not _NAME.fullmatch(name) or name.endswith(".")):
        text = "is used as the name of a folder: letters, digits, '.', '_' and '-', at most 80, a letter or digit first"
        return [Problem(("name",), text)]
    return []


def problems_of(top: Any, keys: Sequence[str], choices: Sequence[StrategyChoice], folder: FilePath) -> list[Problem]:
    """What does not fit together in a ScenarioFile with these `keys` and its strategies.

    What is wrong in itself is WRONG in them (sim.checking).
    """
    return list(found(_check(top, keys, choices, folder)))


def _check(top: Any, keys: Sequence[str], choices: Sequence[StrategyChoice], folder: FilePath) -> Check[Problem]:
    # in the order of the file; one that is not among its keys was meant by another word
    ways = [way for way in (*keys, *WAYS) if way in WAYS and getattr(top, way) is not None]
    ways = list(dict.fromkeys(ways))
    if sum(getattr(top, way) is WRONG for way in WAYS if way not in keys) > 1:  # any may be in what `<<` would have merged
        ways = [way for way in ways if way in keys]
        yield _check_ways(ways or [""])
    else:
        yield _check_ways(ways)
    drive = DriveConfig(**{field.name: getattr(top, field.name) for field in dataclasses.fields(DriveConfig)})
    if len(ways) > 1:
        # nothing that goes with the others is looked at
        others: dict[str, Any] = dict.fromkeys(ways[1:])
        drive = dataclasses.replace(drive, **others, towers=top.towers if ways[0] == "route" else ())
    if ways:
        yield _check_drive(drive, folder)
        yield _check_load(top.workload, drive)
        yield _check_faults(top.faults, top.server, drive, folder, top.fleet)
    yield _check_server(top.server)
    yield _check_conf(top.server, folder)
    yield _check_ota(top.workload)
    if top.fleet is not None:
        yield check_fleet(top.fleet, top.server, drive, [choice.name for choice in choices])
    for index, choice in enumerate(choices):
        yield _check_backoff(("strategies", index, "backoff", "cap"), choice)


def _check_ways(ways: Sequence[str]) -> Iterator[Problem]:
    """Exactly one of route, script and recorded."""
    if not ways:
        yield Problem((), "the drive is missing, expected exactly one of route, script, recorded")
    for way in ways[1:]:
        text = f"the drive is given by {ways[0]} already, expected one of route, script, recorded"
        yield Problem((way,), text, at_key=True)


def _check_drive(drive: DriveConfig, folder: FilePath) -> Iterator[Problem]:
    """What the drive says about its settings, the log of a recorded one included."""
    # imported here: the drive needs numpy, which a scenario without one should not wait for
    from sim.drive.check import check_settings

    # a wrong name of the file is WRONG here, and no log is read
    recorded = drive.recorded
    if recorded is not None and (wrong := _why_no_log(recorded, folder)):
        yield Problem(("recorded", "file"), wrong)
        drive = dataclasses.replace(drive, recorded=WRONG)
    for error in check_settings(drive, folder):
        yield Problem(path_of(error.key, drive), error.text)


def _why_no_log(recorded: Recorded, folder: FilePath) -> str:
    try:
        wrong = no_file(folder / recorded.file)
    except NeedsWrong:
        return ""
    return f"{recorded.file or repr('')} {wrong}" if wrong else ""


def _check_server(server: Server) -> Check[Problem]:
    mistakes = check_server(server.nodes, server.balancer, _known(server.session_store))
    yield (Problem(("server", *path), text, at_key) for path, text, at_key in mistakes)
    yield _check_address(("server", "address"), server.address, "52.78.123.45")


def _check_address(path: Path, address: str | None, example: str) -> Iterator[Problem]:
    if address is not None and not _is_address(address):
        yield Problem(path, f"is not an IP address, such as {example}")


def _check_conf(server: Server, folder: FilePath) -> Iterator[Problem]:
    """The mosquitto.conf of the broker."""
    broker, at = server.broker, CONF_PATH
    if broker.config is None:
        return
    if broker.preset != "mosquitto":
        yield Problem(at, f"is a mosquitto.conf, for preset mosquitto and not {broker.preset}", at_key=True)
        return
    path = folder / broker.config
    conf = read_conf(path)
    if isinstance(conf, str):
        yield Problem(at, f"{broker.config} {conf}")
        return
    for number, name, text in conf.errors:
        yield conf_problem(path, number, name, text)


def conf_problem(path: FilePath, number: int, name: str, text: str) -> Problem:
    """Something about a line of a mosquitto.conf."""
    return Problem(CONF_PATH, text, place=Place(option=f"{path}:{number}: {name}", path=CONF_PATH))


def _check_faults(
    faults: Sequence[Fault], server: Server, drive: DriveConfig, folder: FilePath, fleet: Fleet | None
) -> Check[Problem]:
    """Faults of parts that are not there, at times that never come, with keys that mean nothing for their kind."""
    if not faults:
        return
    towers, gateways, drive_s = _names_and_length(drive, folder)
    surroundings = Surroundings(
        nodes=_known(lambda: server.nodes),
        balancer=_known(lambda: server.balancer),
        store=_known(server.session_store),
        tls=_known(lambda: server.tls.profile != "none"),
        nat=_known(lambda: drive.network.access == "cgnat"),
        towers=towers,
        gateways=_known(lambda: tuple(dict.fromkeys((*drive.network.gateways, *gateways)))),
        drive_s=drive_s if fleet is None or drive_s is None else _known(lambda: fleet.start_over_s + drive_s),
    )
    yield (Problem(("faults", *path), text, at_key) for path, text, at_key in check_faults(faults, surroundings))
    for index, fault in enumerate(faults):
        yield _check_fault_address(("faults", index, "address"), fault)


def _check_fault_address(path: Path, fault: Fault) -> Iterator[Problem]:
    yield from _check_address(path, fault.address, "198.51.100.7")


def _known(value: Callable[[], Any]) -> Any:
    """A value that is made of settings; WRONG where one of them is."""
    try:
        return value()
    except NeedsWrong:
        return WRONG


def _names_and_length(drive: DriveConfig, folder: FilePath) -> tuple[tuple[str, ...], tuple[str, ...], float | None]:
    """Towers or cells, gateways, length of the drive in s (None: not known); each WRONG where what it needs is."""
    if drive.recorded is not None:
        names: Any = _known(lambda: _of_log(drive.recorded, folder))
        return (WRONG, WRONG, WRONG) if names is WRONG or names is None else names
    towers = _known(lambda: tuple(tower.id for tower in drive.towers) or _script_names(drive, "cell"))
    gateways = _known(lambda: tuple(tower.gateway for tower in drive.towers) or _script_names(drive, "gateway"))
    return towers, gateways, _known(lambda: drive_length_s(drive))


def _of_log(recorded: Any, folder: FilePath) -> tuple[Any, Any, Any] | None:
    # imported here, as in `_check_drive`
    from sim.drive.log import read_log

    log, _errors = read_log(recorded, folder)
    if log is None:
        return None
    cells, operators = (tuple(name for name in dict.fromkeys(log.texts.get(key, [])) if name) for key in ("cell", "operator"))
    return cells, operators, float(log.time_s[-1])


def _script_names(drive: DriveConfig, key: str) -> tuple[str, ...]:
    steps = drive.script.steps if drive.script is not None else ()
    return tuple(name for step in steps if (name := getattr(step, key)) is not None)


def _check_ota(workload: Workload) -> Check[Problem]:
    ota = workload.ota
    if ota is None:
        return
    at = ("workload", "ota")
    if ota.via == "https_range":
        yield _check_range(ota, at)
        return
    yield _check_pace(ota, at)
    if ota.image_bytes is None and ota.at_s is None:
        yield Problem((*at, "image"), "required unless `at` is given, expected a size such as 48 MiB")
    if ota.at_s is not None:
        yield _check_instants((*at, "at"), ota.at_s)
    if ota.give_up_s is not None and ota.window is None:
        yield Problem((*at, "give_up"), "is for `window` only", at_key=True)


def _check_pace(ota: OTA, at: Path) -> Iterator[Problem]:
    ways = [name for name, value in (("every", ota.every_s), ("window", ota.window), ("at", ota.at_s)) if value is not None]
    if len(ways) != 1:
        given = f"not {' and '.join(ways)}" if ways else "none is given"
        yield Problem(at, f"expected exactly one of every, window and at, {given}")


def _check_instants(at: Path, instants_s: Sequence[float]) -> Check[Problem]:
    if not instants_s:
        yield Problem(at, "is empty, expected the instants of the chunks, such as [5 s, 10 s]")
    for index, (before_s, after_s) in enumerate(pairwise(instants_s), start=1):
        yield _check_rising((*at, index), before_s, after_s)


def _check_rising(path: Path, before_s: float, after_s: float) -> Iterator[Problem]:
    if after_s < before_s:
        yield Problem(path, "is before the one before it, expected rising instants")


def _check_range(ota: OTA, at: Path) -> Check[Problem]:
    """An image that is fetched is not published in chunks."""
    for name, value in (("every", ota.every_s), ("window", ota.window), ("at", ota.at_s), ("give_up", ota.give_up_s)):
        if value is not None:
            text = "is for `via: mqtt` only; an image that is fetched is announced at `start`"
            yield Problem((*at, name), text, at_key=True)
    if ota.image_bytes is None:
        yield Problem((*at, "image"), "required, expected a size such as 48 MiB")
    yield _check_cap((*at, "retry", "cap"), ota.retry)


def _check_backoff(path: Path, choice: StrategyChoice) -> Iterator[Problem]:
    backoff = getattr(choice.config, "backoff", None)
    if backoff is not None and hasattr(backoff, "cap_s") and hasattr(backoff, "base_s"):
        yield from _check_cap(path, backoff)


def _check_cap(path: Path, backoff: Any) -> Iterator[Problem]:
    if backoff.cap_s < backoff.base_s:
        yield Problem(path, f"is below the base, expected at least {format_quantity(backoff.base_s, 'duration')}")


def _check_load(workload: Workload, drive: DriveConfig) -> Check[Problem]:
    """More messages than anybody means: `every: 1 ms` for an hour would take memory and hours."""
    drive_s = drive_length_s(drive)
    if drive_s is None:
        return
    for kind in ("ota", "diagnostics", "telemetry", "probes"):
        yield _check_count(kind, workload, drive_s)


def _check_count(kind: str, workload: Workload, drive_s: float) -> Iterator[Problem]:
    part = getattr(workload, kind)
    key = "mean_gap" if kind == "probes" else "every"
    period_s = None if part is None else getattr(part, f"{key}_s")
    if period_s is None:
        return
    n = drive_s / period_s
    if kind == "ota" and n > _MOST_MESSAGES and part.image_bytes is not None:
        n = min(n, math.ceil(part.image_bytes / part.chunk_bytes))
    if n > _MOST_MESSAGES:
        shown = format_quantity(round(drive_s, 3), "duration")
        text = f"makes {n:,.0f} messages in a drive of {shown}, at most {_MOST_MESSAGES:,} are allowed"
        yield Problem(("workload", kind, key), text)


def warnings_of(scenario: Scenario, numbers: Mapping[str, Sequence[int]]) -> list[Problem]:
    """Return what can be run but is hardly meant.

    `numbers`: for `strategies` and `objectives` the place in the file of each one of the scenario, which may have fewer.
    """
    drive_s = drive_length_s(scenario.drive)
    found = [
        *_ota_warnings(scenario, drive_s),
        *_broker_warnings(scenario),
        *_access_warnings(scenario),
        *_objective_warnings(scenario),
    ]
    return [
        Problem((head, numbers[str(head)][int(rest[0])], *rest[1:]), problem.text) if head in numbers else problem
        for problem in found
        for head, *rest in [problem.path]
    ]


def drive_length_s(drive: DriveConfig) -> float | None:
    """Length of the drive in s where the settings tell it; None for a recorded drive."""
    if drive.script is not None:
        return drive.script.duration_s
    return _route_s(drive.route) if drive.route else None


def _route_s(route: Iterable[Waypoint]) -> float | None:
    length_s, speed_mps, before = 0.0, 0.0, None
    for point in route:
        speed_mps = point.speed_mps or speed_mps
        if before is not None:
            if speed_mps <= 0.0:
                return None
            length_s += math.dist(before.at_m, point.at_m) / speed_mps
        length_s += point.stop_s
        before = point
    return length_s


def _ota_warnings(scenario: Scenario, drive_s: float | None) -> list[Problem]:
    ota, at = scenario.workload.ota, ("workload", "ota")
    if ota is None or drive_s is None:
        return []
    shown = format_quantity(round(drive_s, 3), "duration")
    if ota.at_s is not None:
        late = [index for index, at_s in enumerate(ota.at_s) if at_s > drive_s]
        text = f"is after the end of the drive ({shown}), the chunk is never created"
        return [Problem((*at, "at", index), text) for index in late]
    if ota.via == "https_range" and ota.start_s >= drive_s:
        return [Problem((*at, "start"), f"is after the end of the drive ({shown}), the update is never announced")]
    chunks = -(-(ota.image_bytes or 0) // (ota.chunk_bytes if ota.via == "mqtt" else ota.range_bytes))
    needs_s = (ota.image_bytes or 0) * 8 / scenario.drive.link.downlink_bps
    path: Path = (*at, "image")
    if ota.every_s is not None:
        needs_s, path = max(needs_s, chunks * ota.every_s), (*at, "every")
    if needs_s > drive_s:
        needed = format_quantity(math.ceil(needs_s), "duration")
        parts = "chunks" if ota.via == "mqtt" else "ranges"
        return [Problem(path, f"the update needs at least {needed} for {chunks} {parts}, the drive ends after {shown}")]
    return []


def _broker_warnings(scenario: Scenario) -> list[Problem]:
    mqtt = [(index, choice) for index, choice in enumerate(scenario.strategies) if hasattr(choice.config, "keep_alive_s")]
    if not mqtt:
        return []
    behaviour, work = scenario.server.broker.behaviour(), scenario.workload
    preset = scenario.server.broker.preset
    problems = []
    sizes: list[tuple[Path, float | None]] = [
        # of an image smaller than a chunk the chunk is the image
        (("workload", "ota", "chunk"), chunk_bytes(work.ota, 0) if work.ota and work.ota.via == "mqtt" else None),
        (("workload", "diagnostics", "response"), work.diagnostics.response_bytes if work.diagnostics else None),
        (("workload", "telemetry", "size"), work.telemetry.size_bytes if work.telemetry else None),
    ]
    limit = format_quantity(behaviour.packet_limit_bytes, "size")
    problems += [
        Problem(path, f"exceeds the packet limit of the broker ({preset}: {limit}), MQTT strategies will deliver none")
        for path, size in sizes
        if size is not None and size > behaviour.packet_limit_bytes
    ]
    for kind in ("ota", "diagnostics", "telemetry"):
        part = getattr(work, kind)
        if part is not None and part.qos > behaviour.qos_max:
            problems.append(Problem(("workload", kind, "qos"), f"the broker ({preset}) grants QoS {behaviour.qos_max} at most"))
    for index, choice in mqtt:
        if getattr(choice.config, "version", "") == "5" and not behaviour.mqtt5:
            text = f"the broker ({preset}, {behaviour.version}) does not speak MQTT 5, {choice.name} will never connect"
            problems.append(Problem(("strategies", index, "version"), text))
    if work.diagnostics is not None and work.diagnostics.expire and mqtt and not behaviour.mqtt5:
        text = f"the broker ({preset}) does not speak MQTT 5, so that messages do not expire in it"
        problems.append(Problem(("workload", "diagnostics", "expire"), text))
    return problems


def _access_warnings(scenario: Scenario) -> list[Problem]:
    if scenario.drive.network.access != "cgnat":
        return []
    text = "network.access is cgnat, so that the server cannot connect to the vehicle: {} will deliver nothing to it"
    return [
        Problem(("strategies", index), text.format(choice.name))
        for index, choice in enumerate(scenario.strategies)
        if hasattr(choice.config, "push")
    ]


def _objective_warnings(scenario: Scenario) -> list[Problem]:
    kinds = ("ota", "diagnostics", "telemetry")
    return [
        Problem(("objectives", index, "metric"), f"workload.{kind} is off, the objective has nothing to judge")
        for index, objective in enumerate(scenario.objectives)
        for kind in kinds
        if objective.metric.startswith(f"{kind}.") and getattr(scenario.workload, kind) is None
    ]


def path_of(key: str, drive: DriveConfig) -> Path:
    """Return the path of a dotted key: 'script.steps.2.at' -> ('script', 'steps', 2, 'at'). Names of gateways may have dots."""
    head = "network.gateways."
    for name in drive.network.gateways if key.startswith(head) else ():
        if key.startswith(f"{head}{name}."):
            return ("network", "gateways", name, *key[len(head) + len(name) + 1 :].split("."))
    return tuple(int(part) if part.isdecimal() else part for part in key.split(".")) if key else ()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
