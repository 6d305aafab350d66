"""TLS fed one record at a time, so that each piece of plain text comes with its exact place among the bytes of TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sim.live.tls import TLSStream

_HEADER_BYTES = 5  # RFC 8446 5.1: type 1, version 2, length 2
_TYPES = range(20, 24)
_LENGTH_AT_MOST = 16_384 + 256


class RecordwiseTLSStream(TLSStream):
    """A TLSStream whose `bytes_in` is, while something is handed over, the end of the record that it was in."""

    made: Callable[[asyncio.BaseTransport], None]
    lost: Callable[[], None]
    _held = b""
    is_tls = True  # as far as can be seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        at = 0
        while self.is_tls and len(data) - at >= _HEADER_BYTES:
            length = int.from_bytes(data[at + 3 : at + _HEADER_BYTES], "big")
            if data[at] not in _TYPES or length > _LENGTH_AT_MOST:
                self.is_tls = False  # OpenSSL will say what it thinks of it
                break
            end = at + _HEADER_BYTES + length
            if end > len(data):
                break
            super().data_received(data[at:end])
            at = end
        self._held = data[at:]
        if not self.is_tls and self._held:
            held, self._held = self._held, b""
            super().data_received(held)

    def eof_received(self) -> bool:
        if self._held:
            super().data_received(self._held)
            self._held = b""
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost()
        super().connection_lost(exc)
