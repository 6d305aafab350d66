"""What a vehicle's driver has ahead of it: kinds of items, their order at equal times, the event that wakes it."""

from __future__ import annotations

from typing import Any, Final

from sim.server.timeline import Change

# order of equal times
CHANGE: Final = 0
INPUT: Final = 1
CREATION: Final = 2
DEADLINE: Final = 3

# what may be posted: see the driver's _OCCURRENCES
AT_VEHICLE: Final = 0
AT_SERVER: Final = 1
NAMED: Final = 2
OPENED: Final = 3
ACCEPTED: Final = 4
LOST: Final = 5
WRITE_BLOCKED: Final = 6
WRITE_RESUMED: Final = 7
ADDRESS_CHANGED: Final = 8
SERVER_CHANGED: Final = 9
IGNITION_CHANGED: Final = 10
SHARED: Final = 11  # from here on: what meets others, at a node or in a cell
SYN_AT_NODE: Final = 11
HELLO_AT_NODE: Final = 12
CONNECT_AT_NODE: Final = 13
PACKET_AT_NODE: Final = 14
IN_CELL: Final = 15
ANSWERED: Final = 16

SOON_S: Final = 1e-9  # a wait in a cell that is shorter is a matter of rounding
RANKS: Final = 1 << 40  # serial numbers of a vehicle, for the order of equal times in a fleet

Item = tuple[Any, ...]  # (instant, order, serial, what, a, b): something posted


class Wake:
    """A light event: what `Environment.step` reads of an event and no more (SimPy 4.1; a test pins it)."""

    __slots__ = ("a", "at", "b", "callbacks", "what")
    _ok = True

    def __init__(self, callbacks: Any, at: float, what: int = -1, a: Any = None, b: Any = None) -> None:
        self.callbacks = callbacks
        self.at = at
        self.what = what
        self.a = a
        self.b = b


#: change of the server side -> what its machine is told
TOLD: Final[dict[Change, str]] = {
    Change.SAVED: "sessions_saved",
    Change.NODE_STARTED: "node_started",
    Change.STORE_FAILED: "store_failed",
    Change.STORE_RECOVERED: "store_recovered",
}
