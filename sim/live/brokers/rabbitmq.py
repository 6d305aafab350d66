"""RabbitMQ from Debian with its MQTT plugin: default settings, but everything it would share with another node is its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sim.live.brokers.processes import free_ports, program, start
from sim.live.brokers.running import BrokerUnavailable, Login, Node, RunningBroker

#: Debian's wrapper in /usr/sbin changes the user and the folder; this is the script that it calls
_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_PLUGINS = Path("/usr/lib/rabbitmq/lib")


def missing() -> str | None:
    """One line where RabbitMQ cannot be run."""
    if not _SCRIPT.is_file() or not program("epmd"):
        return "rabbitmq-server is not installed: make deps"
    return None if any(_PLUGINS.glob("*/plugins/rabbitmq_mqtt-*")) else "rabbitmq-server has no plugin rabbitmq_mqtt: make deps"


async def start_rabbitmq(folder: Path) -> RunningBroker:
    """RabbitMQ on free ports of 127.0.0.1; database, logs, cookie and configuration in `folder`. Takes 5 to 10 s."""
    why = missing()
    if why:
        raise BrokerUnavailable(why)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    amqp, mqtt, epmd, distribution = free_ports(4)
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{amqp}\n"
        f"mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}\n"
        "disk_free_limit.absolute = 10MB\n"  # else a full disk of the machine blocks every publisher
        "log.file.level = info\n"
    )
    (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
    (folder / "rabbitmq-env.conf").write_text("")
    # names are looked up here alone: no other helper process, no question to anybody's DNS
    (folder / "inetrc").write_text('{lookup, [file]}.\n{host, {127,0,0,1}, ["localhost"]}.\n')
    # guest is RabbitMQ's own user for connections from the same machine; a user name without password would be refused
    broker = RunningBroker("rabbitmq", "127.0.0.1", mqtt, "", Login("guest", b"guest"))
    environment = _environment(folder, epmd, distribution, f"lab{mqtt}@localhost")
    try:
        # a daemon of Erlang that the node would start itself, and leave behind
        command = (program("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(epmd))
        broker.processes.append(await start(*command, log=folder / "epmd.log", env=environment))
        broker.processes.append(await start(str(_SCRIPT), log=folder / "console.log", env=environment, cwd=folder))
        broker.nodes.append(Node(broker.port, broker.processes[-1]))
        await broker.ready()
        broker.version = _version(folder / "rabbitmq.log")
    except BaseException:
        await broker.stop()
        raise
    return broker


def _environment(folder: Path, epmd: int, distribution: int, node: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | {
        "HOME": str(folder),  # of the Erlang cookie
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_INETRC": str(folder / "inetrc"),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "plugins"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": str(folder / "rabbitmq.log"),
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
    }


def _version(log: Path) -> str:
    """As the node says it itself: Starting RabbitMQ 3.10.8 on Erlang 25.2.3."""
    found = re.search(r"Starting RabbitMQ (\S+) on Erlang (\S+)", log.read_text(errors="replace") if log.is_file() else "")
    return f"RabbitMQ {found[1]} with rabbitmq_mqtt on Erlang {found[2]}" if found else "RabbitMQ of an unknown version"
