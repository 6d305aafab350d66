"""Drawing surfaces: figures placed in inches, and their bytes as SVG and PNG, the same for the same data.

Only matplotlib's Figure and its renderers are used, never pyplot: no window, no state kept between two figures.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.report.palette import CSS_VARIABLES, INK, MUTED, PAPER, RULE

#: Width of a figure that stands in a column, and of one that takes the page's whole width, in inches.
COLUMN_IN = 5.4
PAGE_IN = 10.0
TEXT_PT = 9.0
SMALL_PT = 7.8

_RC: Any = {
    "svg.hashsalt": "handover-lab",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT_PT,
    "text.color": INK,
    "text.parse_math": False,  # names of strategies are text, a dollar sign in one too
    "axes.unicode_minus": True,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.labelsize": TEXT_PT,
    "axes.linewidth": 0.8,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": TEXT_PT - 0.5,
    "ytick.labelsize": TEXT_PT - 0.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "hatch.linewidth": 0.6,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}

P = ParamSpec("P")


def drawn(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a function that makes a figure: it draws in the report's style whatever the caller's settings are."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_RC)
            return function(*args, **kwargs)

    return styled


def new_figure(width_in: float, height_in: float) -> Figure:
    return Figure(figsize=(width_in, height_in))


def axes_in(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at this place, in inches from the lower left corner, with bare left and lower spines."""
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3, pad=3)
    return axes


def bare(axes: Axes) -> None:
    """Neither spines nor ticks: a strip to put things on."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])


def svg_bytes(figure: Figure) -> bytes:
    """The figure as an SVG file with text as text."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


_REFERENCE = re.compile(r"(url\(#|xlink:href=\"#)([^)\"]+)")
_COLOUR = re.compile("|".join(CSS_VARIABLES))


def inline_svg(svg: bytes, name: str, title: str) -> str:
    """The SVG as it stands inside the page: themed by the page's CSS, its ids its own, nothing that points outside.

    `title` is plain text, for readers who hear the page.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    used = {found for _, found in _REFERENCE.findall(text)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = _REFERENCE.sub(rf"\g<1>{name}-\g<2>", text)
    text = _COLOUR.sub(lambda m: f"var({CSS_VARIABLES[m[0]][0]})", text)
    text = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "var(--font)", text)
    box = re.search(r'viewBox="([^"]+)"', text)
    head = f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{_attribute(title)}"'
    text = re.sub(r"<svg[^>]*", lambda _: head, text, count=1)
    return re.sub(r"\n\s*", "\n", text)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
