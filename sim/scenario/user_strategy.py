"""A strategy of the user's own: `use: my_strategy.py:MyStrategy`, the file relative to the scenario file."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from sim.scenario.document import no_file, one_line
from sim.scenario.strategy_files import strategy_files

_MAX_BYTES = 2**20
_PREFIX = "handover_lab_user_"  # of the packages, one for each content
_FILE = "__main__"  # the strategy's own file in its package
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


def strategy_package(use: str, folder: Path) -> str:
    """Name of the package in which the modules of a strategy are in this process. Raises UserStrategyError."""
    file = use.rpartition(":")[0]
    return _module(folder / file, file).__name__.partition(".")[0]


class _Source(SourceFileLoader):
    """Compiles at each load: no __pycache__ beside the user's files, and none that may be old is read."""

    def __init__(self, fullname: str, path: str, names: Mapping[str, Any]) -> None:
        super().__init__(fullname, path)
        self._names = names

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.get_data(self.path), self.path, "exec")

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = self._names
        super().exec_module(module)


class _Beside(MetaPathFinder):
    """Finds the modules beside strategies, each in the package of its strategy: two of one name do not meet."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Path, Mapping[str, Any]]] = {}

    def know(self, package: str, files: Mapping[str, Path]) -> dict[str, Any]:
        """These are beside the strategy of that package; returns the builtins with which its modules find each other."""
        names = {**vars(builtins), "__import__": _importing(package, {name.partition(".")[0] for name in files})}
        self._found |= {f"{package}.{name}": (path, names) for name, path in files.items()}
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        return names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname in self._found:
            file, names = self._found[fullname]
            return spec_from_file_location(fullname, file, loader=_Source(fullname, str(file), names))
        if any(name.startswith(f"{fullname}.") for name in self._found):
            return ModuleSpec(fullname, None, is_package=True)  # a folder without __init__.py
        return None


def _importing(package: str, inside: Set[str]) -> Callable[..., types.ModuleType]:
    """`__import__` for the modules of a package whose statements name each other as if they were not in one."""

    def import_(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        top = name.partition(".")[0]
        if level or top not in inside:
            return __import__(name, globals_, locals_, fromlist or (), level)
        found = __import__(f"{package}.{name}", globals_, locals_, fromlist or ())
        return found if fromlist else sys.modules[f"{package}.{top}"]

    return import_


_BESIDE = _Beside()


def same_modules(package: str, other: str) -> None:
    """Let the modules of a strategy's package be found under another package's name too: where they were pickled."""
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            sys.modules.setdefault(other + name[len(package) :], module)


def place_in_user_file(error: BaseException) -> str | None:
    """Return 'file.py:12' where an error passed through a user's strategy, in this process or a worker; else None."""
    files = {getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith(_PREFIX)}
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
    files = strategy_files(path)
    total = hashlib.blake2b(str(path.resolve()).encode() + source, digest_size=8)
    del files[""]
    for module_name, file_beside in sorted(files.items()):
        total.update(f"\n{module_name}\n".encode() + file_beside.read_bytes())
    package = _PREFIX + total.hexdigest()
    name = f"{package}.{_FILE}"
    if name in sys.modules:
        return sys.modules[name]
    around = types.ModuleType(package)
    around.__path__ = []
    module = types.ModuleType(name)
    module.__file__, module.__package__ = str(path), package
    vars(module)["__builtins__"] = _BESIDE.know(package, files)
    sys.modules[package], sys.modules[name] = around, module  # dataclasses look their own module up
    try:
        # compiled here rather than imported: no __pycache__ beside the user's files, and no clash of module names
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        for loaded in [one for one in sys.modules if one == package or one.startswith(f"{package}.")]:
            del sys.modules[loaded]
        beside = {str(file): str(Path(shown).parent / file.relative_to(path.parent)) for file in files.values()}
        where = _place_of(error, {str(path): shown, **beside}) or shown
        text = one_line(getattr(error, "msg", error)).replace(f"{package}.", "")
        raise UserStrategyError(f"{where}: {type(error).__name__}: {text}") from None
    return module


def _place_of(error: BaseException, files: Mapping[str, str]) -> str | None:
    """Return 'file.py:12', the last place in these files (path -> as it is shown) that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename is not None and error.filename in files:
        return f"{files[error.filename]}:{error.lineno}"
    place, trace = None, error.__traceback__
    while trace is not None:
        if shown := files.get(trace.tb_frame.f_code.co_filename):
            place = f"{shown}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
