"""The page that asks for the token, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from connector.serve.security import COOKIE, SESSION_S, local_path

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.serve.pages.frame import Frame


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of logging in and out."""

    def ask(request: Request, *, wrong: bool = False, wanted: str | None = None) -> Response:
        wanted = local_path(wanted or request.query_params.get("next", "/"))
        if request.state.who is not None:
            return RedirectResponse(wanted, status_code=303)
        return frame.page(request, "login.html", status=401 if wrong else 200, wrong=wrong, wanted=wanted)

    async def log_in(request: Request) -> Response:
        form = await request.form()
        token, wanted = str(form.get("token", "")), local_path(str(form.get("next", "/")))
        sessions = request.state.sessions
        if not sessions.is_token(token.strip()):
            return ask(request, wrong=True, wanted=wanted)
        answer = RedirectResponse(wanted, status_code=303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            COOKIE, sessions.new(), max_age=int(SESSION_S), httponly=True, samesite="strict", secure=secure, path="/"
        )
        return answer

    def log_out(_request: Request) -> Response:
        answer = Response(status_code=204, headers={"hx-redirect": "/login"})
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    return [
        Route("/login", ask, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
    ]
