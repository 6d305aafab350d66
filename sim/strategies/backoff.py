"""Backoff policies: how long to wait after failed attempt n (n = 0, 1, 2, ...).

A policy is a pure function of (settings, n, draw(n), the wait before); the caller owns the attempt counter and the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sim.settings import setting

PolicyName = Literal[
    "exponential",
    "paho",
    "libmosquitto",
    "full_jitter",
    "equal_jitter",
    "decorrelated_jitter",
    "fixed",
    "none",
    "never_reset",
]


_CAP_S, _PAHO_CAP_S = 60.0, 120.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Which policy, and its figures."""

    policy: PolicyName = setting(
        "exponential", "how the wait grows", "seed, reconnect settings 2: 1 s, x2, up to 60 s, no jitter"
    )
    base_s: float = setting(1.0, "first wait", "seed: reconnect_delay_ms_ = 1000", at_least=0.0)
    cap_s: float = setting(
        None,
        "longest wait; where not given 60 s, with the policy paho 120 s",
        "seed: max_reconnect_delay_ms_ = 60000; brokers 7: paho-python's reconnect_delay_set",
        at_least=0.0,
    )
    multiplier: float = setting(2.0, "growth per failed attempt", "seed: reconnect_multiplier_ = 2", at_least=1.0)

    def __post_init__(self) -> None:
        if self.cap_s is None:
            object.__setattr__(self, "cap_s", _PAHO_CAP_S if self.policy == "paho" else _CAP_S)


def _exponential(b: Backoff, n: int, _draw: float, _before: float) -> float:
    # the exponent is bounded: 2.0 ** 1024 would overflow after a night without coverage (failure-modes F17)
    return min(b.cap_s, b.base_s * b.multiplier ** min(n, 64))


def _libmosquitto(b: Backoff, n: int, _draw: float, _before: float) -> float:
    # "exponential" in name only: d * (n + 1)^2 (libmosquitto lib/loop.c; failure-modes F17)
    return min(b.cap_s, b.base_s * (n + 1) ** 2)


def _full_jitter(b: Backoff, n: int, draw: float, before: float) -> float:
    return draw * _exponential(b, n, draw, before)


def _equal_jitter(b: Backoff, n: int, draw: float, before: float) -> float:
    return (0.5 + 0.5 * draw) * _exponential(b, n, draw, before)


def _decorrelated(b: Backoff, n: int, draw: float, before: float) -> float:
    upper = max(b.base_s, 3.0 * (before if n else b.base_s))
    return min(b.cap_s, b.base_s + draw * (upper - b.base_s))


def _fixed(b: Backoff, _n: int, _draw: float, _before: float) -> float:
    return b.base_s


def _none(_b: Backoff, _n: int, _draw: float, _before: float) -> float:
    return 0.0


#: Simplification: no client spins: an attempt without an address fails at once, and `none` would try again at the same instant for ever.
SHORTEST_WAIT_S = 0.01

#: name -> (function, one line for `list`)
POLICIES: dict[str, tuple[Callable[[Backoff, int, float, float], float], str]] = {
    "exponential": (_exponential, "base x multiplier^n up to cap, no jitter (the seed's: 1, 2, 4 ... 60 s)"),
    "paho": (_exponential, "as exponential, but up to 120 s where no cap is given: paho-python's own figures"),
    "libmosquitto": (_libmosquitto, "base x (n + 1)^2 up to cap: 1, 4, 9, 16 ... s"),
    "full_jitter": (_full_jitter, "uniform between 0 and the exponential wait (AWS SDKs)"),
    "equal_jitter": (_equal_jitter, "half the exponential wait and a uniform half"),
    "decorrelated_jitter": (_decorrelated, "uniform between base and three times the wait before, up to cap"),
    "fixed": (_fixed, "base, always"),
    "none": (_none, "no wait but 10 ms, so that a client without an address does not spin"),
    "never_reset": (_exponential, "as exponential, but a success does not reset it (a bug seen in the field, F17)"),
}


def wait_s(backoff: Backoff, n: int, draw: float, before_s: float) -> float:
    """Seconds to wait after failed attempt `n` (from 0); `draw` is uniform in (0, 1), `before_s` the wait before."""
    return max(SHORTEST_WAIT_S, POLICIES[backoff.policy][0](backoff, n, draw, before_s))


def resets(backoff: Backoff) -> bool:
    """Whether a successful connection sets the attempt counter back to 0."""
    return backoff.policy != "never_reset"
