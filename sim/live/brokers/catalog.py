"""The brokers that the lab can start, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sim.live.brokers import aedes, amqtt, mosquitto, rabbitmq
from sim.live.brokers.running import BrokerUnavailable, RunningBroker
from sim.protocols.broker_presets import PresetName

EMBEDDED = "embedded"  # our own broker machine, in the lab's process


@dataclass(frozen=True, slots=True)
class RealBroker:
    """`missing` returns one line where it cannot be run here; `preset` is the one that was measured on it."""

    start: Callable[[Path], Awaitable[RunningBroker]]
    missing: Callable[[], str | None]
    preset: PresetName


BROKERS: dict[str, RealBroker] = {
    "mosquitto": RealBroker(mosquitto.start_mosquitto, mosquitto.missing, "mosquitto"),
    "rabbitmq": RealBroker(rabbitmq.start_rabbitmq, rabbitmq.missing, "rabbitmq"),
    "aedes": RealBroker(aedes.start_aedes, aedes.missing, "aedes_redis"),
    "aedes_memory": RealBroker(aedes.start_aedes_memory, aedes.missing_in_memory, "aedes"),
    "amqtt": RealBroker(amqtt.start_amqtt, amqtt.missing, "amqtt"),
}


def check_broker(name: str) -> None:
    """Raise BrokerUnavailable, in one line, where `name` is none or cannot be run here."""
    if name == EMBEDDED or _own(name) is not None:
        return
    broker = BROKERS.get(name)
    if broker is None:
        raise BrokerUnavailable(f"no broker {name!r}: {EMBEDDED}, {', '.join(BROKERS)}, or HOST:PORT of one that runs")
    why = broker.missing()
    if why:
        raise BrokerUnavailable(why)


def preset_of(name: str) -> PresetName | None:
    """The preset that holds the values of a broker; None where the name says nothing about them."""
    broker = BROKERS.get(name)
    return broker.preset if broker is not None else None


async def start_broker(name: str, folder: Path) -> RunningBroker:
    """Start a broker in its own folder, or take `host:port`, which the lab neither starts nor ends. Raises BrokerUnavailable."""
    check_broker(name)
    place = _own(name)
    if place is not None:
        return RunningBroker(name, *place, f"{name} (version not known)")
    return await BROKERS[name].start(folder)


def _own(name: str) -> tuple[str, int] | None:
    """Host and port of a user's own broker."""
    host, _, port = name.rpartition(":")
    return (host, int(port)) if host and port.isdigit() and 0 < int(port) < 65536 else None
