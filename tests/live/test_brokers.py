"""The lab starts real brokers, each with what is its own, and leaves nothing of them behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sim.live.brokers import BROKERS, BrokerUnavailable, RunningBroker, check_broker, preset_of, start_broker
from sim.live.brokers.processes import start
from sim.live.probe.client import NoAnswer, ProbeClient
from sim.protocols.broker_presets import PRESETS
from tests.live.real_brokers import every_broker, peer_of, skip_without

VERSIONS = {"mosquitto": "mosquitto ", "rabbitmq": "RabbitMQ ", "aedes": "aedes ", "aedes_memory": "aedes ", "amqtt": "amqtt "}


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and is not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descendants(pid: int) -> list[int]:
    """The process and all that it has started, by /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gone_within(pids: list[int], within_s: float) -> list[int]:
    """Those that still run after a while."""
    ends_s = time.monotonic() + within_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < ends_s:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("name", every_broker())
def test_a_broker_starts_serves_and_ends_without_leftovers(name: str, tmp_path: Path) -> None:
    skip_without(name)
    folder = tmp_path / "broker"

    async def serve() -> tuple[RunningBroker, list[int]]:
        broker = await start_broker(name, folder)
        try:
            assert broker.version.startswith(VERSIONS[name])
            assert any(char.isdigit() for char in broker.version)
            client = ProbeClient(peer_of(broker), "hello")
            assert (await client.connect(clean=True)).code == 0
            await client.disconnect()
            pids = [pid for process in broker.processes for pid in descendants(process.process.pid)]
            assert all(process.log.is_file() and process.log.parent == folder for process in broker.processes)
        finally:
            await broker.stop()
            await broker.stop()  # once more does no harm
        return broker, pids

    broker, pids = asyncio.run(serve())
    assert gone_within(pids, 5.0) == []
    assert not listens(broker.port)


@pytest.mark.parametrize("name", every_broker())
def test_two_of_a_kind_share_nothing(name: str, tmp_path: Path) -> None:
    skip_without(name)

    async def serve() -> None:
        first, second = await asyncio.gather(*(start_broker(name, tmp_path / str(i)) for i in (1, 2)))
        try:
            assert first.port != second.port
            here, there = ProbeClient(peer_of(first), "one"), ProbeClient(peer_of(second), "one")
            await here.connect()
            await here.disconnect()
            assert not (await there.connect()).session_present
            there.drop()
        finally:
            await first.stop()
            await second.stop()

    asyncio.run(serve())


@pytest.mark.broker
def test_a_broker_ends_with_the_lab_even_when_the_lab_is_killed(tmp_path: Path) -> None:
    skip_without("mosquitto")
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from sim.live.brokers import start_broker

        async def main():
            broker = await start_broker("mosquitto", Path(sys.argv[1]))
            print(broker.processes[0].process.pid, flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """)
    lab = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert lab.stdout is not None
    pid = int(lab.stdout.readline())
    assert alive(pid)
    lab.kill()
    lab.wait(5)
    lab.stdout.close()
    assert gone_within([pid], 5.0) == []


def test_a_broker_that_ends_while_starting_is_said_in_a_line(tmp_path: Path) -> None:
    async def serve() -> None:
        log = tmp_path / "broker.log"
        broker = RunningBroker("broken", "127.0.0.1", 1, "broken 1")
        broker.processes.append(await start(sys.executable, "-c", "raise SystemExit(7)", log=log))
        with pytest.raises(BrokerUnavailable, match=r"^broken ended with code 7 while starting: see .*broker\.log$"):
            await broker.ready()
        await broker.stop()

    asyncio.run(serve())


def test_a_process_that_ignores_the_kind_signal_is_ended_with_its_children(tmp_path: Path) -> None:
    """The group gets SIGKILL in the end, also where its head has left already."""
    program = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)"

    async def serve() -> list[int]:
        process = await start(sys.executable, "-c", program, log=tmp_path / "log")
        await asyncio.sleep(0.5)
        pids = descendants(process.process.pid)
        await process.stop(within_s=0.3)
        return pids

    pids = asyncio.run(serve())
    assert len(pids) == 2
    assert gone_within(pids, 3.0) == []


def test_ctrl_c_in_the_terminal_does_not_reach_the_broker(tmp_path: Path) -> None:
    async def serve() -> None:
        process = await start(sys.executable, "-c", "import time; time.sleep(60)", log=tmp_path / "log")
        assert os.getpgid(process.process.pid) == process.process.pid != os.getpgrp()
        await process.stop()
        assert process.returncode == -signal.SIGTERM

    asyncio.run(serve())


def test_an_unknown_broker_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(
        BrokerUnavailable, match="no broker 'rabitmq': embedded, mosquitto, rabbitmq, aedes, aedes_memory, amqtt, or"
    ):
        check_broker("rabitmq")


@pytest.mark.parametrize("name", ["127.0.0.1:1883", "broker.example:8883", "embedded"])
def test_what_the_lab_does_not_start_is_not_checked(name: str) -> None:
    check_broker(name)
    assert preset_of(name) is None


@pytest.mark.parametrize("name", ["127.0.0.1:", ":1883", "127.0.0.1:0", "127.0.0.1:65536", "localhost", ""])
def test_what_is_neither_a_name_nor_a_place_is_refused(name: str) -> None:
    with pytest.raises(BrokerUnavailable):
        check_broker(name)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mosquitto", "mosquitto is not installed: make deps"),
        ("aedes", "node and npm are not installed: aedes needs node 20 or newer, https://nodejs.org"),
        ("amqtt", "amqtt is not installed: pip install 'amqtt>=0.12.1,<0.13'"),
    ],
)
def test_what_is_missing_is_said_with_what_installs_it(name: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"sim.live.brokers.{name}.program", lambda _name: None, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BrokerUnavailable) as refused:
        asyncio.run(start_broker(name, Path("never")))
    assert str(refused.value) == line
    assert not Path("never").exists()


def test_rabbitmq_is_missed_without_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.live.brokers.rabbitmq._SCRIPT", Path("/nowhere"))
    with pytest.raises(BrokerUnavailable, match=r"^rabbitmq-server is not installed: make deps$"):
        check_broker("rabbitmq")


def test_every_broker_has_a_preset_that_was_measured() -> None:
    for name in BROKERS:
        preset = preset_of(name)
        assert preset is not None
        assert PRESETS[preset][0].status == "measured"


def test_a_client_that_finds_nobody_says_why() -> None:
    async def ask() -> None:
        with pytest.raises(NoAnswer, match=r"^no connection: connection refused$"):
            await ProbeClient(peer_of(RunningBroker("none", "127.0.0.1", 1, "")), "hello").open()

    asyncio.run(ask())
