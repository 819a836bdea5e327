"""A careful script: one httpx.AsyncClient, orjson, a fixed number of requests in flight."""

from __future__ import annotations

import asyncio
import time

import duckdb
import httpx
import orjson
from common import HEADERS, PATHS, Watch, arguments, as_json, batch_rows, select


async def main() -> None:
    """Nothing, after sending everything."""
    ask = arguments()
    watch = Watch()
    size = batch_rows(ask.workload)
    url = ask.url + PATHS[ask.workload]
    connection = duckdb.connect(ask.warehouse, read_only=True)
    reader = connection.sql(select(ask)).to_arrow_reader(20_000)
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(ask.concurrency * 2)

    async def read() -> None:
        for batch in reader:
            rows = [as_json(row, ask.workload) for row in batch.to_pylist()]
            for at in range(0, len(rows), size):
                await waiting.put(orjson.dumps(rows[at : at + size] if size > 1 else rows[at]))
        for _ in range(ask.concurrency):
            await waiting.put(None)

    limits = httpx.Limits(max_connections=ask.concurrency, max_keepalive_connections=ask.concurrency)
    async with httpx.AsyncClient(headers=HEADERS, timeout=60, limits=limits) as client:

        async def send() -> None:
            while (body := await waiting.get()) is not None:
                began = time.perf_counter()
                (await client.post(url, content=body)).raise_for_status()
                watch.calls_ms.append((time.perf_counter() - began) * 1000)

        await asyncio.gather(read(), *(send() for _ in range(ask.concurrency)))
    watch.report()


asyncio.run(main())
