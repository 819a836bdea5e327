"""What Prometheus reads: counted from the run history when it asks, so that runs of every process are in it.

Counters begin with what the history holds when this process starts, and only grow: that old runs are forgotten takes
nothing away from them.
"""

from __future__ import annotations

import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from connector.serve.serving import Serving
    from connector.state.ended import EndedRun

LATE_S = 600.0
"""A run may be written down this long after the time at which it says it ended."""

BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14_400)
DELIVERED = ("success", "warning")
LEVELS = {"ok": 0, "warning": 1, "critical": 2}


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._counted: dict[str, float] = {}
        self._counted_to = 0.0
        self.registry = registry = CollectorRegistry()
        by_sync = ["sync"]
        self._runs = Counter("connector_runs", "Runs that have ended", ["sync", "status"], registry=registry)
        self._rows = Counter(
            "connector_rows", "Rows by what became of them", ["sync", "change", "outcome"], registry=registry
        )
        self._queried = Counter("connector_rows_queried", "Rows that models returned", by_sync, registry=registry)
        self._requests = Counter(
            "connector_requests", "Requests sent, and of these retried or split", ["sync", "kind"], registry=registry
        )
        self._seconds = Histogram(
            "connector_run_duration_seconds", "How long runs took", by_sync, registry=registry, buckets=BUCKETS
        )
        self._success = self._gauge("last_success_timestamp_seconds", "When a run last came to its end", "sync")
        self._finished = self._gauge("last_run_timestamp_seconds", "When a run last ended, however it did", "sync")
        self._running = self._gauge("runs_in_progress", "Runs that have not ended", "sync")
        self._next = self._gauge("next_run_timestamp_seconds", "When a run is due next", "sync")
        self._paused = self._gauge("schedule_paused", "1 where the schedule is paused", "sync")
        self._queue = self._gauge("queue_length", "Runs that were asked for and have not started")
        self._active = self._gauge("scheduler_active", "1 where this process starts what is due")
        self._level = self._gauge("alert_level", "0 is ok, 1 a warning, 2 critical", "sync", "condition")
        self._muted = self._gauge("alert_muted", "1 where nobody is told", "sync")
        self._unsent = self._gauge("alert_messages_waiting", "Messages that could not be sent yet", "channel")
        about = self._gauge("info", "The version of the connector", "version")
        about.labels(version("pendo-connector")).set(1)

    def scrape(self) -> bytes:
        """Everything as it is now, in Prometheus' text format. Raises StateError."""
        with self._lock:
            self._count()
            self._measure()
            return generate_latest(self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"connector_{name}", words, labels, registry=self.registry)

    def _count(self) -> None:
        """Nothing, after adding the runs that have ended since the last time, each once."""
        for run in self._serving.history.ended.since(self._counted_to - LATE_S):
            if run.run_id not in self._counted:
                self._counted[run.run_id] = run.finished_at
                self._add(run)
        self._counted_to = max([self._counted_to, *self._counted.values()])
        self._counted = {name: at for name, at in self._counted.items() if at >= self._counted_to - LATE_S}

    def _add(self, run: EndedRun) -> None:
        self._runs.labels(run.sync, run.status).inc()
        self._seconds.labels(run.sync).observe(max(0.0, run.finished_at - run.started_at))
        self._queried.labels(run.sync).inc((run.rows or {}).get("queried", 0))
        for outcome, counts in (run.outcomes or {}).items():
            for change, count in counts.items():
                if count:
                    self._rows.labels(run.sync, change, outcome).inc(count)
        for kind, count in (run.requests or {}).items():
            self._requests.labels(run.sync, kind).inc(count)
        self._finished.labels(run.sync).set(run.finished_at)
        if run.status in DELIVERED:
            self._success.labels(run.sync).set(run.finished_at)

    def _measure(self) -> None:
        """Nothing, after taking what is so at this moment in the place of what was."""
        history = self._serving.history
        for gauge in (self._running, self._next, self._paused, self._level, self._muted, self._unsent):
            gauge.clear()
        for run in history.runs.unfinished():
            self._running.labels(run.sync).inc()
        for sync, at in history.due.all().items():
            self._next.labels(sync).set(at)
        for sync in history.pauses.paused():
            self._paused.labels(sync).set(1)
        self._queue.set(len(history.triggers.waiting()))
        scheduler = self._serving.scheduler
        self._active.set(1 if scheduler is not None and scheduler().active else 0)
        for state in history.alerts.states():
            self._level.labels(state.sync, state.condition).set(LEVELS[state.level])
        for sync in history.alerts.mutes():
            self._muted.labels(sync).set(1)
        for message in history.alerts.waiting():
            self._unsent.labels(message.channel).inc()
