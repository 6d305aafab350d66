"""Laws of the model's driver (its docstring numbers them), seen by machines that watch how they are called."""

from dataclasses import replace
from typing import Any

import pytest

from sim.drive.config import Network
from sim.drive.timeline import LinkState
from sim.machine import (
    NEVER,
    AddressChanged,
    CloseTransport,
    Message,
    MessageCreated,
    NameResolved,
    OpenTransport,
    PacketReceived,
    TransportAccepted,
    TransportLost,
    TransportOpened,
)
from sim.model.simulate import Setting, simulate
from sim.protocols.broker_presets import Broker
from sim.strategies.backend import MQTTBackend
from sim.strategies.config import MQTTPersistent
from sim.strategies.context import Context
from sim.strategies.mqtt_vehicle import MQTTVehicle
from sim.strategies.workload import OTA, Probes, Telemetry, Workload
from tests.model.runs import PLAIN, Row, drive, reassigned

LIVELY = Workload(
    ota=OTA(chunk_bytes=3000, image_bytes=90_000, every_s=2.0), telemetry=Telemetry(every_s=1.0), probes=Probes(mean_gap_s=2.0)
)


class Watched:
    """Passes calls on to a machine and checks how they come."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.inside = False
        self.now = -NEVER
        self.calls: list[tuple[float, Any]] = []
        self.opened: set[int] = set()
        self.closed: set[int] = set()

    def _call(self, now: float, event: Any, call: Any) -> list[Any]:
        assert not self.inside, "law 1: never re-entered"
        assert now >= self.now, "law 3: now never goes back"
        self.inside, self.now = True, now
        self.calls.append((now, event))
        actions = call()
        self.inside = False
        for action in actions:
            if isinstance(action, OpenTransport):
                self.opened.add(action.transport)
            elif isinstance(action, CloseTransport):
                self.closed.add(action.transport)
        return actions

    def handle(self, now: float, event: Any) -> list[Any]:
        transport = getattr(event, "transport", None)
        assert transport not in self.closed, "law 4: inputs of an abandoned transport are ignored"
        if isinstance(event, TransportAccepted):
            assert transport not in self.opened, "law 4: ids of accepted transports differ from those the machine chose"
        elif isinstance(event, TransportOpened):
            assert transport in self.opened
        elif isinstance(event, TransportLost):
            self.closed.add(event.transport)
        return self._call(now, event, lambda: self.machine.handle(now, event))

    def next_deadline(self) -> float:
        return self.machine.next_deadline()

    def handle_deadline(self, now: float) -> list[Any]:
        assert now == max(self.machine.next_deadline(), self.now), "law 3: at the deadline, not before and not after"
        return self._call(now, None, lambda: self.machine.handle_deadline(now))

    def held(self) -> Any:
        return self.machine.held()


class WatchedBackend(Watched):
    @property
    def deadlines(self) -> Any:
        return self.machine.deadlines

    def join(self, broker: Any) -> None:
        self.machine.join(broker)


class Strategy:
    """A strategy as a user would write one: strategy 1 whose machines are watched."""

    Config = MQTTPersistent
    seen: list[Watched]

    @staticmethod
    def vehicle(config: MQTTPersistent, context: Context) -> Watched:
        Strategy.seen = [Watched(MQTTVehicle(config, context))]
        return Strategy.seen[0]

    @staticmethod
    def server(config: MQTTPersistent, context: Context) -> WatchedBackend:
        Strategy.seen.append(WatchedBackend(MQTTBackend(context)))
        return Strategy.seen[1]


def watch(timeline, *, fold: bool, config: MQTTPersistent | None = None, phases_fixed: bool = False) -> list[Watched]:
    server = replace(PLAIN, broker=Broker(preset="spec", connack_delay_s=0.0))
    setting = Setting(server, Network(access="public"), LIVELY, 262_144, 10.0, 3, phases_fixed=phases_fixed)
    simulate(setting, timeline, "watched", config or MQTTPersistent(keep_alive_s=5.0), user=Strategy, fold=fold)
    return Strategy.seen


BUMPY = drive(
    Row(0.0, rtt_s=0.08),
    Row(10.0, 0, LinkState.HELD, rtt_s=0.08),
    Row(10.5, rtt_s=0.2, up_bps=64e3, down_bps=64e3),
    Row(20.0, 0, LinkState.LOST, rtt_s=0.2),
    Row(26.0, rtt_s=0.08),
    Row(40.0, -1, rtt_s=0.08),
    Row(42.0, 1, rtt_s=0.08),
    Row(70.0, 0, rtt_s=0.08),
    end_s=90.0,
)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("watch_address", ["poll", "link_event", "off"])
def test_the_driver_keeps_its_laws_over_a_bumpy_drive(fold, watch_address):
    """Laws 1, 3 and 4: see the assertions of Watched."""
    vehicle, server = watch(BUMPY, fold=fold, config=MQTTPersistent(keep_alive_s=5.0, address_watch=watch_address))
    assert len(vehicle.calls) > 300
    assert len(server.calls) > 50
    assert len(vehicle.opened) >= 3


@pytest.mark.parametrize("fold", [True, False])
def test_both_orders_of_handling_call_the_machines_with_the_same_inputs_at_the_same_times(fold):
    """Law of run-ahead: machines cannot tell whether they were folded."""

    def shape(watched: Watched) -> list[tuple[float, str]]:
        return [(now, type(event).__name__) for now, event in watched.calls]

    reference = [shape(watched) for watched in watch(BUMPY, fold=True)]
    assert [shape(watched) for watched in watch(BUMPY, fold=fold)] == reference


@pytest.mark.parametrize("fold", [True, False])
def test_things_of_the_same_instant_come_in_the_written_order(fold):
    """Law 6: changes of the link, then inputs, then creations, then deadlines. All phases fixed: many things are at 10 s."""
    timeline = drive(Row(0.0, rtt_s=0.0), Row(10.0, 1, rtt_s=0.0), end_s=30.0)
    vehicle, _ = watch(timeline, fold=fold, config=MQTTPersistent(keep_alive_s=0.0), phases_fixed=True)
    at_ten = [type(event).__name__ for now, event in vehicle.calls if now == 10.0]
    assert at_ten[0] == "AddressChanged"
    assert at_ten.index("MessageCreated") < at_ten.index("NoneType"), "the address poll is a deadline"


def test_the_machines_start_with_an_address_before_their_first_deadline():
    vehicle, _ = watch(BUMPY, fold=True)
    assert isinstance(vehicle.calls[0][1], AddressChanged)
    assert vehicle.calls[1][1] is None
    assert [type(event) for _, event in vehicle.calls[2:4]] == [NameResolved, TransportOpened]


def test_creations_come_at_their_own_times_and_stop_at_the_end_of_the_drive():
    vehicle, server = watch(reassigned(15.0, 60.0, rtt_s=0.08), fold=True)
    for watched in (vehicle, server):
        created = [(now, event.message) for now, event in watched.calls if isinstance(event, MessageCreated)]
        assert all(now == message.created_s for now, message in created)
        assert created[-1][0] < 60.0
        assert all(isinstance(message, Message) for _, message in created)


def test_a_machine_hears_nothing_after_the_horizon():
    vehicle, server = watch(BUMPY, fold=True)
    assert max(now for now, _ in vehicle.calls + server.calls) <= 90.0 + 10.0
    assert any(isinstance(event, PacketReceived) for _, event in vehicle.calls)
