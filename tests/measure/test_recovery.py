import math
from typing import Any

import pytest

from sim.measure.arrivals import Arrivals
from sim.measure.attempt_history import Channel, History, attempts_of, channel_of
from sim.measure.drive_path import DrivePath, Event
from sim.measure.episode_words import episode_in_words
from sim.measure.recovery import Episode, episodes_of, recovery, worst

from .records import connection, history, message, reassignment, table, timeline

# the address A ends at 100 s, B begins at 102 s
CHANGE = timeline((0.0, "A", "up"), (100.0, "", "lost"), (102.0, "B", "up"))
# the link loses everything from 100 s to 105 s and keeps its address
SILENCE = timeline((0.0, "A", "up"), (100.0, "A", "lost"), (105.0, "A", "up"))
SILENT = Event("silence", 100.0, 105.0)


def one(past: History, *events: Event, messages: list[dict[str, Any]] | None = None) -> Episode:
    found = episodes_of(past, events or (reassignment(100.0, 102.0),), table("messages", *(messages or [])))
    assert len(found) == 1
    episode = found[0]
    assert sum(episode.phases.values()) == pytest.approx(episode.length_s)
    return episode


def phases(episode: Episode) -> dict[str, float]:
    return {label: pytest.approx(value) for label, value in episode.phases.items() if value > 1e-9}


def first_connection(**more: Any) -> dict[str, Any]:
    return connection(0, "mqtt", 0.0, 1.0, path_end_s=100.0, noticed_s=110.0, reason="address", **more)


def test_mqtt_unnoticed_then_a_failed_attempt_backoff_and_the_phases_of_the_last() -> None:
    past = history(
        Channel.MQTT,
        CHANGE,
        first_connection(),
        connection(1, "mqtt", 110.0, address="B", noticed_s=113.0),
        connection(2, "mqtt", 114.0, 114.5, address="B"),
    )
    episode = one(past)
    assert (episode.start_s, episode.end_s, episode.censored) == (100.0, 114.5, False)
    assert phases(episode) == {
        "no_address": 2.0,
        "undetected": 8.0,
        "failed_attempt": 3.0,
        "backoff": 1.0,
        "dns": 0.1,
        "tcp": 0.1,
        "tls": 0.1,
        "connect": 0.1,
        "subscribe": 0.1,
    }
    assert episode_in_words(episode) == (
        "Drive 0: at 100.0 s the address changed from A to B; the vehicle noticed after 10.0 s by its watch on the address;"
        " an MQTT connection let messages flow again after 14.5 s. The time went into 8.0 s before the vehicle noticed, 3.0 s in"
        " attempts that failed, 2.0 s without an address or a usable link, 1.0 s of backoff, 0.100 s of name resolution, 0.100 s"
        " of TCP handshake, 0.100 s of TLS handshake, 0.100 s from CONNECT to CONNACK and 0.100 s of SUBSCRIBE."
    )


def test_a_connection_that_outlives_a_silence_ends_it() -> None:
    episode = one(history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0)), SILENT)
    assert (episode.end_s, episode.ended_by) == (105.0, None)
    assert phases(episode) == {"no_address": 5.0}
    assert "nothing had to be set up anew" in episode_in_words(episode)


def test_a_connection_that_the_broker_has_closed_outlives_nothing() -> None:
    """TCP may still deliver what the broker wrote before it closed; nothing can be sent back."""
    past = history(
        Channel.MQTT,
        SILENCE,
        connection(0, "mqtt", 0.0, 1.0, peer_ended_s=104.0, noticed_s=106.0, reason="closed"),
        connection(1, "mqtt", 106.0, 106.5),
        arrivals=Arrivals(table("messages", message(0, 103.0, 105.5))),
    )
    episode = one(past, SILENT)
    assert episode.end_s == 106.5
    assert episode.ended_by is not None


def test_a_rebind_of_the_nat_cuts_what_was_connected_before_it() -> None:
    cut = History(
        Channel.MQTT,
        attempts_of(
            table(
                "connections",
                connection(0, "mqtt", 0.0, 1.0, path_end_s=100.0, noticed_s=110.0, reason="reset"),
                connection(1, "mqtt", 110.0, 110.5),
            )
        ),
        DrivePath(timeline((0.0, "A", "up"))),
        1000.0,
        rebinds_s=(100.0,),
    )
    episode = one(cut, Event("rebind", 100.0, 100.0))
    assert (episode.start_s, episode.end_s) == (100.0, 110.5)
    assert phases(episode)["undetected"] == 10.0
    assert "the carrier's NAT forgot its mappings" in episode_in_words(episode)


def test_a_connection_that_outlives_a_silence_counts_from_tcps_next_retransmission() -> None:
    waited = [message(0, 101.0, 112.0), message(1, 108.0, 112.1), message(2, 102.0, 109.0, uplink=True, kind="telemetry")]
    stalled = history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0), arrivals=Arrivals(table("messages", *waited)))
    episode = one(stalled, SILENT)
    assert episode.end_s == 112.0
    assert phases(episode) == {"no_address": 5.0, "undetected": 7.0}
    # given up before TCP got through, so the next connection ends it
    rows = [connection(0, "mqtt", 0.0, 1.0, noticed_s=110.0, reason="keep_alive"), connection(1, "mqtt", 110.0, 110.5)]
    gave_up = history(Channel.MQTT, SILENCE, *rows, arrivals=Arrivals(table("messages", *waited)))
    assert one(gave_up, SILENT).end_s == 110.5


def test_arrivals_of_each_direction() -> None:
    assert Arrivals(table("messages")).flow_from(5.0) == 5.0
    assert Arrivals(table("messages", message(0, 1.0, 2.0), message(1, 6.0, 9.0))).flow_from(5.0) == 5.0
    answer = message(0, 1.0, 8.0, kind="diagnostics", handed_s=2.0)
    assert Arrivals(table("messages", answer)).flow_from(5.0) == 8.0
    assert Arrivals(table("messages", message(0, 1.0, 8.0, via="poll"))).flow_from(5.0) == 5.0


def test_a_connection_given_up_during_a_silence_does_not() -> None:
    past = history(
        Channel.MQTT,
        SILENCE,
        connection(0, "mqtt", 0.0, 1.0, noticed_s=103.0, reason="keep_alive"),
        connection(1, "mqtt", 103.0, noticed_s=106.0),
        connection(2, "mqtt", 107.0, 107.5),
    )
    assert one(past, SILENT).end_s == 107.5
    assert phases(one(past, SILENT)) == {
        "no_address": 5.0,
        "failed_attempt": 1.0,
        "backoff": 1.0,
        "dns": 0.1,
        "tcp": 0.1,
        "tls": 0.1,
        "connect": 0.1,
        "subscribe": 0.1,
    }


def test_a_connection_given_up_after_the_silence_had_let_messages_flow() -> None:
    past = history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0, noticed_s=106.0), connection(1, "mqtt", 106.0, 107.0))
    assert one(past, SILENT).end_s == 105.0


@pytest.mark.parametrize("kind", ["radio_link_failure", "coverage_gap", "log_gap", "detach"])
def test_only_losses_longer_than_a_second_start_an_episode(kind: str) -> None:
    past = history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0))
    assert episodes_of(past, [Event(kind, 100.0, 101.0)], table("messages")) == []
    assert len(episodes_of(past, [Event(kind, 100.0, 101.1)], table("messages"))) == 1
    assert episodes_of(past, [Event("handover", 100.0, 105.0), Event("held", 100.0, 105.0)], table("messages")) == []


def test_a_disruption_inside_an_episode_extends_it() -> None:
    path = timeline((0.0, "A", "up"), (100.0, "", "lost"), (102.0, "B", "up"), (112.0, "", "lost"), (113.0, "C", "up"))
    past = history(
        Channel.MQTT,
        path,
        first_connection(),
        connection(1, "mqtt", 110.0, address="B", noticed_s=120.0),
        connection(2, "mqtt", 121.0, 121.5, address="C"),
    )
    episode = one(past, reassignment(100.0, 102.0), reassignment(112.0, 113.0, "B", "C"))
    assert (episode.start_s, episode.end_s) == (100.0, 121.5)
    assert phases(episode) == {
        "no_address": 3.0,
        "undetected": 8.0,
        "failed_attempt": 9.0,
        "backoff": 1.0,
        "dns": 0.1,
        "tcp": 0.1,
        "tls": 0.1,
        "connect": 0.1,
        "subscribe": 0.1,
    }


def test_a_connection_that_died_before_it_was_ready_ends_nothing() -> None:
    path = timeline((0.0, "A", "up"), (100.0, "", "lost"), (102.0, "B", "up"), (110.2, "", "lost"), (110.4, "C", "up"))
    past = history(
        Channel.MQTT,
        path,
        first_connection(),
        connection(1, "mqtt", 110.0, 110.5, address="B", path_end_s=110.2, noticed_s=130.0),
        connection(2, "mqtt", 130.0, 130.5, address="C"),
    )
    episode = one(past, reassignment(100.0, 102.0), reassignment(110.2, 110.4, "B", "C"))
    assert episode.end_s == 130.5
    assert episode.phases["undetected"] == pytest.approx(8.0 + 19.5)


def test_two_disruptions_apart_are_two_episodes() -> None:
    path = timeline((0.0, "A", "up"), (100.0, "A", "lost"), (105.0, "A", "up"), (200.0, "A", "lost"), (203.0, "A", "up"))
    past = history(Channel.MQTT, path, connection(0, "mqtt", 0.0, 1.0))
    found = episodes_of(past, [SILENT, Event("silence", 200.0, 203.0)], table("messages"))
    assert [(episode.start_s, episode.end_s) for episode in found] == [(100.0, 105.0), (200.0, 203.0)]


def test_an_episode_that_never_ends_is_censored_at_the_horizon() -> None:
    past = history(Channel.MQTT, CHANGE, first_connection(), connection(1, "mqtt", 110.0, noticed_s=113.0), horizon_s=150.0)
    episode = one(past)
    assert (episode.end_s, episode.censored, episode.catch_up_s, episode.ended_by) == (150.0, True, None, None)
    assert phases(episode) == {"no_address": 2.0, "undetected": 8.0, "failed_attempt": 3.0, "backoff": 37.0}
    assert "until the end of the run, 50.0 s later" in episode_in_words(episode)


def test_an_attempt_still_under_way_at_the_horizon_is_in_its_phase() -> None:
    under_way = connection(1, "mqtt", 110.0, outcome="open", started_s=110.1, tcp_s=111.0)
    assert phases(one(history(Channel.MQTT, CHANGE, first_connection(), under_way, horizon_s=120.0))) == {
        "no_address": 2.0,
        "undetected": 8.0,
        "dns": 0.1,
        "tcp": 0.9,
        "tls": 9.0,
    }


def test_a_link_that_stays_lost_after_the_disruption_is_waited_for() -> None:
    path = timeline((0.0, "A", "up"), (100.0, "", "lost"), (104.0, "B", "lost"), (106.0, "B", "up"))
    past = history(Channel.STATIC, path, horizon_s=200.0)
    assert phases(one(past, reassignment(100.0, 104.0))) == {"no_address": 6.0, "stale_address": 94.0}


def test_hybrid_ends_with_the_first_poll_after_the_change() -> None:
    past = history(
        Channel.HYBRID,
        CHANGE,
        first_connection(),
        connection(1, "mqtt", 110.0, address="B", noticed_s=112.0),
        connection(2, "poll", 112.0, address="B", noticed_s=114.0),
        connection(3, "poll", 120.0, 121.0, address="B"),
        connection(4, "mqtt", 125.0, 125.5, address="B"),
    )
    episode = one(past)
    assert (episode.end_s, episode.ended_by.purpose) == (121.0, "poll")
    # of the last poll's second 0.3 s are DNS, TCP and TLS, the rest is its answer
    assert phases(episode) == {
        "no_address": 2.0,
        "undetected": 8.0,
        "failed_attempt": 4.0,
        "poll_wait": 6.7,
        "dns": 0.1,
        "tcp": 0.1,
        "tls": 0.1,
    }


def test_hybrid_ends_with_mqtt_where_that_is_earlier() -> None:
    past = history(
        Channel.HYBRID,
        CHANGE,
        first_connection(),
        connection(1, "mqtt", 110.0, 110.5, address="B"),
        connection(2, "poll", 111.0, 112.0, address="B"),
    )
    assert one(past).end_s == 110.5
    assert one(past).phases["poll_wait"] == 0.0


def beats(*rows: tuple[float, str], **more: Any) -> list[dict[str, Any]]:
    return [
        connection(number, "heartbeat", at_s, at_s + 0.5, address=address, **more) for number, (at_s, address) in enumerate(rows)
    ]


def test_a_heartbeat_from_the_new_address_ends_it() -> None:
    episode = one(history(Channel.HEARTBEAT, CHANGE, *beats((70.0, "A"), (99.8, "A"), (130.0, "B"))))
    assert episode.end_s == 130.5
    # the heartbeat sent from the old address is answered into the void: its phases end with the path
    assert phases(episode) == {"no_address": 2.0, "heartbeat_wait": 28.2, "dns": 0.1, "tcp": 0.1, "tls": 0.1}


def test_a_registered_address_that_did_not_change_needs_no_heartbeat() -> None:
    assert one(history(Channel.HEARTBEAT, SILENCE, *beats((70.0, "A"), (130.0, "A"))), SILENT).end_s == 105.0


def test_nobody_connects_in_through_cgnat() -> None:
    past = history(Channel.HEARTBEAT, CHANGE, *beats((70.0, "A"), (130.0, "B")), horizon_s=200.0, inbound=False)
    assert one(past).censored
    assert phases(one(past)) == {"no_address": 2.0, "stale_address": 98.0}


def test_a_push_to_an_old_name_after_the_heartbeat_is_a_stale_address() -> None:
    rows = [
        *beats((70.0, "A"), (130.0, "B"), (160.0, "B")),
        connection(10, "push", 130.3, target="A:8443", noticed_s=140.3),
        connection(11, "push", 160.3, 161.0, target="B:8443"),
        connection(12, "push", 170.0, target="A", noticed_s=180.0),
    ]
    episode = one(history(Channel.HEARTBEAT, CHANGE, *rows))
    assert episode.end_s == 160.5
    assert phases(episode) == {
        "no_address": 2.0,
        "heartbeat_wait": 28.2 + 19.7 + 0.2,
        "stale_address": 9.8,
        "dns": 0.2,
        "tcp": 0.2,
        "tls": 0.2,
    }


def test_a_push_to_the_right_address_that_fails_is_a_failed_attempt() -> None:
    rows = [*beats((70.0, "A"), (130.0, "B"), (160.0, "B")), connection(10, "push", 130.3, target="B:8443", noticed_s=140.3)]
    episode = one(history(Channel.HEARTBEAT, CHANGE, *rows))
    assert (episode.end_s, episode.phases["stale_address"]) == (160.5, 0.0)
    assert episode.phases["failed_attempt"] == pytest.approx(9.8)


def test_a_push_that_failed_in_a_silence_holds_the_server_until_the_next_heartbeat() -> None:
    rows = [*beats((70.0, "A"), (130.0, "A")), connection(10, "push", 101.0, target="A", noticed_s=111.0)]
    episode = one(history(Channel.HEARTBEAT, SILENCE, *rows), SILENT)
    assert episode.end_s == 130.5
    assert phases(episode) == {"no_address": 5.0, "heartbeat_wait": 25.2, "dns": 0.1, "tcp": 0.1, "tls": 0.1}
    got_through = connection(10, "push", 101.0, 106.0, target="A")
    assert one(history(Channel.HEARTBEAT, SILENCE, *beats((70.0, "A")), got_through), SILENT).end_s == 106.0


def test_static_push_is_stale_until_the_first_address_returns() -> None:
    assert one(history(Channel.STATIC, CHANGE)).censored
    back = timeline((0.0, "A", "up"), (100.0, "", "lost"), (102.0, "B", "up"), (300.0, "", "lost"), (302.0, "A", "up"))
    episode = one(history(Channel.STATIC, back), reassignment(100.0, 102.0), reassignment(300.0, 302.0, "B", "A"))
    assert (episode.start_s, episode.end_s) == (100.0, 302.0)
    assert phases(episode) == {"no_address": 4.0, "stale_address": 198.0}
    assert one(history(Channel.STATIC, SILENCE), SILENT).end_s == 105.0


def test_a_users_polling_strategy() -> None:
    episode = one(history(Channel.POLL, CHANGE, connection(0, "poll", 110.0, 111.0, address="B")))
    assert phases(episode) == {"no_address": 2.0, "poll_wait": 8.7, "dns": 0.1, "tcp": 0.1, "tls": 0.1}


def test_the_channel_of_a_users_strategy_is_what_it_did() -> None:
    assert channel_of("hybrid", []) is Channel.HYBRID
    assert channel_of("mine.py:Mine", ["mqtt", "post"]) is Channel.MQTT
    assert channel_of("mine.py:Mine", ["mqtt", "poll"]) is Channel.HYBRID
    assert channel_of("mine.py:Mine", ["heartbeat", "push"]) is Channel.HEARTBEAT
    assert channel_of("mine.py:Mine", ["poll"]) is Channel.POLL
    assert channel_of("mine.py:Mine", ["push"]) is Channel.STATIC


def test_catch_up_is_until_the_backlog_is_delivered() -> None:
    backlog = [
        message(0, 50.0, 50.1),
        message(1, 101.0, 120.0),
        message(2, 103.0, None, "queue_full"),
        message(3, 104.0, 110.0, kind="telemetry"),
        message(4, 104.0, 500.0, kind="probe"),
        message(5, 120.0, 600.0),
    ]
    alive = history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0))
    assert one(alive, SILENT, messages=backlog).catch_up_s == pytest.approx(15.0)
    assert one(alive, SILENT, messages=[*backlog, message(6, 90.0)]).catch_up_s == math.inf
    assert one(alive, SILENT, messages=backlog[:1]).catch_up_s == 0.0


def test_numbers_over_episodes() -> None:
    ended = one(history(Channel.MQTT, SILENCE, connection(0, "mqtt", 0.0, 1.0)), SILENT)
    never = one(history(Channel.STATIC, CHANGE, horizon_s=200.0))
    numbers = recovery([ended, never, ended])
    assert (numbers["n"], numbers["censored"], numbers["p50"], numbers["p95"], numbers["max"]) == (3, 1, 5.0, math.inf, 5.0)
    assert numbers["mean"] == pytest.approx(110.0 / 3)
    assert numbers["phases"]["stale_address"] == pytest.approx(98.0 / 3)
    assert numbers["catch_up_s"] == {"p50": 0.0, "p95": 0.0, "max": 0.0}
    assert worst([ended, never]) is never
    assert worst([]) is None


def test_drive_path() -> None:
    path = DrivePath(CHANGE)
    assert [path.address_at(at) for at in (0.0, 99.9, 100.0, 102.0, 1e9)] == ["A", "A", "", "B", "B"]
    assert (path.usable_from(50.0), path.usable_from(101.0)) == (50.0, 102.0)
    assert DrivePath(timeline((0.0, "A", "up"), (5.0, "A", "lost"))).usable_from(6.0) == math.inf
    assert path.unusable_spans(101.0, 101.5) == [(101.0, 101.5)]
    assert path.changes(100.0) == [102.0]
    with pytest.raises(ValueError, match="at least one row"):
        DrivePath(timeline())


def test_a_crash_of_a_node_begins_an_episode_for_those_whose_connection_it_ended() -> None:
    """Others serve while the node is down; who was on another node is not concerned."""
    still = timeline((0.0, "A", "up"))
    crash = Event("node_crash", 100.0, 400.0, "broker-1")
    old = connection(0, "mqtt", 0.0, 1.0, address="A", noticed_s=100.04, peer_ended_s=100.0, reason="closed")
    new = connection(1, "mqtt", 100.04, 100.5, address="A", trigger="transport")
    episode = one(history(Channel.MQTT, still, old, new), crash)
    assert (episode.start_s, episode.end_s) == (100.0, 100.5)
    assert "node broker-1 of the broker crashed" in episode_in_words(episode)
    elsewhere = connection(0, "mqtt", 0.0, 1.0, address="A")
    assert episodes_of(history(Channel.MQTT, still, elsewhere), [crash], table("messages")) == []
    closed_before = connection(0, "mqtt", 0.0, 1.0, address="A", noticed_s=90.0, peer_ended_s=90.0, reason="closed")
    assert episodes_of(history(Channel.MQTT, still, closed_before), [crash], table("messages")) == []
    polls = history(Channel.POLL, still, connection(0, "poll", 110.0, 111.0, address="A"))
    assert episodes_of(polls, [crash], table("messages")) == []


def test_a_host_that_falls_silent_and_a_balancer_that_forgets_begin_one_too() -> None:
    still = timeline((0.0, "A", "up"))
    silent = connection(0, "mqtt", 0.0, 1.0, address="A", noticed_s=150.0, peer_ended_s=100.0, path_end_s=100.0)
    forgotten = connection(0, "mqtt", 0.0, 1.0, address="A", noticed_s=150.0, path_end_s=100.0)
    new = connection(1, "mqtt", 150.0, 150.5, address="A")
    for old, kind in ((silent, "node_crash"), (forgotten, "balancer_change")):
        rebinds_s = (100.0,) if kind == "balancer_change" else ()
        episode = one(history(Channel.MQTT, still, old, new, rebinds_s=rebinds_s), Event(kind, 100.0, 100.0))
        assert (episode.start_s, episode.end_s) == (100.0, 150.5)
        assert episode.phases["undetected"] == pytest.approx(50.0)


def test_a_failover_of_the_store_cuts_nobody() -> None:
    still = timeline((0.0, "A", "up"))
    alive = history(Channel.MQTT, still, connection(0, "mqtt", 0.0, 1.0, address="A"))
    assert episodes_of(alive, [Event("store_failover", 100.0, 130.0), Event("dns_outage", 100.0, 130.0)], table("messages")) == []
