"""What all pages share: templates, the project as it is on disk now, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.responses import HTMLResponse, JSONResponse, Response

from connector.errors import BusyError, ConfigError, ConnectorError
from connector.serve.pages.shelf import Shelf
from connector.serve.pages.words import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from connector.errors import Problem
    from connector.serve.serving import Serving

_UNKNOWN = ("unknown-run", "unknown-call", "unknown-sync", "unknown-model", "no-runs")


class Frame:
    """The frame that every page stands in."""

    def __init__(self, serving: Serving) -> None:
        """Show this project."""
        self.serving = serving
        self.history = serving.history
        self.shelf = Shelf(serving)
        self._templates = environment()

    def page(self, request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
        """A whole page."""
        return HTMLResponse(self.text(template, **self._common(request), **values), status_code=status)

    def part(self, template: str, /, status: int = 200, **values: Any) -> Response:
        """A part of a page, for a script to put in its place."""
        return HTMLResponse(self.text(template, **values), status_code=status)

    def text(self, template: str, /, **values: Any) -> str:
        """The template, filled in."""
        return self._templates.get_template(template).render(now=self.serving.clock.now(), **values)

    def wrong(self, request: Request, status: int, sentence: str, hint: str | None, **values: Any) -> Response:
        """The page, or the part of one, that says what is wrong and what to do."""
        said = {"sentence": sentence, "hint": hint, "slug": None, "at": None} | values
        if "hx-request" in request.headers:
            return self.part("wrong.html", status=status, **said)
        return self.page(request, "error.html", status=status, code=status, **said)

    def error(self, request: Request, error: ConnectorError) -> Response:
        """What a user is told of an error."""
        problem, status = error.problem, status_of(error)
        if _is_for_programs(request):
            return JSONResponse({"error": document(problem), "message": problem.message}, status_code=status)
        return self.wrong(request, status, problem.message, problem.hint, slug=problem.slug, at=problem.at)

    def failure(self, request: Request, status: int, sentence: str) -> Response:
        """What a user is told of anything else."""
        if _is_for_programs(request):
            return JSONResponse({"error": {"slug": "http", "message": sentence, "hint": None}}, status_code=status)
        return self.wrong(request, status, sentence, None)

    def _common(self, request: Request) -> Mapping[str, Any]:
        state = request.state
        return {
            "path": request.url.path,
            "csrf": state.csrf,
            "who": state.who,
            "read_only": state.read_only,
            "can_log_out": self.serving.token is not None,
            "project_name": self.serving.root.resolve().name,
        }


def status_of(error: ConnectorError) -> int:
    """The HTTP status that fits an error."""
    if isinstance(error, BusyError):
        return 409
    if isinstance(error, ConfigError):
        return 404 if error.problem.slug in _UNKNOWN else 400
    return 502 if error.problem.slug.startswith(("source-", "destination-")) else 500


def document(problem: Problem) -> dict[str, Any]:
    """The problem as JSON."""
    return {"slug": problem.slug, "message": problem.message, "at": problem.at, "hint": problem.hint}


def whole(request: Request, name: str) -> int | None:
    """The whole number in the query, or None when there is none. Raises ConfigError for anything else."""
    given = request.query_params.get(name, "")
    if not given:
        return None
    if not given.isdecimal() or len(given) > 15:  # noqa: PLR2004 - more digits are no id of ours
        raise ConfigError(f"'{name}' must be a whole number", slug="bad-page-query", hint=f"{name}=1, for one")
    return int(given)


def word(request: Request, name: str) -> str | None:
    """The text in the query, or None when it is empty."""
    return request.query_params.get(name, "").strip() or None


def said(sentence: str, kind: str = "success") -> Response:
    """A short sentence that the page shows for a moment, when it has changed what it shows."""
    text = Markup('<p class="said b-{}">{}</p>').format(kind, sentence)
    return HTMLResponse(text, headers={"hx-trigger": "connector-changed"})


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", "*/*text/html")
