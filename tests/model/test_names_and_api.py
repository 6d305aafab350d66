"""Outage of DNS, an old answer, errors of the API, an expired certificate (docs/faults.md)."""

from dataclasses import replace

import pytest

from sim.protocols.dns import DNS
from sim.protocols.tls import TLS
from sim.server.config import Fault
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTPersistent
from tests.model.runs import PLAIN, attempts, chunks, delivered, telemetry
from tests.model.server_faults import RTT_S, run_with, steady

OLD = "198.51.100.7"
NAMED = replace(PLAIN, dns=DNS(ttl_s=60.0))
#: ends the connection at 100 s, so that the name is needed
CRASH = Fault("node_crash", at_s=100.0, for_s=1.0)


def test_a_dns_outage_makes_attempts_fail_until_it_is_over():
    """Queries of 100.04, 105.04 and 110.04 s are lost, but the attempt gives up after 10 s, before the third."""
    seen = run_with([CRASH, Fault("dns_outage", at_s=90.0, for_s=30.0)], server=NAMED)
    first, second, *_, last = attempts(seen)
    assert first.reason == "closed"
    assert (second.reason, second.noticed_s - second.asked_s) == ("connect_timeout", pytest.approx(10.0))
    assert second.started_s != second.started_s  # never got to a transport
    assert 120.0 < last.ready_s < 140.0


def test_a_cached_name_outlives_the_outage():
    server = replace(PLAIN, dns=DNS(ttl_s=3600.0))
    seen = run_with([CRASH, Fault("dns_outage", at_s=90.0, for_s=200.0)], server=server)
    assert attempts(seen)[-1].ready_s < 103.0


@pytest.mark.parametrize(("how", "reason"), [(None, "refused"), ("host", "connect_timeout")])
def test_an_old_answer_leads_to_where_nobody_is_until_its_ttl_has_passed(how, reason):
    """Resolved at 100.04 s, when the first answer has expired; the old address is kept for 60 s."""
    fault = Fault("dns_stale", at_s=90.0, for_s=15.0, address=OLD, how=how)
    seen = run_with([CRASH, fault], MQTTPersistent(), server=NAMED)
    _first, *rows = attempts(seen)
    stale = [row for row in rows if row.target.startswith(OLD)]
    assert {row.reason for row in stale} == {reason}
    assert len(stale) >= 2
    good = next(row for row in rows if not row.target.startswith(OLD) and row.outcome == "ready")
    assert good.asked_s > 160.0


def test_requests_that_fail_are_answered_with_503_and_nothing_is_lost():
    seen = run_with([Fault("api_errors", at_s=50.0, for_s=60.0)], DDNSHeartbeat(), telemetry(10.0), use="ddns_heartbeat")
    posts = attempts(seen, "post")
    assert {row.reason for row in posts if 50.0 < row.asked_s < 110.0} == {"refused"}
    assert all(outcome == "delivered" for outcome, _ in seen.outcomes[:-1])
    waited = [at - message.created_s for message, at in zip(seen.record.messages, delivered(seen), strict=True)]
    assert max(waited[5:10]) > 10.0
    beats = attempts(seen, "heartbeat")
    assert {row.reason for row in beats if 50.0 < row.asked_s < 110.0} == {"refused"}


def test_a_share_of_requests_fails():
    seen = run_with(
        [Fault("api_errors", at_s=0.0, for_s=3000.0, error_share=0.3)], DDNSHeartbeat(), telemetry(10.0), use="ddns_heartbeat",
        timeline=steady(3000.0), fixed=False, seed=3,
    )  # fmt: skip
    rows = [row for row in attempts(seen, "heartbeat") + attempts(seen, "post") if row.outcome != "open"]
    failed = sum(row.outcome == "failed" for row in rows) / len(rows)
    assert len(rows) > 300
    assert failed == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize(("how", "reason"), [("process", "refused"), ("host", "request_timeout")])
def test_api_servers_that_are_gone_refuse_or_are_silent(how, reason):
    config = Hybrid(poll_s=5.0, keep_alive_s=5.0)
    faults = [Fault("node_crash", at_s=40.0, for_s=100.0), Fault("api_errors", at_s=40.0, for_s=50.0, how=how)]
    seen = run_with(faults, config, chunks(60.0), use="hybrid")
    polls = attempts(seen, "poll")
    early = {row.reason for row in polls if row.asked_s < 80.0}
    assert early == ({reason} if how == "process" else {"connect_timeout"})
    assert 90.0 < delivered(seen)[0] < 105.0


def test_an_expired_certificate_stops_new_connections_and_no_old_one():
    server = replace(PLAIN, tls=TLS(profile="hybrid"))
    seen = run_with([Fault("certificate_expiry", at_s=50.0)], server=server, workload=chunks(60.0))
    assert [row.outcome for row in attempts(seen)] == ["ready"]
    seen = run_with([Fault("certificate_expiry", at_s=50.0, for_s=70.0), CRASH], server=server, workload=chunks(60.0))
    _first, refused, *rows = attempts(seen)
    assert refused.reason == "refused"  # the node is down
    failed = [row for row in rows if row.outcome == "failed"]
    assert {row.reason for row in failed} == {"tls_failed"}
    assert all(row.noticed_s < 120.1 for row in failed)
    assert rows[-1].ready_s > 120.0
    assert failed[0].noticed_s - failed[0].asked_s == pytest.approx(2 * RTT_S, abs=0.01)  # TCP, then the server's flight


def test_who_resumes_sees_no_certificate():
    server = replace(PLAIN, tls=TLS(profile="hybrid", resumption="stateful", resume_after_death=True))
    seen = run_with([Fault("certificate_expiry", at_s=50.0), CRASH], server=server)
    assert attempts(seen)[-1].outcome == "ready"
    assert attempts(seen)[-1].resumed
