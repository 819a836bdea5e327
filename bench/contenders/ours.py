"""The connector, as it runs for everybody: plan, journal, API call log, checks of the counts, rows file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from common import SECRET, Watch, arguments, batch_rows, percentile, select

from connector.process import spare_memory

spare_memory()  # as the command line does, and before pyarrow is imported

from connector import load_project  # noqa: E402
from connector.run.steps import run_sync  # noqa: E402, F401 - imports are not what is measured here
from connector.systems.pendo.client import Client  # noqa: E402, F401

FIELDS = "plan: plan, seats: seats, amount: amount, active: active, note: note, started_on: started_on, region: region"
EVENT = """model: rows
destination: pendo
object: track_event
event: {{ value: Plan Upgraded }}
visitor_id: user_id
account_id: account_id
timestamp: renewed_at
batch: {{ rows: {rows} }}
properties: {{ {fields} }}
"""
VISITOR = """model: rows
destination: pendo
object: visitor
match: id
on_removed: clear
guardrails: {{ max_removed: null }}
batch: {{ rows: {rows} }}
fields:
  custom: {{ {fields}, renewed_at: renewed_at }}
"""
CONNECTOR = """sources:
  w: {{ type: duckdb, path: {warehouse} }}
destinations:
  pendo:
    type: pendo
    base_url: {url}
    integration_key: {secret}
    track_event_secret: {secret}
    batching: {batching}
    max_requests_per_second: 100000
    concurrency: {concurrency}
"""

ask = arguments()
root = Path(ask.state)
(root / "models").mkdir(parents=True, exist_ok=True)
(root / "sync_configs").mkdir(exist_ok=True)
(root / "models" / "rows.sql").write_text(f"/*\nsource: w\nprimary_key: id\n*/\n{select(ask)}\n")
sync = VISITOR if ask.workload == "objects" else EVENT
(root / "sync_configs" / "rows.yml").write_text(sync.format(rows=max(batch_rows(ask.workload), 1), fields=FIELDS))
(root / "connector.yml").write_text(
    CONNECTOR.format(
        warehouse=ask.warehouse,
        url=ask.url,
        secret=SECRET,
        batching="single" if ask.workload == "single" else "array",
        concurrency=ask.concurrency,
    )
)
with load_project(root) as project:
    project.means()  # imports what a run imports, as the other contenders have done by now
    watch = Watch()
    result = project.run("rows")
    found = result.json()
    if found["status"] != "success":
        sys.exit(json.dumps(found))
    seconds, cpu_s = time.perf_counter() - watch.began, time.process_time() - watch.cpu_began
    watch.calls_ms = [call.ms or 0.0 for call in project.history.calls.iterate(found["run_id"], bodies=False)]
p99 = percentile(watch.calls_ms, 0.99) if watch.calls_ms else None
watch.report(
    seconds=seconds, cpu_s=cpu_s, timings=result.run.timings, rows=found["rows"], requests=found["requests"], p99_ms=p99
)
