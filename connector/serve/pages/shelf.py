"""The project as it is on disk now, read again only when a file has changed; and how each sync stands."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.errors import BusyError, ConfigError, ConnectorError, StateError
from connector.project.load import Systems, survey
from connector.state.snapshot import snapshot_path
from connector.state.snapshot import standing as read_standing
from connector.systems import DESTINATIONS, SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    from connector.errors import Problem
    from connector.project.definition import Definition, Sync
    from connector.serve.serving import Serving

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The rows in a sync's snapshot, and those that are not delivered, by outcome; None: no run has settled yet."""

    rows: int
    undelivered: dict[str, int]


class Shelf:
    """What pages need of the project's files and of the snapshots."""

    def __init__(self, serving: Serving) -> None:
        """Read from this project."""
        self._serving = serving
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._definition: Definition | None = None
        self._problems: tuple[Problem, ...] = ()
        self._broken: dict[str, Problem] = {}
        self._standings: dict[str, tuple[tuple[int, int], Standing]] = {}

    def definition(self) -> Definition | None:
        """The project's definition, as far as it can be read; None when it cannot be read at all."""
        self._look()
        return self._definition

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the project's files, and with the state of its syncs as far as it was looked at.

        A sync whose file cannot be read is not among the syncs.
        """
        self._look()
        return (*self._problems, *self._broken.values())

    def sync(self, name: str) -> Sync:
        """The sync of that name. Raises ConfigError."""
        definition = self.definition()
        if definition is not None and name in definition.syncs:
            return definition.syncs[name]
        hint = "its file is missing or cannot be read: `connector check` says why"
        raise ConfigError(f"there is no sync '{name}'", slug="unknown-sync", hint=hint)

    def names(self) -> list[str]:
        """The syncs on disk, sorted."""
        definition = self.definition()
        return sorted(definition.syncs) if definition is not None else []

    def standing(self, sync: str) -> Standing | None:
        """How the sync stood when its last run had ended. A run that goes on has its file to itself."""
        path = snapshot_path(self._serving.state_dir, sync)
        try:
            found = path.stat()
        except OSError:
            return None
        stamp = (found.st_mtime_ns, found.st_size)
        known = self._standings.get(sync)
        if known is not None and known[0] == stamp:
            return known[1]
        if self._serving.history.runs.unfinished(sync):
            return None if known is None else known[1]
        try:
            found_now = Standing(*read_standing(self._serving.state_dir, sync))
        except BusyError:
            return None if known is None else known[1]
        except StateError as error:
            self._broken[sync] = error.problem
            return None
        self._broken.pop(sync, None)
        self._standings[sync] = (stamp, found_now)
        return found_now

    def _look(self) -> None:
        """Nothing, after reading the files again if one of them has changed."""
        with self._lock:
            stamp = _stamp(self._serving.root)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            systems = Systems(SOURCES, DESTINATIONS)
            try:
                self._problems = survey(self._serving.root, systems, state_dir=self._serving.state_dir).problems
                with self._serving.project() as project:
                    self._definition = project.definition
            except ConnectorError as error:
                self._definition, self._problems = None, error.problems


def _stamp(root: Path) -> Stamp:
    paths = [root / "connector.yml", root / ".env", root / "target" / "manifest.json"]
    paths += [*(root / "models").glob("*.sql"), *(root / "sync_configs").glob("*.y*ml")]
    found = []
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)
