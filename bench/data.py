"""The warehouses of the benchmark: DuckDB files with one table of 11 columns, always the same for a number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = """
SELECT printf('row-%08d', i) AS id, 'user-' || (i % 50000) AS user_id, 'acct-' || (i % 1000) AS account_id,
    'plan' || (i % 5) AS plan, (i * 7) % 1000 AS seats, (i % 100000) * 0.25::DOUBLE AS amount, i % 2 = 0 AS active,
    date_trunc('second', now()::TIMESTAMP) - to_seconds(i % 500000) AS renewed_at, 'text ' || md5(i::VARCHAR) AS note,
    DATE '2026-01-01' + (i % 300)::INTEGER AS started_on, CASE WHEN i % 3 = 0 THEN NULL ELSE 'north' END AS region
FROM range({first}, {stop}) t(i)
"""


def base(folder: Path, rows: int) -> Path:
    """A warehouse with so many rows."""
    path = folder / f"base-{rows}.duckdb"
    if not path.exists():
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"CREATE TABLE rows AS {_ROWS.format(first=0, stop=rows)}")
    return path


def changed(folder: Path, rows: int) -> Path:
    """The same warehouse later: one row in a hundred changed, one in a thousand gone, and as many new ones."""
    path = folder / f"changed-{rows}.duckdb"
    if not path.exists():
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"ATTACH '{base(folder, rows)}' AS base (READ_ONLY)")
            connection.execute(
                f"""CREATE TABLE rows AS
                SELECT * REPLACE (CASE WHEN substr(id, 5)::INT % 100 = 7 THEN seats + 1 ELSE seats END AS seats)
                FROM base.rows WHERE substr(id, 5)::INT % 1000 <> 500
                UNION ALL {_ROWS.format(first=rows, stop=rows + rows // 1000)}"""
            )
    return path
