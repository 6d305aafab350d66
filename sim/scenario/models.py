"""Settings dataclasses -> pydantic models, made when they are first needed. Only this room knows pydantic.

The dataclasses stay plain: a field `keep_alive_s` becomes the key `keep_alive` that takes a duration, its bounds and
its documentation come from `sim.settings.setting`. Validation of a model gives the dataclass itself.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)
from pydantic import create_model as create_pydantic_model
from pydantic_core import PydanticCustomError

from sim.checking import WRONG, NeedsWrong
from sim.protocols.server import Server
from sim.scenario.document import Path, Problem, nearest, one_line, unknown
from sim.scenario.leaves import Leaf, leaf_of
from sim.scenario.quantities import format_number, format_quantity
from sim.settings import unit_of

#: A section under this key may be given as text alone, which then stands for this key of it: `tls: hybrid`.
SHORTHANDS = {"broker": "preset", "tls": "profile", "backoff": "policy", "store": "kind"}
#: Keys that stand for one of a section below: `server.dns_ttl` for `server.dns.ttl`.
DEEP_KEYS: dict[type, dict[str, tuple[str, str]]] = {Server: {"dns_ttl": ("dns", "ttl_s")}}


_MOST_ATTEMPTS = 20  # each finds what the ones before it kept out of sight, some levels up
_SAID_TWICE: Any = "said_twice"
_MOST_PROBLEMS = 1000  # of one section; to look for the nearest name of each takes its time


class Key(NamedTuple):
    """A key of a section: the field behind it, its type and kind of quantity."""

    field: dataclasses.Field[Any]
    hint: Any
    kind: str | None


@cache
def keys_of(cls: type) -> dict[str, Key]:
    """Return the keys of a settings dataclass, in its order. Raises TypeError for a type that YAML cannot give."""
    hints = typing.get_type_hints(cls)
    keys: dict[str, Key] = {}
    for field in dataclasses.fields(cls):
        if field.init:
            name, kind = unit_of(field.name)
            if not _has_numbers(hints[field.name]):
                name, kind = field.name, None  # the unit is for numbers; a text named `grid_m` has none
            keys[name] = Key(field, hints[field.name], kind)
    for name, (section, inner) in DEEP_KEYS.get(cls, {}).items():
        section_cls = hints[section]
        field = next(field for field in dataclasses.fields(section_cls) if field.name == inner)
        keys[name] = Key(field, typing.get_type_hints(section_cls)[inner], unit_of(inner)[1])
    return keys


@cache
def model_of(cls: type) -> type[BaseModel]:
    """Return the pydantic model of a settings dataclass. Raises TypeError for a type that YAML cannot give."""
    fields: dict[str, Any] = {}
    for name, key in keys_of(cls).items():
        required = key.field.default is dataclasses.MISSING and key.field.default_factory is dataclasses.MISSING
        annotation = _annotation(key.hint, key.kind, key.field.metadata, name)
        # a prefix, since a user's strategy may have a setting named like something of pydantic's (`copy`, `json`)
        fields[f"key_{name}"] = (
            annotation,
            Field(... if required else None, alias=name, description=describe(key), json_schema_extra=_schema_extra(key)),
        )
    config = ConfigDict(extra="forbid", title=cls.__name__)
    return create_pydantic_model(cls.__name__, __config__=config, **fields)


def build(cls: type, data: Any, at: Path, refused: Iterable[Path] = ()) -> tuple[Any, list[Problem]]:
    """Validate plain data; return the dataclass and what is wrong with it.

    What is wrong in itself is WRONG in the dataclass, a required key that is missing too; the dataclass as a whole is
    where nothing of it can be made. `refused`: where the file could not be read, said already.
    """
    if not isinstance(data, dict):
        return WRONG, [Problem(at, "expected a mapping (key: value)")]
    data = _copied(data)
    for path in refused:
        if path[: len(at)] == at:
            _mark_refused(cls, data, path[len(at) :])
    problems: list[Problem] = []
    for _attempt in range(_MOST_ATTEMPTS):
        try:
            return _made(cls, model_of(cls).model_validate(data)), problems
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        except ValueError as error:
            return WRONG, [*problems, Problem(at, one_line(error))]
        told = details[:_MOST_PROBLEMS]
        meant = _meant(cls, data, told)
        problems += [_problem(cls, one, at) for one in told if one["loc"] not in meant]
        for one in details:
            _mark(data, one)
        for path in meant:
            _put_wrong(data, path)
    return WRONG, problems


def _meant(cls: type, data: Any, details: Sequence[Any]) -> set[Path]:
    """The keys that were meant by unknown ones, and are not given themselves: nothing is said about them."""
    found: set[Path] = set()
    for one in details:
        if one["type"] == "extra_forbidden":
            *parent, word = one["loc"]
            near = nearest(word, _keys_at(cls, parent))
            if near is not None and near not in _at(data, parent):
                found.add((*parent, near))
    return found


def _mark(data: Any, details: Any) -> None:
    """Make what is wrong WRONG, so that the rest can be looked at; take an unknown key out."""
    path: Path = details["loc"]
    if details["type"] == "extra_forbidden":
        del _at(data, path[:-1])[path[-1]]
    elif details["type"] == _SAID_TWICE:
        del _at(data, path)[details["ctx"]["key"]]
    else:
        _put_wrong(data, path)


def _put_wrong(data: Any, path: Path) -> None:
    here = data
    for at, part in enumerate(path[:-1]):
        inner = here[part]
        if inner is WRONG:
            return
        if not isinstance(inner, dict | list):  # a name alone, of a section: `tls: pqc`
            here[part] = {SHORTHANDS[str(part)]: inner} if at == len(path) - 2 and part in SHORTHANDS else WRONG
            if here[part] is WRONG:
                return
        here = here[part]
    here[path[-1]] = WRONG


def _mark_refused(cls: type, data: Any, path: Path) -> None:
    """Make WRONG what could not be read: a value, or all that a merge key might have brought."""
    here = _at(data, path[:-1])
    if path and path[-1] == "<<" and isinstance(here, dict):
        for key in _keys_at(cls, path[:-1]):
            here.setdefault(key, WRONG)
    elif path and _is_in(here, path[-1]) and not isinstance(here[path[-1]], dict | list):
        here[path[-1]] = WRONG


def _is_in(here: Any, key: str | int) -> bool:
    """Of a key that is written twice the first one counts: what was wrong in the other is not there."""
    if isinstance(here, list):
        return isinstance(key, int) and key < len(here)
    return isinstance(here, dict) and key in here


def _at(data: Any, path: Sequence[str | int]) -> Any:
    """What is at a path of plain data; None where nothing is."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copied(part) for key, part in data.items()}
    return [_copied(part) for part in data] if isinstance(data, list) else data


def describe(key: Key) -> str:
    """Return what a key means, its default and where that comes from, on one line."""
    meta = key.field.metadata
    default = default_text(key)
    source = meta.get("source")
    about = [f"default {default}"] if default else []
    if source:
        about.append(f"source: {source}")
    doc: str = meta.get("doc", "")
    return doc + (f" ({'; '.join(about)})" if about else "")


def default_text(key: Key) -> str:
    """Return the default as it would be written in the file; "" for a required key or a section."""
    default = key.field.default
    if default is dataclasses.MISSING or default is None or default == "":
        return ""
    return text_of(default, key.kind)


def text_of(value: Any, kind: str | None) -> str:
    """Return a value as it would be written in the file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format_quantity(value, kind) if kind else format_number(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(text_of(part, kind) for part in value)}]"
    return str(value)


def expectation(key: Key) -> str:
    """Return what a key takes, to complete 'expected ...'."""
    hint = _without_none(key.hint)[0]
    leaf = leaf_of(hint, key.kind, key.field.metadata)
    if leaf is not None:
        return leaf.expected
    if get_origin(hint) in (tuple, list):
        return f"a list{_pair_example(key.kind) if _is_pair(hint) else ''}"
    return "a mapping (key: value)"


def _annotation(hint: Any, kind: str | None, bounds: Mapping[str, Any], name: str) -> Any:
    inner, optional = _without_none(hint)
    made = _plain_annotation(inner, kind, bounds, name)
    return Annotated[made | None if optional else made, WrapValidator(_unless_wrong)]


def _unless_wrong(value: Any, check: Callable[[Any], Any]) -> Any:
    return value if value is WRONG else check(value)


def _plain_annotation(hint: Any, kind: str | None, bounds: Mapping[str, Any], name: str) -> Any:
    leaf = leaf_of(hint, kind, bounds)
    if leaf is not None:
        return Annotated[Any, PlainValidator(_checker(leaf)), WithJsonSchema(leaf.schema)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        made: Any = Annotated[model_of(hint), AfterValidator(lambda model: _made(hint, model))]
        short = SHORTHANDS.get(name)
        if short in keys_of(hint):
            return Annotated[made, BeforeValidator(lambda data: {short: data} if isinstance(data, str) else data)]
        return Annotated[made, BeforeValidator(_said_once(hint))] if hint in DEEP_KEYS else made
    origin, args = get_origin(hint), get_args(hint)
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is Ellipsis):
        parts: Any = list[_annotation(args[0], kind, bounds, name)]  # type: ignore[misc]
        return Annotated[parts, AfterValidator(tuple if origin is tuple else list)]
    if origin is tuple and _is_pair(hint):
        parts = list[_annotation(args[0], kind, bounds, name)]  # type: ignore[misc]
        return Annotated[parts, AfterValidator(_pair(kind)), Field(json_schema_extra={"minItems": 2, "maxItems": 2})]
    if origin is dict and args[0] is str:
        return dict[str, _annotation(args[1], kind, bounds, name)]  # type: ignore[misc]
    raise TypeError(f"setting {name!r} has a type that a scenario file cannot give: {hint}")


def _said_once(cls: type) -> Any:
    def check(data: Any) -> Any:
        for name, (section, inner) in DEEP_KEYS[cls].items():
            key = unit_of(inner)[0]
            if isinstance(data, dict) and name in data and isinstance(data.get(section), dict) and key in data[section]:
                text = f"{name} and {section}.{key} are the same setting, give one"
                raise PydanticCustomError(_SAID_TWICE, "{text}", {"text": text, "key": name})
        return data

    return check


def _checker(leaf: Leaf) -> Any:
    def check(value: Any) -> Any:
        try:
            return leaf.check(value)
        except ValueError as error:
            raise PydanticCustomError("setting", "{text}", {"text": str(error)}) from None

    return check


def _pair(kind: str | None) -> Any:
    def check(parts: list[Any]) -> tuple[Any, ...]:
        if len(parts) != 2:
            text = f"expected a list{_pair_example(kind)}, not {len(parts)} values"
            raise PydanticCustomError("setting", "{text}", {"text": text})
        return tuple(parts)

    return check


def _pair_example(kind: str | None) -> str:
    examples = {"distance": "[5 km, 0.3 km]", "duration": "[0.3 s, 3 s]"}
    return f" of two values such as {examples.get(kind or '', '[1, 2]')}"


def _made(cls: type, model: BaseModel) -> Any:
    """Return the dataclass with the keys that were given; the others keep its own defaults."""
    keys, deep = keys_of(cls), DEEP_KEYS.get(cls, {})
    given = {name: getattr(model, f"key_{name}") for name in keys if f"key_{name}" in model.model_fields_set}
    try:
        made = cls(**{keys[name].field.name: value for name, value in given.items() if name not in deep})
    except NeedsWrong:  # a class of the user's that computes with its settings
        return WRONG
    for name, (section, inner) in deep.items():
        if name in given and getattr(made, section) is not WRONG:
            made = dataclasses.replace(made, **{section: dataclasses.replace(getattr(made, section), **{inner: given[name]})})
    return made


def _problem(cls: type, details: Any, at: Path) -> Problem:
    loc: Path = details["loc"]
    path, kind = at + loc, details["type"]
    section = _keys_at(cls, loc[:-1])
    if kind == "extra_forbidden":
        return Problem(path, unknown("key", loc[-1], section), at_key=True)
    if kind == "missing":
        known = section.get(str(loc[-1]))
        return Problem(path, f"required, expected {expectation(known) if known else 'a value'}")
    if kind in ("list_type", "tuple_type"):
        known = section.get(str(loc[-1]))
        return Problem(path, f"expected {expectation(known) if known else 'a list'}")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(path, "expected a mapping (key: value)")
    return Problem(path, one_line(details["msg"].removeprefix("Value error, ")))


def _keys_at(cls: type, loc: Sequence[str | int]) -> dict[str, Key]:
    """Return the keys of the section at `loc` below the settings `cls`; none where no section is there."""
    hint: Any = cls
    for part in loc:
        hint = _without_none(hint)[0]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            key = keys_of(hint).get(str(part))
            hint = key.hint if key else None
        else:
            hint = (get_args(hint) or (None,))[-1 if get_origin(hint) is dict else 0]
    hint = _without_none(hint)[0]
    return keys_of(hint) if dataclasses.is_dataclass(hint) and isinstance(hint, type) else {}


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        if len(parts) == 1:
            return parts[0], len(parts) < len(get_args(hint))
    return hint, False


def _is_pair(hint: Any) -> bool:
    args = get_args(hint)
    return get_origin(hint) is tuple and len(args) == 2 and args[0] == args[1]


def _has_numbers(hint: Any) -> bool:
    inner = _without_none(hint)[0]
    return inner in (int, float) or any(_has_numbers(part) for part in get_args(inner) if part is not Ellipsis)


def _schema_extra(key: Key) -> Any:
    default = key.field.default
    made = key.field.default_factory is not dataclasses.MISSING
    if (default is None or made) and not _without_none(key.hint)[1]:
        # made by the class, perhaps from its other settings: null is not what stands in its place
        return lambda schema: schema.pop("default", None)
    if default is dataclasses.MISSING or default is None or isinstance(default, bool):
        return {"default": default} if isinstance(default, bool) else {}
    if isinstance(default, tuple):
        return {"default": [text_of(part, key.kind) for part in default]}
    if isinstance(default, int | float) and key.kind is None:
        return {"default": default}
    return {"default": text_of(default, key.kind)}
