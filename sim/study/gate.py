"""The gate of continuous integration: is HEAD worse than BASE, by more than is allowed, as far as the evidence carries?

A check fails only where the whole interval of the paired difference lies beyond the tolerance on the worse side. It passes where
the whole interval lies within it. In between nothing is decided, which is no failure unless that is asked for. The
intervals of all checks hold together with 95 % (Bonferroni): a build that is no worse fails in one of twenty at most,
however many checks there are. Those in which every drive has the same value on both sides pass and are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.measure.metrics_catalog import metric
from sim.measure.multiple import joint_confidence, most_joint_intervals
from sim.measure.stats import paired_difference
from sim.measure.support import few_drives, least_drives
from sim.study.bounds import parse_bound
from sim.study.pairing import NotPaired, Paired

PASS, WORSE, UNDECIDED = "pass", "worse", "undecided"


@dataclass(frozen=True, slots=True)
class Gate:
    """A metric and how much worse it may be: `share` of BASE's mean, or `absolute` in the metric's unit; neither: not at all."""

    metric: str
    share: float | None = None
    absolute: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A gate applied to a pair of strategies. `difference` is HEAD - BASE with its interval, in the metric's unit."""

    strategy: str
    metric: str
    verdict: str
    base: float
    head: float
    difference: float
    low: float | None
    high: float | None
    tolerance: float
    n: int
    note: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """All checks, and what has to be said beside them."""

    checks: tuple[Check, ...]
    confidence: float
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        verdicts = {check.verdict for check in self.checks}
        return WORSE if WORSE in verdicts else UNDECIDED if UNDECIDED in verdicts else PASS


def parse_gate(text: str) -> Gate:
    """`ota.lost`, `all.latency_s.p95:5%`, `recovery_s.mean:2 s`. Raises sim.study.bounds.BoundError."""
    return Gate(*parse_bound(text))


def judge(paired: Paired, gates: Sequence[Gate]) -> GateResult:
    """Apply every gate to every pair of strategies.

    Raises:
        NotPaired: a metric has no data in any pair, so that its gate could never fail.
    """
    horizon_s = max(paired.base.horizon_s, paired.head.horizon_s)
    found: list[tuple[Gate, str, list[float | None], list[float | None]]] = []
    left_out = list(paired.left_out)
    for gate in gates:
        silent = []
        for label, one, other in paired.pairs:
            base = paired.base.vector(one, gate.metric, horizon_s)[: paired.drives]
            head = paired.head.vector(other, gate.metric, horizon_s)[: paired.drives]
            if any(a is not None and b is not None for a, b in zip(base, head, strict=True)):
                found.append((gate, label, base, head))
            else:
                silent.append(label)
        if len(silent) == len(paired.pairs):
            raise NotPaired(f"--gate {gate.metric}: there is no data on it in both BASE and HEAD")
        if silent:
            left_out.append(f"no data on {gate.metric}: {', '.join(silent)}")
    n = max(sum(base != head for _gate, _label, base, head in found), 1)
    seed = int(str(paired.base.manifest["seed"]))
    checks = [_check(gate, label, base, head, seed, n) for gate, label, base, head in found]
    few = few_drives(paired.drives, n)
    warnings = [few] if few else []
    if n > most_joint_intervals():
        warnings.append(f"{n} checks at once are more than the bootstrap's resamples can tell apart: name fewer metrics")
    return GateResult(tuple(checks), joint_confidence(n), tuple(left_out), tuple(warnings))


def _check(gate: Gate, label: str, base: Sequence[float | None], head: Sequence[float | None], seed: int, checks: int) -> Check:
    better = metric(gate.metric).better
    found = paired_difference(head, base, better, seed, joint_confidence(checks)).interval
    both = [(a, b) for a, b in zip(base, head, strict=True) if a is not None and b is not None]
    base_mean = math.fsum(a for a, _b in both) / len(both)
    head_mean = math.fsum(b for _a, b in both) / len(both)
    tolerance = gate.absolute if gate.absolute is not None else abs(base_mean) * (gate.share or 0.0)
    mean = found.mean if found.mean is not None else 0.0
    low, high = (mean if found.low is None else found.low), (mean if found.high is None else found.high)
    worst, least = (high, low) if better == "lower" else (-low, -high)  # of how much worse HEAD is
    note = found.note
    if all(a == b for a, b in both):
        verdict = PASS  # whatever the number of drives: nothing has changed
    elif found.n < least_drives(checks):
        verdict = UNDECIDED
        note = f"{found.n} drive{'s' * (found.n != 1)}, {least_drives(checks)} are needed"
    elif least > tolerance:
        verdict = WORSE
    else:
        verdict = PASS if worst <= tolerance else UNDECIDED
    return Check(label, gate.metric, verdict, base_mean, head_mean, mean, found.low, found.high, tolerance, found.n, note)
