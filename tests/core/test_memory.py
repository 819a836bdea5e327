"""How much DuckDB may hold while a sync's rows are compared."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.process import limit_threads
from connector.state.snapshot import MEMORY_BYTES, open_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_sync_s_rows_are_compared_with_is_limited(tmp_path: Path) -> None:
    with open_snapshot(tmp_path, "s") as snapshot:
        limit = snapshot.one("SELECT current_setting('memory_limit')").removesuffix(" MiB")
        threads = snapshot.one("SELECT current_setting('threads')")

    assert float(limit) * 2**20 == pytest.approx(MEMORY_BYTES, rel=0.001)
    assert threads <= 4


@pytest.mark.parametrize(
    ("cores", "memory", "threads"),
    [(2, MEMORY_BYTES, 2), (64, MEMORY_BYTES, 4), (64, 2_000_000_000, 31), (64, 10_000_000, 1)],
)
def test_a_machine_with_many_cores_takes_no_more_threads_than_the_memory_is_enough_for(
    cores: int, memory: int, threads: int
) -> None:
    with closing(duckdb.connect(config={"threads": cores})) as connection:
        limit_threads(connection, memory)

        assert connection.execute("SELECT current_setting('threads')").fetchone() == (threads,)
