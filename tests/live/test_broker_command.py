"""`python -m sim broker`: served until it is interrupted, in TLS too; mistakes are one line."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.cli import main
from sim.live.broker_command import tls_of
from sim.live.certificates import issue, write
from sim.live.mqtt_codec import encode
from sim.protocols.mqtt_packets import V311, Connect
from tests.live.served import served_broker
from tests.live.wire_client import WireClient, connected, connected5

CONNACK = b"\x20\x02\x00\x00"


@contextlib.contextmanager
def command(*words: str, before: Callable[[], None] | None = None) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The command on a free port, in a process of its own: the process, the port, its first line."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "sim", "broker", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        preexec_fn=before,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield process, int(found[1]), line
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(number):
    with command("--refuse", "not/this") as (process, port, _):
        client = connected5(port, "c", keep_alive_s=600)
        assert client.connack is not None
        assert (client.connack.properties or {})["server_keep_alive"] == 60
        assert client.subscribe("not/this", "this") == (0x80, 2)
        process.send_signal(number)
        assert client.refused_with() == 0x8B
        out, error = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "stopped after 1 connections" in out
        assert error == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_it_takes_as_many_connections_as_the_user_may_have_files():
    """The soft limit is often 1,024 or less, the hard one far above it."""

    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    with command(before=few) as (_process, port, _):
        clients = [connected(port, f"c{n}") for n in range(150)]
        for client in clients:
            client.publish("t", qos=1)


# --- TLS ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    write(issue(["localhost", "127.0.0.1"], ["VIN123"], "classical", "ml-dsa-44"), folder)
    return folder


def _answer(port: int, context: ssl.SSLContext) -> bytes:
    """What comes for a CONNECT in TLS; nothing where the handshake or the connection is refused."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, contextlib.suppress(OSError):
        inside = context.wrap_socket(plain, server_hostname="127.0.0.1")
        inside.sendall(encode(Connect("c", True, 60), V311))
        return inside.recv(100)
    return b""


def test_it_serves_in_tls_with_the_certificates_of_the_lab(certificates):
    files = {option: str(certificates / name) for option, name in (("--cert", "server.crt"), ("--key", "server.key"))}
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    with command(*(word for pair in files.items() for word in pair)) as (_process, port, line):
        assert "in TLS" in line
        assert _answer(port, trusting) == CONNACK
        assert _answer(port, ssl.create_default_context()) == b""
        WireClient(port).send(Connect("plain", True, 60))
        assert _answer(port, trusting) == CONNACK
    files["--ca"] = str(certificates / "ca.crt")
    with command(*(word for pair in files.items() for word in pair)) as (_process, port, _):
        assert _answer(port, trusting) == b""
        trusting.load_cert_chain(certificates / "vmg.crt", certificates / "vmg.key")
        assert _answer(port, trusting) == CONNACK


def test_a_tls_handshake_that_does_not_go_on_is_ended(certificates):
    context = tls_of(certificates / "server.crt", certificates / "server.key", None)
    with served_broker(ssl=context, connect_timeout_s=0.4) as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=5) as silent:
            assert silent.recv(1) == b""
        assert _answer(service.port, ssl.create_default_context(cafile=str(certificates / "ca.crt"))) == CONNACK


# --- mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--preset nobody", "no preset 'nobody'; there are spec, "),
        ("--host nowhere.invalid", "cannot listen on nowhere.invalid:0: "),
        ("--cert {0}/server.crt", "TLS wants both --cert and --key"),
        ("--ca {0}/ca.crt", "TLS wants both --cert and --key"),
        ("--cert {0}/server.crt --key {0}/vmg.key", "{0}/server.crt with the key {0}/vmg.key: key values mismatch"),
        ("--cert {0}/none --key {0}/server.key", "{0}/none with the key {0}/server.key: no such file or directory"),
        ("--cert {0}/ca.crt --key {0}/ca.crt", "{0}/ca.crt with the key {0}/ca.crt: "),
        ("--cert {0}/server.crt --key {0}/server.key --ca {0}/server.key", "{0}/server.key: "),
    ],
)
def test_a_mistake_is_one_line_and_code_2(certificates, capfd, words, said):
    assert main(["broker", "--port", "0", *words.format(certificates).split()]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(said.format(certificates))


def test_a_port_that_is_taken_is_one_line_and_code_2(capfd):
    with served_broker() as service:
        assert main(["broker", "--port", str(service.port)]) == 2
    assert capfd.readouterr().err.strip() == f"cannot listen on 127.0.0.1:{service.port}: address already in use"
