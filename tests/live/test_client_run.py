"""Programs as the vehicle, in real time on the packet link: what is recorded of them is what they say themselves."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from sim.cli import MISSED, OK, main
from sim.live.packet.capture import read_capture
from sim.record.read import read_run
from tests.live.packet_lab import NEW, OLD, SLACK_S, skip_where_impossible

pytestmark = pytest.mark.slow

# half a second from the change of the address: a PUBACK that is lost with it would make one more arrival than is observed
AT = ", ".join(f"{second}.5 s" for second in range(1, 16))
SCENARIO = f"""
name: client
script:
  steps:
    - {{at: 0 s, link: up, cell: a, gateway: city-a}}
    - {{at: 6 s, cell: b, gateway: highway}}
  duration: 16 s
network:
  gateways: {{city-a: {{address: 10.1.1.100}}, highway: {{address: 10.2.5.200}}}}
  reassignment: {{delay: 0.5 s}}
  access: private_apn
link: {{rtt: {{median: 80 ms, p95: 80 ms}}, realism: false}}
server: {{broker: mosquitto, tls: classical}}
workload:
  ota: {{chunk: 1 KiB, at: [{AT}]}}
  probes: null
strategies: [mqtt_persistent]
drain: 6 s
"""


@pytest.fixture(autouse=True, scope="module")
def _possible():
    skip_where_impossible()


def live(tmp_path: Path, command: str, *options: str) -> tuple[int, Path, float]:
    """(exit code, the run's folder, seconds)."""
    (tmp_path / "client.yaml").write_text(SCENARIO)
    begun = time.monotonic()
    arguments = ["live", str(tmp_path / "client.yaml"), "--link", "packet", "--client", command, "--out", str(tmp_path / "out")]
    code = main([*arguments, *options])
    (folder,) = (tmp_path / "out" / "client").iterdir()
    return code, folder, time.monotonic() - begun


def test_what_is_recorded_of_a_shipped_client_is_what_it_says_itself(tmp_path: Path) -> None:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian package mosquitto-clients): make deps")
    command = (
        "mosquitto_sub -h {host} -p {port} -i {client_id} -c -q 1 -k 5 -t 'vehicle/{vin}/down/#' -F '%t %l'"
        " --cafile {ca} --cert {cert} --key {key}"
    )
    code, folder, _ = live(tmp_path, command)
    assert code == OK
    run = read_run(folder)
    first, second = run.connections.sort("attempt").to_dicts()
    assert (first["address"], first["outcome"], first["path_end_s"]) == (OLD, "ready", 6.0)
    assert (second["address"], second["outcome"], second["session_present"]) == (NEW, "ready", 1)
    # a round trip of 80 ms each: DNS, TCP, TLS (the program is done with it when its Finished leaves), CONNECT
    steps = ("asked_s", "started_s", "tcp_s", "opened_s", "connack_s")
    for one in (first, second):
        for before, after in itertools.pairwise(steps):
            assert 0.08 - 0.001 <= one[after] - one[before] < 0.08 + SLACK_S, after
    assert (first["trigger"], first["waited_s"], first["reason"]) == ("not_observed", None, "not_observed")
    assert 9.0 < first["noticed_s"] <= second["asked_s"]

    heard = [line.split() for line in (folder / "client.log").read_text().splitlines()]
    assert len(heard) == run.messages["arrivals"].sum() == 15
    assert set(map(tuple, heard)) == {("vehicle/VIN123/down/ota", "1024")}
    assert run.messages["outcome"].unique().to_list() == ["delivered"]
    waited = run.messages.filter(pl.col("created_s").is_between(6.1, first["noticed_s"]))
    assert waited["delivered_s"].min() > second["connack_s"]

    numbers = json.loads((folder / "metrics.json").read_text())["strategies"]["mosquitto_sub"]
    assert (numbers["recovery_s"]["n"], numbers["recovery_s"]["censored"]) == (1, 0)
    assert numbers["recovery_s"]["max"] == pytest.approx(second["ready_s"] - 6.0)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["strategies"][0]["config"] == {
        "client_id": "vehicle-VIN123", "version": "3.1.1", "keep_alive_s": 5.0, "clean_session": False,
        "subscriptions": ["vehicle/VIN123/down/#"], "granted_qos": 1,
    }  # fmt: skip
    assert manifest["client"]["exit_code"] is None
    assert manifest["environment"]["tcp_congestion_control"] == "cubic"
    assert manifest["environment"]["openssl"].startswith("OpenSSL ")
    # every byte at the interface is in the records, up to the end of the run
    captured = sum(packet.size for packet in read_capture(folder / "packets.pcap", 0))
    booked = run.traffic["bytes"].sum()
    assert 0.99 * captured <= booked <= captured
    assert "Reconnected successfully from 10.2.5.200, session present" in (folder / "live.log").read_text()
    assert "is not observed" in (folder / "report.html").read_text()


def test_a_program_that_fails_at_once_is_an_outcome_and_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, folder, taken_s = live(tmp_path, "sh -c 'echo one; echo two >&2; exit 7'", "--set", "server.tls=none")
    assert code == MISSED
    assert taken_s < 15.0
    told = capfd.readouterr().err
    assert "sh ended by itself at -2." in told
    assert "of the drive, with exit code 7, its last words: two. The run ends there" in told
    assert sorted((folder / "client.log").read_text().split()) == ["one", "two"]
    assert json.loads((folder / "manifest.json").read_text())["client"]["exit_code"] == 7
    messages = read_run(folder).messages
    assert messages["cause"].unique().to_list() == ["no_subscription"]
    assert messages.height == 15
