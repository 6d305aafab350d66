"""The packet link: two network namespaces, real kernel TCP on both ends, and a user-space path between them (Linux, root).

The vehicle's namespace has the timeline's address, given and taken at the timeline's instants; the server's has the fixed
one. Each has a TUN device as its default route, and a process (sim.live.packet.forwarder) moves packets from one to the
other as the timeline says (sim.live.packet.path). Nothing of sim.model is used: this is evidence against which the model is
held. No packet leaves the namespaces.

On time: on two cores shared with four busy loops, packets were handed over 0.1 ms later than planned (p99 0.2 ms), an echo
answered by the kernel of the other end took 80.3 ms at an RTT of 80 ms (p99 80.5), and the address changed 0.3 ms after its
instant (p99 0.4; all ACKed by the kernel). What is slower is the event loop of the lab, as it would be anywhere.

The lab's programs listen on loopback outside; a relay beside each end hands them the bytes (sim.live.packet.relay).
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sim.drive.config import CGNAT, Access, Reassignment
from sim.drive.timeline import LinkTimeline
from sim.live.clock import Clock
from sim.live.names.name_server import NameServer, new_key
from sim.live.names.sockets import NameSockets
from sim.live.packet import names, namespaces
from sim.live.packet.outages import Outage, rows_with
from sim.live.packet.plan import Plan, changes
from sim.live.packet.relay import Relay
from sim.live.packet.resolver import Resolver
from sim.protocols.server import Server
from sim.protocols.tcp import HEADER_BYTES

LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"
_START_AT_MOST_S = 15.0
_STOP_AT_MOST_S = 15.0
_CLIENT_ENDS_S = 3.0  # between SIGTERM and SIGKILL
_KERNEL_CATCHES_UP_S = 1.0  # from an instant at which the address changes until it is in force: a millisecond or so
_BACKLOG = 128
_PACKAGES = str(Path(__file__).resolve().parents[2])


class PacketLink:
    """The link between one vehicle and the server. `start` before use, `stop` always.

    `interface` is the name of the vehicle's. After `stop`, `report` has what the forwarder counted: fates of packets,
    lateness of hand-overs and address changes.
    """

    interface = namespaces.INTERFACE

    def __init__(
        self,
        timeline: LinkTimeline,
        server: Server,
        access: Access,
        clock: Clock,
        *,
        queue_bytes: int,
        reassignment: Reassignment | None = None,
        cgnat: CGNAT | None = None,
        capture: Path | None = None,
    ) -> None:
        """`reassignment`: what the old path does, and what a vehicle gets whose interface was taken down and up by hand.

        `cgnat`: the NAT's timers, where `access` is `cgnat`. `capture`: file for the packets at the vehicle's interface.
        """
        self._timeline = timeline
        self._server = server
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._reassignment = reassignment
        self._cgnat = (cgnat or CGNAT()) if access == "cgnat" else None
        self._capture = capture
        self.epoch_ns = 0  # wall clock at the drive's 0, for the instants in the capture
        self._drive_addresses = [timeline.addresses[index] if index >= 0 else "" for index in timeline.address.tolist()]
        self.outages: list[Outage] = []  # of the interface, taken down by hand
        self._lay_rows()
        self._applied_s: float | None = None  # the change of the address that is in force in the kernel, None: not yet any
        self.address_by_hand: Callable[[str], None] = _nothing  # told of a change that is not the drive's; "": no address
        self.own_ends: set[tuple[str, int]] = set()  # address and port of each connection that the lab opened as the vehicle
        self.congestion_control = ""  # of TCP at both ends
        self.idle_ends: dict[tuple[str, int], float] = {}  # after `stop`; see LoopbackLink
        self._news = asyncio.Event()  # set whenever the forwarder has said something
        self._forwarder: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._doors: dict[str, namespaces.Doorway] = {}
        self._listeners: list[asyncio.Server] = []
        self._accepts: dict[int, Callable[[], asyncio.Protocol]] = {}  # by port of the server
        self._refusable: dict[int, asyncio.Server] = {}
        self._admitting: set[asyncio.Task[None]] = set()
        self._relays: set[Relay] = set()
        self._names = NameSockets(NameServer(server, clock.now, new_key()))
        self._clients: list[asyncio.subprocess.Process] = []
        self._resolver = Resolver(server, clock, self._vehicle_socket)
        self._stopping = False
        self.vehicle_namespace, self.server_namespace = namespaces.new_names("veh", "srv")
        self.failure = ""  # why the link no longer works, where it broke by itself
        self.report: dict[str, Any] = {}

    @classmethod
    def missing(cls) -> str | None:
        """One line that names what is missing to run this link here; None where nothing is."""
        return namespaces.missing()

    # --- start and stop -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make the namespaces and let packets flow; raises OSError with one line where that is not possible."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, namespaces.delete_leftovers)
        try:
            await asyncio.wait_for(self._start(), _START_AT_MOST_S)
        except TimeoutError:
            await self.stop()
            raise OSError(f"the packet link was not ready within {_START_AT_MOST_S:g} s") from None
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._forwarder = await asyncio.create_subprocess_exec(
            *_python("forwarder"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; the forwarder has to live until the namespaces are gone
        )
        assert self._forwarder.stdin is not None
        self._hearing = asyncio.ensure_future(self._hear(self._forwarder))
        self._forwarder.stdin.write(self._plan().line())
        await self._forwarder.stdin.drain()
        while self._applied_s is None:
            self._check()
            self._news.clear()
            await self._news.wait()
        self._doors = {name: namespaces.Doorway(name) for name in (self.vehicle_namespace, self.server_namespace)}
        opened = [self._socket(self.server_namespace, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        for one in opened:
            one.bind((self._server.address, names.PORT))
        await self._names.take(*opened)

    def _plan(self) -> Plan:
        timeline, tcp = self._timeline, self._server.tcp
        rule = self._reassignment or Reassignment(mode="never", delay_s=0.0)
        now = self._clock.now()
        self.epoch_ns = time.time_ns() - int(now * 1e9)
        return Plan(
            vehicle=self.vehicle_namespace,
            server=self.server_namespace,
            lab_pid=os.getpid(),
            origin=asyncio.get_running_loop().time() - now,
            server_address=self._server.address,
            mtu_bytes=tcp.mss_bytes + HEADER_BYTES,
            initial_window=tcp.initial_window,
            retries2=tcp.retries2,
            slow_start_after_idle=tcp.slow_start_after_idle,
            queue_bytes=self._queue_bytes,
            old_path=rule.old_path,
            cgnat=self._cgnat,
            rebinds_s=list(timeline.rebinds_s),
            start_s=timeline.start_s.tolist(),
            address=self._drive_addresses,
            state=timeline.link.tolist(),
            rtt_s=timeline.rtt_s.tolist(),
            downlink_bps=timeline.downlink_bps.tolist(),
            uplink_bps=timeline.uplink_bps.tolist(),
            restart_delay_s=rule.delay_s,
            restart_keeps_address=rule.sticky or rule.mode == "never",
            capture=str(self._capture.absolute()) if self._capture is not None else "",
            epoch_ns=self.epoch_ns,
        )

    def _lay_rows(self) -> None:
        """The vehicle's addresses: the drive's, but for what somebody's hand has changed."""
        rows = rows_with(self._timeline.start_s.tolist(), self._drive_addresses, self.outages)
        self._row_s = [-np.inf, *(row.start_s for row in rows[1:])]
        self._addresses = [row.address for row in rows]
        self._change_s = [self._row_s[row] for row in changes(self._addresses)]

    async def _hear(self, forwarder: asyncio.subprocess.Process) -> None:
        """What the forwarder says, until it ends."""
        assert forwarder.stdout is not None
        async for line in forwarder.stdout:
            said = json.loads(line)
            self.congestion_control = said.get("congestion_control", self.congestion_control)
            self._applied_s = said.get("applied", self._applied_s)
            if "outages" in said:
                self.outages = [Outage(**outage) for outage in said["outages"]]
                self._lay_rows()
            if "idle_end" in said:
                address, port, at_s = said["idle_end"]
                self.idle_ends[address, port] = at_s
            if said.get("by_hand"):
                self.address_by_hand(said["address"])
            if "ended" in said:
                self.report = said["ended"]
                self.failure = self.report.get("failed", "")
            self._news.set()
        if not self._stopping and not self.failure:
            self.failure = "the forwarder ended"
        self._news.set()

    def _check(self) -> None:
        """Raise where the link no longer works: to whoever asks, the network is down."""
        if self.failure:
            raise OSError(errno.ENETDOWN, f"the packet link broke: {self.failure.strip().splitlines()[-1]}")

    async def stop(self) -> None:
        """End everything; the namespaces are gone afterwards."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for relay in list(self._relays):
            relay.stop()
        self._names.stop()
        await asyncio.gather(*(_end(client) for client in self._clients))
        await asyncio.sleep(0)  # the loop closes what was aborted; a socket keeps its namespace alive
        for door in self._doors.values():
            door.close()
        self._doors = {}
        if self._forwarder is not None:
            assert self._forwarder.stdin is not None
            self._forwarder.stdin.close()  # the sign to clean up
            try:
                await asyncio.wait_for(self._forwarder.wait(), _STOP_AT_MOST_S)
            except TimeoutError:
                self._forwarder.kill()
                await self._forwarder.wait()
            if self._hearing is not None:
                await asyncio.wait([self._hearing], timeout=_STOP_AT_MOST_S)
        # where the forwarder could not
        for name in (self.vehicle_namespace, self.server_namespace):
            await asyncio.get_running_loop().run_in_executor(None, namespaces.delete, name)

    # --- addresses and sockets ------------------------------------------------------------------------------------------------

    def _row(self) -> int:
        return bisect_right(self._row_s, self._clock.now()) - 1

    def address(self) -> str:
        """The vehicle's address now; "" where it has none."""
        return self._addresses[self._row()]

    def _address_or_last(self) -> str:
        """The address now, or else the one before: the kernel says EADDRNOTAVAIL to whoever binds to that."""
        return next(filter(None, reversed(self._addresses[: self._row() + 1])), "")

    @property
    def detached(self) -> bool:
        """Whether the interface was taken down by hand and has no address since: the drive's changes do not reach it."""
        return bool(self.outages) and self.outages[-1].attached_s > self._clock.now()

    def _socket(self, namespace: str, kind: socket.SocketKind) -> socket.socket:
        self._check()
        if namespace not in self._doors:
            raise OSError(errno.ENETDOWN, "the packet link does not run")
        return self._doors[namespace].socket(kind)

    async def _vehicle_socket(self, kind: socket.SocketKind) -> socket.socket:
        """A socket bound to the vehicle's address; raises OSError as bind() does."""
        due_s = self._change_s[bisect_right(self._change_s, self._clock.now()) - 1]
        try:
            async with asyncio.timeout(_KERNEL_CATCHES_UP_S):
                while (self._applied_s is None or self._applied_s < due_s) and not self.failure:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # the kernel will say what it thinks of the address
        opened = self._socket(self.vehicle_namespace, kind)
        try:
            opened.bind((self._address_or_last() or ANY, 0))
        except BaseException:
            opened.close()
            raise
        return opened

    # --- connections ----------------------------------------------------------------------------------------------------------

    async def serve(self, port: int, real_host: str, real_port: int) -> None:
        """Hand connections to `port` of the server over to where the program really listens."""
        await self._listen(self.server_namespace, self._server.address, port, real_host, real_port)

    async def serve_vehicle(self, port: int, real_port: int) -> None:
        """Hand connections to the vehicle's `port`, at whatever address it has, over to `real_port` on loopback."""
        await self._listen(self.vehicle_namespace, ANY, port, LOOPBACK, real_port)

    async def serve_through(self, port: int, accept: Callable[[], asyncio.Protocol]) -> None:
        """Give connections to `port` of the server to protocols that `accept` makes."""
        self._accepts[port] = accept
        self._refusable[port] = await self._listen_with(self.server_namespace, self._server.address, port, accept)

    def refuse(self, port: int) -> None:
        """What listens at the server's `port` (`serve_through`) is gone: the kernel answers with RST, until `admit`."""
        listener = self._refusable.pop(port, None)
        if listener is not None:
            listener.close()
            self._listeners.remove(listener)

    def admit(self, port: int) -> None:
        if port not in self._refusable:
            task = asyncio.ensure_future(self.serve_through(port, self._accepts[port]))
            self._admitting.add(task)
            task.add_done_callback(self._admitting.discard)

    async def _listen(self, namespace: str, address: str, port: int, real_host: str, real_port: int) -> None:
        await self._listen_with(namespace, address, port, lambda: Relay(self._relays, real_host, real_port).near)

    async def _listen_with(
        self, namespace: str, address: str, port: int, accept: Callable[[], asyncio.Protocol]
    ) -> asyncio.Server:
        opened = self._socket(namespace, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((address, port))
            listener = await asyncio.get_running_loop().create_server(accept, sock=opened, backlog=_BACKLOG)
        except BaseException:
            opened.close()
            raise
        self._listeners.append(listener)
        return listener

    async def connect_from_vehicle(
        self, address: str, port: int, protocol: Callable[[], asyncio.Protocol], user_timeout_s: float = 0.0
    ) -> None:
        """Open a TCP connection of the vehicle, bound to its address of now; raises OSError as the kernel does.

        `user_timeout_s`: TCP_USER_TIMEOUT, 0 the system's default.
        """
        opened = await self._vehicle_socket(socket.SOCK_STREAM)
        self.own_ends.add(opened.getsockname())
        await self._connect(opened, address, port, protocol, user_timeout_s)

    async def connect_from_server(
        self, address: str, port: int, protocol: Callable[[], asyncio.Protocol], user_timeout_s: float = 0.0
    ) -> None:
        """Open a TCP connection of the server to an address of the vehicle; raises OSError as the kernel does."""
        opened = self._socket(self.server_namespace, socket.SOCK_STREAM)
        await self._connect(opened, address, port, protocol, user_timeout_s)

    async def _connect(
        self, opened: socket.socket, address: str, port: int, protocol: Callable[[], asyncio.Protocol], user_timeout_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(opened, (address, port))
            if user_timeout_s > 0.0:  # not before: Linux would count it against SYN, too
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * user_timeout_s))
            # without it CONNECT would wait a round trip for the acknowledgement of the TLS Finished before it (Nagle)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.create_connection(protocol, sock=opened)
        except BaseException:
            opened.close()
            raise

    # --- names ----------------------------------------------------------------------------------------------------------------

    def use_names(self, names: NameSockets) -> None:
        """Have this name server at the server's address, before `start`; without it there is one that knows the server alone."""
        self._names = names

    async def resolve(self, name: str) -> str:
        """The address of a name, "" where there is none: from the vehicle's cache, or by UDP over the link."""
        return await self._resolver.resolve(name)

    # --- programs ---------------------------------------------------------------------------------------------------------------

    async def run_client(self, argv: list[str], **options: Any) -> asyncio.subprocess.Process:
        """Start a program as the vehicle, in its namespace and with the link's DNS server; it ends with the link.

        `options` are those of asyncio.create_subprocess_exec.
        """
        self._check()
        launcher = (*_python("client"), self.vehicle_namespace, str(os.getpid()), self._server.address)
        client = await asyncio.create_subprocess_exec(*launcher, *argv, start_new_session=True, **options)
        self._clients.append(client)
        return client

    async def end_client(self, client: asyncio.subprocess.Process) -> None:
        """End a program and all that it has started: kindly, then by force."""
        await _end(client)


def _python(program: str) -> tuple[str, ...]:
    """Command line of a program of sim.live.packet; by path, so that PYTHONPATH stays as the user has it."""
    code = f"import sys; sys.path.insert(0, sys.argv.pop(1)); from sim.live.packet.{program} import main; sys.exit(main())"
    return sys.executable, "-P", "-c", code, _PACKAGES


async def _end(client: asyncio.subprocess.Process) -> None:
    """End a program that we started, and wait for its end."""
    for send in (client.terminate, client.kill):
        if client.returncode is not None:
            return
        try:
            send()
            await asyncio.wait_for(client.wait(), _CLIENT_ENDS_S)
        except (ProcessLookupError, TimeoutError):
            continue


def _nothing(_address: str) -> None:
    pass
