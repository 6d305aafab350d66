"""A broker that runs: where it listens, what it is, and the processes that end with it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from sim.live.brokers.processes import Process
from sim.live.brokers.session_redis import SessionRedis
from sim.live.mqtt_codec import Decoder, encode
from sim.protocols.mqtt_packets import V311, ConnAck, Connect, Disconnect

_READY_WITHIN_S = 60.0
_ANSWER_WITHIN_S = 3.0


class BrokerUnavailable(RuntimeError):
    """The broker cannot be started here; one line that says why and what to install."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a CONNECT to this broker has to bear, in place of the strategy's own user name."""

    username: str
    password: bytes


@dataclass(slots=True)
class Node:
    """A node of a broker: where it listens itself, behind a balancer perhaps, and the process that a fault ends."""

    port: int
    process: Process


@dataclass(slots=True)
class RunningBroker:
    """Where a broker listens (plain MQTT), and what it is. `processes` in the order in which they were started.

    `nodes` in the order of the scenario's names; none where the broker is not ours to end. `store` is the Redis that they
    share. Behind a balancer `port` is the balancer's, and so is `told_port`, at which each connection has to begin with the
    client's address (the PROXY protocol).
    """

    name: str
    host: str
    port: int
    version: str
    login: Login | None = None
    processes: list[Process] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    store: SessionRedis | None = None
    balancer: Process | None = None
    told_port: int | None = None

    async def ready(self) -> None:
        """Wait until each node answers a CONNECT. Raises BrokerUnavailable where a process ends meanwhile or the time is over."""
        ends_s = asyncio.get_running_loop().time() + _READY_WITHIN_S
        for port in [node.port for node in self.nodes] or [self.port]:
            await self._ready(port, ends_s)

    async def _ready(self, port: int, ends_s: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < ends_s:
            for process in self.processes:
                if process.returncode is not None:
                    raise BrokerUnavailable(f"{self.name} ended with code {process.returncode} while starting: see {process.log}")
            if await self.answers(port):
                return
            await asyncio.sleep(0.05)
        raise BrokerUnavailable(f"{self.name} accepted no client on port {port} within {_READY_WITHIN_S:.0f} s")

    async def passes(self) -> None:
        """Wait until the balancer lets a CONNECT through. Raises BrokerUnavailable as `ready`."""
        await self._ready(self.port, asyncio.get_running_loop().time() + _READY_WITHIN_S)

    async def answers(self, port: int) -> bool:
        """Whether a CONNECT is accepted at `port`: an open port may belong to a broker that is not done starting."""
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            return await asyncio.wait_for(self._accepted(port), _ANSWER_WITHIN_S)
        return False

    async def _accepted(self, port: int) -> bool:
        reader, writer = await asyncio.open_connection(self.host, port)
        try:
            login = self.login
            username, password = (login.username, login.password) if login else ("lab-ready", None)
            writer.write(encode(Connect("lab-ready", True, 10, username=username, password=password), V311))
            decoder = Decoder(V311)
            while data := await reader.read(4096):
                for packet in decoder.feed(data):
                    writer.write(encode(Disconnect(), V311))
                    return isinstance(packet, ConnAck) and packet.code == 0
            return False
        finally:
            writer.close()

    async def stop(self) -> None:
        """End the processes, the last one first; safe to call twice."""
        for process in reversed(self.processes):
            await process.stop()
