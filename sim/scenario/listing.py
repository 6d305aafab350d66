"""What `list` shows: the names that a scenario file or an option may use, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sim.measure.metrics_catalog import METRICS
from sim.protocols.broker_presets import PRESETS
from sim.scenario.document import ScenarioErrors, one_line, unknown
from sim.scenario.load import read_text
from sim.scenario.yaml_text import read_yaml
from sim.strategies.backoff import POLICIES
from sim.strategies.catalog import STRATEGIES

_SHIPPED = Path(__file__).resolve().parents[2] / "scenarios"


def listing(what: str | None = None) -> Iterator[str]:
    """Yield the lines of one list, or of all with a heading each. Raises ScenarioErrors for an unknown name."""
    if what is not None and what not in LISTS:
        raise ScenarioErrors([f"list {what}: {unknown('list', what, LISTS)}"])
    for at, name in enumerate(LISTS if what is None else [what]):
        if what is None:
            yield f"{'' if at == 0 else chr(10)}{name}:"
        rows = list(LISTS[name]())
        width = max((len(key) for key, _line in rows), default=0)
        for key, line in rows:
            yield f"{'' if what else '  '}{key:<{width}}  {line}"


def _scenarios() -> Iterator[tuple[str, str]]:
    folder = Path("scenarios") if Path("scenarios").is_dir() else _SHIPPED
    for path in [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("failures/*.yaml"))]:
        try:
            content = read_yaml(read_text(path), str(path)).value
            about = one_line(content.get("description") or "no description", 160)
        except ScenarioErrors as errors:
            about = f"cannot be read: {errors.lines[0]}"
        yield str(path), about


def _strategies() -> Iterator[tuple[str, str]]:
    for name, (_cls, line, _baseline) in STRATEGIES.items():
        yield name, line


def _presets() -> Iterator[tuple[str, str]]:
    for name, (behaviour, line) in PRESETS.items():
        yield name, f"{line} ({behaviour.status}: {behaviour.version})"


def _backoff() -> Iterator[tuple[str, str]]:
    for name, (_function, line) in POLICIES.items():
        yield name, line


def _metrics() -> Iterator[tuple[str, str]]:
    for name, metric in METRICS.items():
        yield name, f"{metric.doc} ({metric.unit}, {metric.better} is better)"


#: What can be listed, in the order of `list`.
LISTS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "scenarios": _scenarios,
    "strategies": _strategies,
    "presets": _presets,
    "backoff": _backoff,
    "metrics": _metrics,
}
