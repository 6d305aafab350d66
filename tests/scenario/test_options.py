# ruff: noqa: E501 - a table of lines reads best with a line a row
"""--set, --vary, --strategy, --replications and --seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.scenario.overrides import split_values
from sim.scenario.scenario import Scenario

Read = Callable[..., Scenario]
Errors = Callable[..., list[str]]

TEXT = """\
name: t
script: {steps: [{at: 0 s, link: up, gateway: a}, {at: 9 s, gateway: b.c}], duration: 60 s}
network: {gateways: {a: {}, b.c: {address: 10.0.0.1}}}
server: {broker: emqx, tls: {profile: hybrid, mutual: false}, dns: {ttl: 5 s}}
strategies:
  - mqtt_persistent
  - {use: hybrid, backoff: paho}
  - {use: mqtt_persistent, name: tuned v1.2, keep_alive: 5 s}
objectives: [{strategy: hybrid, metric: all.lost, at_most: 0}, {strategy: tuned v1.2, metric: all.lost, at_most: 0}]
"""


def _configs(scenario: Scenario) -> dict[str, object]:
    return {choice.name: choice.config for choice in scenario.strategies}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("server.tls=pqc", lambda s: (s.server.tls.profile, s.server.tls.mutual) == ("pqc", False)),
        ("server.tls={profile: pqc}", lambda s: (s.server.tls.profile, s.server.tls.mutual) == ("pqc", True)),
        ("server.tls.profile=none", lambda s: s.server.tls.profile == "none"),
        ("server.broker.queue_limit=7", lambda s: s.server.broker.preset == "emqx" and s.server.broker.queue_limit == 7),
        ("server.dns_ttl=9 s", lambda s: s.server.dns.ttl_s == 9.0),
        ("link.rtt.median= 120 ms", lambda s: s.drive.link.rtt.median_s == 0.12),
        ("workload.ota={image: 1 MiB, window: 2}", lambda s: s.workload.ota.window == 2),
        ("workload.probes=null", lambda s: s.workload.probes is None),
        ("script.steps.1.at='12 s'", lambda s: s.drive.script.steps[1].at_s == 12.0),
        ("network.gateways.b.c.address=10.0.0.2", lambda s: s.drive.network.gateways["b.c"].address == "10.0.0.2"),
        ("replications=3", lambda s: s.replications == 3),
        ("name=other", lambda s: s.name == "other"),
        ("description=a = b", lambda s: s.description == "a = b"),
        ("hybrid.keep_alive='10 s'", lambda s: _configs(s)["hybrid"].keep_alive_s == 10.0),
        ("hybrid.backoff=full_jitter", lambda s: _configs(s)["hybrid"].backoff.policy == "full_jitter"),
        ("hybrid.backoff.cap=90 s", lambda s: (lambda b: (b.policy, b.cap_s))(_configs(s)["hybrid"].backoff) == ("paho", 90.0)),
        ("hybrid.notices=[address]", lambda s: _configs(s)["hybrid"].notices == ("address",)),
        ("mqtt_persistent.keep_alive=7 s", lambda s: [c.keep_alive_s for c in _configs(s).values()] == [7.0, 30.0, 5.0]),
        ("tuned v1.2.keep_alive=7 s", lambda s: _configs(s)["tuned v1.2"].keep_alive_s == 7.0),
        ("strategies.2.keep_alive=7 s", lambda s: _configs(s)["tuned v1.2"].keep_alive_s == 7.0),
        ("strategies.0.keep_alive=7 s", lambda s: _configs(s)["mqtt_persistent"].keep_alive_s == 7.0),
        ("hybrid.name=h", lambda s: "h" in _configs(s)),
        ("objectives.0.at_most=3", lambda s: s.objectives[0].at_most == 3.0),
    ],
)  # fmt: skip
def test_set(read: Read, option: str, value: Callable[[Scenario], bool]) -> None:
    sets = [option, "objectives=null"] if option == "hybrid.name=h" else [option]
    assert value(read(TEXT, sets=sets))


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("hybrid.keepalive=10 s", "--set hybrid.keepalive: unknown key, did you mean keep_alive"),
        ("hybrid.backof.policy=none", "--set hybrid.backof.policy: strategies.1.backof: unknown key, did you mean backoff"),
        ("hybrid.keep_alive=10", "--set hybrid.keep_alive: 10 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("hybrid.backoff={policy: non}", "--set hybrid.backoff: policy: 'non' is unknown, did you mean none, expected one of "
         "exponential, paho, libmosquitto, full_jitter, equal_jitter, decorrelated_jitter, fixed, none, never_reset"),
        ("hybird.poll=3 s", "--set hybird.poll: 'hybird' is neither a strategy nor a key of the scenario, did you mean hybrid"),
        ("xyz=3", "--set xyz: 'xyz' is neither a strategy nor a key of the scenario, strategies here: mqtt_persistent, hybrid, "
         "tuned v1.2"),
        ("hybrid=3", "--set hybrid: is a strategy, name one of its settings, such as hybrid.keep_alive"),
        ("server.tls=pqq", "--set server.tls: 'pqq' is unknown, did you mean pqc, expected one of none, classical, hybrid, pqc"),
        ("script.steps.7.at=3 s", "--set script.steps.7.at: there is no item '7' in script.steps, expected its number, 0 to 1"),
        ("script.steps.x.at=3 s", "--set script.steps.x.at: there is no item 'x' in script.steps, expected its number, 0 to 1"),
        ("script.duration.x=3", "--set script.duration.x: script.duration is a single value, it has no keys"),
        ("workload.ota.chunk=4 KiB", "--set workload.ota.chunk: workload.ota: expected exactly one of every, window and at, none is "
         "given"),
        ("name=a/b", "--set name: is used as the name of a folder: letters, digits, '.', '_' and '-', at most 80, a letter or digit "
         "first"),
        ("drain=.nan", "--set drain: .nan is not allowed, expected a finite number"),
        ("drain=[", "--set drain: not valid YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("drain", "--set drain: expected key=value, such as hybrid.keep_alive='10 s'"),
        ("=3", "--set =3: expected key=value, such as hybrid.keep_alive='10 s'"),
        ("server..x=3", "--set server..x: expected a dotted key, such as link.rtt.median"),
        ("script.steps.0.gateway=z", "--set script.steps.0.gateway: no gateway 'z' in network.gateways, expected one of a, b.c"),
    ],
)  # fmt: skip
def test_set_that_is_wrong(errors: Errors, option: str, line: str) -> None:
    found = errors(TEXT, sets=[option])
    assert line in found
    assert all(text.startswith("--set") for text in found)


def test_a_set_that_mends_the_file_leaves_no_error(read: Read) -> None:
    assert read(TEXT.replace("ttl: 5 s", "ttl: .nan"), sets=["server.dns.ttl=3 s"]).server.dns.ttl_s == 3.0


def test_replications_and_seed(read: Read, errors: Errors) -> None:
    scenario = read(TEXT, replications=4, seed=9)
    assert (scenario.replications, scenario.seed) == (4, 9)
    assert errors(TEXT, replications=0, seed=-1) == [
        "--replications: 0 is out of range, expected at least 1 and at most 1000000",
        "--seed: -1 is out of range, expected at least 0",
    ]


def test_vary_replaces_the_strategy_by_one_variant_a_value(read: Read) -> None:
    scenario = read(TEXT, varies=["hybrid.keep_alive=10 s, 30 s"])
    assert list(_configs(scenario)) == ["mqtt_persistent", "hybrid keep_alive=10 s", "hybrid keep_alive=30 s", "tuned v1.2"]
    assert [config.keep_alive_s for config in _configs(scenario).values()] == [30.0, 10.0, 30.0, 5.0]
    assert all(config.backoff.policy == "paho" for name, config in _configs(scenario).items() if "hybrid" in name)
    # the objective of the strategy is one of each variant
    assert [o.strategy for o in scenario.objectives] == ["hybrid keep_alive=10 s", "hybrid keep_alive=30 s", "tuned v1.2"]


def test_several_varies_of_a_strategy_make_the_product(read: Read) -> None:
    varies = ["hybrid.keep_alive=10 s,30 s", "hybrid.backoff.policy=none,fixed", "tuned v1.2.keep_alive=1 s,2 s"]
    scenario = read(TEXT, varies=varies)
    assert list(_configs(scenario)) == [
        "mqtt_persistent",
        "hybrid keep_alive=10 s, backoff.policy=none",
        "hybrid keep_alive=10 s, backoff.policy=fixed",
        "hybrid keep_alive=30 s, backoff.policy=none",
        "hybrid keep_alive=30 s, backoff.policy=fixed",
        "tuned v1.2 keep_alive=1 s",
        "tuned v1.2 keep_alive=2 s",
    ]
    config = _configs(scenario)["hybrid keep_alive=30 s, backoff.policy=none"]
    assert (config.keep_alive_s, config.backoff.policy) == (30.0, "none")


@pytest.mark.parametrize(
    ("vary", "line"),
    [
        ("server.tls=pqc,none", "--vary server.tls: --vary takes a setting of a strategy (mqtt_persistent, hybrid, tuned v1.2); other "
         "keys are set with --set, one run each"),
        ("hybrid.keepalive=1 s,2 s", "--vary hybrid.keepalive: unknown key, did you mean keep_alive"),
        ("hybrid.keep_alive=1 s,2", "--vary hybrid.keep_alive: 2 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"),
        ("hybrid.keep_alive=1 s,", "--vary hybrid.keep_alive: expected values with commas between them, such as '10 s,30 s,60 s'"),
        ("hybrid.keep_alive", "--vary hybrid.keep_alive: expected key=value, such as hybrid.keep_alive='10 s'"),
        ("hybrid.keep_alive=1 s,1 s", "--vary hybrid.keep_alive: the name 'hybrid keep_alive=1 s' is taken by strategies.1, expected another"),
    ],
)  # fmt: skip
def test_vary_that_is_wrong(errors: Errors, vary: str, line: str) -> None:
    assert errors(TEXT, varies=[vary]) == [line]


def test_an_error_after_a_varied_strategy_keeps_its_place(errors: Errors) -> None:
    found = errors(TEXT.replace("keep_alive: 5 s", "keep_alive: 5"), varies=["hybrid.keep_alive=1 s,2 s,3 s"])
    assert found == ["t.yaml:8:58: strategies.4.keep_alive: 5 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("10 s,30 s", ["10 s", "30 s"]),
        ("[a, b],[c]", ["[a, b]", "[c]"]),
        ("{policy: none, cap: 3 s},paho", ["{policy: none, cap: 3 s}", "paho"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("one", ["one"]),
    ],
)
def test_commas_inside_brackets_and_quotes_do_not_split(text: str, values: list[str]) -> None:
    assert split_values(text) == values


def test_vary_of_a_list(read: Read) -> None:
    scenario = read(TEXT, varies=["hybrid.notices=[address],[keep_alive, transport]"], strategies=["hybrid"])
    assert [config.notices for config in _configs(scenario).values()] == [("address",), ("keep_alive", "transport")]


def test_strategy_selects_by_name_then_by_use(read: Read) -> None:
    assert list(_configs(read(TEXT, strategies=["mqtt_persistent"]))) == ["mqtt_persistent"]
    renamed = TEXT.replace("  - mqtt_persistent\n", "  - {use: mqtt_persistent, name: plain}\n")
    assert list(_configs(read(renamed, strategies=["mqtt_persistent"]))) == ["plain", "tuned v1.2"]
    assert list(_configs(read(TEXT, strategies=["tuned v1.2", "hybrid"]))) == ["hybrid", "tuned v1.2"]


def test_a_strategy_of_the_catalog_is_added(read: Read) -> None:
    scenario = read(TEXT, strategies=["static_push", "hybrid"], sets=["static_push.attempts=9"])
    assert list(_configs(scenario)) == ["hybrid", "static_push"]
    assert _configs(scenario)["static_push"].attempts == 9


def test_objectives_of_strategies_that_are_not_run_are_left_out(read: Read) -> None:
    assert [objective.strategy for objective in read(TEXT, strategies=["hybrid"]).objectives] == ["hybrid"]
    assert read(TEXT, strategies=["static_push"]).objectives == ()


def test_an_unknown_strategy(errors: Errors) -> None:
    assert errors(TEXT, strategies=["hybrd", "zzz"]) == [
        "--strategy hybrd: unknown strategy, did you mean hybrid",
        "--strategy zzz: unknown strategy, allowed: mqtt_persistent, hybrid, tuned v1.2, ddns_heartbeat, mqtt_clean_session, "
        "static_push",
    ]
