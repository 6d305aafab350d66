"""Eclipse mosquitto from Debian: default settings but for its listener, anonymous access and persistence."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sim.live.brokers.processes import free_ports, output_of, program, start
from sim.live.brokers.running import BrokerUnavailable, Node, RunningBroker


def missing() -> str | None:
    """One line where mosquitto cannot be run."""
    return None if program("mosquitto") else "mosquitto is not installed: make deps"


async def start_mosquitto(folder: Path) -> RunningBroker:
    """Mosquitto on a free port of 127.0.0.1; configuration, store and log in `folder`."""
    executable = program("mosquitto")
    if executable is None:
        raise BrokerUnavailable(missing() or "")
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    config = folder / "mosquitto.conf"
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder.resolve()}/",
        "log_dest stdout",
        "log_type all",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes the user mosquitto, who may not write into `folder`
    config.write_text("\n".join(lines) + "\n")
    found = re.search(r"version (\S+)", await output_of(executable, "-h"))
    broker = RunningBroker("mosquitto", "127.0.0.1", port, f"mosquitto {found[1] if found else 'of an unknown version'}")
    try:
        broker.processes.append(await start(executable, "-c", str(config), log=folder / "mosquitto.log"))
        broker.nodes.append(Node(broker.port, broker.processes[-1]))
        await broker.ready()
    except BaseException:
        await broker.stop()
        raise
    return broker
