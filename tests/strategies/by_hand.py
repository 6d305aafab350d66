"""A vehicle's or a server's machine driven by hand: the test plays network and peer, and sees every action with its instant."""

from collections.abc import Callable
from typing import Any

from sim.machine import (
    AddressChanged,
    Message,
    NameFailed,
    NameResolved,
    OpenTransport,
    PacketReceived,
    ResolveName,
    SendPacket,
    TransportLost,
    TransportOpened,
)
from sim.protocols.mqtt_packets import ConnAck, Connect, SubAck, Subscribe
from sim.protocols.server import Server
from sim.strategies.config import MQTTPersistent
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle
from sim.strategies.workload import Workload
from sim.streams import Stream

ADDRESS = "10.1.1.100"


def context(
    workload: Workload | None = None,
    *,
    server: Server | None = None,
    seed: int = 1,
    replication: int = 0,
    drive_end_s: float = 1e9,
) -> Context:
    """Everything starts at 0 s; draws are those of (seed, replication)."""
    streams: dict[str, Stream] = {}

    def draw(purpose: str, index: int) -> float:
        return streams.setdefault(purpose, Stream(seed, replication, 0, purpose)).uniform(index)

    return Context(
        vin="VIN123",
        server=server or Server(),
        workload=workload or Workload(ota=None, diagnostics=None, telemetry=None, probes=None),
        phase=lambda _purpose: 1.0,
        draw=draw,
        start_s=0.0,
        drive_end_s=drive_end_s,
        first_address=ADDRESS,
    )


class ByHand:
    """`answer(now, action)` returns the inputs with which the test's world answers an action: (delay in s, input)."""

    def __init__(self, machine: Any, answer: Callable[[float, Any], list[tuple[float, Any]]]) -> None:
        self.machine = machine
        self.answer = answer
        self.now = 0.0
        self.seen: list[tuple[float, Any]] = []
        self._inputs: list[tuple[float, int, Any]] = []
        self._serial = 0

    def put(self, event: Any, at_s: float | None = None) -> None:
        """An input for the machine, now or at `at_s`."""
        self._serial += 1
        self._inputs.append((self.now if at_s is None else at_s, self._serial, event))
        if at_s is None:
            self.run_until(self.now)

    def run_until(self, to_s: float) -> None:
        while True:
            due = self.machine.next_deadline()
            first = min(self._inputs, default=None, key=lambda item: item[:2])
            if first is not None and first[0] <= min(due, to_s):
                self._inputs.remove(first)
                self.now = max(self.now, first[0])
                self._perform(self.machine.handle(self.now, first[2]))
            elif due <= to_s:
                self.now = max(self.now, due)
                self._perform(self.machine.handle_deadline(self.now))
            else:
                break
        self.now = to_s

    def _perform(self, actions: list[Any]) -> None:
        for action in actions:
            self.seen.append((self.now, action))
            for delay_s, event in self.answer(self.now, action):
                self.put(event, self.now + delay_s)

    def instants(self, kind: type, **wanted: Any) -> list[float]:
        """When actions of `kind` with these fields were seen."""
        return [at for at, action in self.actions(kind, **wanted)]

    def actions(self, kind: type, **wanted: Any) -> list[tuple[float, Any]]:
        return [
            (at, action)
            for at, action in self.seen
            if type(action) is kind and all(getattr(action, name) == value for name, value in wanted.items())
        ]

    def sent(self, kind: type) -> list[Any]:
        """Packets of `kind` that were sent, in order."""
        return [action.packet for _, action in self.seen if type(action) is SendPacket and type(action.packet) is kind]


class World:
    """Answers as a network with a server at its end. What it does can be changed at any time.

    opens: at once | refused | never (no answer at all) | no_route; names: known | failed.
    """

    def __init__(self) -> None:
        self.opens = "at once"
        self.names = "known"
        self.session_present = True
        self.connack_code = 0
        self.silent = False  # packets are lost in both directions

    def __call__(self, now: float, action: Any) -> list[tuple[float, Any]]:
        if type(action) is ResolveName:
            known = NameResolved(action.name, "52.78.123.45", action.transport)
            return [(0.0, known if self.names == "known" else NameFailed(action.name, "no_address", action.transport))]
        if type(action) is OpenTransport:
            return {
                "at once": [(0.0, TransportOpened(action.transport))],
                "refused": [(0.0, TransportLost(action.transport, "refused"))],
                "no_route": [(0.0, TransportLost(action.transport, "no_route"))],
                "never": [],
            }[self.opens]
        if type(action) is SendPacket and not self.silent:
            packet = action.packet
            if type(packet) is Connect:
                return [(0.0, PacketReceived(action.transport, ConnAck(self.session_present, self.connack_code, packet.version)))]
            if type(packet) is Subscribe:
                return [(0.0, PacketReceived(action.transport, SubAck(packet.packet_id, (1,))))]
        return []


def vehicle(config: MQTTPersistent | None = None, *, replication: int = 0, address: str | None = ADDRESS) -> tuple[ByHand, World]:
    """An MQTTVehicle that has an address, before its first attempt, and its world."""
    world = World()
    hand = ByHand(MQTTVehicle(config or MQTTPersistent(), context(replication=replication)), world)
    hand.put(AddressChanged(address), 0.0)
    return hand, world


def attempts(hand: ByHand) -> list[float]:
    """Instants at which connection attempts began."""
    return hand.instants(ResolveName, purpose="mqtt")


def message(number: int, size: int = 100, qos: int = 1) -> Message:
    return Message(number, "telemetry", "vehicle/VIN123/up/telemetry", size, qos, 0.0, uplink=True)
