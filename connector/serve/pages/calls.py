"""The calls: a table of any length, read a window at a time, and one call with all that belongs to it."""

from __future__ import annotations

import difflib
import json
import sys
import threading
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connector.actions.exports import curl, har
from connector.actions.rows import read_keys
from connector.errors import ConfigError
from connector.plan.rows_file import row_files
from connector.run.recover import rows_path
from connector.serve.pages.bodies import shown_body
from connector.serve.pages.frame import whole, word
from connector.serve.pages.runs import run_of
from connector.serve.pages.tree import tree_of
from connector.serve.pages.words import pretty
from connector.state.calls import CallFilter
from connector.state.windows import AT_ONCE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.serve.pages.frame import Frame
    from connector.state.calls import Call
    from connector.state.runs import Run
    from connector.state.windows import Line

_KEPT = 16
_HUNDREDS = ("2xx", "4xx", "5xx", "429", "none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of the page: which calls of a run."""

    status: str | None = None
    url: str | None = None
    verdict: str | None = None
    outcome: str | None = None
    min_ms: int | None = None
    max_ms: int | None = None
    text: str | None = None

    @classmethod
    def of(cls, request: Request) -> Wanted:
        """What the query says. Raises ConfigError."""
        names = ("status", "url", "verdict", "outcome", "text")
        words = {name: word(request, name) for name in names}
        return cls(**words, min_ms=whole(request, "min_ms"), max_ms=whole(request, "max_ms"))


class Chosen:
    """The ids of the calls that filters take, kept for a while: a table asks for many windows of the same calls."""

    def __init__(self, frame: Frame) -> None:
        """Look in this history."""
        self._frame = frame
        self._kept: OrderedDict[tuple[str, Wanted], array[int]] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self, run: Run, wanted: Wanted) -> array[int]:
        """The ids of the run's calls that are wanted, in the order they were made. Raises ConfigError."""
        key = (run.run_id, wanted)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._look(run.run_id, wanted)
        if run.status != "running":
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def _look(self, run_id: str, wanted: Wanted) -> array[int]:
        history = self._frame.history
        which = CallFilter(
            status=wanted.status,
            url=wanted.url,
            verdict=wanted.verdict,
            min_ms=wanted.min_ms,
            max_ms=wanted.max_ms,
            text=wanted.text,
        )
        if wanted.text is None:
            found = history.windows.ids(run_id, which)
        else:
            found = array("q", history.calls.search(run_id, which, limit=sys.maxsize).ids)
        deciding = self._with_outcome(run_id, wanted.outcome)
        return found if deciding is None else array("q", (call_id for call_id in found if call_id in deciding))

    def _with_outcome(self, run_id: str, outcome: str | None) -> set[int] | None:
        """The calls that decided rows with this outcome."""
        if outcome is None:
            return None
        path = rows_path(self._frame.serving.state_dir, run_id)
        if not path.exists():
            return set()
        sql = "SELECT DISTINCT call_id FROM read_parquet(?) WHERE outcome = ? AND call_id IS NOT NULL"
        with row_files() as connection:
            return {call_id for (call_id,) in connection.execute(sql, [str(path), outcome]).fetchall()}


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of the calls."""
    return [*_of_runs(frame), *_of_one(frame)]


def _of_runs(frame: Frame) -> list[BaseRoute]:
    """The table of a run's calls."""
    chosen = Chosen(frame)
    history = frame.history

    def calls(request: Request) -> Response:
        run = run_of(frame, request)
        if isinstance(run, str):
            raise ConfigError(f"run {run} has not begun", slug="unknown-run")
        wanted = Wanted.of(request)
        values: dict[str, Any] = {
            "endpoints": history.windows.endpoints(run.run_id),
            "statuses": _HUNDREDS,
            "wanted": wanted,
        }
        return frame.page(request, "calls.html", run=run, tab="calls", **values)

    def window(request: Request) -> Response:
        run = history.runs.get(request.path_params["run_id"])
        ids = chosen.ids(run, Wanted.of(request))
        first, most = whole(request, "offset") or 0, min(whole(request, "limit") or 100, AT_ONCE)
        found = history.windows.lines(ids[first : first + most])
        return JSONResponse({"total": len(ids), "offset": first, "lines": [line_of(line) for line in found]})

    return [Route("/runs/{run_id}/calls", calls), Route("/runs/{run_id}/calls/window", window)]


def _of_one(frame: Frame) -> list[BaseRoute]:
    """One call, in every form."""
    history = frame.history

    def call(request: Request) -> Response:
        found = history.calls.get(call_id_of(request))
        values = call_values(frame, found)
        template = "call_part.html" if "hx-request" in request.headers else "call.html"
        if template == "call_part.html":
            return frame.part(template, read_only=request.state.read_only, in_drawer=True, **values)
        return frame.page(request, template, run=history.runs.get(found.run_id), tab="calls", **values)

    def difference(request: Request) -> Response:
        one = history.calls.get(call_id_of(request))
        other = history.calls.get(whole(request, "with") or one.id)
        return frame.page(request, "difference.html", one=one, other=other, parts=differences(other, one))

    def as_har(request: Request) -> Response:
        found = history.calls.get(call_id_of(request))
        return download(json.dumps(har([found.json()], version("pendo-connector"))), f"call-{found.id}.har")

    def as_curl(request: Request) -> Response:
        return PlainTextResponse(curl(history.calls.get(call_id_of(request)).json()))

    return [
        Route("/calls/{call_id:int}", call),
        Route("/calls/{call_id:int}/difference", difference),
        Route("/calls/{call_id:int}/har", as_har),
        Route("/calls/{call_id:int}/curl", as_curl),
    ]


def call_id_of(request: Request) -> int:
    """The id in the path; one that no database could hold is unknown, too."""
    return min(int(request.path_params["call_id"]), 2**62)


def line_of(line: Line) -> list[Any]:
    """The call as the table shows it: values in the order of its columns."""
    status = line.status if line.status is not None else ("no answer" if line.answered else "open")
    reason = line.reason or line.error or ("" if line.route else line.purpose)
    return [
        line.id,
        round(line.started_at * 1000),
        line.method,
        line.url,
        status,
        None if line.ms is None else round(line.ms, 1),
        line.attempt,
        line.rows,
        line.verdict,
        reason,
        line.is_part,
    ]


def call_values(frame: Frame, call: Call) -> dict[str, Any]:
    """Everything the page of a call shows."""
    history = frame.history
    family = history.windows.family(call.id)
    before = next((line for line in family if line.id == call.parent_id), None)
    rows = rows_of(frame, call)
    return {
        "call": call,
        "before": before,
        "rows": rows,
        "request": shown_body(call.request_body, call, rows),
        "reply": None if call.response_body is None else pretty(call.response_body),
        "tree": tree_of(family, call.id),
        "neighbours": neighbours(frame, call),
    }


def neighbours(frame: Frame, call: Call) -> tuple[int | None, int | None]:
    """The ids of the calls before and behind this one in its run."""
    ids = frame.history.windows.ids(call.run_id, CallFilter())
    at = ids.index(call.id)
    return (ids[at - 1] if at else None), (ids[at + 1] if at + 1 < len(ids) else None)


def rows_of(frame: Frame, call: Call) -> dict[int, dict[str, Any]]:
    """What became of each row that the call carried, by the row's place in it; empty before the run is settled."""
    if call.first is None or call.stop is None:
        return {}
    found = read_keys(frame.serving.state_dir, call.run_id, call.first, call.stop)
    return {n - call.first: row for n, row in found.items()}


def differences(one: Call, other: Call) -> list[tuple[str, list[tuple[str, str]]]]:
    """What differs between two calls: by part, lines with the sign they begin with."""
    parts = []
    for name, before, after in (
        ("Request headers", pretty(one.request_headers), pretty(other.request_headers)),
        ("Request body", pretty(one.request_body or ""), pretty(other.request_body or "")),
        ("Status", str(one.status or one.error), str(other.status or other.error)),
        ("Reply headers", pretty(one.response_headers or {}), pretty(other.response_headers or {})),
        ("Reply body", pretty(one.response_body or ""), pretty(other.response_body or "")),
    ):
        compared = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
        parts.append((name, [(line[:1], line[1:]) for line in list(compared)[2:]]))
    return parts


def download(text: str, name: str, kind: str = "application/json") -> Response:
    """The text as a file to keep."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=kind, headers=headers)
