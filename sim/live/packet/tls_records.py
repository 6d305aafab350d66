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
    is_tls = True  # as far as can be seen
    _held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._feed()

    def _feed(self) -> None:
        """Whole records, as long as what is inside takes them: it would be given what waits without its place."""
        at = 0
        while at < len(self._held) and not (self._inner is not None and self._paused):
            end = self._end_of_record(at)
            if end > len(self._held):
                break
            super().data_received(self._held[at:end])
            at = end
        self._held = self._held[at:]

    def _end_of_record(self, at: int) -> int:
        """Where the record that begins at `at` ends, perhaps beyond what is there; all that is there where it is none."""
        held = self._held
        if self.is_tls and len(held) - at >= _HEADER_BYTES:
            length = int.from_bytes(held[at + 3 : at + _HEADER_BYTES], "big")
            self.is_tls = held[at] in _TYPES and length <= _LENGTH_AT_MOST  # else OpenSSL will say what it thinks of it
            if self.is_tls:
                return at + _HEADER_BYTES + length
        return len(held) + 1 if self.is_tls else len(held)

    def resume_reading(self) -> None:
        super().resume_reading()
        asyncio.get_running_loop().call_soon(self._feed)

    def eof_received(self) -> bool:
        self._feed()
        if self._held:
            held, self._held = self._held, b""
            super().data_received(held)
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost()
        super().connection_lost(exc)
