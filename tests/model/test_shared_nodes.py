"""What a fleet shares at the broker's nodes: first come, first served, at rates that are scaled (docs/fleets.md)."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.model.load import ACCEPT, CONNECT, CPU
from sim.model.shared_nodes import SharedNodes
from sim.server.config import Nodes
from sim.server.timeline import NOTHING, Down, ServerTimeline

NODES = Nodes(accept_rate=100.0, connect_rate=10.0, cores=2, backlog=400, connect_queue=50)


def test_connections_wait_for_the_node_to_accept_those_before_them():
    shared = SharedNodes(NODES, NOTHING, 1.0)
    assert [shared.accept(0, 5.0) for _ in range(3)] == pytest.approx([0.0, 0.01, 0.02])
    assert shared.accept(0, 5.5) == 0.0


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_what_a_node_can_do_is_scaled_with_the_fleet(scale):
    """Of a hundredth of the fleet each one takes a hundred times as long, and a hundredth of them find a place."""
    shared = SharedNodes(replace(NODES, connect_queue=None), NOTHING, scale)
    assert [shared.connect(0, 1.0), shared.connect(0, 1.0)] == pytest.approx([0.0, 0.1 / scale])
    places = sum(shared.accept(0, 2.0) < math.inf for _ in range(1000))
    assert places == max(1, round(400 * scale))


def test_a_handshake_takes_its_time_on_one_of_the_cores():
    shared = SharedNodes(NODES, NOTHING, 1.0)
    assert shared.compute(0, 3.0, 0.004) == 0.0
    assert shared.compute(0, 3.0, 0.004) == pytest.approx(0.002)  # 4 ms of one of two cores


def test_a_full_backlog_drops_and_a_full_admission_turns_away():
    shared = SharedNodes(Nodes(accept_rate=1.0, connect_rate=1.0, backlog=2, connect_queue=3), NOTHING, 1.0)
    assert [shared.accept(0, 0.0) for _ in range(4)] == [0.0, 1.0, math.inf, math.inf]
    assert [shared.connect(0, 0.0) for _ in range(5)] == [0.0, 1.0, 2.0, math.inf, math.inf]
    turned_away = [s for s, turn in zip(shared.load.station, shared.load.turn_s, strict=True) if turn == math.inf]
    assert turned_away == [ACCEPT, ACCEPT, CONNECT, CONNECT]


def test_without_a_bound_every_connect_waits():
    shared = SharedNodes(Nodes(connect_rate=1.0, connect_queue=None), NOTHING, 1.0)
    assert [shared.connect(0, 0.0) for _ in range(3)] == [0.0, 1.0, 2.0]


def test_a_node_that_was_restarted_has_nobody_waiting():
    down = Down(0, 10.0, 20.0, False, math.inf, math.inf)
    shared = SharedNodes(Nodes(connect_rate=0.1), ServerTimeline(downs=(down,)), 1.0)
    assert [shared.connect(0, 9.0), shared.connect(0, 9.0)] == [0.0, 10.0]
    assert shared.connect(0, 20.0) == 0.0


@given(
    st.lists(st.tuples(st.floats(0.0, 2.0), st.sampled_from([ACCEPT, CPU, CONNECT])), min_size=1, max_size=60),
    st.integers(1, 20),
    st.sampled_from([1.0, 0.1]),
)
def test_no_station_does_two_things_at_once_and_the_first_goes_first(gaps, backlog, scale):
    shared = SharedNodes(Nodes(accept_rate=7.0, connect_rate=3.0, backlog=backlog, connect_queue=backlog), NOTHING, scale)
    now = 0.0
    for gap_s, station in gaps:
        now += gap_s
        if station == CPU:
            shared.compute(0, now, 0.3)
        else:
            (shared.accept if station == ACCEPT else shared.connect)(0, now)
    load = shared.load
    rows = list(zip(load.station, load.came_s, load.turn_s, load.work_s, strict=True))
    for station in (ACCEPT, CPU, CONNECT):
        mine = [row for row in rows if row[0] == station and row[2] < math.inf]
        assert all(turn >= came for _station, came, turn, _work in mine)
        assert all(b[2] >= a[2] + a[3] - 1e-9 for a, b in itertools.pairwise(mine))
