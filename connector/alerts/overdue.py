"""Which runs were due and have not started: from the due times and the queue that the scheduler keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.state.history import History
    from connector.state.triggers import Trigger

_NEWEST = 500


@dataclass(frozen=True, slots=True)
class Overdue:
    """The earliest time at which a run was due that has not started since, and why, where that is known."""

    due_at: float
    why: str | None


def overdue(history: History, now: float) -> dict[str, Overdue]:
    """What is overdue, by sync. A paused sync never is, and any run that has started since the due time will do."""
    paused = history.pauses.paused()
    found: dict[str, Overdue] = {}
    for sync, late in _candidates(history, now):
        known = found.get(sync)
        if sync not in paused and (known is None or late.due_at < known.due_at) and not _served(history, sync, late):
            found[sync] = late
    return found


def _candidates(history: History, now: float) -> Iterator[tuple[str, Overdue]]:
    for sync, next_at in history.due.all().items():
        if next_at < now:
            yield sync, Overdue(next_at, "nobody has asked for it: is `connector serve` running?")
    newest: set[str] = set()
    for trigger in history.triggers.list(limit=_NEWEST):
        first, due_at = trigger.sync not in newest, trigger.due_at
        newest.add(trigger.sync)
        if due_at is None or due_at > now:
            continue
        if trigger.state in ("waiting", "started"):
            yield trigger.sync, Overdue(due_at, _waiting(history, trigger))
        elif trigger.state == "done" and first and trigger.error is not None:
            yield trigger.sync, Overdue(due_at, trigger.error.get("message"))


def _waiting(history: History, trigger: Trigger) -> str:
    if trigger.state == "started":
        return "a process was started for it, which has not begun the run"
    going = history.runs.unfinished(trigger.sync)
    return f"it waits for run {going[0].run_id}" if going else "it waits in the queue"


def _served(history: History, sync: str, late: Overdue) -> bool:
    latest = history.runs.latest(sync)
    return latest is not None and latest.started_at >= late.due_at
