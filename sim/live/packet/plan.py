"""What the forwarder's process is told once, as one line of JSON: the drive as plain rows, and the names of what it makes.

Plain lists, so that the forwarder starts without loading numpy.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sim.drive.config import CGNAT, OldPath
from sim.live.packet.outages import Outage, rows_with

# sim.drive.timeline.LinkState, whose module loads numpy
UP, HELD, LOST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in s of the drive; `origin` is the drive's 0 on the monotonic clock, which all processes share."""

    vehicle: str  # namespace
    server: str  # namespace
    lab_pid: int
    origin: float
    server_address: str
    mtu_bytes: int
    initial_window: int
    retries2: int
    slow_start_after_idle: bool
    queue_bytes: int
    old_path: OldPath
    cgnat: CGNAT | None  # None: no NAT on the path
    rebinds_s: list[float]  # when the NAT forgets its mappings
    start_s: list[float]
    address: list[str]  # "": none
    state: list[int]  # UP, HELD or LOST
    rtt_s: list[float]
    downlink_bps: list[float]
    uplink_bps: list[float]
    restart_delay_s: float = 0.0  # from the interface being up again, after somebody took it down, to the address
    restart_keeps_address: bool = True
    capture: str = ""  # file for the packets at the vehicle's interface; "": none
    epoch_ns: int = 0  # wall clock at the drive's 0, for the instants in that file

    def after(self, outages: Sequence[Outage]) -> Plan:
        """The plan as somebody's hand has left it."""
        rows = rows_with(self.start_s, self.address, outages)
        kept = [row.of for row in rows]
        return dataclasses.replace(
            self,
            start_s=[row.start_s for row in rows],
            address=[row.address for row in rows],
            state=[LOST if row.cut else self.state[row.of] for row in rows],
            rtt_s=[self.rtt_s[of] for of in kept],
            downlink_bps=[self.downlink_bps[of] for of in kept],
            uplink_bps=[self.uplink_bps[of] for of in kept],
        )

    def line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Plan:
        fields = json.loads(line)
        if fields["cgnat"] is not None:
            fields["cgnat"] = CGNAT(**fields["cgnat"])
        return Plan(**fields)


def changes(addresses: list[str]) -> list[int]:
    """Rows with which another address (or none) begins; the first row is one."""
    return [row for row, address in enumerate(addresses) if row == 0 or address != addresses[row - 1]]
