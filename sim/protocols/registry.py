"""The registry of strategy 2: which address each vehicle last posted, and when."""

from __future__ import annotations

from sim.protocols.kept import Entry, Keeper


class Registry:
    """VIN -> the newest heartbeat."""

    __slots__ = ("_entries", "keepers")

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.keepers: tuple[Keeper, ...] = ()

    def heartbeat(self, now: float, vin: str, address: str, status: str = "online") -> bool:
        """Record a heartbeat; returns whether the address is a new one."""
        before = self._entries.get(vin)
        entry = self._entries[vin] = Entry(address, now, status)
        for keeper in self.keepers:
            keeper.heartbeat(vin, entry)
        return before is None or before.address != address

    def get(self, vin: str) -> Entry | None:
        return self._entries.get(vin)

    def restore(self, vin: str, entry: Entry | None) -> bool:
        """Take over what a store holds; returns whether the address is a new one. Keepers know it."""
        before = self._entries.pop(vin, None)
        if entry is not None:
            self._entries[vin] = entry
        return (before.address if before is not None else "") != (entry.address if entry is not None else "")
