"""`/openapi.json`: what every part of the server says of itself, in one document."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.serve.serving import Serving

DOCUMENTS: tuple[str, ...] = ("connector.serve.hightouch.openapi", "connector.serve.data_openapi")
"""The modules with a `document() -> dict`: an OpenAPI document's `tags`, `paths` and `components`, and no more."""

_SECURITY = "bearerAuth"


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the whole server."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "connector serve",
            "version": version("pendo-connector"),
            "description": "Paths under /api/v1 have the shapes of Hightouch's API v1; those marked so are our own.",
        },
        "security": [{_SECURITY: []}, {}],
        "tags": [],
        "paths": {},
        "components": {"securitySchemes": {_SECURITY: {"type": "http", "scheme": "bearer"}}},
    }
    for module in DOCUMENTS:
        merge(document, import_module(module).document())
    return document


def merge(document: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Nothing, after adding a part: mappings and lists grow. Raises ValueError where two parts disagree."""
    for name, value in part.items():
        known = document.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            known.extend(value)
        elif known is None or known == value:
            document[name] = value
        else:
            msg = f"two parts of the OpenAPI document disagree about '{name}'"
            raise ValueError(msg)


def routes(_serving: Serving) -> list[BaseRoute]:
    """The route of the document, which is the same for every project."""
    document = openapi()

    def answer(_request: Request) -> Response:
        return JSONResponse(document)

    return [Route("/openapi.json", answer, methods=["GET"])]
