"""haproxy's configuration says what server.balancer says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sim.live.brokers.haproxy import configuration, missing, told
from sim.live.brokers.processes import program
from sim.live.brokers.session_redis import redis_words
from sim.server.config import Balancer

NODES = {"broker-1": 1001, "broker-2": 1002}


@pytest.mark.parametrize(
    ("balancer", "lines"),
    [
        (Balancer(), ["balance roundrobin", "timeout client 350000ms", "timeout server 350000ms"]),
        (Balancer(algorithm="least_connections"), ["balance leastconn"]),
        (
            Balancer(algorithm="source", health_interval_s=0.2, unhealthy_after=3, healthy_after=4, idle_timeout_s=20.0),
            [
                "balance source",
                "timeout client 20000ms",
                "server broker-1 127.0.0.1:1001 check inter 200ms fall 3 rise 4",
                "server broker-2 127.0.0.1:1002 check inter 200ms fall 3 rise 4",
            ],
        ),
    ],
)
def test_the_configuration_follows_the_balancer(balancer: Balancer, lines: list[str]) -> None:
    said = [line.strip() for line in configuration(balancer, NODES, 1, 2).splitlines()]
    assert set(lines) <= set(said)
    assert {"mode tcp", "retries 0", "bind 127.0.0.1:1", "bind 127.0.0.1:2 accept-proxy"} <= set(said)


def test_a_name_that_haproxy_would_not_take_is_replaced() -> None:
    assert "server node-0 127.0.0.1:7 " in configuration(Balancer(), {"the first": 7}, 1, 2)


def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    file = tmp_path / "haproxy.cfg"
    for algorithm in ("round_robin", "least_connections", "source"):
        file.write_text(configuration(Balancer(algorithm=algorithm), NODES, 18831, 18832))  # type: ignore[arg-type]
        done = subprocess.run(
            [program("haproxy") or "", "-c", "-f", str(file)], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_first_line_is_that_of_the_proxy_protocol() -> None:
    assert told("10.2.5.201", 4711) == b"PROXY TCP4 10.2.5.201 127.0.0.1 49152 4711\r\n"


def test_redis_keeps_what_the_policy_says() -> None:
    assert redis_words(1, Path("/x"), None)[-2:] == ["--appendonly", "no"]
    assert redis_words(1, Path("/x"), "everysec")[-4:] == ["--appendonly", "yes", "--appendfsync", "everysec"]
