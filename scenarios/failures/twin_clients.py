"""Two programs of one vehicle that connect with the same client id, by mistake. Used by f04_takeover_loop.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.machine import MachineBase, Message, MessageCreated, TransportAccepted
from sim.settings import setting
from sim.strategies.backend import MQTTBackend
from sim.strategies.config import MQTTPersistent
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle, TransportIds


@dataclass(frozen=True, slots=True)
class TwinSettings(MQTTPersistent):
    """The settings of strategy 1, for both programs."""

    own_ids: bool = setting(False, "the second program has a client id of its own", "failure-modes F4")
    second_after_s: float = setting(
        60.0, "the second program starts so long after the drive has begun", "this example", at_least=0.0
    )


class SecondContext(Context):
    """What the second program is given: another client id, the same topics."""

    __slots__ = ()

    @property
    def client_id(self) -> str:
        return f"second-{self.vin}"


class TwinVehicle(MachineBase):
    """Two clients behind one link. What the vehicle sends goes out by the first one; what comes, each takes that is connected."""

    def __init__(self, config: TwinSettings, context: Context) -> None:
        fields = {field.name: getattr(context, field.name) for field in dataclasses.fields(context)}
        new_id = TransportIds()
        self._first = MQTTVehicle(config, context, new_id=new_id)
        self._second = MQTTVehicle(config, SecondContext(**fields) if config.own_ids else context, new_id=new_id)
        self._second.deadlines.set("start", config.second_after_s)

    def handle(self, now: float, event: Any) -> list[Any]:
        if isinstance(event, MessageCreated | TransportAccepted):
            return self._first.handle(now, event)
        return self._first.handle(now, event) + self._second.handle(now, event)  # each ignores the transports of the other

    def next_deadline(self) -> float:
        return min(self._first.next_deadline(), self._second.next_deadline())

    def handle_deadline(self, now: float) -> list[Any]:
        return self._first.handle_deadline(now) + self._second.handle_deadline(now)

    def held(self) -> Iterator[Message]:
        yield from self._first.held()
        yield from self._second.held()


class TwinClients:
    """Strategy 1, twice in one vehicle."""

    Config = TwinSettings

    @staticmethod
    def vehicle(config: TwinSettings, context: Context) -> TwinVehicle:
        return TwinVehicle(config, context)

    @staticmethod
    def server(config: TwinSettings, context: Context) -> MQTTBackend:
        return MQTTBackend(context)
