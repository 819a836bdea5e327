"""The paths of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Match, Route

from connector.errors import ConfigError, ConnectorError
from connector.serve.hightouch import endpoints
from connector.serve.hightouch.asking import parse_body
from connector.serve.hightouch.errors import ApiError, conflict, not_found
from connector.serve.hightouch.following import said

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.serve.serving import Serving
    from connector.state.numbers import Kind

    Endpoint = Callable[[Serving, endpoints.Asked], dict[str, Any]]

PREFIX = "/api/v1"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
KINDS: tuple[Kind, ...] = ("sync", "model", "source", "destination")


def routes(serving: Serving) -> list[BaseRoute]:
    """The routes of the API."""
    found: list[BaseRoute] = [
        Route(f"{PREFIX}/syncs/trigger", _handler(serving, endpoints.trigger_custom), methods=["POST"]),
        Route(f"{PREFIX}/syncs/{{id}}/trigger", _handler(serving, endpoints.trigger), methods=["POST"]),
        Route(f"{PREFIX}/syncs/{{id}}/runs", _handler(serving, endpoints.runs), methods=["GET"]),
        Route(f"{PREFIX}/runs/{{id}}", _handler(serving, endpoints.run), methods=["GET"]),
        Route(f"{PREFIX}/runs/{{id}}/cancel", _handler(serving, endpoints.cancel), methods=["POST"]),
    ]
    for kind in KINDS:
        found += [
            Route(f"{PREFIX}/{kind}s", _handler(serving, endpoints.listing(kind)), methods=["GET"]),
            Route(f"{PREFIX}/{kind}s/{{id}}", _handler(serving, endpoints.single(kind)), methods=["GET"]),
        ]
    return [*found, Route(f"{PREFIX}/{{rest:path}}", _otherwise(found), methods=METHODS)]


def _handler(serving: Serving, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            body = await parse_body(request) if request.method == "POST" else {}
            asked = endpoints.Asked(request.path_params, request.query_params, body)
            return JSONResponse(await run_in_threadpool(endpoint, serving, asked))
        except ApiError as error:
            return error.response()
        except ConfigError as error:
            return conflict(str(error)).response()
        except ConnectorError as error:
            problem = {"message": error.problem.message, "hint": error.problem.hint}
            return ApiError(500, "Internal Server Error", said(problem)).response()

    return answer


def _otherwise(known: list[BaseRoute]) -> Callable[[Request], Awaitable[Response]]:
    """What answers everything else under the prefix."""

    async def answer(request: Request) -> Response:
        path = f"{request.method} {request.url.path}"
        partly = [route for route in known if route.matches(request.scope)[0] is Match.PARTIAL]
        if not partly:
            return not_found(f"the API has no {path}").response()
        allowed = sorted({method for route in partly if isinstance(route, Route) for method in route.methods or ()})
        details = f"the API has no {path}: a project is changed in its files"
        refusal = ApiError(405, "Method not allowed", details).response()
        refusal.headers["allow"] = ", ".join(allowed)
        return refusal

    return answer
