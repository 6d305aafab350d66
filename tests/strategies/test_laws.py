"""Laws of the strategies' machines, whatever world they meet: nothing raises, deadlines and limits hold, no message vanishes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.machine import (
    NEVER,
    AddressChanged,
    Create,
    Deliver,
    Drop,
    Message,
    MessageCreated,
    NameFailed,
    NameResolved,
    OpenTransport,
    PacketReceived,
    ResolveName,
    SendPacket,
    TransportAccepted,
    TransportLost,
    TransportOpened,
    WriteBlocked,
    WriteResumed,
)
from sim.protocols.http import TRANSITIONS as HTTP_TRANSITIONS
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.http import State as HTTPState
from sim.protocols.mqtt_packets import (
    ConnAck,
    Disconnect,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
)
from sim.protocols.pending import PendingMessages
from sim.strategies import hybrid, mqtt_vehicle, push_backend, push_vehicle
from sim.strategies.backoff import Backoff
from sim.strategies.build import build_machines
from sim.strategies.config import (
    DDNSHeartbeat,
    Hybrid,
    MQTTCleanSession,
    MQTTPersistent,
    Push,
    StaticPush,
)
from sim.strategies.config import Outbox as OutboxSettings
from sim.strategies.context import VEHICLE_PORT
from sim.strategies.outbox import Outbox
from sim.strategies.workload import OTA, Diagnostics, Workload
from tests.strategies.by_hand import ADDRESS, context, message

LIMIT = 3
OUTBOX = OutboxSettings(limit=LIMIT)
CONFIGS = {
    "mqtt_persistent": MQTTPersistent(outbox=OUTBOX),
    "link_event, MQTT 5": MQTTPersistent(
        version="5", address_watch="link_event", outbox=OUTBOX, ping_timeout_s=5.0, resubscribe="always"
    ),
    "paho": MQTTPersistent(address_watch="off", backoff=Backoff(policy="paho"), ping_rule="idle", outbox=OUTBOX),
    "no wait": MQTTPersistent(backoff=Backoff(policy="none"), outbox=OUTBOX),
    "mqtt_clean_session": MQTTCleanSession(outbox=OUTBOX),
    "hybrid": Hybrid(outbox=OUTBOX, store_limit=LIMIT),
    "hybrid, as the seed's code": Hybrid(
        outbox=OUTBOX, retry="with_poll", poll_s=10.0, ack="none", uplink="post", http="keep_alive"
    ),
    "ddns_heartbeat": DDNSHeartbeat(outbox=OUTBOX, push=Push(store_limit=LIMIT, batch=2)),
    "ddns_heartbeat, dns": DDNSHeartbeat(
        locate="dns", address_watch="poll", heartbeat_timeout_s=None, http="keep_alive", outbox=OUTBOX
    ),
    "static_push": StaticPush(outbox=OUTBOX, push=Push(store_limit=LIMIT)),
}
WORKLOADS = [
    Workload(ota=OTA(chunk_bytes=100, image_bytes=400, window=2, give_up_s=20.0), diagnostics=Diagnostics()),
    Workload(ota=None, diagnostics=Diagnostics(timeout_s=5.0), telemetry=None, probes=None),
]

_ID = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("answer"), st.integers(0, 3)),
    st.tuples(st.just("answer"), st.just(0)),
    st.tuples(
        st.just("lost"),
        st.integers(0, 3),
        st.sampled_from(["closed", "reset", "timed_out", "refused", "no_address", "wrong_peer"]),
    ),
    st.tuples(st.just("opened_again"), st.integers(0, 3)),
    st.tuples(st.just("packet"), st.integers(0, 3), st.integers(0, 13), st.integers(1, 4)),
    st.tuples(st.just("address"), st.sampled_from([None, ADDRESS, "10.2.5.200"])),
    st.tuples(st.just("created"), st.integers(0, 2)),
    st.tuples(st.just("write"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("accepted"), st.sampled_from([VEHICLE_PORT, 443, 1])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 1.0, 10.0, 45.0])),
)


class World:
    """Plays a world that answers or does not, in any order, to one machine."""

    def __init__(self, machine, uplink: bool) -> None:
        self.machine = machine
        self.uplink = uplink
        self.now = 0.0
        self.transports: list[int] = [7777]
        self.unanswered: list = []
        self.created: list[int] = []
        self.dropped: Counter[int] = Counter()
        self.sent: set[int] = set()
        self.delivered: set[int] = set()

    def put(self, event) -> None:
        self.perform(self.machine.handle(self.now, event))

    def perform(self, actions: list) -> None:
        assert isinstance(actions, list)
        for action in actions:
            kind = type(action)
            if kind in (OpenTransport, ResolveName):
                self.unanswered.append(action)
            if kind is OpenTransport:
                assert action.transport not in self.transports, "transport ids are not used again"
                self.transports.append(action.transport)
            elif kind is Drop:
                self.dropped[action.message.id] += 1
            elif kind is Create:
                self.created.append(action.message.id)
            elif kind is Deliver:
                self.delivered.add(action.message.id)
            elif kind is SendPacket:
                self.unanswered.append(action)
                packet = action.packet
                carried = packet.messages if isinstance(packet, HTTPRequest | HTTPResponse) else [packet.carried]
                self.sent |= {m.id for m in carried if m is not None}

    def transport(self, number: int) -> int:
        return self.transports[-1 - number % len(self.transports)]

    def answer(self, number: int) -> None:
        if not self.unanswered:
            return
        action = self.unanswered.pop(-1 - number % len(self.unanswered))
        if type(action) is OpenTransport:
            self.put(TransportOpened(action.transport))
        elif type(action) is ResolveName:
            self.put(
                NameResolved(action.name, "52.78.123.45", action.transport)
                if number != 1
                else NameFailed(action.name, "timed_out", action.transport)
            )
        elif not isinstance(action.packet, HTTPResponse):
            self.put(PacketReceived(action.transport, self.reply(action.packet, number)))

    def reply(self, packet, number: int):
        kind = type(packet).__name__
        if isinstance(packet, HTTPRequest):
            ids = tuple(m.id for m in packet.messages)
            fresh = (message(50 + number),) if packet.method == "GET" and number else ()
            replies = tuple(
                Message(-1 - m.id, m.kind, "t", 10, 0, self.now, True, reply_to=m.id) for m in packet.messages if m.reply_bytes
            )
            return HTTPResponse(200, {"ids": ids}, messages=fresh or replies)
        if kind == "Connect":
            return ConnAck(number % 2 == 0, 5 if number == 3 else 0)
        if kind == "Publish":
            return PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id)
        packet_id = getattr(packet, "packet_id", 1)
        return {"Subscribe": SubAck(packet_id, (1,)), "PingReq": PingResp(), "PubRel": PubComp(packet_id)}.get(kind, PingResp())

    def lost(self, number: int, reason: str) -> None:
        self.put(TransportLost(self.transport(number), reason))

    def opened_again(self, number: int) -> None:
        self.put(TransportOpened(self.transport(number)))

    def packet(self, number: int, which: int, packet_id: int) -> None:
        body = {
            "ip": "10.2.5.200",
            "through": packet_id,
            "beyond": (packet_id + 2,),
            "batch": 2,
            "ack": "explicit",
            "ids": (packet_id,),
        }
        down = Message(60 + packet_id, "diagnostics", "vehicle/VIN123/down/diagnostics", 10, 1, self.now, reply_bytes=20)
        kinds = [
            ConnAck(True),
            ConnAck(False, 3),
            SubAck(packet_id, (1,)),
            PubAck(packet_id),
            PubRec(packet_id),
            PubRel(packet_id),
            PubComp(packet_id),
            PingResp(),
            Disconnect(0x8E),
            Publish(down, 0),
            Publish(down, 1, packet_id),
            Publish(down, 2, packet_id),
            HTTPRequest("POST", "/api/v1/vehicles/VIN123/heartbeat", body)
            if not self.uplink
            else HTTPRequest("POST", "/messages", messages=(down,)),
            HTTPRequest("GET", "/api/v1/vehicles/VIN123/pending-messages", body),
        ]
        chosen = kinds[which]
        transport = self.transport(number)
        if isinstance(chosen, HTTPRequest):
            transport = 900 + number  # requests come on transports that the other end opened
            if self.uplink:
                if which == 13:
                    return
                self.put(TransportAccepted(transport, VEHICLE_PORT))
        self.put(PacketReceived(transport, chosen))

    def address(self, address: str | None) -> None:
        self.put(AddressChanged(address))

    def new_message(self, number: int, qos: int) -> Message:
        if self.uplink:
            return message(number, qos=qos)
        kind = ("ota", "diagnostics", "probe")[number % 3]
        return Message(number, kind, f"vehicle/VIN123/down/{kind}", 50, qos, self.now, reply_bytes=10 if kind != "ota" else 0)

    def created_one(self, qos: int) -> None:
        number = 100 + len(self.created)
        self.created.append(number)
        self.put(MessageCreated(self.new_message(number, qos)))

    def write(self, number: int, blocked: bool) -> None:
        self.put((WriteBlocked if blocked else WriteResumed)(self.transport(number)))

    def accepted(self, port: int) -> None:
        self.put(TransportAccepted(1000 + len(self.transports), port, "vin123.vehicles.ota-server.company.com", ADDRESS))

    def wait(self, seconds: float) -> None:
        until, calls = self.now + seconds, 0
        early = self.machine.next_deadline()
        if early > self.now:
            assert self.machine.handle_deadline(self.now) == [], "a wake-up that comes early does nothing"
            assert self.machine.next_deadline() == early
        while (due := self.machine.next_deadline()) <= until:
            assert due >= self.now or due == 0.0, "a deadline lies in the past"
            self.now = max(self.now, due)
            self.perform(self.machine.handle_deadline(self.now))
            assert self.machine.next_deadline() > self.now, "what is due was handled"
            calls += 1
            assert calls <= 20 + 200 * seconds
        self.now = until

    def step(self, step: tuple) -> None:
        name = "created_one" if step[0] == "created" else step[0]
        getattr(self, name)(*step[1:])
        held = Counter(m.id for m in self.machine.held()) if hasattr(self.machine, "held") else Counter()
        if self.uplink:
            assert sum(held.values()) <= LIMIT + mqtt_vehicle.UPLINK_WINDOW + 20
            for number in self.created:
                assert held[number] <= 1
                assert self.dropped[number] <= 1
                assert not (held[number] and self.dropped[number])
                assert held[number] or self.dropped[number] or number in self.sent, f"{number} vanished"


@pytest.mark.parametrize("side", ["vehicle", "server"])
@pytest.mark.parametrize("name", CONFIGS)
@given(steps=st.lists(STEP, max_size=50), workload=st.sampled_from(WORKLOADS))
@settings(max_examples=40, deadline=None)
def test_whatever_the_world_does_nothing_raises_and_no_message_vanishes(name, side, steps, workload):
    machines = build_machines(name, CONFIGS[name], context(workload, drive_end_s=200.0))
    world = World(machines[side == "server"], uplink=side == "vehicle")
    world.step(("address", ADDRESS))
    world.step(("wait", 0.0))
    for step in steps:
        world.step(step)


@given(
    st.lists(st.one_of(st.just("put"), st.integers(1, 4), st.just("put_back")), max_size=40),
    st.sampled_from(["oldest", "newest"]),
    st.integers(0, 4),
)
def test_an_outbox_holds_delivers_or_drops_each_message_once(steps, drop, limit):
    outbox = Outbox(OutboxSettings(limit=limit, drop=drop))
    out: list[Drop] = []
    put, taken = [], []
    for step in steps:
        if step == "put":
            put.append(message(len(put)))
            outbox.put(put[-1], out)
            assert len(outbox) <= limit
        elif step == "put_back":
            outbox.put_back(tuple(taken), out)
            assert len(outbox) <= limit
            taken = []
        else:
            taken += outbox.take(step)
        everywhere = [m.id for m in outbox.held()] + [m.id for m in taken] + [d.message.id for d in out]
        assert sorted(everywhere) == list(range(len(put)))
    assert [m.id for m in outbox.held()] == sorted(m.id for m in outbox.held())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from([NEVER, 5.0])),
            st.tuples(st.just("oldest"), st.integers(1, 3)),
            st.tuples(st.just("through"), st.integers(0, 9)),
            st.tuples(st.just("ids"), st.integers(0, 9)),
        ),
        max_size=30,
    ),
    st.integers(1, 4),
)
def test_a_store_holds_gives_or_drops_each_message_once_oldest_first(steps, limit):
    store = PendingMessages(limit)
    put, gone, drops = 0, set(), []
    for now, (what, value) in enumerate(steps):
        if what == "put":
            put += 1
            fresh = message(put)
            fresh.expires_s = now + value
            drops += store.put(fresh)
        elif what == "oldest":
            expired: list[Drop] = []
            batch = store.oldest(value, float(now), expired)
            drops += expired
            assert len(batch) <= value
            assert [m.id for m in batch] == sorted(m.id for m in store.held())[: len(batch)]
            assert all(m.expires_s > now for m in batch)
        else:
            before = {m.id for m in store.held()}
            if what == "through":
                store.acknowledge_through(value)
            else:
                store.acknowledge((value,))
            gone |= before - {m.id for m in store.held()}
        assert len(store) <= limit
        assert sorted([m.id for m in store.held()] + [d.message.id for d in drops] + list(gone)) == list(range(1, put + 1))


TABLES = {
    "MQTT vehicle": (mqtt_vehicle.TRANSITIONS, mqtt_vehicle.State, mqtt_vehicle.State.OFFLINE),
    "hybrid": (hybrid.TRANSITIONS, hybrid.Mode, hybrid.Mode.MQTT_PRIMARY),
    "push vehicle": (push_vehicle.TRANSITIONS, push_vehicle.State, push_vehicle.State.SILENT),
    "push server": (push_backend.TRANSITIONS, push_backend.State, push_backend.State.IDLE),
    "HTTP client": (HTTP_TRANSITIONS, HTTPState, HTTPState.IDLE),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_state_of_a_table_can_be_reached_from_the_first(name):
    table, states, first = TABLES[name]
    assert set(table) == set(states)
    reached, new = {first}, {first}
    while new:
        new = {after for before in new for after in table[before]} - reached
        reached |= new
    assert reached == set(states)


def test_a_machine_refuses_a_transition_that_is_not_in_its_table():
    """The vehicle's machine by its own method; the others share the rule."""
    vehicle, _ = build_machines("mqtt_persistent", MQTTPersistent(), context())
    for before in mqtt_vehicle.State:
        for after in mqtt_vehicle.State:
            vehicle.state = before
            if after in mqtt_vehicle.TRANSITIONS[before]:
                vehicle._enter(after, 0.0, [])
                assert vehicle.state is after
            else:
                with pytest.raises(RuntimeError, match="not in the table"):
                    vehicle._enter(after, 0.0, [])
