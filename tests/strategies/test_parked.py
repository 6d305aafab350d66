"""What vehicles do with the ignition off, by hand: connected, disconnected, asleep."""

import pytest

from sim.machine import (
    AddressChanged,
    CloseTransport,
    IgnitionChanged,
    MessageCreated,
    OpenTransport,
    PacketReceived,
    ResolveName,
)
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.mqtt_packets import Disconnect, PingReq, Publish
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTPersistent
from sim.strategies.hybrid import HybridVehicle, Mode
from sim.strategies.mqtt_vehicle import State
from sim.strategies.push_vehicle import PushVehicle
from sim.strategies.push_vehicle import State as PushState
from tests.strategies.by_hand import ADDRESS, ByHand, World, attempts, context, message, vehicle

OFF, ON = IgnitionChanged(False), IgnitionChanged(True)


def parked(when: str, **more):
    hand, world = vehicle(MQTTPersistent(when_parked=when, **more))
    hand.run_until(100.0)
    hand.put(OFF)
    return hand, world


def test_one_that_stays_connected_knows_no_ignition():
    hand, _ = parked("stay_connected", keep_alive_s=600.0)
    hand.run_until(1000.0)
    assert hand.machine.state is State.ONLINE
    assert len(hand.sent(PingReq)) == 1
    hand.put(ON)
    assert attempts(hand) == [0.0]


def test_one_that_disconnects_says_so_and_is_back_with_the_ignition():
    hand, world = parked("disconnect", keep_alive_s=0.0)
    assert hand.machine.state is State.PARKED
    assert len(hand.sent(Disconnect)) == 1
    assert hand.instants(CloseTransport, reason="disconnect", abort=False) == [100.0]
    hand.put(MessageCreated(message(1)))
    hand.put(AddressChanged("10.2.5.200"))
    hand.run_until(5000.0)
    assert attempts(hand) == [0.0]
    hand.put(ON)
    assert [action.trigger for _, action in hand.actions(ResolveName)] == ["start", "ignition"]
    assert hand.machine.state is State.ONLINE
    assert [packet.message.id for packet in hand.sent(Publish)] == [1]  # it waited in the outbox
    assert world.opens == "at once"


@pytest.mark.parametrize("opens", ["never", "refused"])
def test_parking_ends_an_attempt_or_a_wait(opens):
    hand, world = vehicle(MQTTPersistent(when_parked="disconnect"))
    world.opens = opens
    hand.run_until(4.0)
    hand.put(OFF)
    before = attempts(hand)
    hand.run_until(1000.0)
    assert (hand.machine.state, attempts(hand)) == (State.PARKED, before)
    assert not hand.sent(Disconnect)


def test_one_that_sleeps_wakes_up_by_its_clock_and_sleeps_again():
    hand, _ = parked("sleep", keep_alive_s=0.0, wake_every_s=3600.0, awake_s=60.0)
    hand.run_until(100.0 + 2 * 3600.0 + 30.0)
    assert attempts(hand)[1:] == [3700.0, 7300.0]
    assert hand.machine.state is State.ONLINE
    hand.put(PacketReceived(hand.machine.transport, Publish(message(5), 0, 0)))
    hand.run_until(7389.0)
    assert hand.machine.state is State.ONLINE  # 60 s from the message, not from the awakening
    hand.run_until(7391.0)
    assert hand.machine.state is State.PARKED
    hand.put(ON)
    hand.run_until(20_000.0)
    assert (hand.machine.state, len(attempts(hand))) == (State.ONLINE, 4)


def test_a_wake_up_without_coverage_ends_after_its_time():
    hand, world = parked("sleep", keep_alive_s=0.0, wake_every_s=3600.0, awake_s=60.0)
    world.opens = "never"
    hand.run_until(3700.0 + 61.0)
    assert hand.machine.state is State.PARKED
    assert len(attempts(hand)) > 3
    assert all(3700.0 <= at <= 3760.0 for at in attempts(hand)[1:])


def test_the_hybrid_neither_polls_nor_connects_and_begins_with_mqtt():
    world = World()
    hand = ByHand(HybridVehicle(Hybrid(when_parked="disconnect", poll_s=10.0), context()), world)
    hand.put(AddressChanged(ADDRESS), 0.0)
    world.opens = "refused"
    hand.run_until(50.0)
    assert hand.machine.mode is Mode.HTTPS_FALLBACK
    hand.put(OFF)
    asked = len(hand.actions(ResolveName))
    hand.run_until(5000.0)
    assert len(hand.actions(ResolveName)) == asked
    assert hand.machine.mode is Mode.MQTT_PRIMARY
    hand.put(ON)
    again = [(action.purpose, action.trigger) for _, action in hand.actions(ResolveName)[asked:]]
    assert again == [("mqtt", "ignition"), ("poll", "due")]  # refused at once, and the fallback begins anew
    assert hand.machine.mode is Mode.HTTPS_FALLBACK


class Registry(World):
    """Accepts heartbeats."""

    def __call__(self, now, action):
        found = super().__call__(now, action)
        packet = getattr(action, "packet", None)
        if isinstance(packet, HTTPRequest):
            found = [(0.0, PacketReceived(action.transport, HTTPResponse(204, purpose="heartbeat")))]
        return found


def test_strategy_2_takes_its_address_back_and_falls_silent():
    hand = ByHand(PushVehicle(DDNSHeartbeat(when_parked="disconnect"), context()), Registry())
    hand.put(AddressChanged(ADDRESS), 0.0)
    hand.run_until(100.0)
    hand.put(OFF)
    told = [request.body for request in hand.sent(HTTPRequest)]
    assert told[-2:] == [{"ip": ADDRESS, "status": "online"}, {"ip": "", "status": "parked"}]
    hand.run_until(5000.0)
    assert (hand.machine.state, len(hand.sent(HTTPRequest))) == (PushState.PARKED, len(told))
    hand.put(ON)
    assert hand.machine.state is PushState.REGISTERED
    assert hand.sent(HTTPRequest)[-1].body == {"ip": ADDRESS, "status": "online"}
    hand.run_until(5100.0)
    assert len(hand.actions(OpenTransport, purpose="heartbeat", trigger="due")) == 4 + 3


def test_strategy_2_asleep_is_registered_while_it_is_awake():
    hand = ByHand(PushVehicle(DDNSHeartbeat(when_parked="sleep", wake_every_s=1000.0, awake_s=50.0), context()), Registry())
    hand.put(AddressChanged(ADDRESS), 0.0)
    hand.run_until(90.0)
    hand.put(OFF)
    hand.run_until(1089.0)
    assert hand.machine.state is PushState.PARKED
    hand.run_until(1091.0)
    assert hand.machine.state is PushState.REGISTERED
    hand.run_until(1141.0)
    assert hand.machine.state is PushState.PARKED
    assert hand.sent(HTTPRequest)[-1].body == {"ip": "", "status": "parked"}
