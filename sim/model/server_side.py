"""The server side as one vehicle meets it: which node a connection gets, whether anybody answers, how long it waits.

Pure functions of ServerTimeline, settings and the instant of the call, like the link.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from sim.machine import NEVER
from sim.protocols.server import Server
from sim.protocols.tls import handshake
from sim.server.timeline import Change, ServerTimeline, Span, holding

#: a transport of the HTTPS API is at no node of the broker
NO_NODE: Final = -1


class ServerSide:
    """Balancer, nodes, DNS and API servers for one vehicle."""

    __slots__ = ("_balancer", "_draw_api", "_draw_node", "_n", "_nodes", "_storm_rate_per_s", "_storms", "timeline")

    def __init__(
        self, server: Server, timeline: ServerTimeline, draw_node: Callable[[int], float], draw_api: Callable[[int], float]
    ) -> None:
        """`draw_node(i)` and `draw_api(i)` are draws in (0, 1) for the vehicle's i-th connection."""
        self.timeline = timeline
        self._nodes = server.nodes
        self._n = len(server.nodes.names)
        self._balancer = server.balancer
        self._draw_node = draw_node
        self._draw_api = draw_api
        costs = handshake(server.tls)
        by_cpu = NEVER if costs is None else server.nodes.cores / costs.server_cpu_s
        self._storm_rate_per_s = min(server.nodes.accept_rate, server.nodes.connect_rate, by_cpu)
        self._storms = self._find_storms() if server.nodes.others else []

    # --- which node -----------------------------------------------------------------------------------------------------

    def node_at(self, index: int, address: str, at: float) -> int:
        """The node that a connection asked for at `at` gets. `index` numbers the vehicle's connections."""
        timeline = self.timeline
        if self._n == 1:
            return 0
        found = [node for node in range(self._n) if not timeline.avoided_at(node, at)]
        found = found or list(range(self._n))  # all are unhealthy: AWS NLB fails open
        algorithm = self._balancer.algorithm if self._balancer is not None else "round_robin"
        if algorithm == "least_connections":
            # Simplification: the fleet's connections last, so that the node that came back last has the fewest
            back_s = [timeline.returned_s(node, at) for node in found]
            latest_s = max(back_s)
            found = [node for node, since_s in zip(found, back_s, strict=True) if since_s == latest_s]
        if algorithm == "source":
            # haproxy 2.6, balance source (get_server_sh): the address as a number, modulo the nodes that are left
            return found[int(ipaddress.IPv4Address(address)) % len(found)]
        # Simplification: between other vehicles' connections whose turn it is is a matter of chance
        return found[int(self._draw_node(index) * len(found))]

    # --- whether anybody answers ----------------------------------------------------------------------------------------

    def answers(self, mqtt: bool, index: int, address: str, at: float) -> bool:
        """Whether a SYN that arrives at `at` is answered, by SYN-ACK or RST."""
        for cut in self.timeline.cuts:
            if cut.at_s <= at < cut.until_s:
                return False
        if mqtt:
            down = self.timeline.down_at(self.node_at(index, address, at), at)
            return down is None or not down.silent
        return self._api_error(index, at) != "host"

    def refuses(self, mqtt: bool, index: int, node: int, at: float) -> bool:
        """Whether a SYN that is answered is answered by RST."""
        if mqtt:
            return self.timeline.down_at(node, at) is not None
        return self._api_error(index, at) == "process"

    def _api_error(self, index: int, at: float) -> str:
        span = holding(self.timeline.api_errors, at)
        return span.how if span is not None and self._draw_api(index) < span.share else ""

    def ends(self, node: int, at: float) -> float:
        """When a connection that stands since `at` is ended by its node or the balancer, with FIN or RST; inf: never."""
        cut_s = min((cut.at_s for cut in self.timeline.cuts if cut.at_s > at and not cut.silent), default=NEVER)
        down = self.timeline.next_down(node, at) if node != NO_NODE else None
        return min(cut_s, down.start_s) if down is not None and not down.silent else cut_s

    def forgets(self, node: int, at: float) -> tuple[float, float]:
        """When a connection that stands since `at` is forgotten without a word, and from when its packets are answered by RST."""
        forgotten_s = answers_s = NEVER
        resets = self._balancer is not None and self._balancer.after_idle == "reset"
        down = self.timeline.next_down(node, at) if node != NO_NODE else None
        if down is not None and down.silent:
            forgotten_s = down.start_s
            answers_s = min(down.end_s, down.avoided_from_s) if resets else down.end_s
        cut = next((cut for cut in self.timeline.cuts if cut.at_s > at and cut.silent), None)
        if cut is not None and cut.at_s < forgotten_s:
            forgotten_s, answers_s = cut.at_s, cut.until_s if resets else NEVER
        return forgotten_s, answers_s

    def forgotten_by_balancer(self, forgotten_s: float) -> float:
        """From when the balancer answers packets of a flow that it forgot at `forgotten_s`; inf: it was not the balancer."""
        return next((cut.until_s for cut in self.timeline.cuts if cut.silent and cut.at_s == forgotten_s), NEVER)

    # --- queues and tickets ---------------------------------------------------------------------------------------------

    def wait_s(self, node: int, at: float) -> float:
        """How long a connection waits behind those of the other clients that connect anew, before its TLS handshake."""
        left_s = 0.0
        for storm_node, since_s, clients in self._storms:
            if storm_node == node and since_s <= at:
                left_s = max(left_s, since_s + clients / self._storm_rate_per_s - at)
        return left_s

    def _find_storms(self) -> list[tuple[int, float, float]]:
        """(node, instant, clients): the clients of a node that is gone come to the others, or to those that start first.

        Simplification: all at once, as without jitter. A host that falls silent makes no storm, its clients notice one by one.
        """
        timeline, others = self.timeline, self._nodes.others
        storms: list[tuple[int, float, float]] = []
        for down in timeline.downs:
            if down.silent:
                continue
            up = [node for node in range(self._n) if timeline.down_at(node, down.start_s) is None]
            at_s = down.start_s
            if not up:
                at_s = min(other.end_s for other in timeline.downs if other.start_s <= down.start_s < other.end_s)
                up = [other.node for other in timeline.downs if other.end_s == at_s]
            storms += [(node, at_s, others / len(up)) for node in up]
        for at_s, what, _node in timeline.changes:
            if what is Change.BALANCER_CHANGED:
                until_s = max((cut.until_s for cut in timeline.cuts if cut.at_s == at_s), default=at_s)
                storms += [(node, until_s, float(others)) for node in range(self._n)]
        return storms

    def takes_ticket(self, node: int, of_node: int, given_s: float, at: float) -> bool:
        """Whether a TLS session ticket is accepted at `node` that `of_node` gave at `given_s`."""
        if self._nodes.tickets_shared:
            return True
        return node == of_node and (node == NO_NODE or self.timeline.started_s(node, at) <= given_s)

    def expired(self, at: float) -> bool:
        """Whether the server's certificate has expired."""
        return holding(self.timeline.expired, at) is not None

    # --- names ----------------------------------------------------------------------------------------------------------

    def dns_answers(self, at: float) -> bool:
        return holding(self.timeline.dns_outages, at) is None

    def dns_stale(self, at: float) -> Span | None:
        return holding(self.timeline.dns_stale, at)

    def nobody_there(self, address: str) -> bool:
        """Whether an address that DNS gives by mistake is one at which nobody answers."""
        return any(span.detail == address and span.how == "host" for span in self.timeline.dns_stale)
