"""The web application, put together from its parts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from starlette.applications import Starlette

if TYPE_CHECKING:
    from connector.serve.serving import Serving

PARTS: tuple[str, ...] = ()
"""The modules with a `routes(serving) -> list[BaseRoute]`, in the order in which a path is looked up."""


def build_app(serving: Serving) -> Starlette:
    """The ASGI application that serves this project."""
    routes = [route for part in PARTS for route in import_module(part).routes(serving)]
    return Starlette(routes=routes)
