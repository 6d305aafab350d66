"""aedes on node, with its sessions in Redis or in memory. Its packages are installed once, below build/."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from sim.live.brokers.processes import Process, free_ports, output_of, program, start
from sim.live.brokers.running import BrokerUnavailable, RunningBroker

_NPM = Path(__file__).with_name("aedes_npm")  # package.json, package-lock.json: exact versions; server.mjs
_OLDEST_NODE = 20
_INSTALL_WITHIN_S = 180


def missing(*, redis: bool = True) -> str | None:
    """One line where aedes cannot be run."""
    node = program("node")
    if node is None or program("npm") is None:
        return f"node and npm are not installed: aedes needs node {_OLDEST_NODE} or newer, https://nodejs.org"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    found = re.match(r"v(\d+)\.", said)
    if found is None or int(found[1]) < _OLDEST_NODE:
        return f"node is {said or 'of an unknown version'}: aedes needs {_OLDEST_NODE} or newer, https://nodejs.org"
    return "redis-server is not installed: make deps" if redis and program("redis-server") is None else None


def missing_in_memory() -> str | None:
    """The same without Redis."""
    return missing(redis=False)


def packages_folder() -> Path:
    """Where the npm packages are: build/ of the checkout, or of the folder one works in where the lab was installed."""
    checkout = Path(__file__).parents[3]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "build" / "aedes"


def install_packages() -> Path:
    """Install what package-lock.json names, once; returns the folder. Raises BrokerUnavailable."""
    target = packages_folder()
    lock = (_NPM / "package-lock.json").read_text()
    kept = target / "package-lock.json"
    if kept.is_file() and kept.read_text() == lock and (target / "node_modules").is_dir():
        shutil.copy(_NPM / "server.mjs", target / "server.mjs")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".aedes.", dir=target.parent))
    try:
        for name in ("package.json", "package-lock.json", "server.mjs"):
            shutil.copy(_NPM / name, work / name)
        command = [program("npm") or "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_INSTALL_WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            raise BrokerUnavailable(f"npm ci of aedes was not done within {_INSTALL_WITHIN_S} s") from None
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "no reason given")
            raise BrokerUnavailable(f"npm ci of aedes failed: {said}")
        shutil.rmtree(target, ignore_errors=True)
        try:
            work.rename(target)
        except OSError:  # another process was faster
            if not (target / "node_modules").is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


async def start_aedes(folder: Path) -> RunningBroker:
    """Aedes and a Redis of its own on free ports of 127.0.0.1; Redis' data and both logs in `folder`."""
    return await _start("aedes", folder, redis=True)


async def start_aedes_memory(folder: Path) -> RunningBroker:
    """Aedes with its sessions in memory, as far as it goes without Redis."""
    return await _start("aedes_memory", folder, redis=False)


async def _start(name: str, folder: Path, *, redis: bool) -> RunningBroker:
    why = missing(redis=redis)
    if why:
        raise BrokerUnavailable(why)
    packages = await asyncio.to_thread(install_packages)
    folder.mkdir(parents=True, exist_ok=True)
    port, redis_port = free_ports(2)
    broker = RunningBroker(name, "127.0.0.1", port, await _version(packages, redis=redis))
    try:
        words = [program("node") or "node", str(packages / "server.mjs"), str(port)]
        if redis:
            broker.processes.append(await _start_redis(folder.resolve(), redis_port))
            words.append(str(redis_port))
        broker.processes.append(await start(*words, log=folder / "aedes.log", env=dict(os.environ)))
        await broker.ready()
    except BaseException:
        await broker.stop()
        raise
    return broker


async def _start_redis(folder: Path, port: int) -> Process:
    """A Redis that keeps nothing after its end. aedes waits for it, and the broker for aedes."""
    return await start(
        program("redis-server") or "redis-server",
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no", "--daemonize", "no",
        log=folder / "redis.log",
    )  # fmt: skip


async def _version(packages: Path, *, redis: bool) -> str:
    def of(package: str) -> str:
        found = json.loads((packages / "node_modules" / package / "package.json").read_text())
        return f"{package} {found['version']}"

    node = (await output_of(program("node") or "node", "--version")).strip().removeprefix("v")
    if not redis:
        return f"{of('aedes')} on node {node}"
    said = re.search(r"v=(\S+)", await output_of(program("redis-server") or "redis-server", "--version"))
    server = f"redis {said[1] if said else 'of an unknown version'}"
    return f"{of('aedes')} with {of('aedes-persistence-redis')}, {of('mqemitter-redis')} on node {node}, {server}"
