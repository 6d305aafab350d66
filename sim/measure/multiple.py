"""Many comparisons at once: of twenty true nothings one looks like something at 95 %.

Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979) holds the chance of any false verdict in a family
of comparisons at 5 %, whatever their dependence. Bonferroni's intervals say the same of intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.measure.stats import CONFIDENCE, RESAMPLES


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in the same order; a comparison without one stays without and is not of the family."""
    known = sorted((value, at) for at, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, at) in enumerate(known):
        largest = max(largest, min(value * (len(known) - rank), 1.0))
        adjusted[at] = largest
    return adjusted


def joint_confidence(n: int) -> float:
    """Confidence of each of `n` intervals, such that all of them hold together with 95 % (Bonferroni)."""
    return 1.0 - (1.0 - CONFIDENCE) / max(n, 1)


def most_joint_intervals() -> int:
    """So many joint intervals the bootstrap's resamples can tell: five of them lie beyond each end."""
    return int(RESAMPLES * (1.0 - CONFIDENCE) / 2.0 / 5.0)
