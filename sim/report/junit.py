"""Verdicts as JUnit XML, which CI servers read and show."""

from __future__ import annotations

import errno
import os
import re
import tempfile
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


class JUnitNotWritten(Exception):
    """The file cannot be written; one line."""


def require_place(path: Path) -> None:
    """The file can be written. To be asked before any work is done. Raises JUnitNotWritten."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder, expected a file")
        if path.exists():
            with open(path, "ab"):
                pass
        else:
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(b" ")
                file.flush()
    except (OSError, ValueError) as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: Exception) -> JUnitNotWritten:
    return JUnitNotWritten(f"--junit {path}: cannot be written: {getattr(error, 'strerror', None) or error}")


def write_junit(path: Path, suite: str, cases: Sequence[Case], strict: bool = False) -> None:
    """Write the file, or leave what is there. Raises JUnitNotWritten."""
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
    text = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        if path.exists() and not path.is_file():  # a pipe, or /dev/stdout
            path.write_bytes(text)
            return
        whole = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            whole.write_bytes(text)
            whole.replace(path)
        except BaseException:
            whole.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _not_written(path, error) from None


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("?", text)
