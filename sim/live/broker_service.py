"""BrokerService: the broker machine behind a TCP listener, for `python -m sim broker` and as the embedded broker of `live`.

It obeys the laws of the drivers (docs/model.md): the machine is never called from inside a call, nothing is awaited in
between, every exception of the outside becomes an input, one timer is armed for the earliest deadline. It adds no
protocol behaviour; its own limits are those of any host: connections, bytes buffered, time to hand over the last bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import ssl as tls
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from sim.live.broker_connection import BrokerConnection
from sim.live.mqtt_codec import MAXIMUM_PACKET_BYTES
from sim.live.open_files import files_at_most
from sim.machine import (
    NEVER,
    CloseTransport,
    Drop,
    Note,
    SendPacket,
    TransportAccepted,
    TransportLost,
)
from sim.protocols.broker_limits import BrokerLimits
from sim.protocols.broker_presets import BrokerBehaviour
from sim.protocols.mqtt_broker import MQTTBroker

#: limits of a served broker beside those of its preset; our choice, generous for a lab and bounded for a machine of 2 GB
SERVED_LIMITS = BrokerLimits(
    connect_timeout_s=10.0,
    sessions=2_000,
    subscriptions=200,
    filter_bytes=4096,
    filter_levels=128,
    retained=5_000,
    retained_bytes=16 * 1024 * 1024,
    stored_bytes=512 * 1024 * 1024,
    session_bytes=128 * 1024,
    drops_qos0_when_blocked=True,
    insists_on_qos_max=True,
)
#: a payload that is not larger fits in a packet of the served broker
_LARGEST_PAYLOAD = 4 * 1024 * 1024
_HEADERS = 64 * 1024  # topic, properties, fixed header
_MOST_CONNECTIONS = 2_000
#: connections that the kernel may hold for us before we accept them: a fleet that comes back at once
_BACKLOG = 1_024
#: bytes buffered for all connections together, each way, above which one that buffers more is lost
_BUFFERED_BYTES = 128 * 1024 * 1024
#: a connection may always buffer this much
_ALWAYS_BYTES = 256 * 1024
#: and never more than this
_NEVER_BYTES = 32 * 1024 * 1024
_MOST_DEFECTS = 20
_STOP_WITHIN_S = 1.0


class CannotListen(Exception):
    """The address cannot be listened on; the text is one line."""


class Recorder(Protocol):
    """Gets the broker's Drop and Note actions as they happen."""

    def record(self, now: float, action: Drop | Note) -> None: ...


def served(behaviour: BrokerBehaviour) -> BrokerBehaviour:
    """A preset's behaviour as it is served: CONNACK takes the time it takes, and what the preset leaves open is bounded.

    The receive maximum is mosquitto's and paho's 20; MQTT 5 4.9 wants the server to have one that it can afford.
    """
    return dataclasses.replace(
        behaviour,
        connack_delay_s=0.0,
        packet_limit_bytes=min(behaviour.packet_limit_bytes, _LARGEST_PAYLOAD),
        queue_limit=min(behaviour.queue_limit, 10_000),
        inflight_limit=min(behaviour.inflight_limit, 1_000),
        receive_maximum=min(behaviour.receive_maximum, 20),
        topic_alias_maximum=min(behaviour.topic_alias_maximum or 10, 64),
    )


class BrokerService:
    """Serves `behaviour` on host:port (port 0: a free one, see `port` after `start`); `ssl` wraps the listener in TLS.

    `recorder` gets Drop and Note actions. `defects` holds what a defect of the lab raised, the first twenty; the
    connection concerned is reset and the service goes on.
    """

    def __init__(
        self,
        behaviour: BrokerBehaviour,
        host: str = "127.0.0.1",
        port: int = 1883,
        *,
        limits: BrokerLimits = SERVED_LIMITS,
        recorder: Recorder | None = None,
        ssl: tls.SSLContext | None = None,
        connections: int = _MOST_CONNECTIONS,
        tick_phase: float = 0.0,
    ) -> None:
        self.behaviour = served(behaviour)
        self.machine = MQTTBroker(self.behaviour, tick_phase, limits)
        self.host = host
        self.port = port
        self.defects: list[Exception] = []
        self.connections_made = 0
        self._recorder = recorder
        self._ssl = ssl
        # the machine is told of a connection when TLS is done; a handshake may take as long as CONNECT
        self._handshake_s = limits.connect_timeout_s if ssl is not None and limits.connect_timeout_s < NEVER else None
        self._most_connections = min(connections, files_at_most())
        self._server: asyncio.Server | None = None
        self._open: dict[int, BrokerConnection] = {}
        self._all: set[BrokerConnection] = set()  # the closing ones too
        self._inputs: deque[Any] = deque()
        self._in_call = False
        self._clock: Callable[[], float] = lambda: 0.0
        self._now = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._armed_s = NEVER

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        limit5_bytes = self.behaviour.packet_limit_bytes
        limit_bytes = min(limit5_bytes + _HEADERS, MAXIMUM_PACKET_BYTES)

        def connection() -> BrokerConnection:
            return BrokerConnection(self, limit_bytes, limit5_bytes)

        try:
            self._server = await loop.create_server(
                connection,
                self.host,
                self.port,
                ssl=self._ssl,
                reuse_address=True,
                backlog=_BACKLOG,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror or str(error)
            raise CannotListen(f"cannot listen on {self.host}:{self.port}: {why}") from None
        except OverflowError as error:
            raise CannotListen(f"cannot listen on {self.host}:{self.port}: {error}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take leave of the clients, close everything; done within about a second."""
        if self._server is None:
            return
        self._server.close()
        self._perform(self.machine.shut_down(self._tick()))
        self._run()
        if self._timer is not None:
            self._timer.cancel()
        ends_s = self._clock() + _STOP_WITHIN_S
        while self._all and self._clock() < ends_s:
            await asyncio.sleep(0.01)
        for connection in list(self._all):
            connection.lose("closed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), _STOP_WITHIN_S)
        if self._timer is not None:
            self._timer.cancel()
        self._server = None

    @property
    def uses_tls(self) -> bool:
        return self._ssl is not None

    @property
    def open_connections(self) -> int:
        return len(self._open)

    # --- for the connections ------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self._clock()

    def accept(self, connection: BrokerConnection) -> int | None:
        """Give the connection an id and tell the machine; None: there are enough."""
        if len(self._all) >= self._most_connections:
            return None
        self.connections_made += 1
        connection.id = self.connections_made
        self._open[connection.id] = connection
        self._all.add(connection)
        self.take(TransportAccepted(connection.id, self.port))
        return connection.id

    def gone(self, connection: BrokerConnection) -> None:
        self._open.pop(connection.id, None)
        self._all.discard(connection)

    def may_buffer(self, connection: BrokerConnection) -> bool:
        """Whether the connection may go on to buffer what it does, read or unsent."""
        own = connection.partial_bytes + connection.unsent_bytes
        if own <= _ALWAYS_BYTES:
            return True
        return own <= _NEVER_BYTES and sum(one.partial_bytes + one.unsent_bytes for one in self._all) <= _BUFFERED_BYTES

    def take(self, event: Any) -> None:
        """Hand an input to the machine now, or after the call that is going on: writing may block, and say so, inside it."""
        self._inputs.append(event)
        if not self._in_call:
            self._run()

    # --- the machine --------------------------------------------------------------------------------------------------------

    def _tick(self) -> float:
        self._now = max(self._now, self._clock())
        return self._now

    def _run(self) -> None:
        if self._in_call:
            return
        self._in_call = True
        try:
            self._deadlines_passed()
            while self._inputs:
                event = self._inputs.popleft()
                try:
                    self._perform(self.machine.handle(self._tick(), event))
                except Exception as error:  # a defect of the lab; the others are served on
                    self._defect(error, getattr(event, "transport", -1))
                self._deadlines_passed()
        finally:
            self._in_call = False
        self._arm()

    def _deadlines_passed(self) -> None:
        while (due_s := self.machine.next_deadline()) <= self._tick():
            try:
                self._perform(self.machine.handle_deadline(max(self._now, due_s)))
            except Exception as error:  # a defect of the lab, as above
                self._defect(error, -1)
                break

    def _arm(self) -> None:
        """A wake-up is armed only where the deadline is earlier; one that comes early arms the next."""
        due_s = self.machine.next_deadline()
        if due_s < self._armed_s:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_s = due_s
            self._timer = asyncio.get_running_loop().call_at(due_s, self._wake)

    def _wake(self) -> None:
        self._now = max(self._now, self._armed_s)  # the loop's clock may be a little short of it
        self._armed_s = NEVER
        self._timer = None
        self._run()

    def _perform(self, actions: list[Any]) -> None:
        for action in actions:
            kind = type(action)
            if kind is SendPacket:
                connection = self._open.get(action.transport)
                if connection is not None:
                    try:
                        connection.send(action.packet)
                    except Exception as error:  # a defect of the lab; it is this connection's alone
                        self._defect(error, action.transport)
            elif kind is CloseTransport:
                connection = self._open.pop(action.transport, None)
                if connection is not None:
                    connection.close(abort=action.abort)
            elif self._recorder is not None and kind in (Drop, Note):
                self._recorder.record(self._now, action)

    def _defect(self, error: Exception, transport: int) -> None:
        if len(self.defects) < _MOST_DEFECTS:
            self.defects.append(error)
        connection = self._open.pop(transport, None)
        if connection is not None:
            connection.close(abort=True)
            self._inputs.append(TransportLost(transport, "reset"))
