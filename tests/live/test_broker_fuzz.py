"""Anything at all may come to the served broker's port: it survives, it serves the others, and it lets go of who is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sim.live.broker_service import BrokerService
from sim.live.mqtt_codec import encode
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
)
from tests.live import mqtt_packets_drawn as drawn
from tests.live.served import served_broker
from tests.live.wire_client import WireClient, connected, connected5

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
_RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER on, 0 s
_IDS = st.sampled_from(["one", "two", "three", "four", "five", "six", ""])
_FILTERS = ["#", "one", "+/b", "$share/g/one", "$share/g", "a/#/b"]


@st.composite
def _sensible(draw: st.DrawFn, version: int) -> bytes:
    """What belongs together: the same few clients, topics and packet identifiers, so that sessions come and go and collide."""
    packet_id = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["connect", "publish", "subscribe", "acknowledge", "disconnect"]))
    if kind == "connect":
        packet = draw(drawn.connects(version))
        packet.client_id = draw(_IDS)
        if version == V5:
            packet.session_expiry_s = draw(st.sampled_from([None, 0.0, 1.0, 4_294_967_295.0]))
        return encode(packet, version)
    if kind == "publish":
        packet = draw(drawn.publishes(version))
        packet.packet_id = packet_id if packet.qos else 0
        packet.message.topic = packet.message.topic and draw(st.sampled_from(["one", "a/b", "$x"]))
        return encode(packet, version)
    if kind == "subscribe":
        filters = draw(st.lists(st.tuples(st.sampled_from(_FILTERS), st.integers(0, 2)), min_size=1, max_size=3))
        return encode(Subscribe(packet_id, tuple(filters), version), version)
    if kind == "acknowledge":
        return encode(draw(st.sampled_from([PubAck, PubRec, PubRel, PubComp]))(packet_id), version)
    return encode(Disconnect(), version)


@st.composite
def _mutated(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data) - 1))
    more = draw(st.binary(max_size=4))
    return data[:at] + more + data[at + draw(st.integers(0, 4)) :]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], str]:
    """What a peer writes, piece by piece, and how it ends."""
    version = draw(st.sampled_from([V311, V5]))
    packet = st.one_of(_sensible(version), drawn.packets(version).map(lambda one: encode(one, version)))
    piece = st.one_of(packet, packet, packet.flatmap(_mutated), st.binary(min_size=1, max_size=60))
    pieces = draw(st.lists(piece, max_size=7))
    if draw(st.integers(0, 3)):
        pieces.insert(0, encode(Connect(draw(_IDS), draw(st.booleans()), 60, version), version))
    if draw(st.booleans()):
        pieces = [b"".join(pieces)]
    return pieces, draw(st.sampled_from(["reset", "close", "half-close", "stay"]))


@contextlib.contextmanager
def _said(port: int, pieces: list[bytes], end: str) -> Iterator[None]:
    """A peer has said that, and has ended as it does; one that stays is closed behind the block."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the broker has closed already
            for piece in pieces:
                peer.sendall(piece)
            if end == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif end == "half-close":
                peer.shutdown(socket.SHUT_WR)
        if end in ("reset", "close"):
            peer.close()
        yield


def _soon(holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + 2.0
    while not holds() and time.monotonic() < until_s:
        time.sleep(0.001)
    return holds()


@pytest.fixture(scope="module")
def service() -> Iterator[BrokerService]:
    """With room for those who are connected at once and no more, so that sessions which are left behind fill it."""
    with served_broker(sessions=6) as found:
        yield found


@pytest.fixture(scope="module")
def well_behaved(service: BrokerService) -> WireClient:
    client = connected(service.port, "well-behaved")
    client.subscribe("well-behaved/+")
    return client


@pytest.fixture(scope="module")
def watchers(service: BrokerService) -> list[WireClient]:
    """Subscribed to everything: what one client says must be fit to be sent to others, in either version."""
    older, newer = connected(service.port, "older"), connected5(service.port, "newer", properties={"topic_alias_maximum": 2})
    older.subscribe("#")
    newer.subscribe("#", properties={"subscription_identifier": (268_435_455,)})
    return [older, newer]


@given(st.lists(conversations(), min_size=1, max_size=2))
@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])  # one broker for all: a failure does not shrink
def test_whatever_is_said_the_broker_serves_on(service, well_behaved, watchers, talks):
    """MQTT 5 4.13, 3.1.1 4.8: an error is its own connection's alone."""
    with contextlib.ExitStack() as peers:
        for pieces, end in talks:
            peers.enter_context(_said(service.port, pieces, end))
        well_behaved.publish("well-behaved/a", b"old", 1)
        assert well_behaved.expect(Publish).message.body == b"old"
        newcomer = connected(service.port, "newcomer")
        newcomer.publish("well-behaved/b", b"new", 2)
        assert well_behaved.expect(Publish).message.body == b"new"
        newcomer.disconnect()
        for watcher in watchers:
            watcher.send(PingReq())
            watcher.expect(PingResp)
            watcher.received.clear()
    assert service.defects == []
    assert _soon(lambda: len(service._all) == 3), "a connection is left behind"
    assert _soon(lambda: len(service.machine._by_transport) == 3), "the machine believes in a transport that is gone"
