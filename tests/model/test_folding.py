"""Run-ahead changes nothing but speed: with and without it a run leaves equal records, whatever the drive and the strategy."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.config import Network, Reassignment
from sim.drive.timeline import LinkState
from sim.model.simulate import VehicleRun
from sim.protocols.broker_presets import Broker
from sim.protocols.tls import TLS
from sim.record.tables import frames
from sim.strategies.backoff import Backoff
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTCleanSession, MQTTPersistent, StaticPush
from sim.strategies.workload import OTA, Diagnostics, Probes, Telemetry, Workload
from sim.study.run import run_columns
from tests.model.runs import PLAIN, Row, drive, run

VARIANTS = {
    "mqtt_persistent": MQTTPersistent(),
    "mqtt_persistent, link event": MQTTPersistent(
        address_watch="link_event", user_timeout_s=5.0, backoff=Backoff(policy="full_jitter")
    ),
    "mqtt_persistent, no wait": MQTTPersistent(keep_alive_s=5.0, address_watch="off", backoff=Backoff(policy="none")),
    "mqtt_persistent, parked": MQTTPersistent(when_parked="disconnect", version="5", session_expiry_s=6.0),
    "mqtt_persistent, asleep": MQTTPersistent(when_parked="sleep", wake_every_s=7.0, awake_s=2.0),
    "mqtt_clean_session": MQTTCleanSession(),
    "hybrid": Hybrid(poll_s=5.0, keep_alive_s=5.0),
    "hybrid, asleep": Hybrid(poll_s=3.0, uplink="post", when_parked="sleep", wake_every_s=7.0, awake_s=4.0),
    "hybrid, as the seed's code": Hybrid(retry="with_poll", poll_s=10.0, ack="none", uplink="post", http="keep_alive"),
    "ddns_heartbeat": DDNSHeartbeat(),
    "ddns_heartbeat, parked": DDNSHeartbeat(heartbeat_s=5.0, when_parked="disconnect", address_watch="poll"),
    "ddns_heartbeat, asleep": DDNSHeartbeat(heartbeat_s=5.0, when_parked="sleep", wake_every_s=7.0, awake_s=3.0),
    "ddns_heartbeat, dns": DDNSHeartbeat(locate="dns", dns_ttl_s=5.0, address_watch="poll", http="keep_alive"),
    "static_push": StaticPush(),
}
WORKLOADS = [
    Workload(
        ota=OTA(chunk_bytes=30_000, image_bytes=900_000, every_s=2.0),
        diagnostics=Diagnostics(every_s=7.0, expire=True),
        telemetry=Telemetry(every_s=1.5, while_parked=True),
        probes=Probes(mean_gap_s=5.0),
    ),
    Workload(
        ota=OTA(chunk_bytes=50_000, image_bytes=600_000, window=3, qos=2, give_up_s=20.0),
        probes=None,
        telemetry=Telemetry(every_s=0.5, qos=2),
    ),
    Workload(
        ota=OTA(via="https_range", image_bytes=1_500_000, range_bytes=400_000, start_s=2.0, download_timeout_s=4.0),
        diagnostics=Diagnostics(every_s=7.0),
        probes=None,
    ),
]

ROW = st.tuples(
    st.floats(0.01, 25.0),
    st.integers(-1, 2),
    st.sampled_from([LinkState.UP, LinkState.UP, LinkState.HELD, LinkState.LOST]),
    st.sampled_from([0.0, 0.02, 0.08, 0.7]),
    st.sampled_from([math.inf, 2e6, 64e3]),
    st.sampled_from([math.inf, 5e5, 64e3]),
)
DRIVES = st.lists(ROW, min_size=1, max_size=8)
PARKINGS = st.sampled_from([(), ((3.0, 30.0),), ((0.0, 9.5), (20.0, 41.0)), ((12.0, math.inf),)])


def timeline_of(rows, parked=()):
    at_s, found = 0.0, []
    for lasts_s, address, link, rtt_s, down_bps, up_bps in rows:
        found.append(Row(round(at_s, 6), address, link, rtt_s, down_bps, up_bps))
        at_s += lasts_s
    return dataclasses.replace(drive(*found, Row(round(at_s, 6), 0, rtt_s=0.05), end_s=at_s + 5.0), parked=parked)


def tables(seen: VehicleRun):
    return frames(run_columns(seen, {}, "s", 0))


@pytest.mark.parametrize("name", VARIANTS)
@given(
    rows=DRIVES,
    parked=PARKINGS,
    workload=st.sampled_from(WORKLOADS),
    preset=st.sampled_from(["mosquitto", "rabbitmq", "aedes_redis"]),
    seed=st.integers(0, 99),
    access=st.sampled_from(["private_apn", "cgnat"]),
    old_path=st.sampled_from(["black_hole", "reset", "icmp"]),
    fixed=st.booleans(),
    profile=st.sampled_from(["none", "hybrid"]),
)
@settings(max_examples=8, deadline=None)
def test_a_run_with_folding_equals_one_without(name, rows, parked, workload, preset, seed, access, old_path, fixed, profile):
    server = dataclasses.replace(
        PLAIN, broker=Broker(preset=preset), tls=TLS(profile=profile, resumption="stateless"), refuse_share=0.1
    )
    network = Network(access=access, reassignment=Reassignment(old_path=old_path, reuse_after_s=8.0))
    use = name.partition(",")[0]
    folded, unfolded = (
        run(
            timeline_of(rows, parked),
            VARIANTS[name],
            workload,
            use=use,
            server=server,
            network=network,
            seed=seed,
            phases_fixed=fixed,
            drain_s=20.0,
            fold=fold,
            trace=False,
        )
        for fold in (True, False)
    )
    ours, oracle = tables(folded), tables(unfolded)
    assert set(ours) == set(oracle)
    for table in ours:
        assert ours[table].equals(oracle[table], null_equal=True), table
    assert folded.outcomes == unfolded.outcomes
    assert {outcome for outcome, _ in folded.outcomes} <= {"delivered", "lost", "pending"}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_is_the_same_when_it_is_run_again(name):
    rows = [
        (20.0, 0, LinkState.UP, 0.08, 2e6, 5e5),
        (3.0, -1, LinkState.LOST, 0.08, 2e6, 5e5),
        (40.0, 1, LinkState.UP, 0.3, 2e6, 5e5),
    ]
    first, again = (
        run(timeline_of(rows), VARIANTS[name], WORKLOADS[0], use=name.partition(",")[0], access="private_apn") for _ in range(2)
    )
    assert first.record.trace == again.record.trace
    assert np.array_equal(np.asarray(first.record.delivered), np.asarray(again.record.delivered), equal_nan=True)


def test_a_drive_may_end_in_a_handover():
    seen = run(drive(Row(0.0), Row(10.0, 0, LinkState.HELD), end_s=40.0), MQTTPersistent(keep_alive_s=3.0))
    assert seen.outcomes == []
