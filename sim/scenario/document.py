"""A scenario file as plain data that remembers where each part was written, and the errors that point there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

#: Where a value sits: ("towers", 1, "gateway").
Path = tuple[str | int, ...]


_MOST_LINES = 100
_LONGEST_LINE = 2000


class ScenarioErrors(Exception):
    """Everything that is wrong with a scenario: `lines`, each `file:line:column: key: what is wrong, what is allowed`."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a line and column of the file (both from 1), or an option that set `path`."""

    line: int = 1
    column: int = 1
    option: str = ""  # '--set hybrid.keep_alive'
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at `path`; `at_key` points at the key rather than at its value, `place` wherever it says."""

    path: Path
    text: str
    at_key: bool = False
    place: Place | None = None


@dataclass(slots=True)
class Document:
    """`value` is plain data (dict, list, str, int, float, bool, None); places are known for every key and value."""

    file: str
    value: Any
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)  # found while reading; what is under their paths is not judged again

    def line_of(self, problem: Problem) -> tuple[int, int, str]:
        """Return (line, column, the whole line of the error); options of the command line sort last."""
        places = self.keys if problem.at_key else self.values
        path = problem.path
        while path and path not in places:
            path = path[:-1]  # a key that is missing: the place of what it is missing in
        place = problem.place or places.get(path) or self.values.get(path) or self.keys.get(path) or Place()
        shown = dotted(problem.path)
        if place.option:
            # the option names its own key; only another one is worth naming
            inside = problem.path[: len(place.path)] == place.path
            shown = dotted(problem.path[len(place.path) :]) if inside else shown
            return 10**9, 0, printable(f"{place.option}: " + (f"{shown}: " if shown else "") + problem.text)
        key = f"{shown}: " if shown else ""
        return place.line, place.column, printable(f"{self.file}:{place.line}:{place.column}: {key}{problem.text}")

    def lines(self, problems: Iterable[Problem]) -> list[str]:
        """Return one line for each problem, in the order of the file, none twice; of very many the first ones."""
        return self.in_order({self.line_of(problem) for problem in problems})

    def in_order(self, found: Iterable[tuple[int, int, str]]) -> list[str]:
        """Return the lines among what `line_of` has returned, those of other documents of the same file too."""
        lines = [text for _line, _column, text in sorted(found)]
        if len(lines) <= _MOST_LINES:
            return lines
        return [*lines[:_MOST_LINES], f"{self.file}: and more mistakes, the first {_MOST_LINES} are shown"]


def printable(line: str) -> str:
    """A key may hold line ends or escape sequences of a terminal; an error stays one line of plain text."""
    shown = "".join(char if char.isprintable() else " " for char in line[:_LONGEST_LINE])
    return shown if len(line) <= _LONGEST_LINE else f"{shown}..."


def no_file(path: FilePath) -> str:
    """Why a path that is there cannot be read as a file: a folder, a pipe that nobody fills, a device without end. "": it can."""
    try:
        if path.is_dir():
            return "is a folder, expected a file"
        return "is no regular file" if path.exists() and not path.is_file() else ""
    except (OSError, ValueError):  # whoever reads it says what is wrong
        return ""


def dotted(path: Path) -> str:
    """Return the path as it is written on the command line: towers.1.gateway."""
    return ".".join(str(part) for part in path)


def one_line(text: object, limit: int = 300) -> str:
    """Return the text with all white space folded, so that an error stays one line."""
    folded = " ".join(str(text).split())
    return folded if len(folded) <= limit else folded[: limit - 3] + "..."


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known name that `word` probably meant, None where nothing is near."""
    names = list(known)
    folded = {name.lower().replace("-", "_"): name for name in reversed(names)}
    close = difflib.get_close_matches(str(word).lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def unknown(what: str, word: object, known: Iterable[str]) -> str:
    """Return 'unknown key, did you mean x' or, where nothing is near, 'unknown key, allowed: x, y'."""
    names = list(known)
    near = nearest(word, names)
    if near is not None:
        return f"unknown {what}, did you mean {near}"
    return f"unknown {what}, allowed: {', '.join(names)}" if names else f"unknown {what}, none is allowed here"
