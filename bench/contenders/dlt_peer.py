"""dlt with a custom destination: `--form rows` yields dicts, `--form arrow` Arrow tables loaded as Parquet files."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import dlt
import duckdb
import requests
from common import HEADERS, PATHS, Watch, arguments, as_json, batch_rows, select

ask = arguments()
os.environ |= {
    "DLT_DATA_DIR": f"{ask.state}/dlt",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "LOAD__WORKERS": str(ask.concurrency),
    "NORMALIZE__WORKERS": "2",
    "DATA_WRITER__FILE_MAX_ITEMS": "20000",
}
watch = Watch()
size = batch_rows(ask.workload)
url = ask.url + PATHS[ask.workload]
session = requests.Session()


@dlt.destination(  # type: ignore[untyped-decorator]
    batch_size=size,
    loader_file_format="parquet" if ask.form == "arrow" else "typed-jsonl",
    name="sink",
    naming_convention="direct",
    skip_dlt_columns_and_tables=True,
    max_parallel_load_jobs=ask.concurrency,
)
def sink(items: Any, table: Any) -> None:
    """Nothing, after sending a batch."""
    del table
    rows = [as_json(row, ask.workload) for row in (items.to_pylist() if hasattr(items, "to_pylist") else items)]
    began = time.perf_counter()
    session.post(url, json=rows if size > 1 else rows[0], headers=HEADERS, timeout=60).raise_for_status()
    watch.calls_ms.append((time.perf_counter() - began) * 1000)


@dlt.resource(name="rows")  # type: ignore[untyped-decorator]
def rows() -> Any:
    """The model, a batch at a time."""
    connection = duckdb.connect(ask.warehouse, read_only=True)
    for batch in connection.sql(select(ask)).to_arrow_reader(20_000):
        yield batch if ask.form == "arrow" else batch.to_pylist()


pipeline = dlt.pipeline("bench", destination=sink, pipelines_dir=f"{ask.state}/pipelines")
pipeline.run(rows())
sys.stdout.flush()
watch.report()
