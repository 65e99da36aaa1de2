"""The JSON Schema of run files, for editors: completion, descriptions and marks under mistakes, offline."""

import inspect
from typing import Any

from samewire.agent_spec import KINDS, PLAIN, AgentSpec
from samewire.compat import PRESETS
from samewire.reading import NAMED, PACED, ModelKeys, PaceKeys
from samewire.registry import BUILT_IN, resolve
from samewire.run_file import GUARDED, GUARDS, SessionSpec
from samewire.signatures import schema_of
from samewire.training_spec import EXECUTORS, LEAKS, SPLITS, OnlineSpec, TrainingSpec

_NULL = {"type": "null"}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of run files with the built-in components; classes of the user are let through."""
    definitions: dict[str, Any] = {}
    for group in BUILT_IN:
        definitions[group] = _group(group, definitions)
    strategy = {"$ref": "#/$defs/strategies"}
    section = {
        "schema": {"const": 1, "description": "version of this format"},
        "folder": {"type": "string", "description": "what relative paths start from, none = the folder of the file"},
        "compat": {"enum": [*PRESETS, None], "description": "preset of options that the file does not say itself"},
        "session": _lifted(SessionSpec.model_json_schema(), definitions),
        "feed": {"$ref": "#/$defs/feeds"},
        "features": {"type": "array", "items": {"$ref": "#/$defs/features"}},
        "models": {"type": "array", "items": {"$ref": "#/$defs/models"}, "minItems": 1},
        "strategy": {"anyOf": [strategy, {"type": "array", "items": strategy, "minItems": 1}]},
        "optimizer": True,
        "execution": {"anyOf": [{"$ref": "#/$defs/execution"}, _NULL]},
        "risk": {"anyOf": [_options("gates", "limits", definitions, False), {"$ref": "#/$defs/gates"}]},
        "broker": True,
        "sinks": {"type": "array", "items": {"$ref": "#/$defs/sinks"}},
        "training": _training(definitions),
        "live": {"anyOf": [_options("live", "kafka", definitions, False), {"$ref": "#/$defs/live"}, _NULL]},
    }
    whole = {"optimizer": {"$ref": "#/$defs/optimizers"}, "broker": {"$ref": "#/$defs/brokers"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Samewire run file",
        "type": "object",
        "properties": section,
        "required": ["schema", "session", "feed", "models", "strategy"],
        "additionalProperties": False,
        # With a preset these two may say a part of their options only.
        "if": {"required": ["compat"], "properties": {"compat": {"enum": list(PRESETS)}}},
        "then": {"properties": {key: {"type": ["string", "object"]} for key in whole}},
        "else": {"properties": whole, "required": list(whole)},
        "$defs": definitions,
    }


def _training(definitions: dict[str, Any]) -> dict[str, Any]:
    """The section `training`, its parts told apart by `use`."""
    said = _lifted(TrainingSpec.model_json_schema(), definitions)
    for key, kinds in (("split", SPLITS), ("executor", EXECUTORS), ("leaks", LEAKS)):
        choices = [_lifted(kind.model_json_schema(), definitions) for kind in kinds.values()]
        said["properties"][key] = {"anyOf": [{"enum": list(kinds)}, *choices]}
    said["properties"]["online"] = {"anyOf": [_lifted(OnlineSpec.model_json_schema(), definitions), _NULL]}
    said["properties"]["sinks"] = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/run_sinks"}}, _NULL]}
    said["properties"]["agent"] = _agent(definitions)
    values = {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}, "minItems": 1}
    said["properties"]["grid"] = {
        "type": "object",
        "description": "options of models, each with the values it is to take",
        "patternProperties": {"^models\\.": values},
        "additionalProperties": False,
    }
    return {"anyOf": [said, _NULL]}


def _agent(definitions: dict[str, Any]) -> dict[str, Any]:
    """The key `agent` of that section."""
    said = _lifted(AgentSpec.model_json_schema(), definitions)
    for key, kinds in KINDS.items():
        choices = [_lifted(kind.model_json_schema(), definitions) for kind in kinds.values()]
        said["properties"][key] = {"anyOf": [{"enum": list(kinds)}, *choices]}
    for key, kind in PLAIN.items():
        said["properties"][key] = _lifted(kind.model_json_schema(), definitions)
    return said | {"required": ["split"]}


def _group(group: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A bare name, a built-in with its options, or a class of the user with any."""
    names = list(BUILT_IN[group])
    own_use = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"}
    own = {"type": "object", "properties": {"use": own_use}, "required": ["use"]}
    bare = {"anyOf": [{"enum": names}, own_use]} if names else own_use
    return {"anyOf": [bare, *(_options(group, name, definitions, True) for name in names), own]}


def _options(group: str, use: str, definitions: dict[str, Any], use_required: bool) -> dict[str, Any]:
    """One built-in component as an object."""
    kind = resolve(group, use)
    schema = schema_of(kind, group)
    said = _lifted(schema.model.model_json_schema(), definitions)
    properties: dict[str, Any] = {"use": {"const": use}}
    required = ["use"] if use_required else []
    if group in NAMED:
        properties["name"] = {"type": "string", "description": "what it is called in this run"}
    if group in PACED:
        properties |= _lifted(PaceKeys.model_json_schema(), definitions)["properties"]
    slots = dict(schema.slots)
    if group == "strategies" and use != GUARDED:
        slots |= {key: slot for key, slot in schema_of(resolve(group, GUARDED), group).slots.items() if key in GUARDS}
    if group == "models":
        properties |= _lifted(ModelKeys.model_json_schema(), definitions)["properties"]
    properties |= said.get("properties", {})
    for key, slot in slots.items():
        ref: dict[str, Any] = {"$ref": f"#/$defs/{slot.group}"}
        choices = [ref, _options(slot.group, slot.use, definitions, False)] if slot.use else [ref]
        if slot.lists:
            choices.append({"type": "array", "items": {"anyOf": list(choices)}, "minItems": 0 if slot.many else 1})
        properties[key] = {"anyOf": choices if slot.required else [*choices, _NULL]}
    required += said.get("required", []) + [key for key, slot in schema.slots.items() if slot.required]
    return {
        "title": use,
        "description": _first_line(kind),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _lifted(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with its own definitions moved to the common ones."""
    definitions |= schema.pop("$defs", {})
    return schema


def _first_line(kind: type[Any]) -> str:
    return (inspect.getdoc(kind) or kind.__name__).splitlines()[0]
