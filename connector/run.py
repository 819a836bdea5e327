"""A run: the order of the steps, and nothing else.

lock the sync's file -> settle a dead run -> compile -> query and compare -> guardrails -> deliver -> settle
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connector.compile import Projection, compile_sync
from connector.deliver import Delivered, Policy, converse, deliver
from connector.errors import ConfigError, ConnectorError, HeldError, SourceError
from connector.failpoints import reach
from connector.guardrails import check_guardrails
from connector.identities import check_identities
from connector.plan import Ask, Plan, compare, stage
from connector.ports import Change, Outcome, Query
from connector.project.settings import DestinationSettings, EventSync
from connector.recover import recover, rows_path
from connector.settle import discard, settle, summary
from connector.state.runs import Finish, NewRun, new_run_id
from connector.state.snapshot import open_snapshot, state_errors
from connector.work import PlanWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from random import Random

    from connector.errors import Problem
    from connector.ports import Clock, Destination, DestinationSystem, Source, SourceSystem
    from connector.progress import Progress
    from connector.project.definition import Sync
    from connector.state.history import History
    from connector.state.runs import Run
    from connector.state.snapshot import Snapshot

_ROW_COUNTS = ("queried", "null_key", "duplicate_key", "unchanged", "added", "changed", "removed", "kept")
EXIT_CODES = {"success": 0, "warning": 2, "failed": 3, "held": 4, "cancelled": 130, "interrupted": 3}


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a run, beside the sync itself."""

    full_resync: bool = False
    resend_events: bool = False
    key: str | None = None
    limit: int | None = None
    force: bool = False
    trigger: str = "cli"


@dataclass(frozen=True, slots=True)
class Means:
    """What a run works with: the systems, the state, and everything of the world that tests replace."""

    root: Path
    state_dir: Path
    sources: Mapping[str, SourceSystem]
    destinations: Mapping[str, DestinationSystem]
    history: History
    clock: Clock
    random: Random
    stop: threading.Event
    progress: Progress

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.clock.now() * 1000)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run. `json()` is what `connector run --json` prints for it."""

    run: Run
    error: ConnectorError | None = None

    @property
    def status(self) -> str:
        """success, warning, failed, held or cancelled."""
        return self.run.status

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return self.error.exit_code if self.error is not None else EXIT_CODES[self.run.status]

    def json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return self.run.json()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sync that fits its model: the compiled mapping and the destination that was told the types."""

    projection: Projection
    destination: Destination


@dataclass(slots=True)
class _Ending:
    """What is known of a run so far, for the history.

    `begun`: a request may have gone out. `settled`: its outcomes are in the snapshot.
    """

    status: str = "failed"
    begun: bool = False
    settled: bool = False
    rows: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(_ROW_COUNTS, 0))
    outcomes: Mapping[str, Mapping[str, int]] = field(
        default_factory=lambda: {outcome.value: dict.fromkeys(map(str, Change), 0) for outcome in Outcome}
    )
    requests: dict[str, int] = field(default_factory=lambda: {"sent": 0, "retried": 0, "split": 0})
    error: ConnectorError | None = None
    warnings: tuple[Problem, ...] = ()


def run_sync(sync: Sync, options: Options, means: Means) -> RunResult:
    """The finished run. A run that fails, is held or is cancelled is a result, too.

    Raises BusyError when another process runs this sync, ConfigErrors when the sync does not fit its model, SourceError
    when the warehouse does not answer: nothing was sent then, and there is no run. Raises StateError when the state
    cannot be read or written; a run that had begun to send is settled by the next one.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot, closing(open_source(sync, means)) as source:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        refuse_wrong_options(sync, options, snapshot)
        prepared = prepare(sync, source, means)
        run_id = new_run_id(means.clock, means.random)
        means.history.runs.start(_new_run(sync, run_id, options))
        reach("run-started")
        ending = _Ending()
        try:
            with closing(prepared.destination), state_errors(snapshot.path, sync.name):
                _steps(sync, options, means, snapshot, source, prepared, run_id, ending)
        except ConnectorError as error:
            if ending.begun and not ending.settled:
                # Requests went out: plan and journal stay as they are, and the next run settles this one from them.
                raise
            ending.error = error
            ending.status = "cancelled" if means.stop.is_set() and isinstance(error, SourceError) else "failed"
            if snapshot.has_plan():
                discard(snapshot)
        ending.requests["sent"] = means.history.calls.count(run_id)
        means.history.runs.finish(run_id, _finish(ending))
        reach("finished")
        means.history.forget(run_id)
        cancelled = ending.status == "cancelled"
        return RunResult(means.history.runs.get(run_id), None if cancelled else ending.error)


def refuse_wrong_options(sync: Sync, options: Options, snapshot: Snapshot) -> None:
    """Nothing, when these options make sense for this sync. Raises ConfigError."""
    events = isinstance(sync.settings, EventSync)
    if options.resend_events and not events:
        raise ConfigError(
            f"'{sync.name}' sends no events, so there are none to send again",
            slug="wrong-option",
            hint="leave out --resend-events; --full-resync alone sends every object again",
        )
    if options.full_resync and events and not options.resend_events:
        raise ConfigError(
            f"a full resync of '{sync.name}' sends every event of its model again, and Pendo counts those twice that "
            f"it has: {snapshot.size():,} were accepted so far",
            slug="events-would-double",
            hint="add --resend-events if that is wanted; `connector reset --baseline` takes the present rows as sent",
        )


def open_source(sync: Sync, means: Means) -> Source:
    """The sync's warehouse, not connected yet."""
    return means.sources[sync.source.type].open(sync.source.settings, means.root)


def open_destination(sync: Sync, means: Means, projection: Projection | None = None) -> Destination:
    """The sync's destination; with a projection it knows what each field is sent as."""
    return means.destinations[sync.destination.type].open(
        sync.destination.settings,
        sync.settings,
        at=sync.places.at,
        learned=means.history.learned.get(sync.destination.name),
        types={} if projection is None else projection.types,
    )


def prepare(sync: Sync, source: Source, means: Means) -> Prepared:
    """The compiled sync. Raises ConfigErrors for every column and type that does not fit, SourceError."""
    columns = source.columns(query_of(sync, "check"))
    with closing(open_destination(sync, means)) as destination:
        routes = destination.routes
    projection = compile_sync(
        routes, sync.model.settings.primary_key, columns, at=sync.places.at, model=sync.model.name
    )
    return Prepared(projection, open_destination(sync, means, projection))


def query_of(sync: Sync, run_id: str) -> Query:
    """The model's query, tagged for the warehouse's own history."""
    model = sync.model
    return Query(model.sql, f"connector:{sync.name}:{run_id}", file=model.file, first_line=model.sql_line)


def ask_of(sync: Sync, options: Options, run_id: str) -> Ask:
    """What the comparison needs to know."""
    settings = sync.settings
    events = isinstance(settings, EventSync)
    return Ask(
        run_id=run_id,
        events=events,
        full_resync=options.full_resync or options.resend_events,
        skip_first=isinstance(settings, EventSync) and settings.on_first_run == "skip",
        key=options.key,
        max_attempts=settings.max_attempts,
        hold_in_doubt=isinstance(settings, EventSync) and settings.in_doubt == "hold",
    )


def query_and_compare(
    sync: Sync, options: Options, means: Means, snapshot: Snapshot, source: Source, prepared: Prepared, run_id: str
) -> Plan:
    """The plan, written down in the sync's file. Raises SourceError."""
    ask = ask_of(sync, options, run_id)
    with cancelling(source, means.stop), source.read(query_of(sync, run_id)) as batches:
        stage(snapshot, batches, prepared.projection, ask, means.now_ms)
    reach("rows-staged")
    plan = compare(snapshot, prepared.projection, prepared.destination.routes, ask)
    reach("plan-written")
    return plan


@contextmanager
def cancelling(source: Source, stop: threading.Event) -> Iterator[None]:
    """Nothing; inside it, the warehouse is asked to stop its query as soon as the run is cancelled."""
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if stop.wait(0.1):
                source.cancel()
                return

    watcher = threading.Thread(target=watch, name="cancel-query", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _steps(
    sync: Sync,
    options: Options,
    means: Means,
    snapshot: Snapshot,
    source: Source,
    prepared: Prepared,
    run_id: str,
    ending: _Ending,
) -> None:
    means.history.runs.stage(run_id, "querying")
    means.progress.step("querying", None)
    plan = query_and_compare(sync, options, means, snapshot, source, prepared, run_id)
    ending.rows = {name: getattr(plan.counts, name) for name in _ROW_COUNTS}
    ending.outcomes = _nothing_attempted(plan)
    ending.warnings = plan.cautions
    held = check_guardrails(sync, plan)
    if held is not None and not options.force:
        discard(snapshot)
        ending.error = HeldError(held.message, slug=f"held-{held.guardrail.replace('_', '-')}", hint=held.hint)
        ending.status = "held"
        return
    means.history.runs.stage(run_id, "processing")
    work = PlanWork(snapshot, plan, prepared.destination.routes, prepared.projection.fragments, limit=options.limit)
    with closing(work):
        work.set_send_time(means.now_ms)
        delivered = _deliver(sync, means, plan, work, prepared.destination, run_id, ending)
    means.history.runs.stage(run_id, "reporting")
    means.progress.step("reporting", None)
    stopped = ending.error is not None or means.stop.is_set()
    settlement = settle(
        snapshot, means.history.ranges(run_id), rows_path(means.state_dir, run_id), means.now_ms, stopped=stopped
    )
    ending.settled = True
    ending.outcomes = summary(settlement)["outcomes"]
    ending.status = _status(ending, delivered, cancelled=means.stop.is_set())
    reach("settled")
    check_identities(plan, settlement, delivered)


def _deliver(
    sync: Sync, means: Means, plan: Plan, work: PlanWork, destination: Destination, run_id: str, ending: _Ending
) -> Delivered | None:
    """What delivery came to; None when there was nothing to send, or when preparing for it failed."""
    to_send = sum(span.stop - span.first for span in plan.spans if span.lane != "settled")
    if to_send == 0 or means.stop.is_set():
        return None
    settings = cast("DestinationSettings", sync.destination.settings)
    limiter = means.history.rate(
        sync.destination.name, max_requests_per_second=settings.max_requests_per_second, stop=means.stop
    )
    journal = means.history.journal(run_id, secrets=destination.secrets)
    ending.begun = True
    policy = policy_of(sync)
    try:
        converse(
            destination.prepare(),
            destination=destination,
            journal=journal,
            limiter=limiter,
            clock=means.clock,
            random=means.random,
            policy=policy,
            stop=means.stop,
        )
    except ConnectorError as error:
        journal.flush()
        ending.error = error
        return None
    reach("prepared")
    means.progress.step("sending", to_send)
    delivered = deliver(
        work,
        destination=destination,
        journal=journal,
        limiter=limiter,
        clock=means.clock,
        random=means.random,
        policy=policy,
        stop=means.stop,
        progress=means.progress.rows,
    )
    journal.flush()
    reach("all-sent")
    ending.requests |= {"retried": delivered.retried, "split": delivered.split}
    ending.error = delivered.fault
    for name, value in delivered.learned.items():
        means.history.learned.put(sync.destination.name, name, value, f"found by run {run_id}")
    return delivered


def policy_of(sync: Sync) -> Policy:
    """How this sync is delivered."""
    settings = cast("DestinationSettings", sync.destination.settings)
    return Policy(
        concurrency=settings.concurrency,
        split_retries=sync.settings.split_retries,
        in_doubt=sync.settings.in_doubt if isinstance(sync.settings, EventSync) else "resend",
        attempts=settings.retries.attempts,
        max_retry_s=settings.retries.max_seconds,
    )


def _status(ending: _Ending, delivered: Delivered | None, *, cancelled: bool) -> str:
    if ending.error is not None:
        return "failed"
    unsent = sum(ending.outcomes[Outcome.NOT_ATTEMPTED].values())
    if (delivered is not None and delivered.cancelled) or (cancelled and unsent):
        return "cancelled"
    bad = (Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.QUARANTINED)
    return "warning" if any(sum(ending.outcomes[outcome].values()) for outcome in bad) else "success"


def _nothing_attempted(plan: Plan) -> dict[str, dict[str, int]]:
    outcomes = {outcome.value: dict.fromkeys(map(str, Change), 0) for outcome in Outcome}
    outcomes[Outcome.NOT_ATTEMPTED.value] = {change.value: count for change, count in plan.counts.planned.items()}
    return outcomes


def _new_run(sync: Sync, run_id: str, options: Options) -> NewRun:
    return NewRun(
        run_id=run_id,
        sync=sync.name,
        trigger=options.trigger,
        model=sync.model.name,
        destination=sync.destination.name,
        object=sync.settings.object,
        config=sync.settings.model_dump(mode="json", exclude_unset=True),
    )


def _finish(ending: _Ending) -> Finish:
    return Finish(
        status=ending.status,
        error=None if ending.error is None else ending.error.problem,
        rows=ending.rows,
        outcomes=ending.outcomes,
        requests=ending.requests,
        warnings=ending.warnings,
    )
