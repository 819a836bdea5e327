"""What a user writes about the server: `serve:` in connector.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServeSettings(BaseModel):
    """How `connector serve` works."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1, description="the address to listen on; other machines reach 0.0.0.0")
    port: int = Field(8091, ge=0, le=65_535, description="the port to listen on; 0 takes any free one")
    token: SecretStr | None = Field(
        None, min_length=16, description="what people and programs log in with; by default CONNECTOR_SERVE_TOKEN"
    )
    read_only: bool = Field(False, description="refuse everything that would change or send something")
    allowed_hosts: tuple[str, ...] = Field((), description="further names under which a browser knows this server")
    trusted_header: str | None = Field(
        None, min_length=1, description="the header in which a reverse proxy says whom it has logged in"
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="the addresses of the proxies whose header is believed"
    )
    runs_at_once: int = Field(4, ge=1, le=64, description="runs that go on at the same time; the others wait")
    grace_seconds: float = Field(
        10, ge=0, le=86_400, description="how long runs may finish after SIGTERM before they are cancelled"
    )
