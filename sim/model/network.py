"""What lies between one vehicle and the server: transports with TCP and TLS on the vehicle's link, DNS, NAT, the radio's tail.

Adds only what hardware and radio add; no protocol decisions. Everything is a pure function of timeline, settings and the
instant of the call, so the driver knows at once when (and whether) something will arrive.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

from sim.drive.config import Network as NetworkSettings
from sim.drive.timeline import LinkTimeline
from sim.machine import NEVER, Packet
from sim.model.carried import carried_bytes, messages_of
from sim.model.link import Flow, Link
from sim.model.server_side import NO_NODE, ServerSide
from sim.model.shared_cells import SharedCells
from sim.model.shared_nodes import SharedNodes
from sim.model.transport import Attempt, Opening, Transport
from sim.protocols.dns import Cache
from sim.protocols.http import BodyPart
from sim.protocols.server import Server
from sim.protocols.tcp import HEADER_BYTES, syn_gives_up_s
from sim.protocols.tls import RECORD_BYTES, RECORD_OVERHEAD_BYTES, Handshake, can_resume, handshake
from sim.record.recorder import Booked, Connection, Recorder

RRC_TAIL_S: Final = 10.0  # RRC inactivity timer (docs/sources.md, real-world 3: 10 s, sweep 5 to 30 s)
_SYN_BYTES: Final = 60  # IPv4 20 + TCP 20 + options 20


class Network:
    """The network of one vehicle."""

    __slots__ = (
        "_balancer_idle_s",
        "_cache",
        "_cells",
        "_down_cells",
        "_idle_timeout_s",
        "_mss",
        "_nat_idle_s",
        "_one_segment",
        "_one_segment_overhead",
        "_radio_until",
        "_returns",
        "_server",
        "_settings",
        "_shared",
        "_side",
        "_ticket_died",
        "_ticket_node",
        "_ticket_s",
        "_tls_bytes",
        "_two_segments",
        "_up_cells",
        "link",
        "offset_s",
        "packets_meet",
        "radio_active_s",
        "record",
        "refuse",
        "shares_cells",
        "timeline",
    )  # fmt: skip

    def __init__(
        self, timeline: LinkTimeline, server: Server, settings: NetworkSettings, record: Recorder, *, queue_bytes: int,
        refuse: Callable[[int], float] | None = None, side: ServerSide | None = None, shared: SharedNodes | None = None,
        offset_s: float = 0.0, cells: SharedCells | None = None,
    ) -> None:  # fmt: skip
        """`refuse(i)` is a draw in (0, 1) for the vehicle's i-th connection, against server.refuse_share.

        `side`: the server side, where it has more than one node that never fails. `shared`: its nodes, where a fleet shares
        them; then the vehicle's clock shows 0 at `offset_s` of the fleet's. `cells`: those that it shares.
        """
        self.timeline = timeline
        self.link = Link(timeline, server.tcp, queue_bytes=queue_bytes)
        self.record = record
        self._server = server
        self._settings = settings
        self.refuse = refuse
        self._tls_bytes = RECORD_OVERHEAD_BYTES if server.tls.profile != "none" else 0
        self._mss = server.tcp.mss_bytes
        self._side = side
        self._shared = shared
        self._cells = cells
        self.shares_cells = cells is not None
        #: whether every packet at a node costs it time, or the CONNECT alone; None: no node is shared
        self.packets_meet = None if shared is None else shared.message_cpu_s > 0.0
        self.offset_s = offset_s
        self._nat_idle_s = settings.cgnat.idle_timeout_s if settings.access == "cgnat" else NEVER
        self._balancer_idle_s = server.balancer.idle_timeout_s if server.balancer is not None else NEVER
        self._idle_timeout_s = min(self._nat_idle_s, self._balancer_idle_s)
        self._cache = Cache()
        if server.dns.cached:
            self._cache.put(-1e9, server.name, server.address, NEVER)
        self._ticket_s = -NEVER
        self._ticket_died = False
        self._ticket_node = NO_NODE
        self._up_cells: dict[str, Booked] = {}
        self._down_cells: dict[str, Booked] = {}
        # whether an address that was left for another one ever comes back
        held = [address for _, address in self.link.address_changes() if address >= 0]
        left = [address for address, later in itertools.pairwise(held) if address != later]
        self._returns = len(set(left + held[-1:])) <= len(left)
        self._two_segments = 2 * self._mss
        self._one_segment = self._mss - self._tls_bytes
        self._one_segment_overhead = self._tls_bytes + HEADER_BYTES
        self._radio_until = -NEVER
        self.radio_active_s = 0.0

    # --- bytes ------------------------------------------------------------------------------------------------------------

    def wire_bytes(self, size_bytes: int) -> int:
        """IP bytes of a write: TLS records, and a TCP/IP header for each segment."""
        size = size_bytes + self._tls_bytes * (1 if size_bytes <= RECORD_BYTES else -(-size_bytes // RECORD_BYTES))
        return size + (HEADER_BYTES if size <= self._mss else HEADER_BYTES * -(-size // self._mss))

    def _book(self, up: bool, purpose: str, packets: int, n_bytes: int, row: Connection | None) -> None:
        cell = self._cell(up, purpose)
        cell.packets += packets
        cell.n_bytes += n_bytes
        if row is not None:
            if up:
                row.bytes_up += n_bytes
            else:
                row.bytes_down += n_bytes

    def _radio(self, at: float) -> None:
        """The radio is active from `at` for the tail (Simplification: one timer, no DRX; no promotion delay)."""
        until = at + RRC_TAIL_S
        if at >= self._radio_until:
            self.radio_active_s += RRC_TAIL_S
        elif until > self._radio_until:
            self.radio_active_s += until - self._radio_until
        else:
            return
        self._radio_until = until

    # --- packets ------------------------------------------------------------------------------------------------------------

    def send(self, transport: Transport, up: bool, packet: Packet, now: float) -> float:
        """Arrival of the packet's last byte at the other end; inf where it will not arrive."""
        size = packet.encoded_size
        wire = size + self._one_segment_overhead if size <= self._one_segment else self.wire_bytes(size)
        purpose = packet.purpose
        row = transport.row
        gone = now - transport.last_used_s > self._idle_timeout_s or now >= transport.mapping_end_s
        if gone and not up:  # it ends before the radio
            self.link.unsent_bytes = wire
            self.link.unanswered(transport.down, wire, now, 0.0)
            return NEVER
        if up:
            flow = transport.up
            row.bytes_up += wire
            cell = self._up_cells.get(purpose) or self._cell(True, purpose)
            user_timeout_s = transport.user_timeout_s
        else:
            flow = transport.down
            row.bytes_down += wire
            cell = self._down_cells.get(purpose) or self._cell(False, purpose)
            user_timeout_s = 0.0
        cell.packets += 1
        cell.n_bytes += wire
        if wire > self._two_segments:
            # pure acknowledgements, one for two segments; that of a short packet rides on its answer
            # Simplification: they take no place in the link's queue
            acks = HEADER_BYTES * (wire // self._two_segments)
            if up:
                (self._down_cells.get(purpose) or self._cell(False, purpose)).n_bytes += acks
                row.bytes_down += acks
            else:
                (self._up_cells.get(purpose) or self._cell(True, purpose)).n_bytes += acks
                row.bytes_up += acks
        # _radio(), inlined
        until = now + RRC_TAIL_S
        before = self._radio_until
        if until > before:
            self.radio_active_s += RRC_TAIL_S if now >= before else until - before
            self._radio_until = until
        flow.packet = packet
        arrival = self.link.carry(flow, transport.address, up, wire, now, user_timeout_s)
        if gone or (transport.mapping_end_s < arrival < NEVER and self._meets_forgetful_nat(transport, up, arrival)):
            if arrival == NEVER:
                self._take_back(up, purpose, self.link.unsent_bytes, row)
            else:
                self.link.unsent_bytes = 0
                if up:
                    transport.refused_s = min(transport.refused_s, self._refused(transport, now, arrival))
            if not gone:
                # what follows is not acknowledged and so never sent
                self.link.unsent_bytes += self.release(transport, up, transport.mapping_end_s, but=packet)
            self.link.unanswered(flow, wire, now, user_timeout_s)
            return NEVER
        if arrival < NEVER:
            transport.last_used_s = arrival
        else:
            self._take_back(up, purpose, self.link.unsent_bytes, row)  # never on the air
        return arrival

    def _cell(self, up: bool, purpose: str) -> Booked:
        cell = self.record.booked("up" if up else "down", purpose)
        (self._up_cells if up else self._down_cells)[purpose] = cell
        return cell

    def reset_by_path(self, transport: Transport, up: bool, now: float) -> tuple[float, str] | None:
        """(instant, reason) at which something on the path answers a packet sent at `now` with a reset; None: silence.

        A NAT whose mapping has expired or was forgotten answers uplink with RST (`cgnat.after_expiry`), and so does a balancer
        or a host that knows nothing of the flow any more (`balancer.after_idle`), in both directions; the network answers
        downlink to an address that is nobody's with RST where `reassignment.old_path` is `reset`. ICMP does not end an
        established connection (RFC 1122 4.2.3.9: soft error), so `icmp` is silence here.
        """
        if up and transport.refused_s < NEVER:
            answered_s = self.link.once(transport.address, False, transport.refused_s)
            return (answered_s, "reset") if answered_s < NEVER else None
        if not up and self._balancer_refuses(transport, now):
            return now, "reset"
        rtt = self.link.rtt_at(now)
        if not up and self._settings.reassignment.old_path == "reset" and self.link.address_at(now) != transport.address:
            return now + rtt, "reset"
        return None

    def _meets_forgetful_nat(self, transport: Transport, up: bool, arrival: float) -> bool:
        """Whether a packet under way at a rebind is lost: the NAT stands at the server's end of the path."""
        return up or arrival - 0.5 * self.link.rtt_at(arrival) > transport.mapping_end_s

    def _refused(self, transport: Transport, now: float, arrival: float) -> float:
        """When uplink on a forgotten flow, sent at `now` and at the server's end of the path at `arrival`, is refused there."""
        idle_s = now - transport.last_used_s
        if idle_s > self._nat_idle_s:
            return arrival if self._settings.cgnat.after_expiry == "reset" else NEVER
        if arrival > transport.mapping_end_s:
            from_s = transport.refuses_from_s
            if arrival >= from_s:
                return arrival
            return self.link.resent(transport.address, arrival - 0.5 * self.link.rtt_at(arrival), from_s)
        balancer = self._server.balancer
        return arrival if balancer is not None and balancer.after_idle == "reset" else NEVER

    def _balancer_refuses(self, transport: Transport, now: float) -> bool:
        """Whether the balancer answers a packet of the node with RST: it knows nothing of the flow."""
        balancer = self._server.balancer
        if balancer is None or balancer.after_idle != "reset" or transport.opener:
            return False
        if now - transport.last_used_s > self._balancer_idle_s:
            return True
        return self._side is not None and self._side.forgotten_by_balancer(transport.mapping_end_s) <= now

    def _mapping_gone(self, transport: Transport, now: float) -> bool:
        """Whether the NAT knows nothing of the transport (any more)."""
        return now - transport.last_used_s > self._idle_timeout_s or now >= transport.mapping_end_s

    def idle_end(self, transport: Transport, now: float) -> float:
        """When NAT or balancer forgot the transport because nothing had been sent; inf where both know it at `now`."""
        ends_s = transport.last_used_s + self._idle_timeout_s
        return ends_s if ends_s < now and ends_s > transport.row.started_s else NEVER

    def buffer_full_until(self, flow: Flow, now: float) -> float:
        """When a writer may go on (half the buffer is free again); `now` where the send buffer is not full."""
        limit = self._server.tcp.send_buffer_bytes
        if flow.stuck_bytes > limit:
            return NEVER
        backlog = [(finish, wire) for _start, finish, wire, _purpose in flow.unfinished if finish > now]
        left = sum(wire for _finish, wire in backlog)
        if left <= limit:
            return now
        for finish, wire in backlog:
            left -= wire
            if left <= limit // 2:
                return finish
        return flow.last_finish_s

    def close(self, transport: Transport, up: bool, now: float, *, abort: bool) -> float:
        """The end at `up` (True: the vehicle's) closes; returns when the other end is told, inf where never.

        FIN is retransmitted like data; RST is not.
        """
        self.release(transport, up, now)
        self._radio(now)
        wire = HEADER_BYTES
        self._book(up, "handshake", 0, wire, transport.row)
        if self._mapping_gone(transport, now):
            return NEVER
        if transport.path_end_s <= now and not self._returns:
            return NEVER  # the address is gone for good: a short cut
        if abort:
            return self.link.once(transport.address, up, now)  # RST does not wait for what the buffer held
        return self._carry_besides(transport.up if up else transport.down, transport, up, wire, now)

    def crash(self, transport: Transport, now: float) -> float:
        """The server's process is gone; returns when the vehicle is told, inf where never.

        Its kernel, and a balancer, send what they were given, and FIN behind it, unless a packet of the vehicle comes before
        that and meets RST (`reset_reply`). Simplification: they had been given all that the process had written.
        """
        if transport.mapping_end_s <= now or not transport.open[0]:
            self.release(transport, False, now)  # the host is gone, or nobody is there to be told
            return NEVER
        if self._mapping_gone(transport, now) or transport.path_end_s <= now:
            return self.close(transport, False, now, abort=False)
        transport.crashed = True
        balancer = self._server.balancer
        transport.spared = balancer is not None and balancer.proxy
        self._radio(now)
        self._book(False, "handshake", 0, HEADER_BYTES, transport.row)
        return self._carry_besides(transport.down, transport, False, HEADER_BYTES, now)

    def let_go(self, transport: Transport, up: bool, now: float) -> None:
        """The end at `up` is over, and its kernel sends no more; nor does that of a process which is gone: it is told."""
        self.release(transport, up, now)
        if transport.crashed:
            self.release(transport, False, now)

    def release(self, transport: Transport, up: bool, now: float, but: Any = None) -> int:
        """An end is over: the link's time and the bytes of what it had not sent are given back.

        Returns the bytes of packet `but`, the one that is being written, of which the caller gives account.
        """
        flow = transport.up if up else transport.down
        if self._cells is not None:
            self._cells.leave(flow, up, self.offset_s + now)
        unsent: dict[int, list[Any]] = {}  # a write with an interruption in it has two parts
        for packet, n_bytes in self.link.release(flow, up, now):
            self._take_back(up, "handshake" if packet is None else packet.purpose, n_bytes, transport.row)
            unsent.setdefault(id(packet), [packet, 0])[1] += n_bytes
        of_that_one: int = unsent.pop(id(but), [but, 0])[1] if but is not None else 0
        for packet, n_bytes in unsent.values():
            if type(packet) is BodyPart:
                self.record.part_unsent(packet.of, n_bytes)
            elif packet is not None:
                self._book_unsent(packet, up, n_bytes)
        return of_that_one

    def book_part(self, n_bytes: int) -> None:
        """So much of a body's part that was just sent down had been on the air before."""
        self._move(False, "payload", "repeated", n_bytes)

    def book_messages(self, packet: Any, up: bool, *, lost: bool) -> None:
        """Tell the bytes of a packet that was just sent and carries messages: `repeated` is payload that is on the air again.

        Messages in the answer to a poll are payload. `lost`: it does not arrive, and `link.unsent_bytes` of it never get on the
        air.
        """
        wire = self.wire_bytes(packet.encoded_size)
        out = wire - min(self.link.unsent_bytes, wire) if lost else wire
        messages = messages_of(packet)
        left = sum(message.size_bytes for message in messages) * out // wire
        again = 0
        for message in messages:
            n_bytes = min(message.size_bytes, left)
            left -= n_bytes
            again += self.record.on_air(message, n_bytes, packet)
        if packet.purpose != "probe":
            self._move(up, packet.purpose, "payload", carried_bytes(packet, messages, out, wire))
            self._move(up, "payload", "repeated", again)

    def _book_unsent(self, packet: Any, up: bool, n_bytes: int) -> None:
        """The last bytes of a packet that was sent never got on the air: they have been taken back from its purpose."""
        messages = messages_of(packet)
        if not messages:
            return
        wire = self.wire_bytes(packet.encoded_size)
        left = sum(message.size_bytes for message in messages) * n_bytes // wire
        fewer = 0
        for message in reversed(messages):
            of_it = min(self.record.aired_bytes(message, packet), left)  # not all of a packet need have been on the air
            left -= of_it
            fewer += self.record.off_air(message, of_it, packet)
        if packet.purpose != "probe":
            self._move(up, "payload", packet.purpose, carried_bytes(packet, messages, n_bytes, wire))
            self._move(up, "repeated", "payload", fewer)

    def _move(self, up: bool, purpose: str, other: str, n_bytes: int) -> None:
        """Bytes that were booked turn out to be for another purpose."""
        if n_bytes and purpose != other:
            self._book(up, purpose, 0, -n_bytes, None)
            self._book(up, other, 0, n_bytes, None)

    def _take_back(self, up: bool, purpose: str, n_bytes: int, row: Connection) -> None:
        """Bytes of a write that never got on the air, and the acknowledgements for them."""
        self._book(up, purpose, 0, -n_bytes, row)
        if purpose != "handshake":  # whose acknowledgements ride on the flights
            self._book(not up, purpose, 0, -HEADER_BYTES * (n_bytes // self._two_segments), row)

    def reset_by_closed_end(self, transport: Transport, up: bool, now: float) -> float:
        """The end at `up` has closed and its word is lost; when RST answers there what the other end is still sending."""
        link = self.link
        flow = transport.down if up else transport.up
        if flow.last_finish_s <= now:
            return NEVER  # all is out; `reset_reply` is for what is on its way
        at = max(now, flow.resumes_s)
        return link.once(transport.address, up, at + 0.5 * link.rtt_at(at))

    def reset_reply(self, transport: Transport, to_vehicle: bool, now: float) -> float:
        """A packet reached an end that is closed: its kernel answers with RST. When that is at the other end.

        RST takes the place of what a kernel had not sent yet, and stays behind what is on its way in the link's queue.
        """
        if to_vehicle and transport.crashed:
            if transport.spared:
                transport.spared = False
                return NEVER
            if self._cells is None:  # Simplification: in a cell that a fleet shares it is ahead of what is on the way
                now = max(now, min(transport.down.last_finish_s, now + self.link.queue_s(now)))
            self.release(transport, False, now)
            transport.crashed = False
        return self.link.once(transport.address, not to_vehicle, now)

    # --- opening --------------------------------------------------------------------------------------------------------------

    def open_from_vehicle(self, transport: Transport, known: bool, index: int, now: float) -> Opening:
        """The vehicle connects to the server; `known`: somebody listens there; `index` numbers its attempts."""
        link = self.link
        opening = Opening()
        self._knock(transport, now)
        side = self._side
        if side is None:
            opening.tcp_s = link.connect(transport.address, now)
        else:
            opening.tcp_s = link.connect(transport.address, now, answers=self._answers(side, transport, index))
        if opening.tcp_s == NEVER:
            opening.failed_s, opening.reason = now + syn_gives_up_s(self._server.tcp), "timed_out"
            return opening
        arrival = opening.tcp_s - 0.5 * link.rtt_at(opening.tcp_s)
        if side is not None:
            mqtt = transport.port == self._server.mqtt_port
            transport.node = side.node_at(index, transport.row.address, arrival) if mqtt else NO_NODE
        if self._let_in(transport, opening, known, index, arrival):
            self._shake_hands(transport, opening, vehicle_is_client=True)
            self._cut_off(transport, opening)
        return opening

    def _knock(self, transport: Transport, now: float) -> None:
        transport.last_used_s = now
        self._radio(now)
        self._book(True, "handshake", 2, 2 * _SYN_BYTES, transport.row)
        self._book(False, "handshake", 1, _SYN_BYTES, transport.row)

    def _let_in(self, transport: Transport, opening: Opening, known: bool, index: int, arrival: float) -> bool:
        """Whether the SYN that is at the server at `arrival` is answered by SYN-ACK; what will become of the connection."""
        side = self._side
        refused = self.refuse is not None and self.refuse(index) < self._server.refuse_share
        if side is not None:
            refused = refused or side.refuses(transport.node != NO_NODE, index, transport.node, arrival)
        if not known or refused:
            opening.failed_s, opening.reason = opening.tcp_s, "refused"
            opening.tcp_s = NEVER
            return False
        # Simplification: a rebind while the TCP handshake runs is not felt; one in the TLS handshake is felt by what follows it
        rebinds_s = self.timeline.rebinds_s
        transport.mapping_end_s = next((at for at in rebinds_s if at > opening.tcp_s), NEVER) if rebinds_s else NEVER
        if self._settings.cgnat.after_expiry == "reset":
            transport.refuses_from_s = transport.mapping_end_s
        if side is not None:
            transport.ends_s = side.ends(transport.node, arrival)
            forgotten_s, refuses_from_s = side.forgets(transport.node, arrival)
            if forgotten_s < transport.mapping_end_s:
                transport.mapping_end_s, transport.refuses_from_s = forgotten_s, refuses_from_s
        return True

    def _cut_off(self, transport: Transport, opening: Opening) -> None:
        """The node, or what it is known by, goes away in the middle of the handshake."""
        gone_s = min(transport.ends_s, transport.mapping_end_s) if self._side is not None else NEVER
        if NEVER > opening.accepted_s >= gone_s:
            opening.accepted_s = NEVER
            if transport.ends_s == gone_s:
                opening.lost_s = self.link.once(transport.address, False, gone_s)

    def is_shared(self, transport: Transport) -> bool:
        """Whether the vehicle connects to nodes that it shares with others."""
        return self._shared is not None and not transport.opener and transport.port == self._server.mqtt_port

    def begin(self, transport: Transport, known: bool, index: int, now: float) -> Attempt:
        """Of a vehicle that shares nodes: see FleetNetwork."""
        raise NotImplementedError

    def _answers(self, side: ServerSide, transport: Transport, index: int) -> Callable[[float], bool]:
        """Whether somebody answers a SYN of this transport that arrives at an instant."""
        mqtt, address = transport.port == self._server.mqtt_port, transport.row.address
        if side.nobody_there(transport.row.target.rpartition(":")[0]):
            return lambda at: False
        return lambda at: side.answers(mqtt, index, address, at)

    def open_from_server(self, transport: Transport, target: str, peer: str, host: str, now: float) -> Opening:
        """The server connects to the vehicle's address `target` (text)."""
        opening = Opening()
        link = self.link
        settings = self._settings
        self._book(False, "handshake", 1, _SYN_BYTES, transport.row)
        gives_up_s = now + syn_gives_up_s(self._server.tcp)
        if settings.access == "cgnat":
            # nobody can connect in through the NAT (failure-modes F22)
            opening.failed_s, opening.reason = gives_up_s, "timed_out"
            return opening
        current = link.address_at(now)
        addresses = self.timeline.addresses
        transport.address = addresses.index(target) if target in addresses else -2
        if current < 0 or transport.address != current:
            rtt = link.rtt_at(now)
            old_path = settings.reassignment.old_path
            left_s = self.timeline.left_at(transport.address, now)
            if settings.reassignment.reuse_after_s is not None and now >= left_s + settings.reassignment.reuse_after_s:
                # TCP opens, TLS shows another vehicle's certificate: two round trips
                opening.tcp_s = now + rtt
                opening.failed_s, opening.reason = now + 2.0 * rtt, "wrong_peer"
            elif old_path == "black_hole":
                opening.tcp_s = link.connect(transport.address, now, up=False) if transport.address >= 0 else NEVER
                if opening.tcp_s < NEVER:
                    self._shake_hands(transport, opening, vehicle_is_client=False)
                else:
                    opening.failed_s, opening.reason = gives_up_s, "timed_out"
            else:
                opening.failed_s, opening.reason = now + rtt, "refused" if old_path == "reset" else "unreachable"
            return opening
        transport.last_used_s = now
        self._radio(now)
        self._book(True, "handshake", 1, _SYN_BYTES, transport.row)
        self._book(False, "handshake", 1, _SYN_BYTES, transport.row)
        opening.tcp_s = link.connect(transport.address, now, up=False)
        if opening.tcp_s == NEVER:
            opening.failed_s, opening.reason = gives_up_s, "timed_out"
            return opening
        if peer and peer != host:
            opening.failed_s, opening.reason = opening.tcp_s + link.rtt_at(opening.tcp_s), "wrong_peer"
            return opening
        self._shake_hands(transport, opening, vehicle_is_client=False)
        return opening

    def _shake_hands(self, transport: Transport, opening: Opening, *, vehicle_is_client: bool) -> None:
        """TLS after TCP: flights with their bytes, CPU on both sides, round trips that the initial window forces."""
        side, wait_s = self._side, 0.0
        costs, hello_s = self._greet(transport, opening, vehicle_is_client=vehicle_is_client)
        if side is not None and vehicle_is_client and transport.node != NO_NODE:
            wait_s = side.wait_s(transport.node, opening.tcp_s)
        self._answer(transport, opening, costs, hello_s, wait_s, vehicle_is_client=vehicle_is_client)

    def _greet(self, transport: Transport, opening: Opening, *, vehicle_is_client: bool) -> tuple[Handshake | None, float]:
        """What the handshake will cost (None: no TLS), and when the ClientHello is at the other end."""
        tls, side = self._server.tls, self._side
        asked_s = opening.tcp_s
        resumed = vehicle_is_client and can_resume(tls, ticket_age_s=asked_s - self._ticket_s, died=self._ticket_died)
        if resumed and side is not None:
            resumed = side.takes_ticket(transport.node, self._ticket_node, self._ticket_s, asked_s)
        opening.resumed = resumed
        costs = handshake(tls, resumed=resumed)
        if costs is None:
            return None, asked_s
        client_flow = transport.up if vehicle_is_client else transport.down
        client_cpu = costs.client_cpu_s * (tls.vehicle_slowdown if vehicle_is_client else 1.0)
        return costs, self._flight(
            client_flow, transport, vehicle_is_client, costs.client_hello_bytes, asked_s + 0.5 * client_cpu
        )

    def _answer(
        self, transport: Transport, opening: Opening, costs: Handshake | None, hello_s: float, wait_s: float,
        *, vehicle_is_client: bool,
    ) -> None:  # fmt: skip
        """The rest of the handshake, from the ClientHello on; it waits for `wait_s` first."""
        if costs is not None:
            opening.opened_s = self._answered_s(transport, costs, hello_s + wait_s, vehicle_is_client=vehicle_is_client)
            self._complete(transport, opening, costs, vehicle_is_client=vehicle_is_client)
            return
        link, asked_s, up = self.link, opening.tcp_s, vehicle_is_client
        client_flow = transport.up if up else transport.down
        opening.opened_s = asked_s
        opening.accepted_s = link.once(transport.address, up, asked_s)
        if opening.accepted_s == NEVER:  # the handshake's ACK is lost; the first data carries it
            opening.accepted_s = link.carry(client_flow, transport.address, up, HEADER_BYTES, asked_s, reserve=False)
        opening.accepted_s += wait_s
        client_flow.last_arrival_s = max(client_flow.last_arrival_s, opening.accepted_s)

    def _answered_s(self, transport: Transport, costs: Handshake, starts_s: float, *, vehicle_is_client: bool) -> float:
        """When the client has read the answer of a server that turns to its ClientHello at `starts_s`."""
        slow = self._server.tls.vehicle_slowdown
        client_cpu = costs.client_cpu_s * (slow if vehicle_is_client else 1.0)
        server_cpu = costs.server_cpu_s * (1.0 if vehicle_is_client else slow)
        server_flow = transport.down if vehicle_is_client else transport.up
        sent_s = starts_s + 0.5 * server_cpu
        answer_s = self._flight(server_flow, transport, not vehicle_is_client, costs.server_flight_bytes, sent_s)
        return answer_s + 0.5 * client_cpu

    def _complete(self, transport: Transport, opening: Opening, costs: Handshake, *, vehicle_is_client: bool) -> None:
        """The end of the handshake, from `opened_s` on."""
        link, tls, side = self.link, self._server.tls, self._side
        up = vehicle_is_client
        client_flow, server_flow = (transport.up, transport.down) if up else (transport.down, transport.up)
        # who resumes sees no certificate (RFC 8446 2.2)
        expired = side is not None and not opening.resumed and (vehicle_is_client or tls.mutual) and side.expired(opening.tcp_s)
        if expired and vehicle_is_client:
            opening.failed_s, opening.reason = opening.opened_s, "tls_failed"
            return
        finished = self._flight(client_flow, transport, up, costs.client_flight_bytes, opening.opened_s)
        if expired:  # it is the server's that the vehicle refuses
            opening.failed_s, opening.reason = link.once(transport.address, True, finished), "tls_failed"
            return
        opening.accepted_s = finished + 0.5 * costs.server_cpu_s * (1.0 if up else tls.vehicle_slowdown)
        client_flow.last_arrival_s = max(client_flow.last_arrival_s, opening.accepted_s)
        if opening.accepted_s < NEVER and vehicle_is_client:
            tickets = self._flight(server_flow, transport, not up, costs.tickets_bytes, opening.accepted_s)
            if tls.resumption != "off" and tickets < NEVER:
                self._ticket_s, self._ticket_died, self._ticket_node = tickets, False, transport.node

    def _flight(self, flow: Flow, transport: Transport, up: bool, n_bytes: int, now: float) -> float:
        if now == NEVER:
            return NEVER
        wire = n_bytes + HEADER_BYTES * -(-n_bytes // self._mss)
        self._book(up, "handshake", 1, wire, transport.row)
        # Simplification: a handshake waits behind what is queued at its instants but delays nothing of other transports
        return self._carry_besides(flow, transport, up, wire, now, transport.user_timeout_s if up else 0.0)

    def _carry_besides(
        self, flow: Flow, transport: Transport, up: bool, wire: int, now: float, user_timeout_s: float = 0.0
    ) -> float:
        """Bytes booked as handshake that take no place in the link's queue; those that never get on the air are given back."""
        flow.packet = None
        arrival = self.link.carry(flow, transport.address, up, wire, now, user_timeout_s, reserve=False)
        if arrival == NEVER:
            self._take_back(up, "handshake", self.link.unsent_bytes, transport.row)
        return arrival

    def ended_badly(self) -> None:
        """The vehicle's connection died without close_notify: OpenSSL will not resume its session unless told to."""
        self._ticket_died = True

    # --- names ----------------------------------------------------------------------------------------------------------------

    def resolve(self, name: str, now: float) -> tuple[float, str]:
        """(instant, address or "") of the answer to the vehicle's query: from its cache, or over the link (RFC 1035 4.2.1)."""
        cached = self._cache.get(now, name)
        if cached is not None:
            return now, cached
        dns, link, side = self._server.dns, self.link, self._side
        address = link.address_at(now)
        if address < 0:
            return now, ""  # no route: the resolver fails at once
        for attempt in range(dns.retries + 1):
            at = now + attempt * dns.retry_s
            self._book(True, "handshake", 1, dns.query_bytes, None)
            self._radio(at)
            there = link.once(address, True, at)
            if side is not None and not side.dns_answers(there):
                continue
            back = link.once(address, False, there) if there < NEVER else NEVER
            if back < at + dns.retry_s:
                self._book(False, "handshake", 1, dns.answer_bytes, None)
                known = self._server.address if name == self._server.name else ""
                stale = side.dns_stale(there) if side is not None and known else None
                if stale is not None:
                    known = stale.detail
                self._cache.put(back, name, known, dns.ttl_s if known else dns.negative_ttl_s)
                return back, known
        return now + (dns.retries + 1) * dns.retry_s, ""
