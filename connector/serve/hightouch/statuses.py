"""How far a run is, in Hightouch's words.

ours                                         Hightouch's
waiting in the queue, or about to start      queued
running: querying, processing, reporting     querying, processing, reporting
success, warning, failed                     the same
held by a guardrail                          failed, and `error` says so
cancelled, withdrawn from the queue          cancelled
interrupted                                  interrupted
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from connector.state.runs import Run
    from connector.state.triggers import Trigger

RunStatus = Literal[
    "queued", "querying", "processing", "reporting", "success", "warning", "failed", "cancelled", "interrupted"
]
SyncStatus = RunStatus | Literal["disabled", "pending"]

RUN_STATUSES: tuple[RunStatus, ...] = (
    "queued",
    "querying",
    "processing",
    "reporting",
    "success",
    "warning",
    "failed",
    "cancelled",
    "interrupted",
)
SYNC_STATUSES: tuple[SyncStatus, ...] = ("disabled", "pending", *RUN_STATUSES)

_ENDS: dict[str, RunStatus] = {
    "success": "success",
    "warning": "warning",
    "failed": "failed",
    "held": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
}
_STAGES: dict[str | None, RunStatus] = {
    None: "querying",
    "querying": "querying",
    "processing": "processing",
    "reporting": "reporting",
}


def run_status(run: Run) -> RunStatus:
    """How far a run is that has begun."""
    return _STAGES[run.stage] if run.status == RUNNING else _ENDS[run.status]


def trigger_status(trigger: Trigger) -> RunStatus:
    """How far a run is that was asked for and has not begun. One that is done without a run could not begin."""
    match trigger.state:
        case "waiting" | "started":
            return "queued"
        case "withdrawn":
            return "cancelled"
        case "done":
            return "failed"


def sync_status(latest: Run | None, *, waiting: bool, paused: bool) -> SyncStatus:
    """How a sync is: what goes on, or how its last run ended."""
    if latest is not None and latest.status == RUNNING:
        return run_status(latest)
    if waiting:
        return "queued"
    if paused:
        return "disabled"
    return "pending" if latest is None else run_status(latest)
