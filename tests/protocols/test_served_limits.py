"""What a broker bounds that serves anybody: sessions, subscriptions, retained messages, stored bytes, its heap of deadlines."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.machine import CloseTransport, Message, PacketReceived, SendPacket, TransportAccepted, TransportLost
from sim.protocols.broker_limits import BrokerLimits
from sim.protocols.broker_presets import PRESETS
from sim.protocols.mqtt_broker import MQTTBroker
from sim.protocols.mqtt_packets import (
    V5,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    Will,
)
from sim.protocols.mqtt_subscriptions import ParsedFilter, filter_matches
from sim.protocols.retained import RetainedMessages

AT_ONCE = dataclasses.replace(PRESETS["spec"][0], connack_delay_s=0.0)


class Hand:
    """The machine with a clock that stands still unless it is moved."""

    def __init__(self, **limits) -> None:
        self.machine = MQTTBroker(AT_ONCE, limits=BrokerLimits(**limits))
        self.now = 0.0
        self.transports = 0

    def tell(self, event) -> list:
        out = self.machine.handle(self.now, event)
        while self.machine.next_deadline() <= self.now:
            out += self.machine.handle_deadline(self.now)
        return out

    def connect(self, client_id: str, **more) -> int:
        self.transports += 1
        self.tell(TransportAccepted(self.transports, 1883))
        self.tell(PacketReceived(self.transports, Connect(client_id, True, 60, V5, **more)))
        return self.transports

    def say(self, transport: int, packet) -> list:
        return [action.packet for action in self.tell(PacketReceived(transport, packet)) if isinstance(action, SendPacket)]


def message(topic: str, size: int, qos: int = 1) -> Message:
    return Message(0, "other", topic, size, qos, 0.0, body=bytes(size))


def test_a_transport_without_connect_is_closed_at_its_deadline():
    hand = Hand(connect_timeout_s=10.0)
    hand.tell(TransportAccepted(1, 1883))
    assert hand.machine.next_deadline() == 10.0
    hand.connect("in time")
    hand.now = 10.0
    assert hand.machine.handle_deadline(10.0) == [CloseTransport(1, reason="connect_timeout")]
    assert hand.machine.next_deadline() == 90.0  # the keep alive of the other; its own wait is over
    assert hand.tell(PacketReceived(1, Connect("late", True, 60))) == []


def test_the_heap_of_deadlines_does_not_grow_with_the_connections_there_were():
    hand = Hand(connect_timeout_s=10.0)
    for n in range(5000):
        transport = hand.connect(f"c{n}", session_expiry_s=1000.0)
        hand.say(transport, Disconnect(0, {"session_expiry_interval": 0}))
    assert hand.machine.session("c4999") is None
    assert len(hand.machine.heap) < 1100
    hand.now = 1e6
    hand.machine.handle_deadline(hand.now)
    assert hand.machine.next_deadline() == math.inf


@given(st.lists(st.tuples(st.sampled_from(["publish", "away", "back", "ack", "ping"]), st.integers(0, 2)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_deadlines_are_kept_whatever_is_compacted(steps):
    """No session's deadline may be missed: the heap may be early, never late."""
    hand = Hand(connect_timeout_s=10.0)
    transports = [hand.connect(f"c{i}", session_expiry_s=30.0) for i in range(3)]
    for what, i in steps:
        hand.now += 1.0
        while hand.machine.next_deadline() <= hand.now:
            hand.machine.handle_deadline(hand.now)
        if what == "away":
            hand.tell(TransportLost(transports[i], "reset"))
        elif what == "back":
            transports[i] = hand.connect(f"c{i}", session_expiry_s=30.0)
        hand.machine._compact()
        for n in range(3):
            session = hand.machine.session(f"c{n}")
            if session is not None and session.deadlines.earliest < math.inf:
                assert hand.machine.next_deadline() <= session.deadlines.earliest


@given(st.lists(st.tuples(st.sampled_from(["publish", "ack", "away", "back", "clean"]), st.integers(1, 900)), max_size=80))
@settings(max_examples=100, deadline=None)
def test_stored_bytes_are_counted_to_the_end(steps):
    """What is queued and in flight is at most the limit, and the account is that of what is held."""
    hand = Hand(stored_bytes=5_000)
    publisher = hand.connect("publisher")
    sent: list[Publish] = []

    def come(clean: bool) -> int:
        hand.transports += 1
        hand.tell(TransportAccepted(hand.transports, 1883))
        out = hand.tell(PacketReceived(hand.transports, Connect("c", clean, 60, V5, session_expiry_s=100.0, receive_maximum=2)))
        sent[:] = [a.packet for a in out if isinstance(a, SendPacket) and isinstance(a.packet, Publish)]
        hand.say(hand.transports, Subscribe(1, (("t", 1),), V5))
        return hand.transports

    transport = come(True)
    for what, size in steps:
        if what == "publish":
            out = hand.tell(PacketReceived(publisher, Publish(message("t", size), 1, 1, version=V5)))
            sent += [a.packet for a in out if isinstance(a, SendPacket) and isinstance(a.packet, Publish)]
        elif what == "ack" and sent:
            sent += [p for p in hand.say(transport, PubAck(sent.pop(0).packet_id)) if isinstance(p, Publish)]
        elif what == "away":
            hand.tell(TransportLost(transport, "reset"))
            sent.clear()
        elif what in ("back", "clean"):
            transport = come(what == "clean")
        stored = hand.machine._stored
        assert stored is not None
        assert stored.held == sum(m.size_bytes + len(m.topic) + 200 for m in hand.machine.held())
        assert stored.held <= stored.limit


def test_whoever_leaves_a_backlog_behind_shuts_nobody_out():
    """The longest queue makes room; it keeps its oldest messages."""
    hand = Hand(stored_bytes=10_000)
    hoarder = hand.connect("hoarder", session_expiry_s=1000.0)
    hand.say(hoarder, Subscribe(1, (("#", 1),), V5))
    hand.tell(TransportLost(hoarder, "reset"))
    publisher = hand.connect("publisher")
    for n in range(50):
        hand.say(publisher, Publish(message(f"n/{n}", 800), 1, 1, version=V5))
    client = hand.connect("client")
    hand.say(client, Subscribe(1, (("mine", 1),), V5))
    for _ in range(5):
        said = hand.say(publisher, Publish(message("mine", 3_000), 1, 1, version=V5))
        (came,) = [packet for packet in said if isinstance(packet, Publish)]
        assert [packet for packet in hand.say(client, PubAck(came.packet_id)) if isinstance(packet, Publish)] == []
    kept = [one.topic for one in hand.machine.session("hoarder").held()]
    assert kept == [f"n/{n}" for n in range(len(kept))]
    assert 3 <= len(kept) <= 7, "what another needs is lost, and no more"
    assert hand.machine._stored.held == sum(m.size_bytes + len(m.topic) + 200 for m in hand.machine.held())


def test_what_others_have_in_flight_shuts_nobody_out_either():
    hand = Hand(stored_bytes=10_000, session_bytes=2_000)
    hoarder = hand.connect("hoarder", session_expiry_s=1000.0)
    hand.say(hoarder, Subscribe(1, (("n/#", 1),), V5))
    publisher = hand.connect("publisher")
    for n in range(50):
        hand.say(publisher, Publish(message(f"n/{n}", 800), 1, 1, version=V5))
    client = hand.connect("client")
    hand.say(client, Subscribe(1, (("mine", 1),), V5))
    for acknowledged in (True, True, True, False, False):
        said = hand.say(publisher, Publish(message("mine", 700), 1, 1, version=V5))
        (came,) = [packet for packet in said if isinstance(packet, Publish)]
        if acknowledged:
            hand.say(client, PubAck(came.packet_id))
    said = hand.say(publisher, Publish(message("mine", 700), 1, 1, version=V5))
    assert [packet for packet in said if isinstance(packet, Publish)] == [], "it holds two, and has no room for a third"
    held = [one for name in ("hoarder", "client") for one in hand.machine.session(name).held()]
    assert hand.machine._stored.held == sum(m.size_bytes + len(m.topic) + 200 for m in held) <= 10_000 + 2_000


def test_what_is_left_for_the_next_connection_counts_too():
    """A preset with `resume_batch`: the messages beyond it are bounded as the queue is."""
    hand = Hand(stored_bytes=10_000)
    batches = dataclasses.replace(AT_ONCE, resume_batch=2, queue_limit=6)
    hand.machine = MQTTBroker(batches, limits=BrokerLimits(stored_bytes=10_000))
    hand.tell(TransportAccepted(100, 1883))
    hand.tell(PacketReceived(100, Connect("publisher", True, 60, V5)))
    for round_ in range(4):
        hand.transports += 1
        hand.tell(TransportAccepted(hand.transports, 1883))
        hand.tell(PacketReceived(hand.transports, Connect("c", False, 60, V5, session_expiry_s=1000.0)))
        hand.say(hand.transports, Subscribe(1, (("t", 1),), V5))
        hand.tell(TransportLost(hand.transports, "reset"))
        for _ in range(5):
            hand.say(100, Publish(message("t", 100), 1, 1, version=V5))
        held = list(hand.machine.session("c").held())
        assert len(held) <= 6 + 2, round_  # the queue, and what is in flight
        assert hand.machine._stored.held == sum(m.size_bytes + len(m.topic) + 200 for m in held)


def test_retained_messages_are_bounded_by_number_and_bytes():
    retained = RetainedMessages(3, 2_000)
    assert [retained.put(message(name, 10), 0) for name in "abcd"] == [True, True, True, False]
    assert retained.put(message("a", 1500), 0) is False, "a has none now"
    assert retained.put(message("a", 100), 0)
    assert retained.put(message("b", 0), 0)
    assert [found.topic for found, _, _ in retained.matching(["#", "a"], 0.0)] == ["c", "a"]
    assert retained.matching(["a", "#"], 0.0)[0][2] == ["a", "#"]


def test_the_session_that_is_away_the_longest_makes_room():
    """4.1 of both versions: stored sessions may be discarded by policy; its will goes out, as at the end of any session."""
    hand = Hand(sessions=3)
    transports = {}
    for name in ("first", "second", "third"):
        hand.now += 1.0
        more = {"will": Will("wills", 1, 0, delay_s=500.0, payload=b"w")} if name == "second" else {}
        transports[name] = hand.connect(name, session_expiry_s=1000.0, **more)
    assert hand.say(transports["third"], Subscribe(1, (("wills", 0),), V5))
    for name in ("second", "first"):
        hand.now += 1.0
        hand.tell(PacketReceived(transports[name], PingReq()))
        hand.tell(TransportLost(transports[name], "reset"))
    hand.transports += 1
    hand.tell(TransportAccepted(hand.transports, 1883))
    out = hand.tell(PacketReceived(hand.transports, Connect("fourth", True, 60, V5)))
    assert hand.machine.session("second") is None
    assert hand.machine.session("first") is not None
    published = [action for action in out if isinstance(action, SendPacket) and isinstance(action.packet, Publish)]
    assert [(action.transport, action.packet.message.topic) for action in published] == [(transports["third"], "wills")]
    hand.now += 2000.0
    hand.machine.handle_deadline(hand.now)  # it has no end a second time
    assert hand.machine.session("first") is None


def test_where_every_session_is_connected_a_new_one_is_refused():
    hand = Hand(sessions=2)
    for name in ("first", "second"):
        hand.connect(name, session_expiry_s=1000.0)
    hand.tell(TransportAccepted(9, 1883))
    out = hand.tell(PacketReceived(9, Connect("third", True, 60, V5)))
    assert [action.packet.code for action in out if isinstance(action, SendPacket)] == [0x97]


@pytest.mark.parametrize("name", ["no/such", "$share/g/no/such"])
def test_refused_filters(name):
    hand = Hand(refused_filters=("no/such",))
    transport = hand.connect("c")
    (answer,) = hand.say(transport, Subscribe(1, ((name, 2), ("yes", 2)), V5))
    assert answer == SubAck(1, (0x80, 2), V5)


def test_wills_and_sessions_end_together_at_shut_down():
    hand = Hand()
    transport = hand.connect("c")
    out = hand.machine.shut_down(0.0)
    assert [action.packet for action in out if isinstance(action, SendPacket)] == [Disconnect(0x8B)]
    assert [action.transport for action in out if isinstance(action, CloseTransport)] == [transport]


def test_a_shared_group_goes_on_with_the_next_member_when_subscriptions_change():
    """MQTT 5 4.8.2: the turn is the broker's, not the routing table's."""
    hand = Hand()
    members = [hand.connect(f"m{i}") for i in range(3)]
    publisher = hand.connect("publisher")
    for member in members:
        hand.say(member, Subscribe(1, (("$share/g/t", 2),), V5))
    chosen = []
    for n in range(6):
        out = hand.tell(PacketReceived(publisher, Publish(message("t", 1, 2), 2, n + 1, version=V5)))
        chosen += [a.transport for a in out if isinstance(a, SendPacket) and isinstance(a.packet, Publish)]
        assert any(isinstance(a, SendPacket) and isinstance(a.packet, PubRec) for a in out)
        hand.say(publisher, Subscribe(2, ((f"other/{n}", 0),), V5))
        hand.say(chosen[-1], PubComp(1))
    assert chosen == members * 2


_LEVELS = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4).map("/".join)
_WILD = st.lists(st.sampled_from(["a", "b", "", "$x", "+"]), max_size=4).flatmap(
    lambda levels: st.sampled_from(["/".join([*levels, "#"]), "/".join(levels or ["+"])])
)


@given(_WILD, _LEVELS)
@settings(max_examples=500, deadline=None)
def test_a_parsed_filter_matches_what_the_filter_matches(name, topic):
    assert ParsedFilter(name).matches(topic.split("/")) == filter_matches(name, topic)
