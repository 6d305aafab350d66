"""The file that `init NAME` writes: small, commented, and it runs."""

from __future__ import annotations

from pathlib import Path

from sim.scenario.checks import name_problems
from sim.scenario.document import ScenarioErrors

_STARTER = """\
{schema}# {name}: a drive and the strategies that are compared on it.
#
#   python -m sim check {file}
#   python -m sim run {file}
#
# A value carries its unit (30 s, 256 KiB, 20 Mbit/s, 90 km/h, 95 %). What is left out has a default:
# `python -m sim schema` describes every key.
name: {name}
description: A vehicle passes from one gateway to the next while an update streams to it.

# The drive. Instead of a script: a road with towers, or a recorded drive; see city_a_to_b.yaml and recorded_drive.yaml.
script:
  steps:                                    # what a step does not name stays as it was
    - {{at: 0 s, link: up, cell: Tower-A, gateway: city-a}}
    - {{at: 60 s, cell: Tower-B, gateway: highway, cause: handover to another gateway}}
    - {{at: 120 s, link: lost, cause: tunnel}}    # lost: packets are gone; held: they wait
    - {{at: 140 s, link: up, cause: tunnel ends}}
  duration: 3 min
network:
  gateways:                                 # a new gateway means a new address
    city-a: {{address: 10.1.1.100}}
    highway: {{address: 10.2.5.200}}
  reassignment: {{delay: 1.5 s}}              # so long the vehicle has no address
  access: private_apn                       # cgnat: nobody can connect to the vehicle; private_apn: the server can; public
link: {{rtt: {{median: 80 ms, p95: 180 ms}}, downlink: 20 Mbit/s, uplink: 5 Mbit/s}}

server: {{broker: mosquitto, tls: hybrid}}    # `python -m sim list presets` shows the brokers

workload:
  ota: {{image: 8 MiB, chunk: 256 KiB, every: 5 s}}
  diagnostics: {{every: 30 s, timeout: 10 s}}
  telemetry: {{every: 10 s, size: 1 KiB}}

# Each gets the same drives. `python -m sim list strategies` shows them; a variant needs a name of its own.
strategies:
  - mqtt_persistent
  - hybrid
  - {{use: mqtt_persistent, name: tuned, keep_alive: 15 s, address_watch: link_event, backoff: full_jitter}}

replications: 10                            # drives that differ in what is random
objectives:                                 # a run ends with exit code 1 when one is missed
  - {{strategy: hybrid, metric: ota.lost, at_most: 0}}
"""


def starter_text(name: str, file: str = "", schema: str = "") -> str:
    """Return the text of a starter file; `schema` is where the JSON Schema is, seen from the file."""
    line = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return _STARTER.format(name=name, file=file or f"{name}.yaml", schema=line)


def write_starter(target: str) -> Path:
    """Write a starter file for `target` (a name, or a path that ends in .yaml) and return its path.

    An existing file is never overwritten, and none is left half-written. Raises ScenarioErrors.
    """
    path = Path(target)
    if not target.strip():
        raise ScenarioErrors(["the name is empty, expected a name, or a path such as my_drive.yaml"])
    if target.endswith("/") or path.is_dir():
        raise ScenarioErrors([f"{target}: is a folder, expected a name, or a path such as {path / 'my_drive.yaml'}"])
    if path.suffix not in ("", ".yaml", ".yml"):
        raise ScenarioErrors([f"{target}: expected a name without a dot, or a path that ends in .yaml"])
    path = path if path.suffix else path.with_suffix(".yaml")
    wrong = name_problems(path.stem)
    if wrong:
        raise ScenarioErrors([f"{target}: the name {wrong[0].text}"])
    schema = "schema.json" if (path.parent / "schema.json").is_file() else ""
    try:
        if not path.parent.is_dir():
            raise ScenarioErrors([f"{path}: there is no folder {path.parent}, make it first"])
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            try:
                file.write(starter_text(path.stem, str(path), schema))
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        raise ScenarioErrors([f"{path}: exists already, it is not overwritten"]) from None
    except (OSError, ValueError) as error:
        raise ScenarioErrors([f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}"]) from None
    return path
