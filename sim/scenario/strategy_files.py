"""The files that make a user's strategy: its own, and the modules beside it that it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

_TAKEN = sys.stdlib_module_names | {"sim"}


def strategy_files(path: Path) -> dict[str, Path]:
    """Module -> file, of what lies beside the strategy's file and is imported by it, in any depth; "" is that file itself.

    Read from the import statements, so that nothing is executed: what is imported by a computed name is not among them.
    A file that cannot be read or understood has no imports here. What has the name of a module of Python's is that.
    """
    found = {"": path}
    open_ends = [("", path)]
    while open_ends:
        for module in _imported(*open_ends.pop()):
            if module.partition(".")[0] in _TAKEN:
                continue
            for name, file in _places(path.parent, module):
                if name not in found and file.is_file() and file.resolve() != path.resolve():
                    found[name] = file
                    open_ends.append((name, file))
    return found


def _places(folder: Path, module: str) -> Iterator[tuple[str, Path]]:
    """Where a module and the packages around it would be."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        place = folder.joinpath(*parts[:depth])
        yield name, place / "__init__.py"
        yield name, place.with_suffix(".py")


def _imported(name: str, path: Path) -> Iterator[str]:
    """Modules that a file names in import statements; of `from a import b` both a and a.b, since b may be a module."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            if module:
                yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")
