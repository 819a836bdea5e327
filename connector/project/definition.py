"""A project after reading: sources, destinations, models and syncs, each with the place where it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.project.history_settings import HistorySettings
from connector.project.serve_settings import ServeSettings
from connector.project.telemetry_settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from connector.errors import Problem
    from connector.project.alert_settings import AlertRules, Channel
    from connector.project.settings import EventSync, ModelSettings, ObjectSync


@dataclass(frozen=True, slots=True)
class Places:
    """Where each value of a file stands: `file:line:col` by its path of keys."""

    file: str
    marks: Mapping[tuple[str | int, ...], tuple[int, int]]
    keys: Mapping[tuple[str | int, ...], tuple[int, int]] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        """`file:line:col` (both from 1) of the value at `path`, or of its nearest parent that has a place."""
        for length in range(len(path), -1, -1):
            mark = self.marks.get(path[:length])
            if mark is not None:
                return f"{self.file}:{mark[0]}:{mark[1]}"
        return self.file

    def key_at(self, *path: str | int) -> str:
        """`file:line:col` of the key at `path` itself, for what is wrong with the name and not with the value."""
        mark = self.keys.get(path)
        return f"{self.file}:{mark[0]}:{mark[1]}" if mark is not None else self.at(*path)


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One entry under `sources:`."""

    name: str
    type: str
    settings: BaseModel
    at: str


@dataclass(frozen=True, slots=True)
class DestinationEntry:
    """One entry under `destinations:`."""

    name: str
    type: str
    settings: BaseModel
    at: str


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One entry under `alerts: channels:`."""

    name: str
    type: str
    settings: Channel
    at: str


@dataclass(frozen=True, slots=True)
class Alerts:
    """`alerts:` of connector.yml. `names` are all channels that are written there; None where that cannot be told."""

    rules: AlertRules
    channels: Mapping[str, ChannelEntry]
    names: frozenset[str] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Logs:
    """`logs:` of connector.yml: where each run writes what it did."""

    source: SourceEntry
    schema: str
    at: str


@dataclass(frozen=True, slots=True)
class Model:
    """One file of models/. `sql` is the file's text without its settings, as it is sent to the warehouse.

    It ends with its last word, without semicolon or comment, so that it can be put into parentheses. `sql_line` is
    the line of the file on which it starts.
    """

    name: str
    file: str
    sql: str
    settings: ModelSettings
    places: Places
    sql_line: int = 1


@dataclass(frozen=True, slots=True)
class Sync:
    """One file of sync_configs/, its model, destination and source looked up."""

    name: str
    file: str
    settings: ObjectSync | EventSync
    places: Places
    model: Model
    source: SourceEntry
    destination: DestinationEntry

    @property
    def primary_key_at(self) -> str:
        """Where the primary key of its model is named: in the model's file, or in this one for a model of dbt."""
        places = self.model.places
        return places.at("model", "primary_key") if places.file == self.file else places.at("primary_key")


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything a project says."""

    root: Path
    state_dir: Path
    sources: Mapping[str, SourceEntry]
    destinations: Mapping[str, DestinationEntry]
    models: Mapping[str, Model]
    syncs: Mapping[str, Sync]
    warnings: tuple[Problem, ...] = field(default=())
    alerts: Alerts | None = None
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    manifest: str = "target/manifest.json"
    logs: Logs | None = None
