"""Which files of a run folder a report makes; whatever else lies there is the user's."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("figures", "tables")
_BEGINNINGS = (
    "attempts.",
    "backoff_ladder.",
    "comparisons.",
    "cost.",
    "drive_lanes.",
    "latency_distribution.",
    "ledger.",
    "loss_ledger.",
    "metrics.",
    "objectives.",
    "recovery.",
    "recovery_bars.",
    "settings.",
    "trade_off.",
    "zoom_",
)


_OF_A_VALIDATION = "validation_"


def made_by_a_report(path: Path) -> bool:
    """Whether a report of a run made this figure or table (not every report makes all of them)."""
    return path.parent.name in FOLDERS and path.is_file() and path.name.startswith(_BEGINNINGS)


def made_by_a_validation(path: Path) -> bool:
    """Whether the report of a validation made this figure."""
    return path.parent.name in FOLDERS and path.is_file() and path.name.startswith(_OF_A_VALIDATION)
