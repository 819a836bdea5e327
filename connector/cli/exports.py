"""The API call log in forms that other programs read: HAR 1.2, curl commands, CSV."""

from __future__ import annotations

import csv
import io
import json
import shlex
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MASK = "***"
UNKNOWN_SIZE = -1  # HAR's word for a size or a time that nobody knows
TRACK_PATH = "/data/track"

Entry = dict[str, Any]


def har(calls: Iterable[Mapping[str, Any]], version: str) -> Entry:
    """The calls as a HAR 1.2 document; a call that was never answered has the status 0, as browsers write it."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "connector", "version": version},
            "entries": [_har_entry(call) for call in calls],
        }
    }


def _har_entry(call: Mapping[str, Any]) -> Entry:
    ms = call["ms"] if call["ms"] is not None else UNKNOWN_SIZE
    entry: Entry = {
        "startedDateTime": call["started_at"],
        "time": max(ms, 0),
        "request": _har_request(call),
        "response": _har_response(call),
        "cache": {},
        "timings": {"send": 0, "wait": max(ms, 0), "receive": 0},
        "comment": f"call {call['id']} of run {call['run_id']}, attempt {call['attempt']}",
    }
    return entry


def _har_request(call: Mapping[str, Any]) -> Entry:
    request: Entry = {
        "method": call["method"],
        "url": call["url"],
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(call["request_headers"]),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(call["url"]).query, keep_blank_values=True)
        ],
        "headersSize": UNKNOWN_SIZE,
        "bodySize": call["request_bytes"],
    }
    if call["request_body"]:
        kind = _header(call["request_headers"], "content-type") or "application/octet-stream"
        request["postData"] = {"mimeType": kind, "params": [], "text": call["request_body"]}
    return request


def _har_response(call: Mapping[str, Any]) -> Entry:
    status = call["status"] or 0
    body = call["response_body"] or ""
    response: Entry = {
        "status": status,
        "statusText": _reason_phrase(status),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(call["response_headers"] or {}),
        "content": {
            "size": len(body.encode()),
            "mimeType": _header(call["response_headers"] or {}, "content-type") or "",
            "text": body,
        },
        "redirectURL": _header(call["response_headers"] or {}, "location") or "",
        "headersSize": UNKNOWN_SIZE,
        "bodySize": UNKNOWN_SIZE if call["response_bytes"] is None else call["response_bytes"],
    }
    if call["error"]:
        response["comment"] = call["error"]
    return response


def curl(call: Mapping[str, Any]) -> str:
    """A command that makes the call again.

    In the place of a secret stands a shell variable, such as `$PENDO_INTEGRATION_KEY`.
    """
    words = ["curl", "--request", call["method"], shlex.quote(call["url"])]
    for name, value in call["request_headers"].items():
        if name.lower() in ("content-length", "host"):
            continue
        words.append("--header")
        words.append(f'"{name}: ${_variable(call["url"])}"' if value == MASK else shlex.quote(f"{name}: {value}"))
    if call["request_body"]:
        words += ["--data-raw", shlex.quote(call["request_body"])]
    return " ".join(words)


def _variable(url: str) -> str:
    """The variable that holds the secret of a call: the two APIs of Pendo have different ones."""
    return "PENDO_TRACK_EVENT_SECRET" if urlsplit(url).path.endswith(TRACK_PATH) else "PENDO_INTEGRATION_KEY"


def csv_text(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The rows as CSV with a header; objects and lists as JSON text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _pairs(headers: Mapping[str, str]) -> list[Entry]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def _header(headers: Mapping[str, str], wanted: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
