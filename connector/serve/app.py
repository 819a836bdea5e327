"""The web application, put together from its parts."""

from __future__ import annotations

from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from connector.errors import ConnectorError
from connector.serve.pages.frame import Frame
from connector.serve.security import Guard

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from connector.serve.serving import Serving

PARTS: tuple[str, ...] = (
    "connector.serve.pages",
    "connector.serve.data",
    "connector.serve.hightouch.routes",
    "connector.serve.openapi",
    "connector.serve.ops",
)
"""The modules with a `routes(serving) -> list[BaseRoute]`, in the order in which a path is looked up."""


def build_app(serving: Serving) -> Starlette:
    """The ASGI application that serves this project."""
    routes = [route for part in PARTS for route in import_module(part).routes(serving)]
    frame = Frame(serving)

    def refused(request: Request, error: Exception) -> Response:
        return frame.error(request, cast("ConnectorError", error))

    def missing(request: Request, error: Exception) -> Response:
        status = cast("HTTPException", error).status_code
        sentence = "there is no such page" if status == HTTPStatus.NOT_FOUND else HTTPStatus(status).phrase
        answer = frame.failure(request, status, sentence)
        answer.headers.update(cast("HTTPException", error).headers or {})
        return answer

    def broken(request: Request, _error: Exception) -> Response:
        # What it was stands in the server's own log; it may name what nobody on this page should read.
        return frame.failure(request, 500, "something here is broken: the server's log says what")

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, serving=serving, refused=frame.wrong)],
        exception_handlers={ConnectorError: refused, HTTPException: missing, Exception: broken},
    )
