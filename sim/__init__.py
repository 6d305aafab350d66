"""The handover lab from Python: load a scenario, run it, read the records as polars frames, compare, draw.

    import sim

    result = sim.run("scenarios/one_handover.yaml", replications=5)
    result.summary()
    result.messages.filter(pl.col("outcome") == "lost")
    sim.compare(result)
    sim.figures.trade_off(result.metrics)

`import sim` loads no more than this file and sim/compiled.py: a name below is fetched from where it lives when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import_module("sim.compiled").install()  # before any module that has a compiled form is imported

if TYPE_CHECKING:
    from sim.notebook import Result, compare, read, run, timeline
    from sim.notebook_studies import gate, sensitivity, side_by_side, sweep, tune
    from sim.report import figures
    from sim.scenario.load import load

#: name -> (module, what it is called there; "" is the module itself)
_HOMES = {
    "Result": ("sim.notebook", "Result"),
    "compare": ("sim.notebook", "compare"),
    "figures": ("sim.report.figures", ""),
    "gate": ("sim.notebook_studies", "gate"),
    "load": ("sim.scenario.load", "load"),
    "read": ("sim.notebook", "read"),
    "run": ("sim.notebook", "run"),
    "sensitivity": ("sim.notebook_studies", "sensitivity"),
    "side_by_side": ("sim.notebook_studies", "side_by_side"),
    "sweep": ("sim.notebook_studies", "sweep"),
    "timeline": ("sim.notebook", "timeline"),
    "tune": ("sim.notebook_studies", "tune"),
}

__all__ = [
    "Result",
    "compare",
    "figures",
    "gate",
    "load",
    "read",
    "run",
    "sensitivity",
    "side_by_side",
    "sweep",
    "timeline",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sim' has no attribute {name!r}, it offers: {', '.join(__all__)}")
    module, inner = _HOMES[name]
    found: Any = import_module(module)
    if inner:
        found = getattr(found, inner)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
