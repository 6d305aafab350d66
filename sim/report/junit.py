"""Verdicts as JUnit XML, which CI servers read and show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

#: XML 1.0 has no room for these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FAILED = ("missed", "worse")
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Case:
    """A verdict: of FAILED a failure, UNDECIDED skipped (`strict`: a failure), anything else a success."""

    name: str
    group: str
    verdict: str
    text: str


def write_junit(path: Path, suite: str, cases: Sequence[Case], strict: bool = False) -> None:
    """Write the file; OSError where that is not possible."""
    failures = sum(one.verdict in FAILED or (strict and one.verdict == UNDECIDED) for one in cases)
    skipped = sum(one.verdict == UNDECIDED for one in cases) if not strict else 0
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    root = ElementTree.Element("testsuites", counts)
    found = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **counts})
    for one in cases:
        case = ElementTree.SubElement(found, "testcase", {"name": _clean(one.name), "classname": _clean(one.group), "time": "0"})
        about = {"message": _clean(f"{one.verdict}: {one.text}")}
        if one.verdict in FAILED or (strict and one.verdict == UNDECIDED):
            ElementTree.SubElement(case, "failure", {**about, "type": one.verdict}).text = _clean(one.text)
        elif one.verdict == UNDECIDED:
            ElementTree.SubElement(case, "skipped", about)
        ElementTree.SubElement(case, "system-out").text = _clean(one.text)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("?", text)
