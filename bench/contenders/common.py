"""What the contenders share: their arguments, the one line they answer with, and the JSON of a row."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

SECRET = "bench-track-secret"  # noqa: S105 - the sink takes everything
KEY_HEADER = "x-pendo-integration-key"
HEADERS = {"content-type": "application/json", KEY_HEADER: SECRET}
PATHS = {
    "events": "/data/track",
    "single": "/data/track",
    "objects": "/api/v1/metadata/visitor/custom/value",
}


def arguments() -> argparse.Namespace:
    """workload, warehouse, url, concurrency, state (a folder of the contender's own), and what is to be done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=("events", "single", "objects"), default="events")
    parser.add_argument("--warehouse", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--state", default="")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--form", default="")
    return parser.parse_args()


def batch_rows(workload: str) -> int:
    """Rows a request."""
    return {"events": 1000, "single": 1, "objects": 500}[workload]


def select(arguments: argparse.Namespace) -> str:
    """The query, with the limit of the workload."""
    return "SELECT * FROM rows" + (f" LIMIT {arguments.limit}" if arguments.limit else "")


def as_json(row: dict[str, Any], workload: str) -> dict[str, Any]:
    """One row as Pendo takes it, as a script would write it."""
    values = {
        "plan": row["plan"],
        "seats": row["seats"],
        "amount": row["amount"],
        "active": row["active"],
        "note": row["note"],
        "started_on": f"{row['started_on'].isoformat()}T00:00:00Z",
    }
    if row.get("region") is not None:  # dlt leaves out what is NULL
        values["region"] = row["region"]
    if workload == "objects":
        values["renewed_at"] = row["renewed_at"].isoformat() + "Z"
        return {"visitorId": row["id"], "values": values}
    return {
        "type": "track",
        "event": "Plan Upgraded",
        "visitorId": row["user_id"],
        "accountId": row["account_id"],
        "timestamp": int(row["renewed_at"].timestamp() * 1000),
        "properties": values,
    }


class Watch:
    """Seconds since it was made, and what the calls took."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.cpu_began = time.process_time()
        self.calls_ms: list[float] = []

    def report(self, **more: Any) -> None:
        """Nothing, after printing what was measured as one line of JSON."""
        found: dict[str, Any] = {"seconds": time.perf_counter() - self.began, "calls": len(self.calls_ms)}
        if self.calls_ms:
            found["p99_ms"] = percentile(self.calls_ms, 0.99)
        found["peak_mb"] = _peak_mb()
        found["cpu_s"] = time.process_time() - self.cpu_began
        found |= more
        sys.stdout.write(json.dumps(found) + "\n")


def _peak_mb() -> float:
    """The most that this program had in memory. On Linux, what `getrusage` says may be what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
