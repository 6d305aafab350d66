"""Whatever was studied, its report again: the manifest says what the folder holds."""

from __future__ import annotations

import json
from pathlib import Path

from sim.record.read import RunFolderError
from sim.report.page import write_report
from sim.report.sweep_page import write_sweep_report

_WRITERS = {"run": write_report, "sweep": write_sweep_report}


def write_any_report(folder: Path) -> Path:
    """Make the report of a run's or a sweep's folder. Raises RunFolderError, one line."""
    path = folder / "manifest.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("kind", "run")
        writer = _WRITERS[kind]
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise RunFolderError(f"{path}: not the manifest of a run or a sweep: {error}") from error
    return writer(folder)
