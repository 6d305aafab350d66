"""What a family of paired differences shows, once all of the family are held against chance together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.measure.multiple import holm
from sim.measure.stats import CONFIDENCE, Difference, Verdict
from sim.report.evidence import Evidence
from sim.report.numbers import NBSP, difference

#: What decides between configurations, the first that tells them apart: what arrives, then how soon the vehicle is back.
DELIVERY = (
    "all.delivered_within_60s",
    "all.delivered_within_10s",
    "all.latency_s.mean_capped",
    "all.lost",
    "recovery_s.mean",
)
#: What it takes: data, radio time, handshakes. All data and not the overhead alone: it is what is paid for.
COST = ("mb_per_vehicle_month", "radio_active_s_per_vehicle_month", "attempts.total")
WORDS = {
    "all.delivered_within_60s": f"delivery within 60{NBSP}s",
    "all.delivered_within_10s": f"delivery within 10{NBSP}s",
    "all.latency_s.mean_capped": "mean latency",
    "all.lost": "messages lost per drive",
    "recovery_s.mean": "mean recovery",
    "recovery_s.p95": "recovery p95, all drives",
    "mb_per_vehicle_month": "data a month",
    "radio_active_s_per_vehicle_month": "radio on, a month",
    "attempts.total": "connection attempts per drive",
}

#: A share of the data by less of which nobody chooses, however sure the difference is.
NEXT_TO_NOTHING = 0.001

Shown = Literal["better", "worse", "no difference", "no evidence"]


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric's paired difference a - b and what it shows of a: `shown` with the family's correction, `leaning` without it."""

    name: str
    a: str
    b: str
    found: Difference
    shown: Shown

    @property
    def leaning(self) -> Verdict:
        """What the interval shows by itself."""
        return self.found.verdict

    def __str__(self) -> str:
        interval = self.found.interval
        return f"{WORDS[self.name]} {difference(self.name, interval.mean, interval.low, interval.high, signed=True)}"


def p_value(found: Difference) -> float | None:
    """The p-value of a paired difference, never below that of the sign test: so few drives cannot say more."""
    return None if found.p_value is None else max(found.p_value, 2.0 ** (1 - found.interval.n))


def compared(evidence: Evidence, name: str, a: str, b: str, family: int) -> Compared | None:
    """One of `family` comparisons, corrected by Bonferroni's inequality; None where no drive has data of both."""
    found = evidence.paired(name, a, b)
    if found.interval.n == 0:
        return None
    p = p_value(found)
    return Compared(name, a, b, found, _shown(found, None if p is None else min(p * family, 1.0)))


def compared_by_holm(evidence: Evidence, pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> list[list[Compared]]:
    """Every metric of every pair (a, b), corrected by Holm's procedure for all of them; what has no data is left out."""
    asked = [(at, name, evidence.paired(name, *pair)) for at, pair in enumerate(pairs) for name in names]
    asked = [one for one in asked if one[2].interval.n]
    rows: list[list[Compared]] = [[] for _ in pairs]
    for (at, name, found), p in zip(asked, holm([p_value(found) for _, _, found in asked]), strict=True):
        rows[at].append(Compared(name, *pairs[at], found, _shown(found, p)))
    return rows


def _shown(found: Difference, adjusted: float | None) -> Shown:
    interval = found.interval
    if interval.n > 1 and interval.mean == 0.0 and interval.low is None:
        return "no difference"
    if found.verdict == "no evidence" or adjusted is None or adjusted > 1.0 - CONFIDENCE:
        return "no evidence"
    return found.verdict


def has_data(evidence: Evidence, name: str, strategies: Sequence[str]) -> bool:
    """Whether each of the strategies has a value of a metric in some drive."""
    return all(any(value is not None for value in evidence.vectors[one][name]) for one in strategies)
