"""Real brokers, each started by the lab with its own folder, port and log, waited for, and ended by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

_START_WITHIN_S = 60.0
_END_WITHIN_S = 10.0


class BrokerUnavailable(RuntimeError):
    """The broker cannot be started here; one line that says why and what to install."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class RunningBroker:
    """Where a broker listens (plain MQTT), and what it is."""

    name: str
    host: str
    port: int
    version: str
    process: asyncio.subprocess.Process | None = None

    async def stop(self) -> None:
        """End the process, first kindly."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def wait_for_port(host: str, port: int, process: asyncio.subprocess.Process, within_s: float = _START_WITHIN_S) -> None:
    """Wait until something listens; raises BrokerUnavailable when the process ends or the time is over."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    while loop.time() < ends:
        if process.returncode is not None:
            raise BrokerUnavailable(f"the broker ended with code {process.returncode} while starting")
        with contextlib.suppress(OSError):
            _reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise BrokerUnavailable(f"nothing listens on port {port} after {within_s:.0f} s")


def mosquitto_missing() -> str | None:
    """One line where mosquitto cannot be run."""
    return None if _program("mosquitto") else "mosquitto is not installed: make deps"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


async def start_mosquitto(folder: Path) -> RunningBroker:
    """Eclipse mosquitto with anonymous access on a free port of 127.0.0.1, persistent, its log in `folder`."""
    program = _program("mosquitto")
    if program is None:
        raise BrokerUnavailable("mosquitto is not installed: make deps")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        f"log_dest file {folder / 'mosquitto.log'}\nlog_type all\nuser root\n"
    )
    said = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=10, check=False).stdout
    found = re.search(r"version (\S+)", said)
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(config), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    broker = RunningBroker("mosquitto", "127.0.0.1", port, f"mosquitto {found[1] if found else 'unknown'}", process)
    try:
        await wait_for_port(broker.host, port, process)
    except BaseException:
        await broker.stop()
        raise
    return broker


async def start_broker(name: str, folder: Path) -> RunningBroker:
    """Start `mosquitto`, or take `host:port` of a user's own broker, which the lab neither starts nor ends."""
    if name == "mosquitto":
        return await start_mosquitto(folder)
    host, _, port = name.rpartition(":")
    if host and port.isdigit():
        return RunningBroker(name, host, int(port), f"{name} (version not known)")
    raise BrokerUnavailable(f"no broker {name!r}: embedded, mosquitto, or host:port")
