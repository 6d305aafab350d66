"""The report of a run: report.html and report.md, their figures and tables, made from the run's folder alone."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from sim.record.read import RunFolderError
from sim.report.answer import answer, objective_rows
from sim.report.canvas import inline_svg, png_bytes, svg_bytes
from sim.report.captions import failures_in_words
from sim.report.comparison_table import comparison_table
from sim.report.evidence import Evidence, read_evidence
from sim.report.illustrations import SECTIONS, Illustration, illustrations
from sim.report.kinds_table import cost_rows, kind_rows, ledger_lines, stats_rows
from sim.report.method import MODEL_PAGE, method, provenance
from sim.report.names import FOLDERS, made_by_a_report
from sim.report.palette import CSS_VARIABLES
from sim.report.settings_table import broker_lines, paste_block, variants
from sim.report.tables import csv_tables

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class _Shown:
    """A figure as the templates see it."""

    name: str
    title: str
    caption: str
    svg: str
    wide: bool
    section: str


@dataclass
class _Output:
    """What will be written: path within the folder -> bytes. All of it is made before any of it is written."""

    files: dict[str, bytes] = field(default_factory=dict)


def write_report(run_dir: Path) -> Path:
    """Make the report of a run again from its files; returns the path of report.html.

    The same files give the same bytes; what an earlier report left in figures/ and tables/ is replaced.

    Raises:
        RunFolderError: the folder is damaged or not a run's; the text is one line.
    """
    folder = Path(run_dir)
    evidence = read_evidence(folder)
    output = _Output()
    shown = [_render(one, output) for one in illustrations(evidence)]
    found = variants(evidence)
    for name, frame in csv_tables(evidence, found).items():
        output.files[f"tables/{name}.csv"] = frame.write_csv().encode()
    content = _content(evidence, shown, found)
    output.files["report.html"] = render("report.html.j2", content, autoescape=True)
    output.files["report.md"] = render("report.md.j2", content, autoescape=False)
    _write(folder, output)
    return folder / "report.html"


def _render(one: Illustration, output: _Output) -> _Shown:
    svg = svg_bytes(one.figure)
    output.files[f"figures/{one.name}.svg"] = svg
    output.files[f"figures/{one.name}.png"] = png_bytes(one.figure)
    return _Shown(
        one.name, one.title, one.caption, inline_svg(svg, one.name, f"{one.title}. {one.caption}"), one.wide, one.section
    )


def _content(evidence: Evidence, shown: list[_Shown], found: list[Any]) -> dict[str, Any]:
    manifest = evidence.manifest
    figures: dict[str, list[_Shown]] = {section: [one for one in shown if one.section == section] for section in SECTIONS}
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
        "table": comparison_table(evidence),
        "kinds": kind_rows(evidence),
        "ledger": ledger_lines(evidence),
        "costs": cost_rows(evidence),
        "stats": stats_rows(evidence),
        "failures": failures_in_words(evidence),
        "worst": [
            {"strategy": name, "baseline": evidence.is_baseline(name), **evidence.of(name)["worst_episode"]}
            for name in evidence.strategies
            if evidence.of(name).get("worst_episode")
        ],
        "method": method(evidence),
        "model_page": MODEL_PAGE,
        "drives": evidence.drives,
        "strategies": [
            {"name": name, "colour": look.variable, "use": evidence.of(name)["use"], "baseline": evidence.is_baseline(name)}
            for name, look in evidence.styles.items()
        ],
        "palette": {variable: (light, dark) for light, (variable, dark) in CSS_VARIABLES.items()},
    }


def render(template: str, content: dict[str, Any], autoescape: bool) -> bytes:
    """Fill a template of this room; what it asks for and does not get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    environment.filters["breakable"] = _breakable
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(template).render(content).encode()


def _breakable(name: str) -> markupsafe.Markup:
    """A long name may be broken where its parts meet."""
    if len(name) <= 24:
        return markupsafe.escape(name)
    return markupsafe.Markup("<wbr>").join(re.split(r"(?<=[_,=/:-])(?=.)", name))


def _unbroken(text: str) -> str:
    """Text in which an interval such as 257–273 stays on one line."""
    return re.sub(r"(?<=\d)–(?=\d)", "\u2060–\u2060", text)


def _markdown(text: object) -> str:
    """Text that Markdown shows as it is, in a table too."""
    plain = re.sub(r"([\\|*`\[\]#]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", str(text))
    return html.escape(plain, quote=False).replace("\n", " ")


def _write(folder: Path, output: _Output) -> None:
    """Write all files, each under a temporary name first, so that a reader never finds half of one."""
    try:
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)
            for path in (folder / name).iterdir():
                if made_by_a_report(path):
                    path.unlink()  # of an earlier report; what a user put there stays
        for name, content in output.files.items():
            path = folder / name
            unfinished = path.with_name(f".{path.name}.part")
            unfinished.write_bytes(content)
            unfinished.replace(path)
    except OSError as error:
        raise RunFolderError(f"{folder}: the report cannot be written: {error.strerror or error}") from error
