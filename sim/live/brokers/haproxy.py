"""haproxy from Debian in front of a broker's nodes: it passes TCP on, as `server.balancer` says."""

from __future__ import annotations

import re
from pathlib import Path

from sim.live.brokers.processes import Process, output_of, program, start
from sim.server.config import Balancer

#: haproxy's words for the algorithms. `source` is map-based: the address as a number, modulo the number of healthy nodes
_ALGORITHMS = {"round_robin": "roundrobin", "least_connections": "leastconn", "source": "source"}
_CONNECT_WITHIN_MS = 5000  # to a node of the same machine; a crashed process refuses at once


def missing() -> str | None:
    """One line where there is no haproxy."""
    return "haproxy is not installed: make deps" if program("haproxy") is None else None


def configuration(balancer: Balancer, nodes: dict[str, int], port: int, told_port: int) -> str:
    """haproxy.cfg for nodes by name and port, all of 127.0.0.1.

    At `told_port` a connection has to begin with the client's address, at `port` it does not. A connection that its node
    refuses is not tried again: as with a balancer that passes SYN on, the client is told.
    """
    inter_ms, idle_ms = round(balancer.health_interval_s * 1000), round(balancer.idle_timeout_s * 1000)
    checks = f"check inter {inter_ms}ms fall {balancer.unhealthy_after} rise {balancer.healthy_after}"
    servers = [f"    server {_word(name, number)} 127.0.0.1:{at} {checks}" for number, (name, at) in enumerate(nodes.items())]
    lines = [
        "global",
        "    log stdout format raw local0",
        "    maxconn 2000",
        "defaults",
        "    mode tcp",
        "    log global",
        "    option tcplog",
        "    retries 0",
        f"    timeout connect {_CONNECT_WITHIN_MS}ms",
        f"    timeout client {idle_ms}ms",
        f"    timeout server {idle_ms}ms",
        "listen mqtt",
        f"    bind 127.0.0.1:{port}",
        f"    bind 127.0.0.1:{told_port} accept-proxy",
        f"    balance {_ALGORITHMS[balancer.algorithm]}",
        *servers,
    ]
    return "\n".join(lines) + "\n"


def told(address: str, port: int) -> bytes:
    """The line with which a connection to `told_port` begins (PROXY protocol, version 1)."""
    return f"PROXY TCP4 {address} 127.0.0.1 49152 {port}\r\n".encode()


def _word(name: str, number: int) -> str:
    """A name as haproxy takes them: letters, digits and a few signs."""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else f"node-{number}"


async def start_haproxy(folder: Path, balancer: Balancer, nodes: dict[str, int], port: int, told_port: int) -> Process:
    """Start it; configuration and log in `folder`."""
    config = folder / "haproxy.cfg"
    config.write_text(configuration(balancer, nodes, port, told_port))
    # -db: in the foreground, one process
    return await start(program("haproxy") or "haproxy", "-db", "-f", str(config), log=folder / "haproxy.log")


async def haproxy_version() -> str:
    found = re.search(r"version (\d[\d.]*\d)", await output_of(program("haproxy") or "haproxy", "-v"))
    return f"haproxy {found[1] if found else 'of an unknown version'}"
