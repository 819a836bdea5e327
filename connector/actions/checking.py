"""`connector check`: everything that can be said of a project without a run."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from connector.actions.online import check_destination
from connector.errors import ConfigError, ConnectorError
from connector.ports import KeepsOpen
from connector.project.findings import in_file_order
from connector.run.fitting import fitted
from connector.run.means import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.errors import Problem
    from connector.project.definition import DestinationEntry, SourceEntry, Sync
    from connector.project.load import Survey
    from connector.run.means import Means
    from connector.state.history import History


class _NothingLearned:
    """A history in which no probe has left anything. To open the real one takes longer than many a check."""

    class learned:  # noqa: N801 - as in `History`
        """The facts of no destination."""

        @staticmethod
        def get(_: str) -> dict[str, str]:
            """No fact."""
            return {}


NOTHING_LEARNED = cast("History", _NothingLearned())


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. `unchecked` are the syncs whose mapping was not compared with the model's columns.

    `online` is what each source and destination answered to a login, as (name, sentence).
    """

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    sources: list[str]
    destinations: list[str]
    models: list[str]
    syncs: list[str]
    unchecked: list[str]
    online: list[tuple[str, str]]
    exit_code: int


def check(found: Survey, means: Means, *, online: bool) -> Checked:
    """Everything that is wrong with a project: the problems of its files, and what its warehouses say.

    Each mapping is compared with the columns that its model returns: without `online` only where the warehouse is a
    file that is here, so that nobody logs in anywhere. With `online` every source and destination is asked, too.
    """
    checking = _Checking(found, means)
    if online:
        checking.log_in()
    checking.compare_models(online=online)
    return checking.result(online=online)


class _Checking:
    """A check of one project, step by step."""

    def __init__(self, found: Survey, means: Means) -> None:
        self._definition = found.definition
        self._half_read = found.half_read
        self._means = means
        self._problems = list(found.problems)
        self._codes = {ConfigError.exit_code} if found.problems else set()
        self._unchecked: list[str] = []
        self._online: list[tuple[str, str]] = []

    def log_in(self) -> None:
        for name, source in self._definition.sources.items():
            self._note(partial(self._log_in_to_source, name, source))
        for name, destination in self._definition.destinations.items():
            self._note(partial(self._log_in_to_destination, name, destination))

    def compare_models(self, *, online: bool) -> None:
        with ExitStack() as stack:
            opened: set[str] = set()
            for sync in (*self._definition.syncs.values(), *self._half_read):
                if not online and not self._is_here(sync):
                    self._unchecked.append(sync.name)
                    continue
                if sync.source.name not in opened:
                    opened.add(sync.source.name)
                    self._keep_open(sync.source, stack)
                self._note(partial(self._compare, sync))

    def _keep_open(self, entry: SourceEntry, stack: ExitStack) -> None:
        """Nothing, after opening the source until the stack is left, where that makes its queries cheaper."""
        source = self._means.sources[entry.type].open(entry.settings, self._definition.root)
        stack.callback(source.close)
        if isinstance(source, KeepsOpen):
            with suppress(ConnectorError):  # each of its syncs says so, with its place
                stack.enter_context(source.kept_open())

    def result(self, *, online: bool) -> Checked:
        definition = self._definition
        # Without logins, whatever is wrong is wrong in the files; with them, a system may be away.
        code = max(self._codes, default=0) if online else min(self._codes | {ConfigError.exit_code})
        return Checked(
            errors=in_file_order(self._problems),
            warnings=definition.warnings,
            sources=sorted(definition.sources),
            destinations=sorted(definition.destinations),
            models=sorted(definition.models),
            syncs=sorted(definition.syncs),
            unchecked=self._unchecked,
            online=self._online,
            exit_code=code if self._codes else 0,
        )

    def _log_in_to_source(self, name: str, entry: SourceEntry) -> None:
        with closing(self._means.sources[entry.type].open(entry.settings, self._definition.root)) as source:
            source.check()
        self._online.append((name, f"{entry.type}: logged in"))

    def _log_in_to_destination(self, name: str, entry: DestinationEntry) -> None:
        self._online.append((name, check_destination(entry, self._means)))

    def _compare(self, sync: Sync) -> None:
        with fitted(sync, Options(), self._means):
            pass

    def _is_here(self, sync: Sync) -> bool:
        path = getattr(sync.source.settings, "path", None)
        return path is not None and (self._definition.root / Path(path)).is_file()

    def _note(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ConnectorError as error:
            self._problems += error.problems
            self._codes.add(error.exit_code)
