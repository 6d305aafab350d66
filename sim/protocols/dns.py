"""DNS as the lab needs it (RFC 1034, 1035, 2136, 2308): a zone that can be updated, a resolver with a cache. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.settings import setting


@dataclass(frozen=True, slots=True)
class DNS:
    """Timers of names and of the stub resolver."""

    ttl_s: float = setting(60.0, "TTL of the server's name", "real-world 2.4: failover records 30-60 s", at_least=0.0)
    negative_ttl_s: float = setting(60.0, "TTL of a negative answer", "RFC 2308: minimum of SOA; our choice", at_least=0.0)
    propagation_s: float = setting(
        60.0, "from a dynamic update to all authoritative servers", "real-world 2.4: Route 53, within 60 s", at_least=0.0
    )
    retry_s: float = setting(5.0, "a lost query is sent again after this", "resolv.conf(5): timeout 5 s", above=0.0)
    retries: int = setting(2, "how often a lost query is sent again", "design 4: twice", at_least=0)
    cached: bool = setting(False, "the vehicle knows the server's name at the start")
    query_bytes: int = setting(80, "UDP payload and IP/UDP headers of a query", "RFC 1035 4.1; our estimate", above=0)
    answer_bytes: int = setting(120, "the same of an answer", "our estimate", above=0)


class Zone:
    """Authoritative A records with the instant from which each holds, so that a propagating update is old and new at once."""

    __slots__ = ("_records", "updates")

    def __init__(self) -> None:
        self._records: dict[str, list[tuple[float, str, float]]] = {}
        self.updates = 0

    def update(self, now: float, name: str, address: str, ttl_s: float, propagation_s: float = 0.0) -> None:
        """Set the address of `name`, "" for none; resolvers see it from now + propagation_s on (RFC 2136)."""
        records = self._records.setdefault(name, [])
        while len(records) > 1 and records[1][0] <= now:
            del records[0]  # nobody will see it again
        records.append((now + propagation_s, address, ttl_s))
        self.updates += 1

    def answer(self, now: float, name: str) -> tuple[str, float] | None:
        """Return (address, ttl in s) as seen at `now`, None where the name does not exist (yet)."""
        newest: tuple[str, float] | None = None
        for since_s, address, ttl_s in self._records.get(name, ()):
            if since_s <= now:
                newest = (address, ttl_s) if address else None
        return newest

    def newest(self, name: str) -> tuple[str, float] | None:
        """The same as its primary server has it, where an update is seen at once."""
        return self.answer(math.inf, name)

    def has_below(self, now: float, name: str) -> bool:
        """Whether there are names that end in this one: then it exists, too (RFC 8020)."""
        return any(known.endswith("." + name) and self.answer(now, known) is not None for known in self._records)


class Cache:
    """A resolver's cache: positive and negative answers until their TTL (RFC 1035 7.4, RFC 2308)."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[str, tuple[str, float, float]] = {}

    def put(self, now: float, name: str, address: str, ttl_s: float) -> None:
        """Store an answer that arrives at `now`; an address of "" is a negative one."""
        self._answers[name] = (address, now, now + ttl_s)

    def get(self, now: float, name: str) -> str | None:
        """Return the cached address, "" for a cached negative answer, None where nothing is cached."""
        address, since_s, until_s = self._answers.get(name, ("", -math.inf, -math.inf))
        return address if since_s <= now < until_s else None
