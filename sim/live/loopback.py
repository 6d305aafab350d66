"""The loopback link: a TCP relay on 127.0.0.0/8 that plays a LinkTimeline. Needs no privileges.

Bytes are released at the instants that the timeline gives (the model's own `Link`), the vehicle's source address is one
of 127.0.0.0/8 derived from the timeline's. What a relay cannot show is TCP itself: it acknowledges what the other side
never got, so TCP timers seen here are not comparable with real ones. The packet link shows those.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from sim.drive.config import CGNAT, Access
from sim.drive.timeline import LinkTimeline
from sim.live.clock import Clock
from sim.live.names.name_server import NameServer
from sim.live.names.questions import answer_of
from sim.live.names.sockets import NameSockets
from sim.model.link import Flow, Link
from sim.protocols.dns import Cache
from sim.protocols.server import Server
from sim.protocols.tcp import HEADER_BYTES

LOOPBACK = "127.0.0.1"
_READ_AHEAD_BYTES = 4 * 1024 * 1024  # what a sender's kernel would buffer; then the relay stops reading


def loopback_address(address: str) -> str:
    """The address of 127.0.0.0/8 that stands for the vehicle's: 10.2.5.200 -> 127.2.5.200."""
    packed = ipaddress.IPv4Address(address).packed
    return str(ipaddress.IPv4Address(bytes((127, *packed[1:]))))


class LoopbackLink:
    """Relays between one vehicle and the server's real ports."""

    detached = False  # there is no interface that somebody could take down

    def __init__(
        self,
        timeline: LinkTimeline,
        server: Server,
        access: Access,
        clock: Clock,
        *,
        queue_bytes: int,
        cgnat: CGNAT | None = None,
    ) -> None:
        """`cgnat`: the NAT's timers, where `access` is `cgnat`."""
        self._timeline = timeline
        self._server = server
        self._access = access
        self.cgnat = (cgnat or CGNAT()) if access == "cgnat" else None
        self._clock = clock
        self.link = Link(timeline, server.tcp, queue_bytes=queue_bytes)
        self._listeners: list[asyncio.Server] = []
        self._relay_ports: dict[int, int] = {}  # server port -> port of its relay
        self._refused: set[int] = set()  # server ports at which nobody listens now
        self._vehicle_port: dict[int, int] = {}  # port of the vehicle -> where it really listens
        self._pairs: set[_Pair] = set()
        self._cache = Cache()  # of the vehicle's resolver
        self._names: NameServer | None = None
        self.idle_ends: dict[tuple[str, int], float] = {}  # after `stop`: end of the vehicle -> when the NAT forgot it, idle

    def use_names(self, names: NameSockets) -> None:
        """Let the vehicle ask this name server."""
        self._names = names.names

    async def start(self) -> None:
        """Nothing to set up: the range 127.0.0.0/8 is there."""

    async def serve(self, port: int, real_host: str, real_port: int) -> None:
        """Relay the vehicle's connections to `port` of the server to where it really listens."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Pair(self, real_host, real_port, up=True).near, LOOPBACK, 0)
        self._listeners.append(listener)
        self._relay_ports[port] = listener.sockets[0].getsockname()[1]

    def refuse(self, port: int) -> None:
        """What listens at the server's `port` is gone: connections are refused until `admit`."""
        self._refused.add(port)

    def admit(self, port: int) -> None:
        self._refused.discard(port)

    async def serve_vehicle(self, port: int, real_port: int) -> None:
        """Let the server reach the vehicle's `port`, which really is `real_port`."""
        self._vehicle_port[port] = real_port

    def address(self) -> str:
        """The vehicle's address now; "" where it has none."""
        index = self.link.address_at(self._clock.now())
        return self._timeline.addresses[index] if index >= 0 else ""

    async def connect_from_vehicle(
        self, address: str, port: int, protocol: Callable[[], asyncio.Protocol], user_timeout_s: float = 0.0
    ) -> None:
        """Open a TCP connection of the vehicle; raises OSError as connect() does.

        The handshake takes its round trip over the link; on a dead path it takes until the kernel would give up.
        TCP_USER_TIMEOUT has no effect here, as the relay acknowledges everything.
        """
        mine = self.address()
        if not mine:
            raise OSError(99, "no address")  # EADDRNOTAVAIL
        relay_port = self._relay_ports.get(port)
        now = self._clock.now()
        opened_s = self.link.connect(self.link.address_at(now), now)
        if opened_s == math.inf:
            await asyncio.sleep(131.0)
            raise TimeoutError
        await asyncio.sleep(max(0.0, opened_s - self._clock.now()))
        if address != self._server.address or relay_port is None or port in self._refused:
            raise ConnectionRefusedError
        local = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        local.setblocking(False)
        try:
            local.bind((loopback_address(mine), 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(local, (LOOPBACK, relay_port))
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.create_connection(protocol, sock=local)
        except BaseException:
            local.close()
            raise

    async def connect_from_server(
        self, address: str, port: int, protocol: Callable[[], asyncio.Protocol], user_timeout_s: float = 0.0
    ) -> None:
        """Open a TCP connection of the server to an address of the vehicle."""
        now = self._clock.now()
        current = self.address()
        reachable = self._access != "cgnat" and current and address == current
        opened_s = self.link.connect(self.link.address_at(now), now, up=False) if reachable else math.inf
        if opened_s == math.inf:
            await asyncio.sleep(131.0)
            raise TimeoutError
        await asyncio.sleep(max(0.0, opened_s - self._clock.now()))
        real_port = self._vehicle_port.get(port)
        if real_port is None:
            raise ConnectionRefusedError
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Pair(self, LOOPBACK, real_port, up=False).near, LOOPBACK, 0)
        try:
            await loop.create_connection(protocol, *listener.sockets[0].getsockname())
        finally:
            listener.close()

    async def resolve(self, name: str) -> str:
        """From the resolver's cache, or a DNS query over the link: retried after 5 s, twice (RFC 1035 4.2.1)."""
        dns = self._server.dns
        if dns.cached and name == self._server.name:
            return self._server.address
        cached = self._cache.get(self._clock.now(), name)
        if cached is not None:
            return cached
        for _ in range(dns.retries + 1):
            asked = self._clock.now()
            index = self.link.address_at(asked)
            if index < 0:
                return ""
            there = self.link.once(index, True, asked)
            back = self.link.once(index, False, there) if there < math.inf else math.inf
            if back < asked + dns.retry_s:
                await asyncio.sleep(max(0.0, there - self._clock.now()))
                address, ttl_s = self._ask(name)
                await asyncio.sleep(max(0.0, back - self._clock.now()))
                self._cache.put(back, name, address, ttl_s)
                return address
            await asyncio.sleep(max(0.0, asked + dns.retry_s - self._clock.now()))
        return ""

    def _ask(self, name: str) -> tuple[str, float]:
        """The query is at the name server. Raises NoAnswer."""
        return answer_of(self._names, name) if self._names is not None else ("", self._server.dns.negative_ttl_s)

    async def stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        now = self._clock.now()
        for pair in list(self._pairs):
            if self.cgnat is not None and pair.up and pair.used_s + self.cgnat.idle_timeout_s < now:
                self.idle_ends[pair.near.peer] = pair.used_s + self.cgnat.idle_timeout_s
            pair.stop()


class _Pair:
    """One relayed connection: `near` is the end that was accepted, `far` the one opened onward.

    `up`: the vehicle is at the near end. Each direction is a Flow of the link.
    """

    def __init__(self, link: LoopbackLink, host: str, port: int, *, up: bool) -> None:
        self.owner = link
        self.up = up
        self.address = link.link.address_at(link._clock.now())
        self._host, self._port = host, port
        self.near = _End(self, is_near=True)
        self.far = _End(self, is_near=False)
        self._task: asyncio.Task[None] | None = None
        link._pairs.add(self)

        # of the NAT's mapping
        now = link._clock.now()
        self.used_s = now
        self.forgotten_s = next((at for at in link._timeline.rebinds_s if at > now), math.inf) if link.cgnat else math.inf

    def mapped(self, up: bool, now: float, arrival: float) -> bool:
        """Whether the NAT lets pass what is sent at `now` and would arrive at `arrival`; it stands at the server's end."""
        cgnat, at = self.owner.cgnat, arrival if up else now
        if cgnat is None or (at < self.forgotten_s and now - self.used_s <= cgnat.idle_timeout_s):
            self.used_s = max(self.used_s, arrival if arrival < math.inf else now)
            return True
        return False

    def near_made(self) -> None:
        self._task = asyncio.ensure_future(self._open_far())

    async def _open_far(self) -> None:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().create_connection(lambda: self.far, self._host, self._port), 10.0)
        except (OSError, TimeoutError):
            self.near.abort()

    def stop(self) -> None:
        self.near.abort()
        self.far.abort()
        if self._task is not None:
            self._task.cancel()
        self.owner._pairs.discard(self)


class _End(asyncio.Protocol):
    """One end of a relayed connection. What it reads is written to the other end when the link lets it arrive."""

    def __init__(self, pair: _Pair, *, is_near: bool) -> None:
        self._pair = pair
        self._is_near = is_near
        self._flow: Flow = pair.owner.link.flow(pair.owner._clock.now())  # of the bytes read here
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes | None] = []  # arrived before the other end stood; None: FIN
        self._crossing: deque[bytes | None] = deque()  # in order: timers of the same instant fire in any
        self._on_the_way = 0
        self._dead = False
        self.peer = ("", 0)

    @property
    def _other(self) -> _End:
        return self._pair.far if self._is_near else self._pair.near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer = transport.get_extra_info("peername")
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_near:
            self._pair.near_made()
        for data in self._waiting:
            self.write(data)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        # a read may hold a short packet and the beginning of a long one; the first segment does not wait for the rest
        mss = self._pair.owner._server.tcp.mss_bytes
        self._release(data[:mss])
        if len(data) > mss:
            self._release(data[mss:])

    def _release(self, data: bytes) -> None:
        """Let bytes arrive at the other end when the link does."""
        if self._dead:
            return
        owner = self._pair.owner
        now = owner._clock.now()
        up = self._pair.up == self._is_near
        mss = owner._server.tcp.mss_bytes
        wire = len(data) + HEADER_BYTES * -(-len(data) // mss)
        arrival = owner.link.carry(self._flow, self._pair.address, up, wire, now)
        if not self._pair.mapped(up, now, arrival):
            self._swallowed(up, wire, now, arrival)
            return
        if arrival == math.inf:
            # what was written after the path died never arrives, nor does anything after it
            self._dead = True
            gone_s = self._flow.sender_gone_s
            if gone_s < math.inf:
                owner._clock.at(gone_s, self.abort)
            return
        self._on_the_way += len(data)
        if self._on_the_way > _READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._crossing.append(data)
        owner._clock.at(arrival, self._deliver)

    def _swallowed(self, up: bool, wire: int, now: float, arrival: float) -> None:
        """The NAT knows nothing of the connection (any more): silence, or RST to the vehicle."""
        self._dead = True
        owner = self._pair.owner
        owner.link.unanswered(self._flow, wire, now, 0.0)
        told_s = self._flow.sender_gone_s
        if up and arrival < math.inf and owner.cgnat is not None and owner.cgnat.after_expiry == "reset":
            told_s = min(told_s, owner.link.once(self._pair.address, False, arrival))
        if told_s < math.inf:
            owner._clock.at(told_s, self.abort)

    def _deliver(self) -> None:
        data = self._crossing.popleft()
        self._on_the_way -= len(data or b"")
        if self._transport is not None and self._on_the_way < _READ_AHEAD_BYTES // 2 and not self._transport.is_closing():
            self._transport.resume_reading()
        self._other.write(data)

    def write(self, data: bytes | None) -> None:
        """Bytes (None: FIN) of the other end have crossed the link."""
        if self._transport is None:
            self._waiting.append(data)
        elif data is None:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write(data)
        else:
            self._answer_with_reset()

    def _answer_with_reset(self) -> None:
        """Bytes reached an end that is closed: its kernel answers with RST (RFC 9293 3.10.7.1)."""
        owner, pair = self._pair.owner, self._pair
        now = owner._clock.now()
        arrival = owner.link.once(pair.address, pair.up == self._is_near, now)
        if arrival < math.inf:
            owner._clock.at(arrival, self._other.abort)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        owner = self._pair.owner
        now = owner._clock.now()
        up = self._pair.up == self._is_near
        owner.link.release(self._flow, up, now)
        if not self._dead:
            arrival = owner.link.carry(self._flow, self._pair.address, up, HEADER_BYTES, now, reserve=False)
            if arrival < math.inf:
                self._crossing.append(None)
                owner._clock.at(arrival, self._deliver)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
