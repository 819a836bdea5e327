"""The API's part of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from connector.serve.hightouch.asking import CustomTriggerBody, ListQuery, RunsQuery, SyncsQuery, TriggerBody
from connector.serve.hightouch.openapi_schemas import schemas
from connector.serve.hightouch.routes import PREFIX

Json = dict[str, Any]

_OURS = "runs (our own)"


def document() -> Json:
    """Tags, paths and components of the API."""
    paths: Json = {
        "/syncs/trigger": {"post": _trigger("TriggerRunCustom", CustomTriggerBody, body_required=True)},
        "/syncs/{id}/trigger": {"post": _trigger("TriggerRun", TriggerBody, path=True)},
        "/syncs/{id}/runs": {
            "get": _operation(
                "ListSyncRuns",
                "The runs of a sync, the newest first",
                "syncs",
                _page("SyncRun"),
                (404, 422),
                [_id("sync"), *_query(RunsQuery)],
            )
        },
        "/runs/{id}": {
            "get": _operation(
                "GetRun", "A run as `connector run --json` prints it", _OURS, _ref("Run"), (404,), [_id("run")]
            )
        },
        "/runs/{id}/cancel": {
            "post": _operation(
                "CancelRun",
                "Stop a run, or take it out of the queue",
                _OURS,
                _ref("Run"),
                (400, 403, 404, 409),
                [_id("run")],
            )
        },
    }
    for name in ("Sync", "Model", "Source", "Destination"):
        paths |= _kind(name)
    return {
        "tags": [
            *({"name": f"{name}s"} for name in ("sync", "model", "source", "destination")),
            {"name": _OURS, "description": "What Hightouch's API does not have"},
        ],
        "paths": {PREFIX + path: operations for path, operations in paths.items()},
        "components": {"schemas": schemas(), "responses": _responses()},
    }


def _kind(name: str) -> Json:
    """List and single of one kind."""
    kind = name.lower()
    query = _query(SyncsQuery if name == "Sync" else ListQuery)
    return {
        f"/{kind}s": {"get": _operation(f"List{name}", f"All {kind}s", f"{kind}s", _page(name), (422,), query)},
        f"/{kind}s/{{id}}": {
            "get": _operation(f"Get{name}", f"One {kind}", f"{kind}s", _ref(name), (404,), [_id(kind)])
        },
    }


def _trigger(name: str, body: type[TriggerBody], *, path: bool = False, body_required: bool = False) -> Json:
    summary = "Ask for a run; while one goes on, one more waits"
    operation = _operation(
        name, summary, "syncs", _ref("TriggerRunOutput"), (400, 403, 404, 422), [_id("sync")] if path else []
    )
    schema = body.model_json_schema()
    forms = ("application/json", "application/x-www-form-urlencoded")
    operation["requestBody"] = {"required": body_required, "content": {form: {"schema": schema} for form in forms}}
    return operation


def _operation(
    name: str, summary: str, tag: str, answer: Json, refusals: tuple[int, ...], parameters: list[Json]
) -> Json:
    responses: Json = {"200": {"description": "Ok", "content": {"application/json": {"schema": answer}}}}
    for status in (401, *refusals, 500):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return {"operationId": name, "summary": summary, "tags": [tag], "parameters": parameters, "responses": responses}


def _responses() -> Json:
    meanings = {
        400: "The body cannot be read",
        401: "The bearer token is missing or wrong",
        403: "The server is read-only",
        404: "There is none with this id",
        409: "It cannot be done as things stand",
        422: "A value cannot be",
        500: "The state directory cannot be read or written",
    }
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(status): {"description": meaning, "content": content} for status, meaning in meanings.items()}


def _query(kind: type[ListQuery | RunsQuery]) -> list[Json]:
    properties = kind.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: Json) -> Json:
    """The schema of a value that can only be left out: a query has no null."""
    some = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "title", "default")}
    if "default" in schema and schema["default"] is not None:
        kept["default"] = schema["default"]
    return kept | (some[0] if len(some) == 1 else {"anyOf": some} if some else {})


def _id(kind: str) -> Json:
    description = f"the {kind}'s number, or its name"
    schema = {"type": "string", "minLength": 1}
    return {"name": "id", "in": "path", "required": True, "description": description, "schema": schema}


def _page(name: str) -> Json:
    properties = {"data": {"type": "array", "items": _ref(name)}, "hasMore": {"type": "boolean"}}
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
