"""What a user writes about traces: `telemetry:` in connector.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class TelemetrySettings(BaseModel):
    """Where traces of runs go to, in OpenTelemetry's own protocol over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+\S*$",
        description="the collector, such as http://collector:4318; by default OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="headers of each request, such as a login")
    service_name: str = Field("connector", min_length=1, description="the name of the service in the traces")
    calls: int = Field(1000, ge=0, le=100_000, description="the most API calls of a run that get a span of their own")
