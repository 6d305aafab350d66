"""The seed's test scenario as written, by hand, against a live run (docs/live.md has the same commands)."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.record.read import read_run
from tests.live.packet_lab import OLD, skip_where_impossible

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 40.0

PUBLISH = """
mosquitto_pub -h ota-server.com -p 8883 \
  --cafile ca.crt --cert vmg.crt --key vmg.key \
  -i "vehicle-VIN123" -t "vehicle/VIN123/status" \
  -m '{"status":"online"}' -q 1
"""
RESTART = "ip link set eth0 down && ip link set eth0 up"


@pytest.fixture(autouse=True, scope="module")
def _possible():
    skip_where_impossible()
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed (Debian package mosquitto-clients): make deps")


class LiveRun:
    """`python -m sim live` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "stderr"
        with self.told.open("wb") as told:
            command = ["live", "scenarios/seed_test.yaml", "--link", "packet", "--set", "mqtt_persistent.address_poll=2s"]
            options = ["--certificates", str(folder / "certs"), "--out", str(folder / "out")]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sim", *command, *options], cwd=ROOT, stderr=told, stdout=subprocess.DEVNULL
            )

    def find(self, pattern: str, text) -> re.Match[str]:
        """Wait until what `text` returns has the pattern."""
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(pattern, text())
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} in:\n{text()}\n{self.told.read_text()}")

    def log(self) -> str:
        return self.path.read_text()

    def by_hand(self, command: str) -> None:
        words = ["ip", "netns", "exec", self.namespace, "sh", "-c", command]
        done = subprocess.run(words, cwd=self.folder / "certs", capture_output=True, text=True, timeout=20.0, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def __enter__(self) -> LiveRun:
        try:
            self.path = Path(self.find(r"log: (.+/live\.log)\n", self.told.read_text)[1])
            self.namespace = self.find(r"network namespace is (hl-veh-\d+-\d+), its interface eth0", self.told.read_text)[1]
            self.find("Connected successfully", self.log)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30.0)
        finally:
            self.process.kill()


def test_publish_restart_the_interface_and_find_the_reconnection_in_the_log(tmp_path: Path) -> None:
    made = [sys.executable, "-m", "sim", "certificates", str(tmp_path / "certs"), "--profile", "classical"]
    subprocess.run(made, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=30.0)
    with LiveRun(tmp_path) as run:
        run.by_hand(PUBLISH)
        run.find(r"Connection lost: another client connected with this client id, from 10\.1\.1\.100:\d+\n", run.log)
        run.find(r"Reconnected successfully from 10\.1\.1\.100, no session present", run.log)
        time.sleep(3.5)  # the vehicle starts 3 s before its drive, whose records have what happens from 0 s on
        run.by_hand(RESTART)
        run.find(r"Address changed: 10\.1\.1\.100 -> 10\.1\.1\.101\n", run.log)
        run.find(r"Reconnected successfully from 10\.1\.1\.101, session present", run.log)
        run.by_hand("getent hosts ota-server.com && getent hosts ota-server.company.com")
    (folder,) = (tmp_path / "out" / "seed_test").iterdir()
    assert run.process.returncode == 130
    assert (folder / "live.log").read_text().count("Reconnected successfully") == 2

    records = read_run(folder)
    before, between, after = records.connections.filter(records.connections["purpose"] == "mqtt").to_dicts()
    assert (before["reason"], before["address"], before["path_end_s"]) == ("taken_over", OLD, None)
    assert (between["reason"], between["address"], between["session_present"]) == ("address", OLD, 0)
    assert (after["address"], after["session_present"]) == ("10.1.1.101", 1)
    (change,) = records.disruptions.to_dicts()
    assert (change["kind"], change["before"], change["after"]) == ("reassignment", OLD, "10.1.1.101")
    assert between["path_end_s"] == change["start_s"]
    report = (folder / "report.md").read_text()
    assert "another client connected from 10.1.1.100 with the vehicle's client id, with clean session" in report
    assert "the vehicle's interface was taken down by hand" in report
    assert not Path("/etc/netns", run.namespace).exists()
