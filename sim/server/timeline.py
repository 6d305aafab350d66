"""What happens to the server side during a drive, whatever is sent: the same for every vehicle and every strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum


class Change(IntEnum):
    """What the machines of the server side are told, in this order where several happen at one instant."""

    SAVED = 0  # the sessions of a node (-1: of all) are where they outlive it
    NODE_FAILED = 1
    NODE_STARTED = 2
    STORE_FAILED = 3
    STORE_RECOVERED = 4
    BALANCER_CHANGED = 5


@dataclass(frozen=True, slots=True)
class Down:
    """A node is not there from `start_s` to `end_s`. `silent`: its host is gone, nobody answers for it.

    The balancer gives it no connections from `avoided_from_s` to `avoided_until_s`. `orderly`: it was drained and saved its
    sessions. Times in s; inf: never.
    """

    node: int
    start_s: float
    end_s: float
    silent: bool
    avoided_from_s: float
    avoided_until_s: float
    orderly: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The balancer forgets all flows at `at_s` and passes nothing on until `until_s`. `silent`: it tells nobody."""

    at_s: float
    until_s: float
    silent: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Something holds from `start_s` to `end_s`. What `share`, `how` and `detail` are depends on what it is."""

    start_s: float
    end_s: float
    share: float = 1.0
    how: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A row of disruptions.parquet."""

    kind: str
    start_s: float
    end_s: float
    before: str = ""
    after: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ServerTimeline:
    """All that happens to the server side, each part rising in time. Nothing: an empty one."""

    downs: tuple[Down, ...] = ()
    cuts: tuple[Cut, ...] = ()
    changes: tuple[tuple[float, Change, int], ...] = ()  # instant, what, node (-1: none)
    dns_outages: tuple[Span, ...] = ()
    dns_stale: tuple[Span, ...] = ()  # `detail` is the address that is answered, `how` what is there: process refuses
    api_errors: tuple[Span, ...] = ()  # `how`: process: connections are refused; host: no answer; "": requests get 503
    expired: tuple[Span, ...] = ()  # the server's certificate
    events: tuple[ServerEvent, ...] = ()

    def earlier(self, by_s: float) -> ServerTimeline:
        """What happens to nodes, balancer and store so much earlier; `events` keep their instants, and with them their names."""
        downs = (
            replace(
                down,
                start_s=down.start_s - by_s,
                end_s=down.end_s - by_s,
                avoided_from_s=down.avoided_from_s - by_s,
                avoided_until_s=down.avoided_until_s - by_s,
            )
            for down in self.downs
        )
        cuts = (replace(cut, at_s=cut.at_s - by_s, until_s=cut.until_s - by_s) for cut in self.cuts)
        changes = ((at_s - by_s, what, node) for at_s, what, node in self.changes)
        return replace(self, downs=tuple(downs), cuts=tuple(cuts), changes=tuple(changes))

    def down_at(self, node: int, at_s: float) -> Down | None:
        """The outage of a node that holds at `at_s`."""
        for down in self.downs:
            if down.node == node and down.start_s <= at_s < down.end_s:
                return down
        return None

    def next_down(self, node: int, at_s: float) -> Down | None:
        """The first outage of a node that begins after `at_s`."""
        for down in self.downs:
            if down.node == node and down.start_s > at_s:
                return down
        return None

    def next_cut(self, at_s: float) -> Cut | None:
        for cut in self.cuts:
            if cut.at_s > at_s:
                return cut
        return None

    def avoided_at(self, node: int, at_s: float) -> bool:
        """Whether the balancer takes the node for unhealthy."""
        return any(down.node == node and down.avoided_from_s <= at_s < down.avoided_until_s for down in self.downs)

    def returned_s(self, node: int, at_s: float) -> float:
        """When the node last began to get connections again before `at_s`; -inf: it was never gone."""
        back = [down.avoided_until_s for down in self.downs if down.node == node and down.avoided_until_s <= at_s]
        return max(back, default=-math.inf)

    def shifted(self, by_s: float) -> ServerTimeline:
        """The same on a clock that shows `by_s` more."""
        if self is NOTHING or by_s == 0.0:
            return self

        def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            return tuple(replace(span, start_s=span.start_s + by_s, end_s=span.end_s + by_s) for span in spans)

        return ServerTimeline(
            tuple(
                Down(
                    down.node, down.start_s + by_s, down.end_s + by_s, down.silent, down.avoided_from_s + by_s,
                    down.avoided_until_s + by_s, down.orderly,
                )
                for down in self.downs
            ),
            tuple(Cut(cut.at_s + by_s, cut.until_s + by_s, cut.silent) for cut in self.cuts),
            tuple((at_s + by_s, what, node) for at_s, what, node in self.changes),
            moved(self.dns_outages), moved(self.dns_stale), moved(self.api_errors), moved(self.expired),
            tuple(replace(event, start_s=event.start_s + by_s, end_s=event.end_s + by_s) for event in self.events),
        )  # fmt: skip

    def started_s(self, node: int, at_s: float) -> float:
        """When the node was last started before `at_s`; -inf: before the drive."""
        return max((down.end_s for down in self.downs if down.node == node and down.end_s <= at_s), default=-math.inf)


NOTHING = ServerTimeline()


def holding(spans: tuple[Span, ...], at_s: float) -> Span | None:
    """The span that holds at `at_s`."""
    for span in spans:
        if span.start_s <= at_s < span.end_s:
            return span
    return None
