"""What happens to each IP packet between the vehicle and the server: delayed, queued, held, lost, black-holed or answered.

Pure: time is an argument, packets are bytes; the forwarder adds the clock and the devices. An uplink packet crosses the
radio when it leaves and then travels half the round trip; a downlink packet travels first and crosses the radio when it
arrives. A packet meets the row that holds when it crosses, so what was under way is lost with the radio or the address.

Simplification: the way between gateway and server is one piece, so whatever in the network answers a packet (a NAT, the
gateway for an address that is nobody's) answers after a whole round trip.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter

from sim.live.packet.headers import destination, is_ipv4, reset_for, source, unreachable_for
from sim.live.packet.nat import Mappings
from sim.live.packet.plan import UP, Plan
from sim.live.packet.radio import Fifo, Rows

_ON_THE_WAY_AT_MOST_BYTES = 64 * 1024 * 1024  # memory, for both directions; TCP's windows end far below


class Path:
    """Both directions. `due` gives back what has arrived: (instant, to the vehicle?, packet)."""

    def __init__(self, plan: Plan) -> None:
        self._rows = Rows(plan)
        self._up = Fifo(self._rows, plan.uplink_bps, plan.queue_bytes)
        self._down = Fifo(self._rows, plan.downlink_bps, plan.queue_bytes)
        self._old_path = plan.old_path
        self._cgnat = plan.cgnat
        self._mappings = Mappings(plan.cgnat.idle_timeout_s, plan.rebinds_s) if plan.cgnat is not None else None
        self._at_server_s = -math.inf  # of the last packet of each direction: none overtakes another
        self._at_gateway_s = -math.inf
        self._coming: list[tuple[float, int, bool, bytes]] = []  # heap
        self._serial = 0
        self._on_the_way_bytes = 0
        self.fates: Counter[str] = Counter()  # what became of packets, by word

    def follow(self, plan: Plan) -> None:
        """Go on with another plan's rows, which are the same up to now."""
        self._rows = Rows(plan)
        self._up.follow(self._rows, plan.uplink_bps)
        self._down.follow(self._rows, plan.downlink_bps)

    def idle_ends(self, now: float) -> list[tuple[str, int, float]]:
        """What the NAT forgot by `now` (Mappings.idle_ends); nothing where there is none."""
        return self._mappings.idle_ends(now) if self._mappings is not None else []

    # --- in ---------------------------------------------------------------------------------------------------------------

    def from_vehicle(self, now: float, packet: bytes) -> None:
        if not self._fits(packet):
            return
        rows = self._rows
        crossed, cause = self._up.cross(now, len(packet))
        if cause:
            self.fates["up_" + cause] += 1
            return
        row = rows.at(crossed)
        if rows.address[row] != source(packet):
            # black hole whatever the old path's setting: nobody has the address to which an answer would go
            self.fates["up_old_address"] += 1
            return
        self._at_server_s = there = max(self._at_server_s, crossed + rows.half_rtt_s[row])
        if self._mappings is not None and not self._mappings.outward(there, packet):
            self.fates["up_no_mapping"] += 1
            if self._cgnat is not None and self._cgnat.after_expiry == "reset":
                self._answer_vehicle(there, packet)
            return
        self._send(there, False, packet)

    def from_server(self, now: float, packet: bytes) -> None:
        if not self._fits(packet):
            return
        rows = self._rows
        if self._mappings is not None and not self._mappings.inward(now, packet):
            self.fates["down_no_mapping"] += 1
            return
        half_s = rows.half_rtt_s[rows.at(now)]
        self._at_gateway_s = there = max(self._at_gateway_s, now + half_s)
        if rows.address[rows.at(there)] != destination(packet):
            self.fates["down_old_address"] += 1
            answer = None
            if self._old_path == "reset":
                answer = reset_for(packet)
            elif self._old_path == "icmp":
                answer = unreachable_for(packet)
            if answer is not None:
                self._send(there + half_s, False, answer)
            return
        crossed, cause = self._down.cross(there, len(packet))
        if cause:
            self.fates["down_" + cause] += 1
        elif rows.address[rows.at(crossed)] != destination(packet):
            self.fates["down_old_address"] += 1
        else:
            self._send(crossed, True, packet)

    def _fits(self, packet: bytes) -> bool:
        if not is_ipv4(packet):
            self.fates["not_ipv4"] += 1
        elif self._on_the_way_bytes + len(packet) > _ON_THE_WAY_AT_MOST_BYTES:
            self.fates["too_much_on_the_way"] += 1
        else:
            return True
        return False

    def _answer_vehicle(self, now: float, packet: bytes) -> None:
        """The NAT's RST, which comes over the radio like any packet but is too small to wait for others."""
        answer = reset_for(packet)
        if answer is None:
            return
        rows = self._rows
        crossed = rows.opens(now + rows.half_rtt_s[rows.at(now)])
        if crossed < math.inf:
            row = rows.at(crossed)
            if rows.state[row] == UP and rows.address[row] == source(packet):
                self._send(crossed, True, answer)

    def _send(self, at: float, to_vehicle: bool, packet: bytes) -> None:
        self._serial += 1
        self._on_the_way_bytes += len(packet)
        heapq.heappush(self._coming, (at, self._serial, to_vehicle, packet))

    # --- out --------------------------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """When the next packet arrives, inf where none is on its way."""
        return self._coming[0][0] if self._coming else math.inf

    def due(self, now: float) -> tuple[float, bool, bytes] | None:
        """The next packet that has arrived by `now`."""
        if not self._coming or self._coming[0][0] > now:
            return None
        at, _, to_vehicle, packet = heapq.heappop(self._coming)
        self._on_the_way_bytes -= len(packet)
        self.fates["down" if to_vehicle else "up"] += 1
        return at, to_vehicle, packet
