"""Recovery and parking: no episode begins while the ignition is off, and parking cuts one short."""

from sim.measure.attempt_history import Channel
from sim.measure.drive_path import Event
from sim.measure.recovery import episodes_of, recovery, worst
from sim.measure.run_episodes import parked_spans
from sim.parking import Parked

from .records import connection, history, reassignment, table, timeline

CHANGE = timeline((0.0, "A", "up"), (100.0, "", "lost"), (102.0, "B", "up"))
CONNECTIONS = (
    connection(0, "mqtt", 0.0, 1.0, path_end_s=100.0, noticed_s=110.0, reason="address"),
    connection(1, "mqtt", 110.0, 110.5, address="B"),
)


def episodes(parked: Parked, *events: Event):
    past = history(Channel.MQTT, CHANGE, *CONNECTIONS, parked=parked)
    return episodes_of(past, events or (reassignment(100.0, 102.0),), table("messages"))


def test_without_parking_the_episode_runs_its_course() -> None:
    (episode,) = episodes(())
    assert (episode.start_s, episode.end_s, episode.cut) == (100.0, 110.5, False)
    assert [each.end_s for each in episodes(((500.0, 600.0),))] == [110.5]


def test_none_begins_while_the_vehicle_is_parked() -> None:
    assert episodes(((50.0, 300.0),)) == []
    assert episodes(((100.0, 300.0),)) == []


def test_parking_cuts_one_short_and_it_is_counted_apart() -> None:
    (episode,) = episodes(((105.0, 300.0),))
    assert (episode.start_s, episode.end_s, episode.cut, episode.censored) == (100.0, 105.0, True, False)
    assert (episode.ended_by, episode.catch_up_s) == (None, None)
    assert sum(episode.phases.values()) == 5.0
    numbers = recovery([episode])
    assert (numbers["n"], numbers["cut"], numbers["mean"], numbers["p50"]) == (0, 1, None, None)
    assert worst([episode]) is None


def test_a_disruption_while_parked_does_not_extend_one() -> None:
    found = episodes(((105.0, 300.0),), reassignment(100.0, 102.0), Event("silence", 120.0, 130.0))
    assert [(each.start_s, each.end_s) for each in found] == [(100.0, 105.0)]


def test_the_spans_are_read_from_the_timeline() -> None:
    rows = table(
        "timeline",
        *({"start_s": start_s, "parked": off} for start_s, off in [(0.0, False), (10.0, True), (20.0, True), (30.0, False)]),
    )
    assert parked_spans(rows) == ((10.0, 30.0),)
