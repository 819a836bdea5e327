"""What HAR 1.2 asks of a document (http://www.softwareishard.com/blog/har-12-spec/), as JSON Schema."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
SIZE = {"type": "integer", "minimum": -1}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these members, `comment`, members of somebody's own (`_name`), and no others."""
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **optional, "comment": TEXT},
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def listed(entry: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": entry}


PAIRS = listed(closed({"name": TEXT, "value": TEXT}))
COOKIES = listed(closed({"name": TEXT, "value": TEXT}, path=TEXT, domain=TEXT, expires=TEXT, httpOnly={}, secure={}))
MESSAGE = {"httpVersion": TEXT, "cookies": COOKIES, "headers": PAIRS, "headersSize": SIZE, "bodySize": SIZE}
POSTED = closed({"mimeType": TEXT, "params": listed({"type": "object"}), "text": TEXT})
CONTENT = closed({"size": SIZE, "mimeType": TEXT}, compression={"type": "integer"}, text=TEXT, encoding=TEXT)
REQUEST = closed({"method": TEXT, "url": TEXT, "queryString": PAIRS, **MESSAGE}, postData=POSTED)
RESPONSE = closed(
    {"status": {"type": "integer"}, "statusText": TEXT, "content": CONTENT, "redirectURL": TEXT, **MESSAGE}
)
PHASE = {"type": "number", "minimum": -1}
TIMINGS = closed(
    {"send": NUMBER, "wait": NUMBER, "receive": NUMBER}, blocked=PHASE, dns=PHASE, connect=PHASE, ssl=PHASE
)
ENTRY = closed(
    {
        "startedDateTime": MOMENT,
        "time": {"type": "number", "minimum": 0},
        "request": REQUEST,
        "response": RESPONSE,
        "cache": {"type": "object"},
        "timings": TIMINGS,
    },
    pageref=TEXT,
    serverIPAddress=TEXT,
    connection=TEXT,
)
CREATOR = closed({"name": TEXT, "version": TEXT})
LOG = closed(
    {"version": {"const": "1.2"}, "creator": CREATOR, "entries": listed(ENTRY)},
    browser=CREATOR,
    pages=listed({"type": "object"}),
)
HAR = {"type": "object", "required": ["log"], "properties": {"log": LOG}, "additionalProperties": False}
