import pytest

from sim.measure.attempts import attempts, connection_stats
from sim.measure.cost import bytes_by_purpose, cost, mb_per_vehicle_month
from sim.measure.reachability import reachability, share

from .records import connection, message, table, vehicle


def traffic(*rows: tuple[str, str, int]):
    return table("traffic", *({"purpose": purpose, "direction": direction, "bytes": count} for purpose, direction, count in rows))


def test_bytes_by_purpose_and_direction_with_the_probes_apart() -> None:
    payload = [("payload", "down", 1000), ("payload", "down", 500), ("payload", "up", 40)]
    numbers = bytes_by_purpose(traffic(*payload, ("handshake", "up", 300), ("probe", "up", 7)))
    assert numbers["payload"] == {"up": 40, "down": 1500}
    assert numbers["poll"] == {"up": 0, "down": 0}
    assert numbers["probe"] == {"up": 7, "down": 0}
    assert numbers["total"] == 1840
    with pytest.raises(ValueError, match="gossip"):
        bytes_by_purpose(traffic(("gossip", "up", 1)))


def test_megabytes_of_a_month() -> None:
    two_drives = table("vehicles", vehicle(end_s=1800.0), vehicle(end_s=1800.0, replication=1))
    assert mb_per_vehicle_month(5_000_000, two_drives) == pytest.approx(5.0 * 60.0)  # 5 MB in an hour, 60 h
    assert mb_per_vehicle_month(5_000_000, two_drives, hours_a_day=1.0, days_a_month=20.0) == pytest.approx(100.0)
    assert mb_per_vehicle_month(1, table("vehicles")) is None
    numbers = cost(traffic(("payload", "down", 4_000_000), ("handshake", "up", 1_000_000)), two_drives)
    assert numbers["mb_per_vehicle_month"] == pytest.approx(300.0)
    assert numbers["overhead_mb_per_vehicle_month"] == pytest.approx(60.0)
    assert numbers["radio_active_s"] == 200.0


def test_a_month_of_drives_with_parking_is_the_drives_as_they_are() -> None:
    week = table("vehicles", vehicle(end_s=7 * 86400.0, parked_s=6.9 * 86400.0, radio_active_s=700.0))
    numbers = cost(traffic(("payload", "down", 7_000_000)), week)
    assert numbers["mb_per_vehicle_month"] == pytest.approx(30.0)
    assert numbers["radio_active_s_per_vehicle_month"] == pytest.approx(3000.0)
    driven = cost(traffic(("payload", "down", 7_000_000)), table("vehicles", vehicle(end_s=3600.0, radio_active_s=600.0)))
    assert driven["radio_active_s_per_vehicle_month"] == pytest.approx(36_000.0)  # an hour of sixty


def test_attempts_by_purpose() -> None:
    rows = table("connections", connection(0, "mqtt", 0.0, 1.0), connection(1, "mqtt", 5.0), connection(2, "poll", 6.0, 7.0))
    assert attempts(rows) == {
        "total": 3,
        "failed": 1,
        "by_purpose": {"mqtt": {"total": 2, "failed": 1}, "poll": {"total": 1, "failed": 0}},
    }


def test_the_seeds_connection_stats() -> None:
    counted = {"connections_total": 3, "connections_failed": 2, "reconnections": 1, "messages_sent": 10, "messages_received": 20}
    rows = table(
        "vehicles",
        vehicle(replication=1, last_connection_s=7.0, current_address="B", **counted),
        vehicle(replication=0, last_connection_s=9.0, current_address="A", **counted),
    )
    assert connection_stats(rows) == {
        "total_connections": 6,
        "failed_connections": 4,
        "reconnections": 2,
        "messages_sent": 20,
        "messages_received": 40,
        "last_connection_s": 7.0,
        "current_address": "B",
    }


def probes(good: int, bad: int):
    rows = [message(number, 0.0, 10.0, kind="probe") for number in range(good)]
    rows += [message(good + number, 0.0, 10.1, kind="probe") for number in range(bad)]
    return table("messages", *({**row, "replication": at % 2} for at, row in enumerate(rows)))


def test_reachability_is_the_share_answered_in_time() -> None:
    assert share(probes(3, 1), 10.0) == 0.75
    assert share(probes(0, 0), 10.0) is None
    numbers = reachability(probes(3, 1), 10.0, seed=1)
    assert (numbers["share"], numbers["n"], numbers["answered"]) == (0.75, 4, 3)
    assert (numbers["low"], numbers["high"]) == (0.5, 1.0)  # one drive of two answered half, the other all


def test_no_event_in_n_is_an_upper_bound() -> None:
    numbers = reachability(probes(300, 0), 10.0, seed=1)
    assert numbers["low"] == pytest.approx(0.05 ** (1 / 300)) == pytest.approx(1 - 3 / 300, abs=1e-4)
    assert numbers["high"] == 1.0
    assert numbers["note"] == "no probe of 300 failed: unreachable for at most 0.99% of the time"
    assert reachability(probes(1, 0), 10.0, seed=1)["low"] == pytest.approx(0.05)  # a single probe says next to nothing
    assert reachability(probes(0, 2), 10.0, seed=1)["high"] == pytest.approx(1 - 0.05**0.5)
    assert reachability(probes(0, 0), 10.0, seed=1)["note"] == "no probes"


def test_radio_time_that_nobody_measured_is_none_and_not_nothing() -> None:
    """A live run has no radio of its own."""
    unmeasured = table("vehicles", vehicle(radio_active_s=None), vehicle(radio_active_s=None))
    assert cost(table("traffic"), unmeasured)["radio_active_s"] is None
    assert cost(table("traffic"), table("vehicles", vehicle(radio_active_s=0.0)))["radio_active_s"] == 0.0
