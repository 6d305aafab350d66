"""The contract between protocol logic and the world it runs in: Input, Action, Machine, Deadlines.

A machine is a pure state machine. Time is an argument, everything that happens is an Input, everything it wants is an
Action in the list it returns, and the next instant at which it wants to be called is pulled with `next_deadline()`.
The same machine runs in the model (SimPy) and live (asyncio, sockets); it cannot tell which.

Inputs, actions and packets are slots dataclasses that nobody changes after construction. They are not frozen because
frozen construction costs a fifth of the model's speed; a test runs with them frozen. `free_list_len=1`: one that is let go is
used again for the next, in the compiled form, where most live no longer than a call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sim.subclassing import mypyc_attr

NEVER: Final = math.inf


class Packet:
    """Something a transport carries: it knows its encoded size and what it is sent for (a purpose of the cost table).

    Properties, which the compiler reads without a look-up; a packet that has one of them as a field overrides it.
    """

    __slots__ = ()

    @property
    def encoded_size(self) -> int:
        raise NotImplementedError

    @property
    def purpose(self) -> str:
        raise NotImplementedError

    @property
    def carried(self) -> Message | None:
        """The application message in it; None where there is none, or a batch of them."""
        return None

    @property
    def cause_if_lost(self) -> str:
        """Of the messages in it, where nobody keeps a copy of them; a cause of loss."""
        return ""


@dataclass(slots=True)
class Message:
    """An application message: firmware chunk, diagnostics request or response, telemetry, reachability probe.

    `id` is the application's own, unique per vehicle; a second arrival with the same id is a duplicate whatever way it took.
    `expires_s` is absolute (NEVER: none). `reply_to` is the id of the request that a response answers (-1: none);
    `reply_bytes` what the vehicle's application answers with (0: nothing).
    """

    id: int
    kind: str  # ota | diagnostics | telemetry | probe
    topic: str
    size_bytes: int
    qos: int
    created_s: float
    uplink: bool = False
    expires_s: float = NEVER
    reply_to: int = -1
    reply_bytes: int = 0
    body: Any = None  # bytes of the payload, live only
    properties: dict[str, Any] | None = None  # MQTT 5 properties that pass from publisher to subscriber, live only


# --- Inputs: past participles -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TransportOpened:
    """The transport this machine asked for is open: TCP and, where asked for, TLS are done."""

    transport: int
    resumed: bool = False


@dataclass(slots=True)
class TransportAccepted:
    """A peer opened a transport to `port` of this machine. The driver chose the id. `peer` is the name in its certificate."""

    transport: int
    port: int
    peer: str = ""
    address: str = ""
    node: int = 0  # of the broker, where it has several


@dataclass(slots=True)
class TransportLost:
    """The transport is gone or never opened.

    reason: closed (FIN by the peer) | reset | timed_out | refused | unreachable | no_address | no_route | wrong_peer |
    tls_failed.
    """

    transport: int
    reason: str


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class PacketReceived:
    transport: int
    packet: Any


@dataclass(slots=True)
class WriteBlocked:
    """The send buffer of the transport is full; what is sent now is still taken, but a machine should hold back."""

    transport: int


@dataclass(slots=True)
class WriteResumed:
    transport: int


@dataclass(slots=True)
class NameResolved:
    """The answer to a ResolveName; `transport` is what that named, so that a late answer meets no later attempt."""

    name: str
    address: str
    transport: int = -1


@dataclass(slots=True)
class NameFailed:
    name: str
    reason: str  # timed_out | no_address
    transport: int = -1


@dataclass(slots=True)
class AddressChanged:
    """The interface has this address now; None: it has none. Strategies that poll look at it at their next poll only."""

    address: str | None


@dataclass(slots=True)
class IgnitionChanged:
    """The driver switched the ignition. It is on until a first one of these; comes only on drives with a parking."""

    on: bool


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class MessageCreated:
    message: Message


@dataclass(slots=True)
class ServerChanged:
    """Something happened to the nodes of the broker or to the store of their sessions.

    what: sessions_saved (those of `node`, -1: all, are now where they outlive it: on its disk, or on a replica of the
    store) | node_failed (with these `transports` of the machine: no TransportLost follows for them) | node_started |
    store_failed (what was written since the last sessions_saved is lost) | store_recovered.
    """

    what: str
    node: int = -1
    transports: tuple[int, ...] = ()


@dataclass(slots=True)
class StoreChanged:
    """What a server keeps in a store outside was read there: at the start, or as somebody else has changed it.

    `kept` is a sim.protocols.kept.Kept, or None: the store is out of reach, for `reason` (refused | timed_out | reset |
    failed). `withheld`: answers that were not sent, as what they rest on could not be written.
    """

    kept: Any
    reason: str = ""
    withheld: tuple[SendPacket, ...] = ()


# --- Actions: imperatives -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class OpenTransport:
    """Connect to address:port. `peer` is the name the peer's certificate must bear ("": not checked), `tls` a profile or ""."""

    transport: int
    address: str
    port: int
    peer: str = ""
    purpose: str = "mqtt"  # mqtt | poll | heartbeat | push | post | download
    trigger: str = ""  # why this attempt is made, for the records: start | retry | address | keep_alive | ...
    user_timeout_s: float = 0.0  # TCP_USER_TIMEOUT; 0: the system's default
    waited_s: float = 0.0  # wait ordered by the backoff policy before it, for the records


@dataclass(slots=True)
class CloseTransport:
    transport: int
    abort: bool = False  # True: RST and what is unsent is dropped
    reason: str = ""  # why, for the records


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class SendPacket:
    transport: int
    packet: Any


@dataclass(slots=True)
class ResolveName:
    """Ask for the address of `name`. The rest says for which transport it is wanted, for the records."""

    name: str
    transport: int = -1
    purpose: str = ""
    trigger: str = ""
    waited_s: float = 0.0


@dataclass(slots=True)
class Create:
    """The machine's own application created a message (a publisher that keeps a window of chunks)."""

    message: Message


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class Deliver:
    """Hand a message to the application; `via` is mqtt | poll | push | post | download.

    A second one with the same id is a duplicate.
    """

    message: Message
    via: str


@dataclass(slots=True)
class Drop:
    """A copy of the message was removed on purpose or by a limit; `cause` is one of record.causes."""

    message: Message
    cause: str


@mypyc_attr(free_list_len=1)
@dataclass(slots=True)
class Note:
    """Something worth a row in the records: a state entered, a connection step, a heartbeat accepted. No effect on the world."""

    kind: str
    transport: int = -1
    detail: str = ""


Input = (
    TransportOpened
    | TransportAccepted
    | TransportLost
    | PacketReceived
    | WriteBlocked
    | WriteResumed
    | NameResolved
    | NameFailed
    | AddressChanged
    | IgnitionChanged
    | MessageCreated
    | ServerChanged
    | StoreChanged
)
Action = OpenTransport | CloseTransport | SendPacket | ResolveName | Create | Deliver | Drop | Note


class Machine(Protocol):
    """What a driver needs. Calls are atomic and never re-entered; `now` never goes back."""

    def handle(self, now: float, event: Any) -> list[Any]: ...

    def next_deadline(self) -> float: ...

    def handle_deadline(self, now: float) -> list[Any]: ...


@mypyc_attr(allow_interpreted_subclasses=True)
class MachineBase:
    """Base of the lab's own machines: where the lab is compiled, a driver's calls to these go without a detour.

    A machine need not be one: `hosted` makes one of whatever keeps the contract.
    """

    __slots__ = ()

    def handle(self, now: float, event: Any) -> list[Any]:
        raise NotImplementedError

    def next_deadline(self) -> float:
        raise NotImplementedError

    def handle_deadline(self, now: float) -> list[Any]:
        raise NotImplementedError

    def let_go(self) -> None:
        """Called last, once: drop what refers back to this machine, so that its memory is free without the cycle collector."""


class ForeignMachine(MachineBase):
    """Passes the calls on to a machine that is not made of ours."""

    __slots__ = ("_machine",)

    def __init__(self, machine: Any) -> None:
        self._machine = machine

    def handle(self, now: float, event: Any) -> list[Any]:
        actions: list[Any] = self._machine.handle(now, event)
        return actions

    def next_deadline(self) -> float:
        return float(self._machine.next_deadline())

    def handle_deadline(self, now: float) -> list[Any]:
        actions: list[Any] = self._machine.handle_deadline(now)
        return actions


def hosted(machine: Any) -> MachineBase:
    """The machine as a driver calls it."""
    return machine if isinstance(machine, MachineBase) else ForeignMachine(machine)


def _goes_before(name: str, other: str) -> bool:
    """Of two deadlines at the same instant."""
    return (not name.endswith("_timeout"), name) < (not other.endswith("_timeout"), other)


class Deadlines:
    """Named absolute deadlines of one machine, shared by the parts it is composed of. `earliest` is O(1) to read.

    >>> deadlines = Deadlines()
    >>> deadlines.set("keep_alive", 30.0); deadlines.set("backoff", 5.0)
    >>> deadlines.earliest
    5.0
    >>> deadlines.due(5.0), deadlines.earliest
    ('backoff', 30.0)
    """

    __slots__ = ("_at", "earliest")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self.earliest = NEVER

    def set(self, name: str, at_s: float) -> None:
        """Set or move a deadline."""
        before = self._at.get(name, NEVER)
        self._at[name] = at_s
        if at_s <= self.earliest:
            self.earliest = at_s
        elif before <= self.earliest:
            self._find_earliest()

    def clear(self, *names: str) -> None:
        """Forget deadlines; no error where one is not set."""
        gone = NEVER
        for name in names:
            gone = min(gone, self._at.pop(name, NEVER))
        if gone <= self.earliest:
            self._find_earliest()

    def at(self, name: str) -> float:
        """When the deadline is; NEVER where it is not set."""
        return self._at.get(name, NEVER)

    def due(self, now: float) -> str | None:
        """Remove and return the name of the earliest deadline that is due; None where none is.

        Ties: what times out does so before anything else happens, then by name.
        """
        if self.earliest > now:
            return None
        found = ""
        for name, at_s in self._at.items():
            if at_s == self.earliest and (not found or _goes_before(name, found)):
                found = name
        del self._at[found]
        self._find_earliest()
        return found

    def _find_earliest(self) -> None:
        earliest = NEVER
        for at_s in self._at.values():
            if at_s < earliest:
                earliest = at_s
        self.earliest = earliest
