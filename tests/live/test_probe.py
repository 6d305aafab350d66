"""The scripted exchanges see in a broker what its preset says: in our machine with each preset, and in the real ones."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from sim.live.broker_service import BrokerService
from sim.live.brokers import preset_of, start_broker
from sim.live.probe import detection
from sim.live.probe.client import Peer
from sim.live.probe.detection import SCRIPT, Noticed, judge
from sim.live.probe.findings import Findings
from sim.live.probe.script import NEVER_OBSERVED, new_run, probe
from sim.protocols.broker_presets import PRESETS, BrokerBehaviour
from sim.scenario.load import load
from sim.study.probe import Probed, ProbeFailed, Target, probe_broker
from tests.live.real_brokers import every_broker, peer_of, skip_without

ROOT = Path(__file__).resolve().parents[2]
#: what every probing has to see, of any broker that lets clients in
ALWAYS_SEEN = {
    "mqtt5", "qos_max", "raises_qos", "keep_alive_rule", "queue_qos0", "discards_after_disconnect", "takeover_blocks",
    "takeover_deaf", "will_on_takeover", "redeliver_inflight", "resume_batch",
}  # fmt: skip


@pytest.mark.slow
def test_the_machine_behaves_as_its_preset_says_with_every_preset() -> None:
    """All side by side: the exchanges mostly wait."""

    async def of(name: str) -> tuple[dict[str, str], set[str], list[Exception]]:
        service = BrokerService(PRESETS[name][0], port=0)
        await service.start()
        try:
            found = await probe(Peer("127.0.0.1", service.port, new_run()))
        finally:
            await service.stop()
        return found.differences(service.behaviour), ALWAYS_SEEN - set(found.seen), service.defects

    async def every() -> dict[str, tuple[dict[str, str], set[str], list[Exception]]]:
        return dict(zip(PRESETS, await asyncio.gather(*(of(name) for name in PRESETS)), strict=True))

    assert asyncio.run(every()) == {name: ({}, set(), []) for name in PRESETS}


@pytest.mark.parametrize("name", every_broker())
def test_a_real_broker_behaves_as_its_preset_says(name: str, tmp_path: Path) -> None:
    skip_without(name)

    async def run() -> Findings:
        broker = await start_broker(name, tmp_path)
        try:
            return await probe(peer_of(broker))
        finally:
            await broker.stop()

    found = asyncio.run(run())
    preset = preset_of(name)
    assert preset is not None
    assert found.differences(PRESETS[preset][0]) == {}
    assert set(found.seen) >= ALWAYS_SEEN


# --- the rule of half-open detection ------------------------------------------------------------------------------------


def instants(
    rule: str, factor: float = 1.5, tick_s: float = 0.0, checks: int = 1, phase_s: float = 0.0, late_s: float = 0.02
) -> list[Noticed]:
    """What a broker with that rule would show of the script."""
    found = []
    for keep_alive_s, at_s, after_s in SCRIPT:
        last_s = at_s + after_s
        allowed_s = factor * keep_alive_s
        if rule == "exact":
            will_s = last_s + allowed_s
        elif rule == "tick_after":
            will_s = math.ceil((last_s + allowed_s - phase_s) / tick_s) * tick_s + phase_s
        else:
            will_s = at_s + (math.floor(after_s / allowed_s) + 1 + checks) * allowed_s
        found.append(Noticed(keep_alive_s, at_s, last_s, will_s + late_s))
    return found


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0])
def test_an_exact_rule_is_recognised(factor: float) -> None:
    seen = judge(instants("exact", factor), len(SCRIPT)).seen
    assert seen == {"keep_alive_rule": "exact", "keep_alive_factor": factor}


@pytest.mark.parametrize("phase_s", [0.0, 0.7, 2.1, 3.3, 5.9])
@pytest.mark.parametrize("tick_s", [3.0, 5.0, 6.0])
def test_ticks_are_recognised_whatever_their_phase(tick_s: float, phase_s: float) -> None:
    found = judge(instants("tick_after", tick_s=tick_s, phase_s=phase_s), len(SCRIPT))
    assert found.seen == {"keep_alive_rule": "tick_after", "keep_alive_tick_s": tick_s}
    assert found.not_observed == {"keep_alive_factor": "hidden by the ticks"}


@pytest.mark.parametrize(("factor", "checks"), [(1.0, 1), (1.0, 2), (1.5, 1), (2.0, 1)])
def test_checks_from_connect_are_recognised(factor: float, checks: int) -> None:
    seen = judge(instants("tick_from_connect", factor, checks=checks), len(SCRIPT)).seen
    assert seen == {"keep_alive_rule": "tick_from_connect", "keep_alive_factor": factor, "keep_alive_checks": checks}


def test_what_no_rule_explains_is_not_guessed() -> None:
    noticed = instants("exact")
    noticed[3] = Noticed(noticed[3].keep_alive_s, noticed[3].connected_s, noticed[3].last_s, noticed[3].will_s + 1.3)
    noticed[7] = Noticed(noticed[7].keep_alive_s, noticed[7].connected_s, noticed[7].last_s, noticed[7].will_s + 2.9)
    found = judge(noticed, len(SCRIPT))
    assert found.seen == {}
    assert found.not_observed["keep_alive_rule"] == "no known rule explains the instants in the notes"


def test_a_part_of_the_clients_is_no_rule() -> None:
    found = judge(instants("exact")[:5], len(SCRIPT))
    assert found.seen == {}
    assert found.not_observed["keep_alive_rule"] == f"only 5 of {len(SCRIPT)} silent clients were given up"


def test_nobody_given_up_while_watched_is_never() -> None:
    found = judge([], len(SCRIPT))
    assert found.seen == {"keep_alive_rule": "never"}
    assert f"within {detection.WATCHED_S:.0f} s" in found.notes[0]


# --- findings and what is made of them ----------------------------------------------------------------------------------


def test_a_difference_is_named_with_both_values() -> None:
    found = Findings({"inflight_limit": 10, "keep_alive_tick_s": 5.9}, {"queue_limit": 3000.0})
    assert found.differences(PRESETS["mosquitto"][0]) == {
        "inflight_limit": "seen 10, the preset has 20",
        "queue_limit": "at least 3000, the preset has 1000",
    }


def test_what_one_exchange_sees_another_need_not() -> None:
    found = Findings(not_observed={"qos_max": "no answer", "queue_limit": "no time"})
    found.add(Findings({"qos_max": 1}))
    assert found.not_observed == {"queue_limit": "no time"}


def test_the_yaml_makes_a_scenario_whose_broker_is_what_was_seen(tmp_path: Path) -> None:
    seen = {
        "mqtt5": False,
        "mqtt5_refusal": "close",
        "keep_alive_rule": "tick_from_connect",
        "keep_alive_factor": 1.0,
        "keep_alive_checks": 2,
        "qos_max": 1,
        "session_expiry_max_s": 604800.0,
        "packet_limit_bytes": 131072,
        "queue_limit": 1000,
        "queue_drop": "oldest",
    }
    found = Findings(dict(seen), {"inflight_limit": 300.0}, ["a note"], {"resume_batch": "no time"})
    text = Probed("127.0.0.1:1883", "now", found).as_yaml()
    file = tmp_path / "probed.yaml"
    without = (ROOT / "scenarios" / "one_handover.yaml").read_text(encoding="utf-8")
    assert "\nserver:" not in without
    file.write_text(f"{without}\n{text}", encoding="utf-8")
    broker = load(str(file)).server.broker
    assert broker.preset == "spec"
    behaviour = broker.behaviour()
    assert {name: getattr(behaviour, name) for name in seen} == seen
    assert "#   resume_batch: no time" in text
    assert "# inflight_limit: at least 300" in text


def test_no_limit_is_a_comment() -> None:
    text = Probed("h:1", "now", Findings({"session_expiry_max_s": math.inf})).as_yaml()
    assert "    # session_expiry_max: no limit was seen, as in the preset" in text


def test_the_json_is_finite() -> None:
    said = Probed("h:1", "now", Findings({"session_expiry_max_s": math.inf, "qos_max": 2})).as_json()
    assert json.loads(json.dumps(said, allow_nan=False))["seen"] == {"session_expiry_max_s": None, "qos_max": 2}


def test_the_nearest_preset_is_found() -> None:
    probed = Probed("h:1", "now", Findings({"inflight_limit": 10, "qos_max": 1, "renumber_on_resume": True}))
    assert probed.nearest() == (["rabbitmq"], 3)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:", ":1883", "127.0.0.1:x", "127.0.0.1:70000"])
def test_a_target_that_is_none_is_said(text: str) -> None:
    with pytest.raises(ProbeFailed, match=r"is not HOST:PORT"):
        Target.parse(text)


def test_an_ipv6_target() -> None:
    assert Target.parse("[::1]:1883") == Target("::1", 1883)


def test_nothing_there_is_one_line() -> None:
    with pytest.raises(ProbeFailed, match=r"^127\.0\.0\.1:1: no connection: connection refused$"):
        probe_broker(Target("127.0.0.1", 1))


def test_a_file_of_tls_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ProbeFailed, match=r"^TLS: .*: No such file or directory$"):
        Target("127.0.0.1", 1, authority="/nowhere.pem").peer()


def test_what_is_never_observed_are_fields() -> None:
    assert set(NEVER_OBSERVED) <= set(BrokerBehaviour.__dataclass_fields__)
