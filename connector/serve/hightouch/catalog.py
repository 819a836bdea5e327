"""The project with a number for everything in it: what the API calls sources, destinations, models and syncs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.serve.hightouch.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from connector.project.definition import Definition
    from connector.serve.serving import Serving
    from connector.state.history import History
    from connector.state.numbers import Kind, Number

CONNECTOR_YML = "connector.yml"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The project as it is on disk now; the numbers are kept in the state directory and never change."""

    definition: Definition
    numbers: Mapping[Kind, Mapping[str, Number]]

    def number(self, kind: Kind, name: str) -> int:
        """The number of what is called so."""
        return self.numbers[kind][name].number

    def created_at(self, kind: Kind, name: str) -> float:
        """When the state directory first heard of it, in seconds since 1970."""
        return self.numbers[kind][name].since

    def updated_at(self, kind: Kind, name: str) -> float:
        """When its file was last changed, in seconds since 1970; not before it was first heard of."""
        return max(self.created_at(kind, name), _changed_at(self.definition.root / self._file(kind, name)))

    def find(self, kind: Kind, wanted: str) -> str:
        """The name of what `wanted` means: a number, or the name itself. Raises ApiError 404."""
        for name, found in self.numbers[kind].items():
            if str(found.number) == wanted:
                return name
        if wanted in self.numbers[kind]:
            return wanted
        raise not_found(f"there is no {kind} {wanted}, or its file has an error: `connector check` tells")

    def _file(self, kind: Kind, name: str) -> str:
        if kind == "sync":
            return self.definition.syncs[name].file
        return self.definition.models[name].file if kind == "model" else CONNECTOR_YML


def read_catalog(serving: Serving) -> Catalog:
    """The project, read again. Raises ConfigError where there is none, StateError."""
    with closing(serving.project()) as project:
        definition = project.definition
    named: dict[Kind, Mapping[str, object]] = {
        "source": definition.sources,
        "destination": definition.destinations,
        "model": definition.models,
        "sync": definition.syncs,
    }
    of = serving.history.numbers.of
    return Catalog(definition, {kind: of(kind, sorted(names)) for kind, names in named.items()})


def known_sync(history: History, wanted: str) -> str:
    """The name of a sync that is or was in the project, without reading it. Raises ApiError 404.

    A client that waits for a run asks every few seconds; the run history has all that it wants to know.
    """
    found = history.numbers.find("sync", int(wanted)) if wanted.isascii() and wanted.isdigit() else None
    if found is not None:
        return found.name
    if history.numbers.has("sync", wanted) or history.runs.latest(wanted) is not None:
        return wanted
    raise not_found(f"there is no sync {wanted}")


def _changed_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0  # a model that dbt builds has no file here
