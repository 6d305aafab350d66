"""The packet link's pure parts: what becomes of packets, the answers a network gives, DNS bytes. No privilege is needed."""

import math
import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.drive.config import CGNAT
from sim.drive.timeline import LinkState
from sim.live.names.name_server import NameServer, new_key
from sim.live.packet import headers, names, namespaces, plan
from sim.live.packet.path import Path
from sim.live.packet.plan import HELD, LOST, UP, Plan
from sim.protocols.server import Server

VEHICLE, OTHER, SERVER = "10.1.1.100", "10.2.5.200", "52.78.123.45"


def packet(source, destination, size=500, flags=headers.ACK, ports=(50_000, 8883)):
    body = struct.pack("!HHIIBBHHH", *ports, 1000, 2000, 5 << 4, flags, 0, 0, 0) + bytes(size - 40)
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    return struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, headers.TCP, 0) + addresses + body


def path(*rows, queue_bytes=100_000, old_path="black_hole", cgnat=None, rate_bps=math.inf, rebinds_s=()):
    """Of rows (start_s, address, state, rtt_s)."""
    starts, addresses, states, rtts = (list(column) for column in zip(*rows, strict=True))
    rates = [rate_bps] * len(rows)
    made = Plan(
        "v", "s", 1, 0.0, SERVER, 1500, 10, 15, True, queue_bytes, old_path, cgnat, list(rebinds_s),
        starts, addresses, states, rtts, rates, rates,
    )  # fmt: skip
    return Path(Plan.from_line(made.line()))


def arrivals(on):
    found = []
    while (arrived := on.due(1e9)) is not None:
        found.append(arrived)
    return found


def test_states_are_those_of_the_timeline():
    assert (UP, HELD, LOST) == (LinkState.UP, LinkState.HELD, LinkState.LOST)
    assert plan.changes(["a", "a", "", "b", "b", "a"]) == [0, 2, 3, 5]


def test_a_packet_takes_its_size_over_the_rate_and_half_a_round_trip():
    on = path((0.0, VEHICLE, UP, 0.08), rate_bps=1e6)
    for _ in range(2):
        on.from_vehicle(1.0, packet(VEHICLE, SERVER, 1250))
        on.from_server(1.0, packet(SERVER, VEHICLE, 1250))
    assert [(round(at, 9), down) for at, down, _ in arrivals(on)] == [(1.05, False), (1.05, True), (1.06, False), (1.06, True)]


def test_the_queue_drops_its_tail_but_a_hold_drops_nothing():
    on = path((0.0, VEHICLE, UP, 0.08), (5.0, VEHICLE, HELD, 0.08), (6.0, VEHICLE, UP, 0.08), rate_bps=1e6, queue_bytes=10_000)
    for _ in range(12):
        on.from_vehicle(1.0, packet(VEHICLE, SERVER, 1000))
    for _ in range(12):
        on.from_vehicle(5.0, packet(VEHICLE, SERVER, 1000))
    at = [round(at, 6) for at, _, _ in arrivals(on)]
    assert at == [round(1.04 + 0.008 * k, 6) for k in range(1, 11)] + [round(6.04 + 0.008 * k, 6) for k in range(1, 13)]
    assert on.fates["up_queue_full"] == 2


def test_uplink_meets_the_radio_when_it_leaves_and_downlink_when_it_arrives():
    on = path((0.0, VEHICLE, UP, 0.08), (1.0, VEHICLE, LOST, 0.08), (2.0, VEHICLE, UP, 0.08))
    on.from_vehicle(0.99, packet(VEHICLE, SERVER))  # over the radio before it goes
    on.from_server(0.99, packet(SERVER, VEHICLE))  # under way when it goes
    on.from_vehicle(1.97, packet(VEHICLE, SERVER))
    on.from_server(1.97, packet(SERVER, VEHICLE))  # arrives when it is back
    assert [(round(at, 6), down) for at, down, _ in arrivals(on)] == [(1.03, False), (2.01, True)]
    assert on.fates["up_link_lost"] == on.fates["down_link_lost"] == 1


def test_packets_of_another_address_than_the_present_one_end():
    on = path((0.0, VEHICLE, HELD, 0.08), (1.0, OTHER, UP, 0.08))
    on.from_vehicle(0.5, packet(VEHICLE, SERVER))  # held until its address is gone
    on.from_server(0.5, packet(SERVER, VEHICLE))
    on.from_vehicle(1.5, packet(VEHICLE, SERVER))
    assert arrivals(on) == []
    assert on.fates == {"up_old_address": 2, "down_old_address": 1}


def test_a_hold_without_end_delivers_nothing():
    on = path((0.0, VEHICLE, UP, 0.08), (1.0, VEHICLE, HELD, 0.08))
    on.from_vehicle(1.5, packet(VEHICLE, SERVER))
    assert arrivals(on) == []


@given(
    rows=st.lists(st.tuples(st.sampled_from([UP, UP, HELD, LOST]), st.floats(0.01, 2.0)), min_size=1, max_size=8),
    sent=st.lists(st.tuples(st.floats(0.0, 8.0), st.booleans(), st.integers(40, 1500)), max_size=40),
    rate_bps=st.sampled_from([math.inf, 1e5, 1e7]),
)
def test_no_packet_overtakes_another_of_its_direction_and_each_is_accounted_for(rows, sent, rate_bps):
    on = path(*((float(k), VEHICLE, state, rtt) for k, (state, rtt) in enumerate(rows)), rate_bps=rate_bps)
    for number, (at, down, size) in enumerate(sorted(sent)):
        ends, join = ((SERVER, VEHICLE), on.from_server) if down else ((VEHICLE, SERVER), on.from_vehicle)
        join(at, packet(*ends, size, ports=(number, 8883)))
    found = arrivals(on)
    for direction in (True, False):
        numbers = [struct.unpack_from("!H", data, 20)[0] for _, down, data in found if down == direction]
        assert numbers == sorted(numbers)
    assert on.fates.total() == len(sent)


@pytest.mark.parametrize(
    ("asked", "sequence", "acknowledged", "flags"),
    [
        (headers.ACK, 2000, 0, headers.RST),  # RFC 9293 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>
        (headers.SYN, 0, 1000 + 60 + 1, headers.RST | headers.ACK),  # <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    ],
)
def test_a_reset_is_acceptable_to_the_sender(asked, sequence, acknowledged, flags):
    answer = headers.reset_for(packet(SERVER, VEHICLE, 100, asked))
    assert struct.unpack_from("!HHIIBB", answer, 20) == (8883, 50_000, sequence, acknowledged, 5 << 4, flags)
    assert (headers.source(answer), headers.destination(answer)) == (IPv4Address(VEHICLE).packed, IPv4Address(SERVER).packed)
    assert headers.checksum(answer[:20]) == 0
    assert headers.checksum(answer[12:20] + struct.pack("!BBH", 0, headers.TCP, 20) + answer[20:]) == 0


def test_nothing_is_answered_to_a_reset_or_to_icmp():
    assert headers.reset_for(packet(SERVER, VEHICLE, 100, headers.RST)) is None
    unreachable = headers.unreachable_for(packet(SERVER, VEHICLE))
    assert headers.checksum(unreachable[20:]) == 0
    assert unreachable[28:] == packet(SERVER, VEHICLE)[:28]
    assert headers.unreachable_for(unreachable) is None


def test_a_mapping_is_kept_by_traffic_of_either_direction():
    on = path((0.0, VEHICLE, UP, 0.0), cgnat=CGNAT(10.0, "reset"))
    on.from_server(0.0, packet(SERVER, VEHICLE, flags=headers.SYN, ports=(8883, 50_000)))  # nobody asked for it
    on.from_vehicle(1.0, packet(VEHICLE, SERVER, flags=headers.SYN))
    on.from_server(10.0, packet(SERVER, VEHICLE, ports=(8883, 50_000)))
    on.from_vehicle(19.0, packet(VEHICLE, SERVER))
    on.from_server(29.1, packet(SERVER, VEHICLE, ports=(8883, 50_000)))  # idle for too long
    on.from_vehicle(30.0, packet(VEHICLE, SERVER))
    found = arrivals(on)
    assert [(at, down) for at, down, _ in found] == [(1.0, False), (10.0, True), (19.0, False), (30.0, True)]
    assert headers.tcp_flags(found[-1][2]) & headers.RST
    assert (on.fates["down_no_mapping"], on.fates["up_no_mapping"]) == (2, 1)


def test_a_rebind_forgets_what_was_opened_before_it():
    on = path((0.0, VEHICLE, UP, 0.0), cgnat=CGNAT(), rebinds_s=(10.0,))
    on.from_vehicle(1.0, packet(VEHICLE, SERVER, flags=headers.SYN))
    on.from_server(9.0, packet(SERVER, VEHICLE, ports=(8883, 50_000)))
    on.from_server(10.0, packet(SERVER, VEHICLE, ports=(8883, 50_000)))
    on.from_vehicle(11.0, packet(VEHICLE, SERVER))
    on.from_vehicle(12.0, packet(VEHICLE, SERVER, flags=headers.SYN))
    on.from_vehicle(13.0, packet(VEHICLE, SERVER))
    found = arrivals(on)
    assert [(at, down) for at, down, _ in found] == [(1.0, False), (9.0, True), (11.0, True), (12.0, False), (13.0, False)]
    assert headers.tcp_flags(found[2][2]) & headers.RST


def test_dns_bytes():
    asked = names.query(7, "Ota-Server.company.com")
    # RFC 1035 4.1: header, QNAME, QTYPE A, QCLASS IN
    assert asked == bytes.fromhex("0007 0100 0001 0000 0000 0000") + b"\x0aOta-Server\x07company\x03com\0" + b"\0\1\0\1"
    server = NameServer(Server(address=SERVER), lambda: 0.0, new_key())
    answer = server.answer(asked, udp=True)
    assert answer[:12] == bytes.fromhex("0007 8500 0001 0001 0000 0000")
    assert answer.endswith(bytes.fromhex("c00c 0001 0001 0000003c 0004") + IPv4Address(SERVER).packed)
    assert names.read_answer(answer, 7) == (SERVER, 60.0)
    assert names.read_answer(answer, 8) is None
    unknown = names.query(7, "x.ota-server.company.com")
    assert names.read_answer(server.answer(unknown, udp=True), 7) == ("", 0.0)


@given(st.binary(max_size=80))
def test_any_bytes_are_met_without_an_exception(data):
    on = path((0.0, VEHICLE, UP, 0.08), old_path="reset", cgnat=CGNAT())
    for join in (on.from_vehicle, on.from_server):
        join(0.0, data)
        join(0.0, b"\x45" + data)
    names.read_answer(data, 0)


def test_what_is_missing_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    assert namespaces.missing() == "the packet link needs root (network namespaces and TUN devices)"
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    assert "`ip`" in namespaces.missing()


def test_what_was_forgotten_while_nothing_was_sent_is_told():
    """By the vehicle's end, whether a packet found out or nobody did."""
    on = path((0.0, VEHICLE, UP, 0.0), cgnat=CGNAT(10.0, "drop"))
    for at, port in ((1.0, 50_000), (2.0, 50_001), (25.0, 50_002)):
        on.from_vehicle(at, packet(VEHICLE, SERVER, flags=headers.SYN, ports=(port, 8883)))
    on.from_vehicle(20.0, packet(VEHICLE, SERVER, ports=(50_000, 8883)))
    on.from_server(30.0, packet(SERVER, VEHICLE, ports=(8883, 50_000)))  # no second end
    assert on.idle_ends(30.0) == [(VEHICLE, 50_000, 11.0), (VEHICLE, 50_001, 12.0)]
    assert path((0.0, VEHICLE, UP, 0.0)).idle_ends(30.0) == []
