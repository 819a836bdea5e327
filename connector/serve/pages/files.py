"""Scripts and styles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connector.serve.pages.words import ASSETS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.serve.pages.frame import Frame

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}
_FOR_EVER = "public, max-age=31536000, immutable"


def routes(_frame: Frame) -> list[BaseRoute]:
    """The routes of the files, by their names: nothing outside the folder can be named."""
    known = {
        f"{folder}{path.name}": path
        for folder, place in (("", ASSETS), ("vendor/", ASSETS / "vendor"))
        for path in place.iterdir()
        if path.is_file()
    }

    def asset(request: Request) -> Response:
        path = known.get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("there is no such file", status_code=404)
        kind = next((kind for ending, kind in _KINDS.items() if path.name.endswith(ending)), "application/octet-stream")
        return Response(path.read_bytes(), media_type=kind, headers={"cache-control": _FOR_EVER})

    return [Route("/assets/{name:path}", asset)]
