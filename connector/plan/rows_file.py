"""The row outcomes of a run as a Parquet file: readable while other runs write, complete as soon as it has its name.

A file in the order of its keys, in small row groups, is searched for one key by reading a thousandth of it. To sort a
hundred thousand rows takes 20 to 40 ms, which is lost in a run that sends them; for a million it would be a second, so
larger files stay in the order of the plan until somebody has time (`sort_rows`).
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import duckdb

from connector.ports import Change, Outcome
from connector.state.hiding import open_hiding
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from connector.compile import Projection
    from connector.plan.comparison import PlanInfo
    from connector.ports import Route
    from connector.state.snapshot import Snapshot

SORTED_ROWS = 100_000
SHOWN_ROWS = 10_000  # of the rows that no request carried, so many keep their values: enough to look into
_ROW_GROUP = 10_240
_FORM = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000"
_BY_KEY = f"{_FORM}, ROW_GROUP_SIZE {_ROW_GROUP}"
COLUMNS = "n, key, id, change, outcome, reason, cause, call_id, attempts"


def keep_shown(snapshot: Snapshot, projection: Projection, routes: Sequence[Route], ready: str) -> None:
    """Nothing, after writing down, in `state.shown`, the values of rows whose outcome is known before any request."""
    names = [route.name for route in routes if Change.ADDED in route.changes]
    cover = projection.cover
    parts = {}
    for name in names:
        whole, kept = projection.fragments[name], "fragment"
        if cover is not None:
            whole, kept = cover.fragments[name], cover.kept[name]
        parts[name] = f"CASE WHEN fragment IS NULL THEN {whole} ELSE {kept} END"
    payload = next(iter(parts.values()), "NULL")
    if len(parts) > 1:
        members = ", ".join(f"{quoted_text(name)}, ({part})::JSON" for name, part in parts.items())
        payload = f"json_object({members})::VARCHAR"
    chosen = "SELECT n FROM state.plan WHERE outcome IS NOT NULL AND change <> 'removed'"
    snapshot.connection.execute(
        f"CREATE OR REPLACE TABLE state.shown AS SELECT n, {payload} AS payload FROM {ready} AS ready "
        f"WHERE n IN ({chosen}) ORDER BY n LIMIT {SHOWN_ROWS}"
    )


def write_rows(snapshot: Snapshot, info: PlanInfo, path: Path, rows: int) -> None:
    """Nothing, after writing the table `result`, which has so many rows, to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = "key"
    if any(info.hidden_key):
        open_hiding(snapshot.path.parent.parent).define(snapshot.connection)
        key = hidden_key(info.hidden_key)
    elif info.hidden_id:
        open_hiding(snapshot.path.parent.parent).define(snapshot.connection)
    wanted = {name: name for name in COLUMNS.split(", ")} | {"key": key}
    # A text in the file all the same, but one that takes a third of the time to write.
    wanted |= {"change": _one_of("change", Change), "outcome": _one_of("outcome", Outcome)}
    if info.hidden_id:
        wanted["id"] = "hashed(id)"
    columns = ", ".join(name if sql == name else f"{sql} AS {name}" for name, sql in wanted.items())
    shown = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'state' AND table_name = 'shown'"
    found = "result LEFT JOIN state.shown USING (n)" if snapshot.one(shown) else "result"
    columns += ", payload" if found != "result" else ", NULL::VARCHAR AS payload"
    ordered, form = (" ORDER BY key", _BY_KEY) if rows <= SORTED_ROWS else ("", _FORM)
    partial = path.with_suffix(".partial")
    chosen = f"SELECT {columns} FROM {found}{ordered}"
    snapshot.connection.execute(f"COPY ({chosen}) TO {quoted_text(str(partial))} ({form})")
    _put_in_place(partial, path)


@contextmanager
def row_files() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB to read row files with. It draws no progress bar: JSON may stand where that would be drawn."""
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


def sort_rows(path: Path) -> bool:
    """Whether the file was put in the order of its keys now; it was in that order already otherwise."""
    partial = path.with_suffix(".sorting")
    with closing(duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "256MB"})) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"SET temp_directory = {quoted_text(str(path.parent.parent / 'tmp'))}")
        groups = "SELECT count(DISTINCT row_group_id), max(row_group_num_rows) FROM parquet_metadata(?)"
        count, largest = connection.execute(groups, [str(path)]).fetchone() or (0, 0)
        if not count or largest <= _ROW_GROUP:
            return False
        rows = f"SELECT * FROM read_parquet({quoted_text(str(path))}) ORDER BY key"
        connection.execute(f"COPY ({rows}) TO {quoted_text(str(partial))} ({_BY_KEY})")
    _put_in_place(partial, path)
    return True


def _one_of(column: str, words: type[Change | Outcome]) -> str:
    return f"{column}::ENUM ({', '.join(map(quoted_text, words))})"


def _put_in_place(partial: Path, path: Path) -> None:
    """Nothing, after the file stands under its name, whole, also after a power cut: the journal is dropped next."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def hidden_key(parts: Sequence[bool]) -> str:
    """SQL for the key with these parts hashed; a composite key is a JSON array."""
    if len(parts) == 1:
        return "hashed(key)"
    texts = [f"key ->> '$[{at}]'" for at in range(len(parts))]
    shown = [f"hashed({text})" if hidden else text for text, hidden in zip(texts, parts, strict=True)]
    return f"to_json([{', '.join(shown)}])::VARCHAR"
