"""The top of the scenario file as one settings dataclass: the keys of Scenario, with those of the drive in place of `drive`."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from sim.drive.config import DriveConfig
from sim.scenario.scenario import Scenario
from sim.settings import setting

#: Keys that are read apart: what they may hold depends on the strategy that is named.
APART = ("strategies", "objectives")
DRIVE_KEYS = tuple(field.name for field in dataclasses.fields(DriveConfig))


def _top() -> type:
    hints = typing.get_type_hints(Scenario)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(Scenario):
        if field.name == "drive":
            drive_hints = typing.get_type_hints(DriveConfig)
            fields += [(f.name, drive_hints[f.name], _copied(f)) for f in dataclasses.fields(DriveConfig)]
        elif field.name in APART:
            fields.append((field.name, Any, setting((), field.metadata["doc"])))
        elif field.name not in ("source", "folder"):
            fields.append((field.name, hints[field.name], _copied(field)))
    fields.append(("sweep", Any, setting(None, "what `python -m sim sweep` varies; other commands leave it alone")))
    return dataclasses.make_dataclass("ScenarioFile", fields, frozen=True, kw_only=True)


def _copied(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory, metadata=field.metadata)
    return dataclasses.field(default=field.default, metadata=field.metadata)


#: Settings dataclass of the file as it is written.
ScenarioFile: type = _top()
