"""The machines of a strategy of the user's own, held to the contract of sim.machine.

Whatever one does wrong ends the run with one line: file, class, what it did, what is allowed. Only machines that come from
a user's file are looked at; the lab's own are called as they are.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from sim.machine import (
    NEVER,
    CloseTransport,
    Create,
    Deadlines,
    Deliver,
    Drop,
    MachineBase,
    Message,
    Note,
    OpenTransport,
    Packet,
    ResolveName,
    SendPacket,
    TransportAccepted,
    TransportOpened,
)
from sim.record.causes import CAUSES, KINDS, PURPOSES
from sim.scenario.document import nearest, one_line
from sim.scenario.user_strategy import place_in_user_file, user_class
from sim.strategies.context import Context

#: Calls of one machine within one second of the drive. A busy one has some hundreds; more is a loop that does not move on.
MOST_CALLS_A_SECOND = 100_000
#: From this number on the ids of transports are the driver's, for those it accepts.
DRIVERS_IDS = 1_000_000

#: Action -> its fields and what they hold. A float may be written as a whole number.
FIELDS: dict[type, dict[str, type]] = {
    OpenTransport: {
        "transport": int, "address": str, "port": int, "peer": str, "purpose": str, "trigger": str, "user_timeout_s": float,
        "waited_s": float,
    },
    CloseTransport: {"transport": int, "abort": bool, "reason": str},
    SendPacket: {"transport": int, "packet": object},
    ResolveName: {"name": str, "transport": int, "purpose": str, "trigger": str, "waited_s": float},
    Create: {"message": Message},
    Deliver: {"message": Message, "via": str},
    Drop: {"message": Message, "cause": str},
    Note: {"kind": str, "transport": int, "detail": str},
}  # fmt: skip
#: Fields that hold one of a few words.
CHOICES: dict[type, dict[str, tuple[str, ...]]] = {
    OpenTransport: {"purpose": ("mqtt", "poll", "heartbeat", "push", "post")},
    Deliver: {"via": ("mqtt", "poll", "push", "post")},
    Drop: {"cause": tuple(CAUSES)},
}
_METHODS = ("handle", "next_deadline", "handle_deadline")
_NAMES = ", ".join(action.__name__ for action in FIELDS)


class StrategyBroken(Exception):
    """A strategy of the user's own failed or broke the contract; the text is one line."""


class UserStrategy:
    """The class behind `use: file.py:Class` as the lab calls it: its errors are the user's, its machines are checked."""

    def __init__(self, use: str, folder: Path) -> None:
        """`folder`: that of the scenario file. Raises UserStrategyError."""
        self.use = use
        self._class = user_class(use, folder)
        self.Config = self._class.Config

    def vehicle(self, config: Any, context: Context) -> CheckedMachine:
        return self._built("vehicle", config, context)

    def server(self, config: Any, context: Context) -> CheckedMachine:
        return self._built("server", config, context)

    def failure(self, error: BaseException, where: str = "while its machines ran") -> StrategyBroken:
        """The one line for an exception that came out of the strategy, or out of the lab while it worked for it."""
        name = self.use.rpartition(":")[2]
        place = place_in_user_file(error)
        begin = f"{place}: {name}" if place is not None else self.use
        kind = "sys.exit()" if isinstance(error, SystemExit) else type(error).__name__
        text = one_line(error)
        return StrategyBroken(f"{begin}: {kind}{f': {text}' if text else ''}, {where} (--debug shows the traceback)")

    def _built(self, side: str, config: Any, context: Context) -> CheckedMachine:
        try:
            machine = getattr(self._class, side)(config, context)
        except (Exception, SystemExit) as error:
            raise self.failure(error, f"in {side}(config, context)") from error
        missing = [name for name in _METHODS if not callable(getattr(machine, name, None))]
        if missing or isinstance(machine, type):
            lacks = f", which has no {' and no '.join(missing)}" if missing and machine is not None else ""
            expected = "expected a machine: an object with handle(now, event), next_deadline() and handle_deadline(now)"
            raise StrategyBroken(f"{self.use}: {side}(config, context) returned {shown(machine)}{lacks}; {expected}")
        if side == "server" and getattr(machine, "uses_broker", True):
            joins = callable(getattr(machine, "join", None)) and isinstance(getattr(machine, "deadlines", None), Deadlines)
            if not joins:
                raise StrategyBroken(
                    f"{self.use}: server(config, context) returned {shown(machine)}, which has no join(broker) and deadlines; "
                    "a server without a broker says uses_broker = False, one with a broker derives from MQTTBackend"
                )
        return CheckedMachine(self, side, machine, context.start_s)


class CheckedMachine(MachineBase):
    """Passes the calls on to a user's machine and looks at what comes back. Raises StrategyBroken."""

    __slots__ = ("_calls", "_joined", "_machine", "_now", "_opened", "_opening", "_side", "_since_s", "_strategy")

    def __init__(self, strategy: UserStrategy, side: str, machine: Any, start_s: float) -> None:
        self._strategy = strategy
        self._side = side
        self._machine = machine
        self._now = start_s
        self._since_s = start_s  # since when the calls are counted
        self._calls = 0
        self._opening: set[int] = set()  # ids it chose
        self._opened: set[int] = set()  # those on which it was told that it may send
        self._joined = False

    # --- the contract ---------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Any) -> list[Any]:
        self._count(now)
        if type(event) is TransportOpened or type(event) is TransportAccepted:
            self._opened.add(event.transport)
        actions = self._call(lambda: self._machine.handle(now, event), "handle", type(event).__name__)
        self._check(actions, "handle", type(event).__name__)
        return actions  # type: ignore[no-any-return]

    def next_deadline(self) -> float:
        """Never in the past: a deadline that has passed is due now. Beside a broker the data centre reads `deadlines` itself."""
        at = self._call(self._machine.next_deadline, "next_deadline", "")
        if type(at) is not float:
            if isinstance(at, bool) or not isinstance(at, numbers.Real):
                self._broken("next_deadline()", f"returned {shown(at)}", _AN_INSTANT)
            at = float(at)
        if at != at:
            self._broken("next_deadline()", "returned NaN", _AN_INSTANT)
        return at if at > self._now or self._joined else self._now

    def handle_deadline(self, now: float) -> list[Any]:
        if now < self._now:
            self._broken("deadlines", f"hold {now:g} s, which has passed", "expected an instant from now on")
        self._count(now)
        actions = self._call(lambda: self._machine.handle_deadline(now), "handle_deadline", "")
        self._check(actions, "handle_deadline", "")
        return actions  # type: ignore[no-any-return]

    # --- beyond the contract: the ledger, and the broker beside a server ------------------------------------------------------

    def held(self) -> Iterator[Message]:
        """Messages of which the machine has a copy; none where it does not say."""
        if not hasattr(self._machine, "held"):
            return
        for message in self._call(lambda: list(self._machine.held()), "held", ""):
            if not isinstance(message, Message):
                self._broken("held()", f"gave {shown(message)}", "expected the messages (Message) that it still has a copy of")
            yield message

    @property
    def uses_broker(self) -> bool:
        return bool(getattr(self._machine, "uses_broker", True))

    @property
    def deadlines(self) -> Deadlines:
        found: Deadlines = self._machine.deadlines
        return found

    def join(self, broker: Any) -> None:
        """From now on the server returns the broker's actions too, on transports that are the broker's."""
        self._joined = True
        self._call(lambda: self._machine.join(broker), "join", "broker")

    # --- checks ---------------------------------------------------------------------------------------------------------

    def _call(self, function: Callable[[], Any], method: str, argument: str) -> Any:
        try:
            return function()
        except (Exception, SystemExit) as error:
            if isinstance(error, StrategyBroken):
                raise
            raise self._strategy.failure(error, f"in the {self._side}'s {method}({argument}) at {self._now:.3f} s") from error

    def _count(self, now: float) -> None:
        self._now = now
        if now >= self._since_s + 1.0:
            self._since_s, self._calls = now, 0
        self._calls += 1
        if self._calls > MOST_CALLS_A_SECOND:
            what = f"was called {MOST_CALLS_A_SECOND:,} times between {self._since_s:.3f} s and {now:.3f} s"
            last = self._call(self._machine.next_deadline, "next_deadline", "")
            self._broken("machine", f"{what} and wants to be at {shown(last)} again", "expected a deadline that moves on")

    def _check(self, actions: Any, method: str, argument: str) -> None:
        if type(actions) is not list and not isinstance(actions, list):
            if inspect.iscoroutine(actions):
                actions.close()  # Python would complain of it in lines of its own
            self._broken(f"{method}({argument})", f"returned {shown(actions)}", f"expected a list of actions ({_NAMES})")
        for action in actions:
            fields = FIELDS.get(type(action))
            if fields is None:
                self._broken(f"{method}({argument})", f"returned a list with {shown(action)}", f"allowed are {_NAMES}")
            wrong = self._wrong(action, fields)
            if wrong:
                self._broken(f"{method}({argument})", f"returned {shown(action)}", wrong)

    def _wrong(self, action: Any, fields: dict[str, type]) -> str:
        """What is wrong with an action and what is allowed; "": nothing."""
        for name, kind in fields.items():
            value = getattr(action, name)
            if type(value) is not kind and not _fits(value, kind):
                return f"{name} is {shown(value)}, expected {_A[kind]}"
        for name, words in CHOICES.get(type(action), {}).items():
            word = getattr(action, name)
            if word not in words:
                near = nearest(word, words)
                return f"{name} is {word!r}" + (f", did you mean {near}" if near else "") + f", allowed are {', '.join(words)}"
        if type(action) is SendPacket:
            return self._wrong_send(action)
        if type(action) is OpenTransport:
            return self._wrong_open(action)
        return _wrong_message(action.message) if type(action) is Create else ""

    def _wrong_send(self, action: SendPacket) -> str:
        if not isinstance(action.packet, Packet):
            return f"the packet is {shown(action.packet)}, expected one of sim.protocols.http or sim.protocols.mqtt_packets"
        if action.packet.purpose not in PURPOSES:
            return f"the packet's purpose is {shown(action.packet.purpose)}, allowed are {', '.join(PURPOSES)}"
        transport = action.transport
        if transport in self._opened or (self._joined and transport >= DRIVERS_IDS):
            return ""
        if transport in self._opening:
            return f"transport {transport} is not open yet, expected to wait for TransportOpened"
        return f"transport {transport} was never opened, expected one of TransportOpened or TransportAccepted"

    def _wrong_open(self, action: OpenTransport) -> str:
        transport = action.transport
        if transport in self._opening:
            return f"transport {transport} was opened before, expected a new id for each (TransportIds counts them)"
        if not 0 <= transport < DRIVERS_IDS:
            return f"transport {transport} is out of range, expected an id from 0 to {DRIVERS_IDS - 1}"
        if not 0 < action.port < 65536:
            return f"port {action.port} is out of range, expected 1 to 65535"
        if not (0.0 <= action.user_timeout_s < NEVER and 0.0 <= action.waited_s < NEVER):
            return "user_timeout_s and waited_s are expected to be seconds, at least 0"
        self._opening.add(transport)
        return ""

    def _broken(self, what: str, did: str, allowed: str) -> NoReturn:
        when = f"at {self._now:.3f} s"
        kind = type(self._machine).__name__
        raise StrategyBroken(f"{self._strategy.use}: the {self._side}'s {what} of {kind} {did} {when}; {allowed}")


_AN_INSTANT = "expected an instant in s since the start of the drive, or NEVER"
_A = {
    int: "a whole number", float: "a number", str: "text", bool: "True or False", Message: "a Message", object: "a packet",
}  # fmt: skip


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _wrong_message(message: Message) -> str:
    """What is wrong with a message that a machine creates."""
    if message.kind not in KINDS:
        return f"the message's kind is {shown(message.kind)}, allowed are {', '.join(KINDS)}"
    numbers_of = {"id": message.id, "size_bytes": message.size_bytes, "qos": message.qos}
    for name, value in numbers_of.items():
        if not _fits(value, int) or value < 0 or (name == "qos" and value > 2):
            return f"the message's {name} is {shown(value)}, expected {'0, 1 or 2' if name == 'qos' else 'a whole number from 0'}"
    return "" if _fits(message.created_s, float) else f"the message's created_s is {shown(message.created_s)}, expected a number"


def shown(value: Any) -> str:
    """A value in a few words, whatever its own repr does."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None:
        return "None"
    try:
        text = one_line(repr(value), 120)
    except Exception:
        text = " at 0x"
    if " at 0x" in text:  # an address in memory says nothing
        return f"an object of {type(value).__name__}"
    return f"{text} ({type(value).__name__})" if type(value).__module__ == "builtins" else text
