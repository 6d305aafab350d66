"""An HTTPS API of which some requests fail: what stands before the server's machine answers them with 503 (RFC 9110 15.6.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sim.machine import MachineBase, Message, PacketReceived, SendPacket, hosted
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.server.timeline import Span, holding

Out = list[Any]
_BODY_BYTES: Final = 32  # a line of text


class FailingAPI(MachineBase):
    """Passes everything on but requests that fail. What is in them is lost on the way, and their sender knows."""

    __slots__ = ("_draw", "_errors", "_hosted", "_machine", "_requests")

    def __init__(self, machine: Any, errors: tuple[Span, ...], draw: Callable[[int], float]) -> None:
        """`errors`: the spans in which a share of the requests fails; `draw(i)` in (0, 1) is for the i-th request."""
        self._machine = machine
        self._hosted = hosted(machine)
        self._errors = errors
        self._draw = draw
        self._requests = 0

    def handle(self, now: float, event: Any) -> Out:
        if type(event) is PacketReceived and type(event.packet) is HTTPRequest:
            self._requests += 1
            span = holding(self._errors, now)
            if span is not None and self._draw(self._requests) < span.share:
                response = HTTPResponse(503, body_bytes=_BODY_BYTES, purpose=event.packet.purpose)
                return [SendPacket(event.transport, response)]
        return self._hosted.handle(now, event)

    def next_deadline(self) -> float:
        return self._hosted.next_deadline()

    def handle_deadline(self, now: float) -> Out:
        return self._hosted.handle_deadline(now)

    def let_go(self) -> None:
        self._hosted.let_go()

    def held(self) -> Iterator[Message]:
        if hasattr(self._machine, "held"):
            yield from self._machine.held()
