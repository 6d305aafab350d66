"""What is written in a figure, and whether it can be read: inside the figure, and no text on another."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def assert_texts_stay_inside_and_apart(figure: Figure) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes: list[tuple[str, Bbox]] = []
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            # of an annotation the text alone, without its line
            boxes.append((text.get_text(), Text.get_window_extent(text, renderer)))
    for number, (words, box) in enumerate(boxes):
        assert -2 < box.x0 < box.x1 < figure.bbox.width + 2, words
        assert -2 < box.y0 < box.y1 < figure.bbox.height + 2, words
        for other, its in boxes[number + 1 :]:
            overlap = min(box.x1, its.x1) - max(box.x0, its.x0), min(box.y1, its.y1) - max(box.y0, its.y0)
            assert overlap[0] <= 2 or overlap[1] <= 3, f"{words!r} lies on {other!r}"
