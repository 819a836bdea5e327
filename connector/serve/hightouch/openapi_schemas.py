"""The schemas of what the API answers, as strict as the answers are: every key is always there."""

from __future__ import annotations

from typing import Any

from connector.serve.hightouch.statuses import RUN_STATUSES, SYNC_STATUSES

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_NUMBER: Json = {"type": "integer", "minimum": 1}
_FLAG: Json = {"type": "boolean"}
_TIME: Json = {"type": "string", "format": "date-time"}
_OBJECT: Json = {"type": "object"}
_NUMBERS: Json = {"type": "array", "items": _NUMBER}
_COMMON: Json = {"id": _NUMBER, "slug": _TEXT, "workspaceId": _NUMBER, "createdAt": _TIME, "updatedAt": _TIME}
_OUR_STATUSES = ("queued", "running", "success", "warning", "failed", "held", "cancelled", "interrupted")


def schemas() -> Json:
    """Every schema by its name."""
    return {
        "Sync": _sync(),
        "Model": _model(),
        "Source": _closed(**_COMMON, name=_TEXT, type=_TEXT, configuration=_OBJECT),
        "Destination": _closed(**_COMMON, name=_TEXT, type=_TEXT, configuration=_OBJECT, syncs=_NUMBERS),
        "SyncRun": _sync_run(),
        "TriggerRunOutput": _closed(id={"type": "string", "pattern": "^[0-9]+$", "description": "the run's number"}),
        "Run": _run(),
        "Error": {
            "type": "object",
            "required": ["message", "details"],
            "properties": {"message": _TEXT, "details": {"type": ["string", "object", "null"]}},
        },
    }


def _sync() -> Json:
    interval = _closed(interval=_closed(unit={"enum": ["minute", "hour", "day", "week"]}, quantity={"type": "number"}))
    schedule = _closed(type=_TEXT, schedule={"anyOf": [interval, _closed(expression=_TEXT)]})
    return _closed(
        **_COMMON,
        destinationId=_NUMBER,
        modelId=_NUMBER,
        configuration=_OBJECT,
        schedule={"anyOf": [schedule, {"type": "null"}]},
        status={"enum": list(SYNC_STATUSES)},
        disabled=_FLAG | {"description": "whether the schedule is paused"},
        lastRunAt=_or_null(_TIME),
        referencedColumns={"type": "array", "items": _TEXT},
        primaryKey=_TEXT | {"description": "the columns, with commas between them"},
        externalSegment=_OBJECT,
        tags=_OBJECT,
    )


def _model() -> Json:
    return _closed(
        **_COMMON,
        name=_TEXT,
        description=_TEXT,
        primaryKey=_TEXT,
        sourceId=_NUMBER,
        queryType={"const": "raw_sql"},
        raw=_closed(sql=_TEXT),
        tags=_OBJECT,
        isSchema=_FLAG,
        syncs=_NUMBERS,
        lastRunSize=_or_null(_COUNT),
    )


def _sync_run() -> Json:
    counts = _closed(addedCount=_COUNT, changedCount=_COUNT, removedCount=_COUNT)
    return _closed(
        id=_NUMBER,
        createdAt=_TIME,
        startedAt=_or_null(_TIME),
        finishedAt=_or_null(_TIME),
        querySize=_COUNT,
        status={"enum": list(RUN_STATUSES)},
        completionRatio={"type": "number", "minimum": 0, "maximum": 1},
        plannedRows=counts,
        successfulRows=counts,
        failedRows=counts | {"description": "rejected, in doubt or quarantined; not those that Pendo does not know"},
        error=_or_null(_TEXT),
    )


def _run() -> Json:
    whole = {"anyOf": [{"type": "object", "additionalProperties": _COUNT}, {"type": "null"}]}
    return _closed(
        id=_NUMBER,
        run_id=_TEXT,
        sync=_TEXT,
        status={"enum": list(_OUR_STATUSES)},
        started_at=_or_null(_TIME),
        finished_at=_or_null(_TIME),
        trigger=_TEXT,
        error={"type": ["object", "null"]},
        rows=whole,
        outcomes={"type": ["object", "null"]},
        requests=whole,
    )


def _closed(**properties: Json) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _or_null(schema: Json) -> Json:
    return schema | {"type": [schema["type"], "null"]}
