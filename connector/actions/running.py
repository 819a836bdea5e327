"""A run from beginning to end, with those told who wait for it: alerts and traces."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from connector import alerts
from connector.actions.rows import read_reasons
from connector.alerts.rules import watches
from connector.alerts.sending import flush
from connector.errors import BusyError, ConnectorError, Problem
from connector.run.ending import RunResult
from connector.run.steps import run_sync
from connector.tracing import calls_of, traced

if TYPE_CHECKING:
    from connector.ports import Outcome
    from connector.project.definition import Definition, Sync
    from connector.run.means import Means, Options
    from connector.run.progress import Progress
    from connector.state.runs import Run


def run_and_tell(sync: Sync, options: Options, means: Means, definition: Definition) -> RunResult:
    """What `run_sync` returns or raises, after telling whom it concerns. `options.run_id` is the run's name.

    That somebody could not be told is a warning of the run, and never its end.
    """
    with traced(definition.telemetry, sync, options, means.progress, means.clock) as trace:
        if trace is None:
            return _alerted(sync, options, means, definition)
        try:
            result = _alerted(sync, options, replace(means, progress=trace), definition)
        except ConnectorError as error:
            trace.refused(error.problem)
            raise
        trace.ended(result.run, calls_of(means.history, result.run.run_id, definition.telemetry.calls))
    if trace.problem is not None:
        result = result.warned(means.history.runs.warn(result.run.run_id, trace.problem))
    return result


def _alerted(sync: Sync, options: Options, means: Means, definition: Definition) -> RunResult:
    if not watches(definition):
        return run_sync(sync, options, means)
    start = _Start(definition, means, sync.name, options.run_id)
    try:
        result = run_sync(sync, options, replace(means, progress=start))
    except BusyError:
        raise
    except ConnectorError as error:
        start.wait()
        _refused(definition, means, sync.name, options.run_id, error)
        raise
    start.wait()
    return _told(definition, means, result)


def _refused(definition: Definition, means: Means, sync: str, run_id: str | None, error: ConnectorError) -> None:
    if means.stop.is_set():
        return
    try:
        begun = means.history.runs.find(run_id) if run_id is not None else None
        alerts.not_started(definition, means.history, sync, error.problem, means.clock, begun=begun)
    except ConnectorError:
        # The state cannot be written, which is what the error on its way says, too.
        return


def _told(definition: Definition, means: Means, result: RunResult) -> RunResult:
    run = result.run
    try:
        for unsent in alerts.after_run(definition, means.history, run, means.clock, _reason(definition, run)):
            run = means.history.runs.warn(run.run_id, unsent)
    except ConnectorError as error:
        # The run has ended and is written down; that nobody could be told must not make it another run.
        problem = error.problem
        words = Problem(f"alerts were not looked after: {problem.message}", "alert-not-sent", hint=problem.hint)
        written = {"slug": words.slug, "message": words.message, "hint": words.hint}
        run = replace(run, warnings=[*run.warnings, written])
    return RunResult(run, result.error)


def _reason(definition: Definition, run: Run) -> str | None:
    """Why most of the rejected rows of the run were, with their number."""
    outcomes = run.outcomes or {}
    if not any(sum(outcomes.get(name, {}).values()) for name in ("rejected", "quarantined")):
        return None
    for reason in read_reasons(definition.state_dir, run.run_id):
        if reason.outcome in ("rejected", "quarantined") and reason.reason:
            return f"{reason.rows:,} rows: {reason.reason}"
    return None


class _Start:
    """Passes on what goes on in a run, and tells once that it has started, beside the run and not in its way."""

    def __init__(self, definition: Definition, means: Means, sync: str, run_id: str | None) -> None:
        self._definition = definition
        self._means = means
        self._sync = sync
        self._run_id = run_id
        self._thread: threading.Thread | None = None
        self._progress: Progress = means.progress

    def step(self, name: str, rows: int | None) -> None:
        """Nothing, after passing it on. The first step of a run is told on a thread of its own."""
        self._progress.step(name, rows)
        if self._thread is None and self._run_id is not None:
            self._thread = threading.Thread(target=self._tell, args=(self._run_id,), daemon=True, name="run-started")
            self._thread.start()

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing, after passing it on."""
        self._progress.rows(outcome, count)

    def wait(self) -> None:
        """Nothing, when it has been told."""
        if self._thread is not None:
            self._thread.join()

    def _tell(self, run_id: str) -> None:
        means = self._means
        try:
            if alerts.run_started(self._definition, means.history, self._sync, run_id, means.clock):
                flush(self._definition, means.history, means.clock)
        except ConnectorError:
            # The run itself meets whatever is wrong with the state, and says so.
            return
