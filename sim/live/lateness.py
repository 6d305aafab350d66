"""How late this machine was: timers of the live drivers, packets of the link."""

from __future__ import annotations


class Lateness:
    """How much later than planned things were done: a histogram in steps of 20 us up to 0.2 s."""

    _STEP_S = 20e-6

    def __init__(self) -> None:
        self._counts = [0] * 10_001
        self._n = 0
        self._most_s = 0.0

    def add(self, late_s: float) -> None:
        self._counts[min(int(late_s / self._STEP_S), 10_000)] += 1
        self._n += 1
        if late_s > self._most_s:
            self._most_s = late_s

    def summary(self) -> dict[str, float]:
        if not self._n:
            return {"n": 0}
        return {
            "n": self._n,
            "p50_ms": self._quantile(0.5),
            "p99_ms": self._quantile(0.99),
            "max_ms": round(1e3 * self._most_s, 3),
        }

    def _quantile(self, share: float) -> float:
        below, step = 0, -1
        while below < share * self._n:
            step += 1
            below += self._counts[step]
        return round(1e3 * min((step + 1) * self._STEP_S, self._most_s), 3)
