"""The web debugger: every page, what its scripts ask for, and the files they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.serve.pages import calls, config, doing, files, login, rows, runs, syncs
from connector.serve.pages.frame import Frame

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from connector.serve.serving import Serving


def routes(serving: Serving) -> list[BaseRoute]:
    """The routes of the pages."""
    frame = Frame(serving)
    families = (files, login, syncs, runs, calls, rows, config, doing)
    return [route for family in families for route in family.routes(frame)]
