"""What happens before the path ends does not depend on that it will: two drives that differ later on differ later on."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.protocols.tcp import HEADER_BYTES
from sim.record.schema import TABLES
from sim.strategies.workload import OTA, Diagnostics, Telemetry, Workload
from tests.model.runs import Row, drive, run
from tests.model.test_folding import VARIANTS

COLUMNS = [column.name for column in TABLES["connections"][3:]]
#: Acknowledgements are counted by whole segments, once for a write and once for what of it is given back.
ROUNDING_BYTES = 2 * HEADER_BYTES


def before(seen, end_s):
    """What was seen of connections and messages by then."""

    def known(value):
        return value if not isinstance(value, float) or value < end_s else None

    over = ("path_end_s", "bytes_up", "bytes_down")
    rows = [row for row in seen.record.connections if row.asked_s < end_s]
    connections = [{name: known(getattr(row, name)) for name in COLUMNS if name not in over} for row in rows]
    for one in connections:
        if not one["noticed_s"] or not one["noticed_s"] < end_s:
            one["reason"] = one["outcome"] = None  # it ended later
    ended = [row for row in rows if row.noticed_s < end_s and not row.peer_ended_s >= end_s]
    handed = [at_s if at_s < end_s else None for at_s in seen.record.handed]
    return connections, [(row.bytes_up, row.bytes_down) for row in ended], handed


@pytest.mark.parametrize("name", ["mqtt_persistent", "hybrid", "ddns_heartbeat"])
@given(
    down_bps=st.sampled_from([64e3, 256e3, 2e6]),
    chunk=st.sampled_from([65_536, 262_144, 1_048_576]),
    every_s=st.sampled_from([5.0, 20.0]),
    keep_alive_like=st.sampled_from([0.08, 0.3]),
    end_s=st.floats(30.0, 200.0),
)
@example(down_bps=64e3, chunk=1_048_576, every_s=20.0, keep_alive_like=0.08, end_s=100.0)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_a_path_that_will_end_is_as_good_as_any_until_then(name, down_bps, chunk, every_s, keep_alive_like, end_s):
    workload = Workload(
        ota=OTA(chunk_bytes=chunk, image_bytes=8 * chunk, every_s=every_s),
        diagnostics=Diagnostics(every_s=11.0),
        telemetry=Telemetry(every_s=9.0, size_bytes=2_000),
        probes=None,
    )
    link = {"rtt_s": keep_alive_like, "down_bps": down_bps, "up_bps": 64e3}
    seen = [
        run(timeline, VARIANTS[name], workload, use=name, seed=3, trace=False)
        for timeline in (drive(Row(0.0, **link), end_s=260.0), drive(Row(0.0, **link), Row(end_s, 1, **link), end_s=260.0))
    ]
    without, with_end = (before(one, end_s - 1.0) for one in seen)
    assert with_end[0] == without[0]
    assert with_end[2] == without[2]
    for these, those in zip(with_end[1], without[1], strict=True):
        assert all(math.isclose(one, other, abs_tol=ROUNDING_BYTES) for one, other in zip(these, those, strict=True))
