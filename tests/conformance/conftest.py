"""Each exchange of this folder is run against our broker and against mosquitto, both on loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.served import served_broker

REFUSED_FILTER = "test/nosubscribe"
KEEP_ALIVE_MAX_S = 60
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
log_dest file {folder}/mosquitto.log
persistence true
persistence_location {folder}/
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    """A mosquitto with its own folder, port and log, ended by its process id."""
    port = _free_port()
    (folder / "mosquitto.conf").write_text(_CONFIGURATION.format(port=port, folder=folder))
    folder.chmod(0o777)  # started by root it becomes the user mosquitto
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        else:
            pytest.fail("mosquitto does not listen")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture(scope="module")
def our_port() -> Iterator[int]:
    with served_broker("spec", refused_filters=(REFUSED_FILTER,), keep_alive_max_s=KEEP_ALIVE_MAX_S) as service:
        yield service.port


@pytest.fixture(scope="module")
def mosquitto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: make deps")
    with _mosquitto(tmp_path_factory.mktemp("mosquitto")) as port:
        yield port


@pytest.fixture(params=["ours", pytest.param("mosquitto", marks=pytest.mark.broker)])
def broker(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def port(broker: str, request: pytest.FixtureRequest) -> int:
    """Port of the broker under test. `differs` marks what mosquitto 2.0.11 does otherwise, each time with the reason."""
    differs = request.node.get_closest_marker("differs")
    if broker == "mosquitto" and differs is not None:
        request.applymarker(pytest.mark.xfail(reason=differs.args[0], strict=False))
    return request.getfixturevalue("our_port" if broker == "ours" else "mosquitto_port")


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic and client id of this test alone, since the broker is shared."""
    return request.node.name.partition("[")[0].removeprefix("test_")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "differs(reason): mosquitto does otherwise than this exchange wants")
