"""A page about many runs: an answer, then sections of figures and tables; HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from sim.report.canvas import inline_svg, png_bytes, svg_bytes
from sim.report.names import made_by_a_study
from sim.report.palette import Style
from sim.report.rendering import Output, render_page, write_output


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure with the sentence that says what to see in it. `wide`: it takes the page's width."""

    name: str
    title: str
    caption: str
    figure: Figure
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """`mark`: "best", "worse" and the like are classes of the style sheet."""

    text: str
    small: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`left`: so many columns from the left are names. `folded`: shown when asked for."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    left: int = 1
    note: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, under its heading."""

    key: str
    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Shown] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything a page says. `facts` are (name, value) pairs of the method, `assumptions` sentences."""

    title: str
    subtitle: str
    description: str
    headline: str
    support: Sequence[str]
    warnings: Sequence[str]
    sections: Sequence[Section]
    looks: dict[str, Style]
    command: str = ""
    facts: Sequence[tuple[str, str]] = ()
    assumptions: Sequence[str] = ()
    objectives: Sequence[tuple[str, str]] = field(default=())  # (verdict, text)


def write_page(
    folder: Path, page: Page, *, others: Mapping[str, bytes] | None = None, made: Callable[[Path], bool] = made_by_a_study
) -> Path:
    """Write report.html, report.md and figures/; returns the path of report.html. RunFolderError where it cannot.

    `others`: further files, path within the folder -> bytes. `made` knows what an earlier report may have left in figures/ and
    tables/.
    """
    output = Output(dict(others or {}))
    svgs: dict[str, str] = {}
    for section in page.sections:
        for one in section.figures:
            svg = svg_bytes(one.figure)
            output.files[f"figures/{one.name}.svg"] = svg
            output.files[f"figures/{one.name}.png"] = png_bytes(one.figure)
            svgs[one.name] = inline_svg(svg, one.name, f"{one.title}. {one.caption}")
    strategies = [{"name": name, "colour": look.variable} for name, look in page.looks.items()]
    content = {"page": page, "svgs": svgs, "strategies": strategies}
    output.files["report.html"] = render_page("study.html.j2", content, autoescape=True)
    output.files["report.md"] = render_page("study.md.j2", content, autoescape=False)
    write_output(folder, output, made)
    return folder / "report.html"
