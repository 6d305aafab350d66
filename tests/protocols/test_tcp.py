"""Timers of TCP as pure functions: docs/sources.md, Linux TCP (Brokers 8), and RFC 6298."""

import itertools

import pytest

from sim.protocols.tcp import (
    HEADER_BYTES,
    TCP,
    ack_bytes,
    gives_up_after_s,
    retransmissions,
    rto_s,
    syn_gives_up_s,
    syn_instants,
    wire_bytes,
)

LAN_RTT_S = 0.0005
LINUX, RFC = TCP(), TCP(preset="rfc6298")


def first(tcp: TCP, rto: float, n: int) -> list[float]:
    return list(itertools.islice(retransmissions(tcp, rto), n))


@pytest.mark.parametrize(
    ("retries2", "measured_s"),
    [
        pytest.param(15, (924.6, 924.6), id="15 in theory at an RTO of 200 ms"),
        pytest.param(15, (937.6, 939.4), id="15 measured"),
        pytest.param(5, (13.1, 13.4), id="5 measured"),
    ],
)
def test_retries2_ends_a_connection_as_late_as_on_linux_within_two_percent(retries2, measured_s):
    """docs/sources.md, Linux TCP: "send, r2=15" and "send, r2=5", and the figure of the kernel's documentation."""
    given_up_s = gives_up_after_s(TCP(retries2=retries2), rto_s(LINUX, LAN_RTT_S))
    assert 0.98 * measured_s[0] <= given_up_s <= 1.02 * measured_s[1]


@pytest.mark.parametrize(("user_timeout_s", "measured_s"), [(10.0, (10.2, 10.6)), (5.0, (5.35, 5.55))])
def test_a_user_timeout_is_overrun_by_what_was_measured(user_timeout_s, measured_s):
    """docs/sources.md, Linux TCP: 10.2-10.6 s; Brokers 7: 5.45-5.65 s after the hole with a publish 0.1 s after it."""
    given_up_s = gives_up_after_s(LINUX, rto_s(LINUX, LAN_RTT_S), user_timeout_s)
    assert measured_s[0] <= given_up_s <= measured_s[1]


@pytest.mark.parametrize("retries2", range(1, 31))
@pytest.mark.parametrize("rtt_s", [0.0, 0.08, 0.85, 3.0])
@pytest.mark.parametrize("preset", ["linux", "rfc6298"])
def test_a_connection_is_given_up_when_a_timer_runs_out_and_later_with_more_retries(retries2, rtt_s, preset):
    tcp = TCP(preset=preset, retries2=retries2)
    given_up_s = gives_up_after_s(tcp, rto_s(tcp, rtt_s))
    assert any(abs(at - given_up_s) < 0.05 for at in first(tcp, rto_s(tcp, rtt_s), 60))
    assert given_up_s >= gives_up_after_s(TCP(preset=preset, retries2=max(1, retries2 - 1)), rto_s(tcp, rtt_s))


def test_linux_probes_after_an_rto_and_then_doubles_the_interval_up_to_two_minutes():
    """RFC 8985 7 (tail loss probe), RFC 6298 5.5; Linux: TCP_RTO_MAX 120 s."""
    assert first(LINUX, 0.2, 6) == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
    at = first(LINUX, 0.2, 20)
    assert at[-1] - at[-2] == pytest.approx(120.0)


def test_the_standard_doubles_from_the_first_interval_on_up_to_a_minute():
    """RFC 6298 2.4, 2.5, 5.5."""
    assert rto_s(RFC, 0.08) == 1.0
    assert first(RFC, 1.0, 8) == pytest.approx([1, 3, 7, 15, 31, 63, 123, 183])


def test_the_rto_of_linux_is_the_round_trip_and_a_fifth_of_a_second():
    assert rto_s(LINUX, 0.08) == pytest.approx(0.28, abs=0.005)


def test_syn_is_sent_each_second_before_the_interval_doubles():
    """Linux ip-sysctl, tcp_syn_linear_timeouts 4 and tcp_syn_retries 6; RFC 6298 5.7 with 1 s."""
    assert syn_instants(LINUX)[:8] == (0, 1, 2, 3, 4, 5, 7, 11)
    assert syn_instants(RFC)[:5] == (0, 1, 3, 7, 15)
    for tcp in (LINUX, RFC):
        instants = syn_instants(tcp)
        assert syn_gives_up_s(tcp) == instants[-1] + 2 * (instants[-1] - instants[-2])


@pytest.mark.parametrize(("size", "segments"), [(1, 1), (1448, 1), (1449, 2), (14480, 10), (14481, 11), (262_144, 182)])
def test_each_segment_costs_a_header_and_each_second_one_an_acknowledgement(size, segments):
    """RFC 5681 4.2; IPv4 20, TCP 20 and the timestamps option 12 bytes."""
    assert HEADER_BYTES == 52
    assert wire_bytes(LINUX, size) == size + 52 * segments
    assert ack_bytes(LINUX, size) == 52 * ((segments + 1) // 2)
