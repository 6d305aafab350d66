"""YAML 1.2 (core schema) text -> Document.

PyYAML scans and parses; what its loaders then do is replaced, for three reasons. They follow YAML 1.1, where `on` is
true, `12:30` is 750 and `1e3` is text. They forget where a value was written. And they expand aliases without bound and
recurse once per level, so a file of a few lines can take all memory or end in RecursionError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from sim.scenario.document import Document, Path, Place, Problem, ScenarioErrors, one_line

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 100_000  # after aliases are expanded

_NO_SPACE = re.compile(r"[a-z]+:\S")
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")
_LONGEST_NUMBER = 100  # digits; more would mean nothing, and 400 are more than a float can hold
_TAG = "tag:yaml.org,2002:"


class _Refused(Exception):
    """The text cannot be read on from here."""

    def __init__(self, mark: Any, text: str, path: Path = ()) -> None:
        super().__init__(text)
        self.mark, self.text, self.path = mark, text, path


@dataclass(frozen=True, slots=True)
class _Mistake:
    """Something that is not allowed but does not keep the rest from being read."""

    mark: Any
    text: str
    path: Path


@dataclass(slots=True)
class _Node:
    """A scalar (`items` None), a sequence or a mapping, as written; `items` holds (key mark, key, node)."""

    mark: Any
    scalar: Any = None
    items: list[_Item] | None = None
    is_mapping: bool = False
    open: bool = True  # still being read: an alias to it would be a loop


_Item = tuple[Any, str | int, _Node]


@dataclass(slots=True)
class _Reader:
    events: Iterator[Any]
    anchors: dict[str, _Node] = field(default_factory=dict)
    mistakes: list[_Mistake] = field(default_factory=list)

    def next(self) -> Any:
        return next(self.events)

    def refuse(self, mark: Any, text: str, path: Path) -> None:
        self.mistakes.append(_Mistake(mark, text, path))

    def node(self, event: Any, depth: int, path: Path) -> _Node:
        """Build the node that `event` opens; depth is bounded, so recursion is."""
        if depth > MAX_DEPTH:
            raise _Refused(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        node = _Node(event.start_mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            try:
                node.scalar = _scalar(event)
            except ValueError as error:
                self.refuse(event.start_mark, str(error), path)
        else:
            node.items = []
            node.is_mapping = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", _TAG + ("map" if node.is_mapping else "seq")):
                self.refuse(event.start_mark, f"tag {_short_tag(event.tag)} is not allowed", path)
            if node.is_mapping:
                self._mapping(node.items, depth, path)
            else:
                self._sequence(node.items, depth, path)
        node.open = False
        return node

    def _alias(self, event: Any, path: Path) -> _Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            self.refuse(event.start_mark, f"unknown alias *{event.anchor}, no anchor &{event.anchor} before it", path)
        elif node.open:
            self.refuse(event.start_mark, f"alias *{event.anchor} refers to what it is part of", path)
        else:
            return node
        return _Node(event.start_mark, open=False)

    def _sequence(self, items: list[_Item], depth: int, path: Path) -> None:
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            at = len(items)
            items.append((event.start_mark, at, self.node(event, depth + 1, (*path, at))))

    def _mapping(self, items: list[_Item], depth: int, path: Path) -> None:
        seen: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.node(event, depth + 1, path)
            name = key.scalar if key.items is None else None
            text = name if isinstance(name, str) else _shown(event)
            inner = self.node(self.next(), depth + 1, (*path, text))
            if key.items is not None:
                self.refuse(event.start_mark, "a key must be text, not a list or a mapping", path)
            elif not isinstance(name, str):
                self.refuse(event.start_mark, f"key {text} must be text, write it in quotes", path)
            elif name == "<<" and event.style is None:
                self.refuse(event.start_mark, "merge keys are not part of YAML 1.2, write the keys out", (*path, name))
            elif name in seen:
                first = seen[name].line + 1
                self.refuse(event.start_mark, f"duplicate key, first written in line {first}", (*path, name))
            else:
                seen[name] = event.start_mark
                items.append((event.start_mark, name, inner))


def read_yaml(text: str, file: str) -> Document:
    """Return the document in `text`, a mapping at its top; its `problems` are the mistakes that could be read over.

    Raises ScenarioErrors with one line where the text cannot be read to its end.
    """
    document = Document(file, None)
    try:
        root, mistakes = _root(text)
        if not root.is_mapping:
            what = "empty" if root.scalar is None and root.items is None else "not a mapping"
            if isinstance(root.scalar, str) and _NO_SPACE.match(root.scalar):
                what += ", a key needs a space after its colon"
            raise _Refused(root.mark, f"the file is {what}, expected keys such as name, route, strategies")
        document.value = _Expander(document).expand(root, ())
    except _Refused as refused:
        mark = refused.mark
        place = Place(mark.line + 1, mark.column + 1) if mark is not None else Place()
        document = Document(file, None, values={refused.path: place})
        raise ScenarioErrors(document.lines([Problem(refused.path, refused.text)])) from None
    document.problems = [Problem(m.path, m.text, place=Place(m.mark.line + 1, m.mark.column + 1)) for m in mistakes]
    return document


def parse_value(text: str) -> Any:
    """Return the YAML value in `text`, as given on the command line: `10 s`, `3`, `[a, b]`. Raises ValueError."""
    try:
        root, mistakes = _root(text)
        if mistakes:
            raise ValueError(mistakes[0].text)
        # the value has no place of its own: that of the option stands for it
        return _Expander(Document("", None)).expand(root, ())
    except _Refused as refused:
        raise ValueError(refused.text) from None


def _root(text: str) -> tuple[_Node, list[_Mistake]]:
    if len(text) > MAX_BYTES:
        raise _Refused(None, f"the file is larger than {MAX_BYTES // 2**20} MiB")
    try:
        reader = _Reader(iter(yaml.parse(text, Loader=yaml.SafeLoader)))
        event = reader.next()
        while not isinstance(event, yaml.DocumentStartEvent):
            if isinstance(event, yaml.StreamEndEvent):
                return _Node(yaml.Mark("", 0, 0, 0, None, 0), open=False), []
            event = reader.next()
        root = reader.node(reader.next(), 0, ())
        reader.next()  # document end
        event = reader.next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Refused(event.start_mark, "a second document begins here, a scenario file has one")
    except yaml.MarkedYAMLError as error:
        what = next((said for found, said in _IN_WORDS if found in str(error.problem)), None)
        what = what or ", ".join(part for part in (error.context, error.problem) if part)
        raise _Refused(error.problem_mark or error.context_mark, one_line(f"not valid YAML: {what}")) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
        mark = yaml.Mark("", error.position, line, column, None, 0)
        raise _Refused(mark, f"character U+{int(error.character):04X} is not allowed in YAML") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a directive or escape that PyYAML cannot convert
        raise _Refused(None, one_line(f"not valid YAML: {error}")) from None
    return root, reader.mistakes


@dataclass(slots=True)
class _Expander:
    document: Document
    nodes: int = 0

    def expand(self, node: _Node, path: Path) -> Any:
        """Return plain data and note the place of each part; aliases are expanded, up to a number of nodes."""
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > 2 * MAX_DEPTH:
            raise _Refused(node.mark, f"more than {MAX_NODES} values, or deeper than {2 * MAX_DEPTH}, once aliases are expanded")
        self.document.values[path] = Place(node.mark.line + 1, node.mark.column + 1)
        if node.items is None:
            return node.scalar
        parts = []
        for mark, key, inner in node.items:
            self.document.keys[(*path, key)] = Place(mark.line + 1, mark.column + 1)
            parts.append((key, self.expand(inner, (*path, key))))
        return dict(parts) if node.is_mapping else [part for _key, part in parts]


def _scalar(event: Any) -> Any:
    """Return the value of a scalar; a ValueError says what is not allowed."""
    text: str = event.value
    tag = event.tag
    if any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in text):
        raise ValueError("text with NUL or half a surrogate pair is not allowed")
    if tag in ("!", f"{_TAG}str") or (tag is None and event.style is not None):
        return text
    if tag is not None and tag not in {_TAG + kind for kind in ("null", "bool", "int", "float")}:
        raise ValueError(f"tag {_short_tag(tag)} is not allowed")
    value = _plain(text)
    if tag is None or tag == f"{_TAG}{_KINDS.get(type(value), '')}":
        return value
    if tag == f"{_TAG}float" and type(value) is int:
        return float(value)
    raise ValueError(f"{_shown(event)} is not of the type its tag {_short_tag(tag)} says")


#: What PyYAML says of common slips -> what to do about them.
_IN_WORDS = (
    ("'\\t' that cannot start", "a tab, expected spaces: YAML knows no tabs as indentation"),
    ("that cannot start any token", "a text that begins with this character needs quotes"),
    (
        "mapping values are not allowed here",
        "a `key: value` where a value is expected: quote a text with a colon, or indent less",
    ),
    ("expected '<document start>'", "text after the end of the document, a scenario file has one"),
)
_KINDS = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}


def _plain(text: str) -> Any:
    """Resolve a plain scalar by the core schema (YAML 1.2.2, 10.3.2)."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not allowed, expected a finite number")
    number = _INT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text) or _FLOAT.fullmatch(text)
    if number is None:
        return text
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("the number is too long")
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if math.isinf(float(text)):
        raise ValueError(f"{one_line(text, 60)} is too large for a number")
    return float(text)


def _short_tag(tag: str) -> str:
    return one_line("!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag, 60)


def _shown(event: Any) -> str:
    return one_line(getattr(event, "value", "") or "null", 60)
