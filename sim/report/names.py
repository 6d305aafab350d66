"""Which files of a run folder a report makes; whatever else lies there is the user's."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("figures", "tables")
UNFINISHED = ".part"  # ending of a file that is being written; its name begins with a dot
_BEGINNINGS = (
    "attempts.",
    "backoff_ladder.",
    "comparisons.",
    "cost.",
    "drive_lanes.",
    "fleet_",
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
    """Whether a report of a run made this figure or table, or was killed while it did (not every report makes all of them)."""
    return path.parent.name in FOLDERS and path.is_file() and _finished(path.name).startswith(_BEGINNINGS)


def made_by_a_validation(path: Path) -> bool:
    """Whether the report of a validation made this figure, or was killed while it did."""
    return path.parent.name in FOLDERS and path.is_file() and _finished(path.name).startswith(_OF_A_VALIDATION)


def _finished(name: str) -> str:
    """The name that a file which is being written will have."""
    return name[1:] if name.startswith(".") and name.endswith(UNFINISHED) else name


def made_by_a_study(path: Path) -> bool:
    """Whether the page of a sweep, a comparison, a sensitivity analysis or a tuning made this figure."""
    beginnings = ("metric-", "scenario-matrix.", "sensitivity-", "front-")
    return path.parent.name in FOLDERS and path.is_file() and _finished(path.name).startswith(beginnings)
