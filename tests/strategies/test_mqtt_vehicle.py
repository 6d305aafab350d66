"""The vehicle's MQTT machine by hand: address watch, attempts, resending. docs/sources.md, Seed B to F."""

import pytest

from sim.machine import (
    AddressChanged,
    CloseTransport,
    Deliver,
    Drop,
    MessageCreated,
    OpenTransport,
    PacketReceived,
    SendPacket,
    TransportLost,
)
from sim.protocols.mqtt_packets import (
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
)
from sim.strategies.config import MQTTCleanSession, MQTTPersistent, Outbox
from sim.strategies.mqtt_vehicle import State
from tests.strategies.by_hand import ADDRESS, attempts, message, vehicle

OTHER = "10.2.5.200"


@pytest.mark.parametrize("changed_s", [0.1, 3.0, 9.9, 10.1, 19.9])
def test_the_seeds_poll_notices_a_new_address_within_ten_seconds(changed_s):
    """Seed D: sleep 10 s, detectIPChange(), then reconnect at once."""
    hand, _ = vehicle(MQTTPersistent(keep_alive_s=0.0))
    hand.run_until(changed_s)
    hand.put(AddressChanged(OTHER))
    hand.run_until(60.0)
    first, second = attempts(hand)
    assert hand.instants(CloseTransport, reason="address") == [second]
    assert second == 10.0 * (1 + changed_s // 10.0)
    assert second - changed_s <= 10.0
    assert first == 0.0


def test_the_poll_looks_only_while_connected_and_begins_with_each_connection():
    """Seed D: the loop sleeps 10 s in its connected branch alone, and looks at the address before each attempt."""
    hand, world = vehicle(MQTTPersistent(keep_alive_s=0.0))
    world.opens = "refused"
    hand.run_until(5.0)
    hand.put(AddressChanged(OTHER))
    world.opens = "at once"
    hand.run_until(100.0)
    assert attempts(hand) == [0.0, 1.0, 3.0, 7.0]
    assert hand.machine.state is State.ONLINE
    hand.put(AddressChanged(ADDRESS))
    hand.run_until(200.0)
    assert attempts(hand)[4:] == [107.0]


def test_a_link_event_is_noticed_at_once():
    hand, _ = vehicle(MQTTPersistent(keep_alive_s=0.0, address_watch="link_event"))
    hand.run_until(3.3)
    hand.put(AddressChanged(OTHER))
    assert attempts(hand) == [0.0, 3.3]


@pytest.mark.parametrize(("opens", "state"), [("refused", State.BACKING_OFF), ("never", State.OPENING)])
def test_a_link_event_ends_a_wait_or_an_attempt_bound_to_the_old_address(opens, state):
    hand, world = vehicle(MQTTPersistent(keep_alive_s=0.0, address_watch="link_event"))
    world.opens = opens
    hand.run_until(25.5)
    made = len(attempts(hand))
    assert hand.machine.state is state
    hand.put(AddressChanged(OTHER))
    assert len(attempts(hand)) == made + 1
    assert attempts(hand)[-1] == 25.5


@pytest.mark.parametrize("watch", ["poll", "link_event"])
def test_no_address_is_not_a_change(watch):
    """Seed D compares texts; an interface that is down has none to compare."""
    hand, _ = vehicle(MQTTPersistent(keep_alive_s=0.0, address_watch=watch))
    hand.run_until(4.0)
    hand.put(AddressChanged(None))
    hand.run_until(60.0)
    assert attempts(hand) == [0.0]
    hand.put(AddressChanged(ADDRESS))
    hand.run_until(120.0)
    assert attempts(hand) == [0.0], "the same address again is no change either"
    hand.put(AddressChanged(None))
    hand.put(AddressChanged(OTHER))
    hand.run_until(130.0)
    assert len(attempts(hand)) == 2


def test_an_attempt_without_an_address_fails_at_once_and_is_followed_by_the_backoff():
    hand, world = vehicle(address=None)
    world.names = "failed"
    hand.run_until(40.0)
    assert attempts(hand) == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]
    assert hand.instants(OpenTransport) == []


def test_the_vehicle_disconnects_cleanly_from_an_address_that_is_gone():
    """Seed D, onConnectionLost(): MQTTClient_disconnect."""
    hand, _ = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    hand.put(AddressChanged(OTHER))
    assert len(hand.sent(Disconnect)) == 1
    ((_, close),) = hand.actions(CloseTransport)
    assert (close.reason, close.abort) == ("address", False)


def test_an_attempt_has_ten_seconds_from_its_start_to_the_connack():
    """Seed D: connectTimeout = 10."""
    hand, world = vehicle()
    world.silent = True
    hand.run_until(11.5)
    assert hand.instants(CloseTransport, reason="connect_timeout", abort=True) == [10.0]
    assert attempts(hand) == [0.0, 11.0]


def test_the_connect_packet_says_what_the_seed_says():
    """Seed D: cleansession = 0, keepAliveInterval = 30; A: client id vehicle-{VIN}."""
    hand, _ = vehicle()
    hand.run_until(1.0)
    (connect,) = hand.sent(Connect)
    assert (connect.client_id, connect.clean_start, connect.keep_alive_s) == ("vehicle-VIN123", False, 30)
    hand, _ = vehicle(MQTTCleanSession())
    hand.run_until(1.0)
    assert hand.sent(Connect)[0].clean_start


@pytest.mark.parametrize(
    ("config", "present", "subscribes"),
    [
        (MQTTPersistent(), True, 0),
        (MQTTPersistent(), False, 1),
        (MQTTPersistent(resubscribe="always"), True, 1),
        (MQTTCleanSession(), False, 1),
    ],
)
def test_the_vehicle_subscribes_where_its_session_is_not_present(config, present, subscribes):
    """Seed E: the server keeps subscriptions. MQTT 3.1.1 3.2.2.2: session present 0 means there are none."""
    hand, world = vehicle(config)
    world.session_present = present
    hand.run_until(1.0)
    assert len(hand.sent(Subscribe)) == subscribes
    assert hand.machine.state is State.ONLINE


def test_a_refused_connack_counts_as_a_failed_attempt():
    """Failure modes F17: a client without backoff after a refused CONNACK (mosquitto 1027) is what this one is not."""
    hand, world = vehicle()
    world.connack_code = 5
    hand.run_until(4.0)
    assert attempts(hand) == [0.0, 1.0, 3.0]
    assert {action.reason for _, action in hand.actions(CloseTransport)} == {"refused"}


def test_inputs_of_an_abandoned_transport_are_ignored():
    hand, _ = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    old = hand.machine.transport
    hand.put(AddressChanged(OTHER))
    hand.put(TransportLost(old, "reset"))
    hand.put(PacketReceived(old, Publish(message(1), 1, 1)))
    assert hand.machine.state is State.ONLINE
    assert hand.sent(PubAck) == []
    assert len(attempts(hand)) == 2


def test_uplink_that_was_not_acknowledged_is_sent_again_with_dup_and_its_identifier():
    """MQTT 3.1.1 4.4; docs/sources.md, Brokers 7."""
    hand, _ = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    for number in (1, 2, 3):
        hand.put(MessageCreated(message(number)))
    hand.put(PacketReceived(hand.machine.transport, PubAck(2)))
    hand.put(AddressChanged(OTHER))
    again = hand.sent(Publish)[3:]
    assert [(packet.packet_id, packet.dup) for packet in again] == [(1, True), (3, True)]


def test_uplink_in_a_session_that_is_gone_is_sent_again_without_dup():
    """MQTT 3.1.1 3.3.1.1: DUP marks a re-delivery of what was sent before in the session; another session knows of none."""
    hand, world = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    hand.put(MessageCreated(message(1)))
    world.session_present = False
    hand.put(AddressChanged(OTHER))
    assert [packet.dup for packet in hand.sent(Publish)] == [False, False]


def test_a_qos_2_uplink_that_was_received_is_released_after_the_reconnection():
    """MQTT 3.1.1 4.3.3, 4.4."""
    hand, _ = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    hand.put(MessageCreated(message(1, qos=2)))
    hand.put(PacketReceived(hand.machine.transport, PubRec(1)))
    hand.put(AddressChanged(OTHER))
    assert len(hand.sent(Publish)) == 1
    assert [packet.packet_id for packet in hand.sent(PubRel)] == [1, 1]
    hand.put(PacketReceived(hand.machine.transport, PubComp(1)))
    assert list(hand.machine.held()) == []


def test_a_qos_2_uplink_in_a_session_that_is_gone_is_not_published_a_second_time():
    """Failure modes F12: QoS 2 twice with a new session. What PUBREC was received for is at the server."""
    hand, world = vehicle(MQTTPersistent(address_watch="link_event"))
    hand.run_until(1.0)
    hand.put(MessageCreated(message(1, qos=2)))
    hand.put(PacketReceived(hand.machine.transport, PubRec(1)))
    world.session_present = False
    hand.put(AddressChanged(OTHER))
    assert len(hand.sent(Publish)) == 1


def test_a_qos_2_message_repeated_by_the_broker_is_handed_over_once():
    """MQTT 3.1.1 4.3.3: the receiver keeps the packet identifier until PUBREL."""
    hand, _ = vehicle()
    hand.run_until(1.0)
    packet = Publish(message(7), 2, 4)
    for _ in range(2):
        hand.put(PacketReceived(hand.machine.transport, packet))
    assert len(hand.sent(PubRec)) == 2
    assert len(hand.instants(Deliver)) == 1
    hand.put(PacketReceived(hand.machine.transport, PubRel(4)))
    assert [packet.packet_id for packet in hand.sent(PubComp)] == [4]


def test_a_qos_1_message_repeated_by_the_broker_is_handed_over_twice():
    """MQTT 3.1.1 4.3.2: at least once; the application tells by its own id (docs/sources.md, Brokers, fact 4)."""
    hand, _ = vehicle()
    hand.run_until(1.0)
    for _ in range(2):
        hand.put(PacketReceived(hand.machine.transport, Publish(message(7), 1, 4)))
    assert len(hand.instants(Deliver)) == 2
    assert len(hand.sent(PubAck)) == 2


def test_no_more_than_twenty_uplink_messages_are_unacknowledged():
    """docs/sources.md, Failure modes 5: paho-python's max_inflight_messages."""
    hand, _ = vehicle()
    hand.run_until(1.0)
    for number in range(50):
        hand.put(MessageCreated(message(number)))
    assert len(hand.sent(Publish)) == 20
    hand.put(PacketReceived(hand.machine.transport, PubAck(1)))
    assert len(hand.sent(Publish)) == 21


@pytest.mark.parametrize(("drop", "kept"), [("oldest", [3, 4, 5]), ("newest", [1, 2, 3])])
def test_a_full_outbox_drops_as_it_is_told_to(drop, kept):
    hand, world = vehicle(MQTTPersistent(outbox=Outbox(limit=3, drop=drop)))
    world.opens = "refused"
    hand.run_until(0.5)
    for number in (1, 2, 3, 4, 5):
        hand.put(MessageCreated(message(number)))
    assert [held.id for held in hand.machine.held()] == kept
    dropped = [action for _, action in hand.actions(Drop)]
    assert [action.cause for action in dropped] == ["outbox_full"] * 2
    assert sorted([action.message.id for action in dropped] + kept) == [1, 2, 3, 4, 5]


def test_nothing_is_sent_before_the_vehicle_is_connected_and_everything_after():
    hand, world = vehicle()
    world.opens = "refused"
    hand.run_until(0.5)
    hand.put(MessageCreated(message(1)))
    assert hand.sent(Publish) == []
    world.opens = "at once"
    hand.run_until(2.0)
    assert len(hand.sent(Publish)) == 1


def test_the_vehicle_gives_up_a_connection_after_two_keep_alives_without_an_answer():
    """docs/sources.md, Brokers 7; it sends one PINGREQ in between."""
    hand, world = vehicle(MQTTPersistent(keep_alive_s=10.0, address_watch="off"))
    hand.run_until(1.0)
    world.silent = True
    hand.run_until(25.0)
    assert hand.instants(CloseTransport, reason="keep_alive") == [20.0]
    assert [at for at, action in hand.actions(SendPacket) if type(action.packet) is PingReq] == [10.0]
