"""The report of a validation: validation.html and validation.md with their figures, made from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.measure.validation import MODEL, is_validation, read_validation
from sim.record.read import read_run
from sim.report.method import MODEL_PAGE
from sim.report.names import made_by_a_validation
from sim.report.page import write_report
from sim.report.parting import parting
from sim.report.rendering import Output, Shown, render_figure, render_page, write_output
from sim.report.validation_evidence import ValidationEvidence
from sim.report.validation_figures import agreement_figures, overlays
from sim.report.validation_tables import tables
from sim.report.validation_words import against, not_comparable, rules, verdict

PAGE = "validation.html"


def write_reports(run_dir: Path) -> list[Path]:
    """Make all reports of a folder again from its files: of the run, of the validation. Raises RunFolderError."""
    found = []
    if read_run(run_dir).manifest.get("world") != "field":
        found.append(write_report(run_dir))
    if is_validation(run_dir):
        found.append(write_validation([run_dir]))
    return found


def write_validation(folders: Sequence[Path]) -> Path:
    """Write the report of one validation into each of its folders; returns the path of the last one's page.

    The same files give the same bytes, whichever of the folders it is made from. Raises RunFolderError (one line).
    """
    evidence = ValidationEvidence(read_validation(folders[-1]))
    output = Output()
    shown = [render_figure(one, output) for one in (*overlays(evidence), *agreement_figures(evidence))]
    content = _content(evidence, shown)
    output.files[PAGE] = render_page("validation.html.j2", content, autoescape=True)
    output.files["validation.md"] = render_page("validation.md.j2", content, autoescape=False)
    for folder in folders:
        write_output(folder, output, made_by_a_validation)
    return folders[-1] / PAGE


def _content(evidence: ValidationEvidence, shown: Sequence[Shown]) -> dict[str, Any]:
    manifest = evidence.manifest
    found = tables(evidence)
    log = evidence.found.against_log
    versions = evidence.model.manifest.get("versions", {})
    return {
        "scenario": str(manifest.get("scenario", "")),
        "description": str(manifest.get("description") or ""),
        "runs": [str(one.run.manifest["run_id"]) for one in evidence.found.comparisons],
        "log": str(manifest.get("log", "")) if log else "",
        "against": against(evidence),
        "verdict": verdict(evidence),
        "agrees": evidence.found.agrees,
        "sides": evidence.sides,
        "tables": found,
        "parting": parting(evidence),
        "figures": {
            name: [one for one in shown if one.section == name] for name in (*evidence.strategies, "latency", "differences")
        },
        "strategies": [{"name": name, "colour": look.variable} for name, look in evidence.styles.items()],
        "not_comparable": not_comparable(evidence, sum(not row.comparable for row in evidence.rows)),
        "rules": rules(evidence),
        "command": str(manifest.get("command") or ""),
        "facts": [
            (
                "log" if log else "live run" if len(evidence.sides) == 1 else "live runs",
                str(manifest["log"]) if log else ", ".join(str(one.run.manifest["run_id"]) for one in evidence.found.comparisons),
            ),
            ("model", f"{MODEL}/, run {evidence.model.manifest['run_id']}"),
            ("digest of the model's records", str(evidence.model.manifest.get("digest") or "not recorded")),
            ("versions", ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))),
            ("drive", "; ".join(str(note) for note in evidence.model.manifest.get("drive_notes", [])) or "as in the scenario"),
        ],
        "inputs": [(str(one["file"]), str(one["sha256"])) for one in manifest.get("inputs", [])],
        "model_page": MODEL_PAGE,
    }
