"""A run: the order of the steps, and nothing else.

lock the sync's file -> settle a dead run -> fit -> query and compare -> guardrails -> send -> settle
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from connector.errors import ConnectorError, HeldError, SourceError
from connector.failpoints import reach
from connector.plan.guardrails import check_guardrails
from connector.plan.settle import discard, settle, summary
from connector.run.ending import Ending, RunResult
from connector.run.fitting import fitted, refuse_wrong_options
from connector.run.identities import check_identities
from connector.run.keeping import plans_in_warehouse, refuse_misplaced, tell
from connector.run.logging import logged, note_for_logs
from connector.run.recover import recover, refuse_lost_ledger, rows_path
from connector.run.sending import send_plan
from connector.run.timings import Timings
from connector.run.whereabouts import remember
from connector.state.runs import NewRun, new_run_id
from connector.state.snapshot import open_snapshot, state_errors

if TYPE_CHECKING:
    from connector.project.definition import Sync
    from connector.run.fitting import Fitted
    from connector.run.means import Means, Options
    from connector.state.snapshot import Snapshot


def run_sync(sync: Sync, options: Options, means: Means) -> RunResult:
    """The finished run. A run that fails, is held or is cancelled is a result, too.

    Raises BusyError when another process runs this sync, ConfigErrors when the sync does not fit its model, SourceError
    when the warehouse does not answer: nothing was sent then, and there is no run. Raises StateError when the state
    cannot be read or written; a run that had begun to send is settled by the next one.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        refuse_misplaced(sync, snapshot)
        if not plans_in_warehouse(sync):
            refuse_lost_ledger(sync, snapshot, means.history)
        refuse_wrong_options(sync, options, snapshot)
        with fitted(sync, options, means) as it:
            it.catch_up(snapshot)
            run_id = options.run_id or new_run_id(means.clock, means.random)
            note_for_logs(means, run_id)
            means.history.runs.start(_new_run(it, run_id))
            reach("run-started")
            ending = Ending()
            try:
                with state_errors(snapshot.path, sync.name):
                    _steps(it, snapshot, run_id, ending)
            except ConnectorError as error:
                if ending.begun and not ending.settled:
                    # Requests went out: plan and journal stay as they are, and the next run settles this one from them.
                    raise
                ending.error = error
                ending.status = "cancelled" if means.stop.is_set() and isinstance(error, SourceError) else "failed"
                if snapshot.has_plan():
                    discard(snapshot)
        result = _finished(means, run_id, ending)
    return logged(result, means)


def _steps(it: Fitted, snapshot: Snapshot, run_id: str, ending: Ending) -> None:
    means = it.means
    timings = Timings(means.clock.monotonic)
    ending.timings = timings.seconds
    means.history.runs.stage(run_id, "querying")
    means.progress.step("querying", None)
    elsewhere = it.stage(snapshot, run_id, timings)
    with timings.of("compare"):
        plan = it.compare(snapshot, run_id, elsewhere)
    ending.planned(plan)
    means.history.runs.plan(run_id, asdict(plan.counts))
    held = check_guardrails(it.sync, plan)
    if held is not None and not it.options.force:
        discard(snapshot)
        ending.error = HeldError(held.message, slug=f"held-{held.guardrail.replace('_', '-')}", hint=held.hint)
        ending.status = "held"
        return
    means.history.runs.stage(run_id, "processing")
    with timings.of("send"):
        delivered = send_plan(it, snapshot, plan, ending, timings)
    means.history.runs.stage(run_id, "reporting")
    means.progress.step("reporting", None)
    cancelled = means.stop.is_set()
    rows = rows_path(means.state_dir, run_id)
    stopped = ending.error is not None or cancelled
    with timings.of("settle"):
        settlement = settle(snapshot, means.history.ranges(run_id), rows, means.now_ms, stopped=stopped)
    ending.settled = True
    ending.outcomes = summary(settlement)["outcomes"]
    ending.decide(cancelled=cancelled)
    reach("settled")
    check_identities(plan, settlement, delivered)
    with timings.of("settle"):
        tell(snapshot, it.remote)
    if plan.whole and not stopped:
        remember(it.sync, snapshot)


def _finished(means: Means, run_id: str, ending: Ending) -> RunResult:
    """The result, after writing it to the history and forgetting the journal, which is settled or holds nothing."""
    ending.requests["sent"] = means.history.calls.count(run_id)
    means.history.runs.finish(run_id, ending.finish())
    reach("finished")
    means.history.forget(run_id)
    cancelled = ending.status == "cancelled"
    return RunResult(means.history.runs.get(run_id), None if cancelled else ending.error)


def _new_run(it: Fitted, run_id: str) -> NewRun:
    sync = it.sync
    return NewRun(
        run_id=run_id,
        sync=sync.name,
        trigger=it.options.trigger,
        model=sync.model.name,
        destination=sync.destination.name,
        object=sync.settings.object,
        config=sync.settings.model_dump(mode="json", exclude_unset=True),
        options=it.options.asked(),
    )
