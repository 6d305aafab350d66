"""HTTP/1.1 on the wire (RFC 9112, by h11) for the lab's requests and responses.

A body without messages is JSON. A body with messages is a JSON line about them and then their payloads one after the
other (`application/vnd.handover-lab.batch`), so that a chunk takes its own size and not base64's.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import h11

from sim.live.payload import decode_message, encode_message
from sim.machine import Message
from sim.protocols.http import BodyPart, HTTPRequest, HTTPResponse, Unreadable, range_header

_BYTES = "application/octet-stream"
_BATCH = "application/vnd.handover-lab.batch"
_BODY_MAX_BYTES = 64 * 1024 * 1024  # a larger body is refused
#: what reading a body from anywhere may raise: no JSON, no text, JSON of another shape, numbers or nesting without bounds
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def _encode_body(body: Any, messages: tuple[Message, ...]) -> tuple[bytes, str]:
    if not messages:
        return (json.dumps(body).encode() if body is not None else b""), "application/json"
    about = [{"topic": m.topic, "qos": m.qos, "size": max(m.size_bytes, len(encode_message(m)))} for m in messages]
    head = json.dumps({"body": body, "messages": about}).encode() + b"\n"
    return head + b"".join(encode_message(m) for m in messages), _BATCH


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


class HTTPCodec:
    """One end of a connection: `client` writes requests and reads responses, `server` the other way round."""

    def __init__(self, role: Literal["client", "server"], host: str, *, reads_uplink: bool) -> None:
        """`reads_uplink`: whether the messages that arrive here come from the vehicle."""
        self._role = role
        self._host = host
        self._reads_uplink = reads_uplink
        self._connection = h11.Connection(h11.CLIENT if role == "client" else h11.SERVER)
        self._head: Any = None
        self._data = bytearray()
        self._refused_with = 400
        self._parts_bytes = 0  # of a body that is on its way in parts

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
            event = h11.Response(status_code=packet.status, headers=[*packet.headers, *(headers if packet.status != 204 else [])])
            if self._head is not None and self._head.method == b"HEAD":
                data = b""
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
                    self._head = event
                    self._data.clear()
                    if self._in_parts():
                        found.append(self._head_of_parts())
                elif isinstance(event, h11.Data) and self._in_parts():
                    found.append(BodyPart(len(event.data)))
                elif isinstance(event, h11.EndOfMessage) and self._in_parts():
                    self._next_cycle()
                elif isinstance(event, h11.Data):
                    self._data += event.data
                    if len(self._data) > _BODY_MAX_BYTES:
                        self._refused_with = 413
                        raise ValueError("body too large")
                elif isinstance(event, h11.EndOfMessage):
                    found.append(self._packet())
                    if self._role == "client":
                        self._next_cycle()
        except h11.RemoteProtocolError as error:
            self._refused_with = error.error_status_hint
            raise ValueError(str(error)) from None
        return found

    @property
    def has_more(self) -> bool:
        """A request that was sent before the answer to the one before it (RFC 9112 9.3.2)."""
        return self._role == "server" and self._connection.our_state is h11.IDLE and bool(self._connection.trailing_data[0])

    @property
    def is_over(self) -> bool:
        """The peer asked for the connection to be closed after this answer (RFC 9112 9.6)."""
        return self._role == "server" and self._connection.our_state in (h11.MUST_CLOSE, h11.CLOSED)

    def farewell(self) -> bytes:
        """A server's answer to what is no HTTP, before it closes."""
        if self._role == "client" or self._connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        headers = [("Content-Length", "0"), ("Connection", "close")]
        events = (h11.Response(status_code=self._refused_with, headers=headers), h11.EndOfMessage())
        return b"".join(part for part in map(self._connection.send, events) if part)

    def _next_cycle(self) -> None:
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()

    def _in_parts(self) -> bool:
        """Whether what is read is an image: its bytes are told as they come, and nobody keeps them."""
        return isinstance(self._head, h11.Response) and dict(self._head.headers).get(b"content-type") == _BYTES.encode()

    def _head_of_parts(self) -> HTTPResponse:
        headers = dict(self._head.headers)
        return HTTPResponse(self._head.status_code, purpose="payload", parts_bytes=int(headers.get(b"content-length", b"0")))

    def _packet(self) -> HTTPRequest | HTTPResponse:
        kind = dict(self._head.headers).get(b"content-type", b"application/json").decode("latin-1")
        body: Any
        try:
            body, messages = _decode_body(bytes(self._data), kind, uplink=self._reads_uplink)
        except _UNREADABLE as error:
            if self._role == "client":
                raise ValueError(f"unreadable body: {error}") from None
            body, messages = Unreadable.BODY, ()
        if isinstance(self._head, h11.Response):
            return HTTPResponse(self._head.status_code, body, len(self._data), messages)
        target = self._head.target.decode("latin-1")
        purpose = "heartbeat" if target.endswith("/heartbeat") else "payload" if target.endswith("/telemetry") else "poll"
        asked = _byte_range(dict(self._head.headers).get(b"range", b"").decode("latin-1"))
        return HTTPRequest(
            self._head.method.decode("latin-1"), target, body, len(self._data), messages, purpose, byte_range=asked
        )


def _byte_range(value: str) -> tuple[int, int] | None:
    """First and last byte of the header Range; None for none and for other forms, which a server may ignore (RFC 9110 14.2)."""
    found = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", value)
    return (int(found[1]), int(found[2] or 10**15)) if found else None
