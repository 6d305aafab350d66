"""`python -m sim api` as a process: over plain HTTP and mutual TLS, killed and started again, with a store in Redis."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dns")

import dns.message
import dns.query
import dns.update

from sim.live.api_command import APIRefused, _key
from sim.live.brokers.processes import free_ports
from sim.live.store.redis_server import missing_redis
from tests.live.served_api import wait_for

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 20.0
needs_redis = pytest.mark.skipif(missing_redis() is not None, reason=str(missing_redis()))
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command and what it says when it is ready; it is killed where it has not ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sim", "api", "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, [process.stdout.readline(), process.stdout.readline()]
    finally:
        process.kill()
        process.communicate(timeout=WITHIN_S)


def url_of(said: list[str], vin: str = "VIN123") -> str:
    return said[0].split()[0] + vin


def fetch(url: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=WITHIN_S) as answer:
            text, kind = answer.read(), answer.headers["Content-Type"]
            return answer.status, json.loads(text) if text and kind == "application/json" else text
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_serves_and_ends_cleanly():
    with running("--vin", "VIN123", "--vin", "VIN9") as (process, said):
        assert said[0].endswith("of VIN123, VIN9; Ctrl-C ends it\n")
        assert said[1].endswith("store: memory\n")
        assert fetch(url_of(said) + "/heartbeat", {"ip": "10.2.5.200"})[0] == 204
        status, about = fetch(url_of(said))
        assert (status, about["current_ip"]) == (200, "10.2.5.200")
        assert abs(about["last_heartbeat"] - time.time()) < 5.0
        assert fetch(url_of(said, "VIN9"))[1]["current_ip"] is None
        assert fetch(url_of(said, "VIN5"))[0] == 404
        port = int(said[1].split("port ")[1].split(",")[0])
        query = dns.message.make_query("vin123.vehicles.ota-server.company.com", "A")
        assert dns.query.udp(query, "127.0.0.1", 2.0, port).answer[0][0].address == "10.2.5.200"
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0


@needs_redis
def test_killed_and_started_again_it_goes_on(tmp_path: Path):
    (port,) = free_ports(1)
    redis = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        store = ("--store", f"redis://127.0.0.1:{port}/2", "--keys", "mine")

        def cli(*words: str) -> str:
            said = subprocess.run(["redis-cli", "-p", str(port), "-n", "2", *words], capture_output=True, text=True, check=True)
            return said.stdout.strip()

        cli("SET", "theirs", "1")
        with running(*store) as (process, said):
            assert fetch(url_of(said) + "/heartbeat", {"ip": "10.2.5.200"})[0] == 204
            process.kill()  # no time to write anything
            process.wait(WITHIN_S)
        # a message that somebody else leaves for the vehicle
        about = {"kind": "ota", "topic": "t", "qos": "1", "created_at": "1764000000", "reply_to": "-1", "reply_bytes": "0"}
        cli("HSET", "mine:message:VIN123:7", *(word for pair in about.items() for word in pair))
        cli("SET", "mine:payload:VIN123:7", "hello")
        cli("ZADD", "mine:pending:VIN123", "1764000000", "7")
        cli("INCR", "mine:changes:VIN123")
        with running(*store) as (process, said):
            assert fetch(url_of(said))[1]["current_ip"] == "10.2.5.200"
            name_port = int(said[1].split("port ")[1].split(",")[0])
            query = dns.message.make_query("vin123.vehicles.ota-server.company.com", "A")
            assert dns.query.udp(query, "127.0.0.1", 2.0, name_port).answer[0][0].address == "10.2.5.200"
            status, text = fetch(url_of(said) + "/pending-messages?batch=5")
            assert (status, text[-5:]) == (200, b"hello")
            assert b'"id": 7' in text
            assert fetch(url_of(said) + "/pending-messages/ack", {"ids": [7]})[0] == 204
            assert fetch(url_of(said) + "/pending-messages")[1] == b""
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0
        assert cli("ZCARD", "mine:pending:VIN123") == "0"
        assert cli("HGET", "mine:vehicle:VIN123", "current_ip") == "10.2.5.200"  # what is known of a vehicle stays
        assert cli("GET", "theirs") == "1"
    finally:
        redis.terminate()
        redis.wait(WITHIN_S)


@needs_curl
def test_curl_over_mutual_tls(tmp_path: Path):
    both = ("--profile", "classical", "--vin", "VIN123", "--vin", "VIN9")
    made = [sys.executable, "-m", "sim", "certificates", str(tmp_path), *both]
    subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
    with running("--certificates", str(tmp_path), *both) as (_process, said):
        port = said[0].split(":")[2].split("/")[0]
        base = f"https://ota-server.company.com:{port}/api/v1/vehicles"

        def curl(url: str, *more: str, vehicle: str | None = "vmg") -> tuple[int, str]:
            words = ["curl", "-sS", "--max-time", "10", "--cacert", str(tmp_path / "ca.crt"), "-w", "%{http_code}"]
            words += ["--resolve", f"ota-server.company.com:{port}:127.0.0.1", url, *more]
            if vehicle is not None:
                words += ["--cert", str(tmp_path / f"{vehicle}.crt"), "--key", str(tmp_path / f"{vehicle}.key")]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

        assert curl(f"{base}/VIN123/heartbeat", "-d", '{"ip": "10.2.5.200"}') == (0, "204")
        assert '"current_ip": "10.2.5.200"' in curl(f"{base}/VIN123")[1]
        assert curl(f"{base}/VIN123/pending-messages")[1] == "200"
        assert curl(f"{base}/VIN123/heartbeat", "-d", '{"ip": "10.9.9.9"}', vehicle="vmg-VIN9")[1].endswith("403")
        assert curl(f"{base}/VIN9")[1].endswith("403")
        assert curl(f"{base}/VIN123/heartbeat")[1].endswith("405")
        assert curl(f"{base}/VIN123/heartbeat", "-d", "{", "-H", "Expect: 100-continue")[1].endswith("400")
        assert curl(f"{base}/VIN123/heartbeat", "-d", '{"ip": "10.2.5.200"}', "-H", "Transfer-Encoding: chunked") == (0, "204")
        assert curl(f"{base}/VIN123/heartbeat", "-0", "-d", '{"ip": "10.2.5.200"}') == (0, "204")  # HTTP/1.0
        code, text = curl(f"{base}/VIN123", vehicle=None)
        assert (code, text) == (56, "000")  # refused in the handshake: certificate required
        assert '"current_ip": "10.2.5.200"' in curl(f"{base}/VIN123")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "nowhere"), "--host: 'nowhere' is no IPv4 address"),
        (("--host", "203.0.113.1"), "names cannot be served on 203.0.113.1"),
        (("--store", "postgres"), "--store: 'postgres' is none of memory, redis"),
        (("--store", "redis://:secret@127.0.0.1:1/0"), "no use of the Redis at redis://***@127.0.0.1:1/0"),
        (("--certificates", "/nonexistent"), "--certificates: /nonexistent/ca.crt: No such file"),
        (("--name", "a" * 64 + ".example"), "server.name"),
        (("--ttl", "soon"), "soon"),
        (("--dns-key", "/nonexistent/key"), "--dns-key: /nonexistent/key cannot be used"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: tuple[str, ...], said: str):
    done = subprocess.run(
        [sys.executable, "-m", "sim", "api", "--port", "0", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "secret" not in done.stderr


def test_the_key_of_updates(tmp_path: Path):
    path = tmp_path / "key"
    made = _key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = _key(path)
    assert (again.name, again.secret, again.algorithm) == (made.name, made.secret, made.algorithm)
    path.write_text("no key")
    with pytest.raises(APIRefused, match="cannot be used"):
        _key(path)
