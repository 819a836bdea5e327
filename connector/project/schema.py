"""JSON Schema of what a user writes, for editors: each legal form is accepted, each description is a tooltip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from connector.project.alert_settings import CHANNELS, SHORT_FORMS, AlertSettings
from connector.project.settings import (
    DbtModel,
    EventSync,
    FieldSpec,
    ModelSettings,
    ObjectSync,
    ProjectSettings,
    ValueSpec,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from connector.project.load import Systems

DRAFT = "https://json-schema.org/draft/2020-12/schema"

VARIABLE = "EnvironmentVariable"
REFERENCE = {"$ref": f"#/$defs/{VARIABLE}"}
VARIABLE_SCHEMA = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "the value of an environment variable: ${NAME}, or ${NAME:-default}",
}

# The texts that are read as yes and no; YAML itself calls only true and false so.
YES_OR_NO = {"enum": ["yes", "no", "on", "off"]}

Schema = dict[str, Any]


def json_schemas(systems: Systems) -> dict[str, Schema]:
    """The schemas of "connector" (connector.yml), "sync" (sync_configs/*.yml) and "model" (a model's first comment).

    JSON Schema draft 2020-12. Where a file takes a number, a boolean or one of several words, the schema takes
    `${NAME}` too.
    """
    return {
        "connector": _connector(systems),
        "sync": _document("A sync", (ObjectSync, EventSync)),
        "model": _document("The settings of a model", (ModelSettings,)),
    }


def _connector(systems: Systems) -> Schema:
    sources = {kind: system.settings() for kind, system in systems.sources.items()}
    destinations = {kind: system.settings() for kind, system in systems.destinations.items()}
    every: list[type[BaseModel]] = [ProjectSettings, *sources.values(), *destinations.values(), *CHANNELS.values()]
    references, definitions = _definitions(every)
    # The class of the whole file is the schema itself and nobody refers to it.
    root = definitions.pop(_name(references[ProjectSettings]))
    for section, known in (("sources", sources), ("destinations", destinations)):
        by_kind = {kind: definitions[_name(references[model])] for kind, model in known.items()}
        root["properties"][section] = _entries(section, root["properties"][section]["description"], by_kind)
    alerts = definitions[AlertSettings.__name__]["anyOf"][-1]["properties"]
    channels = {kind: definitions[_name(references[model])] for kind, model in CHANNELS.items()}
    alerts["channels"] = _entries("channels", alerts["channels"]["description"], channels)
    for section in ("state", "dbt", "alerts", "serve", "telemetry", "history"):
        described = ProjectSettings.model_fields[section].description
        entry = {"description": described, "anyOf": [root["properties"][section], {"type": "null"}]}
        root["properties"][section] = entry
    return {"$schema": DRAFT, **root, "title": "connector.yml", "$defs": _used(root, definitions)}


def _entries(section: str, description: str, kinds: Mapping[str, Schema]) -> Schema:
    """A mapping whose entries have the form that their `type` names."""
    entries = []
    for kind, entry in kinds.items():
        properties = {**entry.get("properties", {}), "type": {"const": kind, "description": f"{section}: {kind}"}}
        required = [*dict.fromkeys(["type", *entry.get("required", [])])]
        entries.append({**entry, "properties": properties, "required": required})
    return {
        "description": description,
        "type": ["object", "null"],
        "additionalProperties": {"anyOf": entries} if entries else False,
    }


def _document(title: str, models: Sequence[type[BaseModel]]) -> Schema:
    references, definitions = _definitions(models)
    branches = [references[model] for model in models]
    if len(branches) == 1:
        root = definitions.pop(_name(branches[0]))
        return {"$schema": DRAFT, **root, "title": title, "$defs": _used(root, definitions)}
    return {"$schema": DRAFT, "title": title, "anyOf": branches, "$defs": definitions}


def _definitions(models: Sequence[type[BaseModel]]) -> tuple[Mapping[type[BaseModel], Schema], dict[str, Schema]]:
    """A reference to each class, and the definitions of these and of all that they hold, with every legal form."""
    keyed, whole = models_json_schema([(model, "validation") for model in dict.fromkeys(models)])
    definitions = {name: _with_forms(schema) for name, schema in whole.get("$defs", {}).items()}
    for model in (ValueSpec, FieldSpec):
        if model.__name__ in definitions:
            definitions[model.__name__] = _value_forms(definitions[model.__name__])
    for name, forms in SHORT_FORMS.items():
        if name in definitions:
            mapping = definitions[name]
            definitions[name] = {"description": mapping.get("description", ""), "anyOf": [*forms, mapping]}
    for name in (ModelSettings.__name__, DbtModel.__name__):
        if name in definitions:
            key = definitions[name]["properties"]["primary_key"]
            forms = [{"type": "string", "minLength": 1}, key]
            definitions[name]["properties"]["primary_key"] = {"description": key.pop("description"), "anyOf": forms}
    definitions[VARIABLE] = VARIABLE_SCHEMA
    return {model: keyed[model, "validation"] for model in models}, definitions


def _value_forms(mapping: Schema) -> Schema:
    """A mapping with one origin, or the name of a column."""
    column = {"type": "string", "minLength": 1, "description": "a column of the model"}
    one_origin = [{"required": [origin]} for origin in ("column", "value", "sql")]
    return {"description": mapping.get("description", ""), "anyOf": [column, {**mapping, "oneOf": one_origin}]}


def _with_forms(schema: Schema) -> Schema:
    """The schema of a class or of an enumeration, its properties with `${NAME}` as one more form."""
    if "properties" not in schema:
        return _or_reference(schema)
    return {**schema, "properties": {key: _or_reference(inner) for key, inner in schema["properties"].items()}}


def _or_reference(schema: Schema) -> Schema:
    """The schema of one value, with `${NAME}` as one more form where a text would not be taken anyway."""
    if "anyOf" in schema:
        branches = [_or_reference(branch) for branch in schema["anyOf"]]
        flat = [form for branch in branches for form in (branch["anyOf"] if branch.keys() == {"anyOf"} else [branch])]
        once = [form for number, form in enumerate(flat) if form not in flat[:number]]
        return {**schema, "anyOf": once}
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            return {**schema, inner: _or_reference(schema[inner])}
    if schema.get("type") in ("object", "null", "array") or "$ref" in schema or _takes_any_text(schema):
        return schema
    outside: Schema = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    inside = {key: value for key, value in schema.items() if key not in outside}
    forms = [inside, YES_OR_NO] if schema.get("type") == "boolean" else [inside]
    return {**outside, "anyOf": [*forms, REFERENCE]}


def _takes_any_text(schema: Schema) -> bool:
    restricted = schema.keys() & {"enum", "const", "pattern"} or schema.get("format", "password") != "password"
    return "type" not in schema or (schema["type"] == "string" and not restricted)


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]


def _used(root: object, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definitions that something refers to."""
    used: dict[str, Schema] = {}
    waiting: list[object] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            name = _name(node) if isinstance(node.get("$ref"), str) else None
            if name is not None and name not in used:
                used[name] = definitions[name]
                waiting.append(used[name])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return used
