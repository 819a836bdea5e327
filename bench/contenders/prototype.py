"""The bare prototype: compared and rendered in DuckDB, bodies cut from the Arrow buffer, threads of http.client.

No log, no journal, no plan, no checks, nothing written down. It is the limit to come close to, not a product. With
`--state` it compares with the fingerprints in that Parquet file; with `--form remember` it writes such a file.
"""

from __future__ import annotations

import http.client
import queue
import threading
import time
from urllib.parse import urlsplit

import duckdb
from common import HEADERS, PATHS, Watch, arguments, batch_rows, select

VALUES = """'{"plan":' || to_json(plan)::VARCHAR || ',"seats":' || seats::VARCHAR || ',"amount":' || amount::VARCHAR
    || ',"active":' || active::VARCHAR || ',"note":' || to_json(note)::VARCHAR
    || strftime(started_on, ',"started_on":"%Y-%m-%dT00:00:00Z"')
    || coalesce(',"region":' || to_json(region)::VARCHAR, '')"""
EVENT = f"""'{{"type":"track","event":"Plan Upgraded","visitorId":' || to_json(user_id)::VARCHAR
    || ',"accountId":' || to_json(account_id)::VARCHAR || ',"timestamp":' || epoch_ms(renewed_at)::VARCHAR
    || ',"properties":' || {VALUES} || '}}}}'"""
VISITOR = f"""'{{"visitorId":' || to_json(id)::VARCHAR || ',"values":' || {VALUES}
    || strftime(renewed_at, ',"renewed_at":"%Y-%m-%dT%H:%M:%SZ"') || '}}}}'"""
CLEAR = """'{"visitorId":' || to_json(id)::VARCHAR || ',"values":{"plan":"","seats":"","amount":"","active":"",'
    || '"note":"","started_on":"","region":"","renewed_at":""}}'"""

ask = arguments()
watch = Watch()
size = batch_rows(ask.workload)
fragment = VISITOR if ask.workload == "objects" else EVENT
address = urlsplit(ask.url)
bodies: queue.Queue[bytes | None] = queue.Queue(ask.concurrency * 2)


def send() -> None:
    """Nothing, after sending bodies until there are none."""
    connection = http.client.HTTPConnection(address.hostname or "", address.port, blocksize=1 << 20)
    while (body := bodies.get()) is not None:
        began = time.perf_counter()
        connection.request("POST", PATHS[ask.workload], body, HEADERS)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200  # noqa: S101, PLR2004
        watch.calls_ms.append((time.perf_counter() - began) * 1000)


def offer(work: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Nothing, after cutting the rows of `sql`, each with a comma in front, into bodies."""
    for batch in work.sql(sql).to_arrow_reader(20_000):
        _, offsets, data = batch.column(0).buffers()
        at, text = memoryview(offsets).cast("i"), memoryview(data)
        for first in range(0, batch.num_rows, size):
            body = text[at[first] + 1 : at[min(first + size, batch.num_rows)]]
            bodies.put(b"[" + body + b"]" if size > 1 else bytes(body))


source = duckdb.connect(ask.warehouse, read_only=True)
work = duckdb.connect(":memory:")
work.execute("SET memory_limit = '500MB'; SET TimeZone = 'UTC'; SET temp_directory = '/tmp/connector-bench-spill'")
model = source.sql(select(ask)).to_arrow_reader(100_000)
fp = f"md5_number({fragment})" if ask.workload == "objects" else "NULL"
work.execute(f"CREATE TABLE staged AS SELECT *, {fp} AS fp FROM model")
if ask.form == "remember":
    work.execute(f"COPY (SELECT id, fp FROM staged) TO '{ask.state}' (FORMAT parquet)")
known = (
    f"read_parquet('{ask.state}')" if ask.state else "(SELECT NULL::VARCHAR AS id, NULL::UHUGEINT AS fp WHERE false)"
)
work.execute(f"CREATE TABLE known AS SELECT id, fp FROM {known} k")
threads = [threading.Thread(target=send) for _ in range(ask.concurrency)]
for thread in threads:
    thread.start()
if ask.form != "remember":
    differs = "k.id IS NULL OR k.fp IS DISTINCT FROM s.fp" if ask.workload == "objects" else "k.id IS NULL"
    new = f"SELECT s.* FROM staged s LEFT JOIN known k ON k.id = s.id WHERE {differs}"
    offer(work, f"SELECT ',' || {fragment} FROM ({new})")
    if ask.workload == "objects":
        offer(work, f"SELECT ',' || {CLEAR} FROM known WHERE id NOT IN (SELECT id FROM staged)")
for _ in threads:
    bodies.put(None)
for thread in threads:
    thread.join()
watch.report()
