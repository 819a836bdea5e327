"""The script that everybody writes first: rows as dicts, one request after another."""

from __future__ import annotations

import time

import duckdb
import httpx
from common import HEADERS, PATHS, Watch, arguments, as_json, batch_rows, select

ask = arguments()
watch = Watch()
size = batch_rows(ask.workload)
url = ask.url + PATHS[ask.workload]
connection = duckdb.connect(ask.warehouse, read_only=True)
cursor = connection.execute(select(ask))
names = [column[0] for column in cursor.description or []]
with httpx.Client(headers=HEADERS, timeout=60) as client:
    while found := cursor.fetchmany(size):
        rows = [as_json(dict(zip(names, row, strict=True)), ask.workload) for row in found]
        began = time.perf_counter()
        client.post(url, json=rows if size > 1 else rows[0]).raise_for_status()
        watch.calls_ms.append((time.perf_counter() - began) * 1000)
watch.report()
