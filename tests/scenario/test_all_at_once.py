# ruff: noqa: E501 - a table of lines reads best with a line a row
"""Mistakes of both sorts in one section: a value that is wrong in itself, and values that do not fit together.

All are said at once, in the order of the file, and nothing that merely follows from another one is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim.checking import WRONG, NeedsWrong, found
from sim.cli import main
from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load
from sim.scenario.sweep import load_sweep

Errors = Callable[..., list[str]]

#: text after the minimal scenario -> (key, beginning of what is said) of each line
TOGETHER = [
    ("network: {access: 5, gateways: {a: {address: 10.1.1}, b: {address: 10.1.1.1}, c: {address: 10.1.1.1}}}",
     [("network.access", "'5' is unknown"), ("network.gateways.a.address", "'10.1.1' is not an IP"), ("network.gateways.c.address", "10.1.1.1 is the address of gateway 'b'")]),
    ("link: {downlink: 5, rtt: {median: 80 ms, p95: 10 ms}}",
     [("link.downlink", "5 has no unit"), ("link.rtt.p95", "0.01 s is below the median")]),
    ("link: {rtt: {median: 80, p95: 10 ms}}", [("link.rtt.median", "80 has no unit")]),
    ("link: {rtt: {medain: 80 ms, p95: 10 ms}}", [("link.rtt.medain", "unknown key, did you mean median")]),
    ("link: 5", [("link", "expected a mapping")]),
    ("handover: {interruption: 30 ms, interruption_p95: 10 ms, reselection: [3 s, 1 s], failure: 3}",
     [("handover.interruption_p95", "0.01 s is below"), ("handover.reselection", "3 s is above 1 s"), ("handover.failure", "'3' is more than 100 %")]),
    ("handover: {reselection: [3]}", [("handover.reselection", "expected a list of two values"), ("handover.reselection.0", "3 has no unit")]),
    ("server: {address: here, https_port: 0, nodes: {names: [a, a, 5]}, store: reddis}",
     [("server.address", "is not an IP"), ("server.https_port", "0 is out of range"), ("server.nodes.names", "3 nodes at one address"), ("server.nodes.names.1", "the name 'a'"), ("server.nodes.names.2", "expected text"), ("server.store.kind", "'reddis' is unknown")]),
    ("server: {dns_ttl: 60, dns: {ttl: 60 s}, address: here}",
     [("server", "dns_ttl and dns.ttl"), ("server.address", "is not an IP")]),
    ("server: {broker: {preset: mosquitto, config: nowhere.conf, queue_limit: -1}}",
     [("server.broker.config", "nowhere.conf cannot be read"), ("server.broker.queue_limit", "-1 is out of range")]),
    ("workload: {ota: {image: 1 mb, every: 1 s, window: 4}}", [("workload.ota", "expected exactly one of"), ("workload.ota.image", "unknown unit 'mb'")]),
    ("workload: {ota: {image: 1 MiB, evry: 1 s}}", [("workload.ota.evry", "unknown key, did you mean every")]),
    ("workload: {ota: {image: 1 MiB, every: 1}}", [("workload.ota.every", "1 has no unit")]),
    ("workload: {ota: {via: ftp, give_up: 1 s}}", [("workload.ota.via", "'ftp' is unknown")]),
    ("workload: {ota: {at: [5 s, 3 s, 7, 6 s, 1 s]}, telemetry: {every: 1 ns}}",
     [("workload.ota.at.1", "is before the one"), ("workload.ota.at.2", "7 has no unit"), ("workload.ota.at.4", "is before the one"), ("workload.telemetry.every", "unknown unit 'ns'")]),
    ("workload: {telemetry: {every: 1 us}, diagnostics: {every: 1e-6 s}}", [("workload.telemetry.every", "unknown unit 'us'"), ("workload.diagnostics.every", "makes 60,000,000")]),
    ("faults: [{kind: node_crush, at: 99 s}, {kind: node_crash, node: b, at: 5}, {kind: tower_outage, at: 60 s, tower: 5}, {kind: store_crash}]",
     [("faults.0.kind", "'node_crush' is unknown"), ("faults.0.at", "is after the end"), ("faults.1.node", "no node 'b'"), ("faults.1.at", "5 has no unit"),
      ("faults.2.at", "is after the end"), ("faults.2.tower", "expected text"), ("faults.3", "expected exactly one of at and per_hour"), ("faults.3.kind", "store_crash is for")]),
    ("server: {store: reddis}\nfaults: [{kind: store_failover, at: 5 s}, {kind: node_crash, at: 5 s, node: b}]",
     [("server.store.kind", "'reddis' is unknown"), ("faults.1.node", "no node 'b'")]),
    ("objectives: [{strategy: hybird, metric: ota.lots, at_mots: 5, at_most: 3, at_least: 5}]",
     [("objectives.0", "expected exactly one of"), ("objectives.0.strategy", "unknown strategy, did you mean hybrid"), ("objectives.0.metric", "unknown metric, did you mean ota.lost"), ("objectives.0.at_mots", "unknown key, did you mean at_most")]),
    ("objectives: [{strategy: hybrid, metric: ota.lost, at_mots: 5}]", [("objectives.0.at_mots", "unknown key, did you mean at_most")]),
    ("objectives: [{strategy: hybrid, metirc: ota.lost, at_most: 5}]", [("objectives.0.metirc", "unknown key, did you mean metric")]),
    ("workload: {telemetry: {<<: {qos: 1}, qso: 2}}\nlink: {rtt: {<<: {median: 9 s}, p95: 10 ms}}",
     [("workload.telemetry.<<", "merge keys"), ("workload.telemetry.qso", "unknown key, did you mean qos"), ("link.rtt.<<", "merge keys")]),
]  # fmt: skip


def parts(lines: list[str]) -> list[tuple[str, str]]:
    return [tuple(line.split(": ", 2)[1:]) for line in lines]  # type: ignore[misc]


def assert_said(lines: list[str], expected: list[tuple[str, str]]) -> None:
    said = parts(lines)
    assert sorted(key for key, _text in said) == sorted(key for key, _text in expected), lines
    for key, text in expected:
        assert any(one == key and other.startswith(text) for one, other in said), lines
    places = [[int(number) for number in line.split(":")[1:3]] for line in lines]
    assert places == sorted(places)


@pytest.mark.parametrize(("text", "expected"), TOGETHER, ids=[text[:40] for text, _expected in TOGETHER])
def test_both_sorts_of_mistakes_in_one_section(errors: Errors, minimal: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert_said(errors(f"{minimal}{text}\n"), expected)


ROUTE = """\
name: t
route:
  - {at: [0 km, 0 km], speed: 90, indoor_loss: 3 dB}
  - {at: [9 km, 0 km]}
towers:
  - {id: A, at: [1 km, 1], gateway: nowhere}
  - {id: A, at: [2 km, 1 km], gateway: west, power: 3 W}
  - {id: B, gateway: east}
network: {gateways: {west: {}}}
strategies: [hybrid]
"""


def test_route_and_towers(errors: Errors) -> None:
    assert_said(
        errors(ROUTE),
        [
            ("route.0.speed", "90 has no unit"),
            ("route.0.indoor_loss", "is for a parked vehicle"),
            ("towers.0.at.1", "1 has no unit"),
            ("towers.0.gateway", "no gateway 'nowhere'"),
            ("towers.1.id", "'A' is the id of towers.0 already, expected another"),
            ("towers.1.power", "unknown unit 'W'"),
            ("towers.2.at", "required"),
            ("towers.2.gateway", "no gateway 'east'"),
        ],
    )


def test_steps_of_a_script(errors: Errors) -> None:
    steps = "{at: 1 s}, {at: 5 s, lnik: up}, {at: 5 s}, {at: 9, gateway: c}, {at: 70 s}"
    text = f"name: t\nscript: {{steps: [{steps}], duration: 60 s}}\nnetwork: {{gateways: {{a: {{}}}}}}\nstrategies: [hybrid]\n"
    assert_said(
        errors(text),
        [
            ("script.steps.0.at", "1 s is not where the drive begins"),
            ("script.steps.1.lnik", "unknown key, did you mean link"),
            ("script.steps.2.at", "5 s is not after the step before it"),
            ("script.steps.3.at", "9 has no unit"),
            ("script.steps.3.gateway", "no gateway 'c'"),
            ("script.steps.4.at", "70 s is not before the end"),
        ],
    )


def test_a_drive_that_is_misspelt_is_not_missing(errors: Errors, minimal: str) -> None:
    assert errors(minimal.replace("script:", "scrpt:")) == ["t.yaml:2:1: scrpt: unknown key, did you mean script"]
    assert errors(minimal.replace("name:", "nmae:")) == ["t.yaml:1:1: nmae: unknown key, did you mean name"]
    misspelt = minimal.replace("strategies:", "stratgies:") + "objectives: [{strategy: hybrid, metric: ota.lost, at_most: 0}]\n"
    assert errors(misspelt) == ["t.yaml:3:1: stratgies: unknown key, did you mean strategies"]


def test_a_wrong_strategy_is_not_missed_by_the_objectives(errors: Errors, minimal: str) -> None:
    text = minimal.replace("hybrid", "hybird, hybird, {use: mqtt_persistent, name: x, backoff: {base: 5 s, cap: 1 s, jitter: 1}}")
    assert_said(
        errors(f"{text}objectives: [{{strategy: hybrid, metric: ota.lots, at_most: 0}}]\n"),
        [
            ("strategies.1", "unknown strategy, did you mean hybrid"),
            ("strategies.2", "unknown strategy, did you mean hybrid"),
            ("strategies.3.backoff.cap", "is below the base"),
            ("strategies.3.backoff.jitter", "unknown key"),
            ("objectives.0.metric", "unknown metric"),
        ],
    )


def test_a_name_that_is_misspelt_is_not_missed(errors: Errors, minimal: str) -> None:
    text = minimal.replace("hybrid]", "hybrid, {use: hybrid, nam: x}, {usse: hybrid, name: y}]")
    objectives = "objectives: [{strategy: x, metric: ota.lost, at_most: 0}, {strategy: y, metric: ota.lost, at_most: 0}]\n"
    assert errors(text + objectives) == [
        "t.yaml:3:53: strategies.2.nam: unknown key, did you mean name",
        "t.yaml:3:63: strategies.3.usse: unknown key, did you mean use",
    ]


def test_a_mistake_in_the_second_of_two_equal_keys(errors: Errors) -> None:
    """The first one counts, and what the second one holds is not looked for in it."""
    text = "name: t\ntowers: [{id: A}]\ntowers: {x: .inf}\nroute: 5\nroute: [.inf]\nstrategies: [hybrid]\n"
    assert [line.split(": ")[1] for line in errors(text)] == [
        "towers.0.at", "towers.0.gateway", "towers", "towers.x", "route", "route.0",
    ]  # fmt: skip


def test_a_recorded_drive(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    head = "name: t\nstrategies: [hybrid]\n"
    path.write_text(head + "recorded: {file: no.csv, gap: 5, columns: {tiem: t}, from: 5 s, until: 3 s}\n")
    with pytest.raises(ScenarioErrors) as raised:
        load(path)
    assert_said(
        [line.replace(f"{tmp_path}/", "") for line in raised.value.lines],
        [
            ("recorded.file", "no such file: no.csv"),
            ("recorded.gap", "5 has no unit"),
            ("recorded.until", "3 s is not after recorded.from"),
            ("recorded.columns.tiem", "unknown key, did you mean time"),
        ],
    )


def test_options_are_judged_with_the_file(errors: Errors, minimal: str) -> None:
    text = minimal + "link: {rtt: {median: 80 ms}, downlink: 3}\n"
    assert errors(text, sets=["link.rtt.p95=10 ms", "server.address=x", "hybird.poll=3"], varies=["hybrid.poll=5,7 s"]) == [
        "t.yaml:4:40: link.downlink: 3 has no unit, expected a rate such as 5 Mbit/s (bit/s, kbit/s, Mbit/s, Gbit/s)",
        "--set hybird.poll: 'hybird' is neither a strategy nor a key of the scenario, did you mean hybrid",
        "--set link.rtt.p95: 0.01 s is below the median, expected at least 0.08 s",
        "--set server.address: is not an IP address, such as 52.78.123.45",
        "--vary hybrid.poll: 5 has no unit, expected a duration such as 30 s (ms, s, min, h, d)",
    ]


def test_a_sweep_is_judged_with_its_file(tmp_path: Path, minimal: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        minimal + "drain: 5\n"
        "sweep:\n  product:\n    hybrid.poll: [10, 20 s]\n    server.tls: [pqx]\n    hybird.poll: [1 s]\n  where: [hybrid.pool < 3 s]\n"
    )
    with pytest.raises(ScenarioErrors) as raised:
        load_sweep(path, varies=["link.downlink=3"])
    assert [line.replace(f"{tmp_path}/", "").split(", ")[0] for line in raised.value.lines] == [
        "t.yaml:4:8: drain: 5 has no unit",
        "t.yaml:7:19: strategies.1.poll: 10 has no unit",
        "t.yaml:8:18: server.tls.profile: 'pqx' is unknown",
        "t.yaml:9:19: hybird.poll: 'hybird' is neither a strategy nor a key of the scenario",
        "t.yaml:10:11: sweep.where: unknown key of this sweep",
        "--vary link.downlink: 3 has no unit",
    ]


def test_check_judges_the_sweep_too(tmp_path: Path, minimal: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(minimal + "sweep: {product: {hybrid.poll: [10 s, -5 s], hybrid.pol: [1 s]}}\n")
    assert main(["check", str(path)]) == 2
    assert [line.replace(f"{tmp_path}/", "") for line in capsys.readouterr().out.splitlines()] == [
        "t.yaml:4:39: strategies.1.poll: -5 s is out of range, expected more than 0 s",
        "t.yaml:4:59: strategies.1.pol: unknown key, did you mean poll",
    ]
    path.write_text(minimal + "sweep: {product: {hybrid.poll: [10 s, 5 s]}}\n")
    assert main(["check", str(path)]) == 0


def test_what_is_wrong_cannot_be_used() -> None:
    for use in (bool, str, hash, len, float, iter, lambda it: it < 1, lambda it: it == it, lambda it: 1 + it, lambda it: it.x):
        with pytest.raises(NeedsWrong):
            use(WRONG)
    assert WRONG is not None

    def inner(value: float):  # type: ignore[no-untyped-def]
        yield 1
        if value < 5:
            yield 2

    def outer():  # type: ignore[no-untyped-def]
        yield inner(WRONG)
        yield inner(3)
        yield 3
        yield inner(WRONG.x)
        yield 4

    assert list(found(outer())) == [1, 1, 2, 3]
