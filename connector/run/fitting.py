"""A sync fitted to its model: warehouse open, mapping compiled over the real columns, destination told the types."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.compile import Projection, compile_sync
from connector.errors import ConfigError
from connector.failpoints import reach
from connector.plan import Ask, compare, stage
from connector.ports import Query
from connector.project.settings import EventSync
from connector.run.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.plan import Plan
    from connector.ports import Destination, Source
    from connector.project.definition import Sync
    from connector.run.means import Means, Options
    from connector.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Fitted:
    """A sync that can run, and what was asked of it."""

    sync: Sync
    options: Options
    means: Means
    source: Source
    projection: Projection
    destination: Destination

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
            key=options.key,
            max_attempts=settings.max_attempts,
            hold_in_doubt=isinstance(settings, EventSync) and settings.in_doubt == "hold",
        )

    def stage(self, snapshot: Snapshot, run_id: str, timings: Timings | None = None) -> None:
        """Nothing, after reading the model's rows into the staged table. Raises SourceError."""
        timings = timings or Timings(self.means.clock.monotonic)
        with (
            _cancelling(self.source, self.means.stop),
            timings.of("stage"),
            self.source.read(self.query(run_id)) as batches,
            timings.reading(batches) as timed,
        ):
            stage(snapshot, timed, self.projection, self.ask(run_id), self.means.now_ms)
        reach("rows-staged")

    def compare(self, snapshot: Snapshot, run_id: str) -> Plan:
        """The plan, written down in the sync's file."""
        plan = compare(snapshot, self.projection, self.destination.routes, self.ask(run_id))
        reach("plan-written")
        return plan


@contextmanager
def fitted(sync: Sync, options: Options, means: Means) -> Iterator[Fitted]:
    """The sync, fitted; its warehouse and its destination are closed afterwards.

    Raises ConfigErrors for every column and type that does not fit, SourceError.
    """
    with closing(means.sources[sync.source.type].open(sync.source.settings, means.root)) as source:
        columns = source.columns(_query(sync, "check"))
        with closing(_destination(sync, means)) as untold:
            routes = untold.routes
        keys = sync.model.settings.primary_key
        projection = compile_sync(routes, keys, columns, at=sync.places.at, model=sync.model.name)
        with closing(_destination(sync, means, projection)) as destination:
            yield Fitted(sync, options, means, source, projection, destination)


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
def _cancelling(source: Source, stop: threading.Event) -> Iterator[None]:
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
