"""Documented defaults: a config field that carries what it means and where its value comes from.

Every room owns plain frozen dataclasses of settings. A field's name ends in its unit (`keep_alive_s`); the scenario file
writes the same name without the unit and the unit in the value (`keep_alive: 30 s`). The metadata set here feeds the JSON
Schema, the tables of docs/model.md and the error texts, so a default is written down once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

#: Suffix of a field name -> the kind of quantity the scenario file writes for it.
UNIT_SUFFIXES = {
    "_s": "duration",
    "_m": "distance",
    "_mps": "speed",
    "_bps": "rate",
    "_bytes": "size",
    "_dbm": "power",
    "_db": "ratio",
    "_hz": "frequency",
    "_share": "share",
}


def setting(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    source: str = "",
    *,
    factory: Any = dataclasses.MISSING,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
) -> Any:
    """Return a dataclass field with its meaning, the source of its default and its bounds.

    `at_least`, `above` and `at_most` are in the field's SI unit; `whole`: only whole numbers of it. A field without default
    is required.
    """
    metadata = {"doc": doc, "source": source, "at_least": at_least, "above": above, "at_most": at_most, "whole": whole}
    return dataclasses.field(default=default, default_factory=factory, metadata=metadata)


def unit_of(name: str) -> tuple[str, str | None]:
    """Split a field name into the scenario key and the kind of quantity: `keep_alive_s` -> (`keep_alive`, `duration`)."""
    for suffix in sorted(UNIT_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], UNIT_SUFFIXES[suffix]
    return name, None
