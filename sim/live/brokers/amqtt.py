"""amqtt, a broker in Python (the extra `amqtt`), in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from sim.live.brokers.processes import free_ports, start
from sim.live.brokers.running import BrokerUnavailable, Node, RunningBroker

_SERVER = Path(__file__).with_name("amqtt_server.py")


def missing() -> str | None:
    """One line where amqtt cannot be run."""
    if importlib.util.find_spec("amqtt") is None:
        return "amqtt is not installed: pip install 'amqtt>=0.12.1,<0.13'"
    return None


async def start_amqtt(folder: Path) -> RunningBroker:
    """Amqtt on a free port of 127.0.0.1, its log in `folder`."""
    why = missing()
    if why:
        raise BrokerUnavailable(why)
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    broker = RunningBroker("amqtt", "127.0.0.1", port, f"amqtt {importlib.metadata.version('amqtt')}")
    # -P and a script, not a module of ours: this folder has an amqtt.py too, and must not be where `import amqtt` looks
    command = (sys.executable, "-P", str(_SERVER), str(port))
    try:
        broker.processes.append(await start(*command, log=folder / "amqtt.log", env=dict(os.environ)))
        broker.nodes.append(Node(broker.port, broker.processes[-1]))
        await broker.ready()
    except BaseException:
        await broker.stop()
        raise
    return broker
