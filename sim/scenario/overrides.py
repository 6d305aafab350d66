"""Options of the command line that change the file as read: --set, --vary, --strategy, --replications, --seed.

They change plain data before it is validated, so that a value given by an option is judged as one in the file is; its
place is then the option.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim.scenario.choices import label_of, use_of
from sim.scenario.document import Document, Path, Place, Problem, nearest, unknown
from sim.scenario.models import SHORTHANDS, keys_of
from sim.scenario.shape import ScenarioFile
from sim.scenario.yaml_text import parse_value
from sim.strategies.catalog import STRATEGIES


@dataclass(slots=True)
class Selection:
    """What became of the strategies: for each in the document, the name that the file or an option knows it by."""

    origins: list[str] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)


class _Wrong(ValueError):
    """An option that cannot be applied."""


def apply_options(
    document: Document,
    sets: Sequence[str] = (),
    varies: Sequence[str] = (),
    strategies: Sequence[str] = (),
    replications: int | None = None,
    seed: int | None = None,
) -> tuple[Selection, list[Problem]]:
    """Change the document in place; return what became of the strategies, and the options that cannot be applied."""
    problems: list[Problem] = []
    add_named(document, strategies)
    for key, number in (("replications", replications), ("seed", seed)):
        if number is not None:
            _put(document, (key,), number, Place(option=f"--{key}", path=(key,)))
    paths: dict[str, Path] = {}
    for text in sets:
        try:
            paths[text] = _set(document, text)
        except ValueError as error:
            problems.append(_problem("--set", text, error))
    selection = _select(document, strategies, problems)
    for text, path in paths.items():
        of_strategy = path[0] == "strategies" and len(path) > 1 and int(path[1]) < len(selection.kept)
        if of_strategy and not selection.kept[int(path[1])]:
            problems.append(_problem("--set", text, _left_out(selection.origins[int(path[1])])))
    _vary(document, varies, selection, problems)
    return selection, problems


def add_named(document: Document, names: Sequence[str]) -> None:
    """Add catalog strategies that are asked for by name and that the file does not list, with their defaults."""
    listed = document.value.get("strategies", [])
    if not isinstance(listed, list):
        return
    for name in names:
        known = {label_of(item) for item in listed} | {use_of(item) for item in listed}
        if name in STRATEGIES and name not in known:
            listed.append(name)
            document.values["strategies", len(listed) - 1] = Place(
                option=f"--strategy {name}", path=("strategies", len(listed) - 1)
            )
    if listed:
        document.value["strategies"] = listed


def _problem(option: str, text: str, error: Exception) -> Problem:
    return Problem((), str(error), place=Place(option=f"{option} {text.partition('=')[0].strip() or text}"))


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _Wrong("expected key=value, such as hybrid.keep_alive='10 s'")
    return key.strip(), value


def _set(document: Document, text: str) -> Path:
    """Apply an option; return the path that it changed."""
    key, value_text = _split(text)
    path = _path(document, key)
    value = parse_value(value_text)
    _put(document, path, value, Place(option=f"--set {key}", path=path))
    return path


def _left_out(label: str) -> _Wrong:
    return _Wrong(f"{label} is left out by --strategy, the option changes nothing")


def put_at_key(document: Document, key: str, value: Any, place: Place) -> None:
    """Put a value where a dotted key says, as --set does; what is wrong with it is said to be at `place`. Raises ValueError."""
    path = _path(document, key)
    _put(document, path, value, replace(place, path=path))


def _path(document: Document, key: str) -> Path:
    """Return the path that a dotted key means: first a strategy by name, then the scenario's own keys."""
    listed = document.value.get("strategies")
    labels = {label: at for at, item in enumerate(listed if isinstance(listed, list) else []) if (label := label_of(item))}
    for label in sorted(labels, key=len, reverse=True):
        if key == label:
            raise _Wrong(f"is a strategy, name one of its settings, such as {label}.keep_alive")
        if key.startswith(f"{label}."):
            at: Path = ("strategies", labels[label])
            _open(document, at)
            return at + _steps(document, at, key[len(label) + 1 :])
    first = key.split(".")[0]
    if first not in keys_of(ScenarioFile) and first not in document.value:
        known = [*labels, *keys_of(ScenarioFile)]
        near = nearest(first, known)
        hint = f"did you mean {near}" if near else f"strategies here: {', '.join(labels) or 'none'}"
        raise _Wrong(f"{first!r} is neither a strategy nor a key of the scenario, {hint}")
    return _steps(document, (), key)


def _steps(document: Document, at: Path, key: str) -> Path:
    """Return the parts of a dotted key below `at`; a key that has a dot itself is found where it exists."""
    parts = key.split(".")
    path: Path = ()
    while parts:
        here = _open(document, at + path)
        if isinstance(here, list):
            if not parts[0].isdecimal() or int(parts[0]) >= len(here):
                shown = ".".join(str(part) for part in path) or "the list"
                allowed = f"0 to {len(here) - 1}" if here else "it is empty"
                raise _Wrong(f"there is no item {parts[0]!r} in {shown}, expected its number, {allowed}")
            path, parts = (*path, int(parts[0])), parts[1:]
            continue
        cut = 1
        if isinstance(here, dict):
            cut = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in here), 1)
        path, parts = (*path, ".".join(parts[:cut])), parts[cut:]
        if not path[-1]:
            raise _Wrong("expected a dotted key, such as link.rtt.median")
    return path


def _open(document: Document, path: Path) -> Any:
    """Return what is at `path`, a name alone made into the section it stands for; None where nothing is there."""
    here: Any = document.value
    for at, part in enumerate(path):
        try:
            inner = here[part]
        except (KeyError, IndexError, TypeError):
            return None
        if isinstance(inner, str):
            full = {"use": inner} if path[:1] == ("strategies",) and at == 1 else None
            if part in SHORTHANDS:
                full = {SHORTHANDS[str(part)]: inner}
            if full is not None:
                here[part] = inner = full
                document.values[(*path[: at + 1], *full)] = document.values.get(path[: at + 1], Place())
        here = inner
    return here


def _put(document: Document, path: Path, value: Any, place: Place) -> None:
    """Put a value where `path` says, with the sections on the way; forget what was written below it."""
    short = SHORTHANDS.get(str(path[-1]))
    if short and isinstance(value, str) and isinstance(_open(document, path), dict):
        path, place = (*path, short), replace(place, path=(*path, short))
    here = document.value
    for at, part in enumerate(path[:-1]):
        inner = _open(document, path[: at + 1])
        if inner is None:
            here[part] = inner = {}
            document.keys[path[: at + 1]] = document.values[path[: at + 1]] = place
        if not isinstance(inner, dict | list):
            shown = ".".join(str(step) for step in path[: at + 1])
            raise _Wrong(f"{shown} is a single value, it has no keys")
        here = inner
    # `dns_ttl` and `dns: {ttl}` are the same setting: the one given last counts
    if path[-2:] == ("server", "dns_ttl") and isinstance(here.get("dns"), dict):
        here["dns"].pop("ttl", None)
    if path[-3:] == ("server", "dns", "ttl"):
        document.value["server"].pop("dns_ttl", None)
    here[path[-1]] = value
    for places in (document.keys, document.values):
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
        places[path] = place
    document.problems = [problem for problem in document.problems if problem.path[: len(path)] != path]


def _select(document: Document, names: Sequence[str], problems: list[Problem]) -> Selection:
    listed = document.value.get("strategies")
    items = listed if isinstance(listed, list) else []
    labels = [label_of(item) or "" for item in items]
    uses = [use_of(item) or "" for item in items]
    kept = [not names] * len(items)
    for name in names:
        matching = labels if name in labels else uses
        if name not in matching:
            text = unknown("strategy", name, list(dict.fromkeys([*labels, *STRATEGIES])))
            problems.append(Problem((), text, place=Place(option=f"--strategy {name}")))
        kept = [keep or matched == name for keep, matched in zip(kept, matching, strict=True)]
    if any(name not in labels and name not in uses for name in names):  # what is left out nobody knows
        kept = [True] * len(items)
    return Selection(labels, kept)


def _vary(document: Document, varies: Sequence[str], selection: Selection, problems: list[Problem]) -> None:
    """Replace strategies by one variant for each value, or for each combination of values."""
    axes: dict[str, list[tuple[str, list[str]]]] = {}
    for text in varies:
        try:
            key, values_text = _split(text)
            labels = [label for label in selection.origins if label and key.startswith(f"{label}.")]
            if not labels:
                names = ", ".join(selection.origins)
                raise _Wrong(f"--vary takes a setting of a strategy ({names}); other keys are set with --set, one run each")
            label = max(labels, key=len)
            if not selection.kept[selection.origins.index(label)]:
                raise _left_out(label)
            values = split_values(values_text)
            axes.setdefault(label, []).append((key[len(label) + 1 :], values))
        except ValueError as error:
            problems.append(_problem("--vary", text, error))
    for label, options in axes.items():
        at = selection.origins.index(label)
        combinations = list(itertools.product(*([(key, value) for value in values] for key, values in options)))
        _multiply(document, at, len(combinations))
        selection.origins[at : at + 1] = [label] * len(combinations)
        selection.kept[at : at + 1] = [selection.kept[at]] * len(combinations)
        for offset, combination in enumerate(combinations):
            item: Path = ("strategies", at + offset)
            name = f"{label} " + ", ".join(f"{key}={value}" for key, value in combination)
            option = f"--vary {label}.{combination[0][0]}"
            _open(document, item)
            _put(document, (*item, "name"), name, Place(option=option, path=(*item, "name")))
            for key, value in combination:
                try:
                    path = item + _steps(document, item, key)
                    _put(document, path, parse_value(value), Place(option=f"--vary {label}.{key}", path=path))
                except ValueError as error:
                    problems.append(_problem("--vary", f"{label}.{key}", error))


def _multiply(document: Document, at: int, copies: int) -> None:
    """Repeat a strategy of the document, with the places of its parts; those after it move on."""
    listed = document.value["strategies"]
    listed[at : at + 1] = [_copied(listed[at]) for _ in range(copies)]
    for places in (document.keys, document.values):
        parts = [(path, places.pop(path)) for path in list(places) if path[:1] == ("strategies",) and len(path) > 1]
        for path, place in parts:
            index = int(path[1])
            targets = range(at, at + copies) if index == at else [index + copies - 1 if index > at else index]
            for target in targets:
                moved: Path = ("strategies", target, *path[2:])
                own = place.path[:2] == ("strategies", index)
                new_path: Path = ("strategies", target, *place.path[2:]) if own else place.path
                places[moved] = Place(place.line, place.column, place.option, new_path)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def split_values(text: str) -> list[str]:
    """Split at commas that are not inside brackets or quotes: `10 s,30 s`, `[a, b],[c]`."""
    values, depth, quote, start = [], 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "," and depth == 0:
            values.append(text[start:at])
            start = at + 1
    values = [value.strip() for value in (*values, text[start:])]
    if "" in values:
        raise _Wrong("expected values with commas between them, such as '10 s,30 s,60 s'")
    return values
