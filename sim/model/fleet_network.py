"""The network of a vehicle that shares nodes of the broker or cells with others: the steps at which it meets them."""

from __future__ import annotations

from sim.machine import NEVER, Packet
from sim.model.link import Flow
from sim.model.network import Network
from sim.model.transport import Attempt, Transport
from sim.protocols.tcp import syn_gives_up_s


class FleetNetwork(Network):
    """Opens connections to shared nodes step by step: the node is asked when SYN, ClientHello and CONNECT are there."""

    __slots__ = ()

    def enter_cell(self, up: bool, packet: Packet, flow: Flow, now: float) -> int:
        """A packet that is sent at `now` asks for its part of a shared cell; -1: of none."""
        cell = self.timeline.cell_at(now) if self._cells is not None else ""
        if self._cells is None or not cell:
            return -1
        return self._cells.enter(cell, up, flow, self.offset_s + now, self.wire_bytes(packet.encoded_size))

    def waits_s(self, up: bool, flow: Flow, asked: int, now: float) -> float:
        """How long a packet waits for its part of a cell, as it looks now."""
        assert self._cells is not None
        at = self.offset_s + now
        return self._cells.through_s(self.timeline.cell_at(now), up, flow, asked, at) - at

    def begin(self, transport: Transport, known: bool, index: int, now: float) -> Attempt:
        """As open_from_vehicle, step by step: the node is asked when SYN, ClientHello and CONNECT are there."""
        self._knock(transport, now)
        syns = self.link.syns(transport.address, now)
        return Attempt(transport, known, index, syns, now + syn_gives_up_s(self._server.tcp))

    def syn_arrived(self, attempt: Attempt, now: float, back_s: float) -> bool:
        """A SYN is at the node; whether it is answered, at the vehicle at `back_s`. Then `hello_s` or a failure is known."""
        shared, side, transport, opening = self._shared, self._side, attempt.transport, attempt.opening
        assert shared is not None
        assert side is not None
        if not self._answers(side, transport, attempt.index)(now):
            return False
        transport.node = side.node_at(attempt.index, transport.row.address, now)
        opening.tcp_s = back_s
        if not self._let_in(transport, opening, attempt.known, attempt.index, now):
            return True
        wait_s = shared.accept(transport.node, self.offset_s + now)
        if wait_s == NEVER:
            opening.tcp_s = NEVER
            return False
        attempt.ready_s = now + wait_s
        attempt.costs, attempt.hello_s = self._greet(transport, opening, vehicle_is_client=True)
        return True

    def hello_read(self, attempt: Attempt, now: float) -> None:
        """The node has accepted the connection and has its ClientHello (without TLS: TCP's last ACK): when it answers."""
        shared, transport, opening, costs = self._shared, attempt.transport, attempt.opening, attempt.costs
        assert shared is not None
        if costs is None:
            self._answer(transport, opening, None, attempt.hello_s, now - attempt.hello_s, vehicle_is_client=True)
            self._cut_off(transport, opening)
            return
        starts_s = now + shared.compute(transport.node, self.offset_s + now, costs.server_cpu_s)
        gone_s = min(transport.ends_s, transport.mapping_end_s)
        if starts_s >= gone_s:  # it is gone before it comes to this one
            if transport.ends_s == gone_s:
                opening.lost_s = self.link.once(transport.address, False, gone_s)
            return
        opening.opened_s = self._answered_s(transport, costs, starts_s, vehicle_is_client=True)

    def answer_read(self, attempt: Attempt) -> None:
        """The vehicle has the node's answer: the rest of the handshake is known."""
        assert attempt.costs is not None
        self._complete(attempt.transport, attempt.opening, attempt.costs, vehicle_is_client=True)
        self._cut_off(attempt.transport, attempt.opening)

    def connect_arrived(self, transport: Transport, now: float) -> float:
        """When the node admits a CONNECT that is there; inf: it turns it away."""
        assert self._shared is not None
        return now + self._shared.connect(transport.node, self.offset_s + now)

    def packet_arrived(self, transport: Transport, now: float) -> float:
        """When the node has the time for a packet that is there. Simplification: what it sends takes it none."""
        shared = self._shared
        assert shared is not None
        at = self.offset_s + now
        return now + shared.compute(transport.node, at, shared.message_cpu_s)
