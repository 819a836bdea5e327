"""What a user writes, as data: the keys of model comments and sync configs with their meanings and defaults.

The keys of one system's entry in connector.yml belong to that system (`systems/`); everything here is common to all.
Descriptions end up in the JSON Schema that editors show.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from connector.ports import Json, Nulls
from connector.project.alert_settings import AlertRules, AlertSettings
from connector.project.history_settings import HistorySettings
from connector.project.logs_settings import LogsSettings
from connector.project.schedule_settings import Schedule
from connector.project.serve_settings import ServeSettings
from connector.project.telemetry_settings import TelemetrySettings


class Settings(BaseModel):
    """A mapping of the user's files. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


PrimaryKey = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


def _one_is_a_list(data: Any) -> Any:
    if isinstance(data, dict) and isinstance(data.get("primary_key"), str):
        return {**data, "primary_key": (data["primary_key"],)}
    return data


class RetrySettings(Settings):
    """How long a request is tried again while the destination is unavailable."""

    attempts: int = Field(5, ge=1, le=100, description="times a request is sent at most")
    max_seconds: float = Field(300, ge=0, description="seconds after the first attempt in which it is sent again")


class DestinationSettings(Settings):
    """What every destination has, whatever its system."""

    max_requests_per_second: float = Field(
        20, gt=0, le=1_000_000, description="shared by all syncs to this destination; halves on 429 and climbs back"
    )
    concurrency: int = Field(8, ge=1, le=64, description="requests in flight")
    retries: RetrySettings = RetrySettings()
    alerts: AlertRules | None = Field(None, description="who is told when a sync to this destination is in trouble")

    def whereabouts(self, *, events: bool) -> tuple[str, str]:  # noqa: ARG002 - a system may have a place for each
        """Where rows are sent, in words, and a text that differs for each login there."""
        return "", ""


class FieldType(StrEnum):
    """The types that a mapping may name."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    LIST = "list"


class ValueSpec(Settings):
    """Where a value comes from: a column of the model, a constant, or an SQL expression over the model's columns.

    A bare string is the name of a column.
    """

    column: str | None = Field(None, description="a column of the model")
    value: Json = Field(None, description="the same value on every row")
    sql: str | None = Field(None, description="a DuckDB expression over the model's columns, evaluated row by row")
    type: FieldType | None = Field(None, description="what the value is sent as; by default what the column is")
    nulls: Nulls = Field(Nulls.OMIT, description="a NULL leaves the field alone, sends an empty value, or sends null")

    @model_validator(mode="before")
    @classmethod
    def _bare_string_is_a_column(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> Self:
        given = self.model_fields_set & {"column", "value", "sql"}
        given -= {name for name in ("column", "sql") if not (getattr(self, name) or "").strip()}
        if len(given) != 1:
            msg = f"needs exactly one of column, value, sql; got {', '.join(sorted(given)) or 'none'}"
            raise ValueError(msg)
        return self


class FieldSpec(ValueSpec):
    """One field of an object in Pendo."""

    create: bool = Field(False, description="make the field in Pendo when it is missing")


class ObjectFields(Settings):
    """The fields to write, by Pendo's metadata group."""

    custom: dict[str, FieldSpec] = Field(default_factory=dict, description="custom fields: Pendo field to column")
    agent: dict[str, FieldSpec] = Field(default_factory=dict, description="agent fields: Pendo field to column")


class ContextSpec(Settings):
    """The browser session an event belongs to. Leave it out for events of a server."""

    ip: ValueSpec | None = None
    user_agent: ValueSpec | None = None
    url: ValueSpec | None = None
    title: ValueSpec | None = None


class BatchSpec(Settings):
    """How much one request carries at most."""

    rows: int = Field(500, ge=1, le=100_000, description="rows a request")
    bytes: int = Field(1_000_000, ge=1_000, le=100_000_000, description="bytes a request body")


class Guardrails(Settings):
    """Limits above which a run is held before it sends anything."""

    max_removed: int | None = Field(100, ge=0, description="removed rows; null switches it off")
    max_removed_percent: float | None = Field(10, ge=0, le=100, description="removed rows in percent of the snapshot")
    max_changed: int | None = Field(None, ge=0, description="changed rows")
    max_changed_percent: float | None = Field(None, ge=0, le=100, description="changed rows in percent of the snapshot")
    allow_empty: bool = Field(False, description="go on when the model is empty and the snapshot is not")


class OnRemoved(StrEnum):
    """What happens in Pendo to a row that left the model."""

    DO_NOTHING = "do_nothing"
    CLEAR = "clear"
    DELETE = "delete"


class DbtModel(Settings):
    """A model that dbt builds, from dbt's manifest."""

    dbt: str = Field(min_length=1, description="the model's name in dbt, or package.name")
    source: str | None = Field(
        None,
        description="the source that holds it; by default the one that `dbt:` in connector.yml names, or the only one",
    )
    primary_key: PrimaryKey | None = Field(
        None, description="one column, or a list of columns; by default what dbt says"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_column_is_a_list_of_one(cls, data: Any) -> Any:
        return _one_is_a_list(data)


def _form_of_model(data: Any) -> str:
    return "dbt model" if isinstance(data, dict | DbtModel) else "model name"


# Told apart before they are checked, so that what is wrong with one is not also said to be wrong with the other.
ModelName = Annotated[
    Annotated[str, Tag("model name")] | Annotated[DbtModel, Tag("dbt model")], Discriminator(_form_of_model)
]


class SyncBase(Settings):
    """What every sync has."""

    model: ModelName = Field(description="a model: models/NAME.sql, or { dbt: name of a dbt model }")
    destination: str = Field(description="a destination of connector.yml")
    split_retries: bool = Field(True, description="halve a refused batch until the bad rows are found")
    max_split_requests: int | None = Field(
        None, ge=0, description="requests that a run spends on the search for bad rows; by default no limit"
    )
    batch: BatchSpec = BatchSpec()
    schedule: Schedule | None = None
    alerts: AlertRules | None = Field(None, description="who is told when this sync is in trouble")
    max_attempts: int = Field(5, ge=1, description="runs in which a rejected row is offered before it is quarantined")
    redact: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="columns of the model whose values are sent and not written down: not in the log, not anywhere"
    )
    redact_with: Literal["hash", "mask"] = Field(
        "hash", description="what stands in their place: a keyed hash, so that equal values can be told, or a mask"
    )
    store_payloads: bool = Field(True, description="keep the bodies of requests and replies in the API call log")
    description: str | None = None


class ObjectSync(SyncBase):
    """Keeps fields of visitors, accounts or parent accounts equal to the model."""

    object: Literal["visitor", "account", "parent_account"]
    match: str = Field(min_length=1, description="the model's column that holds the id in Pendo")
    mode: Literal["update"] = "update"
    fields: ObjectFields
    on_removed: OnRemoved = OnRemoved.DO_NOTHING
    guardrails: Guardrails = Guardrails()


class EventSync(SyncBase):
    """Sends each row of the model once, as a Track event."""

    object: Literal["track_event"]
    mode: Literal["insert"] = "insert"
    event: ValueSpec
    visitor_id: ValueSpec
    account_id: ValueSpec | None = None
    timestamp: ValueSpec | None = None
    properties: dict[str, ValueSpec] = Field(default_factory=dict)
    context: ContextSpec | None = None
    on_first_run: Literal["send", "skip"] = Field(
        "send", description="are the rows of the first run events, or the baseline"
    )
    in_doubt: Literal["resend", "hold"] = Field("resend", description="what happens to events whose answer never came")


SyncSettings = Annotated[ObjectSync | EventSync, Field(discriminator="object")]


class ModelSettings(Settings):
    """The YAML in a model's first block comment."""

    source: str = Field(description="a source of connector.yml")
    primary_key: PrimaryKey = Field(description="one column, or a list of columns")
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_column_is_a_list_of_one(cls, data: Any) -> Any:
        return _one_is_a_list(data)


class StateSettings(Settings):
    """Where the connector keeps what it must remember."""

    dir: str | None = Field(
        None, min_length=1, description="the state directory, relative to connector.yml; default .connector"
    )


class DbtSettings(Settings):
    """The dbt project whose models syncs may name."""

    manifest: str = Field("target/manifest.json", min_length=1, description="dbt's manifest, relative to connector.yml")
    source: str | None = Field(None, description="the source that holds what dbt builds")


class ProjectSettings(Settings):
    """What connector.yml says; the system that an entry's `type` names knows the entry's other keys."""

    # A new top-level key is a new field here: the loader and the JSON Schema follow.
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, description="the warehouses, by a name of yours")
    destinations: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="where syncs write to, by a name of yours"
    )
    dbt: DbtSettings = Field(DbtSettings(), description="the dbt project whose models syncs may name")
    state: StateSettings = Field(StateSettings(), description="where the connector keeps what it must remember")
    logs: LogsSettings | None = Field(None, description="the warehouse that each run writes its logs to")
    serve: ServeSettings = Field(ServeSettings(), description="how `connector serve` works")
    history: HistorySettings = Field(HistorySettings(), description="how much of the past is kept")
    alerts: AlertSettings = Field(AlertSettings(), description="who is told when a sync is in trouble, and how")
    telemetry: TelemetrySettings = Field(TelemetrySettings(), description="where traces of runs go to")
