"""Runs as Hightouch writes them down: those that have begun, and those that only wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.ports import Change, Outcome
from connector.run.ending import BAD
from connector.serve.hightouch.shapes import iso
from connector.serve.hightouch.statuses import run_status, trigger_status
from connector.state.numbers import RunFilter
from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.serve.hightouch.asking import RunsQuery
    from connector.state.history import History
    from connector.state.numbers import RunOrder
    from connector.state.runs import Run
    from connector.state.triggers import Trigger

_ORDERS: dict[str, RunOrder] = {
    "id": "number",
    # A run is created when it is asked for; what is asked for first has the smaller number.
    "createdAt": "number",
    "startedAt": "started_at",
    "finishedAt": "finished_at",
}
_ALMOST = 0.99
"""The most that a run can have completed before it has ended."""


def run_json(number: int, run: Run, history: History, trigger: Trigger | None = None) -> dict[str, Any]:
    """A run that has begun. `trigger` is how it was asked for, where it waited in the queue."""
    rows, outcomes = run.rows or {}, run.outcomes or {}
    planned = {change: rows.get(change, 0) for change in Change}
    died = run.status == RUNNING and trigger is not None and trigger.state == "done"
    error = trigger.error if died and trigger is not None else run.error
    return {
        "id": number,
        "createdAt": iso(run.started_at if trigger is None else min(trigger.asked_at, run.started_at)),
        "startedAt": iso(run.started_at),
        "finishedAt": None if run.finished_at is None else iso(run.finished_at),
        "querySize": rows.get("queried", 0),
        "status": "interrupted" if died else run_status(run),
        "completionRatio": _ratio(run, planned, history),
        "plannedRows": _counts(planned),
        "successfulRows": _counts(_total(outcomes, (Outcome.SUCCEEDED,))),
        "failedRows": _counts(_total(outcomes, BAD)),
        "error": None if error is None else said(error),
    }


def trigger_json(number: int, trigger: Trigger) -> dict[str, Any]:
    """A run that was asked for and has not begun."""
    status, none = trigger_status(trigger), _counts({})
    error = trigger.error or ({"message": "the run could not begin"} if status == "failed" else None)
    return {
        "id": number,
        "createdAt": iso(trigger.asked_at),
        "startedAt": None if trigger.started_at is None else iso(trigger.started_at),
        "finishedAt": None if trigger.settled_at is None else iso(trigger.settled_at),
        "querySize": 0,
        "status": status,
        "completionRatio": 0,
        "plannedRows": none,
        "successfulRows": none,
        "failedRows": none,
        "error": None if error is None else said(error),
    }


def one_run(run_id: str, history: History) -> dict[str, Any] | None:
    """The run of that name, begun or not; None where nobody knows it.

    The queue is read first: an entry is closed after its run has ended, so a run that then still goes on has died.
    """
    trigger = history.triggers.by_run(run_id)
    run = history.runs.find(run_id)
    if run is not None:
        return run_json(history.numbers.one("run", run_id).number, run, history, trigger)
    return None if trigger is None else trigger_json(history.numbers.one("run", run_id).number, trigger)


def list_runs(sync: str, query: RunsQuery, now: float, history: History) -> tuple[list[dict[str, Any]], bool]:
    """One page of a sync's runs, the newest first, and whether there are more.

    Those that wait come first; a question about when runs started leaves them out.
    """
    after = None if query.after is None else query.after.timestamp()
    if query.within is not None:
        after = max(after or 0.0, now - query.within * 60)
    before = None if query.before is None else query.before.timestamp()
    history.numbers.number_begun(sync)
    waiting = [] if after is not None or before is not None else _not_begun(sync, history)
    page = waiting[query.offset : query.offset + query.length + 1]
    wanted = RunFilter(sync, after, before, _ORDERS[query.order_by])
    skip = max(0, query.offset - len(waiting))
    begun = history.numbers.runs(wanted, limit=query.length + 1 - len(page), offset=skip)
    page += [found for number, run in begun if (found := _listed(number.number, run, history)) is not None]
    return page[: query.length], len(page) > query.length


def said(error: Mapping[str, Any]) -> str:
    """An error of ours as one sentence, with its hint."""
    hint = error.get("hint")
    return f"{error['message']} ({hint})" if hint else str(error["message"])


def _not_begun(sync: str, history: History) -> list[dict[str, Any]]:
    asked = [*history.triggers.waiting(sync), *history.triggers.started(sync)]
    ahead = [trigger for trigger in asked if history.runs.find(trigger.run_id) is None]
    numbers = history.numbers.of("run", [trigger.run_id for trigger in sorted(ahead, key=lambda each: each.id)])
    found = [trigger_json(numbers[trigger.run_id].number, trigger) for trigger in ahead]
    return sorted(found, key=lambda each: -int(each["id"]))


def _listed(number: int, run: Run, history: History) -> dict[str, Any] | None:
    # A run that goes on is read again, after the queue, as `one_run` needs it.
    return (
        one_run(run.run_id, history) if run.status == RUNNING else run_json(number, run, history, _asked(run, history))
    )


def _asked(run: Run, history: History) -> Trigger | None:
    return history.triggers.by_run(run.run_id)


def _ratio(run: Run, planned: Mapping[Change, int], history: History) -> float:
    total = sum(planned.values())
    if run.status in ("success", "warning"):
        return 1
    if not total or (run.status == RUNNING and run.stage in (None, "querying")):
        return 0
    if run.status != RUNNING:
        left = sum(_total(run.outcomes or {}, (Outcome.NOT_ATTEMPTED,)).values())
        return round(1 - left / total, 4)
    return min(_ALMOST, round(history.settled_rows(run.run_id) / total, 4))


def _total(outcomes: Mapping[str, Mapping[str, int]], wanted: tuple[Outcome, ...]) -> dict[Change, int]:
    return {change: sum(outcomes.get(outcome, {}).get(change, 0) for outcome in wanted) for change in Change}


def _counts(rows: Mapping[Change, int]) -> dict[str, int]:
    return {f"{change.value}Count": rows.get(change, 0) for change in Change}
