"""The observer of a program: a table of packets and what the broker's side saw in, records out."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.live.mqtt_codec import encode
from sim.live.observed.attempts import NOT_OBSERVED
from sim.live.observed.flows import Flow, Progress, traffic_of
from sim.live.observed.observe import ClientSettings, observe
from sim.live.observed.visits import PacketCutter, Visit
from sim.live.packet.capture import CaptureFile, read_capture
from sim.live.payload import encode_message
from sim.machine import Message
from sim.protocols.mqtt_packets import (
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from sim.record.recorder import Recorder
from tests.live.seen_from_outside import BROKER, HALF_S, NAME, Connection, ip, lookup

OTHER_ADDRESS = "10.2.5.200"
DOWN = "vehicle/VIN123/down/"


def chunk(number, qos=1, created_s=1.0):
    return Message(number, "ota", DOWN + "ota", 100, qos, created_s)


def request(number):
    return Message(number, "diagnostics", DOWN + "diagnostics", 100, 1, 1.0, reply_bytes=64)


def on_wire(message, packet_id=1, *, dup=False, qos=None):
    qos = message.qos if qos is None else qos
    body = encode_message(message)
    inner = Message(message.id, message.kind, message.topic, len(body), qos, message.created_s, body=body)
    return Publish(inner, qos, packet_id if qos else 0, dup)


def telemetry(text, packet_id=1, *, qos=1, dup=False):
    body = text.encode()
    return Publish(Message(0, "other", "vehicle/VIN123/status", len(body), qos, 0.0, uplink=True, body=body), qos, packet_id, dup)


def seen(*parts, messages=(), end_s=100.0):
    """(record, settings) of connections and lookups."""
    packets = sorted((packet for part in parts for packet in (part if isinstance(part, list) else part.captured)), key=at)
    visits = sorted((p.visit for p in parts if isinstance(p, Connection) and not math.isnan(p.visit.accepted_s)), key=accepted)
    server = Recorder(trace=True)
    server.expect(list(messages))
    return observe(traffic_of(packets, (NAME,), end_s), visits, BROKER, server, DOWN, end_s)


def at(packet):
    return packet.at_s


def accepted(visit):
    return visit.accepted_s


def rows(*parts, **options):
    return seen(*parts, **options)[0].connections


def fate(record, message_id):
    """(first sent, how often, handed, delivered, arrivals) of a message; NaN as None."""
    row = next(row for row, message in enumerate(record.messages) if message.id == message_id)
    columns = (record.first_sent, record.sends, record.handed, record.delivered, record.arrivals)
    return tuple(None if column[row] != column[row] else round(column[row], 6) for column in columns)


# --- connections --------------------------------------------------------------------------------------------------------------


def test_the_steps_of_a_connection_are_those_at_the_vehicles_interface():
    (row,) = rows(lookup(0.9, answered=True), Connection().connect(1.0))
    steps = (row.asked_s, row.started_s, row.tcp_s, row.opened_s, row.connack_s, row.ready_s)
    assert steps == pytest.approx((0.9, 1.0, 1.08, 1.08, 1.2, 1.3))
    assert (row.attempt, row.purpose, row.address, row.target) == (0, "mqtt", "10.1.1.100", "52.78.123.45:8883")
    assert (row.outcome, row.reason, row.session_present) == ("ready", "", 0)
    assert math.isnan(row.noticed_s)
    assert (row.trigger, row.waited_s) == (NOT_OBSERVED, pytest.approx(math.nan, nan_ok=True))


def test_with_a_session_messages_flow_from_connack_on():
    (row,) = rows(Connection().connect(1.0, session=True))
    assert (row.ready_s, row.session_present) == (pytest.approx(1.2), 1)


def test_of_a_program_that_never_subscribes_nothing_more_is_waited_for():
    (row,) = rows(Connection().connect(1.0, subscribe=False))
    assert row.ready_s == pytest.approx(1.2)


def test_a_connack_that_never_reached_the_vehicle_is_none():
    (row,) = rows(Connection().open(1.0).say(1.1, Connect("me", False, 30)).hear(1.2, ConnAck(False), arrives=False))
    assert (row.outcome, row.session_present) == ("open", -1)
    assert math.isnan(row.connack_s)


def test_a_refused_connect_has_failed():
    wire = Connection().open(1.0).say(1.1, Connect("me", False, 30)).hear(1.2, ConnAck(False, 5)).fin(1.3, up=False)
    (row,) = rows(wire)
    assert (row.outcome, row.reason, row.noticed_s) == ("failed", "refused", 1.3)


@pytest.mark.parametrize(
    ("ends", "reason", "noticed_s"),
    [
        (lambda wire: wire.say(5.0, Disconnect()).fin(5.0, up=True), "disconnected", 5.0),
        (lambda wire: wire.fin(5.0, up=True), NOT_OBSERVED, 5.0),
        (lambda wire: wire.reset(5.0, up=True), NOT_OBSERVED, 5.0),
        (lambda wire: wire.fin(5.0, up=False).fin(5.1, up=True), "closed", 5.0),
        (lambda wire: wire.reset(5.0, up=False), "reset", 5.0),
        (lambda wire: wire, "", None),
    ],
)
def test_why_a_connection_ended_is_said_as_far_as_packets_tell(ends, reason, noticed_s):
    (row,) = rows(ends(Connection().connect(1.0)))
    assert (row.outcome, row.reason) == ("ready", reason)
    assert (row.noticed_s if row.noticed_s == row.noticed_s else None) == noticed_s


def test_a_reset_in_answer_to_syn_is_a_refusal():
    wire = Connection()
    wire.segment(1.0, True, 2)
    (row,) = rows(wire.reset(1.08, up=False))
    assert (row.outcome, row.reason, row.noticed_s) == ("failed", "refused", 1.08)


def test_when_an_unanswered_attempt_was_given_up_is_not_known():
    lost = Connection(50_000)
    for at_s in (1.0, 2.0, 4.0):
        lost.segment(at_s, True, 2, again=at_s > 1.0)
    first, second = rows(lost, Connection(50_001).connect(9.0))
    assert (first.outcome, first.reason) == ("failed", NOT_OBSERVED)
    assert math.isnan(first.noticed_s)
    assert math.isnan(first.tcp_s)
    assert second.outcome == "ready"


def test_an_attempt_that_is_under_way_at_the_end_has_not_failed():
    lost = Connection()
    lost.segment(1.0, True, 2)
    (row,) = rows(lost)
    assert (row.outcome, row.reason) == ("open", "")


def test_a_lookup_that_nobody_answered_is_a_failed_attempt():
    failed, ready = rows(lookup(1.0, answered=False), lookup(6.9, answered=True, port=40_001), Connection().connect(7.0))
    assert (failed.outcome, failed.reason, failed.asked_s) == ("failed", "name_failed", 1.0)
    assert math.isnan(failed.started_s)
    assert (ready.attempt, ready.asked_s) == (1, pytest.approx(6.9))


def test_a_connection_that_was_replaced_was_given_up_by_then_though_its_fin_is_late():
    old = Connection(50_000).connect(1.0).fin(30.0, up=True)
    before, after = rows(old, lookup(19.9, answered=True), Connection(50_001, OTHER_ADDRESS).connect(20.0, session=True))
    assert (before.noticed_s, before.reason) == (pytest.approx(19.9), NOT_OBSERVED)
    assert (after.address, after.outcome) == (OTHER_ADDRESS, "ready")


def test_connections_with_different_client_ids_do_not_replace_each_other():
    first, second = rows(Connection(50_000).connect(1.0, client_id="a"), Connection(50_001).connect(2.0, client_id="b"))
    assert math.isnan(first.noticed_s)
    assert (first.outcome, second.outcome) == ("ready", "ready")


def test_a_connection_that_the_broker_closed_for_another_with_its_client_id_was_taken_over():
    old = Connection(50_000).connect(1.0).fin(5.19, up=False).fin(5.2, up=True)
    old.visit.over(5.15, by_broker=True)
    first, second = rows(old, Connection(50_001).connect(5.0))
    assert (first.reason, first.noticed_s, first.peer_ended_s) == ("taken_over", 5.19, 5.15)
    assert second.outcome == "ready"


def test_a_failed_handshake_is_what_the_server_says_of_it():
    wire = Connection().open(1.0).fin(1.3, up=False)
    wire.visit.tls, wire.visit.failed = True, "tls_failed"
    (row,) = rows(wire)
    assert (row.outcome, row.reason) == ("failed", "tls_failed")
    assert math.isnan(row.opened_s)


def test_the_program_is_done_with_tls_when_its_last_byte_of_the_handshake_has_left():
    wire = Connection().open(1.0)
    wire.segment(1.1, True, 16, bytes(300))
    wire.segment(1.2, True, 16, bytes(100))
    wire.visit.tls, wire.visit.shaken_s, wire.visit.handshake_in = True, 1.25, 400
    (row,) = rows(wire)
    assert row.opened_s == pytest.approx(1.2)


def test_ports_that_are_used_again_make_a_new_connection():
    first = Connection(50_000).connect(1.0).fin(2.0, up=True)
    second = Connection(50_000)
    second._sequence[True] = 77
    one, two = rows(first, second.connect(5.0, session=True))
    assert (one.noticed_s, two.started_s, two.ready_s) == (2.0, 5.0, pytest.approx(5.2))


# --- messages -----------------------------------------------------------------------------------------------------------------


def test_with_qos_1_delivered_is_what_was_acknowledged_and_when():
    wire = Connection().connect(1.0).hear(2.0, on_wire(chunk(1), 7)).say(2.06, PubAck(7)).hear(3.0, on_wire(chunk(2), 8))
    record, _ = seen(wire, messages=[chunk(1), chunk(2), chunk(3)])
    assert fate(record, 1) == (2.0, 1, 2.06, 2.06, 1)
    assert fate(record, 2) == (3.0, 1, None, None, 0)  # received, but nobody said so
    assert fate(record, 3) == (None, 0, None, None, 0)
    assert record.messages_received == 1


def test_what_is_acknowledged_on_the_next_connection_was_sent_twice_and_delivered_once():
    old = Connection(50_000).connect(1.0).hear(2.0, on_wire(chunk(1), 7), arrives=False)
    new = Connection(50_001, OTHER_ADDRESS).connect(5.0, session=True).hear(5.2, on_wire(chunk(1), 7, dup=True))
    record, _ = seen(old, new.say(5.3, PubAck(7)), messages=[chunk(1)])
    assert fate(record, 1) == (2.0, 2, 5.3, 5.3, 1)


def test_what_is_acknowledged_twice_arrived_twice():
    wire = Connection().connect(1.0)
    for at_s, dup in ((2.0, False), (3.0, True)):
        wire.hear(at_s, on_wire(chunk(1), 7, dup=dup)).say(at_s + 0.1, PubAck(7))
    record, _ = seen(wire, messages=[chunk(1)])
    assert fate(record, 1) == (2.0, 2, 2.1, 2.1, 2)


def test_with_qos_0_delivered_is_what_the_interface_received():
    wire = Connection().connect(1.0).hear(2.0, on_wire(chunk(1, qos=0)))
    record, _ = seen(wire.hear(3.0, on_wire(chunk(2, qos=0)), arrives=False), messages=[chunk(1, qos=0), chunk(2, qos=0)])
    assert fate(record, 1) == (2.0, 1, 2.04, 2.04, 1)
    assert fate(record, 2) == (3.0, 1, None, None, 0)


def test_with_qos_2_a_message_is_handed_over_once_however_often_it_comes():
    wire = Connection().connect(1.0).hear(2.0, on_wire(chunk(1), 7, qos=2)).say(2.1, PubRec(7))
    wire.hear(3.0, on_wire(chunk(1), 7, qos=2, dup=True)).say(3.1, PubRec(7)).hear(3.2, PubRel(7)).say(3.3, PubComp(7))
    record, _ = seen(wire, messages=[chunk(1)])
    assert fate(record, 1) == (2.0, 2, 2.1, 2.1, 1)


def test_a_request_has_arrived_when_the_program_has_it_for_no_answer_of_it_is_known():
    record, _ = seen(Connection().connect(1.0).hear(2.0, on_wire(request(1), 7)).say(2.1, PubAck(7)), messages=[request(1)])
    assert fate(record, 1) == (2.0, 1, 2.1, 2.1, 1)


def test_only_the_workloads_own_topics_and_messages_count():
    echo = on_wire(chunk(1), 7)
    echo.message.topic = "vehicle/VIN123/up/echo"
    record, _ = seen(Connection().connect(1.0).hear(2.0, echo).say(2.1, PubAck(7)), messages=[chunk(1)])
    assert fate(record, 1) == (None, 0, None, None, 0)


def test_telemetry_is_what_the_program_published_from_when_it_left():
    wire = Connection().connect(1.0).say(2.0, telemetry("a", 3)).hear(2.05, PubAck(3)).say(3.0, telemetry("b", qos=0))
    record, _ = seen(wire.say(4.0, telemetry("c", 4)))
    assert [message.created_s for message in record.messages] == [2.0, 3.0, 4.0]
    assert [fate(record, message.id)[2:4] for message in record.messages] == [(2.04, 2.04), (3.04, 3.04), (None, None)]
    assert {(message.kind, message.uplink, message.qos) for message in record.messages} == {
        ("telemetry", True, 1), ("telemetry", True, 0),
    }  # fmt: skip
    assert record.messages_sent == 3


def test_what_is_published_again_is_the_same_message_and_an_id_that_is_used_again_is_not():
    old = Connection(50_000).connect(1.0).say(2.0, telemetry("a", 3))
    new = Connection(50_001).connect(5.0, session=True).say(5.2, telemetry("a", 3, dup=True)).hear(5.25, PubAck(3))
    record, _ = seen(old, new.say(6.0, telemetry("a", 3)).hear(6.05, PubAck(3)))
    first, second = record.messages
    assert fate(record, first.id) == (2.0, 2, 5.24, 5.24, 1)
    assert fate(record, second.id) == (6.0, 1, 6.04, 6.04, 1)


def test_what_tcp_had_to_send_again_was_sent_when_it_first_left():
    wire = Connection().connect(1.0)
    data = encode(telemetry("a", 3), V311)
    wire.segment(2.0, True, 16, data)
    wire.segment(2.3, True, 16, data, again=len(data))
    wire.visit.up(2.34, data, wire._place[True])
    record, _ = seen(wire)
    assert fate(record, record.messages[0].id)[0] == 2.0


def test_a_message_is_received_when_the_gap_before_it_is_closed():
    wire = Connection().connect(1.0)
    first, second = (encode(on_wire(chunk(number, qos=0)), V311) for number in (1, 2))
    wire.visit.down(2.0, first + second, wire._place[False])
    wire._sequence[False] += len(first)
    wire.segment(2.04, False, 16, second)
    wire.segment(2.5, False, 16, first, again=len(first) + len(second))
    record, _ = seen(wire, messages=[chunk(1, qos=0), chunk(2, qos=0)])
    assert fate(record, 1)[2] == fate(record, 2)[2] == 2.5


def test_what_happens_after_the_end_of_the_run_does_not_count():
    wire = Connection().connect(1.0).hear(2.0, on_wire(chunk(1), 7)).say(2.06, PubAck(7)).fin(2.5, up=True)
    record, _ = seen(wire, messages=[chunk(1)], end_s=2.03)
    assert fate(record, 1)[3] is None
    assert math.isnan(record.connections[0].noticed_s)


def test_what_the_servers_side_dropped_keeps_its_cause():
    server = Recorder(trace=True)
    server.expect([chunk(1)])
    server.drop(3.0, chunk(1), "queue_full")
    record, _ = observe(traffic_of([], (NAME,)), [], BROKER, server, DOWN, 10.0)
    assert record.outcomes([]) == [("lost", "queue_full")]


# --- settings -----------------------------------------------------------------------------------------------------------------


def test_the_settings_are_those_of_connect_and_subscribe():
    _, settings = seen(Connection().connect(1.0))
    assert settings == ClientSettings("me", "3.1.1", 30.0, False, None, ("vehicle/VIN123/#",), 1)
    assert seen()[1] == ClientSettings()


def test_of_mqtt_5_the_session_expiry_is_known_too():
    wire = Connection().open(1.0)
    data = encode(Connect("me", True, 10, V5, 3600.0), V5)
    wire.segment(1.1, True, 16, data)
    wire.visit.up(1.14, data, len(data))
    _, settings = seen(wire)
    assert (settings.version, settings.clean_session, settings.session_expiry_s) == ("5", True, 3600.0)


# --- bytes --------------------------------------------------------------------------------------------------------------------


def test_all_bytes_are_booked_and_for_what_they_were():
    wire = Connection().connect(1.0).say(2.0, PingReq()).hear(2.05, PingResp()).say(3.0, telemetry("a", 3)).hear(3.05, PubAck(3))
    wire.segment(3.2, True, 16)  # acknowledges PUBACK
    wire.say(4.0, telemetry("into the hole", 4), arrives=False)
    record, _ = seen(lookup(0.9, answered=True), wire)
    total = {"up": 0, "down": 0}
    for (direction, _), (_, n_bytes) in record.traffic.items():
        total[direction] += n_bytes
    packets = [*lookup(0.9, answered=True), *wire.captured]
    assert total == {way: sum(p.size for p in packets if p.up == (way == "up")) for way in ("up", "down")}
    spent = {key: tuple(cell) for key, cell in record.traffic.items()}
    assert spent["up", "keep_alive"] == (1, 42)
    assert spent["down", "keep_alive"] == (1, 42)
    assert spent["up", "payload"] == (1, 40 + len(encode(telemetry("a", 3), V311)) + 40)
    assert spent["up", "unknown"] == (0, 40 + len(encode(telemetry("into the hole", 4), V311)))


def test_payload_that_tcp_sends_again_is_repeated():
    wire = Connection().connect(1.0).say(2.0, telemetry("a", 3))
    data = encode(telemetry("a", 3), V311)
    wire.segment(2.3, True, 16, data, again=len(data))
    record, _ = seen(wire)
    assert record.traffic["up", "repeated"][1] == 40 + len(data)


def test_a_message_sent_again_on_another_connection_is_repeated_only_where_the_interface_had_seen_it():
    size = len(encode(on_wire(chunk(1), 7), V311))
    for arrived, purpose in ((False, "payload"), (True, "repeated")):
        old = Connection(50_000).connect(1.0).hear(2.0, on_wire(chunk(1), 7), arrives=arrived)
        new = Connection(50_001, OTHER_ADDRESS).connect(5.0, session=True).hear(5.2, on_wire(chunk(1), 7, dup=True))
        record, _ = seen(old, new.say(5.3, PubAck(7)), messages=[chunk(1)])
        assert record.traffic["down", purpose][1] >= 40 + size
        assert ("down", "repeated") in record.traffic or not arrived
        if not arrived:
            assert ("down", "repeated") not in record.traffic


# --- the parts ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([PingReq(), PubAck(3), telemetry("x" * 200, 5), Disconnect()]), max_size=8), st.data())
def test_packets_are_cut_the_same_however_the_bytes_come(packets, data):
    stream = b"".join(encode(packet, V311) for packet in packets)
    cutter = PacketCutter()
    found = []
    at = 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        found += [(at + end, first) for first, _, end in cutter.feed(stream[at : at + size])]
        at += size
    ends = [len(b"".join(encode(packet, V311) for packet in packets[: n + 1])) for n in range(len(packets))]
    assert found == [(end, encode(packet, V311)[0]) for end, packet in zip(ends, packets, strict=True)]


@given(st.permutations(range(6)))
def test_progress_reaches_a_place_when_all_before_it_has_passed(order):
    progress = Progress()
    for number, piece in enumerate(order):
        progress.add(float(number), 10 * piece, 10 * piece + 10)
    for place in range(1, 61):
        wanted = max(order.index(piece) for piece in range((place - 1) // 10 + 1))
        assert progress.at(place) == wanted
    assert math.isnan(progress.at(61))


def test_places_go_on_where_sequence_numbers_wrap_around():
    flow = Flow(("10.1.1.100", 1), BROKER, 0.0, 0)
    step = 1 << 30
    for number in range(6):
        sequence = (1 + number * step) & 0xFFFFFFFF
        segment = struct.pack("!HHIIBBHHH", 1, 8883, sequence, 0, 5 << 4, 16, 0, 0, 0)
        flow.add(ip(float(number), True, 6, segment)._replace(size=40 + step))
    assert (flow.sent.reached, flow.sent.at(5 * step)) == (6 * step, 4.0)


def test_bytes_that_are_no_mqtt_end_the_reading_and_nothing_else():
    visit = Visit()
    visit.up(1.0, b"\x16\x03\x01\x02\x00", 5)
    assert visit.unreadable == "it speaks TLS, the server does not"
    visit.up(1.1, encode(Connect("me", True, 30), V311), 30)
    assert (visit.connect, visit.came) == (None, [])


def test_in_tls_a_packet_is_complete_with_the_record_that_holds_its_end():
    visit = Visit(tls=True, connect=Connect("me", True, 30))
    small, large = encode(PubAck(1), V311), encode(telemetry("x" * 20_000, 5), V311)
    visit.down(1.0, small + large, 1_000)
    length = len(small) + len(large)
    assert [seen.end for seen in visit.went] == [1_000 + 16_384 + 22, 1_000 + length + 2 * 22]


def test_a_capture_gives_back_what_was_written_to_it_and_ends_where_it_was_cut(tmp_path: Path):
    packets = Connection().connect(1.0).captured
    epoch_ns = 1_763_000_000_123_456_789
    file = CaptureFile(str(tmp_path / "packets.pcap"), epoch_ns)
    for packet in packets:
        file.write(packet.at_s - 2.0, packet.data, up=packet.up)
    file.write(9.0, bytes(5_000), up=True)
    file.close()
    found = list(read_capture(tmp_path / "packets.pcap", epoch_ns))
    assert [(round(one.at_s + 2.0, 6), one.up, one.size, one.data) for one in found[:-1]] == [
        (round(packet.at_s, 6), *packet[1:]) for packet in packets
    ]
    assert (found[-1].size, len(found[-1].data)) == (5_000, 512)
    whole = (tmp_path / "packets.pcap").read_bytes()
    (tmp_path / "cut.pcap").write_bytes(whole[:-100])
    assert len(list(read_capture(tmp_path / "cut.pcap", epoch_ns))) == len(packets)


def test_half_s_is_what_the_broker_sees_later():
    wire = Connection().connect(1.0)
    assert wire.visit.came[0].at_s == pytest.approx(1.1 + HALF_S)
