"""The rooms of the lab and what each may know: read from the syntax trees of the sources (ARCHITECTURE.md)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

SIM = Path(__file__).resolve().parents[1] / "sim"
SOURCES = sorted(SIM.rglob("*.py"))

#: room -> the rooms whose modules it may import. `sim` stands for the modules that lie in no room.
PURE = {"checking", "fleet", "machine", "parking", "settings", "streams", "subclassing"}
MAY_IMPORT = {
    "checking": set(),
    "machine": {"subclassing"},
    "fleet": {"settings", "streams"},
    "parking": set(),
    "settings": set(),
    "streams": set(),
    "subclassing": set(),
    "server": {"checking", "settings", "streams"},
    "protocols": {"machine", "server", "settings", "subclassing"},
    "strategies": {"protocols", *PURE},
    "record": {"machine", "parking", "drive"},  # drive: for LinkTimeline alone, see below
    "drive": {"checking", "parking", "settings", "streams"},
    "model": {"drive", "server", "strategies", "protocols", "record", *PURE},
    "live": {"drive", "server", "strategies", "protocols", "record", *PURE},
    "measure": {"record", "drive", "parking", "settings", "streams"},
    "report": {"measure", "record"},
    "scenario": {"drive", "server", "strategies", "protocols", "measure", "record", *PURE},
    "study": {
        "scenario",
        "model",
        "live",
        "measure",
        "record",
        "report",
        "drive",
        "server",
        "strategies",
        "protocols",
        "compiled",
        *PURE,
    },
}

#: what a module may know beyond its room
ALLOWED_TOO = {
    ("live/loopback.py", "sim.model.link"),  # the relay plays the same pure function of the timeline as the model
}

#: third-party and standard modules that only these rooms or modules may know
ONLY_IN = {
    "simpy": {"model", "study/bench.py"},
    "asyncio": {"live", "study/live.py", "study/probe.py"},  # these begin the loop in which live sessions run
    "socket": {"live"},
    "ssl": {"live", "study/probe.py"},
    "pydantic": {"scenario"},
}
#: what makes a machine, a drive or a metric depend on anything but its arguments
IMPURE = {"time", "random", "datetime", "secrets", "uuid", "threading", "os", "subprocess"}
PURE_ROOMS = {"protocols", "strategies", "drive", "server", "measure", "checking", "fleet", "machine", "parking", "streams"}


def name_of(path: Path) -> str:
    return path.relative_to(SIM).as_posix()


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(SIM).parts
    return first if rest else Path(first).stem


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[str, int]]:
    """(module, line) of every import of a file, inside functions too; relative ones are not used in this lab."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            if node.module == "sim":
                found += [(f"sim.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((node.module or "", node.lineno))
    return found


def test_there_are_sources():
    assert len(SOURCES) > 60
    assert {room_of(path) for path in SOURCES} >= set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_from_the_rooms_below_it(room):
    wrong = []
    for path in SOURCES:
        if room_of(path) != room:
            continue
        for module, line in imports(path):
            parts = module.split(".")
            if parts[0] != "sim" or len(parts) < 2 or (name_of(path), module) in ALLOWED_TOO:
                continue
            if parts[1] != room and parts[1] not in MAY_IMPORT[room]:
                wrong.append(f"{name_of(path)}:{line} imports {module}")
    assert wrong == []


def test_record_and_measure_know_of_the_drive_its_timeline_alone():
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in SOURCES
        if room_of(path) in ("record", "measure")
        for module, line in imports(path)
        if module.startswith("sim.drive") and module != "sim.drive.timeline"
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ONLY_IN)
def test_a_library_is_known_only_where_it_belongs(module):
    wrong = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        for imported, line in imports(path)
        if imported.split(".")[0] == module and room_of(path) not in ONLY_IN[module] and name_of(path) not in ONLY_IN[module]
    ]
    assert wrong == []


def test_pure_rooms_have_neither_clock_nor_chance_nor_system():
    wrong = [
        f"{name_of(path)}:{line} imports {module}"
        for path in SOURCES
        if room_of(path) in PURE_ROOMS
        for module, line in imports(path)
        if module.split(".")[0] in IMPURE
        # the one generator that is set anew for each draw must not be shared between threads
        and (name_of(path), module) != ("streams.py", "threading")
    ]
    assert wrong == []


def test_nobody_draws_from_the_module_wide_generator():
    """Draws are addressed (sim/streams.py): no numpy.random but its Philox, no random, anywhere."""
    wrong = []
    for path in SOURCES:
        wrong += [f"{name_of(path)}:{line}" for module, line in imports(path) if module.split(".")[0] in ("random", "secrets")]
        for node in ast.walk(tree_of(path)):
            numpy_random = isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random")
            if numpy_random and name_of(path) != "streams.py":
                wrong.append(f"{name_of(path)}:{node.lineno}")
    assert wrong == []


def test_no_file_is_longer_than_700_lines():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: n for name, n in lengths.items() if n > 700} == {}


def test_no_file_is_a_drawer_for_everything():
    wrong = [
        name_of(path) for path in SOURCES if re.search(r"(^|_|/)(utils?|helpers?|common|manager|misc)(_|\.|/)", name_of(path))
    ]
    assert wrong == []


#: modules that are the front page of several files
FRONT_PAGES = {"__init__.py", "report/figures.py", "live/mqtt_codec.py", "subclassing.py"}


def test_a_module_exports_nothing_that_it_has_imported():
    """`__all__` of a front page may; elsewhere a name is imported from where it is defined."""
    wrong = []
    for path in SOURCES:
        if name_of(path) in FRONT_PAGES or path.name == "__init__.py":
            continue
        tree = tree_of(path)
        own = {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        } | {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }  # fmt: skip
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
                foreign = {element.value for element in node.value.elts} - own
                wrong += [f"{name_of(path)}: {name}" for name in sorted(foreign)]
    assert wrong == []


def test_every_simplification_is_marked_so_that_a_reader_finds_it():
    """The word stands in the sources; docs/model.md collects them."""
    marked = [name_of(path) for path in SOURCES if "Simplification:" in path.read_text(encoding="utf-8")]
    assert {"model/link.py", "model/network.py"} <= set(marked)


@pytest.mark.parametrize("room", ["protocols", "strategies"])
def test_machines_have_slots(room):
    """Every class that holds state declares its attributes; enums, protocols and dataclasses have theirs otherwise."""
    wrong = []
    for path in SOURCES:
        if room_of(path) != room:
            continue
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ClassDef) or node.decorator_list:
                continue
            if any(isinstance(base, ast.Subscript) for base in node.bases):
                continue  # a container with something more
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if bases & {"Enum", "IntEnum", "Protocol", "Exception", "ValueError", "NamedTuple"}:
                continue
            assigned = {t.id for n in node.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
            has_state = any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in node.body)
            if has_state and "__slots__" not in assigned:
                wrong.append(f"{name_of(path)}:{node.lineno} {node.name}")
    assert wrong == []
