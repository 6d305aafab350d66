"""Whatever was studied, its report again: the manifest says what the folder holds."""

from __future__ import annotations

import json
from pathlib import Path

from sim.record.read import RunFolderError
from sim.report.sweep_page import write_sweep_report
from sim.report.validation_page import write_reports


def write_any_report(folder: Path) -> list[Path]:
    """Make the reports of the folder of a run, a validation or a sweep. Raises RunFolderError, one line."""
    path = folder / "manifest.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("kind", "run")
    except (OSError, ValueError, AttributeError) as error:
        raise RunFolderError(f"{path}: not the manifest of a run or a sweep: {error}") from error
    if kind in ("comparison", "sensitivity", "tune"):
        raise RunFolderError(f"{folder}: the report of a {kind} is made by the command in its manifest.json, from what that kept")
    return [write_sweep_report(folder)] if kind == "sweep" else write_reports(folder)
