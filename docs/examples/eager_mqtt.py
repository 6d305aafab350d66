"""Two strategies of one's own that start from strategy 1. Used by own_strategies.yaml; explained in docs/own_strategy.md.

`WatchfulMQTT` only has other defaults. `EagerMQTT` also has a machine of its own: it reconnects on the link event, and
when the server has been silent for a while it asks with an extra PINGREQ instead of waiting for the keep alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sim.machine import PacketReceived, SendPacket
from sim.protocols.mqtt_packets import PingReq
from sim.settings import setting
from sim.strategies.backend import MQTTBackend
from sim.strategies.backoff import Backoff
from sim.strategies.config import MQTTPersistent
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle, State


@dataclass(frozen=True, slots=True)
class WatchfulSettings(MQTTPersistent):
    """The settings of strategy 1; two of them have another default."""

    address_watch: Literal["poll", "link_event", "off"] = setting("link_event", "how the vehicle learns of a new address")
    backoff: Backoff = setting(factory=lambda: Backoff("full_jitter", cap_s=20.0), doc="waits between failed attempts")


class WatchfulMQTT:
    """Strategy 1 that is told of a new address at once and spreads its attempts."""

    Config = WatchfulSettings

    @staticmethod
    def vehicle(config: WatchfulSettings, context: Context) -> MQTTVehicle:
        return MQTTVehicle(config, context)

    @staticmethod
    def server(config: WatchfulSettings, context: Context) -> MQTTBackend:
        return MQTTBackend(context)


@dataclass(frozen=True, slots=True)
class EagerSettings(WatchfulSettings):
    """`silent_s` becomes the key `silent` of the scenario file, a duration: the name's ending says the unit."""

    silent_s: float = setting(8.0, "no packet of the server for this long: ask with a PINGREQ", "this example", above=0.0)
    answer_s: float = setting(4.0, "no answer for this long: the connection is dead", "this example", above=0.0)


class EagerVehicle(MQTTVehicle):
    """Strategy 1's machine with one more deadline, `silence`, which every packet of the server moves."""

    __slots__ = ("_answer_s", "_silent_s")

    def __init__(self, config: EagerSettings, context: Context) -> None:
        super().__init__(config, context)
        self._silent_s = config.silent_s
        self._answer_s = config.answer_s
        self.on_change = self._changed  # called at each change of state

    def _changed(self, now: float, state: State, out: list[Any]) -> None:
        if state is State.ONLINE:
            self.deadlines.set("silence", now + self._silent_s)
        else:
            self.deadlines.clear("silence")

    def input(self, now: float, event: Any, out: list[Any]) -> None:
        super().input(now, event, out)
        if type(event) is PacketReceived and event.transport == self.transport and self.state is State.ONLINE:
            self.deadlines.set("silence", now + self._silent_s)
            self.deadlines.clear("pingresp")  # whatever arrived shows that the path lives

    def deadline_passed(self, now: float, name: str, out: list[Any]) -> None:
        if name != "silence":
            super().deadline_passed(now, name, out)  # `pingresp` is one of strategy 1's: it gives the connection up
            return
        out.append(SendPacket(self.transport, PingReq()))
        self.deadlines.set("pingresp", now + self._answer_s)


class EagerMQTT:
    """Strategy 1 with `EagerVehicle` in the vehicle; the server's side is unchanged."""

    Config = EagerSettings

    @staticmethod
    def vehicle(config: EagerSettings, context: Context) -> EagerVehicle:
        return EagerVehicle(config, context)

    @staticmethod
    def server(config: EagerSettings, context: Context) -> MQTTBackend:
        return MQTTBackend(context)
