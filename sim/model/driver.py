"""The model's driver: hosts one vehicle's machines in a SimPy environment. It contains no protocol behaviour.

Laws (tests/model/test_driver.py holds each):
1. Calls are atomic and never re-entered; the actions of a call are performed in order after it has returned.
2. A wake-up is armed only when the deadline is earlier than the one armed; one that comes early re-arms at the current one.
3. now = the item's own time: never before the deadline that fired, never back.
4. Ids of opened transports are chosen by the machine, of accepted ones by the driver; inputs of an abandoned one are ignored.
5. The driver never retries, times out or chooses.
6. Equal times: changes of the link, then inputs, then creations, then deadlines (vehicle, server); within each in
   the order in which they were posted.

Run-ahead (folding): an input that comes before anything else this vehicle waits for (deadline, change, creation, other
input, end of run) and touches nothing shared is handled at once, with its own later `now`. Else it is a SimPy event.
`fold=False` makes every input an event of its own: the oracle, with equal records.

Vehicles of a fleet that share the broker's nodes stand in one environment. What reaches a node (`SHARED` and above) is
handled in the order of the fleet's clock: a vehicle runs ahead up to its next such item and goes on when SimPy has come there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import simpy

from sim.machine import (
    NEVER,
    AddressChanged,
    CloseTransport,
    Create,
    Deliver,
    Drop,
    IgnitionChanged,
    Message,
    MessageCreated,
    NameFailed,
    NameResolved,
    Note,
    OpenTransport,
    Packet,
    PacketReceived,
    ResolveName,
    SendPacket,
    ServerChanged,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
    hosted,
)
from sim.model.agenda import (
    ACCEPTED,
    ADDRESS_CHANGED,
    AT_SERVER,
    AT_VEHICLE,
    CHANGE,
    CONNECT_AT_NODE,
    CREATION,
    DEADLINE,
    IGNITION_CHANGED,
    IN_CELL,
    INPUT,
    LOST,
    NAMED,
    OPENED,
    PACKET_AT_NODE,
    RANKS,
    SERVER_CHANGED,
    SHARED,
    TOLD,
    WRITE_BLOCKED,
    WRITE_RESUMED,
    Item,
    Wake,
)  # fmt: skip
from sim.model.link import Flow
from sim.model.network import Network
from sim.model.transport import Attempt, Opening, Transport
from sim.protocols.http import BodyPart, HTTPRequest, HTTPResponse
from sim.record.journal import SERVER, VEHICLE, Journal
from sim.record.recorder import Recorder
from sim.server.timeline import Change

_AGENDA_LIMIT: Final = 8  # so many items are kept before the first look at which of them will still matter


class Driver:
    """One vehicle: its machine, the backend's, the broker's, and the network between them."""

    __slots__ = (
        "_agenda", "_agenda_limit", "_armed", "_by_id", "_created_s", "_creations", "_env", "_fold", "_folded", "_horizon_s",
        "_item_callbacks", "_journal", "_listeners", "_machines", "_next_accepted_id", "_next_creation", "_offset_s",
        "_rank", "_serial", "_server", "_server_changes", "_server_due_s", "_shares", "_slot_a", "_slot_at", "_slot_b",
        "_slot_serial", "_slot_what", "_tracing", "_vehicle", "_vehicle_due_s", "_vehicle_host", "_wake_callbacks",
        "events", "handled", "network", "record",
    )  # fmt: skip

    def __init__(
        self,
        env: simpy.Environment,
        network: Network,
        machines: tuple[Any, Any],
        creations: list[Message],
        record: Recorder,
        *,
        listeners: frozenset[tuple[str, int]],
        vehicle_host: str,
        behind_nat: bool,
        horizon_s: float,
        fold: bool = True,
        server_changes: tuple[tuple[float, Change, int], ...] = (),
        rank: int = 0,
    ) -> None:
        """`machines` = (vehicle, server). `creations` in the order of time.

        `rank`: of the vehicle among those in its environment; at equal times the lower one goes first.

        `server_changes`: what the server's machine is told of the server side, in the order of time.
        `listeners`: each (address, port) at which the server listens; `vehicle_host`: the name in the vehicle's certificate.
        """
        self._env = env
        self._rank = rank * RANKS
        self._offset_s = network.offset_s
        self._shares = network.packets_meet is not None or network.shares_cells
        self.network = network
        self._machines = machines
        self._vehicle = hosted(machines[VEHICLE])
        self._server = hosted(machines[SERVER])
        self._vehicle_due_s = NEVER
        self._server_due_s = NEVER
        self._by_id: tuple[dict[int, Transport], dict[int, Transport]] = ({}, {})
        self._next_accepted_id = 1_000_000
        self._listeners = listeners
        self._vehicle_host = vehicle_host
        self._creations = creations
        self._next_creation = 0
        self._created_s = creations[0].created_s if creations else NEVER
        self.record = record
        record.expect(creations)
        self._journal = Journal(record, behind_nat=behind_nat)
        self._tracing = self._journal.tracing
        self._horizon_s = horizon_s
        self._fold = fold
        self._server_changes = server_changes
        self._agenda: list[Item] = []
        self._agenda_limit = _AGENDA_LIMIT
        self._folded = False
        self._slot_at = NEVER  # the item in the slot; NEVER: it is empty
        self._slot_serial = 0
        self._slot_what = 0
        self._slot_a: Any = None
        self._slot_b: Any = None
        self._serial = 0
        self._armed = NEVER
        self._wake_callbacks: tuple[Callable[[Wake], None], ...] = (self._wake,)
        self._item_callbacks: tuple[Callable[[Wake], None], ...] = (self._item,)
        self.events = 0  # SimPy events of this vehicle
        self.handled = 0  # inputs and deadlines handled

    def start(self, start_s: float) -> None:
        """Schedule what the timeline brings and wake the machines for the first time."""
        self._post_change(self.network.link.address_changes(), start_s)
        for off_s, on_s in self.network.timeline.parked:
            # a drive that begins with a parking: the vehicle was connected before, and its session stands
            self._post(max(off_s, start_s), IGNITION_CHANGED, False, None, CHANGE)
            self._post(on_s, IGNITION_CHANGED, True, None, CHANGE)
        if self._server_changes:
            # what happened to the server before is told first
            self._post_server_change(iter([(max(at, start_s), what, node) for at, what, node in self._server_changes]))
        self._vehicle_due_s = self._vehicle.next_deadline()
        self._server_due_s = self._server.next_deadline()
        self._arm()

    # --- time ---------------------------------------------------------------------------------------------------------------

    def _post(self, at: float, what: int, a: Any, b: Any, order: int = INPUT) -> None:
        """Something will happen to this vehicle at `at`."""
        if at == NEVER:
            return
        self._serial += 1
        if not self._fold and at <= self._horizon_s:
            self._schedule(at, order, Wake(self._item_callbacks, at, what, a, b))
        elif self._folded and self._slot_at == NEVER and order == INPUT and what < SHARED:
            self._slot_at = at
            self._slot_serial = self._serial
            self._slot_what = what
            self._slot_a = a
            self._slot_b = b
        else:
            heapq.heappush(self._agenda, (at, order, self._serial, what, a, b))
            if len(self._agenda) >= self._agenda_limit:
                self._clear_agenda()

    def _clear_agenda(self) -> None:
        """Drop what would be told to ends that are gone: a kernel gives up after a quarter of an hour."""
        by_id = self._by_id
        self._agenda[:] = [item for item in self._agenda if item[3] != LOST or (item[4] >> 1) in by_id[item[4] & 1]]
        heapq.heapify(self._agenda)
        self._agenda_limit = max(_AGENDA_LIMIT, 2 * len(self._agenda))

    def _schedule(self, at: float, order: int, event: Wake) -> None:
        # env.schedule() adds a delay to now and so may miss `at` by a rounding; the queue takes exact times
        env: Any = self._env
        self._serial += 1
        at += self._offset_s
        heapq.heappush(env._queue, (at if at > env._now else env._now, order, self._rank + self._serial, event))

    def _item(self, event: Wake) -> None:
        """SimPy: a posted item is due (unfolded)."""
        self.events += 1
        self._happen(event.at, event.what, event.a, event.b)
        self._arm()

    def _arm(self) -> None:
        """Law 2: arm only what is earlier than the wake-up armed."""
        at = min(self._vehicle_due_s, self._server_due_s)
        order = DEADLINE
        if self._created_s <= at and self._created_s < NEVER:
            at, order = self._created_s, CREATION
        if self._fold and self._agenda and self._agenda[0] < (at, order, 0):
            at, order = self._agenda[0][0], self._agenda[0][1]
        if at < self._armed and at <= self._horizon_s:
            self._armed = at
            self._schedule(at, order, Wake(self._wake_callbacks, at))

    def _wake(self, event: Wake) -> None:
        """SimPy: the armed wake-up. Handle what is due, and run ahead as far as nothing else can come between."""
        self.events += 1
        if event.at != self._armed:
            return  # an earlier one was armed after it
        self._armed = NEVER
        if self._fold:
            self._run_ahead(event.at)
        else:
            self._next_due(event.at)
            self._arm()

    def _run_ahead(self, reached_s: float) -> None:
        """Handle item after item of this vehicle in the order of law 6, up to the next that touches something shared.

        An uncoupled vehicle has none, its bound is the end of the run. SimPy's clock is at `reached_s`: what is due there
        may touch it. The input posted last mostly is the next one; it is kept in a slot and then costs no heap operation.
        """
        agenda = self._agenda
        horizon_s = self._horizon_s
        self._folded = True
        while True:
            due_s = self._created_s
            if self._vehicle_due_s < due_s:
                due_s = self._vehicle_due_s
            if self._server_due_s < due_s:
                due_s = self._server_due_s
            at = self._slot_at
            if at < NEVER:
                self._slot_at = NEVER
                # what stands in the agenda was posted before it and goes first at the same instant
                first_s: float = agenda[0][0] if agenda else NEVER
                if at <= due_s and at <= horizon_s and at < first_s:
                    self._happen(at, self._slot_what, self._slot_a, self._slot_b)
                    continue
                heapq.heappush(agenda, (at, INPUT, self._slot_serial, self._slot_what, self._slot_a, self._slot_b))
            first_s = agenda[0][0] if agenda else NEVER
            if first_s <= due_s and agenda:
                if first_s > horizon_s:
                    break
                if agenda[0][3] >= SHARED and first_s > reached_s:
                    self._armed = first_s
                    self._schedule(first_s, agenda[0][1], Wake(self._wake_callbacks, first_s))
                    break
                item = heapq.heappop(agenda)
                self._happen(item[0], item[3], item[4], item[5])
            elif due_s <= horizon_s:
                self._next_due(due_s)
            else:
                break
        self._folded = False

    def _happen(self, now: float, what: int, a: Any, b: Any) -> None:
        """Something that was posted happens."""
        self.handled += 1
        if what == AT_VEHICLE:
            self._at_vehicle(now, a, b)
        elif what == AT_SERVER:
            self._at_server(now, a, b)
        elif what < SHARED:
            _OCCURRENCES[what](self, now, a, b)
        else:
            self._meet(now, what, a, b)

    def _next_due(self, at: float) -> None:
        """Handle one creation or one machine's deadline that is due at `at`, in the order of law 6."""
        self.handled += 1
        if self._created_s <= at:
            message = self._creations[self._next_creation]
            self._next_creation += 1
            more = self._next_creation < len(self._creations)
            self._created_s = self._creations[self._next_creation].created_s if more else NEVER
            self._input(VEHICLE if message.uplink else SERVER, message.created_s, MessageCreated(message))
        elif self._vehicle_due_s <= at:
            actions = self._vehicle.handle_deadline(at)
            self._vehicle_due_s = self._vehicle.next_deadline()
            self._perform(VEHICLE, at, actions)
        else:
            actions = self._server.handle_deadline(at)
            self._server_due_s = self._server.next_deadline()
            self._perform(SERVER, at, actions)

    # --- calls ----------------------------------------------------------------------------------------------------------------

    def _input(self, side: int, now: float, event: Any) -> None:
        """Hand an input to a machine."""
        if self._tracing:
            self._journal.trace_input(side, now, event)
        if side == VEHICLE:
            actions = self._vehicle.handle(now, event)
            self._vehicle_due_s = self._vehicle.next_deadline()
        else:
            actions = self._server.handle(now, event)
            self._server_due_s = self._server.next_deadline()
        self._perform(side, now, actions)

    def _perform(self, side: int, now: float, actions: list[Any]) -> None:
        """Law 1: in order, after the call has returned."""
        for action in actions:
            if type(action) is SendPacket:
                self._send(side, now, action)
            elif type(action) is Deliver:
                self._deliver(side, now, action)
            else:
                _ACTIONS[type(action)](self, side, now, action)

    def _send(self, side: int, now: float, action: SendPacket) -> None:
        packet: Packet = action.packet
        if self._tracing:
            self._journal.trace_send(side, now, action)
        transport = self._by_id[side].get(action.transport)
        if transport is None:
            self._journal.lost(now, packet)
            return
        up = side == VEHICLE
        special = False
        if packet.carried is not None:
            special = self._journal.sent(side, now, packet)
        elif isinstance(packet, (HTTPRequest, HTTPResponse)):
            special = self._journal.sent(side, now, packet) or bool(packet.messages)
        arrival = self.network.send(transport, up, packet, now)
        if isinstance(packet, BodyPart):
            on_air = packet.size_bytes if arrival < NEVER else max(0, packet.size_bytes - self.network.link.unsent_bytes)
            self.network.book_part(self._journal.sent_part(now, packet, on_air))
        elif special or (arrival == NEVER and packet.carried is not None):
            self.network.book_messages(packet, up, lost=arrival == NEVER)
        if arrival == NEVER:
            self._journal.lost(now, packet)
        else:
            what = AT_SERVER if up else AT_VEHICLE
            if self._shares:
                self._goes_through(arrival, what, transport, packet, now)
            else:
                self._post(arrival, what, transport, packet)
        flow = transport.up if up else transport.down
        if flow.watch:
            self._check_sender(side, transport, flow, now)

    def _check_sender(self, side: int, transport: Transport, flow: Flow, now: float) -> None:
        """Tell the sender when its kernel will give up, when the path answers with a reset, and when its buffer is full."""
        flow.watch = False
        end = side != VEHICLE
        if flow.sender_gone_s < NEVER and not transport.told_gone[end]:
            transport.told_gone[end] = True
            self._post(flow.sender_gone_s, LOST, transport.end(end), "timed_out")
        reset = self.network.reset_by_path(transport, not end, now)
        if reset is not None and not transport.told_reset & (1 << end):
            transport.told_reset |= 1 << end
            self._post(reset[0], LOST, transport.end(end), reset[1])
        if not flow.blocked:
            resumes_s = self.network.buffer_full_until(flow, now)
            if resumes_s > now:
                flow.blocked = True
                self._post(now, WRITE_BLOCKED, (transport, end), None)
                self._post(resumes_s, WRITE_RESUMED, (transport, end), flow)

    def _write_blocked(self, now: float, who: tuple[Transport, int], _b: Any) -> None:
        transport, end = who
        if transport.open[end]:
            self._input(SERVER if end else VEHICLE, now, WriteBlocked(transport.ids[end]))

    def _write_resumed(self, now: float, who: tuple[Transport, int], flow: Flow) -> None:
        transport, end = who
        flow.blocked = False
        if transport.open[end]:
            self._input(SERVER if end else VEHICLE, now, WriteResumed(transport.ids[end]))

    def _at_vehicle(self, now: float, transport: Transport, packet: Any) -> None:
        """The last byte of a packet is at the vehicle."""
        if transport.open[0]:
            self._input(VEHICLE, now, PacketReceived(transport.ids[0], packet))
        else:
            self._journal.lost(now, packet)
            self._answer_late(now, transport, 0)

    def _at_server(self, now: float, transport: Transport, packet: Any) -> None:
        """The last byte of a packet is at the server."""
        if transport.open[1]:
            self._input(SERVER, now, PacketReceived(transport.ids[1], packet))
        else:
            self._journal.lost(now, packet)
            self._answer_late(now, transport, 1)

    def _answer_late(self, now: float, transport: Transport, end: int) -> None:
        """Data reached a closed end: its kernel answers with RST (RFC 9293 3.10.7.1)."""
        other = 1 - end
        if transport.open[other] and not transport.told_reset & (1 << other):
            at = self.network.reset_reply(transport, other == 0, now)
            if at < NEVER:
                transport.told_reset |= 1 << other
                self._post(at, LOST, transport.end(other), "reset")

    def _lost(self, now: float, who: int, reason: str) -> None:
        """One end (Transport.end) is told that its transport is gone. An abandoned one is told nothing."""
        end = who & 1
        side = SERVER if end else VEHICLE
        transport = self._by_id[side].pop(who >> 1, None)
        if transport is None:
            return
        transport.open[end] = False
        self.network.let_go(transport, end == 0, now)
        self._end_row(transport, end, now, reason)
        self._input(side, now, TransportLost(transport.ids[end], reason))

    def _end_row(self, transport: Transport, end: int, now: float, reason: str) -> None:
        if end == transport.opener:
            path_end_s = min(transport.path_end_s, self.network.idle_end(transport, now))
            self._journal.end_row(end, transport.ids[end], now, reason, path_end_s)
            if end == 0 and reason not in ("done", "closed", "disconnect"):
                self.network.ended_badly()
        else:
            self._journal.peer_ended(transport.row, now)

    # --- actions ----------------------------------------------------------------------------------------------------------------

    def _open(self, side: int, now: float, action: OpenTransport) -> None:
        end = side != VEHICLE
        network = self.network
        row = self._journal.opening(int(end), action, self._address(now), now)
        address = network.link.address_at(now)
        transport = Transport(
            address, int(end), action.port, row, network.link.flow(now), network.link.flow(now), action.user_timeout_s
        )
        transport.ids[end] = action.transport
        transport.open[end] = True
        self._by_id[side][action.transport] = transport
        if not end and address < 0:
            self._post(now, LOST, transport.end(0), "no_address")
            return
        known = (action.address, action.port) in self._listeners
        if end:
            opening = network.open_from_server(transport, action.address, action.peer, self._vehicle_host, now)
        elif network.is_shared(transport):
            transport.path_end_s = network.link.path_end(transport.address, now)
            self._begin(network.begin(transport, known, row.attempt, now))
            return
        else:
            opening = network.open_from_vehicle(transport, known, row.attempt, now)
        self._goes(transport, opening, now)

    def _goes(self, transport: Transport, opening: Opening, now: float) -> None:
        """How the opening of a transport goes is known."""
        end, row = transport.opener, transport.row
        transport.path_end_s = min(self.network.link.path_end(transport.address, now), transport.mapping_end_s)
        if opening.failed_s < NEVER:
            self._post(opening.failed_s, LOST, transport.end(end), opening.reason)
            row.tcp_s = opening.tcp_s if opening.tcp_s < NEVER else math.nan
            return
        row.tcp_s = opening.tcp_s  # taken back by _end_row where the opener gives up before
        self._post(opening.opened_s, OPENED, transport, opening.resumed)
        self._post(opening.accepted_s, ACCEPTED, transport, None)
        self._post(opening.lost_s, LOST, transport.end(end), "reset")
        flow = transport.down if end else transport.up
        if flow.sender_gone_s < NEVER:
            self._post(flow.sender_gone_s, LOST, transport.end(end), "timed_out")

    # of a vehicle that shares something: FleetDriver does it
    def _goes_through(self, arrival: float, what: int, transport: Transport, packet: Any, now: float) -> None:
        raise NotImplementedError

    def _begin(self, attempt: Attempt) -> None:
        raise NotImplementedError

    def _meet(self, now: float, what: int, a: Any, b: Any) -> None:
        raise NotImplementedError

    def _opened(self, now: float, transport: Transport, resumed: bool) -> None:
        end = transport.opener
        if not transport.open[end]:
            return
        transport.row.opened_s = now
        transport.row.resumed = resumed
        self._input(SERVER if end else VEHICLE, now, TransportOpened(transport.ids[end], resumed))

    def _accepted(self, now: float, transport: Transport, _b: Any) -> None:
        end = 1 - transport.opener
        side = SERVER if end else VEHICLE
        self._next_accepted_id += 1
        transport.ids[end] = self._next_accepted_id
        transport.open[end] = True
        self._by_id[side][transport.ids[end]] = transport
        address = self.network.timeline.addresses[transport.address] if transport.address >= 0 else ""
        peer = self._vehicle_host if end else ""
        self._input(side, now, TransportAccepted(transport.ids[end], transport.port, peer, address, transport.node))
        if not transport.open[transport.opener]:
            # the opener gave up while its last flight was on the way; its RST is not far behind
            self._post(now, LOST, transport.end(end), "reset")

    def _close(self, side: int, now: float, action: CloseTransport) -> None:
        transport = self._by_id[side].pop(action.transport, None)
        if transport is None:
            return
        end = int(side != VEHICLE)
        transport.open[end] = False
        self._end_row(transport, end, now, action.reason)
        if not transport.open[1 - end]:
            self.network.let_go(transport, end == 0, now)
        else:
            told_s = self.network.close(transport, end == 0, now, abort=action.abort)
            if told_s < NEVER:
                self._post(told_s, LOST, transport.end(1 - end), "reset" if action.abort else "closed")
            elif not transport.told_reset & (2 - end):
                told_s = self.network.reset_by_closed_end(transport, end == 0, now)
                transport.told_reset |= (2 - end) if told_s < NEVER else 0
                self._post(told_s, LOST, transport.end(1 - end), "reset")

    def _resolve(self, side: int, now: float, action: ResolveName) -> None:
        if action.transport >= 0:
            self._journal.asked(side, action, self._address(now), now)
        at, address = self.network.resolve(action.name, now)
        if address:
            self._post(at, NAMED, side, NameResolved(action.name, address, action.transport))
        else:
            self._post(at, NAMED, side, NameFailed(action.name, "timed_out" if at > now else "no_address", action.transport))

    def _named(self, now: float, side: int, event: Any) -> None:
        self._input(side, now, event)

    def _create(self, side: int, now: float, action: Create) -> None:
        self._journal.created(action.message)

    def _deliver(self, side: int, now: float, action: Deliver) -> None:
        self._journal.deliver(side, now, action)

    def _drop(self, side: int, now: float, action: Drop) -> None:
        self._journal.drop(side, now, action, self._address(now))

    def _note(self, side: int, now: float, action: Note) -> None:
        exchange = self._journal.note(side, now, action, self._address(now) if action.kind == "exchange" else "")
        if exchange is not None:
            self._by_id[side][action.transport].row = exchange

    def _address(self, now: float) -> str:
        """The vehicle's address, "" where it has none."""
        address = self.network.link.address_at(now)
        return self.network.timeline.addresses[address] if address >= 0 else ""

    # --- the link and the data centre -------------------------------------------------------------------------------------------

    def _post_change(self, changes: Iterator[tuple[float, int]], not_before_s: float) -> None:
        """Only the next change of the address is posted; when it comes it posts the one after it."""
        for at, address in changes:
            name = self.network.timeline.addresses[address] if address >= 0 else None
            self._post(max(at, not_before_s), ADDRESS_CHANGED, name, changes, CHANGE)
            return

    def _address_changed(self, now: float, address: str | None, changes: Iterator[tuple[float, int]]) -> None:
        self._post_change(changes, now)
        self._input(VEHICLE, now, AddressChanged(address))

    def _ignition_changed(self, now: float, on: bool, _b: Any) -> None:
        self._input(VEHICLE, now, IgnitionChanged(on))

    def _post_server_change(self, changes: Iterator[tuple[float, Change, int]]) -> None:
        """Only the next one is posted, as of the address."""
        for at, what, node in changes:
            self._post(at, SERVER_CHANGED, (what, node), changes, CHANGE)
            return

    def _server_changed(self, now: float, change: tuple[Change, int], changes: Iterator[tuple[float, Change, int]]) -> None:
        self._post_server_change(changes)
        what, node = change
        if what is Change.BALANCER_CHANGED:
            for transport in [each for each in self._by_id[SERVER].values() if each.opener == VEHICLE]:
                self._lost(now, transport.end(1), "reset")
                self._tell_vehicle(now, transport)
        elif what is Change.NODE_FAILED:
            gone = [each for each in self._by_id[SERVER].values() if each.opener == VEHICLE and each.node == node]
            for transport in gone:
                transport.open[1] = False
                del self._by_id[SERVER][transport.ids[1]]
                self._end_row(transport, 1, now, "node")
                self._post(self.network.crash(transport, now), LOST, transport.end(0), "closed")
            self._input(SERVER, now, ServerChanged("node_failed", node, tuple(transport.ids[1] for transport in gone)))
        else:
            self._input(SERVER, now, ServerChanged(TOLD[what], node))

    def _tell_vehicle(self, now: float, transport: Transport) -> None:
        """The server's end has closed without its machine; the kernel sends FIN."""
        if transport.open[0]:
            self._post(self.network.close(transport, False, now, abort=False), LOST, transport.end(0), "closed")

    # --- the end --------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Complete the rows of connections that nobody has given up; what is not on the air by now was not sent."""
        for side, transports in enumerate(self._by_id):
            for transport in transports.values():
                self.network.let_go(transport, side == VEHICLE, self._horizon_s)
                path_end_s = min(transport.path_end_s, self.network.idle_end(transport, self._horizon_s))
                if transport.open[transport.opener] and path_end_s < self._horizon_s:
                    transport.row.path_end_s = path_end_s

    def let_go(self) -> None:
        """Drop what refers back to this object, so that the vehicle's memory is free at once and serves the next."""
        self._wake_callbacks = self._item_callbacks = ()
        self._vehicle.let_go()
        self._server.let_go()

    def forget_records(self, nothing: Recorder) -> None:
        """Let go of all records and of what is still to be created, so that what is left can be measured."""
        self.record = self.network.record = nothing
        self._journal = Journal(self.record)
        self._creations = []
        self._created_s = NEVER

    def held(self) -> list[Message]:
        """Messages of which a machine or a packet on its way still holds a copy."""
        kept: list[Message] = []
        for machine in self._machines:
            if hasattr(machine, "held"):
                kept += machine.held()
        for packet in self._on_the_way():
            if packet.carried is not None:
                kept.append(packet.carried)
            elif isinstance(packet, (HTTPRequest, HTTPResponse)):
                kept += packet.messages
        return kept

    def _on_the_way(self) -> list[Any]:
        """Packets that have not arrived at the end of the run; unfolded, they stand in SimPy's queue."""
        arrivals = (AT_VEHICLE, AT_SERVER, CONNECT_AT_NODE, PACKET_AT_NODE, IN_CELL)
        found = [item[5] for item in self._agenda if item[3] in arrivals]
        if not self._fold:
            env: Any = self._env  # Any: SimPy's own types know no such events as ours
            queue = [entry[3] for entry in env._queue if type(entry[3]) is Wake]
            found += [event.b for event in queue if event.callbacks is self._item_callbacks and event.what in arrivals]
        return found


#: what was posted -> what happens then
_OCCURRENCES: Final[dict[int, Callable[..., None]]] = {
    AT_VEHICLE: Driver._at_vehicle,
    AT_SERVER: Driver._at_server,
    NAMED: Driver._named,
    OPENED: Driver._opened,
    ACCEPTED: Driver._accepted,
    LOST: Driver._lost,
    WRITE_BLOCKED: Driver._write_blocked,
    WRITE_RESUMED: Driver._write_resumed,
    ADDRESS_CHANGED: Driver._address_changed,
    SERVER_CHANGED: Driver._server_changed,
    IGNITION_CHANGED: Driver._ignition_changed,
}

#: action type -> how the driver performs it
_ACTIONS: Final[dict[type, Callable[..., None]]] = {
    SendPacket: Driver._send,
    OpenTransport: Driver._open,
    CloseTransport: Driver._close,
    ResolveName: Driver._resolve,
    Create: Driver._create,
    Deliver: Driver._deliver,
    Drop: Driver._drop,
    Note: Driver._note,
}
