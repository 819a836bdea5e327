"""What a user writes about warehouse logs: `logs:` in connector.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LogsSettings(BaseModel):
    """Where each run writes what it did, for dbt and BI to join."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: str = Field(min_length=1, description="the source of connector.yml that the logs are written to")
    schema_: str = Field(
        "connector_audit",
        alias="schema",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="the schema that holds the tables; made where it is missing and the login may do that",
    )
