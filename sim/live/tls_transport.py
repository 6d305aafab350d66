"""The transport that TLSStream gives to the protocol inside: what asyncio expects of one, passed on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.live.tls import TLSStream


class TLSTransport(asyncio.Transport):
    """What the inner protocol writes to."""

    def __init__(self, stream: TLSStream) -> None:
        super().__init__()
        self._stream = stream

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._stream.lower.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        self._stream.write(data)

    def write_eof(self) -> None:
        self._stream.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()

    def abort(self) -> None:
        self._stream.abort()

    def is_closing(self) -> bool:
        return self._stream.closing

    def pause_reading(self) -> None:
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        self._stream.resume_reading()

    def is_reading(self) -> bool:
        return self._stream.lower.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._stream.lower.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._stream.lower.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._stream.lower.get_write_buffer_limits()
