"""What looks after the server: metrics, and whether it is alive and ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connector.errors import ConnectorError
from connector.serve.metrics import Metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.serve.serving import Serving

STALLED_S = 60.0
"""A scheduler that has not looked for this long is not at work any more: it looks five times a second."""


def routes(serving: Serving) -> list[BaseRoute]:
    """`/metrics`, `/healthz` and `/readyz`."""
    found = Metrics(serving)

    async def metrics(_: Request) -> Response:
        return Response(await run_in_threadpool(found.scrape), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        checks = await run_in_threadpool(readiness, serving)
        return JSONResponse(checks, status_code=200 if checks["ready"] else 503)

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]


def readiness(serving: Serving) -> dict[str, Any]:
    """Whether the server can do its work, and what each part says: "ok", or the slug of what is wrong with it.

    Everybody may ask this, so no name and no path is in it. A sync with a mistake in its file does not make the server
    unready: the others run.
    """
    checks = {"history": _history(serving), "project": _project(serving), "scheduler": _scheduler(serving)}
    return {"ready": all(said in ("ok", "standing by", "off") for said in checks.values()), "checks": checks}


def _history(serving: Serving) -> str:
    try:
        serving.history.runs.latest()
    except ConnectorError as error:
        return error.problem.slug
    return "ok"


def _project(serving: Serving) -> str:
    try:
        serving.project().close()
    except ConnectorError as error:
        return error.problem.slug
    return "ok"


def _scheduler(serving: Serving) -> str:
    if serving.scheduler is None:
        return "off"
    state = serving.scheduler()
    if state.trouble is not None:
        return state.trouble.slug
    if state.stopping:
        return "stopping"
    if state.looked_at is None:
        return "starting"
    if serving.clock.now() - state.looked_at > STALLED_S:
        return "stalled"
    return "ok" if state.active else "standing by"
