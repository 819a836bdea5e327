"""The file of a run's row outcomes: its order, what it holds of rows that were never sent, and files of older runs."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.actions.rows import RowFilter, count_rows, read_keys, read_rows
from connector.actions.story import explain, find_keys, find_rows, read_story
from connector.plan import PlanInfo
from connector.plan.rows_file import SORTED_ROWS, sort_rows, write_rows
from connector.state import open_history
from connector.state.clock import SystemClock
from connector.state.runs import Finish, NewRun
from connector.state.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INFO = PlanInfo("run", False, "", None, {}, False, False, 5, False)


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("ATTACH ':memory:' AS state")
        yield Snapshot(connection, tmp_path / "syncs" / "accounts.duckdb")


def written(snapshot: Snapshot, path: Path, rows: int, key: str = "md5(i::VARCHAR)", info: PlanInfo = INFO) -> None:
    """Nothing, after writing a file of so many rows; every tenth was rejected."""
    snapshot.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE result AS SELECT i AS n, {key} AS key, NULL::VARCHAR AS id,
            'added' AS change, CASE WHEN i % 10 = 0 THEN 'rejected' ELSE 'succeeded' END AS outcome,
            CASE WHEN i % 10 = 0 THEN 'value ' || i || ' is ''bad''' END AS reason, NULL::VARCHAR AS cause,
            NULL::BIGINT AS call_id, 0::INTEGER AS attempts FROM range({rows}) t(i)"""
    )
    write_rows(snapshot, info, path, rows)


def keys_of(path: Path) -> list[str]:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET threads = 1")
        return [key for (key,) in connection.execute("SELECT key FROM read_parquet(?)", [str(path)]).fetchall()]


def test_a_file_is_in_the_order_of_its_keys_and_a_large_one_later(snapshot: Snapshot, tmp_path: Path) -> None:
    small, large = tmp_path / "rows" / "small.parquet", tmp_path / "rows" / "large.parquet"
    written(snapshot, small, 20_000)
    written(snapshot, large, SORTED_ROWS + 1)
    before = keys_of(large)
    did = sort_rows(small), sort_rows(large), sort_rows(large)

    assert keys_of(small) == sorted(keys_of(small))
    assert before != sorted(before)
    assert did == (False, True, False)
    assert keys_of(large) == sorted(before)
    assert {path.name for path in large.parent.iterdir()} == {"small.parquet", "large.parquet"}


def test_rows_are_filtered_counted_and_paged(snapshot: Snapshot, tmp_path: Path) -> None:
    written(snapshot, tmp_path / "rows" / "run.parquet", 100, key="'key-' || lpad(i::VARCHAR, 3, '0')")
    kind = RowFilter(reason="value 7 is 'worse'")
    pages = [
        read_rows(tmp_path, None, "run", kind, limit=4, offset=at, payloads=False)  # type: ignore[arg-type]
        for at in (0, 4, 8)
    ]

    assert count_rows(tmp_path, "run") == 100
    assert count_rows(tmp_path, "run", kind) == 10
    assert count_rows(tmp_path, "run", RowFilter(reason="IS 'BAD")) == 10
    assert count_rows(tmp_path, "run", RowFilter(part="EY-01", outcome="succeeded")) == 9
    assert [row["key"] for page in pages for row in page] == [f"key-{at:03}" for at in range(0, 100, 10)]
    assert list(read_keys(tmp_path, "run", 98, 120)) == [98, 99]
    assert count_rows(tmp_path, "another") == 0


def test_a_file_without_payloads_of_an_older_connector_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute(
            "COPY (SELECT 0 AS n, 'a' AS key, NULL::VARCHAR AS id, 'added' AS change, 'rejected' AS outcome, "
            "'no' AS reason, 'value' AS cause, NULL::BIGINT AS call_id, 0 AS attempts) "
            f"TO '{tmp_path}/rows/run.parquet'"
        )
    with open_history(tmp_path, clock=SystemClock()) as history:
        started(history, "run")
        (row,) = read_rows(tmp_path, history, "run")
        (entry,) = read_story(tmp_path, history, "a")["entries"]

    assert row["payload"] is None
    assert (entry["outcome"], entry["after"]) == ("rejected", None)


def started(history: object, run_id: str, rows: int = 1) -> None:
    """Nothing, after writing down a run that has ended."""
    runs = history.runs  # type: ignore[attr-defined]
    runs.start(NewRun(run_id, "accounts", "test", "accounts", "pendo", "account"))
    runs.finish(run_id, Finish("success", rows={"added": rows, "changed": 0, "removed": 0}))


def test_one_key_is_found_in_many_runs_by_few_row_groups(snapshot: Snapshot, tmp_path: Path) -> None:
    ids = [f"run-{at}" for at in range(3)]
    with open_history(tmp_path, clock=SystemClock()) as history:
        for run_id in ids:
            written(snapshot, tmp_path / "rows" / f"{run_id}.parquet", 50_000, key="'key-' || lpad(i::VARCHAR, 6, '0')")
            started(history, run_id, 50_000)
        found = find_rows(tmp_path, ids, "key-000123", limit=10)
        first = find_rows(tmp_path, ids, "key-000123", limit=2)
        begins = find_keys(tmp_path, history, "key-00012", limit=4)
        story = read_story(tmp_path, history, "key-000120", limit=2)
    plan = explain(tmp_path, ids, "key-000123")

    assert [row["run_id"] for row in found] == ids
    assert first == found[:2]
    assert [each["key"] for each in begins] == [f"key-00012{at}" for at in range(4)]
    assert len(story["entries"]) == 2
    assert story["more"]
    assert "Row Groups Scanned: 3 / 15" in plan
