"""Compile the hot modules with mypyc (sim/compiled.py says which, and when the result is used): `make compile`.

Does nothing where the build that fits the sources is there already. The sources are copied first and the build gets its
name last, so that neither an edit nor a kill half-way leaves a build that does not fit.

    python tools/compile.py                 an error (exit 1) where it is not possible
    python tools/compile.py --if-possible   one line and exit 0 where it is not possible
    python tools/compile.py --extras        the extras that an install needs for it: "fast", and "compiler" without a C compiler
"""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sim import compiled

KEPT = 6  # builds, of all interpreters; older ones are deleted
ABANDONED_S = 3600.0  # a build that was killed leaves a folder, which the next one deletes after this time
LOG = compiled.BUILDS / "compile.log"


def missing() -> str:
    """What is missing for a build, "" where nothing is."""
    if find_spec("mypyc") is None or find_spec("setuptools") is None:
        return "mypy and setuptools are missing (pip install -e '.[fast]')"
    if not has_compiler() and find_spec("ziglang") is None:
        return "a C compiler is missing (pip install -e '.[compiler]' brings one)"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's C headers are missing (Debian: python3-dev)"
    return ""


def has_compiler() -> bool:
    """Whether the machine has the C compiler that it names, or that this Python was built with."""
    return shutil.which((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]) is not None


def compiler() -> dict[str, str]:
    """The environment in which setuptools finds a C compiler: the machine's own, or else that of the package ziglang."""
    if has_compiler():
        return {}
    words = f"{shlex.quote(sys.executable)} -m ziglang cc"
    _own, *shared = (sysconfig.get_config_var("LDSHARED") or "cc -shared").split()
    return {"CC": words, "LDSHARED": " ".join([words, *shared])}


def build() -> str:
    """Build and return "", or why it failed."""
    compiled.BUILDS.mkdir(parents=True, exist_ok=True)
    clear_away()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=compiled.BUILDS) as name:
        work = Path(name)
        copy = work / "sources"
        shutil.copytree(compiled.ROOT / "sim", copy / "sim", ignore=shutil.ignore_patterns("__pycache__"))
        final = compiled.build_folder(copy)
        modules = compiled.modules(compiled.sources(copy))
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--work", str(work), *modules],
            cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            env={**os.environ, **compiler(), compiled.PURE: "1"},
        )  # fmt: skip
        LOG.write_text(done.stdout)
        if done.returncode:
            return f"the compiler failed, see {LOG.relative_to(compiled.ROOT)}"
        try:
            (work / "built").rename(final)
        except OSError:
            if not final.is_dir():  # somebody else may have built the same in the meantime
                raise
    return ""


def clear_away() -> None:
    """Delete what builds that were killed have left, and all but the newest builds."""
    for path in compiled.BUILDS.glob(".building-*"):
        if time.time() - path.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
    builds = sorted(compiled.BUILDS.glob("[0-9a-f]" * 16), key=lambda path: path.stat().st_mtime)
    for path in builds[: 1 - KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def with_constructors(source: str) -> str:
    """Write out the constructors that `@dataclass` would make: mypyc leaves those to the interpreter.

    Each goes into the blank line after the fields, so that the numbers of the lines, in tracebacks too, stay those of the
    source.
    """
    lines = source.split("\n")
    written: dict[str, tuple[int, str]] = {}  # class -> line and text
    fields_of: dict[str, dict[str, tuple[str, str]]] = {}  # class -> name -> annotation and default, inherited ones first
    left: list[ast.ClassDef] = []  # dataclasses that are left to the interpreter
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    known = {node.name for node in classes}
    for node in classes:
        fields_of[node.name] = {}
        bases = [ast.unparse(base) for base in node.bases]
        marks = "".join(ast.unparse(mark) for mark in node.decorator_list)
        if "dataclass" not in marks:
            continue
        declared = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        own = [item for item in declared if "ClassVar" not in ast.unparse(item.annotation)]
        fields = {name: field for base in bases for name, field in fields_of.get(base, {}).items()}
        for field in own:
            default = f" = {ast.unparse(field.value)}" if field.value is not None else ""
            fields[ast.unparse(field.target)] = (ast.unparse(field.annotation), default)
        fields_of[node.name] = fields
        place = (own[-1] if own else node.body[0]).end_lineno or 0  # counted from 0: the line after it
        special = "frozen" in marks or any("field(" in default for _, default in fields.values())
        if special or not known.issuperset(bases) or place >= len(lines) or lines[place].strip():
            left.append(node)
            continue
        arguments = ["self", *(f"{name}: {annotation}{default}" for name, (annotation, default) in fields.items())]
        body = "; ".join(f"self.{name} = {name}" for name in fields) or "pass"
        indent = " " * (node.col_offset + 4)
        written[node.name] = (place, f"{indent}def __init__({', '.join(arguments)}) -> None: {body}")
    while left:  # a class whose subclass is left to the interpreter has to be, too
        for base in left.pop().bases:
            if written.pop(ast.unparse(base), None):
                left += [node for node in classes if node.name == ast.unparse(base)]
    for place, text in written.values():
        lines[place] = text
    return "\n".join(lines)


def compile_here(work: Path, modules: list[str]) -> None:
    """In a process of its own, in the folder of the copied sources: run mypyc and the C compiler."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext  # type: ignore[import-untyped]

    sources = [compiled.source_of(module, Path()) for module in modules]
    for path in sources:
        path.write_text(with_constructors(path.read_text()))
    options = ["--ignore-missing-imports", f"--cache-dir={compiled.BUILDS / 'mypy_cache'}"]
    extensions = mypycify(
        [*options, *map(str, sources)],
        opt_level="1",  # 2 and 3 compile for longer and run no faster
        debug_level="0", target_dir=str(work / "c"),
        group_name=compiled.LIBRARY.removesuffix("__mypyc"),
    )  # fmt: skip
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib = str(work / "lib")
    command.build_temp = str(work / "objects")
    command.parallel = os.cpu_count()  # the library on one core, the modules that lead into it on the others
    command.ensure_finalized()
    command.run()
    for module in (compiled.LIBRARY, *modules):
        target = compiled.extension_of(module, work / "built")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(compiled.extension_of(module, work / "lib"), target)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--work"]:
        compile_here(Path(arguments[1]), arguments[2:])
        return 0
    if "--extras" in arguments:
        print("fast" if has_compiler() else "fast,compiler")
        return 0
    if compiled.build_folder().is_dir():
        return 0
    failed = missing()
    if not failed:
        print("compiling the simulation, once after each change of its sources ...", flush=True)
        begun = time.monotonic()
        failed = build()
    if failed:
        print(f"not compiled, the simulation runs as plain Python: {failed}")
        return 0 if "--if-possible" in arguments else 1
    print(f"compiled in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
