"""The server's HTTPS API: which call a request is, whether its caller may make it, and what its body says.

    POST /api/v1/vehicles/{vin}/heartbeat              {"ip": "10.2.5.200", "status": "online"}
    GET  /api/v1/vehicles/{vin}                        {"vin", "current_ip", "last_heartbeat", "status"}
    GET  /api/v1/vehicles/{vin}/pending-messages       {"batch", "ack", "through", "beyond"}, all optional; or as query
    POST /api/v1/vehicles/{vin}/pending-messages/ack   {"ids": [1, 2]}
    POST /api/v1/vehicles/{vin}/telemetry              a batch of messages
    GET  /api/v1/vehicles/{vin}/update                 the image, or the range of it that is asked for

A vehicle speaks for the VIN in its certificate and for no other (403). Bodies come from anywhere: nothing in one raises.
Statuses are those of RFC 9110: 400, 403, 404, 405 with Allow, and 503 while the store behind the API is out of reach.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal
from urllib.parse import parse_qsl

from sim.machine import Note, SendPacket, StoreChanged, TransportAccepted
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.kept import Entry
from sim.strategies.context import Context

_PREFIX = "/api/v1/vehicles/"
_IDS_MAX = 10_000  # in one body
_BATCH_MAX = 1000
_STATUS_MAX = 32  # characters
_ERROR_BYTES = 13  # of JSON around the text
_REFUSALS = {
    400: "malformed body",
    403: "not your VIN",
    404: "not found",
    405: "method not allowed",
    416: "no such range",
    503: "store out of reach",
}


class Call(Enum):
    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    HEARTBEAT = "heartbeat"
    STATUS = "status"
    PENDING = "pending"
    ACKNOWLEDGE = "acknowledge"
    TELEMETRY = "telemetry"
    UPDATE = "update"


#: what follows the VIN -> method -> call
ROUTES: dict[str, dict[str, Call]] = {
    "": {"GET": Call.STATUS},
    "/heartbeat": {"POST": Call.HEARTBEAT},
    "/pending-messages": {"GET": Call.PENDING},
    "/pending-messages/ack": {"POST": Call.ACKNOWLEDGE},
    "/telemetry": {"POST": Call.TELEMETRY},
    "/update": {"GET": Call.UPDATE},
}


def vin_in(path: str) -> str:
    """The VIN that a path of the API names; "" where it is none."""
    return path[len(_PREFIX) :].partition("?")[0].partition("/")[0] if path.startswith(_PREFIX) else ""


class VehicleAPI:
    """Part of a backend that offers `calls`. Knows which vehicle is at the other end of each transport."""

    __slots__ = ("_calls", "_context", "_peers", "_store_is_lost")

    def __init__(self, context: Context, calls: frozenset[Call]) -> None:
        self._context = context
        self._calls = calls
        self._peers: dict[int, str] = {}  # transport -> name in the certificate
        self._store_is_lost = False

    def accepted(self, event: TransportAccepted) -> None:
        self._peers[event.transport] = event.peer

    def lost(self, transport: int) -> None:
        self._peers.pop(transport, None)

    def find(self, transport: int, request: HTTPRequest) -> Call | HTTPResponse:
        """The call that a request makes, or the response that refuses it."""
        path = request.path.partition("?")[0]
        vin, slash, rest = path[len(_PREFIX) :].partition("/")
        methods = ROUTES.get(slash + rest)
        if not path.startswith(_PREFIX) or not vin or methods is None:
            return refusal(404, request)
        if self._calls.isdisjoint(methods.values()):
            return refusal(404, request)
        context = self._context
        # first whose it is, then whether it exists: a stranger learns nothing of other vehicles
        if context.identifies and self._peers.get(transport, "") != context.host_of(vin):
            return refusal(403, request)
        if vin != context.vin:
            return refusal(404, request)
        call = methods.get(request.method)
        if call is None:
            return refusal(405, request, allow=", ".join(methods))
        # an image lies in a store of files
        return refusal(503, request) if self._store_is_lost and call is not Call.UPDATE else call

    def store_changed(self, event: StoreChanged, out: list[Any]) -> None:
        """The store is out of reach, or back: what rests on it is refused meanwhile, and may be asked for again."""
        lost = event.kept is None
        if lost is not self._store_is_lost:
            self._store_is_lost = lost
            out.append(Note("store_lost", detail=event.reason) if lost else Note("store_regained"))
        for answer in event.withheld:
            out.append(SendPacket(answer.transport, HTTPResponse(503, purpose=answer.packet.purpose)))


def refusal(status: int, request: HTTPRequest, *, allow: str = "") -> HTTPResponse:
    text = _REFUSALS[status]
    headers = (("Allow", allow),) if allow else ()
    return HTTPResponse(status, {"error": text}, _ERROR_BYTES + len(text), purpose=request.purpose, headers=headers)


def status_response(vin: str, entry: Entry | None, request: HTTPRequest) -> HTTPResponse:
    """What the registry knows of a vehicle. `last_heartbeat` in s since the start of the drive, null before the first."""
    body: dict[str, Any] = {"vin": vin, "current_ip": None, "last_heartbeat": None, "status": "unknown"}
    if entry is not None:
        body |= {"current_ip": entry.address or None, "last_heartbeat": round(entry.heartbeat_s, 3), "status": entry.status}
    return HTTPResponse(200, body, 90 + len(vin), purpose=request.purpose)


# --- bodies -----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Heartbeat:
    address: str  # "": the vehicle says that it has none
    status: str


@dataclass(slots=True)
class Poll:
    batch: int
    ack: Literal["explicit", "none"]
    through: int
    beyond: tuple[int, ...]


def read_heartbeat(body: Any) -> Heartbeat | None:
    """None: malformed."""
    if not isinstance(body, dict):
        return None
    address, status = body.get("ip"), body.get("status", "online")
    if not isinstance(address, str) or not isinstance(status, str) or len(status) > _STATUS_MAX:
        return None
    if address:
        try:
            address = str(ipaddress.IPv4Address(address))
        except ValueError:
            return None
    return Heartbeat(address, status)


def asked_of(request: HTTPRequest) -> Any:
    """What a poll asks for: its body, or where it has none the query of its path (`?batch=5&through=17&beyond=19,20`)."""
    query = request.path.partition("?")[2]
    if request.body is not None or not query:
        return request.body
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query):
        found[name] = [_number(part) for part in value.split(",")] if name == "beyond" else _number(value)
    return found


def _number(text: str) -> int | str:
    return int(text) if len(text) <= 18 and text.removeprefix("-").isdecimal() and text.isascii() else text


def read_poll(body: Any, batch: int, ack: Literal["explicit", "none"]) -> Poll | None:
    """None: malformed. `batch` and `ack` where the body has none."""
    if body is None:
        body = {}
    if not isinstance(body, dict):
        return None
    # names of their own: compiled, a parameter takes no value of another type
    asked: Any = body.get("batch", batch)
    how: Any = body.get("ack", ack)
    through: Any = body.get("through", -1)
    beyond = _ids(body.get("beyond", ()))
    if not _is_int(asked) or not 0 < asked <= _BATCH_MAX or not _is_int(through) or beyond is None:
        return None
    if how not in ("explicit", "none"):
        return None
    return Poll(asked, how, through, beyond)


def read_ids(body: Any) -> tuple[int, ...] | None:
    """The ids of an acknowledgement; None: malformed."""
    return _ids(body.get("ids")) if isinstance(body, dict) else None


def _ids(found: Any) -> tuple[int, ...] | None:
    if not isinstance(found, list | tuple) or len(found) > _IDS_MAX or not all(map(_is_int, found)):
        return None
    return tuple(found)


def _is_int(value: Any) -> bool:
    return type(value) is int  # JSON's true is no number
