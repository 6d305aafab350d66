"""What has to fit together across keys (errors), and what will hardly be what was meant (warnings)."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from sim.drive.config import DriveConfig, Waypoint
from sim.protocols.server import Server
from sim.scenario.document import Path, Problem, no_file
from sim.scenario.quantities import format_quantity
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.server.check import Surroundings, check_faults, check_server
from sim.server.config import Fault
from sim.strategies.sources import chunk_bytes, chunks
from sim.strategies.workload import OTA, Workload

_MOST_MESSAGES = 1_000_000  # of one kind in one drive
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
#: The keys of which a drive is given by exactly one.
WAYS = ("route", "script", "recorded")


def name_problems(name: Any) -> list[Problem]:
    """The name is that of a folder too."""
    if isinstance(name, str) and (not _NAME.fullmatch(name) or name.endswith(".")):
        text = "is used as the name of a folder: letters, digits, '.', '_' and '-', at most 80, a letter or digit first"
        return [Problem(("name",), text)]
    return []


def ways_problems(raw: dict[str, Any]) -> list[Problem]:
    """Exactly one of route, script and recorded."""
    given = [key for key in raw if key in WAYS and raw[key] is not None]
    if not given:
        return [Problem((), "the drive is missing, expected exactly one of route, script, recorded")]
    return [
        Problem((way,), f"the drive is given by {given[0]} already, expected one of route, script, recorded", at_key=True)
        for way in given[1:]
    ]


def drive_problems(drive: DriveConfig, folder: FilePath) -> list[Problem]:
    """What the drive says about its settings, the log of a recorded one included."""
    # imported here: the drive needs numpy, which a file with mistakes in it should not wait for
    from sim.drive.check import check_drive

    if drive.recorded is not None and (wrong := no_file(folder / drive.recorded.file)):
        return [Problem(("recorded", "file"), f"{drive.recorded.file} {wrong}")]
    return [Problem(path_of(error.key, drive), error.text) for error in check_drive(drive, folder)]


def server_problems(server: Server) -> list[Problem]:
    found = [
        Problem(("server", *path), text) for path, text in check_server(server.nodes, server.balancer, server.session_store())
    ]
    if not _is_address(server.address):
        found.append(Problem(("server", "address"), "is not an IP address, such as 52.78.123.45"))
    return found


def fault_problems(faults: Sequence[Fault], server: Server, drive: DriveConfig, folder: FilePath) -> list[Problem]:
    """Faults of parts that are not there, at times that never come, with keys that mean nothing for their kind."""
    if not faults:
        return []
    towers, gateways, drive_s = _of_log(drive, folder) if drive.recorded is not None else _of_plan(drive)
    surroundings = Surroundings(
        server.nodes,
        server.balancer,
        server.session_store(),
        server.tls.profile != "none",
        drive.network.access == "cgnat",
        towers,
        tuple(dict.fromkeys((*drive.network.gateways, *gateways))),
        drive_s,
    )
    problems = [Problem(("faults", *path), text, at_key) for path, text, at_key in check_faults(faults, surroundings)]
    for index, fault in enumerate(faults):
        if fault.address is not None and not _is_address(fault.address):
            problems.append(Problem(("faults", index, "address"), "is not an IP address, such as 198.51.100.7"))
    return problems


Named = tuple[tuple[str, ...], tuple[str, ...], float | None]  # towers or cells, gateways, length of the drive in s


def _of_plan(drive: DriveConfig) -> Named:
    """Of a route or a script."""
    towers = tuple(tower.id for tower in drive.towers) or _script_names(drive, "cell")
    return towers, tuple(tower.gateway for tower in drive.towers) or _script_names(drive, "gateway"), drive_length_s(drive)


def _of_log(drive: DriveConfig, folder: FilePath) -> Named:
    # imported here, as in `drive_problems`
    from sim.drive.log import read_log

    assert drive.recorded is not None
    log, _errors = read_log(drive.recorded, folder)
    if log is None:
        return (), (), None
    cells, operators = (tuple(name for name in dict.fromkeys(log.texts.get(key, [])) if name) for key in ("cell", "operator"))
    return cells, operators, float(log.time_s[-1])


def _script_names(drive: DriveConfig, key: str) -> tuple[str, ...]:
    steps = drive.script.steps if drive.script is not None else ()
    return tuple(dict.fromkeys(name for step in steps if (name := getattr(step, key))))


def workload_problems(workload: Workload) -> list[Problem]:
    ota, at = workload.ota, ("workload", "ota")
    if ota is None:
        return []
    problems: list[Problem] = []
    if ota.via == "https_range":
        return _range_problems(ota, at)
    ways = [name for name, value in (("every", ota.every_s), ("window", ota.window), ("at", ota.at_s)) if value is not None]
    if len(ways) != 1:
        given = f"not {' and '.join(ways)}" if ways else "none is given"
        problems.append(Problem(at, f"expected exactly one of every, window and at, {given}"))
    if ota.image_bytes is None and ota.at_s is None:
        problems.append(Problem((*at, "image"), "required unless `at` is given, expected a size such as 48 MiB"))
    if ota.at_s is not None:
        if not ota.at_s:
            problems.append(Problem((*at, "at"), "is empty, expected the instants of the chunks, such as [5 s, 10 s]"))
        for index, (before, after) in enumerate(zip(ota.at_s, ota.at_s[1:], strict=False), start=1):
            if after < before:
                problems.append(Problem((*at, "at", index), "is before the one before it, expected rising instants"))
    if ota.give_up_s is not None and ota.window is None:
        problems.append(Problem((*at, "give_up"), "is for `window` only", at_key=True))
    return problems


def load_problems(workload: Workload, drive_s: float | None) -> list[Problem]:
    """More messages than anybody means: `every: 1 ms` for an hour would take memory and hours."""
    if drive_s is None:
        return []
    counts: dict[Path, float] = {}
    for kind in ("ota", "diagnostics", "telemetry"):
        part = getattr(workload, kind)
        if part is not None and part.every_s is not None:
            counts["workload", kind, "every"] = drive_s / part.every_s
    if workload.ota is not None and workload.ota.every_s is not None:
        counts["workload", "ota", "every"] = min(counts["workload", "ota", "every"], chunks(workload.ota) or math.inf)
    if workload.probes is not None:
        counts["workload", "probes", "mean_gap"] = drive_s / workload.probes.mean_gap_s
    text = "makes {:,.0f} messages in a drive of {}, at most {:,} are allowed"
    shown = format_quantity(round(drive_s, 3), "duration")
    return [Problem(path, text.format(n, shown, _MOST_MESSAGES)) for path, n in counts.items() if n > _MOST_MESSAGES]


def _range_problems(ota: OTA, at: Path) -> list[Problem]:
    """An image that is fetched is not published in chunks."""
    given = {"every": ota.every_s, "window": ota.window, "at": ota.at_s, "give_up": ota.give_up_s}
    problems = [
        Problem((*at, name), "is for `via: mqtt` only; an image that is fetched is announced at `start`", at_key=True)
        for name, value in given.items()
        if value is not None
    ]
    if ota.image_bytes is None:
        problems.append(Problem((*at, "image"), "required, expected a size such as 48 MiB"))
    if ota.retry.cap_s < ota.retry.base_s:
        least = format_quantity(ota.retry.base_s, "duration")
        problems.append(Problem((*at, "retry", "cap"), f"is below the base, expected at least {least}"))
    return problems


def strategy_problems(choices: Sequence[StrategyChoice | None]) -> list[Problem]:
    problems: list[Problem] = []
    for index, choice in enumerate(choices):
        backoff = getattr(choice.config, "backoff", None) if choice else None
        if backoff is not None and getattr(backoff, "cap_s", 0) < getattr(backoff, "base_s", 0):
            least = format_quantity(backoff.base_s, "duration")
            problems.append(Problem(("strategies", index, "backoff", "cap"), f"is below the base, expected at least {least}"))
    return problems


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
    for name in drive.network.gateways:
        if key.startswith(f"{head}{name}."):
            return ("network", "gateways", name, *key[len(head) + len(name) + 1 :].split("."))
    return tuple(int(part) if part.isdecimal() else part for part in key.split(".")) if key else ()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
