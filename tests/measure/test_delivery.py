import math
from typing import Any

import pytest

from sim.measure.delivery import LedgerError, by_kind, check_ledger, overall, tally, with_horizon

from .records import message, table, vehicle


def frame(*rows: dict[str, Any], horizon_s: float = 1000.0):
    return with_horizon(table("messages", *rows), table("vehicles", vehicle(horizon_s=horizon_s)))


def test_a_hand_computed_ledger() -> None:
    numbers = tally(
        frame(
            message(0, 10.0, 10.5),
            message(1, 20.0, 35.0, arrivals=3),
            message(2, 30.0, 110.0, late=True),
            message(3, 40.0, None, "queue_full"),
            message(4, 100.0),
        )
    )
    assert {key: numbers[key] for key in ("created", "delivered", "lost", "pending", "duplicates", "late")} == {
        "created": 5,
        "delivered": 3,
        "lost": 1,
        "pending": 1,
        "duplicates": 2,
        "late": 1,
    }
    assert numbers["lost_by_cause"] == {"queue_full": 1}
    # latencies 0.5, 15, 80, never, never; the undelivered ones are capped at 960 and 900 s
    assert numbers["latency_s"] == {
        "p50": 80.0,
        "p95": math.inf,
        "p99": math.inf,
        "max": 80.0,
        "mean_capped": (0.5 + 15.0 + 80.0 + 960.0 + 900.0) / 5,
    }
    assert (numbers["delivered_within_10s"], numbers["delivered_within_60s"]) == (0.2, 0.4)


def test_quantiles_are_the_time_within_which_that_share_was_delivered() -> None:
    rows = [message(number, 0.0, float(number + 1)) for number in range(19)]
    assert tally(frame(*rows, message(19, 0.0)))["latency_s"]["p95"] == 19.0  # 19 of 20 are 95 %
    assert tally(frame(*rows, message(19, 0.0)))["latency_s"]["p99"] == math.inf
    assert tally(frame(*rows[:18], message(18, 0.0), message(19, 0.0)))["latency_s"]["p95"] == math.inf


def test_nothing_created_has_counts_and_no_quantiles() -> None:
    numbers = by_kind(frame(), ["ota"])["ota"]
    assert (numbers["created"], numbers["latency_s"]["p50"], numbers["delivered_within_10s"]) == (0, None, None)


def test_probes_are_never_in_all() -> None:
    assert overall(frame(message(0, 1.0, 2.0), message(1, 1.0, 2.0, kind="probe")))["created"] == 1


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (message(0, 1.0, None, "bad luck"), "without a cause"),
        (message(0, 1.0, None, "unattributed"), "without a cause"),
        (message(0, 1.0, outcome="lost"), "without a cause"),
        (message(0, 1.0, outcome="lost", cause=None), "without a cause"),
        (message(0, 1.0, 2.0, cause="queue_full"), "was not lost"),
        (message(0, 1.0, outcome="delivered"), "at no instant"),
        (message(0, 1.0, 2.0, outcome="pending"), "was not delivered"),
        (message(0, 1.0, 0.5), "before it was created"),
        (message(0, 1.0, outcome="forgotten"), "outcome is not one of"),
        (message(0, 1.0, 2.0, kind="gossip"), "kind is not one of"),
    ],
)
def test_records_that_contradict_themselves_are_a_ledger_error(row: dict[str, Any], why: str) -> None:
    with pytest.raises(LedgerError, match=why):
        check_ledger(table("messages", message(1, 1.0, 2.0), row))


def test_one_message_has_one_row() -> None:
    with pytest.raises(LedgerError, match="two messages with its id"):
        check_ledger(table("messages", message(1, 1.0, 2.0), message(1, 3.0)))
    check_ledger(table("messages", message(1, 1.0, 2.0), message(1, 3.0, vehicle=1)))


def test_unattributed_is_allowed_live() -> None:
    check_ledger(table("messages", message(0, 1.0, None, "unattributed")), allow_unattributed=True)


def test_a_message_without_its_vehicle() -> None:
    with pytest.raises(LedgerError, match="no row in vehicles"):
        with_horizon(table("messages", message(0, 1.0, vehicle=3)), table("vehicles", vehicle()))
