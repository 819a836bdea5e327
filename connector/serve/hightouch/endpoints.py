"""What each path answers. Everything here may block: it runs in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connector.project.settings import EventSync
from connector.serve.hightouch.asking import (
    CustomTriggerBody,
    ListQuery,
    RunsQuery,
    SyncsQuery,
    TriggerBody,
    read_body,
    read_query,
)
from connector.serve.hightouch.catalog import known_sync, read_catalog
from connector.serve.hightouch.errors import conflict, invalid, not_found
from connector.serve.hightouch.following import list_runs, one_run
from connector.serve.hightouch.shapes import destination_json, model_json, source_json, sync_json
from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.datastructures import QueryParams

    from connector.project.definition import Sync
    from connector.serve.hightouch.catalog import Catalog
    from connector.serve.serving import Serving
    from connector.state.history import History
    from connector.state.numbers import Kind

Json = dict[str, Any]
TRIGGER = "api"

_ENTRIES: dict[Kind, Callable[[Catalog], Mapping[str, Any]]] = {
    "sync": lambda catalog: catalog.definition.syncs,
    "model": lambda catalog: catalog.definition.models,
    "source": lambda catalog: catalog.definition.sources,
    "destination": lambda catalog: catalog.definition.destinations,
}
_SHAPES: dict[Kind, Callable[[Any, Catalog, History], Json]] = {
    "sync": sync_json,
    "model": model_json,
    "source": source_json,
    "destination": destination_json,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the values in its path, its query and its body."""

    path: Mapping[str, Any]
    query: QueryParams
    body: Json


# --- what there is ----------------------------------------------------------------------------------------------------


def listing(kind: Kind) -> Callable[[Serving, Asked], Json]:
    """The endpoint that lists everything of this kind."""

    def answer(serving: Serving, asked: Asked) -> Json:
        query: ListQuery = read_query(SyncsQuery if kind == "sync" else ListQuery, asked.query)
        catalog = read_catalog(serving)
        shape = _SHAPES[kind]
        found = [shape(entry, catalog, serving.history) for entry in _wanted(kind, catalog, query)]
        if isinstance(query, SyncsQuery):
            found = [one for one in found if _was_run(one, query)]
        found.sort(key=lambda one: (one["slug" if query.order_by == "name" else query.order_by], one["id"]))
        page = found[query.offset : query.offset + query.length]
        return {"data": page, "hasMore": len(found) > query.offset + query.length}

    return answer


def single(kind: Kind) -> Callable[[Serving, Asked], Json]:
    """The endpoint that shows one of this kind."""

    def answer(serving: Serving, asked: Asked) -> Json:
        catalog = read_catalog(serving)
        name = catalog.find(kind, asked.path["id"])
        return _SHAPES[kind](_ENTRIES[kind](catalog)[name], catalog, serving.history)

    return answer


def _wanted(kind: Kind, catalog: Catalog, query: ListQuery) -> list[Any]:
    """What the query's names ask for; nothing here has tags, and a name is its slug."""
    names = [wanted for wanted in (query.name, query.slug) if wanted is not None]
    entries = [entry for name, entry in _ENTRIES[kind](catalog).items() if all(wanted == name for wanted in names)]
    if isinstance(query, SyncsQuery) and query.model_id is not None:
        return [sync for sync in entries if catalog.number("model", sync.model.name) == query.model_id]
    return entries


def _was_run(sync: Json, query: SyncsQuery) -> bool:
    """Whether the sync's last run is one of those asked for."""
    last = None if sync["lastRunAt"] is None else datetime.fromisoformat(sync["lastRunAt"])
    if query.after is not None and (last is None or last <= query.after):
        return False
    return query.before is None or (last is not None and last < query.before)


# --- runs -------------------------------------------------------------------------------------------------------------


def runs(serving: Serving, asked: Asked) -> Json:
    """The runs of a sync, or the one that `runId` names, whichever way."""
    query = read_query(RunsQuery, asked.query)
    history = serving.history
    sync = known_sync(history, asked.path["id"])
    if query.run_id is None:
        page, more = list_runs(sync, query, serving.clock.now(), history)
        return {"data": page, "hasMore": more}
    run_id = _run_id(history, query.run_id)
    found = one_run(run_id, history) if run_id is not None and _sync_of(history, run_id) == sync else None
    return {"data": [] if found is None else [found], "hasMore": False}


def trigger(serving: Serving, asked: Asked) -> Json:
    """The number of a run, after asking for it: the sync is in the path."""
    body = read_body(TriggerBody, asked.body)
    return _trigger(serving, asked.path["id"], body)


def trigger_custom(serving: Serving, asked: Asked) -> Json:
    """The number of a run, after asking for it: the sync is in the body."""
    body = read_body(CustomTriggerBody, asked.body)
    named = {name for name in (body.sync_id, body.sync_slug) if name is not None}
    if not named:
        raise invalid({"body.syncId": "one of syncId, syncSlug is needed"})
    if len(named) > 1:
        raise invalid({"body.syncSlug": "give only one of syncId, syncSlug"})
    return _trigger(serving, named.pop(), body)


def _trigger(serving: Serving, wanted: str, body: TriggerBody) -> Json:
    _refuse_what_there_is_not(body)
    catalog = read_catalog(serving)
    sync = catalog.definition.syncs[catalog.find("sync", wanted)]
    options = {"full_resync": True} if body.full_resync else {}
    if body.full_resync:
        _refuse_doubled_events(sync)
    history = serving.history
    waiting = history.triggers.ask(sync.name, trigger=TRIGGER, options=options)
    history.numbers.number_begun(sync.name)
    return {"id": str(history.numbers.one("run", waiting.run_id).number)}


def _refuse_what_there_is_not(body: TriggerBody) -> None:
    if body.reset_cdc:
        raise invalid({"body.resetCDC": "not here: `connector reset SYNC --baseline` takes the present rows as sent"})
    if body.clear_and_fill:
        raise invalid({"body.clearAndFill": "Pendo has no audiences to clear"})


def _refuse_doubled_events(sync: Sync) -> None:
    if isinstance(sync.settings, EventSync):
        advice = f"`connector run {sync.name} --full-resync --resend-events` does it all the same"
        raise invalid({"body.fullResync": f"Pendo would count every event of '{sync.name}' twice; {advice}"})


# --- what Hightouch does not have: a run by itself --------------------------------------------------------------------


def run(serving: Serving, asked: Asked) -> Json:
    """A run as `connector run --json` prints it, and its number; `status` is also queued, running or withdrawn."""
    return _native(serving.history, _known_run(serving.history, asked.path["id"]))


def cancel(serving: Serving, asked: Asked) -> Json:
    """The run, after asking it to stop, or taking it out of the queue."""
    history = serving.history
    run_id = _known_run(history, asked.path["id"])
    waiting = history.triggers.by_run(run_id)
    if waiting is None or not history.triggers.withdraw(waiting.id):
        begun = history.runs.find(run_id)
        ended = begun.status != RUNNING if begun is not None else waiting is not None and waiting.state != "started"
        if ended:
            raise conflict("the run has ended already")
        history.cancels.ask(run_id)
    return _native(history, run_id)


def _native(history: History, run_id: str) -> Json:
    number = history.numbers.one("run", run_id).number
    asked = history.triggers.by_run(run_id)
    begun = history.runs.find(run_id)
    if begun is not None or asked is None:
        return (begun or history.runs.get(run_id)).json() | {"id": number}
    states = {"waiting": "queued", "started": "queued", "withdrawn": "cancelled", "done": "failed"}
    names = ("started_at", "finished_at", "error", "rows", "outcomes", "requests")
    found = dict.fromkeys(names) | {"run_id": run_id, "sync": asked.sync, "trigger": asked.trigger}
    return found | {"status": states[asked.state], "error": asked.error, "id": number}


def _known_run(history: History, wanted: str) -> str:
    run_id = _run_id(history, wanted)
    if run_id is None or _sync_of(history, run_id) is None:
        raise not_found(f"there is no run {wanted}")
    return run_id


def _run_id(history: History, wanted: str) -> str | None:
    """The run's name: `wanted` is its number, or the name itself."""
    if not (wanted.isascii() and wanted.isdigit()):
        return wanted
    found = history.numbers.find("run", int(wanted))
    return None if found is None else found.name


def _sync_of(history: History, run_id: str) -> str | None:
    begun = history.runs.find(run_id)
    if begun is not None:
        return begun.sync
    asked = history.triggers.by_run(run_id)
    return None if asked is None else asked.sync
