"""The Python interface: what the command line can do, Python can.

from connector import load_project
with load_project("path/to/project") as project:
    plan = project.plan("account_health")
    result = project.run("account_health")
"""

from __future__ import annotations

import difflib
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Self

from connector.errors import BusyError, ConfigError, ConfigErrors, Problem
from connector.run.progress import Progress, Silent
from connector.state.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from random import Random

    import pyarrow as pa

    from connector.actions.alerting import Alerting
    from connector.actions.checking import Checked
    from connector.actions.moving import KeptSnapshot
    from connector.actions.planning import PlanResult
    from connector.actions.probing import Probed
    from connector.actions.replaying import To
    from connector.actions.retention import Pruned
    from connector.actions.rows import Reason
    from connector.actions.undelivered import Undelivered
    from connector.ports import Clock, Source
    from connector.project.definition import Definition, DestinationEntry, Model, Sync
    from connector.run.ending import RunResult
    from connector.run.means import Means
    from connector.state.calls import Call
    from connector.state.history import History
    from connector.state.runs import Run

_BUSY_PAUSE_S = 0.5


def load_project(
    root: str | Path = ".",
    *,
    state_dir: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    strict: bool = True,
) -> Project:
    """The project in this folder, its files read and checked.

    Raises ConfigErrors with every problem of every file. Nothing is connected to and nothing is written yet. Without
    `strict` a project with problems is loaded as far as it can be read: enough to look back at its runs.
    """
    from connector.project.load import Systems, survey  # noqa: PLC0415 - start-up: the YAML reader is slow to import
    from connector.systems import DESTINATIONS, SOURCES  # noqa: PLC0415

    given = None if state_dir is None else Path(state_dir)
    found = survey(Path(root), Systems(SOURCES, DESTINATIONS), environ=environ, state_dir=given)
    if found.problems and strict:
        raise ConfigErrors(found.problems)
    return Project(found.definition, clock or SystemClock(), random or SystemRandom())


def check_project(
    root: str | Path = ".",
    *,
    state_dir: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    online: bool = False,
) -> Checked:
    """Everything that is wrong with the project in this folder: see `checking.check`. Changes and sends nothing.

    Raises ConfigError where there is no project at all.
    """
    from connector.actions.checking import NOTHING_LEARNED, check  # noqa: PLC0415 - start-up
    from connector.project.load import Systems, survey  # noqa: PLC0415
    from connector.systems import DESTINATIONS, SOURCES  # noqa: PLC0415

    given = None if state_dir is None else Path(state_dir)
    found = survey(Path(root), Systems(SOURCES, DESTINATIONS), environ=environ, state_dir=given)
    with tempfile.TemporaryDirectory(prefix="connector-") as empty:
        # A check must not make the state directory: the project may lie where nobody may write.
        elsewhere = replace(found.definition, state_dir=Path(empty))
        with Project(elsewhere, SystemClock(), SystemRandom()) as project:
            return check(found, project.means(history=NOTHING_LEARNED), online=online)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of connector.yml ("connector"), of a sync config ("sync") and of a model's settings ("model")."""
    from connector.project.load import Systems  # noqa: PLC0415 - start-up
    from connector.project.schema import json_schemas  # noqa: PLC0415
    from connector.systems import DESTINATIONS, SOURCES  # noqa: PLC0415

    return json_schemas(Systems(SOURCES, DESTINATIONS))


class Project:
    """A loaded project. Use it as a context manager, or call `close`: it keeps the history open."""

    def __init__(self, definition: Definition, clock: Clock, random: Random) -> None:
        self.definition = definition
        self.stop = threading.Event()
        self._clock = clock
        self._random = random
        self._history: History | None = None

    # --- what is there ------------------------------------------------------------------------------------------

    @property
    def syncs(self) -> list[str]:
        """The names of the syncs, sorted."""
        return sorted(self.definition.syncs)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed in the project's files but likely unwanted."""
        return self.definition.warnings

    @property
    def history(self) -> History:
        """Run history and API call log, opened on first use; makes the state directory. Raises StateError."""
        if self._history is None:
            from connector.state import open_history  # noqa: PLC0415 - start-up: sqlalchemy is slow to import

            self._history = open_history(self.definition.state_dir, clock=self._clock)
        return self._history

    def sync(self, name: str) -> Sync:
        """The sync of that name. Raises ConfigError with the nearest name."""
        found: Sync = _named(self.definition.syncs, name, "sync")
        return found

    # --- looking ------------------------------------------------------------------------------------------------

    def check_models(self, names: Iterable[str] | None = None) -> None:
        """Nothing, when every sync fits the columns its model returns. Raises ConfigErrors with all that do not fit.

        Connects to the warehouses, reads no rows, sends nothing.
        """
        from connector.run.fitting import fitted  # noqa: PLC0415 - start-up
        from connector.run.means import Options  # noqa: PLC0415

        problems: list[Problem] = []
        for name in self.syncs if names is None else names:
            sync = self.sync(name)
            try:
                with fitted(sync, Options(), self.means()):
                    pass
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigErrors(tuple(dict.fromkeys(problems)))

    def check_online(self) -> list[tuple[str, str]]:
        """What each source and destination in use answered to a login, as (name, sentence).

        Raises SourceError, DestinationError.
        """
        from connector.actions.online import check_everything  # noqa: PLC0415 - start-up

        return check_everything(self.definition, self.means())

    def preview(self, model: str, *, limit: int = 10) -> pa.Table:
        """The model's first rows. Raises SourceError."""
        from connector.actions.previewing import preview_model  # noqa: PLC0415 - start-up

        found: Model = _named(self.definition.models, model, "model")
        with closing(self._source(found.settings.source)) as source:
            return preview_model(found, source, limit)

    def plan(
        self,
        sync: str,
        *,
        show: int = 5,
        full_resync: bool = False,
        resend_events: bool = False,
        row: str | None = None,
        limit: int | None = None,
    ) -> PlanResult:
        """What a run would do now; sends and changes nothing.

        Raises ConfigErrors, SourceError, BusyError, StateError.
        """
        from connector.actions.planning import plan_sync  # noqa: PLC0415 - start-up
        from connector.actions.rows import last_accepted  # noqa: PLC0415
        from connector.run.means import Options  # noqa: PLC0415

        found = self.sync(sync)
        options = Options(full_resync=full_resync, resend_events=resend_events, key=row, limit=limit)
        state_dir = self.definition.state_dir

        def before(keys: Iterable[str]) -> dict[str, Any]:
            return last_accepted(state_dir, self.history, sync, keys)

        return plan_sync(found, options, self.means(), show=show, before=before)

    # --- running ------------------------------------------------------------------------------------------------

    def run(  # noqa: PLR0913 - each is an option of `connector run`
        self,
        sync: str,
        *,
        full_resync: bool = False,
        resend_events: bool = False,
        row: str | None = None,
        limit: int | None = None,
        force: bool = False,
        wait: bool = False,
        trigger: str = "python",
        progress: Progress | None = None,
        run_id: str | None = None,
    ) -> RunResult:
        """The finished run. A run that fails, is held or is cancelled is a result; `stop.set()` cancels it.

        `run_id` is the name that was promised to whoever asked for the run; without one, it gets a new name.

        Raises ConfigErrors when the sync does not fit its model, BusyError while another run of it goes on (with `wait`
        only when it was cancelled meanwhile), StateError: nothing was sent then.
        """
        from connector.actions.running import run_and_tell  # noqa: PLC0415 - start-up
        from connector.run.cancelling import cancellable  # noqa: PLC0415
        from connector.run.means import Options  # noqa: PLC0415
        from connector.state.runs import new_run_id  # noqa: PLC0415

        found, watcher = self.sync(sync), progress or Silent()
        name = run_id or new_run_id(self._clock, self._random)
        options = Options(full_resync, resend_events, row, limit, force, trigger, name)
        with cancellable(self.history.cancels, name, self.stop) as stop:
            while True:
                try:
                    return run_and_tell(found, options, replace(self.means(watcher), stop=stop), self.definition)
                except BusyError:
                    watcher.step("waiting", None)
                    if not wait or stop.wait(_BUSY_PAUSE_S):
                        raise

    # --- looking back -------------------------------------------------------------------------------------------

    def runs(self, sync: str | None = None, *, limit: int | None = 20, **filters: Any) -> tuple[Run, ...]:
        """The newest runs, of one sync or of all; `filters` are those of `state.runs.RunFilter`."""
        return self.history.runs.list(sync, limit=limit, **filters)

    def resolve_run(self, run: str) -> str:
        """The full id of the run that `run` means: an id, the beginning or the end of one, or "last"."""
        return self.history.runs.resolve(run)

    def rows(
        self, run: str = "last", *, limit: int | None = None, offset: int = 0, **filters: Any
    ) -> list[dict[str, Any]]:
        """What became of each row of a run's plan; `filters` are those of `actions.rows.RowFilter`."""
        from connector.actions.rows import RowFilter, read_rows  # noqa: PLC0415 - start-up

        state_dir, run_id = self.definition.state_dir, self.resolve_run(run)
        return read_rows(state_dir, self.history, run_id, RowFilter(**filters), limit=limit, offset=offset)

    def story(self, key: str, sync: str | None = None, *, limit: int = 50) -> dict[str, Any]:
        """Everything that ever happened to the row with this key, over all runs; see `actions.story.read_story`."""
        from connector.actions.story import read_story  # noqa: PLC0415 - start-up

        return read_story(self.definition.state_dir, self.history, key, sync=sync, limit=limit)

    def reasons(self, run: str = "last") -> list[Reason]:
        """Why rows of a run did not succeed, grouped, with their number and a few of their keys."""
        from connector.actions.rows import read_reasons  # noqa: PLC0415 - start-up

        return read_reasons(self.definition.state_dir, self.resolve_run(run))

    def calls_of(self, key: str, run: str = "last") -> tuple[Call, ...]:
        """The API calls of a run that carried the row with this key, in the order they were made."""
        from connector.actions.rows import read_numbers  # noqa: PLC0415 - start-up
        from connector.state.calls import CallFilter  # noqa: PLC0415

        run_id = self.resolve_run(run)
        found: dict[int, Call] = {}
        for n in read_numbers(self.definition.state_dir, run_id, key):
            carried = self.history.calls.list(run_id, CallFilter(rows=(n, n + 1)))
            found |= {call.id: call for call in carried}
        return tuple(found[call_id] for call_id in sorted(found))

    def calls(self, run: str = "last", **filters: Any) -> tuple[Call, ...]:
        """The API calls of a run in the order they were made; `filters` are those of `state.calls.Calls.list`."""
        return self.history.calls.list(self.resolve_run(run), **filters)

    def prune(self, *, dry_run: bool = False, keep_days: int | None = None, sync: str | None = None) -> Pruned:
        """What was taken out of the history, as `history:` of connector.yml says; see `actions.retention.prune`."""
        from connector.actions.retention import prune  # noqa: PLC0415 - start-up

        return prune(self.definition, self.history, self._clock, dry_run=dry_run, keep_days=keep_days, sync=sync)

    def replay(self, call_id: int, to: To = "sandbox", *, url: str | None = None) -> Call:
        """The call that repeats this one, with what came back; see `actions.replaying.replay`."""
        from connector.actions.replaying import replay  # noqa: PLC0415 - start-up

        return replay(self.history.calls.get(call_id), self.definition, self.means(), to=to, url=url)

    # --- mending ------------------------------------------------------------------------------------------------

    def reset(self, sync: str, *, baseline: bool = False) -> int:
        """How many rows the snapshot holds after it was forgotten, or after the present result was taken as sent."""
        from connector.actions.mending import reset_sync  # noqa: PLC0415 - start-up

        return reset_sync(self.sync(sync), self.means(), baseline=baseline)

    @property
    def alerts(self) -> Alerting:
        """The alerts: what is in trouble, who was told; `alerts.test(channel)`, `alerts.mute(sync, "2h")`."""
        from connector.actions.alerting import Alerting  # noqa: PLC0415 - start-up

        return Alerting(self.definition, self.history, self._clock)

    def kept(self, sync: str) -> KeptSnapshot:
        """The sync's snapshot as it is kept somewhere: to be moved, or adopted. No row is sent again for that."""
        from connector.actions.moving import KeptSnapshot  # noqa: PLC0415 - start-up

        return KeptSnapshot(self.sync(sync), self.means())

    def undelivered(self, sync: str) -> list[Undelivered]:
        """The rows that are rejected, quarantined or held now, with their reasons."""
        from connector.actions.undelivered import list_undelivered  # noqa: PLC0415 - start-up

        return list_undelivered(self.sync(sync), self.means())

    def retry(self, sync: str, *, key: str | None = None) -> int:
        """How many rejected and quarantined rows start again with no attempt counted against them."""
        from connector.actions.undelivered import retry  # noqa: PLC0415 - start-up

        return retry(self.sync(sync), self.means(), key=key)

    def release(self, sync: str, *, key: str | None = None, drop: bool = False) -> int:
        """How many held and quarantined rows the next run offers again, or with `drop` counts as sent for ever."""
        from connector.actions.undelivered import release  # noqa: PLC0415 - start-up

        return release(self.sync(sync), self.means(), key=key, drop=drop)

    def probe(self, destination: str) -> Iterator[Probed]:
        """What the destination does where its documentation is silent, probe by probe. Writes to it: for test apps.

        Raises ConfigError for a destination without probes.
        """
        from connector.actions.probing import probe  # noqa: PLC0415 - start-up

        entry: DestinationEntry = _named(self.definition.destinations, destination, "destination")
        return probe(entry, self.means(), f"{self._random.getrandbits(32):08x}")

    def close(self) -> None:
        """Nothing, after closing the history."""
        if self._history is not None:
            self._history.close()
            self._history = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _source(self, name: str) -> Source:
        from connector.systems import SOURCES  # noqa: PLC0415 - start-up

        entry = self.definition.sources[name]
        return SOURCES[entry.type].open(entry.settings, self.definition.root)

    def means(self, progress: Progress | None = None, history: History | None = None) -> Means:
        """What a run of this project works with."""
        from connector.run.means import Means  # noqa: PLC0415 - start-up
        from connector.systems import DESTINATIONS, SOURCES  # noqa: PLC0415

        return Means(
            root=self.definition.root,
            state_dir=self.definition.state_dir,
            sources=SOURCES,
            destinations=DESTINATIONS,
            history=history or self.history,
            clock=self._clock,
            random=self._random,
            stop=self.stop,
            progress=progress or Silent(),
            logs=self.definition.logs,
        )


def _named(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    raise ConfigError(f"there is no {what} '{name}'", slug=f"unknown-{what}", hint=hint)
