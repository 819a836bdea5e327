"""The project's files, read again when one of them has changed, and what of them can run as they are now."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from connector.errors import ConfigError, Problem
from connector.project.load import ENV_FILE, MODELS, PROJECT_FILE, SYNC_SUFFIXES, SYNCS, Systems, survey
from connector.project.settings import DbtSettings
from connector.schedule.timing import zone_of
from connector.systems import DESTINATIONS, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connector.project.definition import Definition, Sync
    from connector.project.load import Survey

MANIFEST = DbtSettings().manifest

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The project as its files say it now. `syncs` can run, `broken` cannot, and why; one that is in neither is gone.

    `definition` is None only as long as there never was a project.
    """

    definition: Definition | None
    syncs: Mapping[str, Sync] = field(default_factory=dict)
    broken: Mapping[str, Problem] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class ProjectFiles:
    """Reads a project's files whenever they have changed. Safe to use from several threads."""

    def __init__(self, root: Path, state_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.root = root.absolute()
        self._state_dir = state_dir
        self._environ = environ
        self._lock = threading.Lock()
        self._seen: Fingerprint | None = None
        self._loaded = Loaded(None)

    def read(self) -> Loaded:
        """The project as it is on disk now."""
        with self._lock:
            found = self._fingerprint()
            if found != self._seen:
                self._loaded = self._load()
                self._seen = found
            return self._loaded

    def _load(self) -> Loaded:
        try:
            found = survey(self.root, Systems(SOURCES, DESTINATIONS), environ=self._environ, state_dir=self._state_dir)
        except ConfigError as error:  # connector.yml is gone, perhaps for the moment in which an editor writes it
            names = self._names()
            return replace(self._loaded, syncs={}, broken=dict.fromkeys(names, error.problem), problems=error.problems)
        return _sorted_out(found, self._names())

    def _names(self) -> Iterator[str]:
        """The names of the files of sync_configs/."""
        for path in _files(self.root / SYNCS):
            if path.suffix.lower() in SYNC_SUFFIXES and not path.name.startswith("."):
                yield path.stem

    def _fingerprint(self) -> Fingerprint:
        paths = [self.root / PROJECT_FILE, self.root / ENV_FILE, *_files(self.root / MODELS)]
        paths += _files(self.root / SYNCS)
        paths.append(self.root / (MANIFEST if self._loaded.definition is None else self._loaded.definition.manifest))
        return tuple(dict.fromkeys(_stamp(path) for path in paths))


def _sorted_out(found: Survey, names: Iterator[str]) -> Loaded:
    """The syncs that can run as they are, and of the others the first thing that is wrong with each."""
    wrong: dict[str, Problem] = {}
    for problem in found.problems:
        wrong.setdefault((problem.at or "").split(":")[0], problem)
    syncs: dict[str, Sync] = {}
    broken: dict[str, Problem] = {}
    for sync in found.definition.syncs.values():
        found_wrong = wrong.get(sync.file) or wrong.get(sync.model.file) or _timeless(sync)
        if found_wrong is None:
            syncs[sync.name] = sync
        else:
            broken[sync.name] = found_wrong
    for name in names:
        if name not in syncs and name not in broken:
            own = next((wrong[file] for file in wrong if file.startswith(f"{SYNCS}/{name}.")), None)
            # What it names could not be read: its model, its destination, connector.yml.
            broken[name] = own or (found.problems[0] if found.problems else _unreadable(name))
    return Loaded(found.definition, syncs, broken, found.problems)


def _timeless(sync: Sync) -> Problem | None:
    """Why nobody can tell when the sync is due: a machine without time zones lets their names pass."""
    if sync.settings.schedule is None:
        return None
    try:
        zone_of(sync.settings.schedule)
    except ConfigError as error:
        return error.problem
    return None


def _unreadable(name: str) -> Problem:
    return Problem(f"the sync '{name}' cannot be read", "unreadable-file", f"{SYNCS}/{name}.yml")


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # no such folder: nothing is in it
        return []


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
