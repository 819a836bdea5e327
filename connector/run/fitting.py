"""A sync fitted to its model: warehouse open, mapping compiled over the real columns, destination told the types."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from connector.compile import Projection, compile_sync
from connector.errors import ConfigError
from connector.failpoints import reach
from connector.plan import Ask, compare, stage
from connector.plan.elsewhere import compared, take, wanted
from connector.plan.uses import uses_of
from connector.ports import Query
from connector.project.privacy import redaction_of
from connector.project.settings import EventSync
from connector.run.chosen import key_as_kept, said_when_missing
from connector.run.keeping import catch_up, look, plans_in_warehouse, warehouse_snapshot
from connector.run.timings import Timings
from connector.run.whereabouts import cautioned
from connector.state.hiding import open_hiding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connector.plan import Plan
    from connector.plan.elsewhere import Elsewhere
    from connector.ports import Destination, Route, Source, WarehouseSnapshot
    from connector.project.definition import Sync
    from connector.run.means import Means, Options
    from connector.state.hiding import Hiding
    from connector.state.snapshot import Snapshot

CANCEL_LOOK_S = 0.1
"""How often it is looked whether the run was cancelled while the warehouse works."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A sync that can run, and what was asked of it.

    `columns` are the names of the model's; `remote` is the snapshot where it is kept in the warehouse.
    """

    sync: Sync
    options: Options
    means: Means
    source: Source
    projection: Projection
    destination: Destination
    columns: tuple[str, ...] = ()
    remote: WarehouseSnapshot | None = None

    @property
    def hiding(self) -> Hiding | None:
        """What hides the values that the sync redacts; None where it redacts none."""
        redaction = redaction_of(self.sync.settings)
        return open_hiding(self.means.state_dir, redaction.form) if redaction.columns else None

    def query(self, run_id: str) -> Query:
        """The model's query, tagged for the warehouse's own history."""
        return _query(self.sync, run_id)

    def ask(self, run_id: str) -> Ask:
        """What the comparison needs to know."""
        settings, options = self.sync.settings, self.options
        return Ask(
            run_id=run_id,
            events=isinstance(settings, EventSync),
            full_resync=options.full_resync or options.resend_events,
            skip_first=isinstance(settings, EventSync) and settings.on_first_run == "skip",
            key=None if options.key is None else key_as_kept(self.sync, options.key),
            max_attempts=settings.max_attempts,
            hold_in_doubt=isinstance(settings, EventSync) and settings.in_doubt == "hold",
            payloads=settings.store_payloads,
        )

    def catch_up(self, snapshot: Snapshot) -> None:
        """Nothing, after telling a snapshot in the warehouse what it does not know. Raises SourceError, StateError."""
        if self.remote is not None:
            catch_up(snapshot, self.remote, self.sync, self.means, lost=self._refuse_lost(snapshot))

    def look(self, snapshot: Snapshot) -> None:
        """Nothing, when a run could go on from the snapshot, wherever it is. Changes nothing. Raises StateError."""
        if self.remote is not None:
            look(snapshot, self.remote, self.sync, self.means, lost=self._refuse_lost(snapshot))

    def _refuse_lost(self, snapshot: Snapshot) -> Callable[[], None]:
        from connector.run.recover import refuse_lost_ledger  # noqa: PLC0415 - start-up: `check` needs no history

        return partial(refuse_lost_ledger, self.sync, snapshot, self.means.history)

    def stage(
        self, snapshot: Snapshot, run_id: str, timings: Timings | None = None, *, empty: bool = False
    ) -> Elsewhere | None:
        """What the warehouse counted, where it compares; after reading the rows that matter into the staged table.

        Those are all rows of the model where the comparison is made here. `empty`: as if the snapshot held nothing.
        Raises SourceError.
        """
        timings = timings or Timings(self.means.clock.monotonic)
        if self.remote is not None:
            return self._stage_compared(self.remote, snapshot, run_id, timings, empty=empty)
        with (
            _cancelling(self.source, self.means.stop),
            timings.of("stage"),
            self.source.read(self.query(run_id)) as batches,
            timings.reading(batches) as timed,
        ):
            stage(snapshot, timed, self.projection, self.ask(run_id), self.means.now_ms)
        reach("rows-staged")
        return None

    def _stage_compared(
        self, remote: WarehouseSnapshot, snapshot: Snapshot, run_id: str, timings: Timings, *, empty: bool
    ) -> Elsewhere:
        ask = self.ask(run_id)
        uses = uses_of(self.destination.routes, self.sync.model.settings.primary_key, self.columns)
        asked = wanted(snapshot, self.projection, uses, self.query(run_id), ask, empty=empty)
        with _cancelling(remote, self.means.stop), timings.of("stage"), ExitStack() as stack:
            with timings.of("read"):
                found = stack.enter_context(compared(snapshot, remote, asked))
            with found.rows() as batches, timings.reading(batches) as timed:
                stage(snapshot, timed, self.projection, ask, self.means.now_ms, marked=True)
            counted = take(snapshot, found)
        reach("rows-staged")
        return counted

    def compare(self, snapshot: Snapshot, run_id: str, elsewhere: Elsewhere | None) -> Plan:
        """The plan, written down in the sync's file. `elsewhere` is what `stage` returned."""
        hiding = self.hiding
        if hiding is not None:
            hiding.define(snapshot.connection)
        plan = compare(snapshot, self.projection, self.destination.routes, self.ask(run_id), elsewhere)
        reach("plan-written")
        return said_when_missing(cautioned(plan, self.sync, snapshot), self.sync, self.options.key)


@contextmanager
def fitted(sync: Sync, options: Options, means: Means) -> Iterator[Fitted]:
    """The sync, fitted; its warehouse and its destination are closed afterwards.

    Raises ConfigErrors for every column and type that does not fit, SourceError.
    """
    with closing(means.sources[sync.source.type].open(sync.source.settings, means.root)) as source:
        with _cancelling(source, means.stop):  # where a driver names no types, this runs the query
            columns = source.columns(_query(sync, "check"))
        routes = routes_of(sync, means)
        keys = sync.model.settings.primary_key
        redaction = redaction_of(sync.settings)
        at, name = sync.places.at, sync.model.name
        projection = compile_sync(
            routes, keys, columns, at=at, key_at=sync.primary_key_at, model=name, redaction=redaction
        )
        remote = warehouse_snapshot(sync, means) if plans_in_warehouse(sync) else None
        if remote is not None:
            remote.check()
        with closing(_destination(sync, means, projection)) as destination:
            yield Fitted(sync, options, means, source, projection, destination, tuple(columns.names), remote)


def refuse_wrong_options(sync: Sync, options: Options, snapshot: Snapshot) -> None:
    """Nothing, when these options make sense for this sync. Raises ConfigError."""
    if options.key is not None:
        key_as_kept(sync, options.key)
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


def routes_of(sync: Sync, means: Means) -> tuple[Route, ...]:
    """The kinds of request the sync makes; nothing is connected to."""
    with closing(_destination(sync, means)) as destination:
        return destination.routes


def _query(sync: Sync, run_id: str) -> Query:
    model = sync.model
    return Query(model.sql, f"connector:{sync.name}:{run_id}", file=model.file, first_line=model.sql_line)


def _destination(sync: Sync, means: Means, projection: Projection | None = None) -> Destination:
    """The sync's destination; with a projection it knows what each field is sent as."""
    return means.destinations[sync.destination.type].open(
        sync.destination.settings,
        sync.settings,
        at=sync.places.at,
        learned=means.history.learned.get(sync.destination.name),
        types={} if projection is None else projection.types,
    )


@contextmanager
def _cancelling(source: Source | WarehouseSnapshot, stop: threading.Event) -> Iterator[None]:
    """Nothing; inside it, the warehouse is asked to stop its query as soon as the run is cancelled."""
    done = threading.Event()

    def watch() -> None:
        # It waits for the end and looks at the other: so the end, which every run comes to, is noticed at once. It asks
        # again and again, because who asks before the query has begun stops nothing.
        while not done.wait(CANCEL_LOOK_S):
            if stop.is_set():
                source.cancel()

    watcher = threading.Thread(target=watch, name="cancel-query", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
