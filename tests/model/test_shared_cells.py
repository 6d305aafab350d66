"""A cell whose capacity flows share in equal parts: against processor sharing in small steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.link import Flow
from sim.model.shared_cells import Carrier, SharedCells

BYTES_PER_S = 1000.0


def through(writes):
    """When each write (flow, at_s, bytes) is through: asked again and again, as the driver does."""
    cells = SharedCells(8 * BYTES_PER_S, 8 * BYTES_PER_S, 1.0)
    flows = {name: Flow(0, 0.0) for name, _at_s, _n_bytes in writes}
    pending, found = [], {}
    queue = sorted(enumerate(writes), key=lambda one: (one[1][1], one[0]))
    while queue or pending:
        at, number, tag = min(pending) if pending else (float("inf"), -1, 0.0)
        if queue and queue[0][1][1] <= at:
            number, (flow, at, n_bytes) = queue.pop(0)
            tag = cells.enter("A", False, flows[flow], at, n_bytes)
            pending.append((cells.through_s("A", False, flows[flow], tag, at), number, tag))
            continue
        pending.remove((at, number, tag))
        until = cells.through_s("A", False, flows[writes[number][0]], tag, at)
        if until > at + 1e-9:
            pending.append((until, number, tag))
        else:
            found[number] = at
    return [found[number] for number in range(len(writes))]


def in_steps(writes, step_s=0.001):
    """The same by simulating each millisecond: every flow with something on the way gets an equal part."""
    left = {}
    done = [0.0] * len(writes)
    order = sorted(range(len(writes)), key=lambda number: (writes[number][1], number))
    now = 0.0
    while order or any(left.values()):
        while order and writes[order[0]][1] <= now + step_s / 2:
            number = order.pop(0)
            left.setdefault(writes[number][0], []).append([number, float(writes[number][2])])
        active = [queue for queue in left.values() if queue]
        for queue in active:
            budget = BYTES_PER_S * step_s / len(active)
            while queue and budget > 0.0:
                taken = min(budget, queue[0][1])
                queue[0][1] -= taken
                budget -= taken
                if queue[0][1] <= 1e-9:
                    done[queue.pop(0)[0]] = now + step_s
        now += step_s
    return done


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40).map(lambda n: n / 10), st.integers(1, 1500)), min_size=1, max_size=9)
)
def test_equal_parts(writes):
    assert through(writes) == pytest.approx(in_steps(writes), abs=0.02)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 3.0), st.floats(0.1, 1e6), st.booleans()), min_size=1, max_size=60),
    st.floats(1e-3, 1e9),
)
def test_any_writes_and_departures_are_carried_and_no_faster_than_the_cell(steps, bytes_per_s):
    carrier, now, asked = Carrier(bytes_per_s), 0.0, 0.0
    for flow, gap_s, n_bytes, leaves in steps:
        now += gap_s
        if leaves:
            carrier.leave(flow, now)
        else:
            carrier.enter(flow, now, n_bytes)
            asked += n_bytes
            assert carrier.through_s(flow, 0.0, now) >= now + n_bytes / bytes_per_s * (1.0 - 1e-6) - 1e-9
    carrier.finish(now + 1.0)
    assert sum(end - begin for begin, end in carrier.busy) <= min(now + 1.0, asked / bytes_per_s) * (1.0 + 1e-6) + 1e-9
    assert all(begin <= end for begin, end in carrier.busy)
    for flow in range(5):
        carrier.leave(flow, now)  # before the end, as vehicles whose run ended earlier do


def test_a_short_write_does_not_wait_for_a_long_one():
    """1 kB beside 10 kB on 1 kB/s: at half the rate, not after 10 s."""
    assert through([(0, 0.0, 10_000), (1, 0.0, 1000)]) == pytest.approx([11.0, 2.0])


def test_the_writes_of_a_flow_stay_in_order():
    assert through([(0, 0.0, 500), (0, 0.0, 500), (1, 0.0, 500)]) == pytest.approx([1.0, 1.5, 1.0])


def test_busy_times_are_in_the_load():
    cells, flow = SharedCells(8000.0, 8000.0, 1.0), Flow(0, 0.0)
    asked = cells.enter("A", False, flow, 1.0, 500)
    assert cells.through_s("A", False, flow, asked, 2.0) == 2.0  # asked after its end, as the driver does
    cells.enter("A", False, flow, 3.0, 1000)
    cells.finish(10.0)
    assert list(cells.load.came_s) == [1.0, 3.0]
    assert list(cells.load.work_s) == pytest.approx([0.5, 1.0])


def test_a_flow_that_is_over_leaves_its_part_to_the_others():
    carrier = Carrier(BYTES_PER_S)
    carrier.enter("a", 0.0, 10_000)
    carrier.enter("b", 0.0, 1000)
    assert carrier.through_s("b", 0.0, 1.0) == pytest.approx(2.0)
    assert carrier.leave("a", 1.0) == pytest.approx(9500.0)  # of b 500 bytes are left
    assert carrier.through_s("b", 0.0, 1.0) == pytest.approx(1.5)
    assert carrier.through_s("a", 0.0, 1.0) == 1.0


def test_what_is_on_the_way_goes_on_in_the_next_cell_and_in_order():
    """Half of the first kB is through in a cell that two share when the vehicle gets into an empty one."""
    cells, mine, other = SharedCells(8000.0, 8000.0, 1.0), Flow(0, 0.0), Flow(0, 0.0)
    cells.enter("full", False, other, 0.0, 50_000)
    first, second = (cells.enter("full", False, mine, 0.0, 1000) for _ in range(2))
    assert cells.through_s("full", False, mine, first, 1.0) == pytest.approx(2.0)
    assert cells.through_s("empty", False, mine, first, 1.0) == pytest.approx(1.5)
    assert cells.through_s("empty", False, mine, second, 1.0) == pytest.approx(2.5)
    third = cells.enter("empty", False, mine, 1.2, 100)
    assert cells.through_s("", False, mine, third, 1.2) == pytest.approx(2.6)  # without service it stays where it was
    cells.leave(mine, False, 1.3)
    assert cells.through_s("empty", False, mine, third, 1.3) == 1.3
