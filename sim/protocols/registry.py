"""The registry of strategy 2: which address each vehicle last posted, and when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    address: str
    heartbeat_s: float
    status: str = "online"


class Registry:
    """VIN -> the newest heartbeat. A heartbeat older than the one known is ignored."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def heartbeat(self, now: float, vin: str, address: str, status: str = "online") -> bool:
        """Record a heartbeat; returns whether the address is a new one."""
        before = self._entries.get(vin)
        self._entries[vin] = Entry(address, now, status)
        return before is None or before.address != address

    def get(self, vin: str) -> Entry | None:
        return self._entries.get(vin)
