"""The carrier's NAT: a rebind or idle expiry cuts a connection without a word (RFC 4787, RFC 5382; docs/model.md)."""

from dataclasses import replace

import pytest

from sim.drive.config import CGNAT, Network
from sim.strategies.config import Hybrid, MQTTPersistent
from sim.strategies.workload import Diagnostics
from tests.model.runs import NOTHING_TO_SEND, Row, attempts, chunks, delivered, drive, run, telemetry

RTT_S = 0.08


def rebound(*at_s, end_s=200.0, **cgnat):
    timeline = replace(drive(Row(0.0, rtt_s=RTT_S), end_s=end_s), rebinds_s=at_s)
    return timeline, Network(access="cgnat", cgnat=CGNAT(**cgnat))


def over(timeline_and_network, config=None, workload=NOTHING_TO_SEND, **other):
    timeline, network = timeline_and_network
    return run(timeline, config or MQTTPersistent(), workload, network=network, **other)


def test_the_next_uplink_packet_after_a_rebind_is_answered_by_rst():
    seen = over(rebound(42.0), workload=telemetry(10.0))
    first, second = attempts(seen)
    assert (first.reason, first.path_end_s) == ("reset", 42.0)
    assert first.noticed_s == pytest.approx(50.0 + RTT_S, abs=0.002)
    assert second.asked_s == first.noticed_s
    assert second.outcome == "ready"
    assert all(outcome == "delivered" for outcome, _ in seen.outcomes)


def test_where_the_nat_drops_silently_the_keep_alive_notices():
    """Between K and 2 K after the rebind (paho's ping rule), as with any path that dies without a word."""
    seen = over(rebound(42.0, after_expiry="drop"), workload=telemetry(10.0))
    first = attempts(seen)[0]
    assert first.reason == "keep_alive"
    assert 30.0 <= first.noticed_s - 42.0 <= 60.1


def test_where_the_nat_drops_silently_tcp_user_timeout_counts_from_the_first_packet_lost():
    seen = over(rebound(42.0, after_expiry="drop"), MQTTPersistent(user_timeout_s=5.0), telemetry(10.0))
    first = attempts(seen)[0]
    assert first.reason == "timed_out"
    assert 55.0 <= first.noticed_s <= 56.0  # at 50 s, and TCP looks at it when it resends


def test_downlink_is_silent_after_a_rebind_and_the_queue_brings_it_after_the_reconnect():
    seen = over(rebound(42.0), MQTTPersistent(keep_alive_s=60.0), chunks(43.0))
    first, second = attempts(seen)
    assert first.reason == "reset"  # the next ping meets it
    assert delivered(seen)[0] > second.ready_s - RTT_S > 43.0


@pytest.mark.parametrize(("size", "at_s", "reason"), [(4 * 1024 * 1024, 41.5, "reset"), (2_000, 41.5, "reset")])
def test_what_is_under_way_at_the_rebind_is_lost_and_comes_again(size, at_s, reason):
    """5.6 s of downlink on 6 Mbit/s are cut by the rebind; 2,000 bytes are through before it."""
    timeline = replace(drive(Row(0.0, rtt_s=RTT_S, down_bps=6e6), end_s=200.0), rebinds_s=(42.0,))
    seen = run(timeline, MQTTPersistent(), chunks(at_s, size=size), network=Network(access="cgnat"))
    assert attempts(seen)[0].reason == reason
    assert seen.record.sends[0] == (2 if size > 10_000 else 1)
    assert seen.outcomes[0] == ("delivered", "")


def test_a_rebind_is_nothing_where_there_is_no_nat_or_no_connection():
    timeline, _ = rebound(42.0)
    public = run(replace(timeline, rebinds_s=()), MQTTPersistent(), telemetry(10.0), access="public")
    assert len(attempts(public)) == 1
    polls = Hybrid(fallback_after_s=0.0)
    seen = over(rebound(300.0, end_s=100.0), polls, telemetry(10.0))
    assert len(attempts(seen)) == 1


@pytest.mark.parametrize("after_expiry", ["reset", "drop"])
def test_a_mapping_that_idles_too_long_is_gone_for_both_directions(after_expiry):
    """Keep alive 10 min, idle timeout 5 min: the request at 400 s is not answered; the ping after it finds out."""
    workload = replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=400.0))
    seen = over(
        rebound(end_s=1500.0, after_expiry=after_expiry), MQTTPersistent(keep_alive_s=600.0, address_watch="off"), workload
    )
    first = attempts(seen)[0]
    assert first.reason == ("reset" if after_expiry == "reset" else "keep_alive")
    noticed_s = 600.4 if after_expiry == "reset" else 1200.4  # the ping goes out 600 s after SUBSCRIBE, or is not answered
    assert first.noticed_s == pytest.approx(noticed_s, abs=0.3)
