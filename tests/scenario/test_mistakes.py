# ruff: noqa: E501 - a table of lines reads best with a line a row
"""Mistakes in a scenario file -> the exact line a user reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load

Errors = Callable[..., list[str]]

#: text after the minimal scenario (which has three lines) -> the one error line
AFTER = [
    ("descripton: x", "t.yaml:4:1: descripton: unknown key, did you mean description"),
    ("zzz: x", "t.yaml:4:1: zzz: unknown key, allowed: name, description, route, towers, script, recorded, network, radio, "
     "handover, link, server, faults, workload, fleet, strategies, replications, drain, seed, phases, objectives, validation, "
     "sweep"),
    ("drain: 30", "t.yaml:4:8: drain: 30 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
    ("drain: -1 s", "t.yaml:4:8: drain: -1 s is out of range, expected at least 0 s"),
    ("drain: [1 s]", "t.yaml:4:8: drain: expected a duration such as 30 s (ms, s, min, h, d)"),
    ("drain: null", "t.yaml:4:8: drain: expected a duration such as 30 s (ms, s, min, h, d)"),
    ("drain: .inf", "t.yaml:4:8: drain: .inf is not allowed, expected a finite number"),
    ("drain: 1e300 s", "t.yaml:4:8: drain: '1e300 s' is out of range, at most 10000000000 s is allowed"),
    ("replications: 0", "t.yaml:4:15: replications: 0 is out of range, expected at least 1 and at most 1000000"),
    ("replications: 2.5", "t.yaml:4:15: replications: 2.5 is not a whole number, expected a whole number at least 1 and at most 1000000"),
    ("replications: many", "t.yaml:4:15: replications: expected a whole number at least 1 and at most 1000000"),
    ("replications: true", "t.yaml:4:15: replications: expected a whole number at least 1 and at most 1000000"),
    ("replications: 1e30", "t.yaml:4:15: replications: the number is out of range, expected a whole number at least 1 and at most 1000000"),
    ("seed: -1", "t.yaml:4:7: seed: -1 is out of range, expected at least 0"),
    ("phases: random", "t.yaml:4:9: phases: 'random' is unknown, expected one of drawn, fixed"),
    ("description: 5", 't.yaml:4:14: description: expected text, write "5" in quotes'),
    ("network: {acess: cgnat}", "t.yaml:4:11: network.acess: unknown key, did you mean access"),
    ("network: []", "t.yaml:4:10: network: expected a mapping (key: value)"),
    ("network: null", "t.yaml:4:10: network: expected a mapping (key: value)"),
    ("network: {gateways: {a: {address: 10.1.1}}}", "t.yaml:4:35: network.gateways.a.address: '10.1.1' is not an IP address, expected one such as 10.1.1.100"),
    ("network: {gateways: {a: {adress: x}}}", "t.yaml:4:26: network.gateways.a.adress: unknown key, did you mean address"),
    ("network: {gateways: {a: null}}", "t.yaml:4:25: network.gateways.a: expected a mapping (key: value)"),
    ("network: {gateways: {b: {}}}", "t.yaml:2:47: script.steps.0.gateway: no gateway 'a' in network.gateways, expected one of b"),
    ("link: {rtt: {median: 80ms, p95: 10 ms}}", "t.yaml:4:33: link.rtt.p95: 0.01 s is below the median, expected at least 0.08 s"),
    ("link: {realism: off}", "t.yaml:4:17: link.realism: expected true or false, did you mean false"),
    ("link: {downlink: 20 Mbps}", "t.yaml:4:18: link.downlink: unknown unit 'Mbps', did you mean 20 Mbit/s, "
     "expected a rate such as 5 Mbit/s (bit/s, kbit/s, Mbit/s, Gbit/s)"),
    ("link: {downlink: 0}", "t.yaml:4:18: link.downlink: 0 bit/s is out of range, expected more than 0 bit/s"),
    ("link: {dip: 1.5}", "t.yaml:4:13: link.dip: 1.5 is out of range, expected more than 0 and at most 1"),
    ("handover: {failure: 110 %}", "t.yaml:4:21: handover.failure: '110 %' is more than 100 %, expected a share such as 95 %, "
     "or a number from 0 to 1"),
    ("handover: {reselection: 3 s}", "t.yaml:4:25: handover.reselection: expected a list of two values such as [0.3 s, 3 s]"),
    ("handover: {reselection: [3 s]}", "t.yaml:4:25: handover.reselection: expected a list of two values such as [0.3 s, 3 s], "
     "not 1 values"),
    ("server: {broker: mosquito}", "t.yaml:4:18: server.broker.preset: 'mosquito' is unknown, did you mean mosquitto, expected "
     "one of spec, mosquitto, rabbitmq, aedes, aedes_redis, amqtt, emqx, hivemq, aws_iot"),
    ("server: {tls: null}", "t.yaml:4:15: server.tls: expected a mapping (key: value)"),
    ("server: {tls: {profile: pqc, mutal: true}}", "t.yaml:4:30: server.tls.mutal: unknown key, did you mean mutual"),
    ("server: {dns_ttl: 60}", "t.yaml:4:19: server.dns_ttl: 60 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
    ("server: {dns_ttl: 60 s, dns: {ttl: 60 s}}", "t.yaml:4:9: server: dns_ttl and dns.ttl are the same setting, give one"),
    ("server: {https_port: 70000}", "t.yaml:4:22: server.https_port: 70000 is out of range, expected at least 1 and at most 65535"),
    ("server: {address: example.com}", "t.yaml:4:19: server.address: is not an IP address, such as 52.78.123.45"),
    ("server: {nodes: {names: []}}", "t.yaml:4:25: server.nodes.names: a cluster of no nodes, expected at least one name, such as [broker-1]"),
    ("server: {nodes: {names: [a, a]}, balancer: {}}", "t.yaml:4:29: server.nodes.names.1: the name 'a' is there already, each node needs its own"),
    ("server: {nodes: {names: [a, b]}}", "t.yaml:4:25: server.nodes.names: 2 nodes at one address need server.balancer, such as balancer: {}"),
    ("server: {store: replicated}", "t.yaml:4:17: server.store.kind: replicated to nowhere: there is one node, expected several in server.nodes.names"),
    ("server: {store: reddis}", "t.yaml:4:17: server.store.kind: 'reddis' is unknown, did you mean redis, expected one of memory, disk, redis, replicated"),
    ("server: {balancer: {idle_time: 5 s}}", "t.yaml:4:21: server.balancer.idle_time: unknown key, did you mean idle_timeout"),
    ("faults: {}", "t.yaml:4:9: faults: expected a list"),
    ("faults: [{at: 5 s}]", "t.yaml:4:10: faults.0.kind: required, expected one of node_crash, rolling_upgrade, store_failover, store_crash, "
     "balancer_change, dns_outage, dns_stale, api_errors, certificate_expiry, tower_outage, region_outage, nat_rebind"),
    ("faults: [{kind: node_crush, at: 5 s}]", "t.yaml:4:17: faults.0.kind: 'node_crush' is unknown, did you mean node_crash, expected one of "
     "node_crash, rolling_upgrade, store_failover, store_crash, balancer_change, dns_outage, dns_stale, api_errors, certificate_expiry, "
     "tower_outage, region_outage, nat_rebind"),
    ("faults: [{kind: node_crash}]", "t.yaml:4:10: faults.0: expected exactly one of at and per_hour, not none"),
    ("faults: [{kind: node_crash, at: 5 s, per_hour: 1}]", "t.yaml:4:10: faults.0: expected exactly one of at and per_hour, not both"),
    ("faults: [{kind: node_crash, at: 60 s}]", "t.yaml:4:33: faults.0.at: is after the end of the drive (60 s), it would never happen"),
    ("faults: [{kind: node_crash, at: 5 s, node: broker-9}]", "t.yaml:4:44: faults.0.node: no node 'broker-9', expected one of broker-1"),
    ("faults: [{kind: node_crash, at: 5 s, how: gently}]", "t.yaml:4:43: faults.0.how: 'gently' is unknown, expected one of process, host"),
    ("faults: [{kind: node_crash, at: 5 s, tower: A}]", "t.yaml:4:38: faults.0.tower: means nothing for node_crash, allowed: at, per_hour, node, how, for"),
    ("faults: [{kind: node_crash, at: 5 s}, {kind: store_failover, at: 5 s}]", "t.yaml:4:46: faults.1.kind: store_failover is for server.store redis, not disk"),
    ("faults: [{kind: balancer_change, at: 5 s}]", "t.yaml:4:17: faults.0.kind: there is no server.balancer to change"),
    ("faults: [{kind: tower_outage, at: 5 s}]", "t.yaml:4:10: faults.0.tower: required for tower_outage"),
    ("faults: [{kind: tower_outage, at: 5 s, tower: T}]", "t.yaml:4:47: faults.0.tower: no tower 'T', the drive has no tower"),
    ("faults: [{kind: region_outage, at: 5 s, gateway: b}]", "t.yaml:4:50: faults.0.gateway: no gateway 'b', expected one of a"),
    ("faults: [{kind: dns_stale, at: 5 s, address: example.com}]", "t.yaml:4:46: faults.0.address: is not an IP address, such as 198.51.100.7"),
    ("faults: [{kind: api_errors, at: 5 s, error: 120 %}]", "t.yaml:4:45: faults.0.error: '120 %' is more than 100 %, expected a share such as 95 %, or a number from 0 to 1"),
    ("faults: [{kind: node_crash, per_hour: 0}]", "t.yaml:4:39: faults.0.per_hour: 0 is out of range, expected more than 0 and at most 3600"),
    ("faults: [{kind: node_crash, at: -5 s}]", "t.yaml:4:33: faults.0.at: -5 s is out of range, expected at least 0 s"),
    ("workload: {ota: {image: 1 MiB}}", "t.yaml:4:17: workload.ota: expected exactly one of every, window and at, none is given"),
    ("workload: {ota: {image: 1 MiB, every: 1 s, window: 4}}", "t.yaml:4:17: workload.ota: expected exactly one of every, window "
     "and at, not every and window"),
    ("workload: {ota: {every: 1 s}}", "t.yaml:4:17: workload.ota.image: required unless `at` is given, expected a size such as 48 MiB"),
    ("workload: {ota: {at: [5 s, 3 s]}}", "t.yaml:4:28: workload.ota.at.1: is before the one before it, expected rising instants"),
    ("workload: {ota: {via: https_range, image: 1 MiB, every: 1 s}}", "t.yaml:4:50: workload.ota.every: is for `via: mqtt` only; "
     "an image that is fetched is announced at `start`"),
    ("workload: {ota: {via: https_range}}", "t.yaml:4:17: workload.ota.image: required, expected a size such as 48 MiB"),
    ("workload: {ota: {via: ftp}}", "t.yaml:4:23: workload.ota.via: 'ftp' is unknown, expected one of mqtt, https_range"),
    ("workload: {ota: {via: https_range, image: 1 MiB, retry: {base: 5 s, cap: 1 s}}}", "t.yaml:4:74: workload.ota.retry.cap: "
     "is below the base, expected at least 5 s"),
    ("workload: {ota: {at: []}}", "t.yaml:4:22: workload.ota.at: is empty, expected the instants of the chunks, such as [5 s, 10 s]"),
    ("workload: {ota: {at: [-5 s]}}", "t.yaml:4:23: workload.ota.at.0: -5 s is out of range, expected at least 0 s"),
    ("workload: {ota: {image: 1 MiB, every: 1 s, give_up: 1 s}}", "t.yaml:4:44: workload.ota.give_up: is for `window` only"),
    ("workload: {ota: {image: 0.5 B, every: 1 s}}", "t.yaml:4:25: workload.ota.image: '0.5 B' is not a whole number of bytes"),
    ("workload: {telemetry: {qos: 3}}", "t.yaml:4:29: workload.telemetry.qos: 3 is out of range, expected at least 0 and at most 2"),
    ("route: [{at: [0 km, 0 km]}]", "t.yaml:4:1: route: the drive is given by script already, expected one of route, script, "
     "recorded"),
    ("objectives: {}", "t.yaml:4:13: objectives: expected a list such as [{strategy: hybrid, metric: ota.lost, at_most: 0}]"),
    ("objectives: [{strategy: hybird, metric: ota.lost, at_most: 0}]", "t.yaml:4:25: objectives.0.strategy: unknown strategy, did "
     "you mean hybrid"),
    ("objectives: [{strategy: hybrid, metric: ota.lots, at_most: 0}]", "t.yaml:4:41: objectives.0.metric: unknown metric, did you "
     "mean ota.lost"),
    ("objectives: [{strategy: hybrid, metric: ota.lost}]", "t.yaml:4:14: objectives.0: expected exactly one of at_most and "
     "at_least, not none"),
    ("objectives: [{strategy: hybrid, metric: ota.lost, at_most: 0, at_least: 0}]", "t.yaml:4:14: objectives.0: expected exactly "
     "one of at_most and at_least, not both"),
    ("objectives: [{strategy: hybrid, metric: reachability, at_least: 95}]", "t.yaml:4:65: objectives.0.at_least: '95' is more than "
     "100 %, expected a share such as 95 %, or a number from 0 to 1"),
    ("objectives: [{strategy: hybrid, metric: recovery_s.p95, at_most: 5 %}]", "t.yaml:4:66: objectives.0.at_most: unknown unit '%', "
     "expected a duration such as 30 s (ms, s, min, h, d)"),
    ("objectives: [{metric: ota.lost, at_most: 0}]", "t.yaml:4:14: objectives.0.strategy: required, expected text"),
    ("radio: {modle: rma}", "t.yaml:4:9: radio.modle: unknown key, did you mean model"),
    ("radio: {frequency: 800}", "t.yaml:4:20: radio.frequency: 800 has no unit, expected a frequency such as 800 MHz (Hz, kHz, MHz, GHz)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), AFTER, ids=[text[:40] for text, _line in AFTER])
def test_one_mistake_one_line(errors: Errors, minimal: str, text: str, line: str) -> None:
    assert errors(f"{minimal}{text}\n") == [line]


#: one item of the list of strategies, from line 3 on -> its error line
STRATEGIES = [
    ("mqtt_persistant", "t.yaml:4:5: strategies.0: unknown strategy, did you mean mqtt_persistent"),
    ("carrier_pigeon", "t.yaml:4:5: strategies.0: unknown strategy, allowed: mqtt_persistent, ddns_heartbeat, hybrid, "
     "mqtt_clean_session, static_push"),
    ("{use: hybrid, keepalive: 10 s}", "t.yaml:4:19: strategies.0.keepalive: unknown key, did you mean keep_alive"),
    ("{use: hybrid, nane: x}", "t.yaml:4:19: strategies.0.nane: unknown key, did you mean name"),
    ("{use: hybrid, heartbeat: 3 s}", "t.yaml:4:19: strategies.0.heartbeat: unknown key, allowed: "),
    ("{use: hybrid, keep_alive: 1500 ms}", "t.yaml:4:31: strategies.0.keep_alive: '1500 ms' is not a whole number of seconds, "
     "expected whole seconds, such as 2 s"),
    ("{use: hybrid, keep_alive: 10}", "t.yaml:4:31: strategies.0.keep_alive: 10 has no unit, expected a duration such as 30 s "
     "(ms, s, min, h, d)"),
    ("{use: hybrid, keep_alive: 20 h}", "t.yaml:4:31: strategies.0.keep_alive: 20 h is out of range, expected at least 0 s and at "
     "most 65535 s"),
    ("{use: hybrid, backoff: full_jiter}", "t.yaml:4:28: strategies.0.backoff.policy: 'full_jiter' is unknown, did you mean "
     "full_jitter, expected one of exponential, paho, libmosquitto, full_jitter, equal_jitter, decorrelated_jitter, fixed, none, "
     "never_reset"),
    ("{use: hybrid, backoff: {base: 5 s, cap: 1 s}}", "t.yaml:4:45: strategies.0.backoff.cap: is below the base, expected at least 5 s"),
    ("{use: hybrid, notices: keep_alive}", "t.yaml:4:28: strategies.0.notices: expected a list"),
    ("{use: hybrid, notices: [adress]}", "t.yaml:4:29: strategies.0.notices.0: 'adress' is unknown, did you mean address, expected "
     "one of keep_alive, transport, address"),
    ("{use: hybrid, when_parked: slep}", "t.yaml:4:32: strategies.0.when_parked: 'slep' is unknown, did you mean sleep, expected "
     "one of stay_connected, disconnect, sleep"),
    ("{use: static_push, when_parked: sleep}", "t.yaml:4:24: strategies.0.when_parked: unknown key, allowed: "),
    ("{name: x}", "t.yaml:4:5: strategies.0.use: required, expected the name of a strategy or file.py:Class"),
    ("{use: 5}", "t.yaml:4:11: strategies.0.use: expected the name of a strategy or file.py:Class"),
    ("{use: hybrid, name: 5}", "t.yaml:4:25: strategies.0.name: expected text"),
    ("{use: hybrid, name: ''}", "t.yaml:4:25: strategies.0.name: expected a name of 1 to 100 printable characters, without space "
     "at its ends"),
    ("{use: hybrid, name: server}", "t.yaml:4:25: strategies.0.name: 'server' is a key of the scenario, a strategy needs another "
     "name (--set could not tell them apart)"),
    ("5", "t.yaml:4:5: strategies.0: expected the name of a strategy, or a mapping with `use`"),
    ("{use: nowhere.py:Mine}", "t.yaml:4:11: strategies.0.use: cannot read nowhere.py: No such file or directory"),
    ("{use: 'nowhere.py'}", "t.yaml:4:11: strategies.0.use: 'nowhere.py' is not understood, expected the name of a strategy or "
     "file.py:Class"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "line"), STRATEGIES, ids=[item[:40] for item, _line in STRATEGIES])
def test_mistakes_in_a_strategy(errors: Errors, minimal: str, item: str, line: str) -> None:
    head = minimal.replace("strategies: [mqtt_persistent, hybrid]", f"strategies:\n  - {item}")
    found = errors(head)
    assert len(found) == 1
    assert found[0] == line or (line.endswith("allowed: ") and found[0].startswith(line))


def test_names_of_strategies_are_unique(errors: Errors, minimal: str) -> None:
    text = minimal.replace("[mqtt_persistent, hybrid]", "[hybrid, {use: hybrid, keep_alive: 3 s}, {use: hybrid, name: hybrid}]")
    assert errors(text) == [
        "t.yaml:3:22: strategies.1: the name 'hybrid' is taken by strategies.0, give this one a name of its own: {use: hybrid, name: ...}",
        "t.yaml:3:74: strategies.2.name: the name 'hybrid' is taken by strategies.0, expected another",
    ]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "", "x" * 81, "a\\b", "x."])
def test_the_name_is_that_of_a_folder(errors: Errors, minimal: str, name: str) -> None:
    (line,) = errors(minimal.replace("name: t", f"name: '{name}'"))
    assert line.startswith("t.yaml:1:7: name: is used as the name of a folder: letters, digits")


def test_what_is_missing(errors: Errors) -> None:
    assert errors("description: x\n") == [
        "t.yaml:1:1: name: required, expected text",
        "t.yaml:1:1: strategies: expected a list of strategies, such as [mqtt_persistent, ddns_heartbeat, hybrid]",
        "t.yaml:1:1: the drive is missing, expected exactly one of route, script, recorded",
    ]


def test_a_script_needs_its_parts(errors: Errors) -> None:
    text = "name: t\nscript:\n  steps:\n    - {link: up, rtt: 5}\nstrategies: [hybrid]\n"
    assert errors(text) == [
        "t.yaml:3:3: script.duration: required, expected a duration such as 30 s (ms, s, min, h, d)",
        "t.yaml:4:7: script.steps.0.at: required, expected a duration such as 30 s (ms, s, min, h, d)",
        "t.yaml:4:23: script.steps.0.rtt: 5 has no unit, expected a duration such as 30 s (ms, s, min, h, d)",
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file(errors: Errors) -> None:
    text = """\
name: t
route:
  - {at: [0 km, 0 km]}
  - {at: [30 km], speed: 90}
towers:
  - {id: 1, at: [5 km, 0.3 km], gateway: nowhere}
network: {gateways: {city-a: {address: 10.1.1.100}}}
link: {rtt: {median: .nan}, uplink: 1 Mbit/s, uplink: 2 Mbit/s}
workload: {ota: {image: 1 MB}}
strategies: [hybird]
drain: 1
"""
    assert errors(text) == [
        "t.yaml:4:10: route.1.at: expected a list of two values such as [5 km, 0.3 km], not 1 values",
        "t.yaml:4:26: route.1.speed: 90 has no unit, expected a speed such as 90 km/h (km/h, m/s)",
        't.yaml:6:10: towers.0.id: expected text, write "1" in quotes',
        "t.yaml:6:42: towers.0.gateway: no gateway 'nowhere' in network.gateways, expected one of city-a",
        "t.yaml:8:22: link.rtt.median: .nan is not allowed, expected a finite number",
        "t.yaml:8:47: link.uplink: duplicate key, first written in line 8",
        "t.yaml:9:17: workload.ota: expected exactly one of every, window and at, none is given",
        "t.yaml:10:14: strategies.0: unknown strategy, did you mean hybrid",
        "t.yaml:11:8: drain: 1 has no unit, expected a duration such as 30 s (ms, s, min, h, d)",
    ]


def test_a_mistake_in_one_section_does_not_hide_those_of_the_drive(errors: Errors, minimal: str) -> None:
    text = minimal.replace("at: 0 s", "at: 5 s") + "link: {downlink: 5}\ndrain: 3\n"
    assert [line.split(": ")[1] for line in errors(text)] == ["script.steps.0.at", "link.downlink", "drain"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def line(path: Path | str) -> str:
        with pytest.raises(ScenarioErrors) as raised:
            load(path)
        (only,) = raised.value.lines
        return only.replace(f"{tmp_path}/", "")

    (tmp_path / "latin1.yaml").write_bytes("name: t\nköln: 1\n".encode("latin-1"))
    (tmp_path / "utf16.yaml").write_bytes("name: t\n".encode("utf-16"))
    assert line(tmp_path / "no.yaml") == "no.yaml: cannot be read: No such file or directory"
    assert line(tmp_path).endswith(": cannot be read: Is a directory")
    assert line(tmp_path / "latin1.yaml") == "latin1.yaml:2:2: byte 0xF6 is not UTF-8, save the file as UTF-8"
    assert line(tmp_path / "utf16.yaml") == "utf16.yaml:1:1: byte 0xFF is not UTF-8, save the file as UTF-8"
    assert line("/dev/zero") == "/dev/zero: is larger than 1 MiB, no scenario file is"
    assert "null" in line("a\0b")


def test_a_byte_order_mark_is_fine(tmp_path: Path, minimal: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + minimal.replace("\n", "\r\n").encode())
    assert load(path).name == "t"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "server: {store: {kind: redis, replicas: 0}}\nfaults: [{kind: store_failover, at: 5 s}]",
            "t.yaml:5:17: faults.0.kind: a failover to nowhere: server.store.replicas is 0, expected at least 1, or store_crash",
        ),
        (
            "server: {tls: none}\nfaults: [{kind: certificate_expiry, at: 5 s}]",
            "t.yaml:5:17: faults.0.kind: server.tls is none, there is no certificate to expire",
        ),
        (
            "network: {access: public}\nfaults: [{kind: nat_rebind, at: 5 s}]",
            "t.yaml:5:17: faults.0.kind: network.access is not cgnat, there is no NAT to rebind",
        ),
    ],
)
def test_a_fault_of_a_part_that_is_not_there(text: str, line: str, errors: Errors, minimal: str) -> None:
    assert errors(f"{minimal}{text}\n") == [line]


def test_faults_of_a_recorded_drive_are_checked_against_its_log(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("t,c\n" + "".join(f"{t},{'A' if t < 30 else 'B'}\n" for t in range(0, 61, 2)))
    path = tmp_path / "t.yaml"
    text = "name: t\nrecorded: {file: d.csv, columns: {time: t, cell: c}}\nstrategies: [hybrid]\nfaults: [%s]\n"
    path.write_text(text % "{kind: tower_outage, at: 5 s, tower: B}, {kind: node_crash, at: 59 s}")
    assert len(load(path).faults) == 2
    path.write_text(text % "{kind: tower_outage, at: 5 s, tower: C}, {kind: node_crash, at: 60 s}")
    with pytest.raises(ScenarioErrors) as raised:
        load(path)
    assert [line.partition("t.yaml")[2] for line in raised.value.lines] == [
        ":4:47: faults.0.tower: no tower 'C', expected one of A, B",
        ":4:74: faults.1.at: is after the end of the drive (60 s), it would never happen",
    ]
