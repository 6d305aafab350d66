"""Whatever was studied, its report again: the manifest says what the folder holds."""

from __future__ import annotations

from pathlib import Path

from sim.record.read import RunFolderError, read_json
from sim.report.sweep_page import write_sweep_report
from sim.report.validation_page import write_reports


def write_any_report(folder: Path) -> list[Path]:
    """Make the reports of the folder of a run, a validation or a sweep. Raises RunFolderError, one line."""
    path = folder / "manifest.json"
    content = read_json(path)
    if not isinstance(content, dict):
        raise RunFolderError(f"{path}: not the manifest of a run or a sweep, expected an object")
    kind = content.get("kind", "run")
    if kind in ("comparison", "sensitivity", "tune"):
        raise RunFolderError(f"{folder}: the report of a {kind} is made by the command in its manifest.json, from what that kept")
    return [write_sweep_report(folder)] if kind == "sweep" else write_reports(folder)
