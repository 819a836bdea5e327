"""The most memory that `connector plan` takes for many rows: a model of 10 columns, planned in a process of its own.

python bench/memory.py --source duckdb --rows 10000000
python bench/memory.py --source postgres --rows 10000000    # starts a PostgreSQL of its own

Prints one line a run: rows, seconds, and the peak of the resident memory in MB (VmHWM, Linux only).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[1]
COLUMNS = """
    'user-' || i AS id, 'acct-' || (i % 1000) AS account, 'plan' || (i % 5) AS plan, i % 1000 AS seats,
    (i % 100000) * 0.25 AS amount, i % 2 = 0 AS active, md5({text}) AS note, 'eu-' || (i % 9) AS region,
    i * 7 AS score, {moment} AS renewed_at"""
DUCKDB = COLUMNS.format(text="i::VARCHAR", moment="TIMESTAMP '2026-01-01' + to_seconds(i % 500000)")
POSTGRES = COLUMNS.format(text="i::text", moment="timestamp '2026-01-01' + (i % 500000) * interval '1 second'")
FIELDS = ("account", "plan", "seats", "amount", "active", "note", "region", "score", "renewed_at")
CHILD = """
import sys
from connector import load_project
with load_project(sys.argv[1]) as project:
    found = project.plan("rows", show=1)
status = open("/proc/self/status").read()
print(found.counts.queried, found.requests, int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def main() -> None:
    """Nothing, after printing a line for each run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--source", choices=["duckdb", "postgres"], action="append")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the data stays for the next time (DuckDB)")
    parser.add_argument("--most", type=int, help="MB above which this ends with status 1")
    options = parser.parse_args()
    worst = 0
    for source in options.source or ["duckdb", "postgres"]:
        with ExitStack() as stack:
            folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            entry = _postgres(stack, options.rows) if source == "postgres" else _duckdb(folder, options.rows)
            project = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "project"
            _write(project, entry)
            worst = max(worst, _planned(source, project))
    sys.exit(1 if options.most is not None and worst > options.most else 0)


def _planned(source: str, project: Path) -> int:
    began = time.monotonic()
    line = [sys.executable, "-c", CHILD, str(project)]
    done = subprocess.run(line, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    rows, requests, peak_mb = map(int, done.stdout.split())
    seconds = time.monotonic() - began
    sys.stdout.write(f"{source}: {rows:,} rows, {requests:,} requests, {seconds:.0f} s, {peak_mb:,} MB at most\n")
    sys.stdout.flush()
    return peak_mb


def _duckdb(folder: Path, rows: int) -> str:
    file = folder.resolve() / f"memory-{rows}.duckdb"
    if not file.exists():
        with duckdb.connect(str(file)) as connection:
            connection.execute(f"CREATE TABLE rows AS SELECT {DUCKDB} FROM range({rows}) t(i)")
    return f"{{ type: duckdb, path: {file} }}"


def _postgres(stack: ExitStack, rows: int) -> str:
    sys.path.insert(0, str(ROOT))
    from tests.systems.warehouse.postgres_server import running_postgres  # noqa: PLC0415 - the tests' own server

    server = stack.enter_context(running_postgres())
    server.run(f"create unlogged table rows as select {POSTGRES} from generate_series(0::bigint, {rows - 1}) t(i)")
    return f"{{ type: postgres, url: '{server.url()}' }}"


def _write(project: Path, entry: str) -> None:
    (project / "models").mkdir(parents=True)
    (project / "sync_configs").mkdir()
    (project / "connector.yml").write_text(
        f"sources:\n  warehouse: {entry}\ndestinations:\n  pendo:\n    type: pendo\n    region: us\n"
        "    integration_key: none\n    base_url: http://127.0.0.1:9\n",
        encoding="utf-8",
    )
    (project / "models" / "rows.sql").write_text(
        "/*\nsource: warehouse\nprimary_key: id\n*/\nselect * from rows\n", encoding="utf-8"
    )
    fields = "".join(f"    {name}: {name}\n" for name in FIELDS)
    (project / "sync_configs" / "rows.yml").write_text(
        "model: rows\ndestination: pendo\nobject: visitor\nmatch: id\nfields:\n  custom:\n" + fields, encoding="utf-8"
    )


if __name__ == "__main__":
    os.environ.pop("CONNECTOR_FAILPOINT", None)
    main()
