import numpy as np
import pytest

from sim.drive.addressing import Pools, assign_addresses
from sim.drive.config import Gateway, Network, Reassignment
from sim.drive.course import Blocked, Course, steps
from sim.drive.timeline import Disruption, LinkState

GATEWAYS = {"a": Gateway("10.1.1.100"), "b": Gateway("10.2.5.200")}


def course(*cells: tuple[float, int], lost: tuple[tuple[float, float], ...] = (), of_cell=(0, 1), end_s=1000.0) -> Course:
    blocked = [Blocked(Disruption("coverage_gap", a, b), LinkState.LOST, out_of_service=True) for a, b in lost]
    return Course(
        end_s=end_s,
        slot_s=np.zeros(1),
        cells=("A", "B"),
        serving=steps(cells, np.int32),
        gateways=("a", "b"),
        prefers=steps([(t, -1 if c < 0 else of_cell[c]) for t, c in cells], np.int32),
        blocked=tuple(blocked),
        held_gateways=True,
    )


def assign(there: Course, vehicle: int = 0, **rule: object):
    network = Network(gateways=GATEWAYS, reassignment=Reassignment(**{"delay_s": 1.0, **rule}))  # type: ignore[arg-type]
    found = assign_addresses(there, network, vehicle)
    return [(d.start_s, d.end_s, d.before, d.after) for d in found.reassignments], found


A, B = "10.1.1.100", "10.2.5.200"


@pytest.mark.parametrize(
    ("cells", "rule", "expected"),
    [
        # a gateway is left after 30 s on towers of another
        ([(0, 0), (100, 1)], {}, [(130, 131, A, B)]),
        # ping-pong within the hold moves nothing
        ([(0, 0), (100, 1), (120, 0), (125, 1), (150, 0)], {}, []),
        # coming back gives a new address, sticky the old one
        ([(0, 0), (100, 1), (200, 0)], {}, [(130, 131, A, B), (230, 231, B, "10.1.1.101")]),
        ([(0, 0), (100, 1), (200, 0)], {"sticky": True}, [(130, 131, A, B), (230, 231, B, A)]),
        ([(0, 0), (100, 1)], {"gateway_hold_s": 0.0}, [(100, 101, A, B)]),
        ([(0, 0), (100, 1)], {"delay_s": 0.0}, [(130, 130, A, B)]),
        ([(0, 0), (100, 1)], {"mode": "never"}, []),
        # the stress case: each cell change, also there and back
        ([(0, 0), (100, 1), (110, 0)], {"mode": "every_handover"}, [(100, 101, A, B), (110, 111, B, "10.1.1.101")]),
        # a cell change while there is no address starts over
        ([(0, 0), (100, 1), (100.5, 0)], {"mode": "every_handover"}, [(100, 101.5, A, "10.1.1.101")]),
        # the drive ends before the hold does
        ([(0, 0), (980, 1)], {}, []),
        # the new address comes after the drive
        ([(0, 0), (969.5, 1)], {}, [(999.5, 1000.5, A, B)]),
    ],
)
def test_gateway_and_address(cells, rule, expected):
    assert assign(course(*cells), **rule)[0] == expected


def test_towers_of_one_gateway_change_nothing():
    assert assign(course((0, 0), (100, 1), of_cell=(0, 0)))[0] == []


@pytest.mark.parametrize(
    ("lost", "rule", "expected"),
    [
        ((100, 150), {}, []),
        ((100, 150), {"reattach_after_s": 30.0}, [(130, 151, A, "10.1.1.101")]),
        ((100, 150), {"reattach_after_s": 30.0, "sticky": True}, [(130, 151, A, A)]),
        ((100, 130), {"reattach_after_s": 30.0}, []),  # not longer
        ((100, 150), {"reattach_after_s": 30.0, "mode": "never"}, []),
    ],
)
def test_out_of_service_for_long_means_a_new_attach(lost, rule, expected):
    there = course((0, 0), (lost[0], -1), (lost[1], 0), lost=(lost,))
    assert assign(there, **rule)[0] == expected


def test_service_that_never_returns_gives_no_address():
    blocked = Blocked(Disruption("coverage_gap", 100.0, 1000.0), LinkState.LOST, out_of_service=True, forever=True)
    there = course((0, 0), (100, -1))
    there = Course(**{name: getattr(there, name) for name in there.__dataclass_fields__} | {"blocked": (blocked,)})
    assert assign(there, reattach_after_s=30.0)[0] == [(130, 1000, A, "")]


def test_an_outage_delays_the_address_that_is_on_its_way():
    there = course((0, 0), (100, 1), (130.5, -1), (140, 1), lost=((130.5, 140.0),))
    assert assign(there)[0] == [(130, 141, A, B)]


def test_no_address_before_the_first_service():
    _, found = assign(course((0, -1), (20, 0), lost=((0.0, 20.0),)))
    assert found.address.at(np.array([0.0, 19.0, 20.0])).tolist() == [-1, -1, 0]


def test_pools_skip_addresses_of_other_gateways_and_of_networks():
    network = Network(gateways={"a": Gateway("10.0.0.254"), "b": Gateway("10.0.1.1"), "c": Gateway()})
    pools = Pools(("a", "b", "c"), network, 0)
    assert [pools.next(0) for _ in range(3)] == ["10.0.0.254", "10.0.1.2", "10.0.1.3"]
    assert [pools.next(1) for _ in range(2)] == ["10.0.1.1", "10.0.1.4"]
    assert pools.next(2) == "10.3.0.10"


def test_vehicles_of_a_fleet_have_addresses_of_their_own():
    network = Network(gateways=GATEWAYS)
    seen = [Pools(("a", "b"), network, vehicle).next(gateway) for vehicle in range(500) for gateway in (0, 1)]
    assert len(set(seen)) == len(seen)
