"""The first page, with a line for each sync, and the page of one sync."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse
from starlette.routing import Route

from connector.serve.live import Live
from connector.serve.pages.frame import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.project.definition import Sync
    from connector.serve.live import Event
    from connector.serve.pages.frame import Frame
    from connector.serve.pages.shelf import Standing
    from connector.state.runs import Run
    from connector.state.triggers import Trigger

SPARK = 30
PAGE = 50
_SPARK_TALL = 22.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A run in the row of small bars: the more rows were sent, the higher, by orders of magnitude."""

    x: int
    y: float
    height: float
    run: Run
    rows: int


@dataclass(frozen=True, slots=True)
class Line:
    """A sync as the first page shows it."""

    name: str
    sync: Sync | None
    running: Run | None
    waiting: Trigger | None
    paused: bool
    last: Run | None
    next_at: float | None
    standing: Standing | None
    bars: tuple[Bar, ...]

    @property
    def status(self) -> str:
        """The word that the line begins with."""
        if self.running is not None:
            return "running"
        if self.waiting is not None:
            return "waiting"
        return "never run" if self.last is None else self.last.status


def bars(runs: tuple[Run, ...]) -> tuple[Bar, ...]:
    """The runs, the newest first, as bars from the left to the right."""
    made = []
    for at, run in enumerate(reversed(runs)):
        rows = planned(run)
        height = min(_SPARK_TALL, 4.0 + 3.0 * len(str(rows)) if rows else 4.0)
        made.append(Bar(at * 6, round(_SPARK_TALL - height, 1), round(height, 1), run, rows))
    return tuple(made)


def planned(run: Run) -> int:
    """How many rows a run had to send."""
    return sum((run.rows or {}).get(change, 0) for change in ("added", "changed", "removed"))


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of the syncs."""
    live = Live()

    def syncs(request: Request) -> Response:
        values: dict[str, Any] = {"lines": lines(frame), "problems": frame.shelf.problems()}
        if "hx-request" in request.headers:
            return frame.part("syncs_table.html", read_only=request.state.read_only, **values)
        return frame.page(request, "syncs.html", **values)

    def sync(request: Request) -> Response:
        name = request.path_params["name"]
        at = whole(request, "page") or 1
        runs = frame.history.runs.list(name, limit=PAGE + 1, offset=(at - 1) * PAGE)
        found = frame.shelf.definition()
        known = None if found is None else found.syncs.get(name)
        if known is None and not runs:
            frame.shelf.sync(name)
        (line,) = lines(frame, [name])
        values: dict[str, Any] = {"line": line, "runs": runs[:PAGE], "more": len(runs) > PAGE, "at": at, "tab": "runs"}
        return frame.page(request, "sync.html", **values)

    async def changes(_request: Request) -> Response:
        return StreamingResponse(live.events("syncs", lambda: changes_look(frame)), media_type="text/event-stream")

    return [
        Route("/", syncs),
        Route("/syncs", syncs),
        Route("/live", changes),
        Route("/syncs/{name}", sync),
    ]


def lines(frame: Frame, names: list[str] | None = None) -> list[Line]:
    """The lines of these syncs, or of all."""
    history, definition = frame.history, frame.shelf.definition()
    known = {} if definition is None else definition.syncs
    paused, due = history.pauses.paused(), history.due.all()
    waiting = {trigger.sync: trigger for trigger in history.triggers.waiting()}
    found = []
    for name in frame.shelf.names() if names is None else names:
        runs = history.runs.list(name, limit=SPARK)
        going = next((run for run in runs if run.status == "running"), None)
        found.append(
            Line(
                name=name,
                sync=known.get(name),
                running=going,
                waiting=waiting.get(name),
                paused=name in paused,
                last=next((run for run in runs if run.status != "running"), None),
                next_at=due.get(name),
                standing=frame.shelf.standing(name),
                bars=bars(runs),
            )
        )
    return found


def changes_look(frame: Frame) -> Callable[[], tuple[list[Event], bool]]:
    """What says "changed" whenever the first page would show something else."""
    before: list[Any] = []

    def look() -> tuple[list[Event], bool]:
        history = frame.history
        latest = history.runs.latest()
        now: list[Any] = [
            [(run.run_id, run.stage) for run in history.runs.unfinished()],
            [trigger.id for trigger in history.triggers.waiting()],
            sorted(history.pauses.paused()),
            None if latest is None else latest.run_id,
        ]
        changed = bool(before) and now != before
        before[:] = now
        return ([("changed", None)] if changed else []), False

    return look
