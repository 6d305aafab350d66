"""How far a live run may be from the model."""

from __future__ import annotations

from dataclasses import dataclass

from sim.settings import setting


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a timing of a live run may be from the model's: the larger of the two. Outcomes have to be identical."""

    relative_share: float = setting(0.05, "share of the duration that is compared", "our choice", at_least=0.0, at_most=1.0)
    absolute_s: float = setting(0.25, "and this much in any case", "our choice: an event loop on a busy machine", at_least=0.0)

    def allowed_s(self, span_s: float) -> float:
        """What a duration of `span_s` may differ by."""
        return max(self.relative_share * span_s, self.absolute_s)
