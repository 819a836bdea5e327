"""One file of sync_configs/: the settings of a sync, and what can be said of them without warehouse and destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from connector.errors import Problem
from connector.project.definition import Sync
from connector.project.names import hint, nearest
from connector.project.places import read_mapping
from connector.project.schedule import schedule_problem
from connector.project.schedule_settings import Schedule
from connector.project.settings import EventSync, ObjectSync
from connector.project.validation import part, salvaged, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.ports import DestinationSystem
    from connector.project.dbt import DbtReader
    from connector.project.definition import DestinationEntry, Model, Places, SourceEntry
    from connector.project.places import Document, Keys
    from connector.project.reading import Known, Reading

OBJECTS: dict[str, type[ObjectSync | EventSync]] = {
    choice: settings
    for settings in (ObjectSync, EventSync)
    for choice in get_args(settings.model_fields["object"].annotation)
}


class SyncReader:
    """Reads the syncs of one project."""

    def __init__(
        self,
        reading: Reading,
        systems: Mapping[str, DestinationSystem],
        sources: Known[SourceEntry],
        destinations: Known[DestinationEntry],
        models: Known[Model],
        dbt: DbtReader,
    ) -> None:
        """Look up in these what the syncs name, and let the destination's system check each sync."""
        self._reading = reading
        self._findings = reading.findings
        self._systems = systems
        self._sources = sources
        self._destinations = destinations
        self._models = models
        self._dbt = dbt
        self.half_read: list[Sync] = []

    def read(self, name: str, file: str, text: str) -> Sync | None:
        """The sync, or None when something is wrong with it or with what it names; what, has been noted.

        What is right in a sync with mistakes goes to `half_read`, so that more can be said of it in the same go.
        """
        document = read_mapping(text, file, self._reading.environment, self._findings)
        if document is None:
            return None
        self._check_names(document)
        self._check_expressions(document)
        self._check_schedule(document)
        settings = self._settings(document)
        if settings is None:
            half = self._salvaged(document)
            sync = self._sync(name, file, half, document.places) if half is not None else None
            self.half_read += [sync] if sync is not None else []
            return None
        destination = self._destinations.good.get(settings.destination)
        if destination is not None:
            system = self._systems[destination.type]
            for kind, problem in system.problems(destination.settings, settings, document.places.at):
                self._findings.foreign(kind, problem, document.places.at())
        return self._sync(name, file, settings, document.places)

    def _sync(self, name: str, file: str, settings: ObjectSync | EventSync, places: Places) -> Sync | None:
        destination = self._destinations.good.get(settings.destination)
        model = self._model(settings, places)
        source = self._sources.good.get(model.settings.source) if model is not None else None
        if destination is None or model is None or source is None:
            return None
        return Sync(name, file, settings, places, model, source, destination)

    @staticmethod
    def _salvaged(document: Document) -> ObjectSync | EventSync | None:
        given = document.data.get("object")
        return salvaged(OBJECTS[given], document) if isinstance(given, str) and given in OBJECTS else None

    def _settings(self, document: Document) -> ObjectSync | EventSync | None:
        """The settings, by the class that `object` names; where it names none, by the one it probably means."""
        places, given = document.places, document.data.get("object")
        if isinstance(given, str) and given in OBJECTS:
            return validate(OBJECTS[given], document, self._findings)
        if "object" not in document.data:
            advice = f"object: one of {', '.join(OBJECTS)}"
            self._findings.error("the key 'object' is missing", "missing-key", places.at(), advice)
        elif ("object",) not in document.unreadable:
            empty = document.data["object"] is None
            message = "'object' is empty" if empty else f"'object' cannot be '{document.shown('object')}'"
            choices = hint(document.guessable("object"), OBJECTS, "one of")
            self._findings.error(message, "wrong-choice", places.at("object"), choices)
        meant = _meant_object(document)
        if meant is not None:
            validate(OBJECTS[meant], document, self._findings, data={**document.data, "object": meant})
        return None

    def _model(self, settings: ObjectSync | EventSync, places: Places) -> Model | None:
        if isinstance(settings.model, str):
            return self._models.good.get(settings.model)
        model = self._dbt.read(settings.model, places)
        complete = self._dbt.columns(settings.model) if model is not None else None
        if model is not None and complete is not None:
            self._check_columns(settings, model, complete, places)
        return model

    def _check_columns(
        self, settings: ObjectSync | EventSync, model: Model, complete: tuple[str, ...], places: Places
    ) -> None:
        """Nothing, after noting the columns that a model with an enforced contract does not have."""
        known = {column.lower() for column in complete}
        for path, column in _columns(settings.model_dump(exclude={"model"}), ()):
            if column.lower() not in known:
                message = f"the dbt model '{model.name}' has no column '{column}'"
                advice = hint(column, complete, "columns")
                self._findings.error(message, "unknown-column", places.at(*path), advice)

    def _check_names(self, document: Document) -> None:
        for key, known, where, none in (
            ("model", self._models.names, "", "a model is a file: models/NAME.sql"),
            ("destination", self._destinations.names, " in connector.yml", "connector.yml names no destination"),
        ):
            name = document.get(key)
            if known is None or not isinstance(name, str) or name in known:
                continue
            self._findings.error(
                f"there is no {key} '{document.shown(key)}'{where}",
                f"unknown-{key}",
                document.places.at(key),
                hint(document.guessable(key), known, f"{key}s") or none,
            )

    def _check_expressions(self, document: Document) -> None:
        for path, sql in _expressions(document.data, ()):
            found = self._reading.grammar.expression_problem(sql)
            if found is None:
                continue
            # The reason may quote a piece of the expression.
            reason = found if path not in document.written else "it is not one expression over a row's columns"
            self._findings.error(
                f"the expression of {path[-2]} cannot be used: {reason}",
                "bad-expression",
                document.places.at(*path),
                "one DuckDB expression over the model's columns, computed row by row",
            )

    def _check_schedule(self, document: Document) -> None:
        schedule = part(Schedule, document, "schedule")
        problem = schedule_problem(schedule) if schedule is not None else None
        if problem is not None:
            message = f"'{document.shown('schedule', problem.key)}' {problem.message}"
            at = document.places.at("schedule", problem.key)
            self._findings.foreign("error", Problem(message, "bad-schedule", at, problem.hint), at)


def _expressions(value: object, path: Keys) -> Iterator[tuple[Keys, str]]:
    """Every `sql:` of the mapping with its path; `value:` is a constant, whatever is in it."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key == "sql" and isinstance(inner, str) and path:
            yield (*path, key), inner
        elif key != "value":
            yield from _expressions(inner, (*path, key))


def _columns(value: object, path: Keys) -> Iterator[tuple[Keys, str]]:
    """Every column that the settings of a sync name, with its path."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in ("column", "match") and isinstance(inner, str):
            yield (*path, key), inner
        elif key != "value":
            yield from _columns(inner, (*path, key))


def _meant_object(document: Document) -> str | None:
    """The object that the file is probably about, so that its other problems can be told in the same go."""
    written = document.guessable("object")
    near = nearest(written, OBJECTS) if written is not None else None
    if near is not None:
        return near
    if document.data.keys() & {"event", "visitor_id", "properties"}:
        return "track_event"
    return "account" if document.data.keys() & {"match", "fields"} else None
