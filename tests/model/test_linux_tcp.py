"""TCP under the MQTT connection, in the whole model: docs/sources.md, Linux TCP (Brokers 8; kernel 6.18)."""

import math
from dataclasses import replace

import pytest

from sim.drive.timeline import LinkState
from sim.protocols.tcp import TCP
from sim.strategies.config import MQTTPersistent
from tests.model.runs import PLAIN, RTT_S, Row, attempts, black_hole, chunks, delivered, drive, reassigned, run, telemetry

SILENT = MQTTPersistent(keep_alive_s=0.0, address_watch="off")  # nothing but TCP's own timers ends the connection
HOLE_S = 2.5
END_S = 1003.0


def dead(what: str, end_s: float):
    """The ways in which a path dies in the measurements."""
    return {
        "black hole": lambda: black_hole(HOLE_S, end_s),
        "address deleted": lambda: drive(Row(0.0), Row(HOLE_S, -1), end_s=end_s),
        "address deleted, new one added": lambda: reassigned(HOLE_S, end_s),
        "new one 3 s later": lambda: reassigned(HOLE_S, end_s, without_s=3.0),
    }[what]()


WAYS = ("black hole", "address deleted", "address deleted, new one added", "new one 3 s later")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("tcp", "user_timeout_s", "measured_s"),
    [
        pytest.param(TCP(), 0.0, (924.6, 939.4), id="r2=15"),
        pytest.param(TCP(retries2=5), 0.0, (13.1, 13.4), id="r2=5"),
        pytest.param(TCP(), 10.0, (10.2, 10.6), id="user timeout 10 s"),
    ],
)
def test_a_sender_of_a_byte_a_second_learns_of_a_dead_path_as_late_as_measured(way, tcp, user_timeout_s, measured_s):
    """Linux TCP, table: the application cannot tell a black hole from an address that is gone. Within 2 %."""
    config = replace(SILENT, user_timeout_s=user_timeout_s)
    seen = run(dead(way, END_S), config, telemetry(1.0, size=1), server=replace(PLAIN, tcp=tcp), trace=False)
    gone = attempts(seen)[0]
    assert gone.reason == "timed_out"
    assert 0.98 * measured_s[0] <= gone.noticed_s - 3.0 <= 1.02 * measured_s[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("user_timeout_s", [0.0, 10.0])
def test_an_idle_connection_never_learns_of_a_dead_path(way, user_timeout_s):
    """Linux TCP, table: idle, and idle with TCP_USER_TIMEOUT: nothing in 1000 s."""
    seen = run(dead(way, END_S), replace(SILENT, user_timeout_s=user_timeout_s))
    (only,) = attempts(seen)
    assert math.isnan(only.noticed_s)


def test_the_standards_timers_end_a_connection_earlier():
    """RFC 6298 as a preset: minimum RTO 1 s, interval up to 60 s, so tcp_retries2 15 takes about 11 minutes."""
    seen = run(black_hole(HOLE_S, END_S), SILENT, telemetry(1.0), server=replace(PLAIN, tcp=TCP(preset="rfc6298")), trace=False)
    assert attempts(seen)[0].noticed_s - 3.0 == pytest.approx(63.0 + 10 * 60.0, abs=1.0)


def test_a_connection_survives_its_address_being_deleted_and_put_back_five_seconds_later():
    """Linux TCP: connection survives, 31 of 31 bytes in 30 s arrive, the queue is empty 10 s after the deletion."""
    timeline = drive(Row(0.0), Row(10.5, -1), Row(15.5, 0), end_s=31.5)
    seen = run(timeline, replace(SILENT, user_timeout_s=0.0), telemetry(1.0, size=1))
    (only,) = attempts(seen)
    assert math.isnan(only.noticed_s)
    arrived = delivered(seen)
    assert len(arrived) == 31
    assert all(at <= max(20.5, created) + 0.01 for at, created in zip(arrived, range(1, 32), strict=True))
    assert arrived == sorted(arrived)


#: silence in s -> the retransmission that gets through, in units of the RTO (RFC 8985 7, RFC 6298 5.5)
@pytest.mark.parametrize(
    ("silence_s", "rto_multiple"), [(0.1, 1), (0.3, 2), (0.5, 4), (1.0, 8), (2.0, 16), (5.0, 32), (10.0, 64), (30.0, 256)]
)
def test_what_is_written_into_a_silence_arrives_with_the_next_retransmission_after_it(silence_s, rto_multiple):
    """Linux TCP: the interval doubles, so a silence of D seconds delays what was written at its start by up to 2 D."""
    timeline = drive(Row(0.0), Row(9.999, 0, LinkState.LOST), Row(9.999 + silence_s), end_s=100.0)
    seen = run(timeline, SILENT, telemetry(10.0))
    assert delivered(seen)[0] == pytest.approx(10.0 + rto_multiple * (0.204 + RTT_S), abs=0.01)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_handover_with_forwarding_delays_and_loses_nothing(direction):
    """docs/sources.md, Real world 2.2: packets of an X2/Xn handover wait and are forwarded; no retransmission is needed."""
    timeline = drive(Row(0.0), Row(9.999, 0, LinkState.HELD), Row(10.049), end_s=30.0)
    workload = telemetry(10.0) if direction == "up" else chunks(10.0)
    seen = run(timeline, SILENT, workload)
    assert delivered(seen)[0] == pytest.approx(10.05, abs=0.002)


@pytest.mark.parametrize(
    ("unreachable_s", "syn_s"), [(0.5, 1), (1.5, 2), (3.2, 4), (4.5, 5), (5.5, 7), (8.0, 11), (12.0, 19), (20.0, 35)]
)
def test_a_connection_opens_with_the_first_syn_that_gets_through(unreachable_s, syn_s):
    """Linux ip-sysctl, tcp_syn_linear_timeouts: SYN at 0 1 2 3 4 5 7 11 19 35 67 s."""
    timeline = drive(Row(0.0, 0, LinkState.LOST), Row(unreachable_s), end_s=100.0)
    seen = run(timeline, replace(SILENT, connect_timeout_s=90.0))
    assert attempts(seen)[0].tcp_s == pytest.approx(syn_s + RTT_S)


def test_a_connection_attempt_without_any_answer_ends_after_131_seconds():
    """Linux ip-sysctl, tcp_syn_retries 6 with four linear ones: 131 s."""
    seen = run(drive(Row(0.0, 0, LinkState.LOST), end_s=200.0), replace(SILENT, connect_timeout_s=190.0))
    assert attempts(seen)[0].noticed_s == pytest.approx(131.0)
    assert attempts(seen)[0].reason == "timed_out"


@pytest.mark.parametrize(
    ("size", "rounds"), [(1_000, 1), (13_000, 1), (20_000, 2), (40_000, 2), (60_000, 3), (95_000, 3), (110_000, 4)]
)
@pytest.mark.parametrize("idle", [False, True])
def test_a_write_takes_a_round_trip_for_each_doubling_of_the_initial_window(size, rounds, idle):
    """RFC 6928, RFC 5681 3.1 and 4.1: ten segments (14,480 bytes), then twice as many each round trip; anew after idle."""
    at_s = (5.0, 25.0) if idle else (5.0,)
    seen = run(drive(Row(0.0, rtt_s=1.0), end_s=60.0), SILENT, chunks(*at_s, size=size))
    assert delivered(seen)[-1] - at_s[-1] == pytest.approx(0.5 + (rounds - 1) * 1.0, abs=0.001)


def test_a_window_once_opened_stays_open_while_data_flows():
    seen = run(drive(Row(0.0, rtt_s=1.0), end_s=60.0), SILENT, chunks(5.0, 7.1, size=27_000))
    assert [at - created for at, created in zip(delivered(seen), (5.0, 7.1), strict=True)] == pytest.approx([1.5, 0.5], abs=0.01)


@pytest.mark.parametrize("rate_bps", [64e3, 256e3, 2e6])
def test_the_rate_of_the_link_adds_the_time_its_bytes_take(rate_bps):
    """Arrival of the last byte = bytes on the wire x 8 / rate + half a round trip."""
    seen = run(drive(Row(0.0, down_bps=rate_bps), end_s=60.0), SILENT, chunks(5.0, size=10_000))
    topic, header = len("vehicle/VIN123/down/ota"), 3 + 2 + 2
    encoded = 10_000 + topic + header
    wire = encoded + 52 * math.ceil(encoded / 1448)
    assert delivered(seen)[0] == pytest.approx(5.0 + wire * 8 / rate_bps + RTT_S / 2, abs=1e-6)


def test_a_window_counts_payload_and_not_headers():
    """RFC 6928 counts segments of payload: 14,000 bytes fit into ten segments of 1448."""
    seen = run(drive(Row(0.0, rtt_s=1.0), end_s=60.0), SILENT, chunks(5.0, size=14_000))
    assert delivered(seen)[0] - 5.0 == pytest.approx(0.5, abs=0.001)
