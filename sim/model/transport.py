"""A TCP(+TLS) connection of a vehicle, how it is opened, and one that is under way to nodes that a fleet shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.machine import NEVER
from sim.model.link import Flow
from sim.model.server_side import NO_NODE
from sim.protocols.tls import Handshake
from sim.record.recorder import Connection


class Transport:
    """A TCP(+TLS) connection between the vehicle and a machine of the server. Index 0 is the vehicle's end, 1 the server's."""

    __slots__ = (
        "address", "busy_until_s", "crashed", "down", "ends_s", "ids", "last_used_s", "mapping_end_s", "node", "open", "opener",
        "path_end_s", "port", "refused_s", "refuses_from_s", "row", "spared", "told_gone", "told_reset", "up", "user_timeout_s",
    )  # fmt: skip

    def __init__(
        self, address: int, opener: int, port: int, row: Connection, up: Flow, down: Flow, user_timeout_s: float
    ) -> None:
        self.address = address
        self.opener = opener
        self.port = port
        self.row = row
        self.up = up
        self.down = down
        self.user_timeout_s = user_timeout_s
        self.ids = [-1, -1]
        self.open = [False, False]
        self.told_gone = [False, False]
        self.told_reset = 0  # of the two ends those with a reset under way: 1 the vehicle's, 2 the server's
        self.last_used_s = -NEVER
        self.busy_until_s = -NEVER  # when a shared node has read all that has come
        self.node = NO_NODE  # of the broker
        self.crashed = False  # its process is gone, and its kernel still sends what it was given
        self.spared = False  # the next packet to it is not answered: a proxy takes it, and finds the process gone
        self.ends_s = NEVER  # when its node, or the balancer, ends it
        self.mapping_end_s = NEVER  # when the NAT, the balancer or its node forgets it without a word
        self.refuses_from_s = NEVER  # from when whoever forgot it answers with RST
        self.refused_s = NEVER  # when uplink meets that
        self.path_end_s = NEVER

    def end(self, which: int) -> int:
        """The number of one of its ends, for what is posted to it: nobody has to keep a transport that is over."""
        return 2 * self.ids[which] + which


@dataclass(slots=True)
class Opening:
    """How an OpenTransport goes: instants at the opener and the acceptor, or a failure."""

    tcp_s: float = NEVER
    opened_s: float = NEVER
    accepted_s: float = NEVER
    resumed: bool = False
    failed_s: float = NEVER
    reason: str = ""
    lost_s: float = NEVER  # when the opener is told that the other end has gone meanwhile


class Attempt:
    """A connection under way to a node that a fleet shares: what it gets there is known when its packets are there."""

    __slots__ = ("costs", "gives_up_s", "hello_s", "index", "known", "opening", "ready_s", "syns", "transport")

    def __init__(
        self, transport: Transport, known: bool, index: int, syns: Iterator[tuple[float, float]], gives_up_s: float
    ) -> None:
        self.transport = transport
        self.known = known
        self.index = index
        self.syns = syns  # (at the node, answered back here)
        self.gives_up_s = gives_up_s
        self.opening = Opening()
        self.ready_s = NEVER  # when the node accepts it
        self.costs: Handshake | None = None
        self.hello_s = NEVER  # when its ClientHello is at the node
