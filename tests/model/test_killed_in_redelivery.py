"""A node is killed while it sends a backlog over a slow link: what still arrives, when the vehicle is told, what comes again.

As measured on real brokers (docs/validation.md).
"""

from dataclasses import replace

import pytest

from sim.drive.timeline import LinkState
from sim.protocols.broker_presets import Broker
from sim.protocols.server import Server
from sim.server.config import Balancer, Fault, Nodes, Store
from sim.strategies.config import MQTTPersistent
from tests.model.runs import PLAIN, Row, attempts, chunks, delivered, drive
from tests.model.server_faults import RTT_S, run_with

DOWN_BPS = 2e6
SIZE = 64 * 1024
EACH_S = 0.272  # a chunk with its headers at 2 Mbit/s
#: without coverage from 10 to 30 s; a new address then, so that the backlog goes out on a new connection
GAP = drive(
    Row(0.0, rtt_s=RTT_S, down_bps=4e6), Row(10.0, link=LinkState.LOST), Row(30.0, 1, rtt_s=RTT_S, down_bps=DOWN_BPS), end_s=90.0
)
BACKLOG = chunks(*(11.0 + n for n in range(16)), size=SIZE)
KILLED_S = 31.6
WATCHES = MQTTPersistent(address_watch="link_event")
PROXY = Balancer(algorithm="source", health_interval_s=0.1, unhealthy_after=1, healthy_after=1, proxy=True)


def killed(server: Server = PLAIN, *, for_s: float = 20.0, **other):
    fault = Fault("node_crash", at_s=KILLED_S, for_s=for_s, node="broker-1")
    return run_with([fault], WATCHES, BACKLOG, timeline=GAP, server=server, **other)


def arrivals(seen, after_s):
    return [at for at in delivered(seen) if at > after_s]


def test_the_backlog_is_on_its_way_when_the_node_is_killed():
    seen = killed(store=Store("redis"))
    before = [at for at in delivered(seen) if 30.0 < at < KILLED_S]
    assert 3 <= len(before) <= 8
    assert len(arrivals(seen, 40.0)) >= 5


def test_the_next_acknowledgement_meets_rst_which_stays_behind_what_is_in_the_queue():
    """256 KiB of queue take 1.05 s at 2 Mbit/s."""
    seen = killed(store=Store("redis"))
    second = attempts(seen)[1]
    assert (second.reason, second.peer_ended_s) == ("reset", KILLED_S)
    arrived = next(at for at in delivered(seen) if at + RTT_S / 2 > KILLED_S)
    expected_s = arrived + RTT_S / 2 + 262_144 * 8.0 / DOWN_BPS + RTT_S / 2
    assert second.noticed_s == pytest.approx(expected_s, abs=0.01)


def test_what_the_kernel_had_arrives_before_that_and_again_later():
    seen = killed(store=Store("redis"))
    told_s = attempts(seen)[1].noticed_s
    between = [n for n, at in enumerate(delivered(seen)) if KILLED_S - RTT_S / 2 < at < told_s]
    assert len(between) == pytest.approx((told_s - KILLED_S) / EACH_S, abs=1.0)
    assert [seen.record.arrivals[n] for n in between] == [2] * len(between)
    assert sum(seen.record.arrivals) == 16 + len(between)


def test_a_proxy_takes_one_more_acknowledgement_before_it_answers_with_rst():
    plain = killed(store=Store("redis"))
    # haproxy's `balance source`, the address as a number modulo the nodes: 10.2.1.100 is even and leads to the first one
    nodes = Nodes(("broker-1", "broker-0"))
    proxied = killed(store=Store("redis"), balancer=PROXY, nodes=nodes)
    waits = [attempts(seen)[1].noticed_s for seen in (plain, proxied)]
    assert waits[1] - waits[0] == pytest.approx(EACH_S, abs=0.02)


def test_the_rest_of_the_backlog_does_not_hold_the_link_up_once_the_connection_is_gone():
    nodes = Nodes(("broker-1", "broker-0"))
    seen = killed(store=Store("redis"), balancer=PROXY, nodes=nodes)
    third = attempts(seen)[2]
    assert third.outcome == "ready"
    assert third.ready_s - third.asked_s < 0.5
    later = [at for at in delivered(seen) if at > third.ready_s]
    gaps = [after - before for before, after in zip(sorted(later)[1:], sorted(later)[2:], strict=False)]
    assert max(gaps) == pytest.approx(EACH_S, abs=0.01)


def test_a_process_that_is_not_spoken_to_any_more_ends_with_fin_behind_all_that_its_kernel_had():
    """QoS 0 is not acknowledged: the kernel hands over what it has."""
    burst = chunks(*(50.0 + n / 1000 for n in range(8)), size=SIZE, qos=0)
    fault = Fault("node_crash", at_s=50.1, for_s=20.0)
    seen = run_with(
        [fault], MQTTPersistent(address_watch="off"), burst, timeline=drive(Row(0.0, rtt_s=RTT_S, down_bps=DOWN_BPS), end_s=90.0)
    )
    first = attempts(seen)[0]
    assert [at for at in delivered(seen) if at == at] == sorted(delivered(seen))
    assert len([at for at in delivered(seen) if at == at]) == 8
    assert first.reason == "closed"
    assert first.noticed_s == pytest.approx(max(delivered(seen)), abs=0.01)


# --- a broker's own store ---------------------------------------------------------------------------------------------------


def of(preset: str) -> Server:
    return replace(PLAIN, broker=Broker(preset))  # type: ignore[arg-type]


def test_rabbitmq_restarts_with_its_durable_queues_in_the_order_of_publication_and_all_of_it_bears_dup():
    seen = killed(of("rabbitmq"))
    last = attempts(seen)[-1]
    assert last.session_present == 1
    assert {outcome for outcome, _cause in seen.outcomes} == {"delivered"}
    published = [
        (at, message, text)
        for at, who, what, _transport, message, text in seen.record.trace
        if (who, what) == ("vehicle", "packet_received") and text.startswith("PUBLISH") and at > last.ready_s
    ]
    ids = [message for _at, message, _text in published]
    assert ids == sorted(ids)
    assert len(ids) >= 8
    assert all(text.endswith(" dup") for _at, _message, text in published)


def test_rabbitmq_has_no_qos_0_on_its_disk():
    low = chunks(12.0, 13.0, qos=0)
    fault = Fault("node_crash", at_s=20.0, for_s=5.0)
    seen = run_with([fault], WATCHES, low, timeline=GAP, server=of("rabbitmq"))
    # published into a connection that the broker took for alive until its keep alive rule ended it: not yet at 20 s
    offline = chunks(100.0, 101.0, qos=0)
    long_gap = drive(Row(0.0, rtt_s=RTT_S), Row(10.0, link=LinkState.LOST), Row(200.0, 1, rtt_s=RTT_S), end_s=260.0)
    later = run_with([replace(fault, at_s=150.0)], WATCHES, offline, timeline=long_gap, server=of("rabbitmq"))
    assert {cause for _outcome, cause in seen.outcomes} == {"qos0_dead_transport"}
    assert later.outcomes == [("lost", "broker_restart")] * 2


@pytest.mark.parametrize(("preset", "present"), [("rabbitmq", 1), ("aedes_redis", 1), ("aedes", 0), ("amqtt", 0), ("spec", 0)])
def test_where_a_lone_node_keeps_its_sessions_is_the_presets(preset, present):
    seen = killed(of(preset))
    assert attempts(seen)[-1].session_present == present
    kept = killed(of(preset), store=Store("redis"))
    assert attempts(kept)[-1].session_present == 1  # what the scenario says goes before it


def test_mosquitto_saves_every_half_hour_from_its_start():
    from sim.server.build import Key, build_server_timeline
    from sim.server.timeline import Change

    server = of("mosquitto")
    found = []
    for at_s in (1700.0, 1900.0):
        fault = Fault("node_crash", at_s=at_s)
        happens = build_server_timeline(
            server.nodes, None, server.session_store(), [fault], 4000.0, Key(1, 0, True, started_s=-3.0)
        )
        found.append([change[0] for change in happens.changes if change[1] is Change.SAVED])
    assert found == [[], [1797.0]]
