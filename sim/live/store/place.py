"""Where the server side keeps its registry and pending messages: in its own memory, in a Redis of the lab's, or in a user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

SCHEMES = ("redis", "rediss")
KINDS = "memory, redis (one of the lab's own), or redis://HOST:PORT/DB"


class StoreUnavailable(RuntimeError):
    """The store that was asked for is not to be had here; one line."""


@dataclass(frozen=True, slots=True)
class StorePlace:
    """`url` is of a store that runs; `own`: the lab starts it and ends it."""

    kind: Literal["memory", "own", "given"]
    url: str = ""

    @property
    def shown(self) -> str:
        """For people and manifests: without the password."""
        return without_password(self.url) if self.url else {"own": "redis"}.get(self.kind, self.kind)


def read_place(text: str) -> StorePlace:
    """The value of --store. Raises StoreUnavailable."""
    if text == "memory":
        return StorePlace("memory")
    if text == "redis":
        return StorePlace("own")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
        usable = usable and (parts.path in ("", "/") or parts.path[1:].isdigit()) and not parts.query and not parts.fragment
    except ValueError:  # a port that is none
        usable = False
    if not usable:
        raise StoreUnavailable(f"--store: {without_password(text)!r} is none of {KINDS}")
    return StorePlace("given", text)


def without_password(text: str) -> str:
    """A URL without the user and password in it."""
    before, at, after = text.rpartition("@")
    scheme, colon, _login = before.partition("://")
    return f"{scheme}{colon}***@{after}" if at and colon else text


def with_database(url: str) -> str:
    """The URL with its database number, 0 where it has none."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path if len(parts.path) > 1 else "/0", "", ""))
