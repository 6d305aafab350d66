"""The compiled form of the hot modules: an option that changes the speed and nothing else.

`make compile` (tools/compile.py) has mypyc turn their sources, as they are, into extension modules below build/compiled/<key>/.
The key is a hash of those sources, of the sources whose types they are compiled against, and of the interpreter. They are
used only while the key of the present sources is the name of that folder: an edited source is never shadowed by an older build.
HANDOVER_LAB_PURE=1 in the environment switches the compiled form off.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

#: Compiled: what runs once per event. Of the two rooms all but the modules of settings, whose classes pydantic reads.
ROOMS = ("sim.protocols", "sim.strategies")
SINGLE = (
    "sim.machine",
    "sim.parking",
    "sim.model.agenda",
    "sim.model.carried",
    "sim.model.driver",
    "sim.model.fleet_driver",
    "sim.model.fleet_network",
    "sim.model.link",
    "sim.model.load",
    "sim.model.network",
    "sim.model.server_side",
    "sim.model.shared_cells",
    "sim.model.shared_nodes",
    "sim.model.transport",
    "sim.record.journal",
    "sim.record.recorder",
    "sim.streams",
)

#: What these import of the rest of the lab: the compiler trusts its types (a test compares with the import statements).
TYPES = (
    "sim.drive.config",
    "sim.drive.timeline",
    "sim.record.causes",
    "sim.server.config",
    "sim.server.timeline",
    "sim.settings",
    "sim.subclassing",
)

LIBRARY = "handover_lab__mypyc"  # the extension module that holds the code of all of them
ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build" / "compiled"
SUFFIX = EXTENSION_SUFFIXES[0]  # names the interpreter's version, its binary interface and the platform
PURE = "HANDOVER_LAB_PURE"


def source_of(module: str, root: Path = ROOT) -> Path:
    """Path of a module's source."""
    return root.joinpath(*module.split(".")).with_suffix(".py")


def extension_of(module: str, folder: Path) -> Path:
    """Path of a module's compiled form in the folder of a build."""
    return folder.joinpath(*module.split(".")).with_name(module.rpartition(".")[2] + SUFFIX)


def sources(root: Path = ROOT) -> dict[str, bytes]:
    """Module -> source, for all that a build depends on."""
    names = [*SINGLE, *TYPES]
    for room in ROOMS:
        folder = root.joinpath(*room.split("."))
        names += [f"{room}.{name[:-3]}" for name in os.listdir(folder) if name.endswith(".py") and name != "__init__.py"]
    return {name: source_of(name, root).read_bytes() for name in sorted(names)}


def modules(found: dict[str, bytes]) -> list[str]:
    """Those of `sources()` that are compiled."""
    return [name for name, source in found.items() if name not in TYPES and b"\nfrom sim.settings import " not in source]


def key(found: dict[str, bytes]) -> str:
    """Name of the build that fits these sources and this interpreter."""
    total = hashlib.blake2b(SUFFIX.encode(), digest_size=8)
    for name, source in found.items():
        total.update(f"\0{name}\0{len(source)}\0".encode())
        total.update(source)
    return total.hexdigest()


def build_folder(root: Path = ROOT) -> Path:
    """Where the build is, or would be, that fits the present sources below `root`."""
    return BUILDS / key(sources(root))


class Finder:
    """Serves the compiled modules and their LIBRARY from the folder of a build; everything else is left to Python."""

    def __init__(self, folder: Path, modules: list[str]) -> None:
        self._paths = {module: str(extension_of(module, folder)) for module in (LIBRARY, *modules)}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Contract of sys.meta_path."""
        found = self._paths.get(name)
        if found is None:
            return None
        return spec_from_file_location(name, found, loader=ExtensionFileLoader(name, found))


def install() -> None:
    """Have this process use the compiled form, if there is one that fits. Called once, before any of it is imported."""
    if not BUILDS.is_dir() or os.environ.get(PURE, "") not in ("", "0"):
        return
    found = sources()
    folder = BUILDS / key(found)
    if folder.is_dir():
        sys.meta_path.insert(0, Finder(folder, modules(found)))


def in_use() -> bool:
    """Whether this process runs the compiled form."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)
