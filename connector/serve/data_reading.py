"""What the data API answers, operation by operation."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from connector.actions.asking import moment_of
from connector.actions.exports import CALL_NAMES, ROW_NAMES, csv_text, curl, har
from connector.actions.rows import RowFilter, count_rows, read_numbers, read_reasons, read_rows
from connector.actions.story import find_keys, read_story
from connector.actions.undelivered import list_undelivered
from connector.errors import ConfigError
from connector.state.calls import CallFilter
from connector.state.clock import utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.project.definition import Sync
    from connector.serve.serving import Serving
    from connector.state.runs import Run
    from connector.state.windows import Line

SEARCH_S = 3.0  # how long one answer looks for a text in bodies; the next one goes on from there
EXPORTED_ROWS = 1_000_000
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of the path, and the query or the body."""

    path: Mapping[str, str]
    given: Any

    def call_id(self) -> int:
        """The number of the call that is meant. Raises ConfigError `unknown-call`."""
        text = self.path["call"]
        if text.isascii() and text.isdecimal() and int(text[:20]) <= _LARGEST_ID:
            return int(text[:20])
        raise ConfigError(f"there is no call '{text}'", slug="unknown-call", hint="calls have numbers")


# --- syncs and runs --------------------------------------------------------------------------------------------------


def syncs(serving: Serving, _: Asked) -> dict[str, Any]:
    """Every sync of the project as it is on disk now."""
    with closing(serving.project()) as project:
        found = [project.sync(name) for name in project.syncs]
    return {"data": [_sync(serving, each) for each in found]}


def sync(serving: Serving, asked: Asked) -> dict[str, Any]:
    """One sync, with its settings."""
    with closing(serving.project()) as project:
        found = project.sync(asked.path["name"])
    settings = found.settings.model_dump(mode="json", exclude_unset=True)
    return {**_sync(serving, found), "file": found.file, "settings": settings}


def _sync(serving: Serving, found: Sync) -> dict[str, Any]:
    last = serving.history.runs.latest(found.name)
    return {
        "name": found.name,
        "object": found.settings.object,
        "model": found.model.name,
        "destination": found.destination.name,
        "description": found.settings.description,
        "last_run": None if last is None else _run(last),
    }


def runs(serving: Serving, asked: Asked) -> dict[str, Any]:
    """Runs, the newest first."""
    query = asked.given
    now = serving.clock.now()
    found = serving.history.runs.list(
        query.sync,
        limit=query.limit + 1,
        offset=query.offset,
        status=() if query.status is None else (query.status,),
        trigger=query.trigger,
        since=_moment(query.since, now),
        until=_moment(query.until, now),
        text=query.text,
    )
    return {"data": [_run(each) for each in found[: query.limit]], "more": len(found) > query.limit}


def run(serving: Serving, asked: Asked) -> dict[str, Any]:
    """One run."""
    found = _run_of(serving, asked)
    return {**_run(found), "warnings": found.warnings, "timings": found.timings, "calls": _count(serving, found.run_id)}


def _run(found: Run) -> dict[str, Any]:
    more = {"stage": found.stage, "model": found.model, "destination": found.destination, "object": found.object}
    return {**found.json(), **more}


def _run_of(serving: Serving, asked: Asked) -> Run:
    return serving.history.runs.get(serving.history.runs.resolve(asked.path["id"]))


def _count(serving: Serving, run_id: str) -> int:
    return serving.history.calls.count(run_id)


# --- calls -----------------------------------------------------------------------------------------------------------


def calls(serving: Serving, asked: Asked) -> dict[str, Any]:
    """A window of a run's calls, without bodies.

    `total` is null for a search in bodies, which stops after a few seconds: `next_after` says where to go on.
    """
    run_id, query = _run_of(serving, asked).run_id, asked.given
    history = serving.history
    which = _filter(query, serving.clock.now())
    if query.key is not None:
        carried = read_numbers(serving.state_dir, run_id, query.key)
        if not carried:
            return {"data": [], "total": 0, "next_after": None, "complete": True}
        which = CallFilter(**{**_fields(which), "rows": (carried[0], carried[0] + 1)})
    found = history.calls.search(run_id, which, limit=query.offset + query.limit, budget_s=SEARCH_S)
    total = None if query.text is not None else history.calls.count(run_id, which)
    lines = history.windows.lines(found.ids[query.offset : query.offset + 500])
    more = history.windows.lines(found.ids[query.offset + 500 :])
    return {
        "data": [_line(line) for line in [*lines, *more]],
        "total": total,
        "next_after": None if found.complete else found.looked,
        "complete": found.complete,
    }


def call(serving: Serving, asked: Asked) -> dict[str, Any]:
    """One call with headers and bodies."""
    return serving.history.calls.get(asked.call_id()).json()


def tree(serving: Serving, asked: Asked) -> dict[str, Any]:
    """The call's family."""
    found = serving.history.calls.get(asked.call_id())
    return {"data": [_line(line) for line in serving.history.windows.family(found.id)]}


def _filter(query: Any, now: float) -> CallFilter:
    return CallFilter(
        status=query.status,
        route=query.route,
        verdict=query.verdict,
        url=query.endpoint,
        min_ms=query.min_ms,
        max_ms=query.max_ms,
        text=query.text,
        reason=query.reason,
        since=_moment(query.since, now),
        until=_moment(query.until, now),
        after=query.after,
    )


def _fields(which: CallFilter) -> dict[str, Any]:
    return asdict(which)


def _line(line: Line) -> dict[str, Any]:
    started_at = utc(line.started_at, precision="milliseconds")
    return {**asdict(line), "started_at": started_at, "rows": line.rows}


def _moment(text: str | None, now: float) -> float | None:
    return None if text is None else moment_of(text, now)


# --- rows ------------------------------------------------------------------------------------------------------------


def rows(serving: Serving, asked: Asked) -> dict[str, Any]:
    """A window of a run's rows."""
    run_id, query = _run_of(serving, asked).run_id, asked.given
    which = RowFilter(query.key, query.outcome, query.change, query.reason, query.part)
    found = read_rows(serving.state_dir, serving.history, run_id, which, limit=query.limit, offset=query.offset)
    return {"data": found, "total": count_rows(serving.state_dir, run_id, which)}


def reasons(serving: Serving, asked: Asked) -> dict[str, Any]:
    """Why rows of a run did not succeed."""
    found = read_reasons(serving.state_dir, _run_of(serving, asked).run_id, keys=5)
    return {"data": [{**asdict(each), "keys": list(each.keys)} for each in found]}


def story(serving: Serving, asked: Asked) -> dict[str, Any]:
    """Everything that ever happened to a row."""
    query = asked.given
    return read_story(serving.state_dir, serving.history, query.key, sync=query.sync, limit=query.limit)


def keys(serving: Serving, asked: Asked) -> dict[str, Any]:
    """Keys that begin so."""
    query = asked.given
    found = find_keys(serving.state_dir, serving.history, query.prefix, sync=query.sync, limit=query.limit)
    return {"data": found}


def undelivered(serving: Serving, asked: Asked) -> dict[str, Any]:
    """The rows of a sync that are not delivered."""
    query = asked.given
    with closing(serving.project()) as project:
        found = list_undelivered(project.sync(asked.path["name"]), project.means())
    shown = found[query.offset : query.offset + query.limit]
    return {"data": [asdict(each) for each in shown], "total": len(found)}


# --- files -----------------------------------------------------------------------------------------------------------


def calls_file(serving: Serving, asked: Asked) -> Response:
    """All calls of a run as a file, made as it is sent."""
    run_id, form = _run_of(serving, asked).run_id, asked.given.format
    documents = (found.json() for found in serving.history.calls.iterate(run_id))
    if form == "har":
        text = json.dumps(har(documents, version("pendo-connector")), ensure_ascii=False)
        return _file(iter([text]), f"{run_id}.har", "application/json")
    if form == "csv":
        parts = (csv_text((each,), CALL_NAMES, header=False) for each in documents)
        return _file(_behind(csv_text((), CALL_NAMES), parts), f"{run_id}-calls.csv", "text/csv")
    if form == "curl":
        return _file((curl(each) + "\n" for each in documents), f"{run_id}.sh", "text/plain")
    return _file(_list(documents), f"{run_id}-calls.json", "application/json")


def rows_file(serving: Serving, asked: Asked) -> Response:
    """The rows of a run as a file."""
    run_id, query = _run_of(serving, asked).run_id, asked.given
    which = RowFilter(outcome=query.outcome, reason=query.reason)
    found = read_rows(serving.state_dir, serving.history, run_id, which, limit=EXPORTED_ROWS)
    if query.format == "csv":
        return _file(iter([csv_text(found, ROW_NAMES)]), f"{run_id}-rows.csv", "text/csv")
    return _file(_list(iter(found)), f"{run_id}-rows.json", "application/json")


def _behind(first: str, parts: Iterator[str]) -> Iterator[str]:
    yield first
    yield from parts


def _list(documents: Iterator[dict[str, Any]]) -> Iterator[str]:
    lead = "[\n"
    for document in documents:
        yield lead + json.dumps(document, ensure_ascii=False)
        lead = ",\n"
    yield "[]\n" if lead == "[\n" else "\n]\n"


def _file(parts: Iterator[str], name: str, kind: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=kind, headers=headers)


# --- doing -----------------------------------------------------------------------------------------------------------


def retry(serving: Serving, asked: Asked) -> dict[str, Any]:
    """How many rows are offered afresh."""
    with closing(serving.project()) as project:
        return {"rows": project.retry(asked.path["name"], key=asked.given.key)}


def release(serving: Serving, asked: Asked) -> dict[str, Any]:
    """How many rows were let go."""
    with closing(serving.project()) as project:
        return {"rows": project.release(asked.path["name"], key=asked.given.key, drop=asked.given.drop)}


def quarantine(serving: Serving, asked: Asked) -> dict[str, Any]:
    """How many rows are not offered any more."""
    from connector.actions.undelivered import quarantine as put_away  # noqa: PLC0415 - the name is taken here

    with closing(serving.project()) as project:
        return {"rows": put_away(project.sync(asked.path["name"]), project.means(), key=asked.given.key)}


def replay(serving: Serving, asked: Asked) -> dict[str, Any]:
    """The call that repeats another one, with what came back."""
    body = asked.given
    if body.to == "destination" and not body.confirm:
        raise ConfigError(
            "a call is sent to the destination again only when that is confirmed",
            slug="bad-query",
            hint='"confirm": true',
        )
    with closing(serving.project()) as project:
        return project.replay(asked.call_id(), body.to, url=body.url).json()
