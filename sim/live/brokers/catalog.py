"""The brokers that the lab can start, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sim.live.brokers import aedes, amqtt, haproxy, mosquitto, rabbitmq
from sim.live.brokers.processes import free_ports
from sim.live.brokers.running import BrokerUnavailable, RunningBroker
from sim.protocols.broker_presets import PresetName
from sim.protocols.server import Server

EMBEDDED = "embedded"  # our own broker machine, in the lab's process


@dataclass(frozen=True, slots=True)
class RealBroker:
    """`missing` returns one line where it cannot be run here; `preset` is the one that was measured on it.

    `starts_in_s`: from the start of a node's process, with what it had kept, until it accepts a CONNECT; as measured
    (docs/brokers.md). Faults start a process so long before they end.
    """

    start: Callable[[Path], Awaitable[RunningBroker]]
    missing: Callable[[], str | None]
    preset: PresetName
    starts_in_s: float


BROKERS: dict[str, RealBroker] = {
    "mosquitto": RealBroker(mosquitto.start_mosquitto, mosquitto.missing, "mosquitto", 0.04),
    "rabbitmq": RealBroker(rabbitmq.start_rabbitmq, rabbitmq.missing, "rabbitmq", 12.0),
    "aedes": RealBroker(aedes.start_aedes, aedes.missing, "aedes_redis", 0.4),
    "aedes_memory": RealBroker(aedes.start_aedes_memory, aedes.missing_in_memory, "aedes", 0.5),
    "amqtt": RealBroker(amqtt.start_amqtt, amqtt.missing, "amqtt", 0.2),
}


def check_broker(name: str, server: Server | None = None) -> None:
    """Raise BrokerUnavailable, in one line, where `name` is none or cannot be run here, with what `server` puts before it."""
    if name == EMBEDDED or _own(name) is not None:
        return
    broker = BROKERS.get(name)
    if broker is None:
        raise BrokerUnavailable(f"no broker {name!r}: {EMBEDDED}, {', '.join(BROKERS)}, or HOST:PORT of one that runs")
    why = broker.missing() or (haproxy.missing() if server is not None and server.balancer is not None else None)
    if why:
        raise BrokerUnavailable(why)


def starts_in_s(name: str) -> float:
    """How long a node takes to start; 0 where it is not ours to start."""
    broker = BROKERS.get(name)
    return broker.starts_in_s if broker is not None else 0.0


def preset_of(name: str) -> PresetName | None:
    """The preset that holds the values of a broker; None where the name says nothing about them."""
    broker = BROKERS.get(name)
    return broker.preset if broker is not None else None


async def start_broker(name: str, folder: Path, server: Server | None = None) -> RunningBroker:
    """Start a broker in its own folder, or take `host:port`, which the lab neither starts nor ends. Raises BrokerUnavailable.

    `server`: what it says of nodes, store and balancer is built; a broker that has no such parts has been refused before
    (`sim.live.playable`).
    """
    check_broker(name, server)
    place = _own(name)
    if place is not None:
        return RunningBroker(name, *place, f"{name} (version not known)")
    if server is None:
        return await BROKERS[name].start(folder)
    if name == "aedes":
        broker = await aedes.start_aedes(folder, len(server.nodes.names), server.store.aof)
    else:
        broker = await BROKERS[name].start(folder)
    if server.balancer is not None:
        try:
            await _put_behind(broker, server, folder)
        except BaseException:
            await broker.stop()
            raise
    return broker


async def _put_behind(broker: RunningBroker, server: Server, folder: Path) -> None:
    """A haproxy becomes what stands at the broker's place."""
    assert server.balancer is not None
    port, told_port = free_ports(2)
    nodes = dict(zip(server.nodes.names, (node.port for node in broker.nodes), strict=True))
    broker.balancer = await haproxy.start_haproxy(folder, server.balancer, nodes, port, told_port)
    broker.processes.append(broker.balancer)
    broker.port, broker.told_port = port, told_port
    await broker.passes()
    of = f"{len(nodes)} nodes of " if len(nodes) > 1 else ""
    broker.version = f"{of}{broker.version}, behind {await haproxy.haproxy_version()}"


def _own(name: str) -> tuple[str, int] | None:
    """Host and port of a user's own broker."""
    host, _, port = name.rpartition(":")
    return (host, int(port)) if host and port.isdigit() and 0 < int(port) < 65536 else None
