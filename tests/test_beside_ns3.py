"""The tool that runs the fleet workload here and in ns-3: what it says without ns-3, and that ns-3 runs the same workload."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("beside_ns3", ROOT / "tools" / "beside_ns3.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_without_a_compiler_it_is_one_line(monkeypatch, capsys):
    beside = tool()
    monkeypatch.setattr(beside.shutil, "which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["beside_ns3.py"])
    assert beside.main() == 2
    assert capsys.readouterr().err == "g++ is missing\n"


def test_sizes_are_those_of_our_packets():
    from sim.machine import Message
    from sim.protocols.mqtt_packets import ConnAck, Connect, PingReq, PubAck, Publish

    text = (ROOT / "tools" / "ns3" / "exchange.h").read_text()
    client = "vehicle-VIN123"
    ours = {
        "CONNECT": Connect(client, False, 30, username=client),
        "CONNACK": ConnAck(False),
        "PUBLISH": Publish(Message(1, "ota", "vehicle/VIN123/down/ota", 4096, 1, 0.0), 1, 1),
        "PUBACK": PubAck(1),
    }
    for name, packet in ours.items():
        assert f"case {name}: return {packet.encoded_size};" in text
    assert "default: return 2;" in text
    assert PingReq().encoded_size == 2


@pytest.mark.slow
@pytest.mark.skipif(bool(tool().missing()), reason="ns-3 is not installed")
def test_ns3_runs_the_workload(tmp_path, monkeypatch):
    beside = tool()
    monkeypatch.setattr(beside, "BUILT", tmp_path)
    beside.build("tcp")
    done = subprocess.run([tmp_path / "tcp", "--vehicles=5", "--seconds=1200"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["created"] == 5 * 1200 / 5
    assert 0.95 * found["created"] < found["delivered"] <= 1.05 * found["created"]
    assert 60 < found["connects"] - found["refused"] < 140  # a change of tower each minute
    assert 0.1 < found["refused"] / found["connects"] < 0.3
