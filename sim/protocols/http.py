"""HTTP exchanges over transports: requests and responses as packets, and a client machine part (RFC 9110, RFC 9112).

The client opens a transport for each exchange (`per_request`) or keeps one (`keep_alive`), and has its own timeout. It is
a part, not a whole machine: the strategy that owns it passes inputs down and shares its Deadlines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from sim.machine import (
    CloseTransport,
    Deadlines,
    Message,
    NameFailed,
    NameResolved,
    Note,
    OpenTransport,
    Packet,
    ResolveName,
    SendPacket,
)

#: Bytes of request line and headers, and of status line and headers. Simplification: constants, estimated from the
#: requests that httpx and uvicorn exchange for such paths (about 200 to 280 bytes).
REQUEST_HEADER_BYTES: Final = 240
RESPONSE_HEADER_BYTES: Final = 160
#: JSON around each message in a batch: id, kind, topic, length
MESSAGE_FRAME_BYTES: Final = 96


class Unreadable(Enum):
    """`body` of a request whose body is not what its Content-Type says."""

    BODY = "unreadable"


class BodyPacket(Packet):
    """Carries a body, and perhaps a batch of messages in it, not one message."""

    __slots__ = ()


@dataclass(slots=True)
class HTTPRequest(BodyPacket):
    """A request. `body` is what the handler needs, `body_bytes` its size, `messages` what it carries."""

    method: str
    path: str
    body: Any = None
    body_bytes: int = 0
    messages: tuple[Message, ...] = ()
    purpose: str = "poll"
    cause_if_lost: str = ""
    byte_range: tuple[int, int] | None = None  # first and last byte wanted (RFC 9110 14.2)

    @property
    def encoded_size(self) -> int:
        asked = 0 if self.byte_range is None else len(range_header(self.byte_range)) + 9
        return REQUEST_HEADER_BYTES + len(self.path) + self.body_bytes + batch_bytes(self.messages) + asked


@dataclass(slots=True)
class HTTPResponse(BodyPacket):
    """A response. `cause_if_lost` is set where the server keeps no copy of the messages in it.

    `headers`: those beside the ones about the body, which count as RESPONSE_HEADER_BYTES. `parts_bytes`: size of a body that
    follows in BodyParts.
    """

    status: int
    body: Any = None
    body_bytes: int = 0
    messages: tuple[Message, ...] = ()
    purpose: str = "poll"
    cause_if_lost: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    parts_bytes: int = 0

    @property
    def encoded_size(self) -> int:
        return RESPONSE_HEADER_BYTES + self.body_bytes + batch_bytes(self.messages)


@dataclass(slots=True)
class BodyPart(BodyPacket):
    """Some bytes of a body that is taken in as it comes.

    For the records: they are those from `offset` on of message `of`; `begins`: the first ones of it in this response.
    """

    size_bytes: int
    of: int = -1
    offset: int = 0
    begins: bool = False
    purpose: str = "payload"
    cause_if_lost: str = ""

    @property
    def encoded_size(self) -> int:
        return self.size_bytes


def range_header(byte_range: tuple[int, int]) -> str:
    """Value of the header Range (RFC 9110 14.1.2)."""
    return f"bytes={byte_range[0]}-{byte_range[1]}"


def batch_bytes(messages: tuple[Message, ...]) -> int:
    """Bytes of a batch of messages in a body."""
    return sum(message.size_bytes + MESSAGE_FRAME_BYTES for message in messages)


class State(Enum):
    """Of one client."""

    __hash__ = object.__hash__  # the default hashes the name, in Python, on every look-up

    IDLE = "idle"
    RESOLVING = "resolving"
    OPENING = "opening"
    WAITING = "waiting"  # a request was sent, its response is awaited
    RECEIVING = "receiving"  # the response has come, its body is on its way


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.RESOLVING, State.OPENING, State.WAITING}),
    State.RESOLVING: frozenset({State.OPENING, State.IDLE}),
    State.OPENING: frozenset({State.WAITING, State.IDLE}),
    State.WAITING: frozenset({State.IDLE, State.WAITING, State.RECEIVING}),
    State.RECEIVING: frozenset({State.IDLE}),
}

Out = list[Any]


@dataclass(slots=True)
class Endpoint:
    """Where requests go. `address` is used as it is where given, else `name` is resolved."""

    name: str
    port: int
    address: str = ""
    peer: str = ""
    purposes: tuple[str, ...] = field(default_factory=tuple)


def _to_nobody(now: float, told: Any, out: Out) -> None:
    """In place of who was told."""


class HTTPClient:
    """One exchange at a time. `on_response(now, response, out)` may call `send` again to go on in the same exchange.

    `on_failure(now, reason, out)` is told once per failed exchange: timed_out, name_failed, or the reason of TransportLost.
    Of a body in parts `on_part(now, part, out)` is told each, and each starts the timeout anew; `on_response` comes after the
    last.
    """

    __slots__ = (
        "_answering",
        "_asked",
        "_deadline",
        "_deadlines",
        "_endpoint",
        "_left_bytes",
        "_mode",
        "_new_id",
        "_on_failure",
        "_on_part",
        "_on_response",
        "_pending",
        "_purpose",
        "_response",
        "_timeout_s",
        "_trigger",
        "state",
        "transport",
    )

    def __init__(
        self,
        *,
        deadlines: Deadlines,
        deadline: str,
        endpoint: Endpoint,
        mode: Literal["per_request", "keep_alive"],
        timeout_s: float | None,
        new_id: Callable[[], int],
        purpose: str,
        on_response: Callable[[float, HTTPResponse, Out], None],
        on_failure: Callable[[float, str, Out], None],
        on_part: Callable[[float, BodyPart, Out], None] | None = None,
    ) -> None:
        self._deadlines = deadlines
        self._deadline = deadline
        self._endpoint = endpoint
        self._mode = mode
        self._timeout_s = timeout_s
        self._new_id = new_id
        self._purpose = purpose
        self._on_response = on_response
        self._on_failure = on_failure
        self._on_part = on_part
        self._response: HTTPResponse | None = None  # whose body is on its way
        self._left_bytes = 0
        self.state = State.IDLE
        self.transport = -1
        self._asked = -1
        self._answering = False  # within on_response, where `send` goes on in the same exchange
        self._pending: HTTPRequest | None = None
        self._trigger = ""

    def let_go(self) -> None:
        """Tell nobody any more: who is told refers back to this client."""
        self._on_response = self._on_failure = self._on_part = _to_nobody

    @property
    def busy(self) -> bool:
        """An exchange is under way."""
        return self.state is not State.IDLE

    def send(self, now: float, request: HTTPRequest, out: Out, *, trigger: str = "due", address: str = "") -> None:
        """Start an exchange, or go on in one from within `on_response`. `address` overrides the endpoint's."""
        self._start_timeout(now)
        if self.transport >= 0:
            if not self._answering:
                out.append(Note("exchange", self.transport, trigger))  # a new one on the transport kept open
            self._enter(State.WAITING)
            out.append(SendPacket(self.transport, request))
            return
        self._pending = request
        self._trigger = trigger
        if address or self._endpoint.address:
            self._open(address or self._endpoint.address, out)
        else:
            self._enter(State.RESOLVING)
            self._asked = self._new_id()
            out.append(ResolveName(self._endpoint.name, self._asked, self._purpose, trigger))

    def _open(self, address: str, out: Out) -> None:
        self.transport = self._asked if self.state is State.RESOLVING else self._new_id()
        self._enter(State.OPENING)
        out.append(OpenTransport(self.transport, address, self._endpoint.port, self._endpoint.peer, self._purpose, self._trigger))

    def name_resolved(self, now: float, event: NameResolved, out: Out) -> None:
        if self.state is State.RESOLVING and event.transport == self._asked:
            self._open(event.address, out)

    def name_failed(self, now: float, event: NameFailed, out: Out) -> None:
        if self.state is State.RESOLVING and event.transport == self._asked:
            out.append(Note("failed", self._asked, "name_failed"))
            self._fail(now, "name_failed", out)

    def opened(self, now: float, out: Out) -> None:
        """TransportOpened for this client's transport."""
        request, self._pending = self._pending, None
        if request is not None:
            self._enter(State.WAITING)
            out.append(SendPacket(self.transport, request))

    def received(self, now: float, response: Any, out: Out) -> None:
        """PacketReceived on this client's transport."""
        if self.state is State.RECEIVING:
            self._take_part(now, response, out)
            return
        if self.state is not State.WAITING or not isinstance(response, HTTPResponse):
            return
        if response.status >= 400:
            out.append(CloseTransport(self.transport, reason="refused"))
            self.transport = -1
            self._fail(now, "refused", out)
            return
        if response.parts_bytes:
            self._enter(State.RECEIVING)
            self._response, self._left_bytes = response, response.parts_bytes
            self._start_timeout(now)
            return
        self._finish(now, response, out)

    def _take_part(self, now: float, part: Any, out: Out) -> None:
        if not isinstance(part, BodyPart):
            return
        self._left_bytes -= part.size_bytes
        self._start_timeout(now)
        if self._on_part is not None:
            self._on_part(now, part, out)
        response = self._response
        if self._left_bytes <= 0 and response is not None:
            self._response = None
            self._finish(now, response, out)

    def _start_timeout(self, now: float) -> None:
        if self._timeout_s is not None:
            self._deadlines.set(self._deadline, now + self._timeout_s)

    def _finish(self, now: float, response: HTTPResponse, out: Out) -> None:
        self._deadlines.clear(self._deadline)
        self.state = State.IDLE
        sent_before = len(out)
        self._answering = True
        self._on_response(now, response, out)
        self._answering = False
        # on_response may have gone on in this exchange (state is WAITING again) or closed it
        if self.state is State.IDLE and self.transport >= 0:
            out.insert(sent_before, Note("ready", self.transport, self._purpose))
            if self._mode == "per_request":
                out.append(CloseTransport(self.transport, reason="done"))
                self.transport = -1

    def lost(self, now: float, reason: str, out: Out) -> None:
        """TransportLost for this client's transport."""
        self.transport = -1
        if self.state is not State.IDLE:
            self._fail(now, reason, out)

    def deadline_passed(self, now: float, out: Out) -> None:
        """The timeout of the exchange passed."""
        if self.state is State.RESOLVING:
            out.append(Note("failed", self._asked, "name_timeout"))
        if self.transport >= 0:
            out.append(
                CloseTransport(
                    self.transport, abort=True, reason="connect_timeout" if self.state is State.OPENING else "request_timeout"
                )
            )
            self.transport = -1
        if self.state is not State.IDLE:
            self._fail(now, "timed_out", out)

    def abandon(self, out: Out, reason: str) -> None:
        """Give the exchange up without telling `on_failure`."""
        self._deadlines.clear(self._deadline)
        if self.state is State.RESOLVING:
            out.append(Note("failed", self._asked, reason))
        if self.transport >= 0:
            out.append(CloseTransport(self.transport, abort=True, reason=reason))
            self.transport = -1
        self._pending = None
        self.state = State.IDLE

    def _fail(self, now: float, reason: str, out: Out) -> None:
        self._deadlines.clear(self._deadline)
        self._pending = None
        self.state = State.IDLE
        self._on_failure(now, reason, out)

    def _enter(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"HTTP client: {self.state} -> {state} is not in the table")
        self.state = state
