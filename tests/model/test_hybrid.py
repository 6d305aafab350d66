"""Strategy 3: MQTT first, HTTPS polling while it is down. docs/sources.md, Seed (strategy 3), and its production page."""

from dataclasses import replace

import pytest

from sim.protocols.broker_presets import Broker
from sim.strategies.config import Hybrid
from sim.strategies.workload import Diagnostics, Telemetry
from tests.model.runs import NOTHING_TO_SEND, PLAIN, Row, attempts, chunks, delivered, drive, lost, run


def modes(run) -> list[tuple[float, str]]:
    return [(round(t, 3), state) for t, machine, state, _ in run.record.states if state in ("mqtt_primary", "https_fallback")]


def hybrid(timeline, workload=NOTHING_TO_SEND, server=PLAIN, **settings):
    return run(timeline, replace(Hybrid(), **settings), workload, use="hybrid", server=server)


def test_while_mqtt_is_up_nothing_is_polled():
    seen = hybrid(drive(Row(0.0), end_s=300.0), chunks(10.0, 50.0))
    assert attempts(seen, "poll") == []
    assert modes(seen) == []
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 2


def test_the_fallback_begins_when_the_first_attempt_has_failed():
    """Seed, strategy 3 A: 1. attempt MQTT, 2. on failure switch to HTTPS polling. Notice at 30 s (poll of the address)."""
    seen = hybrid(drive(Row(0.0), Row(20.0, -1), end_s=100.0), keep_alive_s=15.0, address_watch="off")
    noticed_s = attempts(seen)[0].noticed_s
    assert noticed_s == pytest.approx(45.0, abs=0.01)
    assert modes(seen) == [(pytest.approx(noticed_s, abs=0.001), "https_fallback")]
    assert attempts(seen, "poll")[0].asked_s == pytest.approx(noticed_s)


def test_a_reconnection_that_succeeds_at_once_never_falls_back():
    seen = hybrid(drive(Row(0.0), Row(20.0, 1), end_s=100.0), address_watch="link_event")
    assert modes(seen) == []
    assert attempts(seen, "poll") == []


@pytest.mark.parametrize(
    ("poll_s", "expected"), [(60.0, [0, 60, 120]), (10.0, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])]
)
def test_polls_come_at_once_and_then_each_period(poll_s, expected):
    """Seed, strategy 3 A: every 60 s; its code's loop sleeps 10 s."""
    seen = hybrid(drive(Row(0.0, -1), end_s=125.0), poll_s=poll_s)
    assert [round(row.asked_s, 3) for row in attempts(seen, "poll")] == expected


def test_a_fallback_after_long_failure_polls_later():
    """Seed, production page: HTTPS polling after long failure."""
    seen = hybrid(drive(Row(0.0, -1), end_s=125.0), fallback_after_s=30.0)
    assert [row.asked_s for row in attempts(seen, "poll")] == [30.0, 90.0]


def test_mqtt_is_retried_in_the_background_by_its_backoff_and_ends_the_fallback():
    """Seed, strategy 3 A: 3. MQTT reconnection goes on in the background."""
    seen = hybrid(drive(Row(0.0, -1), Row(20.0, 0), end_s=100.0))
    assert [round(row.asked_s) for row in attempts(seen)] == [0, 1, 3, 7, 15, 31]
    assert modes(seen)[-1] == (pytest.approx(31.0, abs=0.01), "mqtt_primary")
    assert [row.asked_s for row in attempts(seen, "poll")] == [0.0]


def test_as_in_the_seeds_code_mqtt_may_be_retried_only_before_each_poll():
    """Seed, strategy 3 B: attemptConnection(), else pollServerViaHTTPS(), sleep 10 s."""
    seen = hybrid(drive(Row(0.0, -1), Row(25.0, 0), end_s=60.0), retry="with_poll", poll_s=10.0)
    assert [round(row.asked_s) for row in attempts(seen)] == [0, 10, 20, 30]


def polling(timeline, workload, **settings):
    """MQTT cannot be had (its attempts are refused by their own timeout of 1 ms); polls can."""
    return hybrid(timeline, workload, connect_timeout_s=0.001, **settings)


CLEAR = (Row(0.0, rtt_s=0.05),)


@pytest.mark.parametrize("ack", ["explicit", "none"])
def test_a_poll_brings_what_is_pending_oldest_first(ack):
    seen = polling(drive(*CLEAR, end_s=130.0), chunks(5.0, 10.0, 15.0, 70.0), ack=ack)
    assert [round(at, 1) for at in delivered(seen)] == pytest.approx([60.1, 60.1, 60.1, 120.1], abs=0.11)
    assert set(seen.record.via) == {"poll"}
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 4


def test_a_backlog_larger_than_a_batch_is_drained_at_once_or_a_batch_a_period():
    """poll_batch 10: 25 chunks take three requests of one poll, or three polls."""
    work = chunks(*(1.0 + i for i in range(25)))
    drained = polling(drive(*CLEAR, end_s=250.0), work)
    assert [int(at // 60) for at in delivered(drained)] == [1] * 25
    slow = polling(drive(*CLEAR, end_s=250.0), work, poll_drains=False)
    assert [int(at // 60) for at in delivered(slow)] == [1] * 10 + [2] * 10 + [3] * 5


#: the response to the poll at 60 s leaves the server half a round trip of 2 s after the request, TCP having taken one
CUT_S = 63.6


def cut_response():
    """The poll's response (due at 64 s) meets a lost link; it is retransmitted to an address that is gone."""
    return drive(Row(0.0, rtt_s=2.0), Row(CUT_S, 1, rtt_s=2.0), end_s=200.0)


def test_without_acknowledgement_a_lost_response_loses_its_messages():
    """Seed, strategy 3 B: removed when read. The loss is booked as poll_response_lost."""
    seen = polling(cut_response(), chunks(5.0, 10.0), ack="none")
    assert lost(seen) == {"poll_response_lost": 2}


def test_with_acknowledgement_a_lost_response_loses_nothing():
    seen = polling(cut_response(), chunks(5.0, 10.0), ack="explicit")
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 2
    assert min(delivered(seen)) > 120.0
    assert list(seen.record.arrivals) == [1, 1]


def test_a_lost_acknowledgement_makes_duplicates_by_id_and_the_next_poll_tells_what_has_arrived():
    """Delivered by the poll, acknowledged in vain: the next poll names the ids that have arrived, so nothing comes twice."""
    rows = (Row(0.0, rtt_s=2.0), Row(63.9, rtt_s=2.0, up_bps=100.0), Row(66.0, 1, rtt_s=2.0))
    seen = polling(drive(*rows, end_s=200.0), chunks(5.0, 10.0))
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 2
    assert list(seen.record.arrivals) == [1, 1]


def test_a_message_that_comes_by_poll_and_by_mqtt_is_counted_once_and_as_a_duplicate():
    """One message, two views: what the poll has delivered stays in the MQTT session, which sends it again later."""
    rows = (Row(0.0, rtt_s=0.05), Row(20.0, -1, rtt_s=0.05), Row(34.0, 1, rtt_s=0.05))
    seen = hybrid(drive(*rows, end_s=150.0), chunks(5.0, 33.0), keep_alive_s=5.0, address_watch="off", poll_s=5.0)
    assert seen.record.via == ["mqtt", "poll"]
    assert list(seen.record.arrivals) == [1, 2]
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 2


@pytest.mark.parametrize(("uplink", "via"), [("outbox", "mqtt"), ("post", "post")])
def test_uplink_in_fallback_waits_in_the_outbox_or_is_posted(uplink, via):
    rows = (Row(0.0, -1, rtt_s=0.05), Row(16.0, 0, rtt_s=0.05))
    work = replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=20.0))
    seen = hybrid(drive(*rows, end_s=35.0), work, uplink=uplink)
    assert seen.record.via == [via]
    expected = 20.15 if uplink == "post" else 31.0
    assert delivered(seen)[0] == pytest.approx(expected, abs=0.2)


def test_a_request_that_came_by_poll_is_answered_by_post_at_once():
    work = replace(NOTHING_TO_SEND, diagnostics=Diagnostics(every_s=25.0))
    seen = polling(drive(*CLEAR, end_s=100.0), work, uplink="post")
    assert delivered(seen)[:2] == pytest.approx([60.25, 60.25], abs=0.1)


def test_an_outbox_larger_than_a_batch_is_posted_without_a_pause():
    rows = (Row(0.0, -1, rtt_s=0.05), Row(50.0, 0, rtt_s=0.05))
    work = replace(NOTHING_TO_SEND, telemetry=Telemetry(every_s=1.0))
    seen = hybrid(drive(*rows, end_s=55.0), work, uplink="post", connect_timeout_s=0.001)
    assert len(delivered(seen)) == 54
    assert max(delivered(seen)[:49]) < 52.0


def test_probes_are_not_kept_for_polls():
    """The lab's own requests are sent once or not at all (QoS 0)."""
    seen = polling(drive(*CLEAR, end_s=100.0), chunks(5.0, qos=0))
    assert lost(seen) == {"no_subscription": 1}


def test_the_pending_list_drops_its_oldest_message():
    seen = polling(drive(*CLEAR, end_s=50.0), chunks(*range(5, 15)), store_limit=4)
    assert [outcome for outcome, _ in seen.outcomes] == ["lost"] * 6 + ["pending"] * 4
    assert lost(seen) == {"queue_full": 6}


@pytest.mark.parametrize(("again", "outcome"), [((), "pending"), ((Row(100.0, -1), Row(172.0, 0)), "delivered")])
def test_what_the_mqtt_session_had_no_room_for_waits_in_the_pending_list_for_the_next_fallback(again, outcome):
    """Seed, strategy 3 B: it polls in the fallback alone. Back on MQTT nothing asks for what only the list has: it is pending."""
    full = replace(PLAIN, broker=Broker("spec", queue_limit=1))
    rows = (Row(0.0), Row(20.0, -1), Row(45.0, 1), *again)  # the first outage is too short for a fallback
    settings = {"keep_alive_s": 5.0, "address_watch": "off", "fallback_after_s": 60.0, "poll_s": 5.0}
    seen = hybrid(drive(*rows, end_s=300.0), chunks(30.0, 31.0), server=full, **settings)
    assert seen.record.via[0] == "mqtt"
    assert seen.outcomes == [("delivered", ""), (outcome, "")]
    if outcome == "delivered":
        assert seen.record.via[1] == "poll"
        assert delivered(seen)[1] > 172.0
