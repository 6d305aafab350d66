"""The report of a run: report.html and report.md, their figures and tables, made from the run's folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.measure.validation import is_validation
from sim.report.answer import answer, objective_rows
from sim.report.captions import failures_in_words, forgotten_in_words
from sim.report.comparison_table import comparison_tables
from sim.report.evidence import Evidence, read_evidence
from sim.report.fleet_page import write_fleet_report
from sim.report.illustrations import SECTIONS, illustrations
from sim.report.kinds_table import STATS_NOTE, cost_rows, kind_rows, ledger_lines, stats_rows
from sim.report.method import MODEL_PAGE, method, provenance
from sim.report.names import made_by_a_report
from sim.report.rendering import Output, Shown, render_figure, render_page, write_output
from sim.report.seed_defaults import seed_defaults
from sim.report.settings_table import broker_lines, paste_block, variants
from sim.report.supported import supported
from sim.report.tables import csv_tables


def write_report(run_dir: Path) -> Path:
    """Make the report of a run again from its files; returns the path of report.html.

    The same files give the same bytes; what an earlier report left in figures/ and tables/ is replaced.

    Raises:
        RunFolderError: the folder is damaged or not a run's; the text is one line.
    """
    folder = Path(run_dir)
    evidence = read_evidence(folder)
    if evidence.manifest.get("fleet") is not None:
        return write_fleet_report(folder, evidence)
    output = Output()
    shown = [render_figure(one, output) for one in illustrations(evidence)]
    found = variants(evidence)
    for name, frame in csv_tables(evidence, found).items():
        output.files[f"tables/{name}.csv"] = frame.write_csv().encode()
    content = _content(evidence, shown, found)
    output.files["report.html"] = render_page("report.html.j2", content, autoescape=True)
    output.files["report.md"] = render_page("report.md.j2", content, autoescape=False)
    write_output(folder, output, made_by_a_report)
    return folder / "report.html"


def _content(evidence: Evidence, shown: list[Shown], found: list[Any]) -> dict[str, Any]:
    manifest = evidence.manifest
    figures: dict[str, list[Shown]] = {section: [one for one in shown if one.section == section] for section in SECTIONS}
    return {
        "run_id": str(manifest["run_id"]),
        "scenario": str(manifest.get("scenario", "")),
        "description": str(manifest.get("description") or ""),
        "world": str(manifest.get("world", "model")),
        "answer": answer(evidence),
        "provenance": provenance(evidence),
        "objectives": objective_rows(evidence),
        "figures": figures,
        "variants": found,
        "paste": paste_block(found),
        "broker_lines": broker_lines(evidence),
        "tables": comparison_tables(evidence),
        "kinds": kind_rows(evidence),
        "ledger": ledger_lines(evidence),
        "costs": cost_rows(evidence),
        "stats": stats_rows(evidence),
        "stats_note": STATS_NOTE,
        "failures": failures_in_words(evidence),
        "forgotten": forgotten_in_words(evidence),
        "worst": [
            {"strategy": name, "baseline": evidence.is_baseline(name), **evidence.of(name)["worst_episode"]}
            for name in evidence.strategies
            if evidence.of(name).get("worst_episode")
        ],
        "method": method(evidence),
        "model_page": MODEL_PAGE,
        "supported": supported(evidence),
        "defaults": seed_defaults(evidence),
        "validated": evidence.run.folder is not None and is_validation(evidence.run.folder),
        "drives": evidence.drives,
        "strategies": [
            {"name": name, "colour": look.variable, "use": evidence.of(name)["use"], "baseline": evidence.is_baseline(name)}
            for name, look in evidence.styles.items()
        ],
    }
