"""Connections are served in the order in which something came on them, as far as the kernel tells."""

from __future__ import annotations

import asyncio
import selectors
import sys


class ArrivalOrder(selectors.DefaultSelector):
    """Ready files, those that were reported the last time behind the others.

    epoll keeps a file that it has reported at the head of its list until it is asked again. What comes on it meanwhile would
    overtake what came on other connections before: a PUBLISH the SUBSCRIBE of another client that was sent first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reported: set[int] = set()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        if len(ready) > 1:
            ready.sort(key=lambda entry: entry[0].fd in self._reported)
        self._reported = {key.fd for key, _ in ready}
        return ready


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop that serves in that order; on Windows, whose loop asks no selector, the usual one."""
    return asyncio.new_event_loop() if sys.platform == "win32" else asyncio.SelectorEventLoop(ArrivalOrder())
