"""The vehicle's side of an update that it fetches over HTTPS: one request at a time, resumed at the last byte received.

idle -> downloading -> done; a failed request: waiting -> downloading; ignition off, where that ends connections: paused
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from sim.machine import (
    Deadlines,
    Deliver,
    Message,
    NameFailed,
    NameResolved,
    Note,
    PacketReceived,
    TransportLost,
    TransportOpened,
)
from sim.protocols.http import BodyPart, Endpoint, HTTPClient, HTTPRequest, HTTPResponse
from sim.strategies.backoff import wait_s
from sim.strategies.context import Context
from sim.strategies.sources import image_ranges

Out = list[Any]


class State(Enum):
    """Of the download."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    IDLE = "update_idle"  # nothing was announced
    DOWNLOADING = "update_downloading"
    WAITING = "update_waiting"  # a request failed; the next one is waited for
    PAUSED = "update_paused"  # parked
    DONE = "update_done"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.DOWNLOADING}),
    State.DOWNLOADING: frozenset({State.WAITING, State.PAUSED, State.DONE}),
    State.WAITING: frozenset({State.DOWNLOADING, State.PAUSED}),
    State.PAUSED: frozenset({State.DOWNLOADING}),
    State.DONE: frozenset(),
}


class UpdateClient:
    """Part of a vehicle's machine, with which it shares deadlines and ids of transports.

    Simplification: what the announcement says of the image is read from the workload; its bytes are neither checked nor written.
    """

    __slots__ = (
        "_attempts",
        "_client",
        "_context",
        "_deadlines",
        "_path",
        "_ranges",
        "_received",
        "_waited_s",
        "last_part_s",
        "state",
    )

    def __init__(self, context: Context, deadlines: Deadlines, new_id: Callable[[], int]) -> None:
        self._context = context
        self._deadlines = deadlines
        self._path = f"/api/v1/vehicles/{context.vin}/update"
        self._received = 0  # bytes of the image, without a hole
        self._ranges: list[Message] = []
        self._attempts = 0  # failed ones since the last byte
        self._waited_s = 0.0
        self.last_part_s = context.start_s
        self.state = State.IDLE
        server = context.server
        ota = context.workload.ota
        self._client = HTTPClient(
            deadlines=deadlines,
            deadline="update_timeout",
            endpoint=Endpoint(server.name, server.https_port, peer=server.name),
            mode="per_request",  # a transport for all requests that follow each other without a failure
            timeout_s=ota.download_timeout_s if ota is not None else None,
            new_id=new_id,
            purpose="download",
            on_response=self._range_complete,
            on_failure=self._failed,
            on_part=self._part_received,
        )

    def let_go(self) -> None:
        self._client.let_go()

    def announced(self, now: float, out: Out) -> None:
        """The message that announces the update is here. A second one changes nothing."""
        if self.state is not State.IDLE:
            return
        ota = self._context.workload.ota
        self._ranges = image_ranges(ota, self._context, now) if ota is not None else []
        self._enter(State.DOWNLOADING, out)
        self._request(now, "message", out)

    def pause(self, out: Out) -> None:
        """The vehicle falls silent; what was received is kept."""
        if self.state in (State.DOWNLOADING, State.WAITING):
            self._client.abandon(out, "parked")
            self._deadlines.clear("update_retry")
            self._enter(State.PAUSED, out)

    def resume(self, now: float, trigger: str, out: Out) -> None:
        """The vehicle is back."""
        if self.state is State.PAUSED:
            self._attempts = 0
            self._enter(State.DOWNLOADING, out)
            self._request(now, trigger, out)

    def input(self, now: float, event: Any, out: Out) -> bool:
        """Handle what concerns the download's transport; False: it does not."""
        client = self._client
        kind = type(event)
        if kind is NameResolved:  # others may have asked for the same name
            client.name_resolved(now, event, out)
            return False
        if kind is NameFailed:
            client.name_failed(now, event, out)
            return False
        if client.transport < 0 or getattr(event, "transport", -1) != client.transport:
            return False
        if kind is PacketReceived:
            client.received(now, event.packet, out)
        elif kind is TransportOpened:
            client.opened(now, out)
        elif kind is TransportLost:
            client.lost(now, event.reason, out)
        return True  # of a blocked writer too: what it writes is small, there is nothing to hold back

    def deadline_passed(self, now: float, name: str, out: Out) -> None:
        """`update_timeout` or `update_retry`."""
        if name == "update_timeout":
            self._client.deadline_passed(now, out)
        else:
            self._enter(State.DOWNLOADING, out)
            self._request(now, "retry", out)

    def _request(self, now: float, trigger: str, out: Out) -> None:
        """The rest of the range in which the first missing byte lies."""
        ota = self._context.workload.ota
        if ota is None or ota.image_bytes is None:
            return
        last = min((self._received // ota.range_bytes + 1) * ota.range_bytes, ota.image_bytes) - 1
        request = HTTPRequest("GET", self._path, purpose="poll", byte_range=(self._received, last))
        self._client.send(now, request, out, trigger=trigger)

    def _part_received(self, now: float, part: BodyPart, out: Out) -> None:
        self._received += part.size_bytes
        self._attempts = 0
        self._waited_s = 0.0
        self.last_part_s = now

    def _range_complete(self, now: float, response: HTTPResponse, out: Out) -> None:
        ota = self._context.workload.ota
        if ota is None or ota.image_bytes is None:
            return
        number = (self._received - 1) // ota.range_bytes
        out.append(Deliver(self._ranges[number], "download"))
        if self._received < ota.image_bytes:
            self._request(now, "due", out)
        else:
            self._enter(State.DONE, out)

    def _failed(self, now: float, reason: str, out: Out) -> None:
        ota, n = self._context.workload.ota, self._attempts
        self._enter(State.WAITING, out)
        if ota is None:
            return
        self._waited_s = wait_s(ota.retry, n, self._context.draw("update_backoff", n), self._waited_s)
        self._attempts = n + 1
        self._deadlines.set("update_retry", now + self._waited_s)

    def _enter(self, state: State, out: Out) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"update: {self.state} -> {state} is not in the table")
        self.state = state
        out.append(Note(state.value))


def update_client(context: Context, deadlines: Deadlines, new_id: Callable[[], int]) -> UpdateClient | None:
    """The part for a vehicle whose updates are fetched; None where they are published in chunks."""
    ota = context.workload.ota
    return UpdateClient(context, deadlines, new_id) if ota is not None and ota.via == "https_range" else None
