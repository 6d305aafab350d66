"""From a strategy's settings to its two machines: the vehicle's and the OTA server's."""

from __future__ import annotations

from typing import Any, Protocol

from sim.machine import Machine
from sim.strategies.backend import HybridBackend, MQTTBackend
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTConnection, StaticPush
from sim.strategies.context import Context
from sim.strategies.hybrid import HybridVehicle
from sim.strategies.mqtt_vehicle import MQTTVehicle
from sim.strategies.push_backend import PushBackend
from sim.strategies.push_vehicle import PushVehicle


class UserStrategy(Protocol):
    """What a strategy of the user's own offers: a settings class and two builders. See docs/own_strategy.md."""

    Config: type[Any]

    @staticmethod
    def vehicle(config: Any, context: Context) -> Machine: ...

    @staticmethod
    def server(config: Any, context: Context) -> Machine: ...


def build_machines(use: str, config: Any, context: Context, user: Any = None) -> tuple[Any, Any]:
    """Return (vehicle machine, server machine). `user` is the class behind `use: file.py:Class`.

    Raises:
        ValueError: `use` is not in the catalog and no user class was given.
    """
    if user is not None:
        return user.vehicle(config, context), user.server(config, context)
    if isinstance(config, Hybrid):
        return HybridVehicle(config, context), HybridBackend(config, context)
    if isinstance(config, MQTTConnection):
        return MQTTVehicle(config, context), MQTTBackend(context)
    if isinstance(config, DDNSHeartbeat | StaticPush):
        return PushVehicle(config, context), PushBackend(config, context)
    raise ValueError(f"no strategy {use!r}")
