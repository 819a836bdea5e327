"""A project, read whole: every problem of every file is reported at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from connector.errors import ConfigError, ConfigErrors
from connector.project.alerts import check_alerts, read_alerts
from connector.project.dbt import DbtReader
from connector.project.definition import Definition, DestinationEntry, SourceEntry
from connector.project.environment import Environment, read_env
from connector.project.findings import Findings
from connector.project.grammar import Grammar
from connector.project.history_settings import HistorySettings
from connector.project.logs import read_logs
from connector.project.model import ModelReader, place
from connector.project.names import ENTRY_NAME, MODEL_NAME, SYNC_NAME
from connector.project.names import hint as hint_for
from connector.project.places import read_mapping
from connector.project.reading import Known, Reading
from connector.project.schedule import check_followed
from connector.project.serve_settings import ServeSettings
from connector.project.settings import DbtSettings, ProjectSettings
from connector.project.sync import SyncReader
from connector.project.telemetry_settings import TelemetrySettings
from connector.project.validation import validate

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from connector.errors import Problem
    from connector.ports import DestinationSystem, SourceSystem
    from connector.project.definition import Model, Sync
    from connector.project.places import Document

E = TypeVar("E", SourceEntry, DestinationEntry)

PROJECT_FILE = "connector.yml"
ENV_FILE = ".env"
MODELS = "models"
SYNCS = "sync_configs"
STATE_DIR = ".connector"
STATE_VARIABLE = "CONNECTOR_STATE_DIR"

MODEL_SUFFIXES = (".sql",)
SYNC_SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Systems:
    """The outside systems that a project may name, by `type:`. Only those that it names are touched."""

    sources: Mapping[str, SourceSystem]
    destinations: Mapping[str, DestinationSystem]


def load(
    root: Path,
    systems: Systems,
    *,
    environ: Mapping[str, str] | None = None,
    state_dir: Path | None = None,
) -> Definition:
    """The project in the folder `root`, with absolute paths, and what looks unintended in its `warnings`.

    `environ` (default: the process's environment) wins over `.env`. The state directory is `state_dir`, else
    CONNECTOR_STATE_DIR, else `state: dir:` of connector.yml, else `.connector`; all but the first relative to `root`.
    Raises ConfigErrors with every problem of every file, in the order of the files.
    """
    found = survey(root, systems, environ=environ, state_dir=state_dir)
    if found.problems:
        raise ConfigErrors(found.problems)
    return found.definition


@dataclass(frozen=True, slots=True)
class Survey:
    """A project as far as it can be read, and every problem of every file.

    A model or a sync with a problem of its own is not in `definition`; `half_read` are the syncs with what is wrong in
    them left out.
    """

    definition: Definition
    problems: tuple[Problem, ...]
    half_read: tuple[Sync, ...]


def survey(
    root: Path,
    systems: Systems,
    *,
    environ: Mapping[str, str] | None = None,
    state_dir: Path | None = None,
) -> Survey:
    """The project as far as it can be read, and what `load` would raise.

    Raises ConfigError where there is no project at all.
    """
    root = root.absolute()
    if not _is_file(root / PROJECT_FILE):
        message = f"there is no {PROJECT_FILE} in {root}"
        hint = "give the folder with --project, or make one: connector init"
        if _is_file(root / "connector.yaml"):
            hint = f"rename connector.yaml to {PROJECT_FILE}"
        raise ConfigError(message, slug="no-project", hint=hint)
    findings = Findings()
    variables = _env_file(root, findings) | dict(os.environ if environ is None else environ)
    with Grammar() as grammar:
        loading = _Loading(root, systems, Reading(Environment(variables, findings), grammar, findings))
        definition = loading.definition(state_dir, variables.get(STATE_VARIABLE))
    return Survey(definition, findings.errors(), loading.half_read)


class _Loading:
    """The state of reading one project."""

    def __init__(self, root: Path, systems: Systems, reading: Reading) -> None:
        self._root = root
        self._systems = systems
        self._reading = reading
        self._findings = reading.findings
        self.half_read: tuple[Sync, ...] = ()
        self._sync_names: list[str] = []

    def definition(self, state_dir: Path | None, state_variable: str | None) -> Definition:
        document = self._project_document()
        settings = validate(ProjectSettings, document, self._findings) if document is not None else None
        sources = self._entries(document, "sources", self._systems.sources, SourceEntry)
        destinations = self._entries(document, "destinations", self._systems.destinations, DestinationEntry)
        models = self._models(sources)
        settings_of_dbt = settings.dbt if settings is not None else DbtSettings()
        dbt = DbtReader(self._root, settings_of_dbt, sources, self._findings)
        reader = SyncReader(self._reading, self._systems.destinations, sources, destinations, models, dbt)
        syncs = self._syncs(reader)
        self.half_read = tuple(reader.half_read)
        astray = check_followed([*syncs.values(), *self.half_read], self._sync_names, self._findings)
        syncs = {name: sync for name, sync in syncs.items() if name not in astray}
        alerts = read_alerts(document, settings.alerts if settings is not None else None, self._findings)
        places = document.places if document is not None else None
        check_alerts(alerts, places, destinations.good, [*syncs.values(), *reader.half_read], self._findings)
        logs = read_logs(settings.logs if settings is not None else None, places, sources, self._findings)
        written = settings.state.dir if settings is not None else None
        return Definition(
            root=self._root,
            state_dir=_state_dir(self._root, state_dir, state_variable or written),
            sources=sources.good,
            destinations=destinations.good,
            models={**dbt.models, **models.good},
            syncs=syncs,
            warnings=self._findings.warnings(),
            alerts=alerts,
            logs=logs,
            serve=settings.serve if settings is not None else ServeSettings(),
            history=settings.history if settings is not None else HistorySettings(),
            telemetry=settings.telemetry if settings is not None else TelemetrySettings(),
            manifest=settings_of_dbt.manifest,
        )

    # --- connector.yml ---------------------------------------------------------------------------------------------

    def _project_document(self) -> Document | None:
        text = _text(self._root / PROJECT_FILE, PROJECT_FILE, self._findings)
        document = (
            read_mapping(text, PROJECT_FILE, self._reading.environment, self._findings) if text is not None else None
        )
        if document is not None:
            # A section whose entries are all commented out is an empty section.
            for section in ("sources", "destinations", "dbt", "state", "alerts", "serve", "telemetry", "history"):
                if document.data.get(section, ...) is None and (section,) not in document.unreadable:
                    document.data[section] = {}
        return document

    def _entries(
        self,
        document: Document | None,
        section: str,
        systems: Mapping[str, SourceSystem] | Mapping[str, DestinationSystem],
        entry_class: type[E],
    ) -> Known[E]:
        given = document.data.get(section, {}) if document is not None else None
        if document is None or not isinstance(given, dict) or (section,) in document.unreadable:
            return Known(None)
        good: dict[str, E] = {}
        for name, entry in given.items():
            at = document.places.key_at(section, name)
            if not ENTRY_NAME.fullmatch(name):
                self._bad_name(name, at, "letters, digits, _ and -")
            read = self._entry(document, section, name, systems) if isinstance(entry, dict) else None
            if read is not None:
                good[name] = entry_class(name, *read, at)
        return Known(tuple(given), good)

    def _entry(
        self,
        document: Document,
        section: str,
        name: str,
        systems: Mapping[str, SourceSystem] | Mapping[str, DestinationSystem],
    ) -> tuple[str, BaseModel] | None:
        path = (section, name, "type")
        kind = document.get(*path)
        if "type" not in document.get(section, name):
            message, choices = f"the key 'type' is missing in '{section}.{name}'", f"type: one of {', '.join(systems)}"
            self._findings.error(message, "missing-key", document.places.at(section, name), choices)
            return None
        if path in document.unreadable:
            return None
        if not isinstance(kind, str) or kind not in systems:
            self._findings.error(
                f"there is no type '{document.shown(*path)}' for {section}",
                "unknown-type",
                document.places.at(*path),
                hint_for(document.guessable(*path), systems, "types"),
            )
            return None
        try:
            model = systems[kind].settings()
        except ConfigError as error:  # its driver is not installed, for one
            for problem in error.problems:
                self._findings.foreign("error", problem, document.places.at(*path))
            return None
        entry = dict(document.get(section, name))
        if "type" not in model.model_fields:
            del entry["type"]
        settings = validate(model, document, self._findings, at=(section, name), data=entry)
        return (kind, settings) if settings is not None else None

    # --- models and syncs ------------------------------------------------------------------------------------------

    def _models(self, sources: Known[SourceEntry]) -> Known[Model]:
        reader = ModelReader(self._reading, sources)
        words = "letters, digits, _ and -, and no digit at the start"
        models: dict[str, Model] = {}
        names: list[str] = []
        for name, file, path in self._files(MODELS, MODEL_SUFFIXES, MODEL_NAME, words):
            names.append(name)
            text = _text(path, file, self._findings)
            model = reader.read(name, file, text) if text is not None else None
            if model is not None:
                models[name] = model
        return Known(names, models)

    def _syncs(self, reader: SyncReader) -> dict[str, Sync]:
        syncs: dict[str, Sync] = {}
        for name, file, path in self._files(SYNCS, SYNC_SUFFIXES, SYNC_NAME, "a-z, 0-9, _ and -"):
            self._sync_names.append(name)
            text = _text(path, file, self._findings)
            sync = reader.read(name, file, text) if text is not None else None
            if sync is not None:
                syncs[name] = sync
        return syncs

    def _files(
        self, folder: str, suffixes: tuple[str, ...], allowed: re.Pattern[str], words: str
    ) -> Iterator[tuple[str, str, Path]]:
        """Name, file and path of each file of the folder, in the order of the names."""
        try:
            inside = sorted((self._root / folder).iterdir()) if (self._root / folder).is_dir() else []
        except OSError as error:
            self._findings.error(f"the folder cannot be read: {error.strerror}", "unreadable-file", folder)
            return
        for path in sorted((self._root / folder).glob("*/*")):
            if path.suffix.lower() in suffixes and not path.parent.name.startswith("."):
                message = f"this file is not read: only files directly in {folder}/ are"
                self._findings.warning(message, "ignored-file", _shown(path, self._root), f"move it to {folder}/")
        paths = [p for p in inside if p.suffix.lower() in suffixes and not p.name.startswith(".") and _is_file(p)]
        first: dict[str, str] = {}
        for path in paths:
            name, file = path.stem, _shown(path, self._root)
            if not allowed.fullmatch(name):
                self._bad_name(name, file, words)
            if name in first:
                message = f"there is another file for '{name}'"
                advice = f"{first[name]} has the same name: rename one of them"
                self._findings.error(message, "duplicate-name", file, advice)
                continue
            first[name] = file
            yield name, file, path

    def _bad_name(self, name: str, at: str, words: str) -> None:
        printable = name.encode(errors="replace").decode()
        self._findings.error(f"'{printable}' cannot be a name", "bad-name", at, f"a name has only {words}")


def _env_file(root: Path, findings: Findings) -> dict[str, str]:
    path = root / ENV_FILE
    text = _text(path, ENV_FILE, findings) if _is_file(path) else None
    return read_env(text, ENV_FILE, findings) if text is not None else {}


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - a path's own method raises where a folder is closed to us


def _state_dir(root: Path, argument: Path | None, written: str | None) -> Path:
    if argument is not None:
        return argument.absolute()
    return root / os.path.expanduser(written) if written else root / STATE_DIR  # noqa: PTH111 - Path's raises


def _text(path: Path, file: str, findings: Findings) -> str | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.error(f"the file cannot be read: {error.strerror}", "unreadable-file", file)
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        readable = data[: error.start].decode(errors="replace")
    else:
        if "\0" not in text:
            return text
        readable = text[: text.index("\0")]
    findings.error(
        "the file is not UTF-8 text", "not-text", f"{file}:{place(readable, len(readable))}", "save it as UTF-8"
    )
    return None


def _shown(path: Path, root: Path) -> str:
    """The path below the root as text that can be printed, whatever bytes the name has."""
    return os.fsencode(path.relative_to(root).as_posix()).decode(errors="replace")
