"""Redis fails over or restarts: what had not reached the replica, or the disk, is lost or comes again (docs/faults.md)."""

import pytest

from sim.drive.timeline import LinkState
from sim.server.config import Fault, Store
from sim.strategies.config import MQTTPersistent
from tests.model.runs import Row, attempts, chunks, delivered, drive, lost, telemetry
from tests.model.server_faults import RTT_S, run_with

#: K = 5 s: the broker, exact, notices 7.5 s after the last ping that the vehicle is out of coverage, from 50 s to 200 s.
AWAY = drive(Row(0.0, rtt_s=RTT_S), Row(50.0, 0, LinkState.LOST, rtt_s=RTT_S), Row(200.0, rtt_s=RTT_S), end_s=400.0)
CONFIG = MQTTPersistent(keep_alive_s=5.0)


def failover(at_s=100.0, **other):
    return Fault("store_failover", at_s=at_s, **other)


@pytest.mark.parametrize(("lag_s", "gone"), [(0.0, 0), (0.1, 1), (25.0, 2), (35.0, 3)])
def test_what_was_queued_within_the_lag_is_lost(lag_s, gone):
    """Chunks of 70, 80 and 99.95 s wait for the vehicle; Redis fails over at 100 s. With 35 s the replica has none of them."""
    seen = run_with([failover()], CONFIG, chunks(70.0, 80.0, 99.95), timeline=AWAY, store=Store("redis", replication_lag_s=lag_s))
    assert lost(seen) == ({"store_failover": gone} if gone else {})
    assert attempts(seen)[-1].session_present == 1


def test_a_session_that_had_not_reached_the_replica_is_gone():
    """The vehicle has been connected for 0.3 s."""
    seen = run_with([failover(at_s=0.5)], workload=chunks(0.45, 60.0), store=Store("redis", replication_lag_s=1.0))
    assert seen.outcomes == [("delivered", "")] * 2  # its node goes on from memory
    seen = run_with(
        [failover(at_s=0.5), Fault("node_crash", at_s=100.0, for_s=5.0)], workload=chunks(60.0),
        store=Store("redis", replication_lag_s=1.0),
    )  # fmt: skip
    assert attempts(seen)[-1].session_present == 0


def test_an_acknowledgement_within_the_lag_is_forgotten_and_its_message_comes_again_at_the_next_connection():
    """Chunk of 99.9 s, acknowledged at 99.98 s, in the replica as of 99.95 s as not acknowledged; a node crashes at 150 s."""
    faults = [failover(), Fault("node_crash", at_s=150.0, for_s=5.0)]
    seen = run_with(faults, workload=chunks(99.9), store=Store("redis", replication_lag_s=0.05))
    assert seen.record.arrivals == [2]
    seen = run_with(faults, workload=chunks(99.9), store=Store("redis", replication_lag_s=0.0))
    assert seen.record.arrivals == [1]


@pytest.mark.parametrize("for_s", [None, 5.0])
def test_publishers_wait_for_the_failover(for_s):
    """30 s by default (Redis Sentinel), or as long as the fault says; uplink and what is connected go on."""
    seen = run_with([failover(for_s=for_s)], workload=chunks(101.0), store=Store("redis"))
    assert delivered(seen) == [pytest.approx(100.0 + (for_s or 30.0) + RTT_S / 2)]
    seen = run_with([failover()], workload=telemetry(5.0), store=Store("redis"))
    assert (
        max(at - message.created_s for message, at in zip(seen.record.messages, delivered(seen), strict=True) if at == at) < 0.1
    )


def test_a_connect_waits_for_the_failover_and_is_answered_at_its_end():
    """The node crashes at 100 s and is back at 101 s; the CONNECT of 101.2 s waits until 106 s."""
    faults = [Fault("node_crash", at_s=100.0, for_s=1.0), failover(at_s=100.0, for_s=6.0)]
    seen = run_with(faults, store=Store("redis"))
    last = attempts(seen)[-1]
    assert last.opened_s < 102.0
    assert last.connack_s == pytest.approx(106.0 + 0.0003 + RTT_S / 2)


@pytest.mark.parametrize(("how", "aof", "gone"), [
    ("process", "no", 0), ("host", "always", 0), ("host", "everysec", 1), ("host", "no", 2),
])  # fmt: skip
def test_what_a_crash_of_redis_loses_is_said_by_its_append_only_file(how, aof, gone):
    """Chunks of 60, 80 and 99.5 s. A process leaves what it wrote to the kernel; a host loses 0, 1 or 30 s."""
    crash = Fault("store_crash", at_s=100.0, how=how, for_s=5.0)
    seen = run_with([crash], CONFIG, chunks(60.0, 80.0, 99.5), timeline=AWAY, store=Store("redis", aof=aof))
    assert lost(seen) == ({"store_failover": gone} if gone else {})


def test_two_outages_of_the_store_that_overlap_end_with_the_later_one():
    faults = [failover(for_s=10.0), Fault("store_crash", at_s=105.0, for_s=10.0)]
    seen = run_with(faults, workload=chunks(101.0), store=Store("redis"))
    assert delivered(seen) == [pytest.approx(115.0 + RTT_S / 2)]
