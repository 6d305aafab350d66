"""A strategy of the user's own: `use: my_strategy.py:MyStrategy`, the file relative to the scenario file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
import traceback
import types
import typing
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from sim.scenario.document import no_file, one_line
from sim.scenario.strategy_files import strategy_files

_MAX_BYTES = 2**20
_PREFIX = "handover_lab_user_"  # of the modules' names
_USE = re.compile(r"(?P<file>.+\.py):(?P<cls>[A-Za-z_][A-Za-z0-9_]*)")


class UserStrategyError(ValueError):
    """The file or the class cannot be used; the message is one line."""


def is_user_strategy(use: str) -> bool:
    """Whether `use` names a file rather than a strategy of the catalog."""
    return ".py" in use or ":" in use


def user_class(use: str, folder: Path) -> type[Any]:
    """Return the class that `use` names; its `Config` is a dataclass of settings, `vehicle` and `server` build
    its machines (sim.strategies.build.UserStrategy).

    The file is executed once per content, with the modules beside it that it imports. Raises UserStrategyError.
    """
    match = _USE.fullmatch(use)
    if match is None:
        raise UserStrategyError(f"{use!r} is not understood, expected the name of a strategy or file.py:Class")
    module = _module(folder / match["file"], match["file"])
    cls = getattr(module, match["cls"], None)
    if not isinstance(cls, type):
        names = [name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__]
        raise UserStrategyError(f"{match['file']} has no class {match['cls']}, it has: {', '.join(names) or 'none'}")
    config = getattr(cls, "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise UserStrategyError(f"class {match['cls']} of {match['file']} needs a dataclass `Config` with its settings")
    missing = [name for name in ("vehicle", "server") if not callable(getattr(cls, name, None))]
    if missing:
        raise UserStrategyError(
            f"class {match['cls']} of {match['file']} needs {' and '.join(f'`{n}(config, context)`' for n in missing)}"
        )
    try:
        typing.get_type_hints(config)
    except Exception as error:
        raise UserStrategyError(f"the types of {use} cannot be read: {one_line(error)}") from None
    taken = {"use", "name"} & {field.name for field in dataclasses.fields(config)}
    if taken:
        raise UserStrategyError(f"setting {taken.pop()!r} of {use} has the name of a key of the scenario file, choose another")
    return cls


class _Source(SourceFileLoader):
    """Compiles at each load: no __pycache__ beside the user's files, and none that may be old is read."""

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.get_data(self.path), self.path, "exec")


class _Beside(MetaPathFinder):
    """Finds the modules beside the strategies that have been loaded; of two with one name that of the strategy loaded last."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}

    def know(self, files: Mapping[str, Path]) -> None:
        """These are beside the strategy that is loaded next; whatever was loaded under their names is loaded anew."""
        for name, path in files.items():
            if name and (name in self.files or name not in sys.modules):  # else it is somebody else's, and stays that
                self.files[name] = path
                sys.modules.pop(name, None)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # before the current folder, where Python itself would look

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = self.files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file, loader=_Source(fullname, str(file)))


_BESIDE = _Beside()


def place_in_user_file(error: BaseException) -> str | None:
    """Return 'file.py:12' where an error passed through a user's strategy, in this process or a worker; else None."""
    files = {module.__file__ for name, module in sys.modules.items() if name.startswith(_PREFIX)}
    files |= {str(path) for path in _BESIDE.files.values()}
    found = re.findall(r'File "(.+)", line (\d+)', "".join(traceback.format_exception(error)))
    return next((f"{file}:{line}" for file, line in reversed(found) if file in files), None)


def _module(path: Path, shown: str) -> types.ModuleType:
    if wrong := no_file(path):
        raise UserStrategyError(f"{shown} {wrong}")
    try:
        with open(path, "rb") as file:
            source = file.read(_MAX_BYTES + 1)
        if len(source) > _MAX_BYTES:
            raise UserStrategyError(f"{shown} is larger than {_MAX_BYTES // 2**20} MiB, no strategy is")
    except OSError as error:
        raise UserStrategyError(f"cannot read {shown}: {error.strerror or error}") from None
    beside = strategy_files(path)
    total = hashlib.blake2b(str(path.resolve()).encode() + source, digest_size=8)
    for module_name, file_beside in sorted(beside.items())[1:]:
        total.update(f"\n{module_name}\n".encode() + file_beside.read_bytes())
    name = _PREFIX + total.hexdigest()
    if name in sys.modules:
        return sys.modules[name]
    _BESIDE.know(beside)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        # compiled here rather than imported: no __pycache__ beside the user's files, and no clash of module names
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = _line_of(error, str(path))
        where = f"{shown}:{line}" if line else shown
        raise UserStrategyError(f"{where}: {type(error).__name__}: {one_line(getattr(error, 'msg', error))}") from None
    return module


def _line_of(error: BaseException, path: str) -> int | None:
    """Return the last line of the user's file that the error passed through."""
    if isinstance(error, SyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
