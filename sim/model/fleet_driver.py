"""The driver of a vehicle that shares nodes of the broker or cells with others (sim.model.fleet)."""

from __future__ import annotations

from typing import Any

from sim.machine import NEVER
from sim.model.agenda import (
    ANSWERED,
    AT_SERVER,
    AT_VEHICLE,
    CONNECT_AT_NODE,
    HELLO_AT_NODE,
    IN_CELL,
    LOST,
    PACKET_AT_NODE,
    SOON_S,
    SYN_AT_NODE,
)
from sim.model.driver import Driver
from sim.model.fleet_network import FleetNetwork
from sim.model.link import Flow
from sim.model.shared_cells import LOOKS_S
from sim.model.transport import Attempt, Transport
from sim.protocols.mqtt_packets import Connect
from sim.record.journal import SERVER


class FleetDriver(Driver):
    """Adds the steps at which a vehicle's packets meet those of others: in the cell, and at the node. Its network is one too."""

    __slots__ = ()

    def _meeting(self) -> FleetNetwork:
        network = self.network
        assert isinstance(network, FleetNetwork)
        return network

    def _goes_through(self, arrival: float, what: int, transport: Transport, packet: Any, now: float) -> None:
        network = self._meeting()
        if what == AT_SERVER and network.is_shared(transport):
            if type(packet) is Connect:
                what = CONNECT_AT_NODE
            elif network.packets_meet:
                what = PACKET_AT_NODE
        flow = transport.down if what == AT_VEHICLE else transport.up
        asked = network.enter_cell(what != AT_VEHICLE, packet, flow, now) if network.shares_cells else -1
        if asked < 0:
            self._post(arrival, what, transport, packet)
        else:
            self._post(arrival, IN_CELL, (what, transport, flow, asked), packet)

    def _happen(self, now: float, what: int, a: Any, b: Any) -> None:
        if what == LOST and a & 1:
            transport = self._by_id[SERVER].get(a >> 1)
            if transport is not None and transport.busy_until_s > now:
                self._post(transport.busy_until_s, LOST, a, b)  # the node has not read what came before
                return
        super()._happen(now, what, a, b)

    def _meet(self, now: float, what: int, a: Any, b: Any) -> None:
        if what == SYN_AT_NODE:
            self._syn_at_node(now, a, b)
        elif what == HELLO_AT_NODE:
            self._hello_at_node(now, a)
        elif what == CONNECT_AT_NODE:
            self._connect_at_node(now, a, b)
        elif what == PACKET_AT_NODE:
            self._packet_at_node(now, a, b)
        elif what == ANSWERED:
            self._answered(now, a)
        else:
            self._in_cell(now, a, b)

    def _begin(self, attempt: Attempt) -> None:
        """Nobody has answered so far: the kernel sends SYN again, and gives up in the end."""
        for arrives_s, back_s in attempt.syns:
            self._post(arrives_s, SYN_AT_NODE, attempt, back_s)
            return
        self._post(attempt.gives_up_s, LOST, attempt.transport.end(0), "timed_out")

    def _syn_at_node(self, now: float, attempt: Attempt, back_s: float) -> None:
        transport, opening = attempt.transport, attempt.opening
        if not transport.open[0]:
            return
        if not self._meeting().syn_arrived(attempt, now, back_s):
            self._begin(attempt)
        elif opening.failed_s < NEVER or attempt.hello_s == NEVER:
            self._goes(transport, opening, now)
        else:
            transport.row.tcp_s = opening.tcp_s
            self._post(max(attempt.hello_s, attempt.ready_s), HELLO_AT_NODE, attempt, None)

    def _hello_at_node(self, now: float, attempt: Attempt) -> None:
        transport, opening = attempt.transport, attempt.opening
        if not transport.open[0] and transport.row.noticed_s < opening.tcp_s:
            return  # it was given up before TCP stood, and no ClientHello was sent
        self._meeting().hello_read(attempt, now)
        if not transport.open[0]:
            return
        if attempt.costs is None or opening.opened_s == NEVER:
            self._goes(transport, opening, now)
        else:
            self._post(opening.opened_s, ANSWERED, attempt, None)

    def _answered(self, now: float, attempt: Attempt) -> None:
        """The node's answer is at the vehicle; what comes of it if that is still there."""
        if attempt.transport.open[0]:
            self._meeting().answer_read(attempt)
            self._goes(attempt.transport, attempt.opening, now)

    def _connect_at_node(self, now: float, transport: Transport, packet: Any) -> None:
        """A CONNECT is at a node that others share, which admits so many in a second and turns away what is too many."""
        if not transport.open[1]:
            self._at_server(now, transport, packet)  # the node knows nothing of it any more
            return
        admitted_s = self._meeting().connect_arrived(transport, now)
        if admitted_s < NEVER:
            self._post(admitted_s, AT_SERVER, transport, packet)
        else:
            self._lost(now, transport.end(1), "refused")
            self._tell_vehicle(now, transport)

    def _packet_at_node(self, now: float, transport: Transport, packet: Any) -> None:
        """A packet is at a node that others share, and waits for its CPU; what ends the transport comes behind it."""
        if not transport.open[1]:
            self._at_server(now, transport, packet)
            return
        transport.busy_until_s = self._meeting().packet_arrived(transport, now)
        self._post(transport.busy_until_s, AT_SERVER, transport, packet)

    def _in_cell(self, now: float, way: tuple[int, Transport, Flow, int], packet: Any) -> None:
        """The vehicle's own link has carried a packet; the cell, which others share, may not have."""
        what, transport, flow, asked = way
        wait_s = self._meeting().waits_s(what != AT_VEHICLE, flow, asked, now)
        if wait_s > SOON_S:
            self._post(now + min(wait_s, LOOKS_S), IN_CELL, way, packet)
        elif now >= transport.path_end_s:
            self._journal.lost(now, packet)  # the address has gone while it waited
        else:
            self._happen(now, what, transport, packet)
