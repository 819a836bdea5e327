"""The rows: what became of each in a run, everything that ever happened to one, and those that are not delivered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from connector.actions.exports import csv_text
from connector.actions.rows import read_reasons, read_rows
from connector.actions.story import read_story
from connector.actions.undelivered import list_undelivered
from connector.errors import BusyError, ConfigError
from connector.serve.pages.calls import download
from connector.serve.pages.flow import OUTCOMES
from connector.serve.pages.frame import word
from connector.serve.pages.runs import run_of
from connector.serve.pages.syncs import lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.actions.undelivered import Undelivered
    from connector.serve.pages.frame import Frame

SHOWN = 200
_NAMES = ("key", "change", "outcome", "reason", "call_id", "attempts", "payload")


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of the rows."""
    return [*_of_runs(frame), *_of_syncs(frame)]


def _of_runs(frame: Frame) -> list[BaseRoute]:
    """What became of the rows of one run, and of one row in all runs."""
    state_dir, history = frame.serving.state_dir, frame.history

    def of_run(request: Request) -> Response:
        run = run_of(frame, request)
        if isinstance(run, str):
            raise ConfigError(f"run {run} has not begun", slug="unknown-run")
        key, outcome = word(request, "key"), word(request, "outcome")
        found = read_rows(state_dir, history, run.run_id, key=key, outcome=outcome, limit=SHOWN + 1)
        return frame.page(
            request,
            "rows.html",
            run=run,
            tab="rows",
            rows=found[:SHOWN],
            more=len(found) > SHOWN,
            key=key,
            outcome=outcome,
            outcomes=OUTCOMES,
            reasons=read_reasons(state_dir, run.run_id, keys=5),
        )

    def export(request: Request) -> Response:
        run, form = history.runs.get(request.path_params["run_id"]), request.path_params["form"]
        found = read_rows(state_dir, history, run.run_id, key=word(request, "key"), outcome=word(request, "outcome"))
        return exported(found, _NAMES, f"rows-{run.sync}-{run.run_id[-6:]}", form)

    def story(request: Request) -> Response:
        key, sync = word(request, "key"), word(request, "sync")
        found = None if key is None else read_story(state_dir, history, key, sync=sync)
        names = frame.shelf.names()
        return frame.page(request, "story.html", key=key, sync=sync, names=names, story=found)

    return [
        Route("/rows", story),
        Route("/runs/{run_id}/rows", of_run),
        Route("/runs/{run_id}/rows.{form}", export),
    ]


def _of_syncs(frame: Frame) -> list[BaseRoute]:
    """The rows of a sync that are not delivered now."""

    def undelivered(request: Request) -> Response:
        name = request.path_params["name"]
        (line,) = lines(frame, [name])
        found, busy = _undelivered(frame, name)
        groups = grouped(found)
        return frame.page(request, "undelivered.html", line=line, tab="rows", groups=groups, busy=busy, shown=SHOWN)

    def export_undelivered(request: Request) -> Response:
        name, form = request.path_params["name"], request.path_params["form"]
        found, busy = _undelivered(frame, name)
        if busy is not None:
            raise busy
        documents = [{field: getattr(row, field) for field in row.__slots__} for row in found]
        names = (
            "key",
            "outcome",
            "cause",
            "attempts",
            "first_reason",
            "last_reason",
            "first_run",
            "last_run",
            "payload",
        )
        return exported(documents, names, f"undelivered-{name}", form)

    return [
        Route("/syncs/{name}/rows", undelivered),
        Route("/syncs/{name}/rows.{form}", export_undelivered),
    ]


def _undelivered(frame: Frame, name: str) -> tuple[list[Undelivered], BusyError | None]:
    """The rows that are not delivered; or that a run holds their file now."""
    with frame.serving.project() as project:
        try:
            return list_undelivered(project.sync(name), project.means()), None
        except BusyError as busy:
            return [], busy


def grouped(rows: Sequence[Undelivered]) -> list[tuple[str, str, list[Undelivered]]]:
    """The rows by outcome and last reason, the largest group first."""
    groups: dict[tuple[str, str], list[Undelivered]] = {}
    for row in rows:
        groups.setdefault((row.outcome, row.last_reason or ""), []).append(row)
    found = [(outcome, reason, some) for (outcome, reason), some in groups.items()]
    return sorted(found, key=lambda group: -len(group[2]))


def exported(rows: Sequence[Mapping[str, Any]], names: Sequence[str], name: str, form: str) -> Response:
    """The rows as a file. Raises ConfigError for a form that is neither csv nor json."""
    if form == "json":
        return download(json.dumps(list(rows), ensure_ascii=False, indent=1), f"{name}.json")
    if form != "csv":
        raise ConfigError(f"rows are exported as csv or json, not as '{form}'", slug="bad-page-query")
    return download(csv_text(rows, names), f"{name}.csv", "text/csv")
