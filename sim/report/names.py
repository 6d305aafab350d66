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


def made_by_a_report(path: Path) -> bool:
    """Whether a report made this figure or table, or was killed while it did (not every report makes all of them)."""
    name = path.name[1:] if path.name.startswith(".") and path.name.endswith(UNFINISHED) else path.name
    return path.parent.name in FOLDERS and path.is_file() and name.startswith(_BEGINNINGS)
