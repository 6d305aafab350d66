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

from sim.live.brokers.processes import free_ports, output_of, program, start
from sim.live.brokers.running import BrokerUnavailable, Node, RunningBroker
from sim.live.brokers.session_redis import SessionRedis, redis_version
from sim.live.brokers.session_redis import missing as redis_missing

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
    return redis_missing() if redis else None


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


async def start_aedes(folder: Path, nodes: int = 1, aof: str | None = None) -> RunningBroker:
    """So many aedes and a Redis that they share, on free ports of 127.0.0.1; Redis' data and all logs in `folder`.

    `aof` is Redis' appendfsync; None: it keeps nothing after its end.
    """
    return await _start("aedes", folder, nodes, redis=True, aof=aof)


async def start_aedes_memory(folder: Path) -> RunningBroker:
    """Aedes with its sessions in memory, as far as it goes without Redis."""
    return await _start("aedes_memory", folder, 1, redis=False)


async def _start(name: str, folder: Path, nodes: int, *, redis: bool, aof: str | None = None) -> RunningBroker:
    why = missing(redis=redis)
    if why:
        raise BrokerUnavailable(why)
    packages = await asyncio.to_thread(install_packages)
    folder.mkdir(parents=True, exist_ok=True)
    redis_port, *ports = free_ports(nodes + 1)
    broker = RunningBroker(name, "127.0.0.1", ports[0], await _version(packages, redis=redis))
    try:
        if redis:
            # aedes waits for Redis, and the broker for aedes
            broker.store = await SessionRedis.started(folder.resolve(), redis_port, aof)
            broker.processes.append(broker.store.process)
        for number, port in enumerate(ports, 1):
            words = [program("node") or "node", str(packages / "server.mjs"), str(port), *([str(redis_port)] if redis else [])]
            log = folder / ("aedes.log" if nodes == 1 else f"aedes-{number}.log")
            process = await start(*words, log=log, env=dict(os.environ))
            broker.processes.append(process)
            broker.nodes.append(Node(port, process))
        await broker.ready()
    except BaseException:
        await broker.stop()
        raise
    return broker


async def _version(packages: Path, *, redis: bool) -> str:
    def of(package: str) -> str:
        found = json.loads((packages / "node_modules" / package / "package.json").read_text())
        return f"{package} {found['version']}"

    node = (await output_of(program("node") or "node", "--version")).strip().removeprefix("v")
    if not redis:
        return f"{of('aedes')} on node {node}"
    server = await redis_version()
    return f"{of('aedes')} with {of('aedes-persistence-redis')}, {of('mqemitter-redis')} on node {node}, {server}"
