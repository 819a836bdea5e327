"""The data API under /api/ui: what the pages show, as JSON, for people and their scripts.

Every answer is an object. What is wrong is said as `{"error": {"slug", "message", "hint"}}` with 400 (the request), 404
(there is none), 409 (not now) or 503 (the state cannot be read).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.errors import BusyError, ConfigError, ConnectorError
from connector.serve import data_queries as queries
from connector.serve import data_reading as reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.serve.serving import Serving

    Answer = Callable[[Serving, reading.Asked], Any]

PREFIX = "/api/ui"
BODY_BYTES = 100_000
_GONE = ("unknown-run", "unknown-call", "unknown-sync", "unknown-row", "no-runs")
_NOT_NOW = ("ambiguous-run", "replay-refused", "replay-elsewhere")


@dataclass(frozen=True, slots=True)
class Operation:
    """One path and what answers there. `asks` is the model of its query, or of its body for a POST."""

    method: str
    path: str
    name: str
    summary: str
    answer: Answer
    asks: type[BaseModel]
    gives: str


OPERATIONS = (
    Operation(
        "GET", "/syncs", "ListUiSyncs", "Every sync with its last run", reading.syncs, queries.Nothing, "UiSyncs"
    ),
    Operation("GET", "/syncs/{name}", "GetUiSync", "A sync as it is on disk", reading.sync, queries.Nothing, "UiSync"),
    Operation(
        "GET",
        "/syncs/{name}/undelivered",
        "ListUiUndelivered",
        "The rows that are not delivered",
        reading.undelivered,
        queries.Page,
        "UiUndelivered",
    ),
    Operation("GET", "/runs", "ListUiRuns", "Runs, the newest first", reading.runs, queries.RunsQuery, "UiRuns"),
    Operation("GET", "/runs/{id}", "GetUiRun", "One run", reading.run, queries.Nothing, "UiRun"),
    Operation("GET", "/runs/{id}/calls", "ListUiCalls", "Calls of a run", reading.calls, queries.CallsQuery, "UiCalls"),
    Operation("GET", "/runs/{id}/rows", "ListUiRows", "Rows of a run", reading.rows, queries.RowsQuery, "UiRows"),
    Operation(
        "GET", "/runs/{id}/reasons", "ListUiReasons", "Why rows failed", reading.reasons, queries.Nothing, "UiReasons"
    ),
    Operation(
        "GET",
        "/runs/{id}/calls/file",
        "SaveUiCalls",
        "Calls as a file",
        reading.calls_file,
        queries.CallsExport,
        "file",
    ),
    Operation(
        "GET", "/runs/{id}/rows/file", "SaveUiRows", "Rows as a file", reading.rows_file, queries.RowsExport, "file"
    ),
    Operation("GET", "/calls/{call}", "GetUiCall", "One call in full", reading.call, queries.Nothing, "UiCall"),
    Operation(
        "GET",
        "/calls/{call}/tree",
        "GetUiTree",
        "What it comes from, what came of it",
        reading.tree,
        queries.Nothing,
        "UiTree",
    ),
    Operation("GET", "/story", "GetUiStory", "All about a row", reading.story, queries.StoryQuery, "UiStory"),
    Operation("GET", "/keys", "ListUiKeys", "Keys that begin so", reading.keys, queries.KeysQuery, "UiKeys"),
    Operation(
        "POST", "/syncs/{name}/retry", "UiRetry", "Offer rows afresh", reading.retry, queries.MendBody, "UiRowsDone"
    ),
    Operation(
        "POST", "/syncs/{name}/release", "UiRelease", "Let rows go", reading.release, queries.ReleaseBody, "UiRowsDone"
    ),
    Operation(
        "POST",
        "/syncs/{name}/quarantine",
        "UiQuarantine",
        "Stop offering rows",
        reading.quarantine,
        queries.MendBody,
        "UiRowsDone",
    ),
    Operation(
        "POST", "/calls/{call}/replay", "UiReplay", "Send a call again", reading.replay, queries.ReplayBody, "UiCall"
    ),
)


def routes(serving: Serving) -> list[BaseRoute]:
    """The routes of the data API."""
    found = [
        Route(PREFIX + each.path, _endpoint(serving, each), methods=[each.method], name=each.name)
        for each in OPERATIONS
    ]
    return [*found, Route(PREFIX + "/{rest:path}", _nothing_here, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]


def _endpoint(serving: Serving, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            given = await _given(request) if operation.method == "POST" else _query(request)
            asked = reading.Asked(request.path_params, operation.asks.model_validate(given))
            found = await run_in_threadpool(operation.answer, serving, asked)
        except ValidationError as error:
            return _refused(400, "bad-query", _sentence(error))
        except ConnectorError as error:
            return _refused(_status(error), error.problem.slug, error.problem.message, error.problem.hint)
        return found if isinstance(found, Response) else JSONResponse(found)

    return endpoint


def _query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    twice = sorted({name for name, _ in pairs if len(request.query_params.getlist(name)) > 1})
    if twice:
        raise ConfigError(f"'{twice[0]}' is given more than once", slug="bad-query", hint="give it once")
    return dict(pairs)


async def _given(request: Request) -> Any:
    """The JSON of the body; nothing at all is an empty object."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise ConfigError("the body is too long", slug="bad-query", hint=f"at most {BODY_BYTES:,} bytes")
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise ConfigError("the body is not JSON", slug="bad-query", hint="send a JSON object") from None


def _status(error: ConnectorError) -> int:
    if error.problem.slug in _GONE:
        return 404
    if isinstance(error, BusyError) or error.problem.slug in _NOT_NOW:
        return 409
    return 400 if isinstance(error, ConfigError) else 503


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}"


def _refused(status: int, slug: str, message: str, hint: str | None = None) -> Response:
    return JSONResponse({"error": {"slug": slug, "message": message, "hint": hint}}, status_code=status)


async def _nothing_here(request: Request) -> Response:
    """The answer where no operation is, or none with this method."""
    at = request.url.path.removeprefix(PREFIX).strip("/").split("/")
    allowed = sorted(
        {
            each.method
            for each in OPERATIONS
            if len(parts := each.path.strip("/").split("/")) == len(at)
            and all(part.startswith("{") or part == word for part, word in zip(parts, at, strict=True))
        }
    )
    if not allowed:
        return _refused(404, "unknown-path", f"there is nothing at {request.url.path}")
    answer = _refused(405, "wrong-method", f"{request.method} is not for {request.url.path}")
    answer.headers["allow"] = ", ".join(allowed)
    return answer
