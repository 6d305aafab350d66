"""How late the machine was on which a live run was made, and whether its timings say anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.measure.tolerance import Tolerance

OVERLOADED = "This machine was overloaded: timings are not evidence"

_WHAT = {"timers": "timers went off", "packets": "packets were handed over"}


def overloaded(lateness: Mapping[str, Mapping[str, float]], tolerance: Tolerance) -> bool:
    """Whether something was done later than any timing may differ by. `lateness`: of a live run's manifest."""
    return any(part["max_s"] > tolerance.absolute_s for part in lateness.values())


def late_in_words(lateness: Mapping[str, Mapping[str, float]], tolerance: Tolerance) -> list[str]:
    """One sentence; none where nothing was recorded."""
    parts = [
        f"{_WHAT[name]} {part['max_s'] * 1e3:.1f} ms late at most ({part['p99_s'] * 1e3:.1f} ms in 99 %)"
        for name, part in lateness.items()
        if name in _WHAT
    ]
    if not parts:
        return []
    said = "; ".join(parts)
    said = f"{said[0].upper()}{said[1:]}."
    return [f"{OVERLOADED}. {said}" if overloaded(lateness, tolerance) else said]


def lateness_of(manifest: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """What a live run's manifest says of it; empty where it says nothing."""
    found = manifest.get("lateness")
    return found if isinstance(found, Mapping) else {}
