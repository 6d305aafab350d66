"""The server connects in: ddns_heartbeat and static_push. docs/sources.md, Seed (strategy 2), Failure modes F21, F22."""

from dataclasses import replace

import pytest

from sim.drive.config import Network, Reassignment
from sim.protocols.tls import TLS
from sim.strategies.config import DDNSHeartbeat, Push, StaticPush
from sim.strategies.workload import Diagnostics
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, attempts, chunks, delivered, drive, lost, run, telemetry

TLS_SERVER = replace(PLAIN, tls=TLS(profile="hybrid"))


def change_at(at_s: float, end_s: float = 120.0, without_s: float = 0.0):
    rows = [Row(0.0, rtt_s=0.05), Row(at_s, -1, rtt_s=0.05), Row(at_s + without_s, 1, rtt_s=0.05)]
    return drive(*(rows if without_s else (rows[0], rows[2])), end_s=end_s)


def push(
    timeline, config=None, workload=NOTHING_TO_SEND, *, access="private_apn", use="ddns_heartbeat", server=TLS_SERVER, **other
):
    return run(timeline, config or DDNSHeartbeat(), workload, use=use, access=access, server=server, **other)


@pytest.mark.parametrize(("use", "config"), [("ddns_heartbeat", DDNSHeartbeat()), ("static_push", StaticPush())])
def test_behind_carrier_grade_nat_nothing_can_be_pushed(use, config):
    """Failure modes F22: no server-initiated connection; only what the vehicle begins works."""
    seen = push(drive(Row(0.0), end_s=295.0), config, chunks(5.0, 40.0), access="cgnat", use=use)
    assert all(outcome != "delivered" for outcome, _ in seen.outcomes)
    assert all(row.outcome != "ready" for row in attempts(seen, "push"))
    if use == "ddns_heartbeat":
        assert all(row.outcome == "ready" for row in attempts(seen, "heartbeat"))
    up = push(drive(Row(0.0), end_s=100.0), config, telemetry(20.0), access="cgnat", use=use)
    assert [outcome for outcome, _ in up.outcomes] == ["delivered"] * 4


@pytest.mark.parametrize("access", ["private_apn", "public"])
def test_where_the_server_can_reach_the_vehicle_it_delivers_at_once(access):
    """TCP, TLS and the request: two and a half round trips, and CPU."""
    seen = push(drive(Row(0.0, rtt_s=0.05), end_s=100.0), None, chunks(5.0, 40.0), access=access)
    took = [at - created for at, created in zip(delivered(seen), (5.0, 40.0), strict=True)]
    assert took == pytest.approx([0.125, 0.125], abs=0.015)


def test_heartbeats_go_out_every_thirty_seconds():
    """Seed, strategy 2 B: sleep_for(seconds(30))."""
    seen = push(drive(Row(0.0), end_s=125.0))
    assert [round(row.asked_s, 3) for row in attempts(seen, "heartbeat")] == [0.0, 30.0, 60.0, 90.0, 120.0]


@pytest.mark.parametrize(("changed_s", "delivered_s"), [(31.0, 60.0), (45.0, 60.0), (59.0, 90.0)])
def test_what_is_sent_to_the_old_address_waits_for_the_next_heartbeat(changed_s, delivered_s):
    """Seed, strategy 2: the server knows of a new address by the next heartbeat; a failed connection (10 s) waits for one."""
    seen = push(change_at(changed_s), None, chunks(changed_s + 0.5))
    first, second = attempts(seen, "push")
    assert (first.target, first.outcome) == ("10.1.1.100:8443", "failed")
    assert (second.target, second.trigger) == ("10.2.1.100:8443", "heartbeat")
    assert delivered(seen)[0] == pytest.approx(delivered_s, abs=0.3)


def test_a_connection_to_the_old_address_is_given_up_after_ten_seconds():
    """A black hole: SYN without an answer, connect timeout 10 s."""
    seen = push(change_at(31.0), None, chunks(35.0))
    (first, _) = attempts(seen, "push")
    assert (first.reason, first.noticed_s) == ("connect_timeout", pytest.approx(45.0))


@pytest.mark.parametrize(("old_path", "reason"), [("reset", "refused"), ("icmp", "unreachable")])
def test_an_old_address_that_answers_is_noticed_within_a_round_trip(old_path, reason):
    network = Network(access="private_apn", reassignment=Reassignment(old_path=old_path))
    seen = push(change_at(31.0), None, chunks(35.0), network=network)
    first = attempts(seen, "push")[0]
    assert (first.reason, first.noticed_s) == (reason, pytest.approx(35.05, abs=0.01))


@pytest.mark.parametrize(("reuse_after_s", "reason"), [(None, "connect_timeout"), (2.0, "wrong_peer"), (60.0, "connect_timeout")])
def test_an_address_that_is_another_vehicles_by_now_fails_in_tls(reuse_after_s, reason):
    """docs/sources.md, Real world 2.1: an address is not given to another user immediately; then TLS shows another name."""
    network = Network(access="private_apn", reassignment=Reassignment(reuse_after_s=reuse_after_s))
    seen = push(change_at(31.0), None, chunks(35.0), network=network)
    first = attempts(seen, "push")[0]
    assert first.reason == reason
    assert delivered(seen)[0] == pytest.approx(60.0, abs=0.5), "kept until the next heartbeat"


@pytest.mark.parametrize(
    ("watch", "beat_s", "delivered_s"), [("link_event", 33.0, 33.6), ("poll", 40.0, 70.2), ("off", 60.0, 60.2)]
)
def test_a_heartbeat_at_the_change_of_address_helps_where_it_comes_before_the_message(watch, beat_s, delivered_s):
    """A failure keeps the message until the next accepted heartbeat: that of the poll, at 40 s, comes while the server still
    knocks at the old address (33.5 to 43.5 s), and the next one 30 s later."""
    seen = push(change_at(33.0), DDNSHeartbeat(address_watch=watch), chunks(33.5))
    beats = [row.asked_s for row in attempts(seen, "heartbeat") if row.address == "10.2.1.100"]
    assert beats[0] == pytest.approx(beat_s)
    assert delivered(seen)[0] == pytest.approx(delivered_s, abs=0.2)


def test_a_lost_acknowledgement_delivers_a_message_twice_and_loses_none():
    """At least once: the batch was handed over, its response died with the path (it takes 1.7 s at 1 kbit/s), it is sent again
    and the second arrival is a duplicate by id."""
    rows = (Row(0.0, rtt_s=1.0), Row(41.5, rtt_s=1.0, up_bps=1e3), Row(42.5, 1, rtt_s=1.0))
    seen = push(drive(*rows, end_s=120.0), None, chunks(40.4), server=PLAIN)
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"]
    assert delivered(seen)[0] == pytest.approx(41.9, abs=0.05)
    assert seen.record.arrivals[0] == 2


def test_static_push_never_learns_another_address_and_gives_a_message_up_after_three_attempts():
    """The baseline: the address at the start, for ever; the loss is booked as a stale address."""
    seen = push(change_at(31.0, end_s=200.0), StaticPush(), chunks(5.0, 40.0), use="static_push")
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered", "lost"]
    assert lost(seen) == {"stale_address": 1}
    targets = {row.target for row in attempts(seen, "push")}
    assert targets == {"10.1.1.100:8443"}
    assert [row.asked_s for row in attempts(seen, "push")] == pytest.approx([5.0, 40.0, 60.0, 80.0])
    assert [row.waited_s for row in attempts(seen, "push")] == [0.0, 0.0, 10.0, 10.0]


def test_static_push_delivers_again_when_the_vehicle_has_its_first_address_back():
    timeline = drive(Row(0.0), Row(31.0, 1), Row(50.0, 0), end_s=200.0)
    seen = push(timeline, StaticPush(), chunks(40.0), use="static_push")
    assert delivered(seen)[0] == pytest.approx(60.0, abs=1.0)


@pytest.mark.parametrize("ttl_s", [0.0, 60.0])
def test_with_dynamic_dns_an_address_is_stale_for_propagation_and_ttl_too(ttl_s):
    """Real world 2.4: update + propagation (60 s) + TTL: 60 to 180 s after the heartbeat that told of it; F21."""
    config = DDNSHeartbeat(locate="dns", dns_ttl_s=ttl_s)
    seen = push(change_at(100.0, end_s=600.0), config, chunks(5.0, 95.0, *range(101, 400, 7)))
    late = delivered(seen)[2]
    told_s = 120.0
    assert told_s + 60.0 <= late <= told_s + 60.0 + ttl_s + 30.0 + 15.0


def test_a_diagnostics_request_is_answered_on_the_servers_own_transport():
    workload = replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=20.0))
    seen = push(drive(Row(0.0, rtt_s=0.05), end_s=70.0), None, workload)
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 3
    assert not attempts(seen, "post")


def test_a_request_that_could_not_be_sent_in_time_is_withdrawn():
    workload = replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=20.0, timeout_s=10.0))
    seen = push(change_at(30.0, end_s=100.0, without_s=50.0), None, workload)
    assert lost(seen) == {"request_timeout": 3}


def test_the_store_of_the_server_drops_its_oldest_message():
    config = DDNSHeartbeat(push=Push(store_limit=3))
    seen = push(drive(Row(0.0, -1), end_s=60.0), config, chunks(*range(5, 15)))
    assert lost(seen) == {"queue_full": 7}
    assert [outcome for outcome, _ in seen.outcomes] == ["lost"] * 7 + ["pending"] * 3


def test_telemetry_is_posted_from_the_outbox_and_kept_over_a_gap():
    seen = push(drive(Row(0.0), Row(30.5, -1), Row(60.5, 1), end_s=100.0), None, telemetry(10.0))
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 9
