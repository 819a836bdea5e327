"""Which call does what: the table of Pendo's routes, who may make them, and what a refusal looks like.

Source: pendo-api.md 1.2 to 1.5 and 8.
"""

from __future__ import annotations

import email.utils
import gzip
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from connector.sandbox import aggregation, deletion, metadata, reading, schema, track, values
from connector.sandbox.calls import Answer, Refusal, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.sandbox.calls import Call
    from connector.sandbox.state import State

KEY_HEADER = "x-pendo-integration-key"
SECRET_HEADER = "x-pendo-track-event-secret"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens the sandbox. `repr` does not show it, as nobody should get used to seeing secrets."""

    integration_key: str
    track_event_secret: str
    write_access: bool = True

    def __repr__(self) -> str:
        return f"Keys(write_access={self.write_access})"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: a method, a path whose `{}` parts go to the function, and the access it needs."""

    method: str
    path: str
    access: Literal["read", "write", "aggregation"]
    function: Callable[..., Answer]

    def arguments(self, call: Call) -> list[str] | None:
        """The call's parts at the places of `{}`; None when the call is not for this route."""
        parts = self.path.strip("/").split("/")
        if self.method != call.method or len(parts) != len(call.segments):
            return None
        if any(part not in ("{}", segment) for part, segment in zip(parts, call.segments, strict=True)):
            return None
        return [segment for part, segment in zip(parts, call.segments, strict=True) if part == "{}"]


ENDPOINTS = (
    Endpoint("GET", "/api/v1/metadata/schema/{}", "read", schema.read),
    Endpoint("POST", "/api/v1/metadata/schema/{}/{}", "write", schema.create),
    Endpoint("DELETE", "/api/v1/metadata/schema/{}/{}/{}", "write", schema.delete),
    Endpoint("POST", "/api/v1/metadata/{}/{}/value", "write", metadata.write),
    Endpoint("GET", "/api/v1/metadata/{}/{}/value/{}/{}", "read", values.read),
    Endpoint("PUT", "/api/v1/metadata/{}/{}/value/{}/{}", "write", values.write),
    Endpoint("POST", "/api/v1/bulkdelete/{}", "write", deletion.queue),
    Endpoint("GET", "/api/v1/bulkdelete", "read", deletion.listed),
    Endpoint("GET", "/api/v1/bulkdelete/{}", "read", deletion.read),
    Endpoint("GET", "/api/v1/visitor/{}", "read", reading.one_object),
    Endpoint("GET", "/api/v1/account/{}", "read", reading.one_object),
    Endpoint("GET", "/api/v1/visitor/{}/history", "read", reading.history),
    Endpoint("GET", "/api/v1/tracktype", "read", reading.track_types),
    Endpoint("POST", "/api/v1/aggregation", "aggregation", aggregation.run),
)


def answered(state: State, keys: Keys, call: Call, wall_s: float) -> Answer:
    """The answer to any call of Pendo's API. `wall_s` is the real time, for a Retry-After as a date."""
    try:
        _limit(state, call, wall_s)
        return _dispatched(state, keys, _unpacked(state, call))
    except Refusal as refusal:
        return _refused(state, refusal)


def _dispatched(state: State, keys: Keys, call: Call) -> Answer:
    if call.path == "/data/track" and call.method == "POST":
        return _track(state, keys, call)
    if call.path == "/api/v1/token/verify" and call.method == "GET":
        _check_key(state, keys, call, "read")
        return json_answer({"valid": True, "writeAccess": keys.write_access})
    for endpoint in ENDPOINTS:
        arguments = endpoint.arguments(call)
        if arguments is not None:
            access = state.switches.aggregation_key if endpoint.access == "aggregation" else endpoint.access
            _check_key(state, keys, call, access)
            return endpoint.function(state, call, *arguments)
    if call.path.startswith("/data/"):
        return Answer(404, b"404 Not Found", "text/html")  # what the data host was seen to answer
    return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


def _check_key(state: State, keys: Keys, call: Call, access: str) -> None:
    if call.headers.get(KEY_HEADER) != keys.integration_key:
        raise _silent(state.switches.wrong_key_status, "missing or wrong integration key")
    if access == "write" and not keys.write_access:
        raise _silent(state.switches.read_only_key_status, "the integration key may not write")


def _track(state: State, keys: Keys, call: Call) -> Answer:
    given = call.headers.get(KEY_HEADER)
    if given is None and state.switches.track_secret_header == "either":  # noqa: S105 - no secret
        given = call.headers.get(SECRET_HEADER)
    wrong = state.switches.track_wrong_secret
    if given == keys.track_event_secret:
        return track.receive(state, call)
    if wrong == "accept_and_drop":
        return track.receive(state, call, dropped="missing or wrong track event secret")
    raise _silent(wrong, "missing or wrong track event secret")


def _silent(status: int, reason: str) -> Refusal:
    """A refusal with an empty body, as Pendo sends for a bad key; the reason is for the sandbox's log."""
    return Refusal(status, reason, form="empty")


def _limit(state: State, call: Call, wall_s: float) -> None:
    """Nothing; 413 or 429 where a switch sets a limit."""
    limit = state.switches.body_limit_bytes
    if limit is not None and len(call.body) > limit:
        raise Refusal(413, f"the body is larger than {limit} bytes")
    rate = state.switches.rate_limit
    if rate is None:
        return
    now, recent = state.now(), state.recent_calls
    while recent and recent[0] <= now - 1:
        recent.popleft()
    if len(recent) >= rate:
        wait = {"seconds": "1", "date": email.utils.formatdate(wall_s + 2, usegmt=True)}.get(state.switches.retry_after)
        raise Refusal(429, "too many requests", headers={} if wait is None else {"retry-after": wait})
    recent.append(now)


def _unpacked(state: State, call: Call) -> Call:
    if call.headers.get("content-encoding") != "gzip" or state.switches.gzip_requests == "refuse":
        return call
    try:
        return replace(call, body=gzip.decompress(call.body))
    except (OSError, EOFError, zlib.error):
        raise Refusal(400, "the body is not gzip") from None


def _refused(state: State, refusal: Refusal) -> Answer:
    body, type_ = error_body(refusal.form or state.switches.error_bodies, refusal.status, refusal.message)
    return Answer(
        refusal.status,
        body,
        type_,
        refusal.headers,
        applied=refusal.applied,
        rows=refusal.rows,
        note=refusal.note or refusal.message,
    )


def error_body(form: str, status: int, message: str) -> tuple[bytes, str | None]:
    """A body and its content type: the message as JSON or plain text, a page of HTML without it, or nothing."""
    match form:
        case "json":
            return json_answer({"error": message}).body, "application/json"
        case "html":
            return f"<html><body><h1>Error {status}</h1></body></html>".encode(), "text/html; charset=utf-8"
        case "plain":
            return message.encode(errors="replace"), "text/plain; charset=utf-8"
        case _:
            return b"", None
