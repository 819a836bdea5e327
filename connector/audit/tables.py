"""The tables of the warehouse logs. docs/warehouse-logs.md shows them to users."""

from __future__ import annotations

from connector.ports import Change, Stored, StoredColumn, StoredTable

VERSION = 1
"""Of each table; raised by one when its columns change."""

COUNTED = ("planned", "succeeded", "rejected", "skipped")


def _columns(holds: Stored, *names: str) -> tuple[StoredColumn, ...]:
    return tuple(StoredColumn(name, holds) for name in names)


SYNC_RUNS = StoredTable(
    "sync_runs",
    VERSION,
    (
        *_columns(Stored.TEXT, "sync", "run_id", "model", "destination", "object", "status", "error"),
        *_columns(Stored.TIME, "started_at", "finished_at"),
        *_columns(Stored.NUMBER, "queried", *(f"{counted}_{change}" for counted in COUNTED for change in Change)),
    ),
)
_CHANGE = (
    *_columns(Stored.TEXT, "sync", "run_id", "row_key", "change", "outcome", "reason"),
    *_columns(Stored.NUMBER, "call_id", "attempt", "http_status"),
    *_columns(Stored.JSON, "fields"),
    *_columns(Stored.TIME, "at"),
)
CHANGELOG = StoredTable("changelog", VERSION, _CHANGE)
SNAPSHOT = StoredTable("snapshot", VERSION, _CHANGE)
TABLES = (SYNC_RUNS, CHANGELOG, SNAPSHOT)
