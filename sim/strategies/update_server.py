"""The server's side of an update that vehicles fetch over HTTPS in ranges (RFC 9110 14).

The file is kept until the end: what a vehicle has not fetched is pending, never lost. Each range of `workload.ota.range` is
a message of its own in the ledger, created with the announcement, so that created = delivered + pending.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sim.machine import Create, Message, SendPacket
from sim.protocols.http import BodyPart, HTTPRequest, HTTPResponse
from sim.strategies.context import Context
from sim.strategies.sources import RANGE_IDS, image_ranges
from sim.strategies.vehicle_api import refusal

#: Bytes of a body that are written at a time. Simplification: a download is resumed at a multiple of 64 KiB, which is four
#: TLS records; what arrived of a part that was cut off is fetched again.
PART_BYTES: Final = 64 * 1024


class UpdateServer:
    """Part of a backend: the ranges as messages, and the answers to requests for them."""

    __slots__ = ("_context", "_ranges")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ranges: list[Message] = []

    def announced(self, now: float, message: Message, out: list[Any]) -> None:
        """The announcement is on its way: from now on there is something to fetch."""
        ota = self._context.workload.ota
        if ota is None or ota.via != "https_range" or message.kind != "ota" or self._ranges:
            return
        self._ranges = image_ranges(ota, self._context, now)
        out += [Create(one) for one in self._ranges]

    def held(self) -> Iterator[Message]:
        """The file."""
        yield from self._ranges

    def serve(self, transport: int, request: HTTPRequest, out: list[Any]) -> None:
        """Answer with the bytes asked for: 206, 200 without a range, 416 where there are none, 404 before the announcement."""
        ota = self._context.workload.ota
        if ota is None or ota.image_bytes is None or not self._ranges:
            out.append(SendPacket(transport, refusal(404, request)))
            return
        last = ota.image_bytes - 1
        first, until = request.byte_range or (0, last)
        until = min(until, last)
        if not 0 <= first <= until:
            out.append(SendPacket(transport, refusal(416, request)))
            return
        size = until + 1 - first
        if request.byte_range is None:
            response = HTTPResponse(200, parts_bytes=size, purpose="payload")
        else:
            content_range = (("Content-Range", f"bytes {first}-{until}/{last + 1}"),)
            response = HTTPResponse(206, parts_bytes=size, purpose="payload", headers=content_range)
        out.append(SendPacket(transport, response))
        at = first
        while at <= until:
            number, offset = divmod(at, ota.range_bytes)
            part = min(PART_BYTES, until + 1 - at, ota.range_bytes - offset)
            begins = at == first or offset == 0
            out.append(SendPacket(transport, BodyPart(part, RANGE_IDS + number, offset, begins)))
            at += part


def update_server(context: Context) -> UpdateServer | None:
    """The part for a backend whose updates are fetched; None where they are published in chunks."""
    ota = context.workload.ota
    return UpdateServer(context) if ota is not None and ota.via == "https_range" else None
