"""Strategy 1 with a server that publishes its commands retained. Used by f15_retained_command.yaml."""

from __future__ import annotations

from typing import Any

from sim.machine import Message
from sim.protocols.publishing import Publishing, Subscriber
from sim.strategies.backend import MQTTBackend
from sim.strategies.config import MQTTPersistent
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle


class Retaining(Publishing):
    """The broker, as an application sees it that sets RETAIN on every update (MQTT 3.1.1 3.3.1.3)."""

    def __init__(self, broker: Publishing) -> None:
        self._broker = broker

    def subscribe_local(self, name: str, subscriber: Subscriber) -> None:
        self._broker.subscribe_local(name, subscriber)

    def publish(self, now: float, message: Message, qos: int, retain: bool, out: list[Any]) -> None:
        self._broker.publish(now, message, qos, retain or message.kind == "ota", out)


class RetainingBackend(MQTTBackend):
    """Strategy 1's server before such a broker."""

    def join(self, broker: Publishing) -> None:
        super().join(Retaining(broker))


class RetainedCommand:
    """Strategy 1 in the vehicle, `RetainingBackend` in the data centre."""

    Config = MQTTPersistent

    @staticmethod
    def vehicle(config: MQTTPersistent, context: Context) -> MQTTVehicle:
        return MQTTVehicle(config, context)

    @staticmethod
    def server(config: MQTTPersistent, context: Context) -> RetainingBackend:
        return RetainingBackend(context)
