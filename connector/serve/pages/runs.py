"""The runs: the list of all, and one run as a drawing, as numbers and as a time line, live while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from connector.actions.rows import read_reasons
from connector.run.timings import STEPS
from connector.serve.live import Live
from connector.serve.pages.flow import CHANGES, LEFT_ALONE, OUTCOMES, WIDTH, flow
from connector.serve.pages.frame import whole
from connector.state.windows import NOTHING_YET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.serve.live import Event
    from connector.serve.pages.frame import Frame
    from connector.state.runs import Run
    from connector.state.windows import Going, Point

PAGE = 100


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of the runs."""
    live = Live()
    history = frame.history

    def runs(request: Request) -> Response:
        at = whole(request, "page") or 1
        found = history.runs.list(limit=PAGE + 1, offset=(at - 1) * PAGE)
        return frame.page(request, "runs.html", runs=found[:PAGE], more=len(found) > PAGE, at=at)

    def run(request: Request) -> Response:
        found = run_of(frame, request)
        if isinstance(found, str):
            return waiting_for(frame, request, found)
        going = history.windows.going(found.run_id)[0] if found.status == "running" else None
        now = parts_of(frame, found, going)
        return frame.page(request, "run.html", run=found, now_html=now["now"], more_html=now["more"], tab="run")

    def points(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        history.runs.get(run_id)
        found = columns(history.windows.points(run_id)) | {"counts": history.windows.kinds(run_id)}
        return JSONResponse(found)

    async def events(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        stream = live.events(run_id, lambda: run_look(frame, run_id))
        return StreamingResponse(stream, media_type="text/event-stream")

    return [
        Route("/runs", runs),
        Route("/runs/{run_id}", run),
        Route("/runs/{run_id}/points", points),
        Route("/runs/{run_id}/live", events),
    ]


def run_of(frame: Frame, request: Request) -> Run | str:
    """The run in the path; its id alone where it was asked for and has not begun. Raises ConfigError."""
    run_id: str = request.path_params["run_id"]
    found = frame.history.runs.find(run_id)
    if found is not None:
        return found
    if frame.history.triggers.by_run(run_id) is not None:
        return run_id
    return frame.history.runs.get(frame.history.runs.resolve(run_id))


def waiting_for(frame: Frame, request: Request, run_id: str) -> Response:
    """The page of a run that has not begun."""
    trigger = frame.history.triggers.by_run(run_id)
    return frame.page(request, "run_waiting.html", trigger=trigger, run_id=run_id)


def columns(found: Sequence[Point]) -> dict[str, Any]:
    """The points as columns, which are half as long as JSON."""
    return {
        "id": [point.id for point in found],
        "at": [round(point.at, 3) for point in found],
        "ms": [None if point.ms is None else round(point.ms, 1) for point in found],
        "kind": ["split" if point.split and point.kind == "ok" else point.kind for point in found],
    }


def parts_of(frame: Frame, run: Run, going: Going | None) -> dict[str, str]:
    """The parts of the page that change while the run goes on: the drawing above the time line, the tables below it."""
    values = now_of(frame, run, going)
    return {"now": frame.text("run_now.html", **values), "more": frame.text("run_more.html", **values)}


def now_of(frame: Frame, run: Run, going: Going | None) -> dict[str, Any]:
    """What the parts of the page show: the run as it stands."""
    outcomes = _outcomes(run, going)
    planned = sum((run.rows or {}).get(change, 0) for change in CHANGES)
    waiting = max(planned - sum(outcomes.values()), 0) if run.status == "running" else 0
    drawn = None if run.rows is None else flow(run.rows, outcomes, waiting)
    over = run.status != "running"
    return {
        "run": run,
        "going": going,
        "flow": drawn,
        "flow_width": WIDTH,
        "outcomes": outcomes,
        "planned": planned,
        "waiting": waiting,
        "steps": STEPS,
        "changes": CHANGES,
        "left_alone": LEFT_ALONE,
        "all_outcomes": OUTCOMES,
        "reasons": read_reasons(frame.serving.state_dir, run.run_id) if over else [],
        "cancelling": not over and frame.history.cancels.asked(run.run_id),
    }


def _outcomes(run: Run, going: Going | None) -> dict[str, int]:
    """The rows by outcome: the run's own counts, or what its journal says so far."""
    if run.outcomes is not None and going is None:
        return {name: sum(counts.values()) for name, counts in run.outcomes.items() if sum(counts.values())}
    if going is None:
        return {}
    by_route: dict[str, dict[str, int]] = {}
    for (route, outcome), rows in going.settled.items():
        by_route.setdefault(route, {})[outcome] = rows
    # A row that travels on two routes is settled when the later one is.
    slowest = min(by_route.values(), key=lambda counts: sum(counts.values()), default={})
    return dict(slowest)


def run_look(frame: Frame, run_id: str) -> Callable[[], tuple[list[Event], bool]]:
    """What tells how a run goes on: the numbers as a part of the page, and the calls that are new."""
    state: dict[str, Any] = {"going": NOTHING_YET, "parts": None, "first": True}

    def look() -> tuple[list[Event], bool]:
        run = frame.history.runs.get(run_id)
        over = run.status != "running"
        going, points = frame.history.windows.going(run_id, state["going"])
        state["going"] = going
        parts = parts_of(frame, run, None if over else going)
        events: list[Event] = []
        if parts != state["parts"]:
            events.append(("run", parts))
        # Those who watch read what was there before by themselves.
        if points and not state["first"]:
            events.append(("points", columns(points) | {"counts": dict(going.kinds)}))
        state.update(parts=parts, first=False)
        if over:
            events.append(("over", {"status": run.status}))
        return events, over

    return look
