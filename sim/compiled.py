"""The compiled form of the hot modules: an option that changes the speed and nothing else.

`make compile` (tools/compile.py) has mypyc turn MODULES, as they are, into extension modules below build/compiled/<key>/.
The key is a hash of their sources, of the sources whose types they are compiled against, and of the interpreter. They are
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

#: What is compiled: all that runs once per event. Modules of settings are not, pydantic reads their classes.
MODULES = (
    "sim.machine",
    "sim.model.driver",
    "sim.model.link",
    "sim.model.network",
    "sim.protocols.http",
    "sim.protocols.mqtt_broker",
    "sim.protocols.mqtt_packets",
    "sim.protocols.mqtt_session",
    "sim.protocols.pending",
    "sim.protocols.registry",
    "sim.record.recorder",
    "sim.strategies.application",
    "sim.strategies.backend",
    "sim.strategies.data_centre",
    "sim.strategies.hybrid",
    "sim.strategies.mqtt_vehicle",
    "sim.strategies.ota",
    "sim.strategies.outbox",
    "sim.strategies.push_backend",
    "sim.strategies.push_vehicle",
    "sim.strategies.sources",
    "sim.streams",
)

#: What they import of the lab beside each other: the compiler trusts these types (a test compares with the import statements).
TYPES = (
    "sim.drive.config",
    "sim.drive.timeline",
    "sim.protocols.broker_presets",
    "sim.protocols.dns",
    "sim.protocols.mqtt_properties",
    "sim.protocols.server",
    "sim.protocols.tcp",
    "sim.protocols.tls",
    "sim.record.causes",
    "sim.strategies.backoff",
    "sim.strategies.config",
    "sim.strategies.context",
    "sim.strategies.workload",
    "sim.subclassing",
)

LIBRARY = "handover_lab__mypyc"  # the extension module that holds the code of all MODULES
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


def key(root: Path = ROOT) -> str:
    """Name of the build that fits the sources below `root` and this interpreter."""
    total = hashlib.blake2b(SUFFIX.encode(), digest_size=8)
    for module in (*MODULES, *TYPES):
        source = source_of(module, root).read_bytes()
        total.update(f"\0{module}\0{len(source)}\0".encode())
        total.update(source)
    return total.hexdigest()


class Finder:
    """Serves MODULES and their LIBRARY from the folder of a build; everything else is left to Python."""

    def __init__(self, folder: Path) -> None:
        self._paths = {module: str(extension_of(module, folder)) for module in (LIBRARY, *MODULES)}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Contract of sys.meta_path."""
        found = self._paths.get(name)
        if found is None:
            return None
        return spec_from_file_location(name, found, loader=ExtensionFileLoader(name, found))


def install() -> None:
    """Have this process use the compiled form, if there is one that fits. Called once, before MODULES are imported."""
    if not BUILDS.is_dir() or os.environ.get(PURE, "") not in ("", "0"):
        return
    folder = BUILDS / key()
    if folder.is_dir():
        sys.meta_path.insert(0, Finder(folder))


def in_use() -> bool:
    """Whether this process runs the compiled form."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)
