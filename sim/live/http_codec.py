"""HTTP/1.1 on the wire (RFC 9112, by h11) for the lab's requests and responses.

A body without messages is JSON. A body with messages is a JSON line about them and then their payloads one after the
other (`application/vnd.handover-lab.batch`), so that a chunk takes its own size and not base64's.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final, Literal

import h11

from sim.live.http_limits import HTTPLimits
from sim.live.payload import decode_message, encode_message
from sim.live.wire import FOREVER, Codec
from sim.machine import Message
from sim.protocols.http import BodyPart, HTTPRequest, HTTPResponse, Unreadable, range_header

_BYTES = "application/octet-stream"
_BATCH = "application/vnd.handover-lab.batch"
#: what reading a body from anywhere may raise: no JSON, no text, JSON of another shape, numbers or nesting without bounds
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})  # methods that are nothing without a body


def _encode_body(body: Any, messages: tuple[Message, ...]) -> tuple[bytes, str]:
    if not messages:
        return (json.dumps(body).encode() if body is not None else b""), "application/json"
    payloads = [encode_message(message) for message in messages]
    about = [
        {"id": message.id, "topic": message.topic, "qos": message.qos, "size": len(payload)}
        for message, payload in zip(messages, payloads, strict=True)
    ]
    return json.dumps({"body": body, "messages": about}).encode() + b"\n" + b"".join(payloads), _BATCH


def _decode_body(data: bytes, kind: str, *, uplink: bool) -> tuple[Any, tuple[Message, ...]]:
    if not data:
        return None, ()
    if kind != _BATCH:
        return json.loads(data), ()
    line, _, rest = data.partition(b"\n")
    head = json.loads(line)
    messages, at = [], 0
    for about in head["messages"]:
        size = int(about["size"])
        if size < 0 or at + size > len(rest):
            raise ValueError("the batch is shorter than it says")
        messages.append(decode_message(str(about["topic"]), rest[at : at + size], int(about["qos"]), 0.0, uplink=uplink))
        at += size
    return head.get("body"), tuple(messages)


class _Refused(ValueError):
    """A request that is not read any further. `status` is what it is answered with, before the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class HTTPCodec(Codec):
    """One end of a connection: `client` writes requests and reads responses, `server` the other way round."""

    def __init__(
        self, role: Literal["client", "server"], host: str, *, reads_uplink: bool, limits: HTTPLimits | None = None
    ) -> None:
        """`reads_uplink`: whether the messages that arrive here come from the vehicle."""
        self._role = role
        self._host = host
        self._reads_uplink = reads_uplink
        self._limits = limits or HTTPLimits()
        self._connection = h11.Connection(
            h11.CLIENT if role == "client" else h11.SERVER, max_incomplete_event_size=self._limits.head_bytes
        )
        self._head: Any = None
        self._data = bytearray()
        self._length = 0  # of the body, as far as it was said
        self._prompt = b""
        self._is_read = True  # of the message that began last
        self._owes = False
        self._begun = 0  # requests, and gaps between them
        self._refused_with = 400
        self._parts_bytes = 0  # of a body that is on its way in parts

    # --- packets to bytes -------------------------------------------------------------------------------------------------

    def encode(self, packet: HTTPRequest | HTTPResponse | BodyPart) -> bytes:
        if isinstance(packet, BodyPart):
            return self._encode_part(packet)
        if isinstance(packet, HTTPResponse) and packet.parts_bytes:
            self._parts_bytes = packet.parts_bytes
            about = [("Content-Type", _BYTES), ("Content-Length", str(packet.parts_bytes)), *packet.headers]
            return self._connection.send(h11.Response(status_code=packet.status, headers=about)) or b""
        data, kind = _encode_body(packet.body, packet.messages)
        headers = [("Content-Type", kind), ("Content-Length", str(len(data)))]
        event: h11.Request | h11.Response
        if isinstance(packet, HTTPRequest):
            self._next_cycle()
            headers = [("Host", self._host), ("User-Agent", "handover-lab"), *headers]
            if packet.byte_range is not None:
                headers.append(("Range", range_header(packet.byte_range)))
            event = h11.Request(method=packet.method, target=packet.path, headers=headers)
        else:
            # a 204 has no body and says nothing of one (RFC 9110 8.6); the answer to HEAD says what GET's would have
            about = [*packet.headers, *(headers if packet.status != 204 else [])]
            event = h11.Response(status_code=packet.status, headers=about, reason=_reason(packet.status))
            if self._head is not None and self._head.method == b"HEAD":
                data = b""
            self._owes = False
            self._begun += 1
        events = (event, h11.Data(data=data), h11.EndOfMessage())
        written = b"".join(part for part in map(self._connection.send, events) if part)
        if self._role == "server":
            self._next_cycle()  # the next request may be read once this response is written
        return written

    def _encode_part(self, part: BodyPart) -> bytes:
        written = self._connection.send(h11.Data(data=bytes(part.size_bytes))) or b""
        self._parts_bytes -= part.size_bytes
        if self._parts_bytes <= 0:
            written += self._connection.send(h11.EndOfMessage()) or b""
            self._next_cycle()
        return written

    # --- bytes to packets -------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Any]:
        """Raises ValueError on anything that is no HTTP or is too large; a server's end takes a body it cannot read as such."""
        found: list[Any] = []
        try:
            if data:  # to h11, none at all means the end
                self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    break
                if isinstance(event, h11.Request | h11.Response):
                    self._begin(event)
                    if self._in_parts():
                        found.append(self._head_of_parts())
                elif isinstance(event, h11.Data) and self._in_parts():
                    found.append(BodyPart(len(event.data)))
                elif isinstance(event, h11.EndOfMessage) and self._in_parts():
                    self._is_read = True
                    self._next_cycle()
                elif isinstance(event, h11.Data):
                    self._keep(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    found.append(self._packet())
                    self._is_read = True
                    self._owes = self._role == "server"
                    self._forget()
                    if self._role == "client":
                        self._next_cycle()
        except _Refused as refused:
            self._refused_with = refused.status
            raise
        except h11.RemoteProtocolError as error:
            if found:
                return found  # something after a request that was to be the last: it is answered, and that is the end
            self._refused_with = error.error_status_hint
            raise ValueError(str(error)) from None
        if not self._owes and self._connection.trailing_data[0]:
            self._come()  # the beginning of a head
        return found

    def _come(self) -> None:
        """Something of a request is there."""
        if self._is_read:
            self._is_read = False
            self._begun += 1

    def _begin(self, head: h11.Request | h11.Response) -> None:
        self._head = head
        self._come()
        self._forget()
        if isinstance(head, h11.Response):
            return
        if not head.http_version.startswith(b"1."):
            raise _Refused(505)
        fields = dict(head.headers)
        if sum(len(name) + len(value) + 4 for name, value in head.headers) + len(head.target) > self._limits.head_bytes:
            raise _Refused(431)  # h11 looks at its size only where it does not come in one piece
        chunked, length = b"transfer-encoding" in fields, fields.get(b"content-length")
        if chunked and length is not None:
            raise _Refused(400)  # which of them holds is how requests are smuggled (RFC 9112 6.1)
        if head.method in _WITH_BODY and not chunked and length is None:
            raise _Refused(411)
        if length is not None and (len(length) > 18 or int(length) > self._most_bytes()):
            raise _Refused(413)
        self._length = int(length or 0)
        expected = fields.get(b"expect")
        if expected is not None and head.http_version >= b"1.1":
            if expected.lower() != b"100-continue":
                raise _Refused(417)
            if self._connection.they_are_waiting_for_100_continue:
                self._prompt = self._connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b""

    def _most_bytes(self) -> int:
        is_batch = self._role == "client" or self._kind() == _BATCH
        return self._limits.batch_bytes if is_batch else self._limits.body_bytes

    def _keep(self, data: bytes) -> None:
        self._data += data
        self._limits.held_bytes += len(data)
        if len(self._data) > self._most_bytes():
            raise _Refused(413)
        if self._role == "server" and self._limits.held_bytes > self._limits.all_bodies_bytes:
            raise _Refused(413)

    def _forget(self) -> None:
        self._limits.held_bytes -= len(self._data)
        self._data = bytearray()
        self._length = 0

    def _kind(self) -> str:
        value = str(dict(self._head.headers).get(b"content-type", b"application/json"), "latin-1")
        return value.partition(";")[0].strip().lower()

    def _packet(self) -> HTTPRequest | HTTPResponse:
        body: Any
        try:
            body, messages = _decode_body(bytes(self._data), self._kind(), uplink=self._reads_uplink)
        except _UNREADABLE as error:
            if self._role == "client":
                raise ValueError(f"unreadable body: {error}") from None
            body, messages = Unreadable.BODY, ()
        if isinstance(self._head, h11.Response):
            return HTTPResponse(self._head.status_code, body, len(self._data), messages)
        target = _path(self._head.target.decode("latin-1"))
        purpose = "heartbeat" if target.endswith("/heartbeat") else "payload" if target.endswith("/telemetry") else "poll"
        asked = _byte_range(dict(self._head.headers).get(b"range", b"").decode("latin-1"))
        return HTTPRequest(
            self._head.method.decode("latin-1"), target, body, len(self._data), messages, purpose, byte_range=asked
        )

    # --- the connection ---------------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """A request that was sent before the answer to the one before it (RFC 9112 9.3.2)."""
        return self._role == "server" and self._connection.our_state is h11.IDLE and bool(self._connection.trailing_data[0])

    @property
    def owes(self) -> bool:
        return self._owes

    @property
    def is_crowded(self) -> bool:
        return self._owes and len(self._connection.trailing_data[0]) > self._limits.waiting_bytes

    @property
    def only_answers(self) -> bool:
        return self._role == "server"

    @property
    def is_over(self) -> bool:
        """The peer asked for the connection to be closed after this answer (RFC 9112 9.6)."""
        return self._role == "server" and self._connection.our_state in (h11.MUST_CLOSE, h11.CLOSED)

    @property
    def awaited(self) -> tuple[int, float]:
        """The rest of a request, or the next one; while an answer is owed it is not the peer's turn."""
        if self._role == "client" or self._owes:
            return FOREVER
        if self._is_read and self._begun:
            return self._begun, self._limits.idle_s
        return self._begun, self._limits.request_s + max(self._length, len(self._data)) / self._limits.body_bytes_per_s

    def interjection(self) -> bytes:
        """100 Continue, where the peer waits for it (RFC 9110 10.1.1)."""
        prompt, self._prompt = self._prompt, b""
        return prompt

    def farewell(self, *, late: bool = False) -> bytes:
        """A server's answer to what is no HTTP, or to a request that does not come to an end, before it closes."""
        if self._role == "client" or self._connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        if late and self._is_read:
            return b""  # nothing was begun
        headers = [("Content-Length", "0"), ("Connection", "close")]
        status = 408 if late else self._refused_with
        events = (h11.Response(status_code=status, headers=headers, reason=_reason(status)), h11.EndOfMessage())
        return b"".join(part for part in map(self._connection.send, events) if part)

    def ended(self) -> None:
        self._forget()

    def _next_cycle(self) -> None:
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()

    def _in_parts(self) -> bool:
        """Whether what is read is an image: its bytes are told as they come, and nobody keeps them."""
        return isinstance(self._head, h11.Response) and dict(self._head.headers).get(b"content-type") == _BYTES.encode()

    def _head_of_parts(self) -> HTTPResponse:
        headers = dict(self._head.headers)
        return HTTPResponse(self._head.status_code, purpose="payload", parts_bytes=int(headers.get(b"content-length", b"0")))


def _byte_range(value: str) -> tuple[int, int] | None:
    """First and last byte of the header Range; None for none and for other forms, which a server may ignore (RFC 9110 14.2)."""
    found = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", value)
    return (int(found[1]), int(found[2] or 10**15)) if found else None


def _reason(status: int) -> str:
    """The words after the status, for people (RFC 9112 4)."""
    return HTTPStatus(status).phrase


def _path(target: str) -> str:
    """The path and query of a request target; those of an absolute one may not be refused (RFC 9112 3.2.2)."""
    for scheme in ("http://", "https://"):
        if target[: len(scheme)].lower() == scheme:
            _authority, slash, rest = target[len(scheme) :].partition("/")
            return slash + rest or "/"
    return target
