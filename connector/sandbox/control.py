"""The sandbox's own API under /_sandbox/, and its page. None of these calls is in the request log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import Field
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connector.errors import ConfigError
from connector.project.settings import Settings
from connector.sandbox.calls import parse
from connector.sandbox.faults import Fault
from connector.sandbox.page import page
from connector.sandbox.seed import FieldTypeName, Kind, SeedObject, checked, wire_kind
from connector.sandbox.switches import SWITCHES, Switches
from connector.sandbox.track import shown_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.requests import Request

    from connector.sandbox.sandbox import Sandbox
    from connector.sandbox.state import Event


class NewObjects(Settings):
    """The body of POST /_sandbox/objects."""

    kind: Kind
    objects: list[SeedObject]


class NewFields(Settings):
    """The body of POST /_sandbox/fields."""

    kind: Kind
    group: str = "custom"
    fields: dict[str, FieldTypeName]


class NewFaults(Settings):
    """The body of POST /_sandbox/faults, when it is several rules."""

    faults: list[Fault]


class Advance(Settings):
    """The body of POST /_sandbox/clock."""

    seconds: float = Field(0, ge=0)
    hours: float = Field(0, ge=0)
    days: float = Field(0, ge=0)


def control_app(sandbox: Sandbox) -> Starlette:
    """The page and the control API of the sandbox."""
    control = _Control(sandbox)
    routes = [
        Route("/", control.page),
        Route("/_sandbox/state", control.state),
        Route("/_sandbox/objects", control.add_objects, methods=["POST"]),
        Route("/_sandbox/objects/{kind}", control.objects),
        Route("/_sandbox/events", control.events),
        Route("/_sandbox/requests", control.requests),
        Route("/_sandbox/deletions", control.deletions),
        Route("/_sandbox/fields", control.add_fields, methods=["POST"]),
        Route("/_sandbox/fields/{kind}", control.fields),
        Route("/_sandbox/seed", control.seed, methods=["POST"]),
        Route("/_sandbox/switches", control.switches, methods=["GET", "PATCH", "PUT"]),
        Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/reset", control.reset, methods=["POST"]),
        Route("/_sandbox/clock", control.clock, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={ConfigError: _explained})


class _Control:
    """The endpoints, all on one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def page(self, request: Request) -> Response:
        rows = _number(request, "rows", 25)
        # A lone surrogate can come in by JSON, and cannot go out as UTF-8.
        return HTMLResponse(page(self._sandbox, rows).encode(errors="replace"))

    async def state(self, _request: Request) -> Response:
        sandbox = self._sandbox
        with sandbox.lock:
            document = {
                **sandbox.counts(),
                "requests_by_status": sandbox.log.by_status(),
                "clock": _iso(sandbox.now()),
                "write_access": sandbox.keys.write_access,
                "switches": sandbox.switches.as_dict(),
                "faults": len(sandbox.faults.rules),
            }
        return _json(document)

    async def objects(self, request: Request) -> Response:
        kind, wanted = wire_kind(request.path_params["kind"]), request.query_params.get("id")
        with self._sandbox.lock:
            held, blocked = self._sandbox.state.objects[kind], self._sandbox.state.do_not_process[kind]
            ids = _part(request, held) if wanted is None else [wanted] if wanted in held else []
            return _json(
                [{"id": each, "metadata": held[each], "do_not_process": each in blocked} for each in ids],
                total=len(held),
            )

    async def events(self, request: Request) -> Response:
        with self._sandbox.lock:
            events = self._sandbox.state.events
            return _json([_event(each) for each in _part(request, events)], total=len(events))

    async def requests(self, request: Request) -> Response:
        path, status = request.query_params.get("path"), request.query_params.get("status")
        with self._sandbox.lock:
            chosen = [
                entry
                for entry in self._sandbox.log.calls
                if path in (None, entry.path) and status in (None, str(entry.status or "none"))
            ]
            return _json([entry.document() for entry in _part(request, chosen)], total=len(chosen))

    async def deletions(self, _request: Request) -> Response:
        now = self._sandbox.now()
        return _json(
            [
                {"id": each.id, "kind": each.kind, "status": each.status(now), "ids": each.ids}
                for each in self._sandbox.deletions
            ]
        )

    async def fields(self, request: Request) -> Response:
        return _json(self._sandbox.fields(request.path_params["kind"]))

    async def add_objects(self, request: Request) -> Response:
        new = checked(NewObjects, await _written(request), "objects")
        self._sandbox.add_objects(new.kind, [each.model_dump() for each in new.objects])
        return _json(self._sandbox.counts())

    async def add_fields(self, request: Request) -> Response:
        new = checked(NewFields, await _written(request), "fields")
        self._sandbox.add_fields(new.kind, new.group, new.fields)
        return _json(self._sandbox.fields(new.kind))

    async def seed(self, request: Request) -> Response:
        written = await _written(request)
        self._sandbox.add(written if isinstance(written, dict) else {"seed": written})
        return _json(self._sandbox.counts())

    async def switches(self, request: Request) -> Response:
        if request.method != "GET":
            written = await _written(request)
            changes = written if isinstance(written, dict) else {str(written): None}
            first = Switches() if request.method == "PUT" else self._sandbox.switches
            self._sandbox.set_switches(first.changed(changes))
        values = self._sandbox.switches.as_dict()
        return _json(
            {
                switch.name: {"value": values[switch.name], "values": switch.words(), "description": switch.description}
                for switch in SWITCHES
            }
        )

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._sandbox.clear_faults()
        elif request.method == "POST":
            written = await _written(request)
            if isinstance(written, list):
                self._sandbox.add_faults(*checked(NewFaults, {"faults": written}, "faults").faults)
            else:
                self._sandbox.add_faults(checked(Fault, written, "fault"))
        return _json([rule.document() for rule in self._sandbox.faults.rules])

    async def reset(self, _request: Request) -> Response:
        self._sandbox.reset()
        return _json(self._sandbox.counts())

    async def clock(self, request: Request) -> Response:
        if request.method == "POST":
            step = checked(Advance, await _written(request), "clock")
            self._sandbox.advance(step.seconds + step.hours * 3600 + step.days * 86_400)
        return _json({"now": _iso(self._sandbox.now())})


async def _written(request: Request) -> Any:
    body = await request.body()
    try:
        return parse(body)
    except ValueError as error:
        raise ConfigError(f"the body is not JSON: {error}", slug="bad-json") from None


async def _explained(_request: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, ConfigError) else ()
    said = [{"message": each.message, "slug": each.slug, "at": each.at, "hint": each.hint} for each in problems]
    return JSONResponse({"errors": said}, status_code=400)


def _json(document: Any, total: int | None = None) -> Response:
    """The document; `total` tells how many there are when only a part is in it."""
    headers = {} if total is None else {"x-total-count": str(total)}
    return Response(json.dumps(document, indent=1) + "\n", media_type="application/json", headers=headers)


def _part(request: Request, rows: Iterable[Any]) -> Iterator[Any]:
    first, most = _number(request, "offset", 0), _number(request, "limit", None)
    return islice(rows, first, None if most is None else first + most)


def _number(request: Request, name: str, default: Any) -> Any:
    written = request.query_params.get(name)
    if written is None:
        return default
    if not written.isdecimal():
        raise ConfigError(f"{name} must be a number, not {written!r}", slug="bad-query")
    return int(written)


def _event(event: Event) -> dict[str, Any]:
    return {
        "call": event.call,
        "received_at": _iso(event.received_at),
        "event": event.body,
        "dropped": event.dropped,
        "processed": event.processed,
        "notes": shown_as(event),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
