"""How much DuckDB may hold while a sync's rows are compared."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.process import limit_threads
from connector.state.snapshot import MEMORY_BYTES, PASSING_BYTES, ROW_GROUP, open_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_sync_s_rows_are_compared_with_is_limited(tmp_path: Path) -> None:
    with open_snapshot(tmp_path, "s") as snapshot:
        limit = snapshot.one("SELECT current_setting('memory_limit')").removesuffix(" MiB")
        threads = snapshot.one("SELECT current_setting('threads')")

    assert float(limit) * 2**20 == pytest.approx(MEMORY_BYTES, rel=0.001)
    assert threads <= 4


def test_less_is_held_while_rows_only_pass(tmp_path: Path) -> None:
    def limit() -> str:
        return str(snapshot.one("SELECT current_setting('memory_limit')"))

    with open_snapshot(tmp_path, "s") as snapshot:
        before = limit()
        with snapshot.passing():
            inside = limit()
        after = limit()

    assert float(inside.removesuffix(" MiB")) * 2**20 == pytest.approx(PASSING_BYTES, rel=0.001)
    assert after == before


def test_rows_are_written_in_the_groups_they_arrive_in(tmp_path: Path) -> None:
    with open_snapshot(tmp_path, "s") as snapshot:
        snapshot.connection.execute(f"CREATE TABLE state.some AS SELECT range AS i FROM range({ROW_GROUP * 2 + 1})")
        snapshot.connection.execute("CHECKPOINT state")
        groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('state.some')"

        assert snapshot.one(groups) == 3


@pytest.mark.parametrize(
    ("cores", "memory", "threads"),
    [(2, MEMORY_BYTES, 2), (64, MEMORY_BYTES, 3), (64, 2_000_000_000, 31), (64, 10_000_000, 1)],
)
def test_a_machine_with_many_cores_takes_no_more_threads_than_the_memory_is_enough_for(
    cores: int, memory: int, threads: int
) -> None:
    with closing(duckdb.connect(config={"threads": cores})) as connection:
        limit_threads(connection, memory)

        assert connection.execute("SELECT current_setting('threads')").fetchone() == (threads,)
