"""Reading, making and deleting the fields of a kind's metadata.

Source: pendo-api.md 3.2 and 3.3. The member that holds the answer per field is not documented: a switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Answer, Refusal, json_answer, parsed
from connector.sandbox.fieldtypes import NAME
from connector.sandbox.metadata import known_kind
from connector.sandbox.state import Field

if TYPE_CHECKING:
    from connector.sandbox.calls import Call
    from connector.sandbox.state import State

MAX_FIELDS = 24
"""Fields in one call (pendo-api.md 3.3, documented)."""

GROUPS = ("agent", "custom")
BASIC = ("string", "number", "time", "boolean")
EXTENDED = (*BASIC, "integer", "float", "list")


def read(state: State, call: Call, kind: str) -> Answer:
    """Every field of the kind by group and key, in Pendo's own mix of cases."""
    del call
    known_kind(state, kind)
    now = state.now()
    return json_answer(
        {
            group: {key: _shown(field) for key, field in fields.items() if field.visible_at <= now}
            for group, fields in state.schemas[kind].items()
        }
    )


def create(state: State, call: Call, kind: str, group: str) -> Answer:
    """201 when all fields were made, 207 when some, 409 when all exist, 422 when one is invalid, 400 for the form."""
    known_kind(state, kind)
    specs = _specs(call, group)
    problems = [_problem(state, group, spec) for spec in specs]
    refused = any(problems) and state.switches.schema_invalid_field == "refuse_call"
    results = []
    for spec, problem in zip(specs, problems, strict=True):
        if problem or refused:
            results.append(_failed(spec, problem or "not created: another field of this call is invalid"))
        else:
            results.append(_make(state, kind, group, spec))
    made = sum(1 for result in results if result["status"] != "failed")
    if made == len(results):
        status = 201
    elif made:
        status = 207
    else:
        status = 422 if any(problems) else 409
    return json_answer(_document(state, results), status=status, applied=made > 0, rows=len(specs))


def delete(state: State, call: Call, kind: str, group: str, field: str) -> Answer:
    """200 after hiding the field and its values, 202 when that was done before, 404 when there is no such field."""
    del call
    known_kind(state, kind)
    found = state.schemas[kind].get(group, {}).get(field) if group in GROUPS else None
    if found is None:
        raise Refusal(404, f"no field {field}")
    if found.deleted:
        return Answer(202)
    found.deleted = True
    return Answer(200, applied=True)


def _specs(call: Call, group: str) -> list[dict[str, Any]]:
    specs = parsed(call)
    if group not in GROUPS:
        raise Refusal(400, f"fields cannot be created in group {group}")
    if not isinstance(specs, list) or not specs or not all(isinstance(spec, dict) for spec in specs):
        raise Refusal(400, "the body is not a list of fields")
    if len(specs) > MAX_FIELDS:
        raise Refusal(400, f"more than {MAX_FIELDS} fields", rows=len(specs))
    for spec in specs:
        if not all(isinstance(spec.get(name, ""), str) for name in ("name", "displayname", "type")):
            raise Refusal(400, "a field is malformed", rows=len(specs))
    return specs


def _problem(state: State, group: str, spec: dict[str, Any]) -> str | None:
    types = EXTENDED if state.switches.schema_types == "extended" else BASIC
    if not NAME.fullmatch(spec.get("name", "")):
        return "invalid name"
    if spec.get("type") not in types:
        return "invalid type"
    if spec["type"] == "list" and group != "agent":
        return "lists are for agent fields only"
    return None


def _make(state: State, kind: str, group: str, spec: dict[str, Any]) -> dict[str, Any]:
    key = spec["name"].lower()
    found = state.schemas[kind][group].get(key)
    if found is None:
        type_ = state.switches.number_reads_back_as if spec["type"] == "number" else spec["type"]
        state.make_field(kind, group, key, Field(type_, spec.get("displayname") or spec["name"]))
        return {"schema": spec, "status": "created"}
    if found.deleted:
        found.deleted = False
        return {"schema": spec, "status": "undeleted"}
    return _failed(spec, "already exists")


def _failed(spec: dict[str, Any], message: str) -> dict[str, Any]:
    return {"schema": spec, "status": "failed", "error": {"message": message}}


def _document(state: State, results: list[dict[str, Any]]) -> Any:
    container = state.switches.schema_reply_container
    if container == "list":
        return results
    counts = {
        status: count
        for status in ("created", "failed", "undeleted")
        if (count := sum(1 for result in results if result["status"] == status))
    }
    return {container: results, "summary": {**counts, "total": len(results)}}


def _shown(field: Field) -> dict[str, Any]:
    return {
        "Type": field.type,
        "DisplayName": field.display_name,
        "ElementType": "string" if field.type == "list" else "",
        "ElementFormat": "",
        "Dirty": False,
        "isHidden": False,
        "isDeleted": field.deleted,
        "isCalculated": False,
        "isPerApp": False,
    }
