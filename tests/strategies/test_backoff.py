"""How long a client waits between attempts: docs/sources.md, Seed (reconnect settings), Brokers 7 (paho), Failure modes F17."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.machine import ResolveName, TransportLost
from sim.strategies.backoff import POLICIES, SHORTEST_WAIT_S, Backoff, resets, wait_s
from sim.strategies.config import MQTTPersistent
from sim.streams import Stream
from tests.strategies.by_hand import attempts, vehicle

JITTERED = ("full_jitter", "equal_jitter", "decorrelated_jitter")


def waits(backoff: Backoff, n: int, draw: float = 0.5) -> list[float]:
    found, before = [], 0.0
    for i in range(n):
        before = wait_s(backoff, i, draw, before)
        found.append(before)
    return found


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        pytest.param(Backoff(), [1, 2, 4, 8, 16, 32, 60, 60, 60], id="seed: 1000 ms, x2, up to 60000 ms"),
        pytest.param(Backoff(policy="paho"), [1, 2, 4, 8, 16, 32, 64, 120, 120], id="paho's own maximum is 120 s (Brokers 7)"),
        pytest.param(Backoff(policy="paho", cap_s=8.0), [1, 2, 4, 8, 8, 8], id="paho, max 8 (Brokers 7)"),
        pytest.param(Backoff(policy="libmosquitto"), [1, 4, 9, 16, 25, 36, 49, 60, 60], id="libmosquitto: quadratic (F17)"),
        pytest.param(Backoff(policy="fixed", base_s=5.0), [5, 5, 5], id="fixed"),
        pytest.param(Backoff(policy="none"), [SHORTEST_WAIT_S, SHORTEST_WAIT_S, SHORTEST_WAIT_S], id="none: as fast as its loop"),
        pytest.param(Backoff(policy="never_reset"), [1, 2, 4, 8, 16, 32, 60], id="never_reset grows as the seed's"),
        pytest.param(Backoff(multiplier=3.0, base_s=0.5, cap_s=10.0), [0.5, 1.5, 4.5, 10, 10], id="other figures"),
    ],
)
def test_the_series_of_waits(backoff, expected):
    assert waits(backoff, len(expected)) == pytest.approx(expected)


#: how an attempt goes, policy, connect timeout -> instants of attempts after the loss at 0
SERIES = [
    pytest.param(Backoff(), "refused", 10.0, [0, 1, 3, 7, 15, 31, 63, 123, 183], id="seed: at once, then 1, 2, 4 ... 60 s"),
    pytest.param(
        Backoff(policy="paho", cap_s=120.0), "refused", 5.0, [1, 3, 7, 15, 31, 63, 127, 247], id="paho, port refused (Brokers 7)"
    ),
    pytest.param(Backoff(policy="paho", cap_s=8.0), "refused", 5.0, [1, 3, 7, 15, 23, 31], id="paho with max 8 (Brokers 7)"),
    pytest.param(
        Backoff(policy="paho", cap_s=120.0), "never", 5.0, [1, 8, 17, 30, 51, 88, 157], id="paho, SYN black-holed (Brokers 7)"
    ),
    pytest.param(Backoff(), "never", 10.0, [0, 11, 23, 37, 55, 81, 123, 193], id="seed, SYN black-holed: 10 s for each attempt"),
    pytest.param(Backoff(), "no_route", 10.0, [0, 1, 3, 7, 15], id="no route: every connect fails at once (Brokers 7)"),
]  # fmt: skip


@pytest.mark.parametrize(("backoff", "opens", "connect_timeout_s", "expected"), SERIES)
def test_when_attempts_are_made_after_a_connection_was_lost(backoff, opens, connect_timeout_s, expected):
    """docs/sources.md, Seed C and D (connectionLoop); Brokers 7, "Reconnect with min 1, max 120" and "SYN black-holed"."""
    config = MQTTPersistent(backoff=backoff, connect_timeout_s=connect_timeout_s, address_watch="off", keep_alive_s=0.0)
    hand, world = vehicle(config)
    hand.run_until(100.0)
    assert attempts(hand) == [0.0]
    world.opens = opens
    hand.put(TransportLost(hand.machine.transport, "closed"))
    hand.run_until(100.0 + expected[-1])
    assert [at - 100.0 for at in attempts(hand)[1:]] == pytest.approx(expected)


def test_the_first_attempt_of_all_is_made_at_once_by_every_policy():
    for policy in POLICIES:
        hand, _ = vehicle(MQTTPersistent(backoff=Backoff(policy=policy)))  # type: ignore[arg-type]
        hand.run_until(0.0)
        assert attempts(hand) == [0.0]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_success_resets_the_wait_of_all_policies_but_one(policy):
    """Seed D: current_delay = reconnect_delay_ms_; Failure modes F17, never reset."""
    backoff = Backoff(policy=policy)
    assert resets(backoff) == (policy != "never_reset")
    hand, world = vehicle(MQTTPersistent(backoff=backoff, address_watch="off", keep_alive_s=0.0))
    world.opens = "refused"
    hand.run_until(30.0)
    world.opens = "at once"
    hand.run_until(100.0)
    before = len(attempts(hand))
    world.opens = "refused"
    hand.put(TransportLost(hand.machine.transport, "closed"))
    hand.run_until(200.0)
    first_waits = [action.waited_s for _, action in hand.actions(ResolveName)][before:]
    after_first_failure = first_waits[0 if policy == "paho" else 1]  # paho waits before the first attempt too
    assert (after_first_failure <= 3.0) == (policy != "never_reset")


def draws(policy: str, n: int, replications: int = 2000) -> list[float]:
    """Wait number n of many vehicles, drawn as the model draws it: addressed by replication, purpose and attempt."""
    found = []
    for replication in range(replications):
        stream = Stream(7, replication, 0, "backoff")
        before = 0.0
        for i in range(n + 1):
            before = wait_s(Backoff(policy=policy), i, stream.uniform(i), before)  # type: ignore[arg-type]
        found.append(before)
    return found


@pytest.mark.parametrize("n", [0, 3, 9])
@pytest.mark.parametrize(
    ("policy", "lowest", "highest", "mean"), [("full_jitter", 0.0, 1.0, 0.5), ("equal_jitter", 0.5, 1.0, 0.75)]
)
def test_jitter_stays_in_its_bounds_and_has_its_mean(policy, lowest, highest, mean, n):
    """docs/sources.md, Real world 2.5: AWS full jitter, random(0, min(2^n base, max)): half the wait on the average."""
    whole = min(60.0, 2.0**n)
    seen = draws(policy, n)
    assert lowest * whole <= min(seen)
    assert max(seen) <= highest * whole
    error = 4.0 * (highest - lowest) * whole / math.sqrt(12 * len(seen))
    assert sum(seen) / len(seen) == pytest.approx(mean * whole, abs=error)


def test_decorrelated_jitter_stays_between_base_and_cap_and_three_times_the_wait_before():
    for draw in (0.001, 0.5, 0.999):
        before = 0.0
        for i, wait in enumerate(waits(Backoff(policy="decorrelated_jitter"), 50, draw)):
            assert 1.0 <= wait <= min(60.0, max(1.0, 3.0 * (before if i else 1.0)))
            before = wait
    assert sum(draws("decorrelated_jitter", 0)) / 2000 == pytest.approx(2.0, abs=0.06)


@given(
    st.sampled_from(sorted(POLICIES)), st.floats(0.001, 0.999), st.floats(0.1, 10.0), st.floats(1.0, 10.0), st.floats(0.0, 300.0)
)
def test_ten_thousand_failures_overflow_nothing(policy, draw, base_s, multiplier, cap_s):
    """Failure modes F17: a wait that drops to 0 after 58 tries; overflow of the exponent."""
    backoff = Backoff(policy=policy, base_s=base_s, multiplier=multiplier, cap_s=cap_s)  # type: ignore[arg-type]
    before = 0.0
    longest = max(SHORTEST_WAIT_S, base_s if policy == "fixed" else 0.0 if policy == "none" else cap_s)
    for n in (*range(100), 1_000, 1_024, 9_999, 10_000):
        before = wait_s(backoff, n, draw, before)
        assert 0.0 <= before <= longest + 1e-9
        assert math.isfinite(before)


def test_a_vehicle_goes_on_trying_for_ever():
    """Seed D: while (is_running_). Ten thousand failures take a week at 60 s."""
    hand, world = vehicle()
    world.opens = "refused"
    hand.run_until(7 * 86_400.0)
    made = attempts(hand)
    assert len(made) > 10_000
    assert {round(b - a, 6) for a, b in itertools.pairwise(made[10:])} == {60.0}


def test_the_draw_of_an_attempt_is_the_same_whatever_happened_before():
    """Draws are addressed by attempt: two strategies that fail a different number of times still meet the same waits."""
    stream = Stream(1, 0, 0, "backoff")
    assert [stream.uniform(i) for i in (5, 0, 5)] == [stream.uniform(5), stream.uniform(0), stream.uniform(5)]
