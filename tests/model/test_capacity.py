"""What a link is said to have carried is never negative, and never more than it can carry."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.drive.config import CGNAT, Network, Reassignment
from sim.drive.timeline import LinkState
from sim.protocols.tcp import HEADER_BYTES
from sim.protocols.tls import TLS
from sim.strategies.workload import OTA, Diagnostics, Telemetry, Workload
from tests.model.runs import PLAIN, Row, drive, run
from tests.model.test_folding import VARIANTS

DRAIN_S = 30.0
#: What takes no place in the queue of a slow link (Simplifications of sim/model/link.py and network.py): pure
#: acknowledgements, a header for two segments of the other direction; handshakes, DNS, FIN and RST.
ACKNOWLEDGED = HEADER_BYTES / (2 * PLAIN.tcp.mss_bytes)
BESIDES = 0.05
BESIDES_BYTES = 30_000

ROW = st.tuples(
    st.floats(2.0, 40.0),
    st.sampled_from([0, 0, 0, 1, -1]),
    st.sampled_from([LinkState.UP, LinkState.UP, LinkState.UP, LinkState.HELD, LinkState.LOST]),
    st.sampled_from([0.02, 0.08, 0.7]),
    st.sampled_from([2e6, 256e3, 64e3]),
    st.sampled_from([5e5, 64e3]),
)


def carried(seen, direction):
    return sum(cell[1] for (way, _), cell in seen.record.traffic.items() if way == direction)


def capacity_bytes(timeline, rates_bps, start_s, end_s):
    starts = [start_s, *timeline.start_s[1:].tolist()]
    ends = [*timeline.start_s[1:].tolist(), end_s]
    open_s = [max(0.0, end - start) for start, end in zip(starts, ends, strict=True)]
    rows = zip(open_s, rates_bps.tolist(), timeline.link.tolist(), strict=True)
    return sum(length_s * rate for length_s, rate, link in rows if link != LinkState.LOST) / 8.0


@pytest.mark.parametrize("name", VARIANTS)
@given(
    rows=st.lists(ROW, min_size=1, max_size=6),
    chunk=st.sampled_from([4_096, 30_000, 131_072, 1_048_576]),
    every_s=st.sampled_from([2.0, 10.0]),
    telemetry=st.sampled_from([100, 20_000]),
    access=st.sampled_from(["private_apn", "cgnat"]),
    profile=st.sampled_from(["none", "hybrid"]),
    rebind_s=st.sampled_from([(), (15.0, 40.0)]),
    seed=st.integers(0, 9),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_no_byte_is_booked_that_the_link_could_not_carry(name, rows, chunk, every_s, telemetry, access, profile, rebind_s, seed):
    at_s, found = 0.0, []
    for lasts_s, address, link, rtt_s, down_bps, up_bps in rows:
        found.append(Row(round(at_s, 6), address, link, rtt_s, down_bps, up_bps))
        at_s += lasts_s
    timeline = drive(*found, Row(round(at_s, 6), 0, rtt_s=0.05, down_bps=64e3, up_bps=64e3), end_s=at_s + 20.0)
    if access == "cgnat":
        timeline = replace(timeline, rebinds_s=rebind_s)
    workload = Workload(
        ota=OTA(chunk_bytes=chunk, image_bytes=20 * chunk, every_s=every_s),
        diagnostics=Diagnostics(every_s=7.0),
        telemetry=Telemetry(every_s=2.0, size_bytes=telemetry),
        probes=None,
    )
    seen = run(
        timeline,
        VARIANTS[name],
        workload,
        use=name.partition(",")[0],
        server=replace(PLAIN, tls=TLS(profile=profile)),
        network=Network(access=access, cgnat=CGNAT(idle_timeout_s=60.0), reassignment=Reassignment()),
        seed=seed,
        drain_s=DRAIN_S,
        trace=False,
    )
    for (direction, purpose), (packets, n_bytes) in seen.record.traffic.items():
        assert packets >= 0, (direction, purpose)
        assert n_bytes >= 0, (direction, purpose)
    for row in seen.record.connections:
        assert row.bytes_up >= 0
        assert row.bytes_down >= 0
    rows = seen.record.connections
    for direction, of_rows in (("up", sum(row.bytes_up for row in rows)), ("down", sum(row.bytes_down for row in rows))):
        lookups = carried(seen, direction) - of_rows  # DNS belongs to no connection; every other byte is booked for one purpose
        assert lookups >= 0
        assert lookups % (PLAIN.dns.query_bytes if direction == "up" else PLAIN.dns.answer_bytes) == 0
    again = sum(cell[1] for (_, purpose), cell in seen.record.traffic.items() if purpose == "repeated")
    assert again >= sum(seen.record.resent_bytes())  # the answers to requests have no rows
    for direction, rates_bps in (("up", timeline.uplink_bps), ("down", timeline.downlink_bps)):
        fits = capacity_bytes(timeline, rates_bps, seen.start_s, seen.horizon_s)
        assert math.isfinite(fits)
        other = carried(seen, "down" if direction == "up" else "up")
        assert carried(seen, direction) <= fits * (1.0 + BESIDES) + ACKNOWLEDGED * other + BESIDES_BYTES
