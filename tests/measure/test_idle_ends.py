"""A NAT or a balancer that forgets a silent connection: the death of a path that no disruption of the drive tells of."""

import pytest

from sim.measure.attempt_history import Channel, attempts_of
from sim.measure.drive_path import DrivePath, Event
from sim.measure.episode_words import episode_in_words
from sim.measure.idle_ends import idle_ends, idle_kind
from sim.measure.recovery import episodes_of
from tests.measure.records import connection, history, table, timeline

STEADY = timeline((0.0, "A", "up"), (5000.0, "A", "up"))
CHANGE = timeline((0.0, "A", "up"), (400.0, "", "lost"), (402.0, "B", "up"))


def forgotten(path=STEADY, *events, path_end_s=400.0, **more):
    rows = table("connections", connection(0, "mqtt", 0.0, 1.0, path_end_s=path_end_s, noticed_s=650.0, reason="reset", **more))
    return idle_ends("balancer_idle", attempts_of(rows), DrivePath(path), events)


def manifest(access, nat_s, balancer_s):
    server = {"balancer": {"idle_timeout_s": balancer_s} if balancer_s else None}
    settings = {"drive": {"network": {"cgnat": {"idle_timeout_s": nat_s}}}, "server": server}
    return {"access": access, "settings": settings}


@pytest.mark.parametrize(
    ("access", "nat_s", "balancer_s", "kind"),
    [
        ("cgnat", 300.0, 350.0, "nat_idle"),
        ("cgnat", 400.0, 350.0, "balancer_idle"),
        ("cgnat", 300.0, None, "nat_idle"),
        ("private_apn", 300.0, 350.0, "balancer_idle"),
        ("private_apn", 300.0, None, ""),
    ],
)
def test_the_shorter_idle_timeout_forgets_first(access, nat_s, balancer_s, kind):
    assert idle_kind(manifest(access, nat_s, balancer_s)) == kind
    assert idle_kind({}) == ""


def test_a_path_that_ended_though_nothing_happened_was_forgotten():
    assert forgotten() == [Event("balancer_idle", 400.0, 400.0)]


def test_a_path_that_ended_with_its_address_or_a_rebind_was_not_forgotten_for_its_silence():
    assert forgotten(CHANGE) == []
    assert forgotten(STEADY, Event("rebind", 400.0, 400.0)) == []
    assert forgotten(STEADY, path_end_s=None) == []


def test_a_connection_that_is_forgotten_is_a_recovery_from_then_to_the_next_one():
    past = history(
        Channel.MQTT,
        STEADY,
        connection(0, "mqtt", 0.0, 1.0, path_end_s=400.0, noticed_s=650.0, reason="reset"),
        connection(1, "mqtt", 650.0, 650.5),
    )
    (episode,) = episodes_of(past, [Event("balancer_idle", 400.0, 400.0)], table("messages"))
    assert (episode.start_s, episode.end_s) == (400.0, 650.5)
    assert episode.phases["undetected"] == pytest.approx(250.0)
    assert (
        "at 400.0 s the balancer forgot the connection, which had been silent for too long; the vehicle noticed after 250 s"
        in (episode_in_words(episode))
    )
