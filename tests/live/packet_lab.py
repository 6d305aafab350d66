"""A packet link with a server program on loopback, for the tests that need a real kernel."""

import asyncio
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from sim.drive.timeline import LinkState, LinkTimeline
from sim.live.clock import Clock
from sim.live.packet import namespaces
from sim.live.packet_link import PacketLink
from sim.protocols.dns import DNS
from sim.protocols.server import Server

SERVER = Server(dns=DNS(retry_s=0.5))
OLD, NEW = "10.1.1.100", "10.2.5.200"
PORT = 8883
RTT_S = 0.080
SLACK_S = 0.150  # for this process' own lateness


def skip_where_impossible():
    missing = PacketLink.missing()
    if missing:
        pytest.skip(missing)


def drive(*rows):
    """A timeline of rows (start_s, address, state, rate in bit/s, the same both ways)."""
    n = len(rows)
    starts, held, states, rates = zip(*(row + (LinkState.UP, np.inf)[len(row) - 2 :] for row in rows), strict=True)
    addresses = tuple(dict.fromkeys(address for address in held if address))
    unknown = np.full(n, np.nan)
    return LinkTimeline(
        start_s=np.array(starts, float),
        cell=np.zeros(n, np.int32),
        gateway=np.zeros(n, np.int32),
        address=np.array([addresses.index(address) if address else -1 for address in held], np.int32),
        link=np.array(states, np.int8),
        rtt_s=np.full(n, RTT_S),
        downlink_bps=np.array(rates, float),
        uplink_bps=np.array(rates, float),
        x_m=unknown,
        y_m=unknown.copy(),
        rsrp_dbm=unknown.copy(),
        cells=("cell",),
        gateways=("gateway",),
        addresses=addresses,
        disruptions=(),
        end_s=60.0,
    )


class Lab:
    """A link, and a server program on loopback whose connections wait in `accepted`."""

    def __init__(self, timeline, access="private_apn", **options):
        self._timeline, self._access, self._options = timeline, access, options
        self.accepted: asyncio.Queue = asyncio.Queue()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.program = await asyncio.start_server(lambda *ends: self.accepted.put_nowait(ends), "127.0.0.1", 0)
        self.real_port = self.program.sockets[0].getsockname()[1]
        # the drive begins once the link stands
        self.clock = Clock(loop, -0.4)
        self.link = PacketLink(self._timeline, SERVER, self._access, self.clock, queue_bytes=262_144, **self._options)
        await self.link.start()
        await self.link.serve(PORT, "127.0.0.1", self.real_port)
        await self.until(0.0)
        return self

    async def __aexit__(self, *_):
        await self.link.stop()
        self.program.close()
        assert self.link.failure == ""
        left = [name for name in os.listdir("/run/netns") if name in (self.link.vehicle_namespace, self.link.server_namespace)]
        assert left == []

    async def until(self, at_s):
        await asyncio.sleep(max(0.0, at_s - self.clock.now()))

    async def connect(self, **options):
        """((reader, writer) of the vehicle, the same of the server)."""
        near = await self.open(lambda factory: self.link.connect_from_vehicle(SERVER.address, PORT, factory, **options))
        return near, await asyncio.wait_for(self.accepted.get(), 2.0)

    async def open(self, connect):
        reader = asyncio.StreamReader(limit=1 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        made = asyncio.get_running_loop().create_future()
        protocol.connection_made = lambda transport: (
            asyncio.StreamReaderProtocol.connection_made(protocol, transport),
            made.set_result(transport),
        )
        await connect(lambda: protocol)
        return reader, asyncio.StreamWriter(await made, protocol, reader, asyncio.get_running_loop())


async def alive(case, timeline, *arguments, **options):
    async with asyncio.timeout(25.0), Lab(timeline, *arguments, **options) as lab:
        await case(lab)
    return lab


def live(case, timeline, *arguments, **options):
    """Run `case(lab)` on the link, within a bound."""
    return asyncio.run(alive(case, timeline, *arguments, **options))


def live_side_by_side(cases, timeline, *arguments, **options):
    """Run each of `cases`, {case: more options}, on a link of its own, at the same time."""

    async def run():
        await asyncio.gather(*(alive(case, timeline, *arguments, **options, **more) for case, more in cases.items()))

    asyncio.run(run())


async def timed(awaitable):
    begun = time.perf_counter()
    await awaitable
    return time.perf_counter() - begun


def connections(namespace):
    """(local address, state) of the TCP sockets of a namespace, as /proc/net/tcp has them; 1: ESTABLISHED."""
    with namespaces.entered(namespace):
        lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    found = []
    for line in lines:
        _, local, _, state, *_ = line.split()
        found.append((socket.inet_ntoa(bytes.fromhex(local.split(":")[0])[::-1]), int(state, 16)))
    return found
