"""From content to files: figures as SVG, PNG and inline, pages from templates, all written at once."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from sim.record.read import RunFolderError
from sim.report.canvas import inline_svg, png_bytes, svg_bytes
from sim.report.illustrations import Illustration
from sim.report.names import FOLDERS, UNFINISHED
from sim.report.palette import CSS_VARIABLES

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as the templates see it."""

    name: str
    title: str
    caption: str
    svg: str
    wide: bool
    section: str


@dataclass
class Output:
    """What will be written: path within the folder -> bytes. All of it is made before any of it is written."""

    files: dict[str, bytes] = field(default_factory=dict)


def render_figure(one: Illustration, output: Output) -> Shown:
    """The figure for the page; its SVG and PNG are added to what will be written."""
    svg = svg_bytes(one.figure)
    output.files[f"figures/{one.name}.svg"] = svg
    output.files[f"figures/{one.name}.png"] = png_bytes(one.figure)
    return Shown(
        one.name, one.title, one.caption, inline_svg(svg, one.name, f"{one.title}. {one.caption}"), one.wide, one.section
    )


def render_page(template: str, content: dict[str, Any], autoescape: bool) -> bytes:
    """A page from its template; `content` needs no palette."""
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
    palette = {variable: (light, dark) for light, (variable, dark) in CSS_VARIABLES.items()}
    return environment.get_template(template).render({"palette": palette, **content}).encode()


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


def write_output(folder: Path, output: Output, made: Callable[[Path], bool]) -> None:
    """Write all files under temporary names, then give them their own: a reader never finds half of one.

    What an earlier report left in figures/ and tables/ (`made` knows it) is removed; what a user put there stays. Where the
    disk is full, or the user interrupts, the earlier report stays as it was.
    """
    written = {folder / name for name in output.files}
    unfinished = {path.with_name(f".{path.name}{UNFINISHED}"): path for path in written}
    try:
        for path in sorted(written):
            path.parent.mkdir(exist_ok=True)
        for part, path in unfinished.items():
            part.write_bytes(output.files[path.relative_to(folder).as_posix()])
        for part, path in unfinished.items():
            part.replace(path)
        for place in (folder / name for name in FOLDERS):
            for path in place.iterdir() if place.is_dir() else ():
                if made(path) and path not in written:
                    path.unlink()
    except BaseException as error:
        for part in unfinished:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise RunFolderError(f"{folder}: the report cannot be written: {error.strerror or error}") from error
