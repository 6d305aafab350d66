"""The drive as somebody's hand on the vehicle's interface leaves it."""

import dataclasses
import math

import numpy as np
import pytest

from sim.drive.timeline import Disruption, LinkState
from sim.live.as_driven import CAUSE, as_driven, in_words
from sim.live.packet.outages import Outage, attached, next_address, rows_with
from tests.live.packet_lab import NEW, OLD, drive

START_S, ADDRESS = [0.0, 30.0, 31.0, 60.0], [OLD, "", NEW, NEW]


def rows(*outages):
    return [(row.start_s, row.address, row.cut) for row in rows_with(START_S, ADDRESS, list(outages))]


def test_without_outages_the_rows_are_those_of_the_drive():
    assert rows() == [(0.0, OLD, False), (30.0, "", False), (31.0, NEW, False), (60.0, NEW, False)]


@pytest.mark.parametrize(
    ("outage", "expected"),
    [
        # down, and nobody takes it up again
        (Outage(10.0), [(0.0, OLD, False), (10.0, "", True), (30.0, "", True), (31.0, "", True), (60.0, "", True)]),
        # a new address, until the drive brings another one
        (
            Outage(10.0, 11.0, 12.5, "10.1.1.101"),
            [
                (0.0, OLD, False), (10.0, "", True), (12.5, "10.1.1.101", False), (30.0, "", False), (31.0, NEW, False),
                (60.0, NEW, False),
            ],
        ),
        # over the drive's own change: the drive's new address
        (Outage(20.0, 40.0, 41.5), [(0.0, OLD, False), (20.0, "", True), (30.0, "", True), (31.0, "", True),
                                    (41.5, NEW, False), (60.0, NEW, False)]),
        # an instant at which a row begins anyhow; rows with the same address keep the new one
        (Outage(31.0, 32.0, 33.0, "10.2.5.201"),
         [(0.0, OLD, False), (30.0, "", False), (31.0, "", True), (33.0, "10.2.5.201", False), (60.0, "10.2.5.201", False)]),
        # before the drive has begun
        (Outage(-2.0, -1.5, -1.0, "10.1.1.101"),
         [(0.0, OLD, False), (-2.0, "", True), (-1.0, "10.1.1.101", False), (30.0, "", False), (31.0, NEW, False),
          (60.0, NEW, False)]),
    ],
)  # fmt: skip
def test_an_outage_takes_the_address_away_and_gives_another(outage, expected):
    assert rows(outage) == expected


def test_two_outages_follow_each_other():
    assert [row[:2] for row in rows(Outage(5.0, 6.0, 7.0, "10.1.1.101"), Outage(10.0, 11.0, 12.0, "10.1.1.102"))] == [
        (0.0, OLD), (5.0, ""), (7.0, "10.1.1.101"), (10.0, ""), (12.0, "10.1.1.102"), (30.0, ""), (31.0, NEW), (60.0, NEW),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("down_s", "up_s", "keeps", "expected"),
    [
        (10.0, 11.0, False, Outage(10.0, 11.0, 12.5, "10.1.1.101")),
        (10.0, 11.0, True, Outage(10.0, 11.0, 12.5, OLD)),
        (10.0, 35.0, False, Outage(10.0, 35.0, 36.5)),  # the drive has gone on meanwhile
        (10.0, 29.0, False, Outage(10.0, 29.0, 30.5)),  # attached into the drive's own gap
        (40.0, 70.0, False, Outage(40.0, 70.0, 71.5, "10.2.5.201")),
    ],
)
def test_the_network_gives_the_next_address_unless_the_drive_has_gone_on(down_s, up_s, keeps, expected):
    assert attached(START_S, ADDRESS, [Outage(down_s)], up_s, 1.5, keeps) == expected


def test_a_second_restart_gives_a_third_address():
    first = Outage(5.0, 6.0, 7.0, "10.1.1.101")
    assert attached(START_S, ADDRESS, [first, Outage(10.0)], 11.0, 1.0, False).address == "10.1.1.102"
    assert attached(START_S, ADDRESS, [first, Outage(10.0)], 11.0, 1.0, True).address == "10.1.1.101"


def test_the_next_address_is_nobody_elses_and_no_end_of_a_network():
    assert next_address("10.1.1.100", {"10.1.1.101"}) == "10.1.1.102"
    assert next_address("10.1.1.254", set()) == "10.1.2.1"


# --- the timeline as it was ---------------------------------------------------------------------------------------------------


def held(timeline):
    return [
        (start, timeline.addresses[index] if index >= 0 else "", int(link))
        for start, index, link in zip(timeline.start_s.tolist(), timeline.address.tolist(), timeline.link.tolist(), strict=True)
    ]


def test_the_drive_as_it_was_has_the_outage_as_a_reassignment():
    changes = (Disruption("reassignment", 30.0, 31.0, OLD, NEW, "gateway change"),)
    planned = dataclasses.replace(drive((0.0, OLD), (30.0, "", LinkState.LOST), (31.0, NEW)), disruptions=changes)
    was = as_driven(planned, [Outage(10.0, 11.0, 12.5, "10.1.1.101")])
    up, lost = int(LinkState.UP), int(LinkState.LOST)
    assert held(was) == [(0.0, OLD, up), (10.0, "", lost), (12.5, "10.1.1.101", up), (30.0, "", lost), (31.0, NEW, up)]
    assert was.disruptions == (
        Disruption("reassignment", 10.0, 12.5, OLD, "10.1.1.101", CAUSE),
        Disruption("reassignment", 30.0, 31.0, "10.1.1.101", NEW, "gateway change"),
    )
    assert np.array_equal(was.rtt_s, np.full(5, planned.rtt_s[0]))


def test_an_address_that_is_kept_makes_it_a_detach_and_one_that_never_comes_ends_with_the_drive():
    planned = drive((0.0, OLD))
    assert as_driven(planned, []) is planned
    assert as_driven(planned, [Outage(10.0, 11.0, 12.5, OLD)]).disruptions == (Disruption("detach", 10.0, 12.5, "", "", CAUSE),)
    assert as_driven(planned, [Outage(10.0)]).disruptions == (Disruption("reassignment", 10.0, planned.end_s, OLD, "", CAUSE),)


def test_what_was_before_the_drive_is_not_part_of_it():
    was = as_driven(drive((0.0, OLD)), [Outage(-2.0, -1.5, -1.0, "10.1.1.101")])
    assert held(was) == [(0.0, "10.1.1.101", int(LinkState.UP))]
    assert was.disruptions == ()


def test_an_outage_in_words():
    assert in_words([Outage(1.0, 2.0, 3.5, NEW), Outage(9.0, math.inf)]) == [
        "At 1.000 s the vehicle's interface was taken down by hand, at 2.000 s it was up again, at 3.500 s it had an address, "
        f"{NEW}.",
        "At 9.000 s the vehicle's interface was taken down by hand.",
    ]
