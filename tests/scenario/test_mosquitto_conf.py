"""A mosquitto.conf(5) becomes values of the broker and the store; what the model does not know is listed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load, load_with_warnings
from sim.scenario.mosquitto_conf import _OPTIONS, parse
from sim.study.manifest import input_files, manifest
from sim.study.run import run_scenario
from tests.scenario.conftest import MINIMAL

CONF = """\
# a comment
listener 8883
persistence true
autosave_interval 300
max_queued_messages 5000
max_inflight_messages 40
persistent_client_expiration 14d
queue_qos0_messages true
message_size_limit 200000
max_packet_size 300000
max_keepalive 120
max_qos 1
max_topic_alias 0
log_type all
"""


def scenario_with(tmp_path: Path, conf: str, server: str = "broker: {preset: mosquitto, config: mosquitto.conf}") -> Path:
    (tmp_path / "mosquitto.conf").write_text(conf)
    path = tmp_path / "t.yaml"
    path.write_text(f"{MINIMAL}server: {{{server}}}\n")
    return path


def test_what_the_model_knows_is_taken_and_the_rest_is_listed(tmp_path: Path) -> None:
    path = scenario_with(tmp_path, CONF)
    scenario, warnings = load_with_warnings(path)
    behaviour, store = scenario.server.broker.behaviour(), scenario.server.store
    assert (behaviour.queue_limit, behaviour.inflight_limit, behaviour.receive_maximum) == (5000, 40, 40)
    assert (behaviour.session_expiry_default_s, behaviour.queue_qos0) == (14 * 86400.0, True)
    assert (behaviour.packet_limit_bytes, behaviour.keep_alive_max_s, behaviour.qos_max) == (200_000, 120.0, 1)
    assert (store.kind, store.save_interval_s) == ("disk", 300.0)
    conf = tmp_path / "mosquitto.conf"
    assert [line for line in warnings if "mosquitto.conf" in line] == [
        f"{conf}:14: log_type: is not modelled and has no effect here",
        f"{conf}:2: listener: is not modelled and has no effect here",
    ]
    assert input_files(scenario) == [path, conf]


def test_what_the_scenario_says_goes_before_the_file(tmp_path: Path) -> None:
    server = "broker: {preset: mosquitto, config: mosquitto.conf, queue_limit: 7}, store: {kind: memory}"
    scenario = load(scenario_with(tmp_path, CONF, server))
    assert scenario.server.broker.behaviour().queue_limit == 7
    assert scenario.server.broker.behaviour().inflight_limit == 40
    assert scenario.server.store.kind == "memory"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("max_queued_messages 0", "queue_limit", 2**31),
        ("max_inflight_messages 0", "inflight_limit", 65535),
        ("persistent_client_expiration 2m", "session_expiry_max_s", 2 * 30 * 86400.0),
        ("persistent_client_expiration 1y", "session_expiry_max_s", 365 * 86400.0),
        ("persistent_client_expiration 3h", "session_expiry_max_s", 10800.0),
        ("message_size_limit 0", "packet_limit_bytes", None),
        ("upgrade_outgoing_qos true", "raises_qos", True),
    ],
)
def test_values_that_mean_something_else(line: str, name: str, value: object) -> None:
    assert parse(line).broker.get(name) == value


def test_without_persistence_sessions_are_in_memory_and_an_interval_of_0_saves_at_the_end_alone() -> None:
    assert parse("").store == {"kind": "memory"}
    assert parse("autosave_interval 0\npersistence true").store == {"kind": "disk", "save_interval_s": 1e9}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("max_queued_messages many", "'many' is not a whole number, expected 0 to 2147483647"),
        ("max_queued_messages -1", "-1 is out of range, expected 0 to 2147483647"),
        ("max_inflight_messages 70000", "70000 is out of range, expected 0 to 65535"),
        ("persistence yes", "'yes' is unknown, expected true or false"),
        ("persistence tru", "'tru' is unknown, expected true or false, did you mean true"),
        (
            "persistent_client_expiration 14",
            "'14' is not a duration, expected a whole number followed by one of h, d, w, m, y, such as 14d",
        ),
        ("max_keepalive 5", "5 is out of range, expected 10 to 65535"),
        ("max_packet_size 10", "10 is out of range, expected 20 to 2147483647"),
        ("max_qos", "'' is not a whole number, expected 0 to 2"),
    ],
)
def test_a_bad_value_is_one_line_with_file_and_line(tmp_path: Path, line: str, error: str) -> None:
    path = scenario_with(tmp_path, f"# first\n{line}\n")
    with pytest.raises(ScenarioErrors) as raised:
        load(path)
    assert raised.value.lines == [f"{tmp_path / 'mosquitto.conf'}:2: {line.split()[0]}: {error}"]


def test_a_file_that_cannot_be_had(tmp_path: Path) -> None:
    path = scenario_with(tmp_path, CONF, "broker: {preset: rabbitmq, config: mosquitto.conf}")
    with pytest.raises(ScenarioErrors, match=r"t.yaml:4:37: server.broker.config: is a mosquitto.conf, for preset mosquitto"):
        load(path)
    path = scenario_with(tmp_path, CONF, "broker: {config: nowhere.conf}")
    with pytest.raises(ScenarioErrors, match=r"t.yaml:4:27: server.broker.config: nowhere.conf cannot be read: No such file"):
        load(path)
    (tmp_path / "odd.conf").write_bytes(b"\xff")
    with pytest.raises(ScenarioErrors, match=r"odd.conf byte 0xFF is not UTF-8"):
        load(scenario_with(tmp_path, CONF, "broker: {config: odd.conf}"))


def test_the_report_says_where_values_come_from_and_what_was_not_modelled(tmp_path: Path) -> None:
    scenario = load(scenario_with(tmp_path, CONF))
    result = run_scenario(scenario, out=tmp_path / "results")
    text = (result.run_dir / "report.md").read_text()
    assert "Values of the broker come from mosquitto.conf; not modelled of it: listener, log_type." in text
    assert (result.run_dir / "inputs" / "mosquitto.conf").read_text() == CONF
    content = manifest(scenario, measured=[], notes=[], command="", keep_inputs=False, folder=tmp_path)
    assert "config" not in content["presets"][0]["overridden"]


def test_the_program_itself_takes_the_options_that_are_read_here(tmp_path: Path) -> None:
    """mosquitto exits with 3 at an option that it does not know; a listener it cannot bind ends it otherwise."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed: make deps")
    conf = tmp_path / "mosquitto.conf"
    conf.write_text("listener 1 203.0.113.1\n" + CONF.split("\n", 2)[2].replace("log_type all\n", "upgrade_outgoing_qos true\n"))
    done = subprocess.run([program, "-c", str(conf)], capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert "Unknown configuration variable" not in said
    assert "Error: Invalid" not in said
    assert {line.split()[0] for line in conf.read_text().splitlines()} >= set(_OPTIONS)
