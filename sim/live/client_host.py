"""A program of the user's own in the vehicle's place: started in its namespace, its output kept, its end noted.

As far as a session is concerned it is a Host that asks for nothing and is told nothing: the program has its sockets, its
clock and its address like any other. What it did is read from packets afterwards (sim.live.observed).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sim.live.brokers import Login
from sim.live.client_command import ClientCommand
from sim.live.clock import Clock
from sim.live.observed.flows import traffic_of
from sim.live.observed.observe import ClientSettings, observe
from sim.live.observed.visits import Visit
from sim.live.packet.capture import read_capture
from sim.protocols.server import SECOND_NAME, Server
from sim.record.recorder import Connection, Recorder
from sim.strategies.context import Context

if TYPE_CHECKING:
    from sim.live.packet_link import PacketLink

_LOG_AT_MOST_BYTES = 16 * 1024 * 1024
_LAST_WORDS_BYTES = 2000
_LAST_LINES = 3
_AFTERMATH_S = 1.0  # after a program that ended by itself: FIN and what was under way arrive
_OUTPUT_ENDS_S = 3.0
_NOT_STARTED = 127
_HOW_SEEN = (
    "{name} ran as the vehicle, seen from packets and from the broker's side alone. Why it connected, waited or gave up is not"
    " observed: null or not_observed in the records. Delivered to it is what it acknowledged, with QoS 0 what its interface"
    " received, requests too; telemetry is what it published, from the instant at which that left its interface."
)


@dataclass(frozen=True, slots=True)
class Client:
    """What to run, with what its placeholders stand for, and the run's folder, which gets client.log and packets.pcap."""

    command: ClientCommand
    values: Mapping[str, str]
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "client.log"

    @property
    def capture(self) -> Path:
        return self.folder / "packets.pcap"


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended, at `at_s` of the drive: by itself with an exit code, by a signal (negative), or by the lab (None)."""

    code: int | None
    at_s: float
    last_words: str

    @property
    def failed(self) -> bool:
        """Whether it ended by itself and does not say that all was well."""
        return bool(self.code)

    def in_words(self) -> str:
        """A clause: "ended by itself at 0.1 s of the drive, with exit code 1"."""
        if self.code is None:
            return "ran until the lab ended it"
        at = f"at {self.at_s:.1f} s of the drive"
        if self.code == _NOT_STARTED:
            how = "could not be started"
        elif self.code < 0:
            how = f"was killed by {_signal_name(-self.code)} {at}"
        else:
            how = f"ended by itself {at}, with exit code {self.code}"
        words = f", its last words: {self.last_words}" if self.last_words else ""
        return f"{how}{words}. The run ends there, and what the rest of the drive would have brought counts as undelivered"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class ClientHost:
    """Runs a client as the vehicle, from `start_s` on. `prepare` and `start` in this order, `stop` always."""

    def __init__(self, client: Client, link: PacketLink, clock: Clock, start_s: float) -> None:
        self._client = client
        self._argv: list[str] = []
        self._link = link
        self._clock = clock
        self._start_s = start_s
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tail: deque[bytes] = deque()
        self._stopping = False
        self.end: ProgramEnd | None = None
        self.failure: BaseException | None = None

    def prepare(self, login: Login | None) -> None:
        """Fill the command in. Raises CommandRefused."""
        values = dict(self._client.values)
        if login is not None:
            values |= {"username": login.username, "password": login.password.decode(errors="replace")}
        self._argv = self._client.command.filled(values)

    def input(self, _event: Any) -> None:
        """Nothing: a program learns of its address, and of messages, by itself."""

    @property
    def over(self) -> bool:
        """Whether the program has ended by itself, and what it had sent has arrived."""
        return self.end is not None and self._clock.now() > self.end.at_s + _AFTERMATH_S

    def start(self) -> None:
        self._timer = self._clock.at(self._start_s, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            with self._client.log.open("wb") as log:
                process = self._process = await self._link.run_client(
                    self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
                output = _Output(log)
                readers = [
                    asyncio.ensure_future(self._read(process.stdout, output, words=False)),
                    asyncio.ensure_future(self._read(process.stderr, output, words=True)),
                ]
                code = await process.wait()
                at_s = self._clock.now()
                # all that had its output open ended with it
                _, late = await asyncio.wait(readers, timeout=_OUTPUT_ENDS_S)
                for reader in late:
                    reader.cancel()
            self.end = ProgramEnd(None if self._stopping else code, at_s, self._last_words())
        except Exception as error:
            self.failure = error

    async def _read(self, stream: asyncio.StreamReader | None, output: _Output, *, words: bool) -> None:
        assert stream is not None
        while data := await stream.read(65_536):
            output.write(data)
            if words:
                self._tail.append(data)
                while len(self._tail) > 1 and sum(map(len, self._tail)) - len(self._tail[0]) >= _LAST_WORDS_BYTES:
                    self._tail.popleft()

    def _last_words(self) -> str:
        """The last lines that the program wrote to stderr, in one."""
        text = b"".join(self._tail)[-_LAST_WORDS_BYTES:].decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join("".join(c if c.isprintable() else "?" for c in line) for line in lines[-_LAST_LINES:]).rstrip(".")

    async def stop(self) -> None:
        """End the program and all that it has started."""
        self._stopping = self.end is None
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None:
            await self._link.end_client(self._process)
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._task], timeout=2 * _OUTPUT_ENDS_S)

    # --- afterwards ---------------------------------------------------------------------------------------------------------

    def observed(
        self, visits: Sequence[Visit], server: Server, context: Context, server_record: Recorder, end_s: float
    ) -> tuple[Recorder, ClientSettings]:
        """What was seen of the program up to `end_s`; the link has been stopped."""
        packets = read_capture(self._client.capture, self._link.epoch_ns)
        traffic = traffic_of(packets, (server.name, SECOND_NAME), end_s)
        return observe(traffic, visits, (server.address, server.mqtt_port), server_record, context.topic("down/"), end_s)

    @property
    def how_seen(self) -> str:
        """What the records mean, for the report."""
        return _HOW_SEEN.format(name=self._client.command.name)

    def notes(self, settings: ClientSettings, rows: Sequence[Connection], visits: Sequence[Visit]) -> list[str]:
        """Sentences for the report: what it said of itself, how it ended."""
        name = self._client.command.name
        if settings.client_id is not None:
            subscribed = ", ".join(settings.subscriptions) or "nothing"
            granted = f" (QoS {settings.granted_qos})" if settings.granted_qos is not None else ""
            said = (
                f"Its CONNECT: client id {settings.client_id}, MQTT {settings.version}, keep alive {settings.keep_alive_s:g} s,"
                f" clean session {str(settings.clean_session).lower()}; subscribed to {subscribed}{granted}."
            )
        else:
            why = next((visit.unreadable for visit in visits if visit.unreadable), "") or ", ".join(
                dict.fromkeys(row.reason for row in rows if row.reason)
            )
            said = f"{name} never got as far as a CONNECT" + (f": {why}" if why else "") + "."
        end = self.end.in_words() if self.end is not None else "was not started"
        return [said, f"{name} {end}."]


class _Output:
    """Both streams of a program in one file, up to a limit."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._left = _LOG_AT_MOST_BYTES

    def write(self, data: bytes) -> None:
        if self._left <= 0:
            return
        self._log.write(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self._log.write(b"\n(the lab keeps no more of the output)\n")
        self._log.flush()
