"""The compiled form of the hot modules: used only while it fits, equal in its results, open to a user's own classes."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sim import compiled

ROOT = compiled.ROOT
SOURCES = compiled.sources()
MODULES = compiled.modules(SOURCES)
BUILT = compiled.build_folder().is_dir()
needs_build = pytest.mark.skipif(not BUILT, reason="the simulation is not compiled for this interpreter: make compile")


def python(code: str, *, pure: bool = False, root: Path = ROOT) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), compiled.PURE: "1" if pure else ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imports_of(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(compiled.source_of(module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sim"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if compiled.source_of(name).is_file()} or {node.module}
    return found


def compile_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_tool", ROOT / "tools" / "compile.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for module in (*SOURCES, "sim.__init__", "sim.compiled"):
        target = compiled.source_of(module, tmp_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(compiled.source_of(module), target)
        if target.stem != "__init__":
            (target.parent / "__init__.py").touch()
    return tmp_path


def test_modules_of_settings_are_left_to_the_interpreter():
    assert {"sim.strategies.mqtt_vehicle", "sim.protocols.mqtt_session", "sim.model.driver"} <= set(MODULES)
    assert not {"sim.strategies.config", "sim.protocols.server", "sim.protocols.broker_presets"} & set(MODULES)


def test_the_key_covers_every_module_of_the_lab_that_a_compiled_one_imports():
    imported = set().union(*(imports_of(module) for module in MODULES))
    assert imported <= set(SOURCES), "list it in sim/compiled.py: SINGLE or TYPES"


@pytest.mark.parametrize("module", ["sim.model.link", "sim.strategies.config"])
def test_an_edit_gives_another_key(checkout, module):
    before = compiled.build_folder(checkout)
    assert before == compiled.build_folder()
    with compiled.source_of(module, checkout).open("a") as source:
        source.write("\n")
    assert compiled.build_folder(checkout) != before


@pytest.mark.parametrize(
    ("folder", "pure", "used"),
    [("<key>", False, True), ("<key>", True, False), ("0123456789abcdef", False, False), ("", False, False)],
)
def test_a_build_is_used_only_where_it_fits_and_is_wanted(checkout, folder, pure, used):
    if folder:
        (checkout / "build" / "compiled" / folder.replace("<key>", compiled.build_folder(checkout).name)).mkdir(parents=True)
    assert python("import sim.compiled; print(sim.compiled.in_use())", pure=pure, root=checkout).strip() == str(used)


def test_constructors_are_written_out_without_moving_a_line():
    tool = compile_tool()
    for module in MODULES:
        source = compiled.source_of(module).read_text()
        changed = tool.with_constructors(source).split("\n")
        for before, after in zip(source.split("\n"), changed, strict=True):
            assert before == after or (not before and "def __init__(self" in after)


@pytest.mark.parametrize("module", ["sim.machine", "sim.protocols.mqtt_packets"])
def test_no_record_of_the_contract_is_left_to_the_interpreter(module):
    """A base class in another module would do that: the tool cannot see whether it has fields."""
    source = compiled.source_of(module).read_text()
    written = compile_tool().with_constructors(source).count("def __init__(") - source.count("def __init__(")
    assert written == source.count("@dataclass(slots=True)")


def test_a_constructor_that_is_written_out_is_that_of_the_dataclass():
    source = "class A:\n    x: int\n    y: str = 'b'\n\n"
    written = compile_tool().with_constructors("@dataclass(slots=True)\n" + source)
    assert written.split("\n")[4] == "    def __init__(self, x: int, y: str = 'b') -> None: self.x = x; self.y = y"


DIGESTS = """
import json
from sim import compiled
from sim.record.tables import digest
from sim.scenario.load import load
from sim.study.run import run_tables
found = {"compiled": compiled.in_use()}
for name in ("seed_message_flow", "city_a_to_b"):
    tables, _, _ = run_tables(load(f"scenarios/{name}.yaml", replications=2))
    found[name] = digest(tables, {})
print(json.dumps(found))
"""


@needs_build
def test_results_are_equal_to_the_last_byte():
    fast, plain = json.loads(python(DIGESTS)), json.loads(python(DIGESTS, pure=True))
    assert fast.pop("compiled")
    assert not plain.pop("compiled")
    assert fast == plain


SUBCLASS = """
import sim.strategies.mqtt_vehicle as home
from sim.strategies.backend import HybridBackend, MQTTBackend
from sim.strategies.hybrid import HybridVehicle
from sim.strategies.push_backend import PushBackend
from sim.strategies.push_vehicle import PushVehicle
for base in (home.MQTTVehicle, HybridVehicle, PushVehicle, MQTTBackend, HybridBackend, PushBackend):
    class Own(base):
        def next_deadline(self):
            return 7.0
    assert Own.__new__(Own).next_deadline() == 7.0
print(home.__file__)
"""


@needs_build
def test_a_user_may_make_subclasses_in_plain_python():
    assert not python(SUBCLASS).strip().endswith(".py")


ERRORS = """
from sim.machine import AddressChanged, Deadlines
from sim.strategies.build import build_machines
from sim.strategies.config import MQTTPersistent
from sim.model.simulate import Setting, make_context
from sim.study.bench import fleet_setting, fleet_timeline
context = make_context(fleet_setting(), fleet_timeline(0, 10.0), 0, 0)
vehicle, _ = build_machines("mqtt_persistent", MQTTPersistent(), context)
def name(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
print(name(lambda: vehicle.handle(0.0, object())), name(lambda: AddressChanged()), name(lambda: AddressChanged("10.0.0.1").port))
"""


@needs_build
def test_errors_have_the_same_types():
    assert python(ERRORS) == python(ERRORS, pure=True) == "KeyError TypeError AttributeError\n"
