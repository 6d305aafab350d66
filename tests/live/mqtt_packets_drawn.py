"""Hypothesis strategies for every control packet of both versions, with every property that may stand in it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubAckWithReason,
    PubComp,
    PubCompWithReason,
    Publish,
    PubRec,
    PubRecWithReason,
    PubRel,
    PubRelWithReason,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from sim.protocols.mqtt_properties import PROPERTIES, Kind, Property
from sim.protocols.mqtt_reasons import ALLOWED

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
topics = st.text(st.characters(exclude_characters="\0+#", exclude_categories=("Cs",)), min_size=1, max_size=30)
binaries = st.binary(max_size=40)
packet_ids = st.integers(1, 65_535)
_LARGEST = {Kind.BYTE: 255, Kind.TWO_BYTES: 65_535, Kind.FOUR_BYTES: 2**32 - 1, Kind.VARIABLE: 268_435_455}


def _value(row: Property, packet: str) -> st.SearchStrategy[Any]:
    if row.kind is Kind.TEXT:
        return topics if row.name == "response_topic" else texts
    if row.kind is Kind.BINARY:
        return binaries
    if row.kind is Kind.PAIR:
        return st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(tuple)
    at_least = 1 if row.name == "topic_alias" else row.at_least
    numbers = st.integers(at_least, row.at_most if row.at_most is not None else _LARGEST[row.kind])
    if row.repeats:
        return st.lists(numbers, min_size=1, max_size=1 if packet == "subscribe" else 3).map(tuple)
    return numbers


def properties(packet: str, *without: str) -> st.SearchStrategy[dict[str, Any] | None]:
    rows = [row for row in PROPERTIES if packet in row.packets and row.name not in without]
    return st.fixed_dictionaries({}, optional={row.name: _value(row, packet) for row in rows}).map(lambda found: found or None)


@st.composite
def wills(draw: st.DrawFn, version: int) -> Will:
    payload = draw(binaries)
    more = draw(properties("will", "will_delay_interval")) if version == V5 else None
    delay_s = float(draw(st.integers(0, 2**32 - 1))) if version == V5 else 0.0
    return Will(draw(topics), len(payload), draw(st.integers(0, 2)), draw(st.booleans()), delay_s, payload, more)


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    more = None
    if version == V5:
        more = draw(properties("connect", "session_expiry_interval", "receive_maximum"))
        if more and "authentication_data" in more:
            more.setdefault("authentication_method", "m")
    username = draw(texts)
    password = draw(st.none() | binaries) if username or version == V5 else None
    return Connect(
        draw(texts), draw(st.booleans()), draw(st.integers(0, 65_535)), version,
        draw(st.none() | st.integers(0, 2**32 - 1).map(float)) if version == V5 else None,
        draw(st.none() | st.integers(1, 65_535)) if version == V5 else None,
        draw(st.none() | wills(version)), username, password, more,
    )  # fmt: skip


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    qos = draw(st.integers(0, 2))
    more = draw(properties("publish")) if version == V5 else None
    topic = draw(topics | st.just("")) if more and "topic_alias" in more else draw(topics)
    payload = draw(st.binary(max_size=300))
    message = Message(0, "other", topic, len(payload), qos, 0.0, uplink=True, body=payload)
    dup = draw(st.booleans()) if qos else False
    return Publish(message, qos, draw(packet_ids) if qos else 0, dup, draw(st.booleans()), version, more)


def _codes(packet: str) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(ALLOWED[packet]))


@st.composite
def acknowledgements(draw: st.DrawFn, version: int) -> Any:
    name, plain, with_reason = draw(
        st.sampled_from(
            [
                ("puback", PubAck, PubAckWithReason),
                ("pubrec", PubRec, PubRecWithReason),
                ("pubrel", PubRel, PubRelWithReason),
                ("pubcomp", PubComp, PubCompWithReason),
            ]
        )
    )
    packet_id = draw(packet_ids)
    if version == V311:
        return plain(packet_id)
    code, more = draw(_codes(name)), draw(properties(name))
    return with_reason(packet_id, code, more) if code or more else plain(packet_id)


@st.composite
def subscribes(draw: st.DrawFn, version: int) -> Subscribe:
    options = st.integers(0, 2)
    if version == V5:
        flags, handling = st.sampled_from([0, 8]), st.sampled_from([0, 16, 32])  # no local is not for shared subscriptions
        options = st.builds(lambda qos, flag, handled: qos | flag | handled, options, flags, handling)
    filters = draw(st.lists(st.tuples(texts, options), min_size=1, max_size=4).map(tuple))
    return Subscribe(draw(packet_ids), filters, version, draw(properties("subscribe")) if version == V5 else None)


def packets(version: int) -> st.SearchStrategy[Any]:
    """Any packet of that version."""
    v5 = version == V5
    none = st.none()
    codes_311 = st.sampled_from([0, 1, 2, 0x80])
    found = [
        connects(version),
        publishes(version),
        acknowledgements(version),
        subscribes(version),
        st.builds(
            ConnAck,
            st.booleans(),
            _codes("connack") if v5 else st.integers(0, 5),
            st.just(version),
            properties("connack") if v5 else none,
        ),
        st.builds(
            SubAck,
            packet_ids,
            st.lists(_codes("suback") if v5 else codes_311, max_size=5).map(tuple),
            st.just(version),
            properties("suback") if v5 else none,
        ),
        st.builds(
            Unsubscribe,
            packet_ids,
            st.lists(texts, min_size=1, max_size=4).map(tuple),
            st.just(version),
            properties("unsubscribe") if v5 else none,
        ),
        st.builds(
            UnsubAck,
            packet_ids,
            st.lists(_codes("unsuback"), max_size=5).map(tuple) if v5 else st.just(()),
            st.just(version),
            properties("unsuback") if v5 else none,
        ),
        st.sampled_from([PingReq(), PingResp()]),
        st.builds(Disconnect, _codes("disconnect"), properties("disconnect")) if v5 else st.just(Disconnect()),
    ]
    if v5:
        found.append(st.builds(Auth, _codes("auth"), properties("auth")))
    return st.one_of(found)
