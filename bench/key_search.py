"""How long a search for one key takes over many runs, with the plan that DuckDB made of it.

    python bench/key_search.py                    100 runs of 100,000 rows each, written as a run writes them
    python bench/key_search.py --runs 20 --random  other sizes; keys whose order is not that of the model

Each search opens a new DuckDB and keeps nothing from the one before. (The files are in the page cache of the machine,
as after any recent run.)
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import duckdb

from connector.actions.story import explain, find_keys, find_rows, read_story
from connector.plan import PlanInfo
from connector.plan.rows_file import write_rows
from connector.state import open_history
from connector.state.clock import SystemClock
from connector.state.runs import Finish, NewRun
from connector.state.snapshot import Snapshot

INFO = PlanInfo("run", False, "", None, {}, False, False, 5, False)
ROUNDS = 5
COUNTS = ("queried", "null_key", "duplicate_key", "unchanged", "added", "removed")


def main() -> None:
    """Nothing, after printing what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--random", action="store_true", help="keys in no order, as hashes are")
    parser.add_argument("--dir", type=Path, help="where to make the store, and leave it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state_dir = asked.dir or Path(folder)
        with open_history(state_dir, clock=SystemClock()) as history:
            run_ids = _store(state_dir, history, asked.runs, asked.rows, scattered=asked.random)
            keys = {"a key in every run": _key(7, scattered=asked.random), "a key in no run": "nobody"}
            for words, key in keys.items():
                _time(f"rows of {words}", lambda key=key: find_rows(state_dir, run_ids, key, limit=1000))
                _time(f"story of {words}", lambda key=key: read_story(state_dir, history, key, limit=200)["entries"])
            start = _key(7, scattered=asked.random)[:-2]
            _time(f"keys that begin with {start}", lambda: find_keys(state_dir, history, start))
            print("\n" + explain(state_dir, run_ids, _key(7, scattered=asked.random)))


def _store(state_dir: Path, history: object, runs: int, rows: int, *, scattered: bool) -> list[str]:
    """The ids of the runs, the newest first."""
    connection = duckdb.connect(":memory:")
    connection.execute("ATTACH ':memory:' AS state")
    snapshot = Snapshot(connection, state_dir / "syncs" / "accounts.duckdb")
    took, size = list[float](), 0
    for run in range(runs):
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE result AS SELECT i AS n, {_sql(scattered=scattered)} AS key,
                NULL::VARCHAR AS id, 'changed' AS change,
                CASE WHEN i % 100 = 3 THEN 'rejected' ELSE 'succeeded' END AS outcome,
                CASE WHEN i % 100 = 3 THEN 'health: ' || i || ' is no number' END AS reason,
                CASE WHEN i % 100 = 3 THEN 'row' END AS cause, (i // 500)::BIGINT AS call_id, 1::INTEGER AS attempts
            FROM range({rows}) t(i)"""
        )
        run_id = f"20260101T{run:06}Z-{run:06x}"
        path = state_dir / "rows" / f"{run_id}.parquet"
        began = time.process_time()
        write_rows(snapshot, INFO, path)
        took.append(time.process_time() - began)
        size += path.stat().st_size
        history.runs.start(NewRun(run_id, "accounts", "bench", "accounts", "pendo", "account"))  # type: ignore[attr-defined]
        counts = dict.fromkeys(COUNTS, 0) | {"queried": rows, "changed": rows}
        history.runs.finish(run_id, Finish("success", rows=counts))  # type: ignore[attr-defined]
    cpu_ms, megabytes = statistics.median(took) * 1000, size / runs / 1e6
    print(f"{runs} runs of {rows:,} rows; written in {cpu_ms:.0f} ms of CPU and {megabytes:.2f} MB each")
    return [f"20260101T{run:06}Z-{run:06x}" for run in reversed(range(runs))]


def _sql(*, scattered: bool) -> str:
    return "md5('account' || i)" if scattered else "'account-' || lpad(i::VARCHAR, 9, '0')"


def _key(number: int, *, scattered: bool) -> str:
    with closing(duckdb.connect(":memory:")) as connection:
        ((key,),) = connection.execute(f"SELECT {_sql(scattered=scattered)} FROM (SELECT {number} AS i)").fetchall()
    return str(key)


def _time(words: str, search: object) -> None:
    seconds, cpu = list[float](), list[float]()
    found: list[object] = []
    for _ in range(ROUNDS):
        began, busy = time.perf_counter(), time.process_time()
        found = search()  # type: ignore[operator]
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    figures = {
        "median_ms": round(statistics.median(seconds) * 1000),
        "max_ms": round(max(seconds) * 1000),
        "cpu_ms": round(statistics.median(cpu) * 1000),
        "found": len(found),
    }
    print(f"{words}: {json.dumps(figures)}")


if __name__ == "__main__":
    main()
