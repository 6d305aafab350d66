"""What a server's end of HTTP takes from a peer: sizes, times, and how much of bodies all connections may hold together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(slots=True)
class HTTPLimits:
    """Shared by the connections of one listener. Our choice: generous for vehicles, bounded for everybody else.

    A connection that is kept open may stay silent for longer than any period of the shipped scenarios (60 s).
    """

    head_bytes: int = 16 * 1024  # request line and headers: 431
    body_bytes: int = 1024 * 1024  # JSON: 413
    batch_bytes: int = 64 * 1024 * 1024  # a batch of messages: 413
    all_bodies_bytes: int = 128 * 1024 * 1024  # of requests that are not complete, all connections together: 413
    request_s: float = 30.0  # from the first byte of a request to its last, and from the connection to the first byte: 408 ...
    body_bytes_per_s: int = 8 * 1024  # ... and a second more for each of these in its body: a slow link is no attack
    idle_s: float = 300.0  # from an answer to the next request
    waiting_bytes: int = 64 * 1024  # sent ahead of an answer; more is left in the kernel
    held_bytes: int = dataclasses.field(default=0, init=False)  # of bodies that are not complete
