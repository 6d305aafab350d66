"""JSON Schema of the scenario file, for editors: made from the models that validate it, committed as scenarios/schema.json."""

from __future__ import annotations

import json
from typing import Any

from sim.protocols.server import Server
from sim.scenario.checks import WAYS
from sim.scenario.models import SHORTHANDS, keys_of, model_of
from sim.scenario.shape import ScenarioFile
from sim.strategies.backoff import Backoff
from sim.strategies.catalog import STRATEGIES

_USER_STRATEGY = r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$"


def scenario_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12. What depends on more than one key is left to `python -m sim check`."""
    schema = model_of(ScenarioFile).model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    strategies: list[dict[str, Any]] = []
    for use in STRATEGIES:
        settings: Any = STRATEGIES[use][0]
        line = STRATEGIES[use][1]
        own = model_of(settings).model_json_schema(by_alias=True)
        definitions.update(own.pop("$defs", {}))
        own["properties"] = {
            "use": {"const": use, "description": line},
            "name": {
                "type": "string",
                "description": "label of this variant everywhere; the name of the strategy where not given",
            },
            **own["properties"],
        }
        definitions[f"strategy_{use}"] = {**own, "description": line, "required": ["use"]}
        strategies.append({"$ref": f"#/$defs/strategy_{use}"})
    properties = schema["properties"]
    properties["strategies"] = {
        "description": "strategy variants, compared on the same drives",
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                {"enum": list(STRATEGIES)},
                {"type": "string", "pattern": _USER_STRATEGY},
                *strategies,
                {
                    "type": "object",
                    "description": "a strategy of your own: file.py:Class",
                    "properties": {"use": {"type": "string", "pattern": _USER_STRATEGY}, "name": {"type": "string"}},
                    "required": ["use"],
                },
            ]
        },
    }
    properties["objectives"] = _objectives()
    properties["sweep"] = _sweep()
    properties["name"]["pattern"] = "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
    schema["oneOf"] = [{"required": [way]} for way in WAYS]
    schema["required"] = ["name", "strategies"]
    _allow_shorthands(definitions)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario of the handover lab",
        **{key: value for key, value in _plain(schema).items() if key != "title"},
    }
    return schema


def schema_text() -> str:
    """Return the schema as the text of scenarios/schema.json."""
    return json.dumps(scenario_schema(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _objectives() -> dict[str, Any]:
    bound = {"type": ["number", "string"]}
    return {
        "description": "bounds that a run is judged by; exactly one of at_most and at_least each",
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {
                "strategy": {"type": "string", "description": "name of a strategy of this file"},
                "metric": {"type": "string", "description": "`python -m sim list metrics` shows them"},
                "at_most": {**bound, "description": "such as 0, 10 s or 5 %"},
                "at_least": {**bound, "description": "such as 95 %"},
            },
            "required": ["strategy", "metric"],
            "oneOf": [{"required": ["at_most"]}, {"required": ["at_least"]}],
            "additionalProperties": False,
        },
    }


def _sweep() -> dict[str, Any]:
    steps = {"required": ["step"], "properties": {"step": {"type": ["number", "string"]}}}
    counted = {
        "required": ["count"],
        "properties": {"count": {"type": "integer", "minimum": 2}, "scale": {"enum": ["linear", "log"]}},
    }
    span = {
        "type": "object",
        "properties": {"from": {"type": ["number", "string"]}, "to": {"type": ["number", "string"]}},
        "required": ["from", "to"],
        "oneOf": [steps, counted],
    }
    values = {"anyOf": [{"type": "array", "minItems": 1}, span]}
    columns = {"type": "object", "additionalProperties": values, "minProperties": 1}
    condition = {"type": "string", "description": "such as hybrid.poll < 60 s"}
    return {
        "description": "what `python -m sim sweep` varies; other commands leave it alone",
        "type": ["object", "null"],
        "properties": {
            "product": {**columns, "description": "key, as --set takes it: its values, or a range; every combination is run"},
            "zip": {
                "description": "keys with equally many values, which go together",
                "anyOf": [columns, {"type": "array", "items": columns}],
            },
            "where": {
                "description": "points that do not meet it are left out",
                "anyOf": [condition, {"type": "array", "items": condition}],
            },
        },
        "additionalProperties": False,
    }


def _allow_shorthands(definitions: dict[str, Any]) -> None:
    """A section that may be given as a name alone: the values of the key that the name stands for."""
    server = keys_of(Server)
    for section, cls in (
        ("broker", server["broker"].hint),
        ("tls", server["tls"].hint),
        ("store", server["store"].hint),
        ("backoff", Backoff),
    ):
        full = definitions[cls.__name__]
        key = full["properties"][SHORTHANDS[section]]
        names = next(way["enum"] for way in (key, *key.get("anyOf", ())) if "enum" in way)
        definitions[cls.__name__] = {
            "anyOf": [{"enum": names}, full],
            "description": f"a name alone, or a mapping with {SHORTHANDS[section]}",
        }


def _plain(node: Any, *, names: bool = False) -> Any:
    """Drop pydantic's titles, which repeat the keys; `names`: the keys of this mapping are names, not keywords."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if names or key != "title" or not isinstance(value, str)}
        return {key: _plain(value, names=key in ("properties", "$defs") and not names) for key, value in kept.items()}
    return [_plain(inner) for inner in node] if isinstance(node, list) else node
