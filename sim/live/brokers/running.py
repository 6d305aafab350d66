"""A broker that runs: where it listens, what it is, and the processes that end with it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from sim.live.brokers.processes import Process
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
class RunningBroker:
    """Where a broker listens (plain MQTT), and what it is. `processes` in the order in which they were started."""

    name: str
    host: str
    port: int
    version: str
    login: Login | None = None
    processes: list[Process] = field(default_factory=list)

    async def ready(self) -> None:
        """Wait until it answers a CONNECT. Raises BrokerUnavailable where a process ends meanwhile or the time is over."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + _READY_WITHIN_S
        while loop.time() < ends_s:
            for process in self.processes:
                if process.returncode is not None:
                    raise BrokerUnavailable(f"{self.name} ended with code {process.returncode} while starting: see {process.log}")
            with contextlib.suppress(OSError, ValueError, TimeoutError):
                if await asyncio.wait_for(self._answers(), _ANSWER_WITHIN_S):
                    return
            await asyncio.sleep(0.05)
        raise BrokerUnavailable(f"{self.name} accepted no client on port {self.port} within {_READY_WITHIN_S:.0f} s")

    async def _answers(self) -> bool:
        """Whether a CONNECT is accepted: an open port may belong to a broker that is not done starting."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
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
