"""What the OTA server has to keep of a vehicle, for whoever keeps it elsewhere too: the heartbeat and the pending messages.

The machines hold both themselves. A keeper is told of each change as it is made; what it holds comes back as the input
StoreChanged, at the start and whenever somebody else has changed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sim.machine import Message


@dataclass(slots=True)
class Entry:
    """The newest heartbeat of a vehicle."""

    address: str
    heartbeat_s: float
    status: str = "online"


@dataclass(slots=True)
class Kept:
    """What a store holds of the vehicle with this VIN: oldest messages first.

    `emptied`: it has lost what it held before, as a store does that fails over to a replica or restarts without a copy.
    """

    vin: str
    entry: Entry | None = None
    messages: tuple[Message, ...] = ()
    emptied: bool = False


class Keeper(Protocol):
    """Is told of the changes of one vehicle. It must not call back."""

    def heartbeat(self, vin: str, entry: Entry) -> None: ...

    def put(self, message: Message) -> None: ...

    def remove(self, message_id: int) -> None: ...
