"""Syncs, models, sources and destinations as Hightouch writes them down. Nothing secret is in any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.serve.hightouch.statuses import sync_status
from connector.state.clock import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from connector.project.definition import DestinationEntry, Model, SourceEntry, Sync
    from connector.project.schedule_settings import Schedule
    from connector.serve.hightouch.catalog import Catalog
    from connector.state.history import History
    from connector.state.numbers import Kind
    from connector.state.runs import Run

WORKSPACE = 1
"""One project is one workspace."""

_MINUTE_S = 60
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", _MINUTE_S))
_RECENT = 20
"""How many runs back the last successful one of a model is looked for."""

# Addresses of alerts may hold tokens.
_HIDDEN = {"alerts"}


def iso(moment: float) -> str:
    """The moment as Hightouch writes it: `2026-01-01T00:00:00.000Z`."""
    return utc(moment, precision="milliseconds")


def sync_json(sync: Sync, catalog: Catalog, history: History) -> dict[str, Any]:
    """A sync with the state of its last run."""
    latest, paused = history.runs.latest(sync.name), sync.name in history.pauses.paused()
    waiting = bool(history.triggers.waiting(sync.name))
    return {
        **_common("sync", sync.name, catalog),
        "destinationId": catalog.number("destination", sync.destination.name),
        "modelId": catalog.number("model", sync.model.name),
        "configuration": _configuration(sync.settings) | {"object": sync.settings.object, "mode": sync.settings.mode},
        "schedule": schedule_json(sync.settings.schedule),
        "status": sync_status(latest, waiting=waiting, paused=paused),
        "disabled": paused,
        "lastRunAt": None if latest is None else iso(latest.started_at),
        "referencedColumns": sorted({*sync.model.settings.primary_key, *_columns(_configuration(sync.settings))}),
        "primaryKey": _primary_key(sync.model),
        "externalSegment": {},
        "tags": {},
    }


def model_json(model: Model, catalog: Catalog, history: History) -> dict[str, Any]:
    """A model with its SQL."""
    users = _users(catalog, "model", model.name)
    return {
        "name": model.name,
        **_common("model", model.name, catalog),
        "description": model.settings.description or "",
        "primaryKey": _primary_key(model),
        "sourceId": catalog.number("source", model.settings.source),
        "queryType": "raw_sql",
        "raw": {"sql": model.sql},
        "tags": {},
        "isSchema": False,
        "syncs": [catalog.number("sync", name) for name in users],
        "lastRunSize": _last_size(history, users),
    }


def source_json(source: SourceEntry, catalog: Catalog, _history: History) -> dict[str, Any]:
    """A source without its secrets."""
    return {
        "name": source.name,
        **_common("source", source.name, catalog),
        "type": source.type,
        "configuration": _configuration(source.settings),
    }


def destination_json(destination: DestinationEntry, catalog: Catalog, _history: History) -> dict[str, Any]:
    """A destination without its secrets."""
    return {
        "name": destination.name,
        **_common("destination", destination.name, catalog),
        "type": destination.type,
        "configuration": _configuration(destination.settings),
        "syncs": [catalog.number("sync", name) for name in _users(catalog, "destination", destination.name)],
    }


def schedule_json(schedule: Schedule | None) -> dict[str, Any] | None:
    """When the sync runs by itself; None where it does not, or in a way that Hightouch has no form for."""
    if schedule is None:
        return None
    if schedule.every is not None:
        seconds = schedule.every_s
        unit, length = next((unit, length) for unit, length in _UNITS if seconds % length == 0 or length == _MINUTE_S)
        return {"type": "interval", "schedule": {"interval": {"unit": unit, "quantity": seconds / length}}}
    if schedule.cron is not None:
        return {"type": "cron", "schedule": {"expression": schedule.cron}}
    return None


def _common(kind: Kind, name: str, catalog: Catalog) -> dict[str, Any]:
    return {
        "id": catalog.number(kind, name),
        "slug": name,
        "workspaceId": WORKSPACE,
        "createdAt": iso(catalog.created_at(kind, name)),
        "updatedAt": iso(catalog.updated_at(kind, name)),
    }


def _configuration(settings: BaseModel) -> dict[str, Any]:
    # Written out by pydantic, a SecretStr is stars.
    return settings.model_dump(mode="json", exclude_unset=True, exclude=_HIDDEN)


def _primary_key(model: Model) -> str:
    return ",".join(model.settings.primary_key)


def _users(catalog: Catalog, kind: Kind, name: str) -> list[str]:
    """The syncs that use this model or write to this destination."""
    syncs = catalog.definition.syncs.values()
    return sorted(sync.name for sync in syncs if (sync.model if kind == "model" else sync.destination).name == name)


def _last_size(history: History, syncs: Iterable[str]) -> int | None:
    """How many rows the model had in the last run that went well."""
    good = [run for sync in syncs if (run := _last_good(history.runs.list(sync, limit=_RECENT))) is not None]
    latest = max(good, key=lambda run: run.started_at, default=None)
    return None if latest is None or latest.rows is None else latest.rows["queried"]


def _last_good(runs: Iterable[Run]) -> Run | None:
    return next((run for run in runs if run.status in ("success", "warning")), None)


def _columns(value: object) -> Iterator[str]:
    """The columns that a sync's settings name, those in expressions too."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in ("column", "match") and isinstance(inner, str):
            yield inner
        elif key == "sql" and isinstance(inner, str):
            yield from _columns_of_sql(inner)
        elif key != "value":
            yield from _columns(inner)


def _columns_of_sql(expression: str) -> Iterator[str]:
    import sqlglot  # noqa: PLC0415 - start-up

    for column in sqlglot.parse_one(expression, dialect="duckdb").find_all(sqlglot.exp.Column):
        yield column.name
