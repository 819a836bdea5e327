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
ARGUMENT_BYTES = 100_000
END = "END_OF_BODY"
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")

# The columns of the CSV exports.
ROW_NAMES = ("key", "change", "outcome", "reason", "call_id", "attempts", "payload")
CALL_NAMES = (
    "id",
    "run_id",
    "started_at",
    "ms",
    "attempt",
    "method",
    "url",
    "status",
    "rows",
    "route",
    "purpose",
    "verdict",
    "reason",
    "error",
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
)
REASON_NAMES = ("outcome", "rows", "reason", "keys")

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
    if set(call["url"]) & set("[]{}"):
        words.insert(1, "--globoff")
    for name, value in call["request_headers"].items():
        if name.lower() in ("content-length", "host"):
            continue
        words.append("--header")
        words.append(f'"{name}: ${_variable(call["url"])}"' if value == MASK else shlex.quote(f"{name}: {value}"))
    body = call["request_body"] or ""
    if len(body.encode()) > ARGUMENT_BYTES:
        # More than a program can be given on its command line. The line end behind it is nothing to JSON.
        words += ["--data-binary", "@-", f"<<'{END}'\n{body}\n{END}"]
    elif body:
        words += ["--data-raw", shlex.quote(body)]
    line = " ".join(words)
    lacking = _lacking(call)
    return (
        line if lacking is None else f"# call {call['id']}: {lacking}\n" + "\n".join(f"# {x}" for x in line.split("\n"))
    )


def _lacking(call: Mapping[str, Any]) -> str | None:
    """Why the log cannot make the call again; None when it can."""
    if call.get("bodies") == "redacted":
        return "some of its values were redacted, so this is not what was sent"
    if call["request_bytes"] and not call["request_body"]:
        return "its body is not kept"
    return None


def _variable(url: str) -> str:
    """The variable that holds the secret of a call: the two APIs of Pendo have different ones."""
    return "PENDO_TRACK_EVENT_SECRET" if urlsplit(url).path.endswith(TRACK_PATH) else "PENDO_INTEGRATION_KEY"


def csv_text(rows: Iterable[Mapping[str, Any]], names: Sequence[str], *, header: bool = True) -> str:
    """The rows as CSV (RFC 4180) with a header; objects and lists as JSON text.

    A text that a spreadsheet would take for a formula gets an apostrophe in front: whoever fills in a form that ends up
    in the warehouse must not compute on the machine of whoever opens the file. JSON has the texts as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if header:
        writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value


def _pairs(headers: Mapping[str, str]) -> list[Entry]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def _header(headers: Mapping[str, str], wanted: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
