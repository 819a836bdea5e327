"""One file of models/: settings as YAML in its first block comment, and one SELECT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.project.definition import Model
from connector.project.model_sql import dialect_of, read_query
from connector.project.names import hint
from connector.project.places import read_mapping
from connector.project.settings import ModelSettings
from connector.project.validation import validate

if TYPE_CHECKING:
    from connector.project.definition import SourceEntry
    from connector.project.places import Document
    from connector.project.reading import Known, Reading

# Blank lines and line comments may stand before the settings.
BEFORE_SETTINGS = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z))*")

EXAMPLE = "start the file with /* source: ..., primary_key: ... */, one key a line"


class ModelReader:
    """Reads the models of one project."""

    def __init__(self, reading: Reading, sources: Known[SourceEntry]) -> None:
        """Look the models' sources up in `sources`."""
        self._reading = reading
        self._findings = reading.findings
        self._sources = sources

    def read(self, name: str, file: str, text: str) -> Model | None:
        """The model, or None when something is wrong with it; what, has been noted."""
        before = BEFORE_SETTINGS.match(text)
        start = before.end() if before else 0
        if not text.startswith("/*", start):
            slug, message = ("no-settings", "there are no settings: the file does not start with a block comment")
            if not text[start:].strip():
                slug, message = "empty-file", "there is nothing in it"
            self._findings.error(message, slug, f"{file}:{place(text, start)}", EXAMPLE)
            return None
        end = text.find("*/", start + 2)
        if end < 0:
            self._findings.error(
                "the comment with the settings is not closed", "no-settings", f"{file}:{place(text, start)}"
            )
            return None
        settings, document = self._settings(file, text, start, end)
        source = self._sources.good.get(settings.source) if settings is not None else None
        sql_start = end + 2 + len(text[end + 2 :]) - len(text[end + 2 :].lstrip())
        sql = self._sql(file, text, sql_start, source)
        if settings is None or document is None or sql is None:
            return None
        return Model(name, file, sql, settings, document.places, text.count("\n", 0, sql_start) + 1)

    def _settings(self, file: str, text: str, start: int, end: int) -> tuple[ModelSettings | None, Document | None]:
        # Blanks for all that stands before, so that each place in the YAML is the place in the file.
        blanks = re.sub(r"[^\n]", " ", text[: start + 2])
        yaml, at = blanks + text[start + 2 : end], mark(text, start)
        document = read_mapping(yaml, file, self._reading.environment, self._findings, empty_at=at)
        if document is None:
            return None, None
        settings = validate(ModelSettings, document, self._findings)
        if settings is not None:
            self._check_key(settings, document)
        self._check_source(document)
        return settings, document

    def _check_key(self, settings: ModelSettings, document: Document) -> None:
        for number, column in enumerate(settings.primary_key):
            if column in settings.primary_key[:number]:
                path = ("primary_key", number)
                message = f"the column '{document.shown(*path)}' is in the primary key twice"
                self._findings.error(message, "wrong-value", document.places.at(*path))

    def _check_source(self, document: Document) -> None:
        known, source = self._sources.names, document.get("source")
        if known is None or not isinstance(source, str) or source in known:
            return
        self._findings.error(
            f"there is no source '{document.shown('source')}' in connector.yml",
            "unknown-source",
            document.places.at("source"),
            hint(document.guessable("source"), known, "sources") or "connector.yml names no source",
        )

    def _sql(self, file: str, text: str, start: int, source: SourceEntry | None) -> str | None:
        url = getattr(source.settings, "url", None) if source is not None else None
        secret = getattr(url, "get_secret_value", None)
        dialect = dialect_of(source.type, str(secret() if secret else url or "")) if source is not None else None
        query = read_query(text[start:], dialect, self._reading.grammar)
        slip = query.slip
        if slip is None:
            return query.text
        at = f"{file}:{place(text, start + slip.offset)}"
        if slip.sure:
            self._findings.error(slip.message, slip.slug, at, slip.hint)
            return None
        if source is not None:  # an unknown source is an error of its own, and the SQL may be fine there
            self._findings.warning(slip.message, slip.slug, at, slip.hint)
        return query.text


def mark(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def place(text: str, offset: int) -> str:
    """`line:col` of a character."""
    line, column = mark(text, offset)
    return f"{line}:{column}"
