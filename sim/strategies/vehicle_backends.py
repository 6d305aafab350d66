"""The backends of several vehicles behind one API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim.machine import MachineBase, Message, PacketReceived, StoreChanged
from sim.protocols.http import HTTPRequest
from sim.strategies.vehicle_api import vin_in
from sim.subclassing import mypyc_attr

Out = list[Any]


@mypyc_attr(allow_interpreted_subclasses=True)
class VehicleBackends(MachineBase):
    """A machine: gives a request to the backend of the vehicle that its path names, and everything else to all of them."""

    __slots__ = ("_backends", "_first")

    def __init__(self, backends: Mapping[str, Any]) -> None:
        """`backends`: by VIN, one at least."""
        self._backends = dict(backends)
        self._first = next(iter(self._backends))  # which refuses what belongs to nobody

    def handle(self, now: float, event: Any) -> Out:
        if type(event) is PacketReceived and isinstance(event.packet, HTTPRequest):
            return list(self._of(vin_in(event.packet.path)).handle(now, event))
        if type(event) is StoreChanged and event.kept is not None:
            return list(self._of(event.kept.vin).handle(now, event))
        out: Out = []
        for vin, backend in self._backends.items():
            if type(event) is StoreChanged and vin != self._first:
                event = StoreChanged(None, event.reason)  # what was withheld is answered once
            out += backend.handle(now, event)
        return out

    def _of(self, vin: str) -> Any:
        return self._backends.get(vin) or self._backends[self._first]

    def next_deadline(self) -> float:
        return float(min(backend.next_deadline() for backend in self._backends.values()))

    def handle_deadline(self, now: float) -> Out:
        out: Out = []
        for backend in self._backends.values():
            if backend.next_deadline() <= now:
                out += backend.handle_deadline(now)
        return out

    def held(self) -> Iterator[Message]:
        for backend in self._backends.values():
            yield from backend.held()
