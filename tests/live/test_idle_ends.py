"""A carrier's NAT that forgets a silent connection begins a recovery episode, live as in the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.live.packet_link import PacketLink
from sim.measure.run_episodes import forgotten, run_episodes
from sim.record.read import read_run
from sim.scenario.load import load
from sim.study.live import plan
from sim.study.validation import validate

#: Silent for the NAT's 3 s, then a PINGREQ at 8 s that is answered with RST; from 9 s on another connection, forgotten unnoticed
SCENARIO = """
name: silent
script:
  steps: [{at: 0 s, link: up, cell: A, gateway: a}]
  duration: 14 s
network:
  gateways: {a: {address: 10.1.1.100}}
  access: cgnat
  cgnat: {idle_timeout: 3 s}
link: {rtt: {median: 60 ms, p95: 60 ms}, downlink: 20 Mbit/s, uplink: 5 Mbit/s}
server: {tls: none, dns: {cached: true}}
workload: {ota: {chunk: 1 KiB, at: [1 s]}, diagnostics: null, telemetry: null, probes: null}
strategies: [{use: mqtt_persistent, keep_alive: 8 s}]
phases: fixed
replications: 1
drain: 1 s
"""


@pytest.mark.parametrize("link", ["loopback", "packet"])
def test_an_idle_expiry_is_one_in_the_model_and_live(link: str, tmp_path: Path) -> None:
    if link == "packet" and PacketLink.missing():
        pytest.skip("no packet link here")
    file = tmp_path / "silent.yaml"
    file.write_text(SCENARIO)
    found = validate(plan(load(str(file))), "embedded", link, out=tmp_path / "results")
    assert [row for row in found.rows if not row.agrees] == []
    assert found.run_dir is not None
    live, model = read_run(found.run_dir), read_run(found.run_dir / "model")
    assert forgotten(live) == forgotten(model) != {}
    (begun_live,), (begun_model,) = (
        [one for one in run_episodes(run)["mqtt_persistent"] if one.start_s < 9.0] for run in (live, model)
    )
    assert begun_live.events[0].kind == begun_model.events[0].kind == "nat_idle"
    assert begun_live.start_s == pytest.approx(begun_model.start_s, abs=0.25)
    assert begun_live.end_s == pytest.approx(begun_model.end_s, abs=0.25)
