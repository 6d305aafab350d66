"""What an exchange has seen: values of fields of BrokerBehaviour, bounds of them, and what could not be observed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sim.protocols.broker_presets import BrokerBehaviour

#: how far a measured time may be from a preset's value, in the unit of the field
_NEAR = {"keep_alive_factor": 0.11, "keep_alive_tick_s": 0.3}


@dataclass(slots=True)
class Findings:
    """`at_least`: the field has this value or a larger one, more was not tried. Fields that nothing names stay unknown."""

    seen: dict[str, Any] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_observed: dict[str, str] = field(default_factory=dict)  # field or exchange -> why

    def add(self, other: Findings) -> None:
        """Take over what another exchange has found; what was seen once is not unobserved any more."""
        self.seen |= other.seen
        self.at_least |= other.at_least
        self.notes += other.notes
        self.not_observed |= other.not_observed
        for name in (*self.seen, *self.at_least):
            self.not_observed.pop(name, None)

    def differences(self, behaviour: BrokerBehaviour) -> dict[str, str]:
        """Field -> how what was seen differs from a preset; empty where all agrees."""
        found = {}
        for name, value in self.seen.items():
            wanted = getattr(behaviour, name)
            if not same(name, value, wanted):
                found[name] = f"seen {value}, the preset has {wanted}"
        for name, least in self.at_least.items():
            if getattr(behaviour, name) < least:
                found[name] = f"at least {least:g}, the preset has {getattr(behaviour, name)}"
        return found


def same(name: str, seen: Any, wanted: Any) -> bool:
    """Whether a seen value is that of a preset, within what can be measured."""
    near = _NEAR.get(name)
    if near is None or not math.isfinite(wanted):
        return bool(seen == wanted)
    return bool(abs(seen - wanted) <= near)
