"""The strategies of docs/own_strategy.md: they run, by the command line too, and do what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sim
from sim.cli import main
from sim.machine import Message, MessageCreated, PacketReceived, SendPacket, TransportOpened
from sim.protocols.http import HTTPRequest
from sim.protocols.mqtt_packets import ConnAck, PingReq
from sim.protocols.server import Server
from sim.scenario.user_strategy import user_class
from sim.strategies.context import Context
from sim.strategies.workload import Workload

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
SCENARIO = EXAMPLES / "own_strategies.yaml"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> sim.Result:
    return sim.run(SCENARIO, replications=3, out=tmp_path_factory.mktemp("results"), report=False)


def test_they_run_beside_the_others_and_no_message_is_without_a_fate(result: sim.Result) -> None:
    assert result.strategies == ["mqtt_persistent", "watchful", "eager", "sync"]
    fates = result.messages.filter(pl.col("kind") != "probe").group_by("strategy", "outcome").len()
    assert fates["outcome"].unique().to_list() == ["delivered"]


def test_the_command_line_runs_them_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(SCENARIO), "--replications", "2", "-j", "2", "--out", str(tmp_path)]) == 0
    assert "eager" in capsys.readouterr().out
    (run_dir,) = (tmp_path / "own_strategies").iterdir()
    assert (run_dir / "report.html").is_file()
    assert {path.name for path in (run_dir / "inputs").iterdir()} >= {"eager_mqtt.py", "sync_only.py", "own_strategies.yaml"}


def test_their_settings_are_settings_like_any_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(SCENARIO), "--set", "eager.silnt=3 s"]) == 2
    assert "did you mean silent" in capsys.readouterr().err
    (eager,) = sim.load(SCENARIO, strategies=["eager"], sets=["eager.silent=3 s"]).strategies
    assert eager.config.silent_s == 3.0
    assert eager.config.backoff.policy == "full_jitter"
    assert eager.config.address_watch == "link_event"


def test_processes_and_run_ahead_change_nothing(tmp_path: Path) -> None:
    digests = set()
    for number, options in enumerate((["-j", "1"], ["-j", "2"], ["-j", "1", "--no-fold"])):
        out = tmp_path / str(number)
        assert main(["run", str(SCENARIO), "--replications", "2", "--out", str(out), *options]) == 0
        (run_dir,) = (out / "own_strategies").iterdir()
        digests.add(sim.read(run_dir).manifest["digest"])
    assert len(digests) == 1


def test_eager_notices_the_tunnel_before_strategy_1_does(result: sim.Result) -> None:
    """docs/own_strategy.md: 8 s of silence and 4 s without an answer, against 30 to 60 s."""
    carried = (pl.col("purpose") == "mqtt") & pl.col("ready_s").is_not_null()
    given_up = result.connections.filter(carried & (pl.col("noticed_s") > 150.0))
    first = given_up.group_by("strategy", "replication").agg(pl.col("noticed_s").min()).partition_by("strategy", as_dict=True)
    assert first[("eager",)]["noticed_s"].max() <= 150.0 + 8.0 + 4.0 + 0.5  # type: ignore[operator]
    assert first[("mqtt_persistent",)]["noticed_s"].min() > 162.5  # type: ignore[operator]


def test_the_states_of_a_machine_are_in_the_records(result: sim.Result) -> None:
    states = result.states.filter((pl.col("strategy") == "sync") & (pl.col("machine") == "vehicle"))
    assert set(states["state"]) == {"syncing", "resting"}


# --- the machines alone -------------------------------------------------------------------------------------------------


def _context(**changes: Any) -> Context:
    given: dict[str, Any] = {
        "vin": "VIN1", "server": Server(), "workload": Workload(), "phase": lambda _purpose: 1.0,
        "draw": lambda _purpose, _n: 0.5, "start_s": 0.0, "drive_end_s": 100.0, "first_address": "10.1.1.100",
    }  # fmt: skip
    return Context(**(given | changes))


def _packets(actions: list[Any]) -> list[Any]:
    return [action.packet for action in actions if isinstance(action, SendPacket)]


def test_eager_asks_after_eight_silent_seconds_and_gives_up_four_later() -> None:
    eager = user_class("eager_mqtt.py:EagerMQTT", EXAMPLES)
    machine = eager.vehicle(eager.Config(), _context())
    machine.handle_deadline(0.0)
    machine.handle(0.1, _resolved())
    machine.handle(0.3, TransportOpened(1))
    machine.handle(0.5, PacketReceived(1, ConnAck(True)))
    assert machine.next_deadline() == pytest.approx(8.5)
    assert [type(packet) for packet in _packets(machine.handle_deadline(8.5))] == [PingReq]
    assert machine.next_deadline() == pytest.approx(12.5)
    assert [action.reason for action in machine.handle_deadline(12.5) if hasattr(action, "abort")] == ["keep_alive"]


def test_sync_hands_over_what_waits() -> None:
    sync = user_class("sync_only.py:SyncOnly", EXAMPLES)
    machine = sync.vehicle(sync.Config(every_s=20.0), _context())
    message = Message(1_000_000, "telemetry", "up", 100, 1, 3.0, uplink=True)
    assert machine.handle(3.0, MessageCreated(message)) == []
    assert machine.next_deadline() == 20.0
    machine.handle_deadline(20.0)
    machine.handle(20.1, _resolved())
    (request,) = _packets(machine.handle(20.4, TransportOpened(1)))
    assert isinstance(request, HTTPRequest)
    assert request.messages == (message,)
    assert list(machine.held()) == [message]


def test_sync_keeps_what_could_not_be_sent() -> None:
    sync = user_class("sync_only.py:SyncOnly", EXAMPLES)
    machine = sync.vehicle(sync.Config(every_s=20.0, timeout_s=10.0), _context())
    message = Message(1_000_000, "telemetry", "up", 100, 1, 3.0, uplink=True)
    machine.handle(3.0, MessageCreated(message))
    machine.handle_deadline(20.0)
    machine.handle(20.1, _resolved())
    machine.handle_deadline(30.0)
    assert list(machine.held()) == [message]
    assert machine.next_deadline() == 40.0


def _resolved() -> Any:
    from sim.machine import NameResolved

    return NameResolved(Server().name, Server().address, 1)
