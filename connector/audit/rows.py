"""The rows of the warehouse logs: a run from the history, its changes from the row outcomes and the API call log.

The values come from the requests that carried them, so they are what the destination was told, and what was masked or
not kept there is masked or missing here, too. Nothing is read row by row.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from connector.audit.tables import CHANGELOG, COUNTED, SYNC_RUNS
from connector.ports import Change, Stored
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from connector.ports import StoredTable
    from connector.state.calls import Call
    from connector.state.history import History
    from connector.state.runs import Run

BATCH_ROWS = 50_000
BODIES = 50  # calls whose bodies are in memory at once
MEMORY_LIMIT = "256MB"

_ARROW = {
    Stored.TEXT: pa.string(),
    Stored.NUMBER: pa.int64(),
    Stored.TIME: pa.timestamp("us", tz="UTC"),
    Stored.JSON: pa.string(),
}
_TABLES = """
CREATE TABLE calls (id BIGINT, route VARCHAR, first BIGINT, stop BIGINT, status INTEGER, ended_at DOUBLE);
CREATE TABLE parts (id BIGINT, n BIGINT, part VARCHAR);
"""
_CALLS = pa.schema(
    [
        ("id", pa.int64()),
        ("route", pa.string()),
        ("first", pa.int64()),
        ("stop", pa.int64()),
        ("status", pa.int32()),
        ("ended_at", pa.float64()),
    ]
)
_BODIES = pa.schema([("id", pa.int64()), ("first", pa.int64()), ("body", pa.string())])
# Of the calls that carried a row on a route, the last one decided; those before were split or tried again.
_CARRIED = """
CREATE TABLE carried AS SELECT route, n, max(id) AS id
FROM (SELECT route, id, unnest(range(first, stop)) AS n FROM calls WHERE first IS NOT NULL)
WHERE n IN (SELECT n FROM read_parquet({rows}) WHERE change <> 'removed') GROUP BY ALL
"""
_PARTS = """
INSERT INTO parts SELECT id, first + place - 1, part FROM (
    SELECT id, first, unnest(members) AS part, generate_subscripts(members, 1) AS place FROM (
        SELECT id, first, CASE json_type(body) WHEN 'ARRAY' THEN json_extract(body, '$[*]') ELSE [body::JSON] END
            AS members FROM bodies WHERE json_valid(body)))
"""
# A row whose JSON holds its values apart, beside its id, has one such JSON a route; any other is all values. Joined and
# not aggregated: what a join holds goes to the disk when memory is short.
_ON_ROUTE = """
LEFT JOIN (SELECT n, part, json_extract(part, '$.values')::VARCHAR AS held FROM carried JOIN parts USING (id, n)
    WHERE route = {route}) {name} ON {name}.n = r.n"""
# What JSON in PostgreSQL does not take; a backslash before it that is itself escaped begins no escape.
_NUL_ESCAPE = r"((?:^|[^\\])(?:\\\\)*)\\u0000"


def run_row(run: Run) -> pa.RecordBatchReader:
    """The row of `sync_runs` for a run that has ended."""
    counts, outcomes = run.rows or {}, run.outcomes or {}
    error = run.error
    row: dict[str, Any] = {
        "sync": run.sync,
        "run_id": run.run_id,
        "model": run.model,
        "destination": run.destination,
        "object": run.object,
        "status": run.status,
        "error": None
        if error is None
        else f"{error['slug']}: {error['message']}".replace("\0", "\N{REPLACEMENT CHARACTER}"),
        "started_at": _moment(run.started_at),
        "finished_at": None if run.finished_at is None else _moment(run.finished_at),
        "queried": counts.get("queried", 0),
    }
    for change in Change:
        row[f"planned_{change}"] = counts.get(change, 0)
        for outcome in COUNTED[1:]:
            row[f"{outcome}_{change}"] = outcomes.get(outcome, {}).get(change, 0)
    schema = arrow_schema(SYNC_RUNS)
    return pa.RecordBatchReader.from_batches(schema, [pa.RecordBatch.from_pylist([row], schema=schema)])


@contextmanager
def change_rows(run: Run, rows_path: Path, history: History, folder: Path) -> Iterator[pa.RecordBatchReader]:
    """The rows of `changelog` for a run, streamed; `folder` takes what does not fit into memory.

    There are none where the run planned nothing, or where its row outcomes are not kept any more.
    """
    schema = arrow_schema(CHANGELOG)
    if not rows_path.exists():
        yield pa.RecordBatchReader.from_batches(schema, [])
        return
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = {quoted_text(str(folder))}")
        connection.execute(_TABLES)
        rows = quoted_text(str(rows_path))
        _collect(connection, run, history, rows)
        found = connection.execute("SELECT DISTINCT route FROM carried ORDER BY route").fetchall()
        routes = [route for (route,) in found]
        # An engine that reads the rows must be able to cast them: all are as the table's columns want them.
        with connection.sql(_changes(run, rows, routes)).to_arrow_reader(BATCH_ROWS) as reader:
            yield pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


def _collect(connection: duckdb.DuckDBPyConnection, run: Run, history: History, rows: str) -> None:
    calls = history.calls.iterate(run.run_id, bodies=False)
    while page := list(islice(calls, BATCH_ROWS)):
        connection.register("page", pa.RecordBatch.from_pylist([_call(call) for call in page], schema=_CALLS))
        connection.execute("INSERT INTO calls SELECT * FROM page")
        connection.unregister("page")
    connection.execute(_CARRIED.format(rows=rows))
    needed = iter(connection.execute("SELECT DISTINCT id FROM carried ORDER BY id").fetchall())
    while ids := list(islice(needed, BODIES)):
        found = (history.calls.get(call_id) for (call_id,) in ids)
        bodies = [{"id": call.id, "first": call.first, "body": call.request_body} for call in found]
        connection.register("bodies", pa.RecordBatch.from_pylist(bodies, schema=_BODIES))
        connection.execute(_PARTS)
        connection.unregister("bodies")


def _changes(run: Run, rows: str, routes: Sequence[str]) -> str:
    at = f"coalesce(c.ended_at, {run.finished_at or run.started_at})"
    joins = [_ON_ROUTE.format(route=quoted_text(route), name=f"f{number}") for number, route in enumerate(routes)]
    # Twice: of two in a row, the first takes away what must stand before the second.
    cleaned = "fields"
    for _ in range(2):
        cleaned = f"regexp_replace({cleaned}, {quoted_text(_NUL_ESCAPE)}, '\\1\\ufffd', 'g')"
    return f"""
    SELECT * REPLACE (CASE WHEN contains(fields, '\\u0000') THEN {cleaned} ELSE fields END AS fields) FROM (
        SELECT {quoted_text(run.sync)} AS sync, {quoted_text(run.run_id)} AS run_id, {_storable("r.key")} AS row_key,
            r.change, r.outcome, {_storable("r.reason")} AS reason, r.call_id, r.attempts::BIGINT AS attempt,
            c.status::BIGINT AS http_status, {_fields(routes)} AS fields,
            make_timestamp(({at} * 1000000)::BIGINT)::TIMESTAMPTZ AS at
        FROM read_parquet({rows}) r LEFT JOIN calls c ON c.id = r.call_id {"".join(joins)})"""


def _fields(routes: Sequence[str]) -> str:
    """SQL for the mapped values of a row."""
    if not routes:
        return "NULL::VARCHAR"
    names = [f"f{at}" for at in range(len(routes))]
    pairs = zip(routes, names, strict=True)
    named = ", ".join(f"{quoted_text(json.dumps(route) + ':')} || {name}.held" for route, name in pairs)
    held, parts = ", ".join(f"{name}.held" for name in names), ", ".join(f"{name}.part" for name in names)
    together = f"'{{' || concat_ws(',', {named}) || '}}'"
    return f"CASE WHEN coalesce({held}) IS NULL THEN coalesce({parts}) ELSE {together} END"


def _storable(column: str) -> str:
    """SQL for the text without the character that no PostgreSQL takes."""
    return f"replace({column}, chr(0), '\N{REPLACEMENT CHARACTER}')"


def _call(call: Call) -> dict[str, Any]:
    ended_at = call.started_at + (call.ms or 0) / 1000
    found = {name: getattr(call, name) for name in ("id", "route", "first", "stop", "status")}
    return found | {"ended_at": ended_at}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def arrow_schema(table: StoredTable) -> pa.Schema:
    """The Arrow types of the rows of a table."""
    return pa.schema([(column.name, _ARROW[column.holds]) for column in table.columns])
