"""What a strategy is given when its machines are built: names, server settings, workload, draws. No clock, no IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.parking import Parked
from sim.protocols.server import Server
from sim.strategies.workload import Workload
from sim.subclassing import mypyc_attr

#: Port on which the vehicle listens for the server's connections (strategy 2, static_push).
VEHICLE_PORT = 8443
#: Transport of the OTA server's own MQTT connection to the broker, in the same data centre.
LAN = 0


@mypyc_attr(allow_interpreted_subclasses=True)
@dataclass(frozen=True, slots=True)
class Context:
    """One vehicle and the server it talks to.

    `phase(purpose)` is a number in (0, 1], the same for all strategies, that places a periodic activity in its period
    (1 for every purpose where phases are fixed). `draw(purpose, index)` is uniform in (0, 1).
    `start_s` is when the machines start; `drive_end_s` when creation of messages stops. `parked`: spans with the ignition
    off, for those who lay the workload over the drive; a machine learns of them by IgnitionChanged.
    """

    vin: str
    server: Server
    workload: Workload
    phase: Callable[[str], float]
    draw: Callable[[str, int], float]
    start_s: float
    drive_end_s: float
    first_address: str
    parked: Parked = ()

    @property
    def client_id(self) -> str:
        return f"vehicle-{self.vin}"

    @property
    def host(self) -> str:
        """The vehicle's own name: in its certificate and, with dynamic DNS, in the zone."""
        return self.host_of(self.vin)

    def host_of(self, vin: str) -> str:
        """The name in the certificate of the vehicle with this VIN."""
        return f"{vin.lower()}.vehicles.{self.server.name}"

    @property
    def identifies(self) -> bool:
        """Whether the server knows by certificate who connects to it."""
        return self.server.tls.profile != "none" and self.server.tls.mutual

    def topic(self, suffix: str) -> str:
        return f"vehicle/{self.vin}/{suffix}"
