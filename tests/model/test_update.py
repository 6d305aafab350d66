"""An image over HTTPS in ranges: whatever happens to the link it arrives once, from the byte on at which it broke off."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.timeline import LinkState
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTPersistent, StaticPush
from sim.strategies.sources import RANGE_IDS
from sim.strategies.update_server import PART_BYTES
from sim.strategies.workload import OTA
from tests.model.runs import NOTHING_TO_SEND, Row, drive, run

IMAGE, RANGE = 3_000_000, 1_000_000
FETCHED = dataclasses.replace(NOTHING_TO_SEND, ota=OTA(via="https_range", image_bytes=IMAGE, range_bytes=RANGE, start_s=5.0))
EVERY = [
    ("mqtt_persistent", MQTTPersistent()),
    ("hybrid", Hybrid()),
    ("ddns_heartbeat", DDNSHeartbeat()),
    ("static_push", StaticPush()),
]


def road(*changes, end_s=300.0, **more):
    return dataclasses.replace(drive(Row(0.0, down_bps=1e6, rtt_s=0.05), *changes, end_s=end_s), **more)


def ranges(seen):
    """(size, delivered, arrivals, resent) of the ranges, in their order."""
    record, resent = seen.record, seen.record.resent_bytes()
    rows = [row for row, message in enumerate(record.messages) if message.id >= RANGE_IDS]
    return [(record.messages[row].size_bytes, record.delivered[row], record.arrivals[row], resent[row]) for row in rows]


def downloads(seen):
    return [row for row in seen.record.connections if row.purpose == "download"]


@pytest.mark.parametrize(("use", "config"), EVERY)
def test_every_strategy_fetches_the_image_it_was_told_of(use, config):
    seen = run(road(), config, FETCHED, use=use)
    found = ranges(seen)
    assert [(size, arrivals, resent) for size, _, arrivals, resent in found] == [(RANGE, 1, 0)] * 3
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered"] * 4  # the announcement too
    (connection,) = downloads(seen)  # one after the other on one transport
    assert connection.outcome == "ready"
    took_s = found[-1][1] - 5.0
    assert IMAGE * 8 / 1e6 < took_s < 1.2 * IMAGE * 8 / 1e6


@pytest.mark.parametrize(("use", "config"), EVERY)
def test_a_new_address_breaks_the_download_off_and_it_goes_on_at_the_last_byte(use, config):
    seen = run(road(Row(15.0, 1, down_bps=1e6, rtt_s=0.05)), config, FETCHED, use=use)
    found = ranges(seen)
    assert [arrivals for _, _, arrivals, _ in found] == [1, 1, 1]
    assert 0 <= sum(resent for *_, resent in found) <= PART_BYTES
    first, second = downloads(seen)
    assert (first.outcome, first.reason, second.trigger) == ("failed", "request_timeout", "retry")
    payload = sum(cell[1] for (direction, purpose), cell in seen.record.traffic.items() if purpose == "payload")
    repeated = seen.record.traffic.get(("down", "repeated"), [0, 0])[1]
    assert repeated == sum(resent for *_, resent in found)
    assert IMAGE < payload < 1.08 * IMAGE  # headers and acknowledgements, and not a range too much


def test_parking_pauses_a_download_and_the_ignition_resumes_it():
    parked = road(parked=((15.0, 5000.0),), end_s=5300.0)
    seen = run(parked, MQTTPersistent(when_parked="disconnect"), FETCHED)
    found = ranges(seen)
    assert [arrivals for _, _, arrivals, _ in found] == [1, 1, 1]
    assert found[0][1] < 15.0 < 5000.0 < found[1][1]
    assert sum(resent for *_, resent in found) <= 2 * PART_BYTES
    assert [row.trigger for row in downloads(seen)] == ["message", "ignition"]
    through = run(parked, MQTTPersistent(), FETCHED)
    assert ranges(through)[-1][1] < 60.0  # one that stays connected fetches it while it stands


def test_what_was_not_fetched_is_pending_and_never_lost():
    seen = run(road(Row(15.0, 0, LinkState.LOST)), MQTTPersistent(), FETCHED)
    assert [outcome for outcome, _ in seen.outcomes] == ["delivered", "delivered", "pending", "pending"]
    assert len(downloads(seen)) > 5  # with the waits of the backoff


def test_an_announcement_that_is_lost_leaves_the_image_where_it_is():
    clean = MQTTPersistent(clean_session=True, resubscribe="always")
    seen = run(road(Row(2.0, 0, LinkState.LOST), Row(200.0)), clean, FETCHED, drain_s=100.0)
    assert [outcome for outcome, _ in seen.outcomes] == ["lost", "pending", "pending", "pending"]
    assert not downloads(seen)


CUTS = st.lists(st.tuples(st.floats(0.5, 40.0), st.sampled_from(["lost", "held", "address"])), max_size=5)


@given(cuts=CUTS, part=st.integers(1, IMAGE))
@settings(max_examples=40, deadline=None)
def test_however_the_link_breaks_each_byte_is_counted_once(cuts, part):
    rows, at_s, address = [], 0.0, 0
    for lasts_s, what in cuts:
        at_s += lasts_s
        address += what == "address"
        state = {"lost": LinkState.LOST, "held": LinkState.HELD}.get(what, LinkState.UP)
        rows += [Row(round(at_s, 3), address, state, 0.05, 1e6), Row(round(at_s + 2.0, 3), address, LinkState.UP, 0.05, 1e6)]
        at_s += 2.0
    work = dataclasses.replace(FETCHED, ota=dataclasses.replace(FETCHED.ota, range_bytes=max(part, 100_000)))
    seen = run(road(*rows, end_s=400.0), MQTTPersistent(address_watch="link_event"), work, seed=part)
    found = ranges(seen)
    assert sum(size for size, *_ in found) == IMAGE
    assert all(arrivals == 1 for _, _, arrivals, _ in found)
    assert all(outcome == "delivered" for outcome, _ in seen.outcomes)
    resent = sum(again for *_, again in found)
    assert resent <= len(cuts) * (PART_BYTES + 200_000)
