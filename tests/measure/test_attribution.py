"""Each rule on a hand-made case: connected from 0 s, the path dies at 100 s, the vehicle is back at 200 s."""

import dataclasses
from typing import Any

import polars as pl
import pytest

from sim.measure.attribution import BROKER_CAUSES, attribute
from sim.protocols.broker_presets import PRESETS, BrokerBehaviour
from sim.record.causes import CAUSES, UNATTRIBUTED

from .records import connection, message, table

KEEP_ALIVE_S = 10.0
SETTINGS = {"version": "3.1.1", "keep_alive_s": KEEP_ALIVE_S, "clean_session": False}


def causes(
    rows: list[dict[str, Any]],
    *,
    present: int = 1,
    restarts_s: tuple[float, ...] = (),
    forgets_s: tuple[float, ...] = (),
    settings: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    back: bool = True,
    old_path: str = "black_hole",
    **behaviour: Any,
) -> dict[int, str]:
    links = [connection(0, "mqtt", 0.0, 0.5, path_end_s=100.0, noticed_s=190.0, session_present=0)]
    if back:
        links.append(connection(1, "mqtt", 199.6, 200.1, address="B", session_present=present))
    broker = dataclasses.asdict(BrokerBehaviour(**behaviour))
    found = attribute(
        table("messages", *rows), table("connections", *links), broker, {**SETTINGS, **(settings or {})}, workload or {}, 1000.0,
        old_path=old_path, restarts_s=restarts_s, forgets_s=forgets_s,
    )  # fmt: skip
    return dict(found.iter_rows())


def lost(number: int, created_s: float, **more: Any) -> dict[str, Any]:
    return message(number, created_s, None, outcome="pending", **more)


def test_the_causes_are_of_the_closed_list() -> None:
    assert set(BROKER_CAUSES) <= set(CAUSES)


def test_what_arrived_has_no_cause() -> None:
    assert causes([message(0, 10.0, 10.1)]) == {}


def test_before_the_first_subscription_nobody_is_subscribed() -> None:
    assert causes([lost(0, 0.2)]) == {0: "no_subscription"}


def test_a_packet_beyond_the_limit() -> None:
    assert causes([lost(0, 10.0, size_bytes=2000)], packet_limit_bytes=1000) == {0: "payload_too_large"}


def test_qos_0_before_and_after_the_broker_noticed() -> None:
    # the last ping was at 90 s after CONNACK, so the broker gives up about 105 s after 0.4 s
    rows = [lost(0, 101.0, qos=0), lost(1, 150.0, qos=0)]
    assert causes(rows) == {0: "qos0_dead_transport", 1: "qos0_offline"}
    later = message(2, 210.0, 210.1)  # on the same connection: a transport keeps the order, so that nothing is under way
    assert causes([*rows, later], queue_qos0=True)[1] == UNATTRIBUTED


def test_a_broker_that_redelivers_nothing_loses_what_it_wrote_to_the_dead_socket() -> None:
    assert causes([lost(0, 101.0)], redeliver_inflight=False) == {0: "qos0_dead_transport"}


@pytest.mark.parametrize(
    ("settings", "behaviour", "cause"),
    [
        ({"clean_session": True}, {}, "clean_session_discarded"),
        ({"version": "5", "session_expiry_s": 0.0}, {}, "clean_session_discarded"),
        ({}, {"session_expiry_default_s": 30.0}, "session_expired"),
        ({"version": "5", "session_expiry_s": 4294967295.0}, {"session_expiry_max_s": 30.0}, "session_expired"),
        ({}, {"discards_after_disconnect": True}, "session_expired"),
        ({"version": "5", "session_expiry_s": 60.0}, {}, "session_expired"),
        # noticed at a tick that nobody sees: the estimate is 108 s, which would be too late
        (
            {"version": "5", "session_expiry_s": 93.0},
            {"keep_alive_rule": "tick_after", "keep_alive_tick_s": 6.0},
            "session_expired",
        ),
        ({"version": "5", "session_expiry_s": 600.0}, {}, "broker_restart"),
        ({}, {}, "broker_restart"),
    ],
)
def test_a_session_that_was_not_there_at_the_next_connack(settings: dict, behaviour: dict, cause: str) -> None:
    assert causes([lost(0, 101.0)], present=0, settings=settings, **behaviour) == {0: cause}


def test_a_session_that_somebody_else_with_a_clean_session_took_over() -> None:
    links = [
        connection(0, "mqtt", 0.0, 0.5, noticed_s=150.0, session_present=0, reason="taken_over"),
        connection(1, "mqtt", 150.0, 150.5, session_present=0),
    ]
    found = attribute(
        table("messages", lost(0, 149.9), lost(1, 150.2)), table("connections", *links), dataclasses.asdict(BrokerBehaviour()),
        SETTINGS, {}, 1000.0,
    )  # fmt: skip
    assert dict(found.iter_rows()) == {0: "clean_session_discarded", 1: "no_subscription"}


def test_a_broker_that_was_killed_and_forgets_loses_what_it_had_and_what_comes_after_it_has_no_subscriber() -> None:
    rows = [lost(0, 140.0), lost(1, 160.0)]
    assert causes(rows, present=0, restarts_s=(150.0,), forgets_s=(150.0,)) == {0: "broker_restart", 1: "no_subscription"}
    # where nobody came back the session is gone all the same; one that outlives the kill still holds them
    assert causes(rows, back=False, restarts_s=(150.0,), forgets_s=(150.0,)) == {0: "broker_restart", 1: "no_subscription"}
    assert causes(rows, back=False, restarts_s=(150.0,)) == {0: "", 1: ""}


def test_a_kill_takes_the_qos_0_that_was_queued_before_it() -> None:
    rows = [lost(0, 140.0, qos=0), lost(1, 160.0, qos=0)]
    assert causes(rows, queue_qos0=True, restarts_s=(150.0,)) == {0: "broker_restart", 1: "qos0_dead_transport"}
    assert causes(rows, queue_qos0=True) == {0: "qos0_dead_transport", 1: "qos0_dead_transport"}


def test_after_the_end_of_a_clean_session_nobody_is_subscribed() -> None:
    assert causes([lost(0, 150.0)], present=0, settings={"clean_session": True}) == {0: "no_subscription"}


def test_a_full_queue_that_drops_the_newest() -> None:
    rows = [message(0, 120.0, 200.2), message(1, 121.0, 200.2), lost(2, 122.0), lost(3, 123.0)]
    assert causes(rows, queue_limit=2) == {2: "queue_full", 3: "queue_full"}


def test_a_full_queue_that_drops_the_oldest() -> None:
    rows = [lost(0, 120.0), message(1, 121.0, 200.2), message(2, 122.0, 200.2)]
    assert causes(rows, queue_limit=2, queue_drop="oldest") == {0: "queue_full"}


def test_a_request_that_expired_in_the_queue() -> None:
    workload = {"diagnostics": {"expire": True, "timeout_s": 10.0}}
    assert causes([lost(0, 120.0, kind="diagnostics")], workload=workload) == {0: "message_expired"}
    assert causes([lost(0, 120.0, kind="diagnostics"), message(1, 210.0, 210.1)]) == {0: UNATTRIBUTED}


def test_what_was_overtaken_inside_the_broker_waits_for_the_next_connection() -> None:
    rows = [lost(0, 210.0, kind="ota"), message(1, 210.01, 210.1, kind="probe", qos=0), message(2, 215.0, 215.1)]
    assert causes(rows, overtaken_waits=True) == {0: ""}
    assert causes(rows) == {0: UNATTRIBUTED}
    assert causes([lost(0, 120.0, kind="diagnostics")]) == {0: ""}  # nothing came after it: it may be under way


def test_nobody_came_back_so_the_message_is_still_there() -> None:
    assert causes([lost(0, 120.0)], back=False) == {0: ""}


def test_a_connection_on_which_the_broker_sends_nothing() -> None:
    assert causes([lost(0, 250.0, qos=0)], keep_alive_rule="never", takeover_deaf=True) == {0: "qos0_offline"}


def test_a_broker_that_is_told_by_a_reset_is_not_half_open_any_more() -> None:
    rows = [lost(0, 101.0, qos=0), lost(1, 104.0, qos=0)]
    assert causes(rows) == {0: "qos0_dead_transport", 1: "qos0_dead_transport"}
    assert causes(rows, old_path="reset") == {0: "qos0_dead_transport", 1: "qos0_offline"}
    assert causes(rows, old_path="icmp") == causes(rows)


def test_what_a_deaf_connection_was_to_bring_waits_in_a_queue_that_overflows() -> None:
    rows = [lost(number, 210.0 + number) for number in range(5)]
    found = causes(rows, keep_alive_rule="never", takeover_deaf=True, queue_limit=3, raises_qos=True)
    assert found == {0: "", 1: "", 2: "", 3: "queue_full", 4: "queue_full"}


def test_uplink() -> None:
    rows = [
        lost(0, 99.0, uplink=True, kind="telemetry", qos=0),
        lost(1, 99.0, uplink=True, kind="telemetry"),
        lost(2, 99.0, kind="diagnostics", qos=0, handed_s=99.1),
        lost(3, 99.0, kind="telemetry", uplink=True, size_bytes=2000),
    ]
    dead = "qos0_dead_transport"
    assert causes(rows, packet_limit_bytes=1500) == {0: dead, 1: "", 2: dead, 3: "payload_too_large"}


def test_without_any_connection() -> None:
    empty = table("connections")
    broker = dataclasses.asdict(BrokerBehaviour())
    found = attribute(table("messages", lost(0, 1.0)), empty, broker, SETTINGS, {}, 100.0)
    assert found.rows() == [(0, "no_subscription")]
    assert found.schema == {"message": pl.Int64, "cause": pl.String}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_what_the_rules_read(preset: str) -> None:
    rows = [lost(0, 101.0), lost(1, 150.0, qos=0), message(2, 150.0, 201.0)]
    found = causes(rows, **dataclasses.asdict(PRESETS[preset][0]))
    assert set(found) == {0, 1}
    assert set(found.values()) <= {*BROKER_CAUSES, UNATTRIBUTED, ""}
