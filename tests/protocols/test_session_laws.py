"""Laws of the MQTT session whatever a client does: nothing raises, windows and queues hold, no message vanishes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.machine import Message, WriteBlocked, WriteResumed
from sim.protocols.mqtt_packets import (
    Auth,
    ConnAck,
    Connect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Unsubscribe,
)
from sim.protocols.mqtt_session import TRANSITIONS, State
from tests.protocols.broker_at_hand import TOPIC, BrokerAtHand, Client

PRESETS = ["spec", "mosquitto", "rabbitmq", "aedes", "aedes_redis", "amqtt", "emqx", "hivemq", "aws_iot"]
QOS = st.integers(0, 2)
STEP = st.one_of(
    st.tuples(
        st.just("connect"),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, 0.0, 20.0]),
        st.integers(1, 4),
        st.sampled_from([0, 5]),
    ),
    st.tuples(st.just("publish"), QOS, st.sampled_from([None, 3.0])),
    st.tuples(st.just("publish"), QOS, st.none()),
    st.tuples(st.just("acknowledge"), st.integers(0, 9)),
    st.tuples(st.just("packet"), st.integers(0, 11), st.integers(60_001, 60_003)),
    st.tuples(st.just("lost"), st.none()),
    st.tuples(st.just("write"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.0001, 1.0, 6.0, 30.0])),
    st.tuples(st.just("early"), st.none()),
)


class Play:
    """A client that does what the steps say, and the books of what became of each message."""

    def __init__(self, preset: str, queue_limit: int, window: int) -> None:
        behaviour = BrokerAtHand(preset).behaviour
        self.broker = BrokerAtHand(
            preset,
            queue_limit=min(queue_limit, behaviour.queue_limit),
            inflight_limit=min(window, behaviour.inflight_limit),
            resume_batch=3 if preset == "aedes_redis" else 0,
        )
        self._done: dict[int, set[int]] = {}
        self.client: Client | None = None
        self.offered: list[str] = []
        self.completed: Counter[str] = Counter()
        self.receive_maximum = 65535

    @property
    def window(self) -> int:
        return min(self.broker.behaviour.inflight_limit, self.receive_maximum)

    def step(self, step: tuple) -> None:
        getattr(self, step[0])(*step[1:])
        self.check()

    def connect(self, clean: bool, v5: bool, expiry_s: float | None, receive_maximum: int, keep_alive_s: int) -> None:
        v5 = v5 and self.broker.behaviour.mqtt5
        self.receive_maximum = receive_maximum if v5 else 65535
        self.client = self.broker.connect(
            "vehicle",
            clean=clean,
            v5=v5,
            session_expiry_s=expiry_s if v5 else None,
            receive_maximum=receive_maximum if v5 else None,
            keep_alive_s=keep_alive_s,
            acknowledges=False,
        )
        self.client.subscribe(2)

    def publish(self, qos: int, expires_s: float | None) -> None:
        name = f"m{len(self.offered)}"
        self.offered.append(name)
        self.broker.publish(name, qos, expires_s=expires_s)

    def outstanding(self) -> list[int]:
        """Identifiers of this connection that await the client's acknowledgement, in the order in which they came."""
        if self.client is None or self.client.closed:
            return []
        waiting: dict[int, None] = {}
        for _, packet in self.client.received:
            if (type(packet) is Publish and packet.qos) or type(packet) is PubRel:
                waiting[packet.packet_id] = None
        return [packet_id for packet_id in waiting if packet_id not in self.done]

    @property
    def done(self) -> set[int]:
        """Identifiers that the client of the moment has acknowledged for good."""
        return self._done.setdefault(self.client.transport if self.client else -1, set())

    def acknowledge(self, number: int) -> None:
        waiting = self.outstanding()
        if not waiting or self.client is None:
            return
        packet_id = waiting[number % len(waiting)]
        (*_, last) = [
            p for _, p in self.client.received if getattr(p, "packet_id", None) == packet_id and type(p) in (Publish, PubRel)
        ]
        if type(last) is PubRel:
            self.done.add(packet_id)
            self.client.send(PubComp(packet_id))
        elif last.qos == 2:
            self.client.send(PubRec(packet_id))
        else:
            self.done.add(packet_id)
            self.client.send(PubAck(packet_id))

    def packet(self, which: int, packet_id: int) -> None:
        """Anything a client may send, and some things it may not; the identifiers are not in use."""
        if self.client is None or self.client.closed:
            return
        message = Message(5000, "telemetry", "vehicle/VIN123/up/telemetry", 10, 1, self.broker.now)
        self.broker.names[5000] = "uplink"
        self.client.send(
            [
                PubAck(packet_id),
                PubRec(packet_id),
                PubRel(packet_id),
                PubComp(packet_id),
                Subscribe(packet_id, (("a/#/b", 1), (TOPIC, 2))),
                Unsubscribe(packet_id, ("nothing",)),
                PingReq(),
                Publish(message, 1, packet_id),
                Publish(message, 2, packet_id),
                Connect("vehicle", False, 5),
                ConnAck(False),
                [Auth(), SubAck(packet_id, (0,))][packet_id % 2],
            ][which]
        )

    def lost(self, _none: None) -> None:
        if self.client is not None and not self.client.closed:
            self.client.lose_transport()
            self.client = None

    def write(self, blocked: bool) -> None:
        if self.client is not None and not self.client.closed:
            event = (WriteBlocked if blocked else WriteResumed)(self.client.transport)
            self.broker.perform(self.broker.machine.handle(self.broker.now, event))

    def wait(self, seconds: float) -> None:
        self.broker.advance(self.broker.now + seconds)

    def early(self, _none: None) -> None:
        """A wake-up that comes early does nothing and changes no deadline."""
        machine, now = self.broker.machine, self.broker.now
        if machine.next_deadline() > now:
            before = machine.next_deadline()
            assert machine.handle_deadline(now) == []
            assert machine.next_deadline() >= before

    def check(self) -> None:
        machine = self.broker.machine
        assert machine.next_deadline() > self.broker.now or self.client is None or self.client.connack is None
        held = Counter(self.broker.names[message.id] for message in machine.held())
        dropped = Counter(name for name, _cause in self.broker.drops)
        assert max(held.values(), default=0) <= 1
        received = {
            self.broker.names[p.message.id] for c in self.broker.clients.values() for _, p in c.received if type(p) is Publish
        }
        for name in self.offered:
            assert dropped[name] <= 1, f"{name} was dropped twice"
            assert not (held[name] and dropped[name]), f"{name} was dropped and is held"
            assert held[name] or dropped[name] or name in received, f"{name} vanished"
        session = machine.session("vehicle")
        if session is not None and self.client is not None and not self.client.closed and self.client.connack:
            sent = {p.packet_id for _, p in self.client.received if type(p) is Publish and p.qos}
            assert len(sent - self.done) <= self.window
            assert sum(held.values()) <= len(sent) + self.broker.behaviour.queue_limit + self.broker.behaviour.inflight_limit


@pytest.mark.parametrize("preset", PRESETS)
@given(steps=st.lists(STEP, max_size=40), queue_limit=st.sampled_from([0, 1, 3, 2**31]), window=st.sampled_from([1, 2, 2**31]))
@settings(max_examples=60, deadline=None)
def test_whatever_a_client_does_nothing_raises_and_no_message_vanishes(preset, steps, queue_limit, window):
    play = Play(preset, queue_limit, window)
    play.step(("connect", False, False, None, 4, 0))
    for step in steps:
        play.step(step)


def test_every_state_can_be_reached_and_left():
    reached = set().union(*TRANSITIONS.values())
    assert reached | {State.ABSENT} == set(State)
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_transition_that_is_not_in_the_table_is_refused(state):
    broker = BrokerAtHand("spec")
    broker.connect("vehicle")
    session = broker.machine.session("vehicle")
    assert session is not None
    for before in State:
        session.state = before
        if state in TRANSITIONS[before]:
            session._enter(state, 0.0, [])
            assert session.state is state
        else:
            with pytest.raises(RuntimeError, match="not in the table"):
                session._enter(state, 0.0, [])
