"""What the forwarder's process is told once, as one line of JSON: the drive as plain rows, and the names of what it makes.

Plain lists, so that the forwarder starts without loading numpy.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from sim.drive.config import CGNAT, OldPath

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
