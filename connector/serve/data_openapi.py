"""The data API's part of the OpenAPI document."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from connector.serve.data import OPERATIONS, PREFIX, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Json = dict[str, Any]

_TAG = "what the pages show (our own)"
_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_NUMBER: Json = {"type": "integer"}
_MAYBE_NUMBER: Json = {"type": ["integer", "null"]}
_MAYBE_REAL: Json = {"type": ["number", "null"]}
_ANY: Json = {}
_OBJECT: Json = {"type": "object"}
_MAYBE_OBJECT: Json = {"type": ["object", "null"]}
_FLAG: Json = {"type": "boolean"}


def document() -> Json:
    """Tags, paths and components of the data API."""
    paths: Json = {}
    for each in OPERATIONS:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each)
    return {
        "tags": [{"name": _TAG}],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _operation(each: Operation) -> Json:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("name", "id", "call")
        if f"{{{name}}}" in each.path
    ]
    found: Json = {"operationId": each.name, "summary": each.summary, "tags": [_TAG], "responses": _responses(each)}
    if each.method == "POST":
        found["requestBody"] = {"content": {"application/json": {"schema": _without_titles(each.asks)}}}
    else:
        parameters += _query(each.asks)
    return {**found, "parameters": parameters}


def _responses(each: Operation) -> Json:
    kinds = ("application/json", "text/csv", "text/plain") if each.gives == "file" else ("application/json",)
    shape = _ANY if each.gives == "file" else {"$ref": f"#/components/schemas/{each.gives}"}
    found: Json = {"200": {"description": "Ok", "content": {kind: {"schema": shape} for kind in kinds}}}
    meanings = {
        "400": "The request cannot be understood",
        "401": "Nobody is logged in",
        "403": "Not from there, or the server is read-only",
        "404": "There is none",
        "405": "Not with this method",
        "409": "Not now, or not with this one",
        "503": "The state directory or a warehouse cannot be read",
    }
    for status, meaning in meanings.items():
        schema = {} if status in ("401", "403") else {"$ref": "#/components/schemas/UiError"}
        found[status] = {"description": meaning, "content": {"application/json": {"schema": schema}}}
    return found


def _query(asks: type[BaseModel]) -> list[Json]:
    schema = asks.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(part)}
        for name, part in schema.get("properties", {}).items()
    ]


def _without_titles(asks: type[BaseModel]) -> Json:
    return {name: part for name, part in asks.model_json_schema().items() if name != "title"}


def _without_null(schema: Json) -> Json:
    """The schema of a value that can only be left out: a query has no null."""
    some = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "title")}
    if kept.get("default", ...) is None:
        del kept["default"]
    return kept | (some[0] if some else {})


def _shape(properties: Mapping[str, Json], optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


def _all(shape: Json, *names: str) -> dict[str, Json]:
    """Members that have the same shape."""
    return dict.fromkeys(names, shape)


def _array(shape: Json) -> Json:
    return {"type": "array", "items": shape}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str, more: Mapping[str, Json] = MappingProxyType({})) -> Json:
    return _shape({"data": _array(_ref(name)), **more})


def _schemas() -> Json:
    return {
        "UiError": _shape({"error": _shape({"slug": _TEXT, "message": _TEXT, "hint": _MAYBE_TEXT})}),
        **_syncs_and_runs(),
        **_calls(),
        **_rows(),
    }


def _syncs_and_runs() -> Json:
    run = {
        **_all(_TEXT, "run_id", "sync", "status", "started_at", "trigger", "model", "destination", "object"),
        **_all(_MAYBE_TEXT, "finished_at", "stage"),
        **_all(_MAYBE_OBJECT, "error", "rows", "outcomes", "requests"),
        "warnings": _array(_OBJECT),
        "timings": _OBJECT,
        "calls": _NUMBER,
    }
    sync = {
        **_all(_TEXT, "name", "object", "model", "destination"),
        "description": _MAYBE_TEXT,
        "last_run": {"anyOf": [_ref("UiRun"), {"type": "null"}]},
        "file": _TEXT,
        "settings": _OBJECT,
    }
    return {
        "UiSync": _shape(sync, optional=("file", "settings")),
        "UiSyncs": _list("UiSync"),
        "UiRun": _shape(run, optional=("warnings", "timings", "calls")),
        "UiRuns": _list("UiRun", {"more": _FLAG}),
    }


def _calls() -> Json:
    line = {
        **_all(_TEXT, "run_id", "purpose", "started_at", "method", "url"),
        **_all(_MAYBE_TEXT, "route", "error", "verdict", "reason"),
        **_all(_NUMBER, "id", "attempt", "rows", "request_bytes"),
        **_all(_MAYBE_NUMBER, "parent_id", "first", "stop", "status", "response_bytes"),
        "ms": _MAYBE_REAL,
    }
    bodies = {
        **_all(_MAYBE_TEXT, "request_body", "response_body", "bodies"),
        "request_headers": _OBJECT,
        "response_headers": _MAYBE_OBJECT,
    }
    window = {"total": _MAYBE_NUMBER, "next_after": _MAYBE_NUMBER, "complete": _FLAG}
    return {
        "UiLine": _shape(line),
        "UiCall": _shape({**line, **bodies}),
        "UiCalls": _list("UiLine", window),
        "UiTree": _list("UiLine"),
    }


def _rows() -> Json:
    row = {
        **_all(_TEXT, "key", "change", "outcome"),
        "reason": _MAYBE_TEXT,
        "call_id": _MAYBE_NUMBER,
        "attempts": _NUMBER,
        "payload": _ANY,
    }
    waiting = {
        **_all(_TEXT, "key", "outcome", "first_run", "last_run"),
        **_all(_MAYBE_TEXT, "cause", "first_reason", "last_reason", "payload"),
        "attempts": _NUMBER,
    }
    entry = {
        **_all(_TEXT, "run_id", "sync", "started_at", "trigger", "status", "key", "change", "outcome"),
        "reason": _MAYBE_TEXT,
        "attempts": _NUMBER,
        "call_id": _MAYBE_NUMBER,
        **_all(_ANY, "before", "after"),
        **_all(_array(_OBJECT), "differences", "calls"),
    }
    story = {"key": _TEXT, "sync": _MAYBE_TEXT, "entries": _array(_ref("UiEntry")), "more": _FLAG}
    return {
        "UiRow": _shape(row),
        "UiRows": _list("UiRow", {"total": _NUMBER}),
        "UiReason": _shape({"outcome": _TEXT, "reason": _MAYBE_TEXT, "rows": _NUMBER, "keys": _array(_TEXT)}),
        "UiReasons": _list("UiReason"),
        "UiWaiting": _shape(waiting),
        "UiUndelivered": _list("UiWaiting", {"total": _NUMBER}),
        "UiEntry": _shape(entry),
        "UiStory": _shape({**story, "unsettled": _array(_TEXT)}),
        "UiKeys": _shape({"data": _array(_shape({"sync": _TEXT, "key": _TEXT}))}),
        "UiRowsDone": _shape({"rows": _NUMBER}),
    }
