"""How much DuckDB may hold while a sync's rows are compared."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.process import limit_threads
from connector.state.snapshot import LEAST_MEMORY, MEMORY_A_ROW, MOST_MEMORY, open_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from connector.state.snapshot import Snapshot


def memory(snapshot: Snapshot) -> int:
    """The limit in bytes, as DuckDB tells it: rounded to a tenth of a MiB."""
    return round(float(snapshot.one("SELECT current_setting('memory_limit')").removesuffix(" MiB")) * 2**20)


@pytest.mark.parametrize(
    ("rows", "limit"),
    [
        (0, LEAST_MEMORY),
        (1_000_000, LEAST_MEMORY),
        (5_000_000, 5_000_000 * MEMORY_A_ROW),
        (10_000_000, MOST_MEMORY),
        (10**9, MOST_MEMORY),
    ],
)
def test_the_limit_grows_with_the_rows_up_to_the_most(tmp_path: Path, rows: int, limit: int) -> None:
    with open_snapshot(tmp_path, "s") as snapshot:
        snapshot.make_room(rows)

        assert memory(snapshot) == pytest.approx(limit, rel=0.001)


def test_a_file_that_holds_many_rows_is_opened_with_room_for_them(tmp_path: Path) -> None:
    with open_snapshot(tmp_path, "s") as snapshot:
        snapshot.connection.execute("INSERT INTO state.accepted SELECT i::VARCHAR, NULL, i FROM range(4_000_000) t(i)")

    with open_snapshot(tmp_path, "s") as snapshot:
        assert memory(snapshot) == pytest.approx(4_000_000 * MEMORY_A_ROW, rel=0.001)


@pytest.mark.parametrize(
    ("cores", "memory", "threads"),
    [(2, MOST_MEMORY, 2), (8, MOST_MEMORY, 8), (64, MOST_MEMORY, 8), (64, 256_000_000, 4), (64, 10_000_000, 1)],
)
def test_a_machine_with_many_cores_takes_no_more_threads_than_the_memory_is_enough_for(
    cores: int, memory: int, threads: int
) -> None:
    with closing(duckdb.connect(config={"threads": cores})) as connection:
        limit_threads(connection, memory)

        assert connection.execute("SELECT current_setting('threads')").fetchone() == (threads,)
